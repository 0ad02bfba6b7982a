package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAssetsAreServedPacked(t *testing.T) {
	a := &Assets{names: map[string]string{"app.js": "app-1.js"}, files: map[string][]byte{
		"app-1.js": []byte("plain"), "app-1.js.br": []byte("brotli"), "app-1.js.gz": []byte("gzip"), "font-1.woff2": []byte("font"), "manifest.json": []byte("{}")}}
	for _, c := range []struct {
		name, accept, body, encoding, kind string
		status                             int
	}{
		{"app-1.js", "gzip, deflate, br", "brotli", "br", "text/javascript; charset=utf-8", 200},
		{"app-1.js", "gzip", "gzip", "gzip", "text/javascript; charset=utf-8", 200},
		{"app-1.js", "br;q=0, gzip", "gzip", "gzip", "text/javascript; charset=utf-8", 200},
		{"app-1.js", "", "plain", "", "text/javascript; charset=utf-8", 200},
		{"font-1.woff2", "br", "font", "", "font/woff2", 200},
		{"manifest.json", "", "", "", "", 404},
		{"app-2.js", "", "", "", "", 404},
	} {
		r := httptest.NewRequest("GET", "/-/assets/"+c.name, nil)
		r.SetPathValue("name", c.name)
		r.Header.Set("Accept-Encoding", c.accept)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != c.status || c.status == 200 && (w.Body.String() != c.body || w.Header().Get("Content-Encoding") != c.encoding || w.Header().Get("Content-Type") != c.kind ||
			w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable") {
			t.Errorf("%s %q: %d %q %v", c.name, c.accept, w.Code, w.Body, w.Header())
		}
	}
}

func TestWithoutAssetsThePageSaysWhatToDo(t *testing.T) {
	r := NewRouter(nil, nil, Options{})
	r.assets = &Assets{}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/a/b/c", nil))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "make assets") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
