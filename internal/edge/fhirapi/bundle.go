package fhirapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// maxEntries bounds a Bundle at the base.
const maxEntries = 10_000

// bundle answers POST [base]: a Bundle of type transaction or batch.
func (a *API) bundle(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls(); err != nil {
		return nil, err
	}
	n, err := c.Resource()
	if err != nil {
		return nil, err
	}
	if n.Get("resourceType").Text() != "Bundle" {
		return nil, fhir.Problem("structure", "What is posted to the base is a Bundle.", "Send a Bundle of type transaction or batch, or send the resource to [base]/Type.").At("resourceType")
	}
	entries := n.Get("entry").Items()
	if len(entries) > maxEntries {
		return nil, fhir.Problem("too-costly", fmt.Sprintf("The Bundle has more than %d entries.", maxEntries), "Send several Bundles.").At("Bundle.entry")
	}
	if err := c.x.charge(len(entries) - 1); err != nil {
		return nil, err
	}
	switch n.Get("type").Text() {
	case "transaction":
		return a.transaction(ctx, c, n)
	case "batch":
		return a.batch(ctx, c, entries)
	}
	return nil, fhir.Problem("value", "A Bundle of this type cannot be carried out.", "Make its type transaction, all or nothing, or batch, each entry on its own.").At("Bundle.type")
}

// transaction carries out a Bundle as one transaction of the store, the rules of owners and the idempotency key within it.
func (a *API) transaction(ctx context.Context, c *Call, n *fhirjson.Node) (*Answer, error) {
	key, err := c.idempotency()
	if err != nil {
		return nil, err
	}
	entries := n.Get("entry").Items()
	var ans *Answer
	options := fhirstore.ApplyOptions{
		Owners:    a.o.Owners,
		MustExist: true,
		Targets:   c.x.targets,
		Patch:     patchOf,
		Before: func(ctx context.Context, tx *db.Tx) error {
			c.events = nil
			if err := c.before(ctx, tx, key); err != nil {
				return err
			}
			return c.mayPutAll(ctx, tx, entries)
		},
		Look: func(ctx context.Context, tx *db.Tx, index int) (fhirstore.EntryResult, error) {
			return a.look(ctx, tx, c, &entries[index])
		},
		Within: func(ctx context.Context, tx *db.Tx, results []fhirstore.EntryResult) error {
			for i := range results {
				r := &results[i]
				if r.Created && r.Method == http.MethodPut && r.Resource != nil {
					// A condition that found nothing: the id is the client's choice here too.
					if !strings.Contains(entries[i].Get("request").Get("url").Text(), "?") || c.mayChooseID(r.Resource.Type) {
						continue
					}
					return fhir.Issues{*notFound(r.Resource.Type).At("Bundle.entry[" + strconv.Itoa(i) + "]")}
				}
				if r.Same && r.Resource != nil && !r.Resource.Deleted {
					c.SeeResource(audit.ActionRead, r.Resource) // found instead of created
				}
			}
			ans = &Answer{Resource: c.responses("transaction-response", results), typ: "Bundle"}
			return c.after(ctx, tx, key, ans)
		},
	}
	var result *fhirstore.BundleResult
	err = again(func() error {
		tree, err := c.Resource()
		if err != nil {
			return err
		}
		c.node = nil // applying takes the tree over: another try reads the body anew
		result, err = a.o.Store.ApplyNode(ctx, c.Scope, tree, options)
		return err
	})
	if before, ok := answeredBefore(err); ok {
		return before, nil
	}
	if err != nil {
		c.events = nil
		return nil, err
	}
	if ans == nil { // no entries, no transaction
		ans = &Answer{Resource: c.responses("transaction-response", result.Entries), typ: "Bundle"}
	}
	return ans, nil
}

// mayPutAll refuses PUT entries under ids that are not there for the scope (see mayPut), before anything else tells them apart.
func (c *Call) mayPutAll(ctx context.Context, tx *db.Tx, entries []fhirjson.Node) error {
	for i := range entries {
		request := entries[i].Get("request")
		address := request.Get("url").Text()
		if request.Get("method").Text() != http.MethodPut || strings.Contains(address, "?") {
			continue
		}
		t, err := parsePath(strings.TrimPrefix(strings.TrimPrefix(address, c.Base+"/"), "/"))
		if err != nil || t.shape != instance {
			continue // the store says what is wrong with it
		}
		if err := c.mayPut(ctx, tx, t.typ, t.id); err != nil {
			var one *fhir.Issue
			if !errors.As(err, &one) {
				return err
			}
			return fhir.Issues{*one.At("Bundle.entry[" + strconv.Itoa(i) + "]")}
		}
	}
	return nil
}

// patchOf applies what a PATCH entry holds: a FHIRPath Patch, or a JSON Patch inside a Binary.
func patchOf(patch, resource *fhirjson.Node) (*fhirjson.Node, error) {
	fn, err := patchIn(patch)
	if err != nil {
		return nil, err
	}
	return fn(resource)
}

