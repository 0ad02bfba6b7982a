package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pquerna/otp/totp"
)

// signInAs chooses a person on the demonstration's sign-in page.
func (v *visitor) signInAs(name string) {
	v.t.Helper()
	v.open("/demo/sign-in")
	v.do("choose "+name, chromedp.Click(`//button[@name='person'][contains(.,'`+name+`')]`, chromedp.BySearch), chromedp.WaitVisible(".rail", chromedp.ByQuery))
}

// today gives an id and a name of somebody who has a chart and an appointment today.
func (v *visitor) todaysPatient() (path string) {
	v.t.Helper()
	v.open("/demo/schedule")
	v.see(".day a.ap")
	v.eval(`document.querySelector('.day a.ap:not(.s-done):not(.s-noshow)').click()`, nil)
	v.do("open details", chromedp.WaitVisible("#det a[data-key=v]", chromedp.ByQuery), chromedp.AttributeValue("#det a[data-key=v]", "href", &path, nil, chromedp.ByQuery))
	return path
}

// The main job: sign in, find the patient, read the chart, add vital signs, write a note, sign it; the words survive the death of
// the server at any moment, and the note is there afterwards.
func TestMainJob(t *testing.T) {
	y := startDemo(t)
	v := visit(t, y.Demo.URL, desktop)
	v.open("/demo/schedule")
	v.says("Who are you today?")
	v.Accessible("sign-in")
	v.shot("1-sign-in")
	v.signInAs("Osei")
	v.see(".day")
	v.Accessible("schedule")
	v.shot("2-schedule")

	path := v.todaysPatient()
	v.open(path)
	v.see(".story")
	var title string
	v.do("title", chromedp.Title(&title))
	v.Accessible("chart")
	v.shot("3-chart")

	// Vital signs.
	v.click(`a[href$="/vitals/new"]`)
	for name, value := range map[string]string{"systolic": "128", "diastolic": "76", "hr": "68"} {
		v.fill("#f-"+name, value)
	}
	v.Accessible("vitals dialog")
	v.shot("4-vitals")
	v.click("#dlg [data-commit]")
	v.says("128/76")

	// The note: typed, kept, and still there after kill -9.
	v.do("new note", chromedp.Evaluate(`document.querySelector('.newnote button, [data-key=n]').click()`, nil))
	v.see("note-editor textarea:not([readonly])")
	v.do("write", chromedp.SendKeys("note-editor textarea", "Feels well since the last visit; walks daily.", chromedp.ByQuery))
	v.do("a pause for the autosave", chromedp.Sleep(2500*time.Millisecond))
	v.until("saved", `/\d\d:\d\d/.test(document.querySelector('note-editor [data-state]').innerText)`)
	v.Accessible("note editor")
	v.shot("5-note")
	where := v.where()
	y.restart()
	v.open(where)
	v.see("note-editor textarea")
	var kept string
	v.do("kept words", chromedp.Value("note-editor textarea", &kept, chromedp.ByQuery))
	if !strings.Contains(kept, "walks daily") {
		t.Errorf("after kill -9 the note says %q", kept)
	}
	v.do("fill what a template leaves blank", chromedp.WaitVisible("note-editor textarea:not([readonly])", chromedp.ByQuery),
		chromedp.Evaluate(`for (const t of document.querySelectorAll('note-editor textarea')) { if (/\*\*\*|___|\[\s*\]|…|\{\{/.test(t.value)) { t.value = t.value.replace(/\*\*\*|_{3,}|\[\s*\]|\{\{[^}]*\}\}/g, 'as before'); t.dispatchEvent(new Event('input', {bubbles: true})); } }`, nil),
		chromedp.Sleep(2500*time.Millisecond))
	v.do("sign", chromedp.WaitEnabled("note-editor [data-dosign]", chromedp.ByQuery), chromedp.Click("note-editor [data-dosign]", chromedp.ByQuery))
	v.says("Signed")
	v.says("walks daily")
	v.shot("6-signed")
	signed := v.where()
	y.restart()
	v.open(signed)
	v.says("walks daily")
	v.Accessible("signed note")
}

