package interop_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

// smartPage is an app made with fhirclient, as its authors' own guide writes one: authorize on the way out, ready on the way back.
const smartPage = `<!doctype html><html lang="en"><title>fhirclient</title><body><h1>fhirclient</h1><pre id="out"></pre>
<script src="/fhir-client.js"></script><script>
const say = (k, v) => { document.getElementById('out').textContent += k + ': ' + v + '\n' };
const failed = e => say('failed', e && e.message || e);
const q = new URLSearchParams(location.search);
if (location.pathname !== '/callback') {
  FHIR.oauth2.authorize({clientId: q.get('client') || CLIENT, iss: q.get('iss'), redirectUri: location.origin + '/callback', pkceMode: 'required',
    scope: (q.get('launch') ? 'launch' : 'launch/patient') + ' openid fhirUser offline_access patient/*.rs user/Practitioner.rs'}).catch(failed);
} else FHIR.oauth2.ready().then(async client => {
  say('patient', client.patient.id);
  const own = await client.patient.read();
  say('birth date', own.birthDate);
  const mine = await client.request('Observation?patient=' + client.patient.id + '&category=vital-signs&_count=5', {pageLimit: 3, flat: true});
  say('several pages', mine.length > 5 && mine.every(o => o.subject.reference === 'Patient/' + client.patient.id));
  say('a reference was resolved', (await client.request('Observation/' + mine[0].id, {resolveReferences: ['subject']})).subject.resourceType);
  say('person', client.user.fhirUser);
  say('kind of person', (await client.user.read()).resourceType);
  const before = client.state.tokenResponse.access_token;
  await client.refresh();
  say('another token', client.state.tokenResponse.access_token !== before && (await client.patient.read()).id === own.id);
  say('writing', await client.update({...own, gender: 'unknown'}).then(() => 'done', e => e.status || e.statusCode));
  say('banner', client.getState('tokenResponse.need_patient_banner'));
  say('done', 'yes');
}).catch(failed);
</script></body></html>`

// fhirclientApp serves the page on this machine and registers it; it gives its address and its client id.
func fhirclientApp(t *testing.T, data string) (address, client string) {
	t.Helper()
	library, err := os.ReadFile("node_modules/fhirclient/build/fhir-client.pure.js")
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fhir-client.js" {
			w.Header().Set("Content-Type", "text/javascript")
			w.Write(library)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(strings.ReplaceAll(smartPage, "CLIENT", "'"+client+"'")))
	}))
	t.Cleanup(app.Close)
	bin, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "client", "add", "--data", data, "--practice", "demo", "--name", "Growth Lines", "--publisher", "Test Works",
		"--redirect", app.URL+"/callback", "--launch", app.URL+"/launch",
		"--scope", "launch launch/patient openid fhirUser offline_access patient/*.rs user/Practitioner.rs").CombinedOutput()
	m := regexp.MustCompile(`Client id: (\S+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("the app could not be registered: %v\n%s", err, out)
	}
	return app.URL, string(m[1])
}

// words waits for a heading or text that says them, on whatever page comes next.
func words(s string) chromedp.Action {
	return chromedp.WaitVisible(`//*[self::h1 or self::pre][contains(., "`+s+`")]`, chromedp.BySearch)
}

// answers reads what the app found out.
func answers(t *testing.T, w *webtest.Window) map[string]string {
	t.Helper()
	out := ""
	w.Do(chromedp.WaitVisible(`//pre[contains(., "done: yes") or contains(., "failed:")]`, chromedp.BySearch), chromedp.Text("#out", &out, chromedp.ByQuery))
	said := map[string]string{}
	for line := range strings.Lines(out) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
		said[k] = v
	}
	return said
}

// fhirclient starts from outside, where the person chooses the patient, and from a chart that is open; both ways it gets the patient,
// reads over several pages, refreshes its token, and is kept from writing.
func TestFhirclient(t *testing.T) {
	if !packages(t) {
		return
	}
	file := demonstration(t)
	var demo struct {
		URL      string
		Patients []struct{ ID, Name string }
	}
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, &demo)
	}
	if err != nil {
		t.Fatal(err)
	}
	app, client := fhirclientApp(t, filepath.Dir(file))
	w := webtest.Open(t, demo.URL, 3*time.Minute)
	w.MayAsk(app)
	judge := func(how string, said map[string]string, patient string) {
		t.Helper()
		for k, want := range map[string]string{"failed": "", "patient": patient, "several pages": "true", "a reference was resolved": "Patient",
			"kind of person": "Practitioner", "another token": "true", "writing": "403", "done": "yes"} {
			if said[k] != want {
				t.Errorf("%s: %q is %q, wanted %q; all: %v", how, k, said[k], want, said)
			}
		}
		if said["birth date"] == "" || !strings.Contains(said["person"], "Practitioner/") {
			t.Errorf("%s: birth date %q, person %q", how, said["birth date"], said["person"])
		}
	}

	allow := chromedp.Click(`button[value="allow"]`, chromedp.ByQuery)
	w.Do(chromedp.Navigate(app+"/start?iss="+url.QueryEscape(demo.URL+"/demo/fhir")),
		chromedp.Click(`//button[@name='person'][contains(.,'Osei')]`, chromedp.BySearch),
		words("Whose record?"), chromedp.SendKeys("#f-q", strings.Split(demo.Patients[0].Name, ",")[0], chromedp.ByQuery),
		chromedp.Click(`button[name="patient"][value="`+demo.Patients[0].ID+`"]`, chromedp.ByQuery),
		words("Let Growth Lines in?"), allow)
	judge("standalone", answers(t, w), demo.Patients[0].ID)

	w.Do(chromedp.Navigate(demo.URL + "/demo/patients/" + demo.Patients[1].ID + "/apps"))
	opened := chromedp.WaitNewTarget(w.Ctx, func(i *target.Info) bool { return i.Type == "page" })
	w.Do(chromedp.Click(`button[name="program"][value="`+client+`"]`, chromedp.ByQuery))
	tab, cancel := chromedp.NewContext(w.Ctx, chromedp.WithTargetID(<-opened))
	defer cancel()
	chart := &webtest.Window{T: t, Ctx: tab}
	chart.Do(words("Let Growth Lines in?"), allow)
	said := answers(t, chart)
	judge("from the chart", said, demo.Patients[1].ID)
	if !slices.Contains([]string{"true", "false"}, said["banner"]) {
		t.Errorf("from the chart the app is not told whether it must show whose record it is: %q", said["banner"])
	}
	w.Blame("fhirclient")
}