// look answers a GET entry of a transaction within it.
func (a *API) look(ctx context.Context, tx *db.Tx, c *Call, e *fhirjson.Node) (fhirstore.EntryResult, error) {
	in, do, err := c.inner(e, tx)
	if err != nil {
		return fhirstore.EntryResult{}, err
	}
	ans, err := do(ctx, in)
	if err != nil {
		return fhirstore.EntryResult{}, err
	}
	c.See(in.events...)
	body := ans.Resource
	if ans.narrow {
		if body, err = in.x.narrowed(ans.typ, body); err != nil {
			return fhirstore.EntryResult{}, err
		}
	}
	r := fhirstore.EntryResult{Status: "200 OK", Body: body}
	if ans.Version > 0 {
		r.Resource = &fhirstore.Resource{Version: ans.Version, Updated: ans.Updated}
	}
	return r, nil
}

// responses writes the Bundle that answers a Bundle.
func (c *Call) responses(kind string, results []fhirstore.EntryResult) []byte {
	b := newBundle(kind, 256*len(results)+256)
	for i := range results {
		r := &results[i]
		e := response{status: r.Status, resource: r.Body}
		switch {
		case r.Method == http.MethodGet && r.Resource != nil:
			e.version, e.updated = r.Resource.Version, r.Resource.Updated
		case r.Resource != nil && !r.Resource.Deleted:
			e.version, e.updated = r.Resource.Version, r.Resource.Updated
			e.location = r.Resource.Reference() + "/_history/" + strconv.FormatInt(r.Resource.Version, 10)
			switch c.x.prefer.ret {
			case "representation":
				e.resource = r.Resource.Raw
			case "OperationOutcome":
				e.outcome = fhir.Issues{{Severity: "information", Code: "informational", Text: "The entry was carried out."}}
			}
		}
		e.outcome = append(append(e.outcome, r.Issues...), r.Warnings...)
		e.write(b, c.Base)
	}
	return b.done()
}

// batch carries out entries on their own, the writes first. Each entry has a transaction, and with an idempotency key on the
// Bundle a key, of its own.
func (a *API) batch(ctx context.Context, c *Call, entries []fhirjson.Node) (*Answer, error) {
	key, err := c.idempotency()
	if err != nil {
		return nil, err
	}
	inner := make([]*Call, len(entries))
	acts := make([]act, len(entries))
	out := make([]response, len(entries))
	var writes, reads []int
	for i := range entries {
		in, do, err := c.inner(&entries[i], nil)
		if err == nil && in.at.shape == system && in.x.r.Method == http.MethodPost {
			err = fhir.Problem("not-supported", "A Bundle inside a batch is not taken.", "Put its entries into the batch.")
		}
		if err != nil {
			out[i] = c.failed(err, i)
			continue
		}
		inner[i], acts[i] = in, do
		if m := in.x.r.Method; m == http.MethodGet || m == http.MethodHead {
			reads = append(reads, i)
			continue
		}
		if key != nil {
			in.key = key.Value + "#" + strconv.Itoa(i)
			in.Body = entries[i].AppendJSON(nil)
		}
		writes = append(writes, i)
	}
	for _, group := range [][]int{writes, reads} {
		inParallel(len(group), func(k int) {
			i := group[k]
			ans, err := a.guarded(ctx, inner[i], acts[i])
			if err != nil {
				out[i] = c.failed(err, i)
				return
			}
			out[i] = inner[i].responseOf(ans)
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	b := newBundle("batch-response", 512*len(entries)+256)
	for i := range out {
		if inner[i] != nil && out[i].issues == nil {
			c.See(inner[i].events...)
		}
		out[i].write(b, c.Base)
	}
	return &Answer{Resource: b.done()}, nil
}

// failed is the response to an entry that was refused.
func (c *Call) failed(err error, i int) response {
	issues, status := c.x.explain(err)
	at := "Bundle.entry[" + strconv.Itoa(i) + "]"
	placed := make(fhir.Issues, len(issues))
	for k, issue := range issues {
		if issue.Path == "" {
			issue.Path = at
		} else if !strings.HasPrefix(issue.Path, "Bundle.") && !strings.HasPrefix(issue.Path, "http.") {
			issue.Path = at + ".resource." + issue.Path
		}
		placed[k] = issue
	}
	return response{status: strconv.Itoa(status) + " " + http.StatusText(status), outcome: placed, issues: placed}
}

// responseOf is the response to an entry that was carried out.
func (c *Call) responseOf(ans *Answer) response {
	if ans == nil {
		ans = &Answer{Status: http.StatusNoContent}
	}
	status := ans.Status
	if status == 0 {
		status = http.StatusOK
	}
	e := response{version: ans.Version, updated: ans.Updated, location: ans.Location, resource: ans.Resource, outcome: slices.Concat(c.hints, ans.unmet)}
	if ans.wrote && c.x.prefer.ret != "representation" {
		e.resource = nil
	}
	if ans.narrow && e.resource != nil {
		narrowed, err := c.x.narrowed(ans.typ, e.resource)
		if err != nil {
			return c.failed(err, 0)
		}
		e.resource = narrowed
	}
	if c.x.r.Method == http.MethodGet && status == http.StatusOK && c.x.unchanged(ans) {
		status, e.resource = http.StatusNotModified, nil
	}
	e.status = strconv.Itoa(status) + " " + http.StatusText(status)
	return e
}
