// Package e2e_test drives the real program through a real browser as the people do who use it, and watches what they would not
// see: console errors, refused content, requests that leave the machine, faults of accessibility.
package e2e_test

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const patience = 30 * time.Second

// browser starts a browser with a profile of its own, as a person has.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,AutofillServerCommunication"),
		chromedp.Flag("force-color-profile", "srgb"),
	)
	opts = append(opts, more...)
	if p, err := exec.LookPath("chromium"); err == nil {
		opts = append(opts, chromedp.ExecPath(p))
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("no browser: %v (apt-get install chromium)", err)
	}
	return ctx
}

var atEnd []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for i := len(atEnd) - 1; i >= 0; i-- {
		atEnd[i]()
	}
	os.Exit(code)
}

// visitor is one person at one browser.
type visitor struct {
	t    *testing.T
	ctx  context.Context
	base string
	mu   sync.Mutex
	bad  []string
	name string
	acts int      // keys and clicks so far
	also []string // hosts beside the server's own that the story leads to
}

type screen struct {
	width, height int64
	phone         bool
	theme         string // light, dark
}

var (
	desktop     = screen{width: 1440, height: 900, theme: "light"}
	desktopDark = screen{width: 1440, height: 900, theme: "dark"}
	phone       = screen{width: 390, height: 844, phone: true, theme: "light"}
	phoneDark   = screen{width: 390, height: 844, phone: true, theme: "dark"}
)

// visit opens a fresh browser for a person.
func visit(t *testing.T, base string, s screen, more ...chromedp.ExecAllocatorOption) *visitor {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser(t, more...), 5*time.Minute)
	t.Cleanup(cancel)
	v := &visitor{t: t, ctx: ctx, base: base, name: strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())}
	own, _ := url.Parse(base)
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				var words []string
				for _, a := range e.Args {
					words = append(words, string(a.Value)+a.Description)
				}
				v.note("console: " + strings.Join(words, " "))
			}
		case *runtime.EventExceptionThrown:
			v.note("script: " + e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			// A refused answer (401, 403, 404, 409, 422) is shown to the person by the page; the browser's own line about it is no fault.
			if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
				v.note("browser: " + e.Entry.Text + " " + e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			u, err := url.Parse(e.Request.URL)
			v.mu.Lock()
			known := err != nil || u.Host == own.Host || slices.Contains(v.also, u.Host)
			v.mu.Unlock()
			if !known && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "ws") {
				v.note("request to another host: " + u.Host)
			}
		}
	})
	err := chromedp.Run(ctx, log.Enable(), network.Enable(),
		emulation.SetDeviceMetricsOverride(s.width, s.height, 1, s.phone),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			v.shot("failed")
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, b := range v.bad {
			t.Error(b)
		}
	})
	return v
}

func (v *visitor) note(s string) {
	v.mu.Lock()
	v.bad = append(v.bad, s)
	v.mu.Unlock()
}

// do runs browser actions; a failure names where it happened and keeps a picture.
func (v *visitor) do(what string, actions ...chromedp.Action) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var where, text string
		chromedp.Run(v.ctx, chromedp.Location(&where), chromedp.Evaluate(`document.body.innerText.slice(0,1500)`, &text))
		v.shot("failed")
		v.t.Fatalf("%s: %v\nat %s\n%s", what, err, where, text)
	}
}

