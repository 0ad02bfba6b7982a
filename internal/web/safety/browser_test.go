package safety_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/web/webtest"
)

// TestSafetyInABrowser looks at every page in light and dark, wide and on a phone: nothing scrolls sideways, and axe finds
// nothing that keeps people out.
func TestSafetyInABrowser(t *testing.T) {
	h := open(t, dbtest.SQLite(t, nil))
	srv := httptest.NewServer(h.router)
	defer srv.Close()
	origin := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	w, base := webtest.Open(t, origin, 90*time.Second), origin+"/millrace"
	h.walk(t, step{"opened", "strand", "POST", "/patients/vip/restricted", form("patient", "vip", "reason", "emergency", "text", "unconscious in room 2"), 303, nil, nil},
		step{"let in", "okafor", "POST", "/support", form("operator", "ops", "reason", "ticket 4711", "hours", "1"), 303, nil, nil})
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1440, 900}, {"phone", 390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			w.Size(size.width, size.height, theme)
			for _, p := range []struct{ name, who, path string }{
				{"people", "okafor", "/people"}, {"person", "okafor", fmt.Sprintf("/people/%d", h.users["quill"])}, {"invite", "okafor", "/people/new"},
				{"roles", "okafor", "/roles"}, {"view-as", "okafor", "/roles/view?role=nurse"}, {"privacy", "okafor", "/privacy"},
				{"support", "okafor", "/support"}, {"security", "okafor", "/security"}, {"banner", "strand", "/patients"},
				{"agreement", "okafor", "/agreement"}, {"chart-privacy", "quill", "/patients/ann/privacy"},
			} {
				w.Do(network.SetCookie("yarrow-session-millrace", h.tokens[p.who]).WithURL(base).WithHTTPOnly(true), chromedp.Navigate(base+p.path))
				w.Inspect("safety", p.name+"-"+size.name+"-"+theme)
			}
		}
	}
}
