package breakin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

// scripts are texts that would run a script where a page does not escape them: tags, attributes and addresses that run something, in
// every context that a text can be put into, and the tricks by which filters are passed.
func scripts() []string {
	const run = "pwned=1;alert(1)"
	var out []string
	tags := []string{
		`<script>` + run + `</script>`, `<script src=//evil.invalid/x.js></script>`, `<ScRiPt>` + run + `</sCrIpT>`, `<script/x>` + run + `</script>`, "<script\n>" + run + "</script\n>",
		`<img src=x onerror=` + run + `>`, `<img/src="x"/onerror="` + run + `">`, `<IMG """><SCRIPT>` + run + `</SCRIPT>">`, `<img src=x:x onerror=` + run + `//`, `<svg onload=` + run + `>`, `<svg/onload=` + run + `>`,
		`<svg><script>` + run + `</script></svg>`, `<svg><animate onbegin=` + run + ` attributeName=x dur=1s>`, `<svg><a xlink:href="javascript:` + run + `"><text y=20>x</text></a></svg>`, `<svg><use href="data:image/svg+xml,<svg id=x xmlns='http://www.w3.org/2000/svg'><script>` + run + `</script></svg>#x">`,
		`<svg><set attributeName=href to=javascript:` + run + `>`, `<svg><foreignObject><body onload=` + run + `></foreignObject></svg>`, `<math href="javascript:` + run + `">x</math>`, `<math><mtext><table><mglyph><style><img src=x onerror=` + run + `>`,
		`<math><maction actiontype="statusline#http://x" xlink:href="javascript:` + run + `">x</maction></math>`, `<body onload=` + run + `>`, `<iframe src="javascript:` + run + `">`, `<iframe srcdoc="<script>parent.` + run + `</script>">`, `<iframe src=//evil.invalid/>`,
		`<object data="javascript:` + run + `">`, `<embed src="javascript:` + run + `">`, `<a href="javascript:` + run + `">x</a>`, `<a href=" &#1;javascript:` + run + `">x</a>`, `<a href="java&#9;script:` + run + `">x</a>`, `<form action="javascript:` + run + `"><input type=submit>`,
		`<button formaction="javascript:` + run + `">x</button>`, `<input autofocus onfocus=` + run + `>`, `<details open ontoggle=` + run + `>`, `<select autofocus onfocus=` + run + `>`, `<video><source onerror=` + run + `></video>`, `<audio src=x onerror=` + run + `>`, `<marquee onstart=` + run + `>x</marquee>`,
		`<style>@import '//evil.invalid/x.css';</style>`, `<style>*{background:url(//evil.invalid/y)}</style>`, `<link rel=stylesheet href=//evil.invalid/z.css>`, `<link rel=prefetch href=//evil.invalid/p>`, `<meta http-equiv=refresh content="0;url=javascript:` + run + `">`, `<meta http-equiv=refresh content="0;url=//evil.invalid/">`,
		`<base href=//evil.invalid/>`, `<template><script>` + run + `</script></template>`, `<div style="width:expression(` + run + `)">`, `<x contenteditable onblur=` + run + ` tabindex=1 autofocus>`, `<dialog open onclose=` + run + `>x</dialog>`, `<portal src=//evil.invalid/>`, `<noscript><p title="</noscript><img src=x onerror=` + run + `>">`,
		`<div hx-get="//evil.invalid/" hx-trigger="load">`, `<div hx-on:load="` + run + `" hx-trigger="load">`, `<div hx-vals='js:{a:` + run + `}' hx-post="x" hx-trigger="load">`, `<div data-hx-get="/demo/sign-out" data-hx-trigger="load">`,
	}
	for _, way := range []string{"%s", `"%s`, `">%s`, `'>%s`, `</title>%s`, `</textarea>%s`, `--><!-- %s`, `]]>%s`} {
		for _, tag := range tags[:min(len(tags), 200)] {
			if way != "%s" && way != `">%s` && len(out)%3 != 0 { // every tag bare and out of an attribute; a third of the other pairs
				out = append(out, "")
				continue
			}
			out = append(out, fmt.Sprintf(way, tag))
		}
	}
	out = slices.DeleteFunc(out, func(s string) bool { return s == "" })
	return append(out,
		`" onmouseover="`+run, `' onmouseover='`+run, `" autofocus onfocus=`+run+` x="`, `x onmouseover=`+run, "` onmouseover=`"+run, `" style="position:fixed;inset:0" onmouseover="`+run, `";`+run+`//`, `';`+run+`//`, `\";`+run+`//`, `\u0022;`+run+`//`, `</script><script>`+run+`</script>`,
		`{{constructor.constructor('`+run+`')()}}`, `${`+run+`}`, "`${"+run+"}`", `#{`+run+`}`, `<%= `+run+` %>`, `{%`+run+`%}`, `{{.}}`, `{{template "x"}}`, `javascript:`+run, `JaVaScRiPt:`+run, "java\tscript:"+run, ` javascript:`+run, `data:text/html,<script>`+run+`</script>`, `data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==`, `vbscript:msgbox(1)`,
		`//evil.invalid/`, `/\evil.invalid`, `https://evil.invalid/`, "\uff1cscript\uff1e"+run+"\uff1c/script\uff1e", "\u202e<script>"+run+"</script>", "<\u200bscript>"+run+"</script>", "\ufeff<script>"+run+"</script>", `+ADw-script+AD4-`+run+`+ADw-/script+AD4-`, "\u00bcscript\u00be"+run+"\u00bc/script\u00be", `&lt;script&gt;`+run+`&lt;/script&gt;`, `&#60;script&#62;`+run, `\x3cscript\x3e`+run, `%3Cscript%3E`+run+`%3C/script%3E`, "<scr\u0130pt>"+run+"</scr\u0130pt>", "\u017fcript:<\u017fcript>"+run+"</\u017fcript>",
		"*{background:url(//evil.invalid/c)}", "}</style><script>"+run+"</script>", "url('javascript:"+run+"')", `[x](javascript:`+run+`)`, `![x](//evil.invalid/m.png)`, `<https://evil.invalid/>`, `=HYPERLINK("//evil.invalid/","x")`, "%0d%0aSet-Cookie:pwned=1", "\r\n\r\n<script>"+run+"</script>")
}

