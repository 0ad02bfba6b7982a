// Package e2e_test drives the real program through a real browser as the people do who use it, and watches what they would not
// see: console errors, refused content, requests that leave the machine, faults of accessibility.
package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { webtest.Main(m) }

// visitor is one person at one browser.
type visitor struct {
	*webtest.Window
	t    *testing.T
	ctx  context.Context
	base string
	name string
	acts int // keys and clicks so far
}

type screen struct {
	width, height int64
	theme         string // light, dark
}

var (
	desktop     = screen{width: 1440, height: 900, theme: "light"}
	desktopDark = screen{width: 1440, height: 900, theme: "dark"}
	phone       = screen{width: 390, height: 844, theme: "light"}
	phoneDark   = screen{width: 390, height: 844, theme: "dark"}
)

// visit opens a fresh browser for a person.
func visit(t *testing.T, base string, s screen, more ...chromedp.ExecAllocatorOption) *visitor {
	t.Helper()
	w := webtest.Open(t, base, 5*time.Minute, more...)
	v := &visitor{Window: w, t: t, ctx: w.Ctx, base: base, name: strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())}
	w.Size(s.width, s.height, s.theme)
	t.Cleanup(func() {
		if t.Failed() {
			v.shot("failed")
		}
		w.Blame("the whole story")
	})
	return v
}

// do runs browser actions; a failure names where it happened and keeps a picture.
func (v *visitor) do(what string, actions ...chromedp.Action) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := webtest.Run(ctx, actions...); err != nil {
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
	// A form that was just sent may still be on its way; the browser then gives up on the newer address, and does not always say so.
	for range 3 {
		ctx, cancel := context.WithTimeout(v.ctx, patience)
		err := chromedp.Run(ctx, chromedp.Navigate(path))
		cancel()
		if err == nil || !strings.Contains(err.Error(), "ERR_ABORTED") && !errors.Is(err, context.DeadlineExceeded) {
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

// shot keeps a picture where people look at it, as well as it can.
func (v *visitor) shot(name string) { _, _ = v.Shot("", v.name+"-"+name) }
