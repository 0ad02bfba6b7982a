package fhirapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"yarrow.health/internal/standards/fhir"
)

// Limits of a body in bytes: a resource, and a Bundle at the base.
const (
	maxResource = 21 << 20
	maxBundle   = 128 << 20
	maxForm     = 1 << 20
)

// read reads the body and settles what it is.
func (x *exchange) read(c *Call) error {
	m := x.r.Method
	if m != http.MethodPost && m != http.MethodPut && m != http.MethodPatch {
		return nil
	}
	limit := int64(maxResource)
	if c.at.shape == system {
		limit = maxBundle
	}
	search := c.at.shape == typeSearch || c.at.shape == systemSearch || c.at.shape == compartmentFind
	if search {
		limit = maxForm
	}
	if x.r.ContentLength > limit {
		return tooLong(limit)
	}
	if e := x.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		x.w.Header().Set("Accept-Encoding", "identity")
		return withStatus(http.StatusUnsupportedMediaType, fhir.Problem("not-supported", "The body is compressed in a way this server does not read.", "Send it without Content-Encoding."))
	}
	var in bytes.Buffer
	if n := x.r.ContentLength; n > 0 {
		in.Grow(int(min(n, 1<<20)) + bytes.MinRead)
	}
	_, err := in.ReadFrom(http.MaxBytesReader(x.w, x.r.Body, limit))
	body := in.Bytes()
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return tooLong(limit)
		}
		return fhir.Problem("incomplete", "The body did not arrive whole.", "Send the request again.").Because(err)
	}
	c.Body = body
	if len(body) == 0 {
		x.sent = formatJSON
		return nil
	}
	return x.bodyType(c, search)
}

// bodyType checks the Content-Type against what the address takes.
func (x *exchange) bodyType(c *Call, search bool) error {
	ct := x.r.Header.Get("Content-Type")
	typ, _, err := mime.ParseMediaType(ct)
	if search {
		if err != nil || typ != "application/x-www-form-urlencoded" {
			return unsupported("A search is posted as a form.", "Send Content-Type: application/x-www-form-urlencoded.")
		}
		form, err := url.ParseQuery(string(c.Body))
		if err != nil {
			return fhir.Problem("value", "The form is not well formed.", "Write name=value pairs joined by &, with special characters percent-encoded.")
		}
		c.form = form
		return nil
	}
	if x.r.Method == http.MethodPatch && typ == jsonPatch {
		x.sent = formatJSON
		return nil
	}
	f, ok := mediaFormat(ct)
	switch {
	case !ok && f == formatNone && err == nil && c.at.isBinary() && x.r.Method != http.MethodPatch:
		return c.binaryOf(ct)
	case ct == "":
		return unsupported("The body has no Content-Type.", reads(x.r.Method))
	case !ok:
		return unsupported("The body is of a type this server does not read.", reads(x.r.Method))
	}
	x.sent = f
	return nil
}

func reads(method string) string {
	if method == http.MethodPatch {
		return "Send application/json-patch+json, or a Parameters resource as application/fhir+json or application/fhir+xml."
	}
	return "Send application/fhir+json or application/fhir+xml (FHIR version 4.0)."
}

const jsonPatch = "application/json-patch+json"

func unsupported(text, fix string) error {
	return withStatus(http.StatusUnsupportedMediaType, fhir.Problem("not-supported", text, fix))
}

func tooLong(limit int64) *fhir.Issue {
	return fhir.Problem("too-long", fmt.Sprintf("The body is longer than the %d MB this address takes.", limit>>20), "Send less at a time; large attachments go into Binary resources of their own.")
}
