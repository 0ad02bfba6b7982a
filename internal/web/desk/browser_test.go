package desk_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdprt "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/scheduling"
)

// window is a browser on the front desk that notes everything the page complains about.
type window struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string
}

func look(t *testing.T, f *front) *window {
	t.Helper()
	srv := httptest.NewServer(f.router)
	t.Cleanup(srv.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, done := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(done)
	w := &window{t: t, ctx: ctx, base: strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + "/millrace"}
	chromedp.ListenTarget(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.LevelError && !strings.Contains(ev.Entry.Text, "status of 4") {
				w.complain(ev.Entry.Text)
			}
		case *cdprt.EventExceptionThrown:
			w.complain(ev.ExceptionDetails.Error())
		}
	})
	w.do(log.Enable(), network.Enable())
	return w
}

func (w *window) complain(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, s)
}

func (w *window) do(a ...chromedp.Action) {
	w.t.Helper()
	if err := chromedp.Run(w.ctx, a...); err != nil {
		w.t.Fatal(err)
	}
}

// signIn gives the window a session.
func (w *window) signIn(token string) {
	w.t.Helper()
	w.do(network.SetCookie("yarrow-session-millrace", token).WithURL(w.base).WithHTTPOnly(true))
}

func (w *window) size(width, height int64, theme string) {
	w.t.Helper()
	w.do(emulation.SetDeviceMetricsOverride(width, height, 1, width < 500),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
}

// picture keeps a screenshot for people, when YARROW_ARTEFACTS names a folder, and checks that the page does not scroll sideways.
func (w *window) picture(name string) {
	w.t.Helper()
	var overflow int
	var b []byte
	w.do(chromedp.Sleep(150*time.Millisecond), chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow),
		chromedp.ActionFunc(func(ctx context.Context) (err error) {
			b, err = page.CaptureScreenshot().Do(ctx)
			return err
		}))
	if overflow > 0 {
		w.t.Errorf("%s: the page is %d px wider than the window", name, overflow)
	}
	if dir := os.Getenv("YARROW_ARTEFACTS"); dir != "" {
		if err := os.MkdirAll(filepath.Join(dir, "desk"), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "desk", name+".png"), b, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	compareGolden(w.t, name, b)
	w.axe(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.problems {
		w.t.Errorf("%s: the page complains: %s", name, p)
	}
	w.problems = nil
}

// axe looks for what keeps people out (WCAG 2.0 to 2.2, A and AA, and good practice). It comes in through the debugger, since the
// page's own policy lets no foreign script in.
func (w *window) axe(name string) {
	w.t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "..", "web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		w.t.Fatal("run make assets first: ", err)
	}
	var found []string
	w.do(chromedp.Evaluate(string(src), nil), chromedp.Evaluate(`axe.run({runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]}).then(r =>
		r.violations.map(v => v.id + ": " + v.help + " at " + v.nodes.slice(0, 4).map(n => n.target.join(" ")).join(", ")))`, &found,
		func(p *cdprt.EvaluateParams) *cdprt.EvaluateParams { return p.WithAwaitPromise(true) }))
	for _, f := range found {
		w.t.Errorf("%s: %s", name, f)
	}
}

func TestDeskInABrowser(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	ids := f.day(t)
	w := look(t, f)
	for _, theme := range []string{"light", "dark"} {
		w.size(1440, 900, theme)
		w.do(network.ClearBrowserCookies(), chromedp.Navigate(w.base+"/sign-in"))
		w.picture("sign-in-" + theme)
		w.signIn(f.tokens["quill"])
		w.do(chromedp.Navigate(w.base + "/schedule"))
		w.picture("schedule-" + theme)
		w.do(chromedp.Navigate(w.base + "/schedule?open=" + ids[0]))
		w.picture("schedule-detail-" + theme)
		w.do(chromedp.Navigate(w.base+"/patients"), chromedp.KeyEvent("k", chromedp.KeyModifiers(2)), until(`document.querySelector("#pallist [role=option]")`))
		w.picture("palette-" + theme)
		w.do(chromedp.Navigate(w.base + "/patients"))
		w.picture("patients-" + theme)
		w.do(chromedp.Navigate(w.base + "/patients/new"))
		w.picture("register-" + theme)
		w.do(chromedp.Navigate(w.base + "/account/security"))
		w.picture("account-" + theme)
		w.do(chromedp.Navigate(w.base + "/patients/p0"))
		w.picture("chart-" + theme)
		w.do(chromedp.Navigate(w.base + "/components"))
		w.picture("components-" + theme)
		w.do(chromedp.Navigate(w.base + "/keys"))
		w.picture("keys-" + theme)
		w.do(chromedp.Navigate(w.base + "/schedule/new"))
		w.picture("book-" + theme)
	}
	w.size(390, 844, "light")
	for _, p := range []string{"schedule", "schedule?open=" + ids[0], "patients", "patients/new", "account/security", "patients/p0", "components"} {
		w.do(chromedp.Navigate(w.base + "/" + p))
		name, _, _ := strings.Cut(strings.ReplaceAll(p, "/", "-"), "?")
		if strings.Contains(p, "?") {
			name += "-detail"
		}
		w.picture("phone-" + name)
	}
	w.do(network.ClearBrowserCookies(), chromedp.Navigate(w.base+"/sign-in"))
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
	w.size(1440, 900, "light")
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
		if err := chromedp.Run(w.ctx, s.do...); err != nil {
			var where string
			_ = chromedp.Run(w.ctx, chromedp.Evaluate(`location.href + " " + document.activeElement.outerHTML.slice(0, 200) + " " + document.title`, &where))
			w.picture("failed")
			t.Fatalf("%s: %v at %s", s.name, err, where)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.problems {
		t.Errorf("the page complains: %s", p)
	}
}

// TestNewsReachesThePage has two tabs of one browser share a stream: what the desk does shows on both without a reload.
func TestNewsReachesThePage(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	f.Patient(t, "ann", "Ash-Okoro", "Ann", "1968-03-14", "female", "00482913")
	id := f.visit(t, "ann", "doc1", 60, 20, "Follow-up", "Blood pressure", scheduling.Booked)
	w := look(t, f)
	w.signIn(f.tokens["quill"])
	w.do(chromedp.Navigate(w.base+"/schedule"), until(`document.querySelector(".ap.s-booked")`))
	second, cancel := chromedp.NewContext(w.ctx)
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
	w.do(until(`document.querySelector(".ap.s-arrived")`))
	if err := chromedp.Run(second, until(`document.querySelector(".ap.s-arrived")`)); err != nil {
		t.Fatal(err)
	}
	if len(f.bells) != 0 {
		t.Errorf("%d more streams than one for the browser", len(f.bells))
	}
	if err := chromedp.Run(second, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	w.do(chromedp.Navigate("about:blank"))
	select {
	case <-b.gone:
	case <-w.ctx.Done():
		t.Error("the stream outlives its tabs")
	}
}