// Everything of the main job is reachable without a mouse.
func TestKeyboardOnly(t *testing.T) {
	y := startDemo(t)
	v := visit(t, y.Demo.URL, desktop)
	v.signInAs("Osei")
	if len(y.Demo.Patients) == 0 {
		t.Fatal("demo.json names no patients")
	}
	p := y.Demo.Patients[0]
	family := strings.ToLower(strings.SplitN(p.Name, ",", 2)[0])
	v.acts = 0
	v.press("k", chromedp.KeyModifiers(2)) // Ctrl+K
	v.see("#pal[open]")
	v.do("type a name", chromedp.SendKeys("#palq", family[:min(len(family), 5)], chromedp.ByQuery))
	v.until("found", `[...document.querySelectorAll('#pallist [role=option]')].some(o => o.id.startsWith('p-'))`)
	v.Accessible("palette")
	v.shot("palette")
	v.press(kb.Enter)
	v.see(".story")
	if v.acts > 2 {
		t.Errorf("opening a chart took %d actions beside the letters, want 2", v.acts)
	}
	v.key("5", "vitals page", `location.pathname.endsWith('/vitals') && document.readyState === 'complete'`) // before, V opens a page
	v.key("v", "vitals dialog", `!!document.querySelector('#dlg[open] #f-systolic')`)
	v.key(kb.Escape, "the dialog closes", `!document.querySelector('dialog[open]')`)
	v.key("1", "summary page", `!/(vitals|notes|results)$/.test(location.pathname) && !!document.querySelector('.story')`)
	v.key("g s", "schedule by G S", `location.pathname.endsWith('/schedule')`)
	v.key("?", "keys by ?", `location.pathname.endsWith('/keys')`)
	v.Accessible("keys")
}

// The screens people spend their day on, in every theme and width: clean of faults, within the page, and kept as pictures.
func TestScreensInEveryTheme(t *testing.T) {
	y := startDemo(t)
	for name, s := range map[string]screen{"light": desktop, "dark": desktopDark, "phone": phone, "phone-dark": phoneDark} {
		t.Run(name, func(t *testing.T) {
			v := visit(t, y.Demo.URL, s)
			v.signInAs("Osei")
			path := v.todaysPatient()
			for _, p := range []struct{ name, path string }{
				{"schedule", "/demo/schedule"}, {"patients", "/demo/patients"}, {"register", "/demo/patients/new"}, {"chart", path},
				{"timeline", path + "/timeline"}, {"results", path + "/results"}, {"vitals", path + "/vitals"}, {"notes", path + "/notes"}, {"lists", path + "/lists"},
				{"account", "/demo/account/security"}, {"components", "/demo/components"},
			} {
				v.open(p.path)
				v.Accessible(p.name + " " + name)
				var over int
				v.eval(`Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)`, &over)
				if over > 0 {
					t.Errorf("%s is %d px wider than the screen", p.name, over)
				}
				v.shot(p.name)
			}
		})
	}
}

// A person with a password and an authenticator app, as outside a demonstration.
func TestPasswordAndCode(t *testing.T) {
	y := startDemo(t)
	v := visit(t, y.Demo.URL, desktop)
	who := y.Demo.Staff[0]
	v.open("/demo/sign-in")
	v.fill("#f-login", who.Login)
	v.fill("#f-password", "not the password at all")
	v.fill("#f-code", "000000")
	v.do("wrong", chromedp.Submit("#f-login", chromedp.ByQuery))
	v.says("This did not work")
	code, err := totp.GenerateCode(who.TOTP, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v.fill("#f-password", who.Password)
	v.fill("#f-code", code)
	v.do("right", chromedp.Submit("#f-login", chromedp.ByQuery))
	v.see(".rail")
	v.do("sign out", chromedp.Evaluate(`document.querySelector('form[action$="/sign-out"]').submit()`, nil))
	v.see("#f-login")
	v.open("/demo/schedule")
	v.see("#f-login")
	if !strings.Contains(v.where(), "/sign-in") {
		t.Errorf("after signing out the schedule opens: %s", v.where())
	}
}

// Front desk: the flow of the day, with undo; and a chart that is closed to the role.
func TestFrontDesk(t *testing.T) {
	y := startDemo(t)
	v := visit(t, y.Demo.URL, desktop)
	v.signInAs("Moreau")
	v.see(".day a.ap")
	var id string
	v.do("somebody booked", chromedp.AttributeValue(".day a.ap.s-booked, .day a.ap.s-conf", "href", &id, nil, chromedp.ByQuery))
	v.acts = 0
	v.click(".day a.ap.s-booked, .day a.ap.s-conf")
	v.see("#det .act")
	v.do("arrive", chromedp.Click(`//aside[@id='det']//button[contains(.,'Arrived') or contains(.,'Arrive') or contains(.,'Check in')]`, chromedp.BySearch))
	v.see(".toast")
	v.shot("arrived")
	v.do("undo", chromedp.Click(".toast form button", chromedp.ByQuery))
	v.says("Booked")
	if len(y.Demo.Patients) > 0 {
		v.open(fmt.Sprintf("/demo/patients/%s", y.Demo.Patients[0].ID))
		v.says("closed to your role")
		v.Accessible("denied")
	}
}
