package fhirapi

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// history answers GET _history of a resource, of a type and of the practice.
func (a *API) history(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls("_count", "_since", "_at", "_page", "_summary", "_elements"); err != nil {
		return nil, err
	}
	path := strings.TrimPrefix(strings.TrimSuffix(c.Type+"/"+c.ID, "/")+"/_history", "/")
	if c.at.shape == systemHistory && !auth.AccessOf(c.Scope).All && auth.AccessOf(c.Scope).Compartment == "" && len(auth.AccessOf(c.Scope).Types) == 0 {
		return nil, fhir.Problem("forbidden", "You may not read the history of the practice.", "Ask an administrator of the practice.")
	}
	var page *fhirstore.HistoryPage
	next := ""
	err := c.View(ctx, func(tx *db.Tx) error {
		values, place := c.Query, ""
		if sealed := values.Get("_page"); sealed != "" {
			var err error
			if values, place, err = openPage(tx, path, sealed); err != nil {
				return err
			}
		}
		q, err := historyQuery(values)
		if err != nil {
			return err
		}
		q.Type, q.ID, q.Page = c.Type, c.ID, place
		if page, err = a.o.Store.Versions(ctx, tx, q); err != nil {
			return err
		}
		if page.Next != "" {
			next, err = sealPage(tx, path, values, page.Next)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	e := searchEvent(c.Type, page.Versions)
	e.Action, e.ID, e.Detail = audit.ActionRead, c.ID, "history"
	c.See(e)
	b := newBundle("history", 4096)
	if next == "" && c.Query.Get("_page") == "" {
		b.total(len(page.Versions))
	}
	self := path
	if len(c.Query) > 0 {
		self += "?" + c.Query.Encode()
	}
	b.link("self", c.Base+"/"+self)
	if next != "" {
		b.link("next", c.Base+"/"+next)
	}
	for _, r := range page.Versions {
		if err := historyEntry(b, c, r); err != nil {
			return nil, err
		}
	}
	return &Answer{Resource: b.done()}, nil
}

func historyQuery(v url.Values) (q fhirstore.HistoryQuery, err error) {
	if s := v.Get("_count"); s != "" {
		if q.Count, err = strconv.Atoi(s); err != nil || q.Count < 1 {
			return q, fhir.Problem("value", "_count is not a whole number from 1.", "Send a number of versions per page, such as _count=50.").At("http._count")
		}
	}
	if s := v.Get("_since"); s != "" {
		// A plus that is not encoded arrives as a space.
		if q.Since, err = time.Parse(time.RFC3339, strings.ReplaceAll(s, " ", "+")); err != nil {
			return q, fhir.Problem("value", "_since is not an instant.", "Write it as 2026-03-01T00:00:00Z, with + in a zone encoded as %2B.").At("http._since")
		}
	}
	if s := v.Get("_at"); s != "" {
		if q.AtFrom, q.AtTo, err = period(strings.ReplaceAll(s, " ", "+")); err != nil {
			return q, fhir.Problem("value", "_at is not a date or time.", "Write it as 2026-03-01 or 2026-03-01T10:00:00Z.").At("http._at")
		}
	}
	return q, nil
}

// period is the time a partial date or an instant stands for, in UTC where it names no zone.
func period(s string) (from, to time.Time, err error) {
	for _, f := range []struct {
		form                string
		years, months, days int
		span                time.Duration
	}{{"2006", 1, 0, 0, 0}, {"2006-01", 0, 1, 0, 0}, {"2006-01-02", 0, 0, 1, 0}, {time.RFC3339, 0, 0, 0, time.Second}} {
		if from, err = time.Parse(f.form, s); err == nil {
			return from.UTC(), from.AddDate(f.years, f.months, f.days).Add(f.span).UTC(), nil
		}
	}
	return from, to, err
}

// historyEntry writes a version with the request that made it.
func historyEntry(b *bundleWriter, c *Call, r *fhirstore.Resource) error {
	method, url, status := "PUT", r.Type+"/"+r.ID, "200 OK"
	switch {
	case r.Deleted:
		method, status = "DELETE", "204 No Content"
	case r.Version == 1:
		method, url, status = "POST", r.Type, "201 Created"
	}
	b.entry()
	b.raw(`"fullUrl":`).text(c.Base + "/" + r.Type + "/" + r.ID)
	if !r.Deleted {
		raw, err := c.x.narrowed(r.Type, r.Raw)
		if err != nil {
			return err
		}
		b.raw(`,"resource":`).bytes(raw)
	}
	b.raw(`,"request":{"method":"` + method + `","url":"` + url + `"},"response":{"status":"` + status + `","etag":`).text(etag(r.Version))
	b.raw(`,"lastModified":`).text(r.Updated.UTC().Format(instantForm)).raw(`}}`)
	return nil
}
