package fhirapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirxml"
)

// format is how a resource is written.
type format uint8

const (
	formatNone format = iota
	formatJSON
	formatXML
)

func (f format) media() string {
	if f == formatXML {
		return "application/fhir+xml; charset=utf-8"
	}
	return "application/fhir+json; charset=utf-8"
}

// formats names the media types of each format, as _format and as headers write them.
var formats = map[string]format{
	"json": formatJSON, "application/fhir+json": formatJSON, "application/json": formatJSON, "text/json": formatJSON, "application/json+fhir": formatJSON,
	"xml": formatXML, "application/fhir+xml": formatXML, "application/xml": formatXML, "text/xml": formatXML, "application/xml+fhir": formatXML,
}

// queryOf reads parameters after a question mark.
func queryOf(raw string) (url.Values, error) {
	if raw == "" {
		return url.Values{}, nil
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return url.Values{}, fhir.Problem("value", "What follows the question mark is not well formed.", "Write name=value pairs joined by &, with special characters percent-encoded.")
	}
	return q, nil
}

// negotiate settles how the answer is written: _format before Accept (R4 http, section 3.1.0.1.11), JSON when neither asks.
func (x *exchange) negotiate() error {
	x.out = formatJSON
	x.prefer = readPrefer(x.r.Header.Values("Prefer"))
	if p := x.query.Get("_pretty"); p != "" {
		if p != "true" && p != "false" {
			return fhir.Problem("value", "_pretty has a value it does not know.", "Use true or false.").At("http._pretty")
		}
		x.pretty = p == "true"
		delete(x.query, "_pretty")
	}
	if want := x.query.Get("_format"); want != "" {
		delete(x.query, "_format")
		// A plus in a query is a space unless it is encoded, and many forget to.
		f, ok := mediaFormat(strings.ReplaceAll(want, " ", "+"))
		if !ok {
			return withStatus(http.StatusNotAcceptable, fhir.Problem("not-supported", "_format asks for a form this server does not write.", writes))
		}
		x.out = f
		return nil
	}
	accept := strings.Join(x.r.Header.Values("Accept"), ",")
	if accept == "" {
		return nil
	}
	f, ok := accepted(accept)
	if !ok {
		return withStatus(http.StatusNotAcceptable, fhir.Problem("not-supported", "The Accept header asks for a form this server does not write.", writes).Because(errNoForm))
	}
	x.out = f
	return nil
}

// ownForm is the form of an operation's own that a request asks for, by _format or before all else in Accept; "" for none.
func (x *exchange) ownForm() string {
	op := x.op
	if op == nil || len(op.Forms) == 0 {
		return ""
	}
	if want := x.query.Get("_format"); slices.Contains(op.Forms, want) {
		delete(x.query, "_format")
		return want
	}
	first, _, _ := strings.Cut(strings.Join(x.r.Header.Values("Accept"), ","), ",")
	if typ, _, err := mime.ParseMediaType(first); err == nil && slices.Contains(op.Forms, typ) {
		return typ
	}
	return ""
}

// errNoForm says that an Accept header asks for no form of FHIR.
var errNoForm = errors.New("fhirapi: no form of FHIR is accepted")

const writes = "Ask for application/fhir+json or application/fhir+xml (FHIR version 4.0)."

// mediaFormat reads one media type. Its fhirVersion, when given, must be R4's.
func mediaFormat(s string) (format, bool) {
	typ, params, err := mime.ParseMediaType(s)
	if err != nil {
		typ, params = strings.ToLower(strings.TrimSpace(s)), nil
	}
	f, ok := formats[typ]
	if v := params["fhirversion"]; v != "" && v != "4.0" && v != "4.0.1" {
		return f, false
	}
	return f, ok
}

// accepted picks the best format of an Accept header (RFC 9110 section 12.5.1).
func accepted(accept string) (format, bool) {
	best, at, html := formatNone, -1.0, false
	for part := range strings.SplitSeq(accept, ",") {
		typ, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if v, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(v, 64); err != nil || q <= 0 {
				continue
			}
		}
		html = html || typ == "text/html"
		var f format
		switch typ {
		case "*/*", "application/*", "text/*":
			f, q = formatJSON, q*0.001
		default:
			var ok bool
			if f, ok = mediaFormat(part); !ok {
				continue
			}
			if html && typ == "application/xml" {
				q *= 0.0001 // a browser's list means pages, not FHIR
			}
		}
		if q > at {
			best, at = f, q
		}
	}
	return best, best != formatNone
}

// decode reads a resource.
func decode(body []byte, f format) (*fhirjson.Node, error) {
	if f == formatXML {
		return fhirxml.Decode(body, fhirxml.Limits{Bytes: len(body)})
	}
	n, err := fhirjson.Parse(body, fhirjson.Limits{Bytes: len(body)})
	if err != nil {
		return nil, fhir.SyntaxIssue(err)
	}
	if n.Kind() != fhirjson.Object {
		return nil, fhir.Problem("structure", "The body is not a resource.", "Send one JSON object with a resourceType.")
	}
	return n, nil
}

// encode writes a resource in the form of the answer. Stored JSON goes out as it is.
func (x *exchange) encode(resource []byte) ([]byte, error) {
	switch {
	case x.out == formatXML:
		n, err := fhirjson.Parse(resource, fhirjson.Limits{Bytes: len(resource), Depth: 128})
		if err != nil {
			return nil, err
		}
		write := fhirxml.Encode
		if x.pretty {
			write = fhirxml.EncodeIndent
		}
		out, err := write(n)
		if err != nil {
			return nil, withStatus(http.StatusNotAcceptable, fhir.Problem("not-supported", "This resource cannot be written as XML.", "Ask for application/fhir+json.").Because(err))
		}
		return out, nil
	case x.pretty:
		var b bytes.Buffer
		if err := json.Indent(&b, resource, "", "  "); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
	return resource, nil
}
