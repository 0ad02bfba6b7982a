package desk_test

import (
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
)

var linked = regexp.MustCompile(`/-/assets/[\w.-]+`)

// TestWeights holds the first visit to a staff page to its budget, as it goes over the wire: pages packed with gzip, files with
// brotli. A full schedule is the heaviest page of the desk.
func TestWeights(t *testing.T) {
	f := open(t, dbtest.SQLite(t, nil))
	f.day(t)
	weigh := func(file string) int {
		r := httptest.NewRequest("GET", file, nil)
		r.Header.Set("Accept-Encoding", "br")
		w := httptest.NewRecorder()
		f.router.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: %d; run make assets first", file, w.Code)
		}
		return w.Body.Len()
	}
	for _, p := range []string{"/schedule", "/patients", "/patients/new", "/account/security"} {
		_, packed := f.ask(t, "quill", "GET", p, nil, "Accept-Encoding", "gzip")
		_, html := f.ask(t, "quill", "GET", p, nil)
		by := map[string]int{"html": len(packed)}
		total := len(packed)
		once := map[string]bool{}
		for _, file := range linked.FindAllString(html, -1) {
			if once[file] || strings.Contains(file, "live-worker") || strings.Contains(file, "logo") {
				continue
			}
			once[file] = true
			n := weigh(file)
			by[path.Ext(file)] += n
			total += n
		}
		for what, most := range map[string]int{"html": 15000, ".css": 20000, ".js": 20000} {
			if by[what] > most || by[what] == 0 {
				t.Errorf("%s: %d bytes of %s, the budget is %d", p, by[what], what, most)
			}
		}
		if total > 130000 {
			t.Errorf("%s: %d bytes in all, the budget is 130000", p, total)
		}
		if n := strings.Count(html, "<") - strings.Count(html, "</"); n > 2000 {
			t.Errorf("%s: %d elements, the budget is 2000", p, n)
		}
		t.Logf("%s: %d bytes (%v)", p, total, by)
	}
}
