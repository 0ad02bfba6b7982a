package fhirapi

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"

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
	packed := false
	switch x.r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip", "x-gzip":
		packed = true
	default:
		x.w.Header().Set("Accept-Encoding", "gzip, identity")
		return withStatus(http.StatusUnsupportedMediaType, fhir.Problem("not-supported", "The body is compressed in a way this server does not read.", "Send it with Content-Encoding: gzip, or without."))
	}
	var in bytes.Buffer
	if n := x.r.ContentLength; n > 0 {
		in.Grow(int(min(n, 1<<20)) + bytes.MinRead)
	}
	var err error
	sent := http.MaxBytesReader(x.w, x.r.Body, limit)
	if packed {
		err = unpack(&in, sent, limit)
	} else {
		_, err = in.ReadFrom(sent)
	}
	body := in.Bytes()
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return tooLong(limit)
		}
		var issue *fhir.Issue
		if errors.As(err, &issue) {
			return issue
		}
		return withStatus(http.StatusBadRequest, fhir.Problem("incomplete", "The body did not arrive whole.", "Send the request again.").Because(err))
	}
	c.Body = body
	if len(body) == 0 {
		x.sent = formatJSON
		return nil
	}
	return x.bodyType(c, search)
}

// maxRatio is how many bytes one packed byte may become, once a body is longer than fairSize: no record packs better, and what does
// is made to fill memory.
const (
	maxRatio = 100
	fairSize = 1 << 20
)

// unpack reads a body that is packed with gzip. What is too long, or grows too much, is given up while it grows.
func unpack(into *bytes.Buffer, from io.Reader, limit int64) error {
	in := &counter{r: from}
	z, err := gzip.NewReader(in)
	if err != nil {
		return unpacked(err)
	}
	defer z.Close()
	for {
		n, err := io.CopyN(into, z, 64<<10)
		if size := int64(into.Len()); size > limit {
			return tooLong(limit)
		} else if size > fairSize && size > maxRatio*in.n {
			return fhir.Problem("too-long", fmt.Sprintf("The packed body becomes more than %d times as long when it is unpacked.", maxRatio), "Send it without Content-Encoding.")
		}
		if err == io.EOF && n < 64<<10 {
			return nil
		}
		if err != nil {
			return unpacked(err)
		}
	}
}

// unpacked says what is wrong with packed bytes; what went wrong on their way stays what it is, but for an end that came too early.
func unpacked(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, new(flate.CorruptInputError)) {
		return fhir.Problem("structure", "The body is not what Content-Encoding says.", "Pack it with gzip, or leave Content-Encoding out.").Because(err)
	}
	return err
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
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
	if x.op != nil && err == nil && slices.Contains(x.op.Bodies, typ) && !(typ == "application/json" && resourceMark.Match(c.Body)) {
		c.bare = true
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

// resourceMark finds the mark of a resource in JSON.
var resourceMark = regexp.MustCompile(`"resourceType"\s*:\s*"`)

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
