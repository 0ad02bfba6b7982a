package fhirapi

import (
	"context"

	"strconv"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// history answers GET [base]/Type/id/_history.
func (a *API) history(ctx context.Context, c *Call) (*Answer, error) {
	if c.at.shape != history {
		return nil, fhir.Problem("not-supported", "The history of a whole type cannot be read.", "Read the history of one resource, [base]/Type/id/_history.")
	}
	if err := c.controls("_count", "_since", "_page"); err != nil {
		return nil, err
	}
	count := 50
	if v := c.Query.Get("_count"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return nil, fhir.Problem("value", "_count is not a whole number from 1.", "Send a number of versions per page, such as _count=50.").At("http._count")
		}
		count = min(n, 1000)
	}
	var since time.Time
	if v := c.Query.Get("_since"); v != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, v); err != nil {
			return nil, fhir.Problem("value", "_since is not an instant.", "Write it as 2026-03-01T00:00:00Z, with + in a zone encoded as %2B.").At("http._since")
		}
	}
	var list []*fhirstore.Resource
	next := ""
	err := c.View(ctx, func(tx *db.Tx) error {
		before := int64(0)
		if p := c.Query.Get("_page"); p != "" {
			_, place, err := openPage(tx, c.path()+"/"+c.ID+"/_history", p)
			if err != nil {
				return err
			}
			before, _ = strconv.ParseInt(place, 10, 64)
		}
		var err error
		if list, err = a.o.Store.History(ctx, tx, c.Type, c.ID, before, count+1); err != nil {
			return err
		}
		for i, r := range list {
			if r.Updated.Before(since) {
				list = list[:i]
				break
			}
		}
		if len(list) > count {
			list = list[:count]
			next, err = sealPage(tx, c.path()+"/"+c.ID+"/_history", c.Query, strconv.FormatInt(list[count-1].Version, 10))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	e := searchEvent(c.Type, list)
	e.Action, e.ID = audit.ActionRead, c.ID
	c.See(e)
	b := newBundle("history", 4096)
	if next == "" && c.Query.Get("_page") == "" {
		b.total(len(list))
	}
	b.link("self", c.Base+"/"+c.Type+"/"+c.ID+"/_history")
	if next != "" {
		b.link("next", c.Base+"/"+next)
	}
	for _, r := range list {
		historyEntry(b, c, r)
	}
	return &Answer{Resource: b.done()}, nil
}

// historyEntry writes a version with the request that made it.
func historyEntry(b *bundleWriter, c *Call, r *fhirstore.Resource) {
	b.entry()
	b.raw(`"fullUrl":`).text(c.Base + "/" + r.Type + "/" + r.ID)
	method, url, status := "PUT", r.Type+"/"+r.ID, "200"
	switch {
	case r.Deleted:
		method, status = "DELETE", "204"
	case r.Version == 1:
		method, url, status = "POST", r.Type, "201"
	}
	if !r.Deleted {
		b.raw(`,"resource":`).bytes(r.Raw)
	}
	b.raw(`,"request":{"method":"` + method + `","url":"` + url + `"},"response":{"status":"` + status + `","etag":`).text(etag(r.Version))
	b.raw(`,"lastModified":"` + r.Updated.UTC().Format("2006-01-02T15:04:05.000000Z07:00") + `"}}`)
}
