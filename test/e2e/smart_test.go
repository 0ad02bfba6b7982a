package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

// appPage is a whole SMART app: it reads the configuration, sends the browser to be authorized with PKCE, trades the code for a
// token, and shows what the token opens.
const appPage = `<!doctype html><html lang="en"><title>Test app</title><body><h1>Test app</h1><pre id="out"></pre><script>
const say = (k, v) => { document.getElementById('out').textContent += k + ': ' + v + '\n' };
const b64 = b => btoa(String.fromCharCode(...new Uint8Array(b))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
(async () => {
  const q = new URLSearchParams(location.search), keep = sessionStorage;
  if (q.get('error')) { say('error', q.get('error')); say('done', 'yes'); return }
  if (!q.get('code')) {
    const iss = q.get('iss'), conf = await (await fetch(iss + '/.well-known/smart-configuration')).json();
    const verifier = b64(crypto.getRandomValues(new Uint8Array(40))), state = b64(crypto.getRandomValues(new Uint8Array(20)));
    keep.iss = iss; keep.verifier = verifier; keep.state = state; keep.token = conf.token_endpoint; keep.client = q.get('client') || keep.client;
    const challenge = b64(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
    const p = new URLSearchParams({response_type: 'code', client_id: CLIENT, redirect_uri: location.origin + '/callback', scope: q.get('scope') || SCOPE,
      state, aud: iss, code_challenge: challenge, code_challenge_method: 'S256'});
    if (q.get('launch')) { p.set('launch', q.get('launch')); p.set('scope', 'launch openid fhirUser patient/*.rs') }
    if (q.get('redirect')) p.set('redirect_uri', q.get('redirect'));
    location = conf.authorization_endpoint + '?' + p; return
  }
  if (q.get('state') !== keep.state) { say('error', 'state'); return }
  const r = await fetch(keep.token, {method: 'POST', body: new URLSearchParams({grant_type: 'authorization_code', code: q.get('code'),
    redirect_uri: location.origin + '/callback', client_id: CLIENT, code_verifier: keep.verifier})});
  const t = await r.json();
  window.access = t.access_token; window.iss = keep.iss;
  say('patient', t.patient); say('encounter', t.encounter); say('scope', t.scope); say('id', !!t.id_token);
  window.get = async path => (await fetch(keep.iss + path, {headers: {Authorization: 'Bearer ' + t.access_token}})).status;
  window.count = async path => ((await (await fetch(keep.iss + path, {headers: {Authorization: 'Bearer ' + t.access_token}})).json()).entry || []).filter(e => !e.search || e.search.mode === 'match').length;
  say('own', await get('/Patient/' + t.patient));
  say('done', 'yes');
})().catch(e => say('failed', e));
</script></body></html>`

