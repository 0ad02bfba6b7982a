package desk_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/web/webtest"
)

// window is a browser on the front desk.
type window struct {
	*webtest.Window
	base string
}

func look(t *testing.T, f *front) *window {
	t.Helper()
	srv := httptest.NewServer(f.router)
	t.Cleanup(srv.Close)
	origin := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return &window{webtest.Open(t, origin, 90*time.Second), origin + "/millrace"}
}

// signIn gives the window a session.
func (w *window) signIn(token string) {
	w.T.Helper()
	w.Do(network.SetCookie("yarrow-session-millrace", token).WithURL(w.base).WithHTTPOnly(true))
}

// picture looks at the page as it stands and compares it with the picture that was agreed on.
func (w *window) picture(name string) {
	w.T.Helper()
	compareGolden(w.T, name, w.Inspect("desk", name))
}

func TestDeskInABrowser(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	ids := f.day(t)
	w := look(t, f)
	for _, theme := range []string{"light", "dark"} {
		w.Size(1440, 900, theme)
		w.Do(network.ClearBrowserCookies(), chromedp.Navigate(w.base+"/sign-in"))
		w.picture("sign-in-" + theme)
		w.signIn(f.tokens["quill"])
		w.Do(chromedp.Navigate(w.base + "/schedule"))
		w.picture("schedule-" + theme)
		w.Do(chromedp.Navigate(w.base + "/schedule?open=" + ids[0]))
		w.picture("schedule-detail-" + theme)
		w.Do(chromedp.Navigate(w.base+"/patients"), chromedp.KeyEvent("k", chromedp.KeyModifiers(2)), until(`document.querySelector("#pallist [role=option]")`))
		w.picture("palette-" + theme)
		w.Do(chromedp.Navigate(w.base + "/patients"))
		w.picture("patients-" + theme)
		w.Do(chromedp.Navigate(w.base + "/patients/new"))
		w.picture("register-" + theme)
		w.Do(chromedp.Navigate(w.base + "/account/security"))
		w.picture("account-" + theme)
		w.Do(chromedp.Navigate(w.base + "/patients/p0"))
		w.picture("chart-" + theme)
		w.Do(chromedp.Navigate(w.base + "/components"))
		w.picture("components-" + theme)
		w.Do(chromedp.Navigate(w.base + "/keys"))
		w.picture("keys-" + theme)
		w.Do(chromedp.Navigate(w.base + "/schedule/new"))
		w.picture("book-" + theme)
	}
	w.Size(390, 844, "light")
	for _, p := range []string{"schedule", "schedule?open=" + ids[0], "patients", "patients/new", "account/security", "patients/p0", "components"} {
		w.Do(chromedp.Navigate(w.base + "/" + p))
		name, _, _ := strings.Cut(strings.ReplaceAll(p, "/", "-"), "?")
		if strings.Contains(p, "?") {
			name += "-detail"
		}
		w.picture("phone-" + name)
	}
	w.Do(network.ClearBrowserCookies(), chromedp.Navigate(w.base+"/sign-in"))
	w.picture("phone-sign-in")
}

// until waits for an expression of the page to become true, across pages.
func until(js string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for range 200 {
			var ok bool
			if err := chromedp.Evaluate("!!("+js+")", &ok).Do(ctx); err == nil && ok {
				return nil
			}
			if err := chromedp.Sleep(40 * time.Millisecond).Do(ctx); err != nil {
				return err
			}
		}
		return fmt.Errorf("never came true: %s", js)
	})
}

func (w *window) keys(s string) chromedp.Action { return chromedp.KeyEvent(s) }