func (v *visitor) open(path string) {
	v.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = v.base + path
	}
	// A form that was just sent may still be on its way; the browser then gives up on the newer address.
	for range 3 {
		if err := chromedp.Run(v.ctx, chromedp.Navigate(path)); err == nil || !strings.Contains(err.Error(), "ERR_ABORTED") {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	v.until("open "+path, `document.readyState === 'complete' && location.href.split('#')[0] !== 'about:blank'`)
}

func (v *visitor) click(sel string) {
	v.t.Helper()
	v.acts++
	v.do("click "+sel, chromedp.WaitVisible(sel, chromedp.ByQuery), chromedp.Click(sel, chromedp.ByQuery))
}

func (v *visitor) fill(sel, text string) {
	v.t.Helper()
	v.acts++
	v.do("fill "+sel, chromedp.WaitVisible(sel, chromedp.ByQuery), chromedp.Clear(sel, chromedp.ByQuery), chromedp.SendKeys(sel, text, chromedp.ByQuery))
}

// press sends keys to whatever has the focus, as a keyboard does.
func (v *visitor) press(keys string, opts ...chromedp.KeyOption) {
	v.t.Helper()
	v.acts++
	v.until("the page is ready for keys", `document.readyState === 'complete'`)
	v.do("press "+keys, chromedp.KeyEvent(keys, opts...))
}

func (v *visitor) see(sel string) {
	v.t.Helper()
	v.do("see "+sel, chromedp.WaitVisible(sel, chromedp.ByQuery))
}

// says waits until the page says it, however often it is drawn or loaded anew meanwhile.
func (v *visitor) says(words string) {
	v.t.Helper()
	q, _ := json.Marshal(words)
	v.until("page says "+words, `!!document.body && document.body.innerText.includes(`+string(q)+`)`)
}

// until waits until an expression is true on whatever page is there.
func (v *visitor) until(what, js string) {
	v.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var is bool
		if err := chromedp.Run(v.ctx, chromedp.Evaluate(js, &is)); err == nil && is {
			return
		}
	}
	v.do(what+" (gave up)", chromedp.ActionFunc(func(context.Context) error { return context.DeadlineExceeded }))
}

// key presses a key until it has its effect, as a person does whose first press fell into a page that was still opening.
func (v *visitor) key(keys, what, js string) {
	v.t.Helper()
	v.acts++
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for _, k := range strings.Fields(keys) {
			_ = chromedp.Run(v.ctx, chromedp.KeyEvent(k))
		}
		for range 30 {
			var is bool
			if err := chromedp.Run(v.ctx, chromedp.Evaluate(js, &is)); err == nil && is {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	v.until(what, js)
}

func (v *visitor) eval(js string, into any) {
	v.t.Helper()
	v.do("evaluate", chromedp.Evaluate(js, into))
}

func (v *visitor) where() (u string) {
	v.do("where", chromedp.Location(&u))
	return u
}

// shot keeps a picture under YARROW_ARTEFACTS, where people look at it.
func (v *visitor) shot(name string) {
	dir := os.Getenv("YARROW_ARTEFACTS")
	if dir == "" {
		return
	}
	var png []byte
	if err := chromedp.Run(v.ctx, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).Do(ctx)
		return err
	})); err != nil {
		return
	}
	os.MkdirAll(dir, 0o755)
	os.WriteFile(filepath.Join(dir, v.name+"-"+name+".png"), png, 0o644)
}

var axeSource = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("../../web/node_modules/axe-core/axe.min.js")
	return string(b), err
})

// accessible runs axe on the page as it stands: WCAG 2.0 to 2.2, A and AA, and best practice. It is brought in through the
// debugger, since the page's own policy rightly refuses foreign scripts.
func (v *visitor) accessible(name string) {
	v.t.Helper()
	src, err := axeSource()
	if err != nil {
		v.t.Fatalf("axe-core is not installed: %v (make assets)", err)
	}
	var out string
	v.do("axe on "+name,
		chromedp.Evaluate(src+"; 1", nil),
		chromedp.Evaluate(`axe.run(document,{resultTypes:['violations']}).then(r=>JSON.stringify(r.violations.map(v=>v.id+': '+v.help+' → '+v.nodes.slice(0,3).map(n=>n.target.join(' ')+' '+(n.any[0]?n.any[0].message:'')).join(' ; '))))`, &out,
			func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	var found []string
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		v.t.Fatal(err)
	}
	for _, f := range found {
		v.t.Errorf("accessibility of %s: %s", name, f)
	}
}