// smartApp serves the app on this machine and registers it with the demonstration through the command line.
func smartApp(t *testing.T, y *running) (address, client string) {
	t.Helper()
	const scope = "launch launch/patient openid fhirUser offline_access patient/*.rs user/Practitioner.rs"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(strings.NewReplacer("CLIENT", "'"+client+"'", "SCOPE", "'launch/patient openid fhirUser offline_access patient/*.rs user/Practitioner.rs'").Replace(appPage)))
	}))
	t.Cleanup(app.Close)
	bin, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "client", "add", "--data", y.dir, "--practice", "demo", "--name", "Growth Chart", "--publisher", "Test Works",
		"--redirect", app.URL+"/callback", "--launch", app.URL+"/launch", "--scope", scope).CombinedOutput()
	m := regexp.MustCompile(`Client id: (\S+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("the app could not be registered: %v\n%s", err, out)
	}
	client = string(m[1])
	return app.URL, client
}

// looks runs axe and keeps a picture of the page on a wide screen and a telephone, light and dark.
func (v *visitor) looks(name string) {
	v.t.Helper()
	for _, s := range []struct {
		name string
		screen
	}{{"light", desktop}, {"dark", desktopDark}, {"phone", phone}, {"phone-dark", phoneDark}} {
		v.Size(s.width, s.height, s.theme)
		v.shot(name + "-" + s.name)
		v.Accessible(name + " " + s.name)
		var wide bool
		v.eval(`document.documentElement.scrollWidth > innerWidth + 1`, &wide)
		if wide {
			v.t.Errorf("%s on %s is wider than the screen", name, s.name)
		}
	}
	v.Size(desktop.width, desktop.height, desktop.theme)
}

// awaited waits for a promise.
func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// bearing is a request with an access token.
func bearing(t *testing.T, address, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// A person starts an app from outside, signs in, chooses the patient, switches off part of what it asks for, and the app gets that and
// no more; then they disconnect it, and its token opens nothing. The same app starts from the chart with the patient that is open.
func TestSMARTApp(t *testing.T) {
	y := startDemo(t, "--patients", "12")
	app, client := smartApp(t, y)
	v := visit(t, y.Demo.URL, desktop)
	host, _ := url.Parse(app)
	v.MayAsk(host.Host)
	iss := url.QueryEscape(y.Demo.URL + "/demo/fhir")

	v.open(app + "/start?iss=" + iss)
	v.says("Who are you today?")
	v.do("choose a person", chromedp.Click(`//button[@name='person'][contains(.,'Osei')]`, chromedp.BySearch))
	v.says("Whose record?")
	v.looks("1-whose")
	v.fill("#f-q", strings.Split(y.Demo.Patients[0].Name, ",")[0])
	v.click(`button[name="patient"][value="` + y.Demo.Patients[0].ID + `"]`)
	v.says("Let Growth Chart in?")
	v.says("See vital signs and test results")
	v.looks("2-consent")
	v.eval(`for (const i of document.querySelectorAll('input[name=scope]')) { if (/Medication|category=.*(laboratory|survey|social-history|sdoh)$/.test(i.value)) i.click() }`, nil)
	v.click(`button[value="allow"]`)
	v.says("done: yes")
	v.says("patient: " + y.Demo.Patients[0].ID)
	v.says("own: 200")
	v.says("id: true")
	status := func(path string) (n int) {
		v.t.Helper()
		v.do("ask for "+path, chromedp.Evaluate(`get(`+"`"+path+"`"+`)`, &n, awaited))
		return n
	}
	for path, want := range map[string]int{"/Condition?_count=1": 200, "/MedicationRequest?_count=1": 403, "/Patient/" + y.Demo.Patients[1].ID: 404} {
		if got := status(path); got != want {
			t.Errorf("the app asked for %s and got %d, wanted %d", path, got, want)
		}
	}
	for category, want := range map[string]bool{"vital-signs": true, "laboratory": false} {
		n := 0
		v.do("count "+category, chromedp.Evaluate("count('/Observation?category="+category+"')", &n, awaited))
		if n > 0 != want {
			t.Errorf("of %s the app sees %d, though only vital signs were let through", category, n)
		}
	}
	var scope string
	v.eval(`document.getElementById('out').textContent.match(/scope: (.*)/)[1]`, &scope)
	if !strings.Contains(scope, "observation-category|vital-signs") || strings.Contains(scope, "laboratory") || strings.Contains(scope, "Medication.") || strings.Contains(scope, "patient/*") {
		t.Errorf("what was switched off was granted: %s", scope)
	}
	token := ""
	v.eval(`access`, &token)

	// The person's own list, and the end of the connection.
	v.open("/demo/apps")
	v.says("Growth Chart")
	v.looks("3-mine")
	v.do("disconnect", chromedp.Click(`form[action$="/apps/disconnect"] button`, chromedp.ByQuery))
	v.says("Disconnected")
	resp, err := http.DefaultClient.Do(bearing(t, y.Demo.URL+"/demo/fhir/Patient/"+y.Demo.Patients[0].ID, token))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("after it was disconnected the app gets %d", resp.StatusCode)
	}

	// No, and an address that is not registered.
	v.open(app + "/start?iss=" + iss + "&scope=" + url.QueryEscape("user/Practitioner.rs openid"))
	v.says("Let Growth Chart in?")
	v.click(`button[value="deny"]`)
	v.says("error: access_denied")
	v.open(app + "/start?iss=" + iss + "&redirect=" + url.QueryEscape(app+"/elsewhere"))
	v.says("not registered for it")
	v.looks("4-not-registered")
	v.open("/demo/apps/ask/ask-made-up")
	v.says("has ended")

	// From the chart.
	v.open("/demo/patients/" + y.Demo.Patients[2].ID + "/apps")
	v.says("Growth Chart")
	v.looks("5-chart")
	opened := chromedp.WaitNewTarget(v.ctx, func(i *target.Info) bool { return i.Type == "page" })
	v.click(`button[name="program"][value="` + client + `"]`)
	tab, cancel := chromedp.NewContext(v.ctx, chromedp.WithTargetID(<-opened))
	defer cancel()
	w := &visitor{t: t, ctx: tab, base: v.base, name: v.name + "-tab"}
	w.says("Let Growth Chart in?")
	w.says(strings.Split(y.Demo.Patients[2].Name, ",")[0])
	w.click(`button[value="allow"]`)
	w.says("done: yes")
	w.says("patient: " + y.Demo.Patients[2].ID)
	w.says("own: 200")
}

// An administrator registers a program, sees its secret once, approves it, stops it with a reason.
func TestProgramsOfAPractice(t *testing.T) {
	y := startDemo(t, "--patients", "12")
	v := visit(t, y.Demo.URL, desktop)
	admin := ""
	for _, p := range y.Demo.Staff {
		for _, r := range p.Roles {
			if r == "administrator" {
				admin = strings.Split(p.Name, ",")[0]
			}
		}
	}
	v.open("/demo/sign-in")
	v.do("choose "+admin, chromedp.Click(`//button[@name='person'][contains(.,'`+admin+`')]`, chromedp.BySearch), chromedp.WaitVisible(".rail", chromedp.ByQuery))
	v.open("/demo/apps")
	v.says("Demo backend service")
	v.looks("1-programs")
	v.click(`a[href$="/apps/programs/new"]`)
	v.fill("#f-name", "Care Gaps")
	v.do("an address", chromedp.SetValue("#f-redirects", "http://gaps.example/cb", chromedp.ByQuery))
	v.do("with a secret", chromedp.SetValue("#f-kind", "secret", chromedp.ByQuery))
	v.click(`form.form .btn.pri`)
	v.says("it is not encrypted")
	v.looks("2-form")
	v.do("another address", chromedp.SetValue("#f-redirects", "https://gaps.example/cb", chromedp.ByQuery))
	v.click(`form.form .btn.pri`)
	v.says("It is shown only now")
	secret := ""
	v.do("the secret", chromedp.Text("#secret", &secret, chromedp.ByQuery))
	v.looks("3-secret")
	if !strings.HasPrefix(secret, "yrw-cs.") {
		t.Errorf("the secret is %q", secret)
	}
	v.click(`button[value="approve"]`)
	v.says("Approved by")
	v.until("the secret is gone", `!document.body.innerText.includes('yrw-cs.')`)
	v.fill("#f-reason", "Contract ended")
	v.click(`button[value="suspend"]`)
	v.says("Stopped: Contract ended")
	v.looks("4-stopped")
}