// bait is a resource with § in every place that takes a text.
var bait = []string{
	`{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"§"}],"text":"§"}],"code":{"coding":[{"system":"http://loinc.org","code":"2160-0","display":"§"}],"text":"§"},"subject":PATIENT,"effectiveDateTime":"2026-11-20","valueQuantity":{"value":1.5,"unit":"§","system":"http://unitsofmeasure.org","code":"mg/dL"},"interpretation":[{"text":"§"}],"referenceRange":[{"text":"§","appliesTo":[{"text":"§"}]}],"note":[{"text":"§"}],"method":{"text":"§"},"performer":[{"display":"§"}]}`,
	`{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"text":"§"},"subject":PATIENT,"effectiveDateTime":"2026-11-20","valueString":"§","component":[{"code":{"text":"§"},"valueCodeableConcept":{"text":"§"}}]}`,
	`{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"§"}],"text":"§"},"subject":PATIENT,"effectiveDateTime":"2026-11-20T10:00:00Z","valueQuantity":{"value":70,"unit":"§","system":"http://unitsofmeasure.org","code":"/min"},"note":[{"text":"§"}]}`,
	`{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"social-history"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"72166-2","display":"§"}],"text":"§"},"subject":PATIENT,"effectiveDateTime":"2026-11-20","valueCodeableConcept":{"text":"§"}}`,
	`{"resourceType":"Condition","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-category","code":"problem-list-item"}]}],"severity":{"text":"§"},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"E11.9","display":"§"}],"text":"§"},"bodySite":[{"text":"§"}],"subject":PATIENT,"onsetString":"§","note":[{"text":"§"}],"recorder":{"display":"§"}}`,
	`{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"860975","display":"§"}],"text":"§"},"subject":PATIENT,"authoredOn":"2026-11-20","requester":{"display":"§"},"reasonCode":[{"text":"§"}],"note":[{"text":"§"}],"dosageInstruction":[{"text":"§","patientInstruction":"§","additionalInstruction":[{"text":"§"}],"route":{"text":"§"},"site":{"text":"§"},"asNeededCodeableConcept":{"text":"§"}}],"dispenseRequest":{"quantity":{"value":30,"unit":"§"},"performer":{"display":"§"}}}`,
	`{"resourceType":"AllergyIntolerance","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"active"}]},"code":{"text":"§"},"patient":PATIENT,"note":[{"text":"§"}],"reaction":[{"substance":{"text":"§"},"manifestation":[{"text":"§"}],"description":"§","exposureRoute":{"text":"§"}}]}`,
	`{"resourceType":"Encounter","status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB","display":"§"},"type":[{"text":"§"}],"serviceType":{"text":"§"},"subject":PATIENT,"participant":[{"individual":{"display":"§"}}],"period":{"start":"2026-11-19T10:00:00Z"},"reasonCode":[{"text":"§"}],"location":[{"location":{"display":"§"}}]}`,
	`{"resourceType":"DocumentReference","status":"current","type":{"text":"§"},"category":[{"text":"§"}],"subject":PATIENT,"date":"2026-11-20T10:00:00Z","author":[{"display":"§"}],"description":"§","content":[{"attachment":{"contentType":"text/html","title":"§","url":"javascript:alert(1)","data":"PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="}}]}`,
	`{"resourceType":"DiagnosticReport","status":"final","code":{"text":"§"},"subject":PATIENT,"effectiveDateTime":"2026-11-20","issued":"2026-11-20T10:00:00Z","performer":[{"display":"§"}],"conclusion":"§","conclusionCode":[{"text":"§"}],"presentedForm":[{"contentType":"text/html","title":"§","data":"PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="}]}`,
	`{"resourceType":"Immunization","status":"completed","statusReason":{"text":"§"},"vaccineCode":{"text":"§"},"patient":PATIENT,"occurrenceString":"§","lotNumber":"§","site":{"text":"§"},"note":[{"text":"§"}]}`,
	`{"resourceType":"Procedure","status":"completed","code":{"text":"§"},"subject":PATIENT,"performedString":"§","outcome":{"text":"§"},"note":[{"text":"§"}]}`,
	`{"resourceType":"Composition","status":"final","type":{"coding":[{"system":"http://loinc.org","code":"11506-3","display":"§"}],"text":"§"},"subject":PATIENT,"date":"2026-11-20T10:00:00Z","author":[{"display":"§"}],"title":"§","section":[{"title":"§","code":{"text":"§"},"text":{"status":"additional","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>ESCAPED</p></div>"}}]}`,
	`{"resourceType":"Flag","status":"active","category":[{"text":"§"}],"code":{"text":"§"},"subject":PATIENT}`,
	`{"resourceType":"CarePlan","status":"active","intent":"plan","title":"§","description":"§","subject":PATIENT,"note":[{"text":"§"}]}`,
	`{"resourceType":"Goal","lifecycleStatus":"active","description":{"text":"§"},"subject":PATIENT,"note":[{"text":"§"}]}`,
	`{"resourceType":"ServiceRequest","status":"active","intent":"order","code":{"text":"§"},"subject":PATIENT,"patientInstruction":"§","note":[{"text":"§"}],"reasonCode":[{"text":"§"}]}`,
	`{"resourceType":"FamilyMemberHistory","status":"completed","patient":PATIENT,"name":"§","relationship":{"text":"§"},"condition":[{"code":{"text":"§"},"note":[{"text":"§"}]}]}`,
	`{"resourceType":"Task","status":"requested","intent":"order","description":"§","for":PATIENT,"note":[{"text":"§"}],"code":{"text":"§"}}`,
	`{"resourceType":"Communication","status":"completed","subject":PATIENT,"topic":{"text":"§"},"payload":[{"contentString":"§"}],"note":[{"text":"§"}]}`,
	`{"resourceType":"Coverage","status":"active","beneficiary":PATIENT,"subscriberId":"§","payor":[{"display":"§"}],"class":[{"type":{"text":"§"},"value":"§","name":"§"}]}`,
	`{"resourceType":"RelatedPerson","patient":PATIENT,"relationship":[{"text":"§"}],"name":[{"text":"§","family":"§","given":["§"]}],"telecom":[{"system":"url","value":"§"}]}`,
	`{"resourceType":"Consent","status":"active","scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy","display":"§"}],"text":"§"},"category":[{"coding":[{"system":"http://loinc.org","code":"59284-0","display":"§"}],"text":"§"}],"patient":PATIENT,"dateTime":"2026-11-20","performer":[{"display":"§"}],"policyRule":{"text":"§"},"provision":{"type":"deny","actor":[{"role":{"text":"§"},"reference":{"display":"§"}}]}}`,
}

