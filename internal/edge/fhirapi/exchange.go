package fhirapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// exchange is one request on its way to an answer.
type exchange struct {
	api      *API
	w        http.ResponseWriter
	r        *http.Request
	id       string
	practice auth.Practice
	scope    db.Scope
	base     string
	query    url.Values
	prefer   prefer
	targets  fhirstore.Targets // what the practice says of references that lead nowhere
	out      format            // of the answer
	sent     format            // of the body
	pretty   bool
	native   bool       // a Binary, or the form of an operation, is asked for as its bytes
	form     string     // of the operation's own that is asked for
	op       *Operation // at the address; nil for none
	begun    bool       // the status has left
}

// secure sets what every answer carries. Answers are never kept by caches and never shown as pages.
func (x *exchange) secure() {
	h := x.w.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if strings.HasPrefix(x.api.o.Origin, "https:") {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}

// finish puts the accesses on record and sends the answer.
func (x *exchange) finish(c *Call, ans *Answer, err error) {
	if err != nil {
		x.denied(c, err)
		x.refuse(err)
		return
	}
	if len(c.events) > 0 {
		if err := x.api.o.Audit.Seen(x.r.Context(), c.Scope, c.events...); err != nil {
			x.refuse(err)
			return
		}
	}
	x.send(c, ans)
}

// denied puts an attempt on one resource that was refused on record. Whether there is such a resource makes no difference.
func (x *exchange) denied(c *Call, err error) {
	var i *fhir.Issue
	if c.Scope == nil || c.at.id == "" || !errors.As(err, &i) {
		return
	}
	switch i.Code {
	case "not-found", "forbidden", "security", "deleted":
	default:
		return
	}
	e := audit.Event{Action: actionOf(x.r.Method), Type: c.at.typ, ID: c.at.id, Outcome: audit.OutcomeRefused}
	if err := x.api.o.Audit.Seen(context.WithoutCancel(x.r.Context()), c.Scope, e); err != nil {
		x.api.o.Log.Error("a refusal could not be put on record", "request", x.id, "error", err)
	}
}

func actionOf(method string) string {
	switch method {
	case http.MethodPut, http.MethodPatch:
		return audit.ActionUpdate
	case http.MethodPost:
		return audit.ActionCreate
	case http.MethodDelete:
		return audit.ActionDelete
	}
	return audit.ActionRead
}

// send writes an answer.
func (x *exchange) send(c *Call, ans *Answer) {
	if ans == nil {
		ans = &Answer{Status: http.StatusNoContent}
	}
	h := x.w.Header()
	for k, v := range ans.Header {
		h[k] = v
	}
	status := ans.Status
	if status == 0 {
		status = http.StatusOK
	}
	if ans.Version > 0 {
		h.Set("ETag", etag(ans.Version))
	}
	if !ans.Updated.IsZero() {
		h.Set("Last-Modified", ans.Updated.UTC().Format(http.TimeFormat))
	}
	if ans.Location != "" {
		h.Set("Location", x.base+"/"+ans.Location)
	}
	if x.prefer.applied != "" {
		h.Set("Preference-Applied", x.prefer.applied)
	}
	body, media := ans.Body, ans.Media
	if media == "" {
		resource := ans.Resource
		if ans.wrote {
			resource = x.preferred(ans, slices.Concat(c.hints, ans.unmet))
		}
		if x.native && ans.typ == "Binary" && resource != nil {
			var err error
			if body, media, err = x.asBytes(resource); err != nil {
				x.refuse(err)
				return
			}
			resource = nil
		}
		if ans.narrow && resource != nil {
			var err error
			if resource, err = x.narrowed(ans.typ, resource); err != nil {
				x.refuse(err)
				return
			}
		}
		if resource != nil {
			var err error
			if body, err = x.encode(resource); err != nil {
				x.refuse(err)
				return
			}
			media = x.out.media()
		}
	}
	if (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead) && status == http.StatusOK && x.unchanged(ans) {
		status, body, media = http.StatusNotModified, nil, ""
	}
	x.write(status, media, body)
}

func (x *exchange) write(status int, media string, body []byte) {
	h := x.w.Header()
	if media != "" {
		h.Set("Content-Type", media)
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	x.begun = true
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.w.Write(body) // a client that has gone away needs no answer
	}
}

// unchanged says whether the client has this version already (RFC 9110 section 13.2.2).
func (x *exchange) unchanged(ans *Answer) bool {
	if m := x.r.Header.Get("If-None-Match"); m != "" {
		return ans.Version > 0 && etagMatches(m, ans.Version)
	}
	if since, err := http.ParseTime(x.r.Header.Get("If-Modified-Since")); err == nil && !ans.Updated.IsZero() {
		return !ans.Updated.Truncate(time.Second).After(since)
	}
	return false
}
