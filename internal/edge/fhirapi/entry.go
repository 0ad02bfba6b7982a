package fhirapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpatch"
)

// response is an entry of an answer Bundle.
type response struct {
	status   string
	location string // below the base
	version  int64
	updated  time.Time
	resource []byte
	outcome  fhir.Issues
	issues   fhir.Issues // of an entry that was refused
}

func (e *response) write(b *bundleWriter, base string) {
	b.entry()
	if e.resource != nil {
		b.raw(`"resource":`).bytes(e.resource).raw(`,`)
	}
	b.raw(`"response":{"status":`).text(e.status)
	if e.location != "" {
		b.raw(`,"location":`).text(base + "/" + e.location)
	}
	if e.version > 0 {
		b.raw(`,"etag":`).text(etag(e.version))
	}
	if !e.updated.IsZero() {
		b.raw(`,"lastModified":`).text(e.updated.UTC().Format(instantForm))
	}
	if len(e.outcome) > 0 {
		b.raw(`,"outcome":`).bytes(fhir.Outcome(e.outcome...))
	}
	b.raw(`}}`)
}

const instantForm = "2006-01-02T15:04:05.000000Z07:00"

// inner makes a call of its own out of an entry of a Bundle. With tx it runs inside that transaction.
func (c *Call) inner(e *fhirjson.Node, tx *db.Tx) (*Call, act, error) {
	request := e.Get("request")
	method, address := request.Get("method").Text(), request.Get("url").Text()
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
	case "":
		return nil, nil, fhir.Problem("required", "The entry has no request.method.", "Say GET, POST, PUT, PATCH or DELETE.")
	default:
		return nil, nil, fhir.Problem("value", "The entry has a method that does not exist.", "Say GET, POST, PUT, PATCH or DELETE.")
	}
	path, query, _ := strings.Cut(strings.TrimPrefix(address, c.Base+"/"), "?")
	if strings.Contains(path, "://") {
		return nil, nil, fhir.Problem("value", "The entry asks for something on another server.", "Write request.url relative to the base, such as Patient/x.")
	}
	values, err := queryOf(query)
	if err != nil {
		return nil, nil, err
	}
	delete(values, "_format")
	delete(values, "_pretty")
	t, err := parsePath(strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, nil, err
	}
	do, _, err := c.x.api.resolve(method, t)
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{}
	for _, h := range [][2]string{{"ifMatch", "If-Match"}, {"ifNoneMatch", "If-None-Match"}, {"ifModifiedSince", "If-Modified-Since"}, {"ifNoneExist", "If-None-Exist"}} {
		if v := request.Get(h[0]).Text(); v != "" {
			header.Set(h[1], v)
		}
	}
	if since, err := time.Parse(time.RFC3339, header.Get("If-Modified-Since")); err == nil {
		header.Set("If-Modified-Since", since.UTC().Format(http.TimeFormat)) // an instant in a Bundle, a date in a header
	}
	x := &exchange{api: c.x.api, id: c.x.id, practice: c.x.practice, scope: c.Scope, base: c.Base, query: values, prefer: c.x.prefer, targets: c.x.targets,
		out: formatJSON, sent: formatJSON, r: &http.Request{Method: method, Header: header, URL: &url.URL{Path: "/" + c.Practice.Slug + "/fhir/" + path, RawQuery: query}}}
	in := &Call{Practice: c.Practice, Scope: c.Scope, Base: c.Base, Type: t.typ, ID: t.id, Version: t.version, Query: values, x: x, at: t, tx: tx, nested: true}
	resource := e.Get("resource")
	switch {
	case resource == nil:
	case method == "GET" || method == "HEAD" || method == "DELETE":
		return nil, nil, fhir.Problem("structure", "A "+method+" entry carries a resource.", "Leave entry.resource out.")
	case method == "POST" && strings.HasSuffix(path, "_search"):
		return nil, nil, fhir.Problem("not-supported", "A search is not posted inside a Bundle.", "Write it as GET, Type?parameter=value.")
	default:
		n := resource.Clone()
		in.node = &n
	}
	return in, do, nil
}

// guarded runs an entry's interaction and survives its faults.
func (a *API) guarded(ctx context.Context, c *Call, do act) (ans *Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			what := fmt.Sprintf("%T", v)
			if e, ok := v.(runtime.Error); ok {
				what = e.Error()
			}
			a.o.Log.Error("an entry of a Bundle failed", "request", c.x.id, "panic", what, "stack", string(debug.Stack()))
			err = fhir.Problem("exception", "Something broke here.", "Try again; if it happens again, report the request "+c.x.id+".")
		}
	}()
	return do(ctx, c)
}

// inParallel calls fn for 0 to n-1, a few at a time: writers that wait together share a commit.
func inParallel(n int, fn func(i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(n, 8) {
		wg.Go(func() {
			for i := range work {
				fn(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// patchIn reads a patch that is a resource: Parameters for a FHIRPath Patch, a Binary for a JSON Patch.
func patchIn(n *fhirjson.Node) (change, error) {
	switch n.Get("resourceType").Text() {
	case "Parameters":
		return func(doc *fhirjson.Node) (*fhirjson.Node, error) { return fhirpatch.FHIRPath(doc, n) }, nil
	case "Binary":
		if n.Get("contentType").Text() != jsonPatch {
			break
		}
		raw, err := base64.StdEncoding.DecodeString(n.Get("data").Text())
		if err != nil {
			return nil, fhir.Problem("value", "The data of the Binary are not base64.", "Encode the JSON Patch in base64.").At("Binary.data")
		}
		p, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: len(raw)})
		if err != nil {
			return nil, fhir.SyntaxIssue(err)
		}
		return func(doc *fhirjson.Node) (*fhirjson.Node, error) { return fhirpatch.Resource(doc, p) }, nil
	}
	return nil, fhir.Problem("structure", "This is not a patch.", "Send a Parameters resource with operations, or a Binary of type application/json-patch+json.")
}
