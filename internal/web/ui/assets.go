package ui

import (
	"embed"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var distFiles embed.FS

// Assets are the built style sheets, scripts, icons and the font. Their names carry a hash, so a browser keeps them for a year.
type Assets struct {
	names map[string]string // app.css → app-1a2b3c4d.css
	files map[string][]byte
}

func loadAssets() *Assets {
	a := &Assets{names: map[string]string{}, files: map[string][]byte{}}
	entries, err := fs.ReadDir(distFiles, "dist")
	if err != nil {
		return a
	}
	for _, e := range entries {
		if b, err := distFiles.ReadFile("dist/" + e.Name()); err == nil {
			a.files[e.Name()] = b
		}
	}
	_ = json.Unmarshal(a.files["manifest.json"], &a.names)
	return a
}

// Built says whether the assets are in the binary; without them the screens have no style and say so.
func (r *Router) Built() bool { return len(r.assets.names) > 0 }

// path is where a file is served.
func (a *Assets) path(name string) string { return "/-/assets/" + a.names[name] }

// Asset gives the address of a built file by its plain name.
func (q *Request) Asset(name string) string { return q.router.assets.path(name) }

func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, ok := a.files[name]
	h := w.Header()
	secure(h, false)
	if !ok || name == "manifest.json" {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "There is no such file.", http.StatusNotFound)
		return
	}
	accept := r.Header.Get("Accept-Encoding")
	for _, e := range []struct{ token, ext string }{{"br", ".br"}, {"gzip", ".gz"}} {
		if b, ok := a.files[name+e.ext]; ok && accepts(accept, e.token) {
			body = b
			h.Set("Content-Encoding", e.token)
			break
		}
	}
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", mediaType(name))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// accepts reads an Accept-Encoding header: whether a coding is named and not refused with a weight of zero.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == coding {
			return strings.Trim(strings.TrimSpace(weight), "q=0.") != "" || weight == ""
		}
	}
	return false
}

func mediaType(name string) string {
	switch path.Ext(name) {
	case ".woff2":
		return "font/woff2"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}