// TestDeskByKeyboard walks through a morning without a mouse.
func TestDeskByKeyboard(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	f.day(t)
	w := look(t, f)
	w.Size(1440, 900, "light")
	w.signIn(f.tokens["quill"])
	ready := until(`document.readyState === "complete" && (!document.querySelector("[hx-get],[hx-post]") || document.querySelector("[data-htmx-powered]"))`)
	steps := []struct {
		name string
		do   []chromedp.Action
	}{
		{"a visit is opened", []chromedp.Action{chromedp.Navigate(w.base + "/schedule"), ready, w.keys("j"), w.keys("j"), w.keys("\r"), until(`document.querySelector("#det h2")`)}},
		{"it moves on and says so", []chromedp.Action{w.keys("e"), until(`document.querySelector(".toast form")`), ready}},
		{"and is taken back", []chromedp.Action{w.keys("u"), until(`document.querySelector(".toast") && !document.querySelector(".toast form")`), ready}},
		{"escape closes it", []chromedp.Action{chromedp.Navigate(w.base + "/schedule"), ready, w.keys("j"), w.keys("\r"), until(`document.querySelector("#det h2")`), w.keys("\u001b"), until(`!document.querySelector("#det h2")`)}},
		{"the palette finds a patient", []chromedp.Action{ready, chromedp.KeyEvent("k", chromedp.KeyModifiers(2)), until(`document.querySelector("#pallist [role=option]")`), w.keys("vanton marisol"), w.keys("\r"), until(`location.pathname.endsWith("/patients/p0")`)}},
		{"keys lead on", []chromedp.Action{ready, w.keys("?"), until(`location.pathname.endsWith("/keys")`), ready, w.keys("g"), w.keys("p"), until(`location.pathname.endsWith("/patients")`)}},
		{"the list answers", []chromedp.Action{ready, w.keys("/"), until(`document.activeElement.id === "f-q"`), w.keys("birchx"), w.keys("\b\b\b\b\b\b"), w.keys("petro"), until(`document.querySelectorAll("#hits tbody tr").length === 1`)}},
		{"booking opens in a dialog", []chromedp.Action{chromedp.Navigate(w.base + "/schedule"), ready, w.keys("b"), until(`document.querySelector("#dlg[open] #f-find")`), until(`document.activeElement.id === "f-find"`)}},
		{"and finds the patient there", []chromedp.Action{w.keys("adeb"), w.keys("\r"), until(`document.querySelector("#dlg[open] [name=choose], #dlg[open] input[name=patient][value^=p]")`)}},
		{"the theme stays", []chromedp.Action{chromedp.Navigate(w.base + "/patients"), ready, chromedp.Evaluate(`document.querySelector('form[action$="/theme"] button').click()`, nil), until(`document.documentElement.dataset.theme === "dark"`)}},
		{"locked by keys", []chromedp.Action{ready, w.keys("g"), w.keys("l"), until(`location.pathname.endsWith("/unlock")`)}},
	}
	for _, s := range steps {
		if err := webtest.Run(w.Ctx, s.do...); err != nil {
			var where string
			_ = chromedp.Run(w.Ctx, chromedp.Evaluate(`location.href + " " + document.activeElement.outerHTML.slice(0, 200) + " " + document.title`, &where))
			w.picture("failed")
			t.Fatalf("%s: %v at %s", s.name, err, where)
		}
	}
	w.Blame("the keyboard")
}

// TestNewsReachesThePage has two tabs of one browser share a stream: what the desk does shows on both without a reload.
func TestNewsReachesThePage(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	f.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	id := f.visit(t, "ann", "doc1", 60, 20, "Follow-up", "Blood pressure", scheduling.Booked)
	w := look(t, f)
	w.signIn(f.tokens["quill"])
	w.Do(chromedp.Navigate(w.base+"/schedule"), until(`document.querySelector(".ap.s-booked")`))
	second, cancel := chromedp.NewContext(w.Ctx)
	defer cancel()
	if err := chromedp.Run(second, chromedp.Navigate(w.base+"/schedule"), until(`document.querySelector(".ap.s-booked")`)); err != nil {
		t.Fatal(err)
	}
	b := <-f.bells
	block, err := f.Book.Appointment(ctx, f.Desk, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Book.SetStatus(ctx, f.Desk, id, block.Version, scheduling.Arrived, ""); err != nil {
		t.Fatal(err)
	}
	b.ring <- struct{}{}
	w.Do(until(`document.querySelector(".ap.s-arrived")`))
	if err := chromedp.Run(second, until(`document.querySelector(".ap.s-arrived")`)); err != nil {
		t.Fatal(err)
	}
	if len(f.bells) != 0 {
		t.Errorf("%d more streams than one for the browser", len(f.bells))
	}
	if err := chromedp.Run(second, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	w.Do(chromedp.Navigate("about:blank"))
	select {
	case <-b.gone:
	case <-w.Ctx.Done():
		t.Error("the stream outlives its tabs")
	}
}
