package webtest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/base/clock"
)

// Window is a browser with a profile of its own, as a person has. It notes what a person would not see: errors in the console,
// scripts that fail, content that the page's policy refuses, requests that leave the machine.
type Window struct {
	T   testing.TB
	Ctx context.Context // ends after some minutes, or with the test

	mu       sync.Mutex
	problems []string
	known    []string // hosts it may ask
}

// Open starts Chromium for a person who visits base, for limit at most.
func Open(t testing.TB, base string, limit time.Duration, more ...chromedp.ExecAllocatorOption) *Window {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-dev-shm-usage", true),
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
	ctx, done := context.WithTimeout(ctx, limit)
	t.Cleanup(done)
	w := &Window{T: t, Ctx: ctx}
	w.MayAsk(base)
	chromedp.ListenTarget(ctx, w.watch)
	if err := chromedp.Run(ctx, log.Enable(), network.Enable()); err != nil {
		t.Fatalf("no browser: %v (apt-get install chromium)", err)
	}
	return w
}

// MayAsk names a further server that the story leads to.
func (w *Window) MayAsk(address string) {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = append(w.known, address)
}

func (w *Window) watch(ev any) {
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			w.Note("console: " + strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		w.Note("script: " + e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		// A refused answer (401, 403, 404, 409, 422) is shown to the person by the page; the browser's own line about it is no
		// fault, nor is one about a server that a story has stopped.
		if e.Entry.Level == log.LevelError && (e.Entry.Source != log.SourceNetwork || strings.Contains(e.Entry.Text, "status of 500")) {
			w.Note("browser: " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		w.mu.Lock()
		known := err != nil || slices.Contains(w.known, u.Host)
		w.mu.Unlock()
		if !known && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "ws") {
			w.Note("request to another host: " + u.Host)
		}
	}
}

// Note adds to what was wrong.
func (w *Window) Note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, s)
}

// Take gives what was noted since the last time, for a test that expects it.
func (w *Window) Take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.problems
	w.problems = nil
	return all
}

// Blame reports what was noted since it was last called.
func (w *Window) Blame(name string) {
	w.T.Helper()
	for _, p := range w.Take() {
		w.T.Errorf("%s: the page complains: %s", name, p)
	}
}

// Do runs browser actions; see Run.
func (w *Window) Do(actions ...chromedp.Action) {
	w.T.Helper()
	if err := Run(w.Ctx, actions...); err != nil {
		w.T.Fatal(err)
	}
}

// Run is chromedp.Run for people's ways with a page that moves: what was found on a page, or in a part of it, that gave way to the next one in
// that moment is looked for again there.
func Run(ctx context.Context, actions ...chromedp.Action) error {
	for _, a := range actions {
		err := chromedp.Run(ctx, a)
		for tries := 0; tries < 20 && replaced(a, err); tries++ {
			_ = clock.System().Sleep(ctx, 50*time.Millisecond)
			err = chromedp.Run(ctx, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replaced says that an element was found, and was gone before anything was done with it.
func replaced(a chromedp.Action, err error) bool {
	var said *cdproto.Error
	_, finds := a.(*chromedp.Selector)
	return finds && errors.As(err, &said) && said.Code == -32000 && strings.Contains(said.Message, "node with given id")
}

// Size makes the window so large, in CSS pixels, and its theme light or dark; less than 500 wide it is a phone.
func (w *Window) Size(width, height int64, theme string) {
	w.T.Helper()
	w.Do(emulation.SetDeviceMetricsOverride(width, height, 1, width < 500),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
}

// Shot is a picture of the window, kept for people as folder/name.png when YARROW_ARTEFACTS names a place.
func (w *Window) Shot(folder, name string) ([]byte, error) {
	var b []byte
	err := chromedp.Run(w.Ctx, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		b, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).Do(ctx)
		return err
	}))
	if dir := os.Getenv("YARROW_ARTEFACTS"); err == nil && dir != "" {
		if err = os.MkdirAll(filepath.Join(dir, folder), 0o755); err == nil {
			err = os.WriteFile(filepath.Join(dir, folder, name+".png"), b, 0o644)
		}
	}
	return b, err
}

// Inspect looks at the page as it stands: a picture, nothing wider than the window, nothing that keeps people out, no complaints.
func (w *Window) Inspect(folder, name string) []byte {
	w.T.Helper()
	w.Do(chromedp.Sleep(150 * time.Millisecond))
	b, err := w.Shot(folder, name)
	if err != nil {
		w.T.Fatal(err)
	}
	w.judge(name, "")
	return b
}

// Glance is Inspect for a page that stands still: without the wait, and without a picture that nobody keeps. A page that was looked
// at before and has changed its colours alone since is judged by its colours.
func (w *Window) Glance(folder, name string, recoloured bool) {
	w.T.Helper()
	if os.Getenv("YARROW_ARTEFACTS") != "" {
		if _, err := w.Shot(folder, name); err != nil {
			w.T.Fatal(err)
		}
	}
	rules := ""
	if recoloured {
		rules = `, runOnly: ["color-contrast"]`
	}
	w.judge(name, rules)
}

// judge says what is wrong with the page as it stands.
func (w *Window) judge(name, rules string) {
	w.T.Helper()
	var overflow int
	w.Do(chromedp.Evaluate(`new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(document.documentElement.scrollWidth - document.documentElement.clientWidth))))`, &overflow, awaited))
	if overflow > 0 {
		w.T.Errorf("%s: the page is %d px wider than the window", name, overflow)
	}
	w.accessible(name, rules)
	w.Blame(name)
}

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

var axe = sync.OnceValues(func() (string, error) {
	top, err := root()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(top, "web", "node_modules", "axe-core", "axe.min.js"))
	return string(b), err
})

// Accessible runs axe on the page: WCAG 2.0 to 2.2, A and AA, and best practice. It is brought in through the debugger, since the
// page's own policy rightly refuses foreign scripts.
func (w *Window) Accessible(name string) {
	w.T.Helper()
	w.accessible(name, "")
}

func (w *Window) accessible(name, rules string) {
	w.T.Helper()
	src, err := axe()
	if err != nil {
		w.T.Fatalf("axe-core is not installed: %v (make assets)", err)
	}
	var there bool
	if w.Do(chromedp.Evaluate(`typeof axe === "object"`, &there)); !there {
		w.Do(chromedp.Evaluate(src+"; 1", nil))
	}
	var found []string
	w.Do(chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]`+rules+`}).then(r => r.violations.map(v =>
		v.id + ": " + v.help + " at " + v.nodes.slice(0, 4).map(n => n.target.join(" ") + " " + (n.any[0] ? n.any[0].message : "")).join(", ")))`, &found, awaited))
	for _, f := range found {
		w.T.Errorf("accessibility of %s: %s", name, f)
	}
}