const baitedPatient = `{"resourceType":"Patient","identifier":[{"system":"urn:oid:2.16.840.1.113883.19.5","value":"§","type":{"text":"§"}}],"name":[{"use":"official","text":"§","family":"§","given":["§","§"],"prefix":["§"],"suffix":["§"]},{"use":"nickname","given":["§"]}],"birthDate":"1980-01-01","gender":"female","address":[{"text":"§","line":["§"],"city":"§","state":"§","postalCode":"§","country":"§"}],"contact":[{"name":{"family":"§"},"relationship":[{"text":"§"}]}],"communication":[{"language":{"coding":[{"system":"urn:ietf:bcp:47","code":"en","display":"§"}],"text":"§"}}],"maritalStatus":{"text":"§"},"generalPractitioner":[{"display":"§"}]}`

// filler puts one script after the other in the places of baits.
type filler struct {
	all []string
	n   int
}

func (f *filler) next() string { f.n++; return f.all[f.n%len(f.all)] }

func (f *filler) fill(template, patient string) string {
	parts := strings.Split(strings.ReplaceAll(template, "PATIENT", `{"reference":"`+patient+`"}`), "§")
	var b strings.Builder
	for i, p := range parts {
		b.WriteString(p)
		if i < len(parts)-1 {
			s := strings.Map(func(r rune) rune { // what no string of FHIR may hold
				if r < ' ' && r != '\t' || r == 0x200b {
					return ' '
				}
				return r
			}, f.next())
			raw, _ := json.Marshal(strings.TrimSpace(s))
			b.Write(raw[1 : len(raw)-1])
		}
	}
	return strings.ReplaceAll(b.String(), "ESCAPED", "&lt;script>alert(1)&lt;/script>")
}

