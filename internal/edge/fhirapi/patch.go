package fhirapi

import (
	"context"
	"mime"
	"net/http"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpatch"
)

// change turns the tree of a resource into another; the one it gets stays as it is.
type change func(n *fhirjson.Node) (*fhirjson.Node, error)

// readPatch reads the patch in the body.
func (c *Call) readPatch() (change, error) {
	if c.empty() {
		return nil, fhir.Problem("required", "The request has no body.", "Send a patch.")
	}
	if c.nested {
		return patchIn(c.node)
	}
	if typ, _, _ := mime.ParseMediaType(c.Header("Content-Type")); typ == jsonPatch {
		n, err := fhirjson.Parse(c.Body, fhirjson.Limits{Bytes: len(c.Body)})
		if err != nil {
			return nil, fhir.SyntaxIssue(err)
		}
		return func(doc *fhirjson.Node) (*fhirjson.Node, error) { return fhirpatch.Resource(doc, n) }, nil
	}
	n, err := c.Resource()
	if err != nil {
		return nil, err
	}
	return patchIn(n)
}

// patch answers PATCH [base]/Type/id.
func (a *API) patch(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls(); err != nil {
		return nil, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return nil, err
	}
	fn, err := c.readPatch()
	if err != nil {
		return nil, err
	}
	return c.join(ctx, func(tx *db.Tx) (*Answer, error) {
		r, err := a.o.Store.Read(ctx, tx, c.Type, c.ID)
		if err != nil {
			return nil, err
		}
		return a.patched(ctx, tx, c, r, fn, version)
	})
}

// patchWhere answers PATCH [base]/Type?condition.
func (a *API) patchWhere(ctx context.Context, c *Call) (*Answer, error) {
	condition, err := c.condition()
	if err != nil {
		return nil, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return nil, err
	}
	fn, err := c.readPatch()
	if err != nil {
		return nil, err
	}
	return c.joinWhere(ctx, condition, func(tx *db.Tx) (*Answer, error) {
		r, err := a.o.Store.Only(ctx, tx, c.Type, condition)
		if err != nil {
			return nil, conditional(err)
		}
		if r == nil {
			return nil, fhir.Problem("not-found", "No "+c.Type+" answers the condition.", "Check it with a search, or create the resource first.")
		}
		return a.patched(ctx, tx, c, r, fn, version)
	})
}

func (a *API) patched(ctx context.Context, tx *db.Tx, c *Call, r *fhirstore.Resource, fn change, version int64) (*Answer, error) {
	if version != 0 && version != r.Version {
		return nil, moved(r, version)
	}
	p, err := a.prepareChange(ctx, r, fn)
	if err != nil {
		return nil, err
	}
	c.seek(p)
	out, err := c.Owner(r.Type).Update(ctx, tx, p, r.Version)
	if err != nil {
		return nil, err
	}
	return written(out, http.StatusOK).of(p), nil
}

// prepareChange applies a patch to a stored resource and readies the result.
func (a *API) prepareChange(ctx context.Context, r *fhirstore.Resource, fn change) (*fhirstore.Prepared, error) {
	n, err := fn(r.Node())
	if err != nil {
		return nil, err
	}
	if n.Get("resourceType").Text() != r.Type || n.Get("id").Text() != r.ID {
		return nil, fhir.Problem("processing", "The patch changes which resource this is.", "Leave resourceType and id as they are.")
	}
	// What the resource says of itself as stored is the store's to say.
	if meta := n.Get("meta"); meta.Kind() == fhirjson.Object {
		meta.Delete("versionId")
		meta.Delete("lastUpdated")
		if meta.Len() == 0 {
			n.Delete("meta")
		}
	}
	return a.o.Store.PrepareNode(ctx, n)
}

// moved refuses a change that was made on an old version.
func moved(r *fhirstore.Resource, version int64) error {
	return fhirstore.Conflict(r.Type, version, r.Version)
}
