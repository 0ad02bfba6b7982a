package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestBehindProxy(t *testing.T) {
	var got string
	h := behindProxy(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
	for _, c := range []struct {
		said []string
		want string
	}{
		{nil, "127.0.0.1:40000"},
		{[]string{"203.0.113.7"}, "203.0.113.7:0"},
		{[]string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7:0"}, // the first was written by the caller
		{[]string{"198.51.100.1", " 2001:db8::7 "}, "[2001:db8::7]:0"},
		{[]string{"203.0.113.7, unknown"}, "127.0.0.1:40000"},
		{[]string{""}, "127.0.0.1:40000"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "127.0.0.1:40000"
		r.Header["X-Forwarded-For"] = c.said
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.said, got, c.want)
		}
	}
}