// inDOM finds what would run in the page as it stands, and whether something did.
const inDOM = `(() => {
  const bad = [], own = location.origin;
  if (window.pwned) bad.push('a script ran');
  for (const e of document.querySelectorAll('*')) {
    const tag = e.localName;
    if (tag === 'script' && (!e.src || new URL(e.src).origin !== own) || ['iframe', 'object', 'embed', 'base', 'portal', 'math', 'foreignobject', 'marquee'].includes(tag) || tag === 'style' && /evil/.test(e.textContent)) bad.push(e.outerHTML.slice(0, 200));
    for (const a of e.attributes) {
      const v = a.value.replace(/[\u0000-\u0020]/g, '').toLowerCase();
      if (a.name.startsWith('on') || /^(data-)?hx-on/.test(a.name) || a.name === 'srcdoc' || a.name === 'style' && /evil|expression/.test(v) ||
          ['href', 'src', 'action', 'formaction', 'xlink:href', 'data', 'poster', 'background', 'content', 'ping', 'srcset', 'hx-get', 'hx-post', 'data-hx-get', 'hx-vals'].includes(a.name) && /^(javascript|vbscript|data:text|js):|^(\w+:)?[\/\\]{2}evil\.invalid/.test(v) && tag !== 'meta')
        bad.push(tag + ' ' + a.name + '=' + a.value.slice(0, 150));
    }
  }
  return bad;
})()`

// forms gives every form of a page that does no harm to the visit, with the text fields empty.
const forms = `[...document.querySelectorAll('form')].filter(f => (f.getAttribute('method') || '').toLowerCase() === 'post' && !/sign-out|lock|sessions|disable|disconnect|language|totp|passkey|codes|sign-in|\/security$|\/roles$|reset|theme|density|keys$/.test(f.action)).map(f => ({
  action: new URL(f.action, location.href).pathname, values: [...new FormData(f)].filter(([k, v]) => typeof v === 'string'),
  texts: [...f.elements].filter(e => e.name && (e.localName === 'textarea' || e.localName === 'input' && ['text', 'search', 'email', 'tel', 'url'].includes(e.type))).map(e => e.name)}))`

var opaque = regexp.MustCompile(`/[0-9]+(/|$)|/[0-9a-zA-Z-]*[0-9][0-9a-zA-Z-]{6,}|\?.*`)

// walker is a browser that looks at every screen it finds a way to.
type walker struct {
	*webtest.Window
	t     *testing.T
	base  string
	seen  map[string]bool
	kinds map[string]int
	pages int
	shown int // pages that show what was written, as text
}

// look opens a page and judges it; it gives the addresses that it links to.
func (w *walker) look(path string) (links []string) {
	w.pages++
	if err := chromedp.Run(w.Ctx, chromedp.Navigate(w.base+path)); err != nil && !strings.Contains(err.Error(), "ERR_ABORTED") {
		w.t.Errorf("%s: %v", path, err)
		return nil
	}
	var bad []string
	var shows bool
	w.Do(chromedp.Sleep(30*time.Millisecond), chromedp.Evaluate(inDOM, &bad), chromedp.Evaluate(`document.body.textContent.includes('alert(1)')`, &shows),
		chromedp.Evaluate(`[...document.querySelectorAll('a[href]')].map(a => new URL(a.href, location.href)).filter(u => u.origin === location.origin && u.pathname.startsWith('/demo/')).map(u => u.pathname + u.search)`, &links))
	for _, b := range bad {
		w.t.Errorf("%s holds %s", path, b)
	}
	if shows {
		w.shown++
	}
	w.Blame(path)
	return links
}

