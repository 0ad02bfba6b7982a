package fhirapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// statusIssue is an Issue whose status is not the usual one of its code.
type statusIssue struct {
	*fhir.Issue
	status int
}

func (s *statusIssue) Unwrap() error { return s.Issue }

func withStatus(status int, i *fhir.Issue) error { return &statusIssue{i, status} }

// refuse answers an error with an OperationOutcome.
func (x *exchange) refuse(err error) {
	issues, status := x.explain(err)
	h := x.w.Header()
	h.Del("ETag")
	h.Del("Location")
	h.Del("Last-Modified")
	var m *methodIssue
	if errors.As(err, &m) {
		h.Set("Allow", strings.Join(m.allow, ", "))
	}
	var moved *fhirstore.Moved
	if errors.As(err, &moved) {
		h.Set("ETag", etag(moved.Current))
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", x.challenge())
	}
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "5")
	}
	if x.op != nil && x.op.Refusal != nil {
		media, body := x.op.Refusal(issues)
		x.write(status, media, body)
		return
	}
	body, err := x.encode(fhir.Outcome(issues...))
	if err != nil {
		x.out, x.pretty = formatJSON, false
		body = fhir.Outcome(issues...)
	}
	x.write(status, x.out.media(), body)
}

// challenge says how to sign in (RFC 6750 section 3).
func (x *exchange) challenge() string {
	c := `Bearer realm="` + x.practice.Slug + `"`
	if x.r.Header.Get("Authorization") != "" {
		c += `, error="invalid_token", error_description="The access token is not valid, has expired or was revoked"`
	}
	return c
}

// explain turns an error into what the client is told. What is not an Issue is a fault of ours: it goes to the log.
func (x *exchange) explain(err error) (fhir.Issues, int) {
	var (
		one  *fhir.Issue
		many fhir.Issues
		stat *statusIssue
		meth *methodIssue
		big  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &big):
		return fhir.Issues{*tooLong(big.Limit)}, http.StatusRequestEntityTooLarge
	case errors.As(err, &meth):
		return fhir.Issues{*meth.Issue}, http.StatusMethodNotAllowed
	case errors.As(err, &stat):
		return fhir.Issues{*stat.Issue}, stat.status
	case errors.As(err, &many) && len(many) > 0:
		status := worst(many)
		if status >= 500 {
			x.api.o.Log.Error("a FHIR request failed", "request", x.id, "code", many[0].Code, "error", many[0].Cause)
		}
		return many, status
	case errors.As(err, &one):
		status := fhir.HTTPStatus(one.Code)
		var moved *fhirstore.Moved
		if errors.As(err, &moved) {
			status = http.StatusPreconditionFailed
		}
		if status >= 500 {
			x.api.o.Log.Error("a FHIR request failed", "request", x.id, "code", one.Code, "error", one.Cause)
		}
		return fhir.Issues{*one}, status
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fhir.Issues{*fhir.Problem("transient", "The request was given up before it was answered.", "Send it again.")}, http.StatusServiceUnavailable
	}
	x.api.o.Log.Error("a FHIR request failed", "request", x.id, "error", err)
	return fhir.Issues{*fhir.Problem("exception", "Something broke here.", "Try again; if it happens again, report the request "+x.id+".")}, http.StatusInternalServerError
}

// worst is the status of the first error among issues.
func worst(issues fhir.Issues) int {
	for i := range issues {
		if s := issues[i].Severity; s == "" || s == "error" || s == "fatal" {
			var moved *fhirstore.Moved
			if errors.As(issues[i].Cause, &moved) {
				return http.StatusPreconditionFailed
			}
			return fhir.HTTPStatus(issues[i].Code)
		}
	}
	return http.StatusOK
}

// broken answers after a panic, if nothing has left yet.
func (x *exchange) broken() {
	if x.begun {
		panic(http.ErrAbortHandler) // the answer is cut short: the client must not take it for whole
	}
	for _, k := range []string{"ETag", "Location", "Last-Modified", "Allow"} {
		x.w.Header().Del(k)
	}
	x.write(http.StatusInternalServerError, formatJSON.media(), fhir.Outcome(*fhir.Problem("exception", "Something broke here.",
		"Try again; if it happens again, report the request "+x.id+".")))
}
