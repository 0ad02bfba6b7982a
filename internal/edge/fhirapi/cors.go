package fhirapi

import (
	"net/http"
	"net/url"
	"strings"
)

// exposed are the headers of answers that a web application may read.
const exposed = "Content-Location, ETag, Last-Modified, Location, Preference-Applied, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, WWW-Authenticate, X-Request-Id"

// cors lets web applications of registered origins use the interface with a token of their own; cookies are never let through.
// It answers a preflight request itself and then returns true.
func (x *exchange) cors() (answered bool) {
	h := x.w.Header()
	h.Add("Vary", "Origin")
	origin := x.r.Header.Get("Origin")
	if origin == "" || sameOrigin(x.r, origin) {
		return false
	}
	open := strings.HasSuffix(strings.TrimSuffix(x.r.URL.Path, "/"), "/fhir/metadata") || strings.HasSuffix(x.r.URL.Path, "/fhir/openapi.json")
	if !open && (x.api.o.AllowOrigin == nil || !x.api.o.AllowOrigin(x.r.Context(), x.practice, origin)) {
		return false // without the headers the browser refuses, and a token sent anyway proves itself
	}
	if open {
		origin = "*"
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", exposed)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if x.r.Method != http.MethodOptions || x.r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, X-Delete-Count")
	h.Set("Access-Control-Max-Age", "600")
	x.write(http.StatusNoContent, "", nil)
	return true
}

// sameOrigin says whether an Origin header names the server itself.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// options tells what an address allows.
func (x *exchange) options(t target) {
	acts := x.api.acts(t)
	if len(acts) == 0 {
		x.refuse(x.api.noOperation(t))
		return
	}
	x.w.Header().Set("Allow", strings.Join(methodsOf(acts), ", "))
	x.write(http.StatusNoContent, "", nil)
}
