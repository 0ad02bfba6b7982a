package subscription

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

// Files for imports come from hosts of the practice's list only, as long as they are on it, and never from this machine or by a detour.
func TestFilesOfListedHosts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		asked := 0
		files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			if r.URL.Path == "/moved" {
				http.Redirect(w, r, "/x", http.StatusFound)
				return
			}
			fmt.Fprint(w, "{}")
		}))
		t.Cleanup(files.Close)
		host := strings.TrimPrefix(files.URL, "http://")
		code := func(err error) string {
			var i *fhir.Issue
			if errors.As(err, &i) {
				return i.Code
			}
			return fmt.Sprint(err)
		}
		if _, err := k.hub.Fetch(t.Context(), 1, files.URL); code(err) != "forbidden" || asked != 0 {
			t.Fatalf("a host that nobody allowed: %v, asked %d times", err, asked)
		}
		port, _ := strconv.Atoi(host[strings.LastIndex(host, ":")+1:])
		var err error
		if k.hub.o.Egress, err = egress.New([]egress.Destination{{Host: "127.0.0.1", Ports: []int{port}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}}); err != nil {
			t.Fatal(err)
		}
		if err := k.hub.Allow(t.Context(), k.admin, host, "x"); err != nil {
			t.Fatal(err)
		}
		if reply, err := k.hub.Fetch(t.Context(), 1, files.URL); err != nil || string(reply.Body) != "{}" {
			t.Fatalf("a host that was allowed: %v", err)
		}
		if reply, err := k.hub.Fetch(t.Context(), 1, files.URL+"/moved"); err != nil || reply.Status != 302 {
			t.Errorf("a redirect: %v %v", reply, err)
		}
		if err := k.hub.Reach(t.Context(), 2, files.URL); code(err) != "forbidden" {
			t.Errorf("what one practice allowed is open to another: %v", err)
		}
		// As it is outside tests: https only, and no address of this machine though an administrator listed its name.
		k.hub.o.Private = false
		if k.hub.o.Egress, err = egress.New(nil); err != nil {
			t.Fatal(err)
		}
		for _, address := range []string{files.URL, strings.Replace(files.URL, "http", "https", 1), "file:///etc/passwd", "https://127.0.0.1:22/", "gopher://" + host} {
			before := asked
			if _, err := k.hub.Fetch(t.Context(), 1, address); err == nil || asked != before {
				t.Errorf("%s is fetched", address)
			}
		}
		k.hub.o.Private = true
		if err := k.hub.Forbid(t.Context(), k.admin, host); err != nil {
			t.Fatal(err)
		}
		if err := k.hub.Reach(t.Context(), 1, files.URL); code(err) != "forbidden" {
			t.Errorf("after it was taken off the list: %v", err)
		}
	})
}
