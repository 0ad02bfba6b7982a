package safety_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdprt "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/base/db/dbtest"
)

// TestSafetyInABrowser looks at every page in light and dark, wide and on a phone: nothing scrolls sideways, and axe finds
// nothing that keeps people out.
func TestSafetyInABrowser(t *testing.T) {
	h := open(t, dbtest.SQLite(t, nil))
	srv := httptest.NewServer(h.router)
	defer srv.Close()
	alloc, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))...)
	defer stop()
	browser, cancel := chromedp.NewContext(alloc)
	defer cancel()
	browser, done := context.WithTimeout(browser, 90*time.Second)
	defer done()
	base := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + "/millrace"
	do := func(a ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(browser, a...); err != nil {
			t.Fatal(err)
		}
	}
	axe, err := os.ReadFile(filepath.Join("..", "..", "..", "web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal("run make assets first: ", err)
	}
	h.walk(t, step{"opened", "strand", "POST", "/patients/vip/restricted", form("patient", "vip", "reason", "emergency", "text", "unconscious in room 2"), 303, nil, nil},
		step{"let in", "okafor", "POST", "/support", form("operator", "ops", "reason", "ticket 4711", "hours", "1"), 303, nil, nil})
	do(network.Enable())
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1440, 900}, {"phone", 390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			do(emulation.SetDeviceMetricsOverride(size.width, size.height, 1, size.width < 500),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
			for _, p := range []struct{ name, who, path string }{
				{"people", "okafor", "/people"}, {"person", "okafor", fmt.Sprintf("/people/%d", h.users["quill"])}, {"invite", "okafor", "/people/new"},
				{"roles", "okafor", "/roles"}, {"view-as", "okafor", "/roles/view?role=nurse"}, {"privacy", "okafor", "/privacy"},
				{"support", "okafor", "/support"}, {"security", "okafor", "/security"}, {"banner", "strand", "/patients"},
			} {
				name := p.name + "-" + size.name + "-" + theme
				var overflow int
				var shot []byte
				var found []string
				do(network.SetCookie("yarrow-session-millrace", h.tokens[p.who]).WithURL(base).WithHTTPOnly(true), chromedp.Navigate(base+p.path),
					chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow),
					chromedp.ActionFunc(func(ctx context.Context) (err error) { shot, err = page.CaptureScreenshot().Do(ctx); return err }),
					chromedp.Evaluate(string(axe), nil), chromedp.Evaluate(`axe.run({runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]}).then(r =>
						r.violations.map(v => v.id + ": " + v.help + " at " + v.nodes.slice(0, 4).map(n => n.target.join(" ")).join(", ")))`, &found,
						func(p *cdprt.EvaluateParams) *cdprt.EvaluateParams { return p.WithAwaitPromise(true) }))
				if overflow > 0 {
					t.Errorf("%s: the page is %d px wider than the window", name, overflow)
				}
				for _, f := range found {
					t.Errorf("%s: %s", name, f)
				}
				if dir := os.Getenv("YARROW_ARTEFACTS"); dir != "" {
					if err := os.MkdirAll(filepath.Join(dir, "safety"), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, "safety", name+".png"), shot, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}