// walk looks at up to n screens from the given ones on, some of each kind.
func (w *walker) walk(n, each int, from ...string) {
	for w.pages = 0; len(from) > 0 && w.pages < n; {
		path := from[0]
		from = from[1:]
		kind := opaque.ReplaceAllString(path, "/~/")
		if w.seen[path] || w.kinds[kind] >= each || strings.Contains(path, "/export/") || strings.HasSuffix(path, "/receipt") || strings.HasSuffix(path, "/checkpoint") || strings.HasSuffix(path, "/copy") {
			continue
		}
		w.seen[path] = true
		w.kinds[kind]++
		from = append(from, w.look(path)...)
	}
}

// T-21. Nothing that is written into a field, through the interface for programs or the forms, runs in any screen.
func TestNothingRunsInAPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	h := &house{t: t, dir: dir, place: []string{"--data", dir}, client: http.DefaultClient}
	begin(t, h.command("demo", "--listen", "127.0.0.1:0", "--patients", "12"), &h.log, "file://"+filepath.Join(dir, "demo.json"))
	var demo struct {
		URL      string
		Patients []struct{ ID string }
	}
	raw, err := os.ReadFile(filepath.Join(dir, "demo.json"))
	if err != nil || json.Unmarshal(raw, &demo) != nil {
		t.Fatal("no demo.json")
	}
	h.at = strings.TrimPrefix(demo.URL, "http://")
	token := h.token("demo")
	bearer := []string{"Authorization", "Bearer " + token, "Content-Type", "application/fhir+json"}
	f := &filler{all: scripts()}
	if len(f.all) < 250 {
		t.Fatalf("%d scripts", len(f.all))
	}
	var charts []string
	refused := 0
	for range 8 {
		a := h.ask("POST", "/demo/fhir/Patient", f.fill(baitedPatient, ""), bearer...)
		if a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.text())
		}
		at := strings.Split(a.header.Get("Location"), "/")
		id := at[slices.Index(at, "Patient")+1]
		charts = append(charts, id)
		for _, template := range bait {
			body := f.fill(template, "Patient/"+id)
			a := h.ask("POST", "/demo/fhir/"+strings.Split(template, `"`)[3], body, bearer...)
			if a.status != http.StatusCreated {
				refused++
				if refused < 4 {
					t.Logf("refused: %d %s", a.status, a.text())
				}
			}
		}
	}
	if refused > 20 {
		t.Errorf("%d of %d resources were refused: little is tried", refused, 8*len(bait))
	}
	// Narrative that is not harmless is refused, or comes out harmless.
	for _, s := range f.all[:60] {
		div, _ := json.Marshal(`<div xmlns="http://www.w3.org/1999/xhtml">` + s + `</div>`)
		a := h.ask("POST", "/demo/fhir/Basic", `{"resourceType":"Basic","code":{"text":"x"},"text":{"status":"generated","div":`+string(div)+`}}`, bearer...)
		if a.status >= 500 {
			t.Errorf("narrative %q: %d", s, a.status)
		}
	}

	win := webtest.Open(t, demo.URL, 4*time.Minute)
	win.Size(1200, 900, "light")
	w := &walker{Window: win, t: t, base: demo.URL, seen: map[string]bool{}, kinds: map[string]int{}}
	chromedp.ListenTarget(win.Ctx, func(ev any) {
		if e, ok := ev.(*page.EventJavascriptDialogOpening); ok {
			win.Note("a dialog opened: " + e.Message)
			go chromedp.Run(win.Ctx, page.HandleJavaScriptDialog(false))
		}
	})
	t.Run("control", func(t *testing.T) { // what is looked for is found where it is
		var bad []string
		win.Do(chromedp.Navigate(demo.URL+"/demo/sign-in"), chromedp.Evaluate(`document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="pwned=1"><a href="java\tscript:1">x</a><iframe srcdoc="x"></iframe>')`, nil), chromedp.Sleep(300*time.Millisecond), chromedp.Evaluate(inDOM, &bad))
		if len(bad) < 3 || slices.Contains(bad, "a script ran") {
			t.Errorf("the page holds %q", bad)
		}
		if n := len(win.Take()); n == 0 {
			t.Error("the policy's refusal was not noticed")
		}
	})
	as := func(person string) {
		browser := (&house{t: t, at: h.at, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}).visitor("demo", "127.0.0.1")
		if a := browser.post("/sign-in/demo", url.Values{"person": {person}}); a.status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.status, a.text())
		}
		for name, value := range browser.cookies {
			win.Do(network.SetCookie(name, value).WithURL(demo.URL).WithHTTPOnly(true))
		}
	}
	// submit fills every form of a page and sends it as the page would.
	sent := 0
	submit := func(path string) {
		var all []struct {
			Action string
			Values [][2]string
			Texts  []string
		}
		win.Do(chromedp.Navigate(demo.URL+path), chromedp.Evaluate(forms, &all))
		for _, form := range all {
			v := url.Values{}
			for _, kv := range form.Values {
				v.Add(kv[0], kv[1])
			}
			for _, name := range form.Texts {
				v.Set(name, strings.TrimSpace(f.next()))
			}
			var status int
			js := fmt.Sprintf(`fetch(%q, {method: 'POST', redirect: 'manual', headers: {'Content-Type': 'application/x-www-form-urlencoded'}, body: %q}).then(r => r.status)`, form.Action, v.Encode())
			win.Do(chromedp.Evaluate(js, &status, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
			if sent++; status >= 500 {
				t.Errorf("%s sent to %s: %d", v.Encode(), form.Action, status)
			}
		}
		win.Take() // refused forms are noted by the browser; the pages that show what was taken are judged below
	}
	echo := func(path string) { // what is sent stands in the answer
		for range 2 {
			w.look(path + url.QueryEscape(f.next()))
		}
	}

	as("1") // a doctor
	for _, p := range append(charts[:2:2], demo.Patients[0].ID) {
		for _, form := range []string{"/problems/new", "/medications/new", "/allergies/new", "/vitals/new", "/privacy", "/restricted", ""} {
			submit("/demo/patients/" + p + form)
		}
	}
	submit("/demo/patients/new")
	submit("/demo/schedule/new?patient=" + charts[0])
	start := []string{"/demo/schedule", "/demo/patients", "/demo/apps", "/demo/drafts", "/demo/docs/api/Patient"}
	for _, id := range charts {
		start = append(start, "/demo/patients/"+id)
	}
	w.walk(60, 5, start...)
	echo("/demo/patients?q=")
	echo("/demo/nothing/")
	echo("/demo/patients/")
	echo("/demo/docs/api/")
	doctor := w.pages

	as("7") // an administrator
	for _, path := range []string{"/demo/people/new", "/demo/support", "/demo/apps/programs/new", "/demo/agreement", "/demo/privacy", "/demo/audit", "/demo/audit/review", "/demo/patients/new", "/demo/patients/" + charts[0] + "/privacy"} {
		submit(path)
	}
	w.seen, w.kinds = map[string]bool{}, map[string]int{}
	w.walk(45, 3, "/demo/practice", "/demo/people", "/demo/audit", "/demo/audit/review", "/demo/support", "/demo/apps", "/demo/privacy", "/demo/roles", "/demo/agreement", "/demo/patients", "/demo/patients/"+charts[0]+"/access", "/demo/patients/"+charts[0]+"/disclosures")
	for _, path := range []string{"/demo/audit?who=", "/demo/audit?action=", "/demo/audit?from=", "/demo/audit?sort=", "/demo/roles/view?role=", "/demo/audit/entries/", "/demo/apps/programs/", "/demo/oauth/authorize?client_id=", "/demo/oauth/authorize?response_type=code&client_id=demo-app&redirect_uri="} {
		echo(path)
	}
	admin := w.pages
	win.Do(network.ClearBrowserCookies())
	for _, path := range []string{"/demo/sign-in?to=", "/demo/unlock?to=", "/demo/join?invite=", "/", "/demo/fhir/Patient?_format=html&name=", "/demo/fhir/"} {
		echo(path)
	}
	if w.shown < 40 || sent < 30 {
		t.Errorf("%d screens show what was written, %d forms were sent: little was tried", w.shown, sent)
	}
	t.Logf("%d scripts in %d places, %d forms; %d screens, of which %d show some", len(f.all), f.n, sent, doctor+admin, w.shown)
}
