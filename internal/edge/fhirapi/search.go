package fhirapi

import (
	"context"
	"net/http"
	"net/url"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// search answers GET [base]/Type?…, POST [base]/Type/_search and the same inside a compartment.
func (a *API) search(ctx context.Context, c *Call) (*Answer, error) {
	typ, within := c.Type, ""
	if c.at.inside != "" {
		if c.at.inside == "*" {
			return a.compartmentAll(ctx, c)
		}
		typ, within = c.at.inside, c.Type+"/"+c.ID
	}
	found, err := c.find(ctx, typ, within)
	if err != nil {
		return nil, err
	}
	return &Answer{Resource: found.bundle(c)}, nil
}

// finding is one page of a search.
type finding struct {
	typ   string
	q     fhirsearch.Query
	page  *fhirstore.Page
	self  string // path and query of the search as it was sent, without what a form said
	next  string // path and query of the next page
	hints fhir.Issues
}

// find carries out a search and notes what it shows.
func (c *Call) find(ctx context.Context, typ, within string) (*finding, error) {
	values := c.values()
	f := &finding{typ: typ, self: c.path()}
	if len(c.form) == 0 && len(c.Query) > 0 {
		f.self += "?" + c.Query.Encode()
	}
	err := c.View(ctx, func(tx *db.Tx) error {
		place := ""
		if sealed := values.Get("_page"); sealed != "" {
			var err error
			if values, place, err = openPage(tx, c.path(), sealed); err != nil {
				return err
			}
		}
		q, issues := fhirsearch.ParseQuery(typ, values)
		hints, err := c.tolerated(issues)
		if err != nil {
			return err
		}
		f.hints = hints
		q.Page = place
		q.Compartment = within
		if f.page, err = c.Store().Search(ctx, tx, q); err != nil {
			return err
		}
		f.q = q
		if f.page.Next != "" {
			f.next, err = sealPage(tx, c.path(), values, f.page.Next)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c.See(searchEvent(typ, f.page.Resources, f.page.Included))
	return f, nil
}

// values are the search parameters of the address and of the form.
func (c *Call) values() url.Values {
	if len(c.form) == 0 {
		return c.Query
	}
	all := url.Values{}
	for _, from := range []url.Values{c.Query, c.form} {
		for name, v := range from {
			if name == "_format" || name == "_pretty" {
				continue
			}
			all[name] = append(all[name], v...)
		}
	}
	return all
}

// path is the address of the search below the base, without _search.
func (c *Call) path() string {
	if c.at.inside != "" {
		return c.Type + "/" + c.ID + "/" + c.at.inside
	}
	return c.Type
}

// tolerated passes over parameters that do not exist when the client prefers that (Prefer: handling=lenient), with a warning each.
func (c *Call) tolerated(issues fhir.Issues) (hints fhir.Issues, err error) {
	if !c.x.prefer.lenient {
		return nil, issues.Err()
	}
	for _, i := range issues {
		if i.Code != "not-supported" {
			return nil, issues.Err()
		}
		i.Severity = "warning"
		hints = append(hints, i)
	}
	return hints, nil
}

// searchEvent is the access of a page: everything it shows by reference, and every patient it is about.
func searchEvent(typ string, lists ...[]*fhirstore.Resource) audit.Event {
	e := audit.Event{Action: audit.ActionSearch, Type: typ}
	patients := map[string]bool{}
	first := ""
	for _, list := range lists {
		for _, r := range list {
			e.Labels |= r.Labels
			p := patientOf(r)
			if p != "" && !patients[p] {
				patients[p] = true
				if first == "" {
					first = p
				}
				e.Links = append(e.Links, p)
			}
			if r.Type != "Patient" {
				e.Links = append(e.Links, r.Type+"/"+r.ID)
			}
		}
	}
	if len(patients) == 1 {
		e.Patient = first
	}
	return e
}

// searchAll answers a search over all types, which this server does not do.
func (a *API) searchAll(ctx context.Context, c *Call) (*Answer, error) {
	return nil, withStatus(http.StatusBadRequest, fhir.Problem("not-supported", "All types at once cannot be searched.",
		"Search one type, [base]/Type?…, or send several searches as a Bundle of type batch."))
}

// narrow applies _summary and _elements to an entry.
func (f *finding) narrow(r *fhirstore.Resource) ([]byte, error) {
	return subset(r.Type, r.Raw, f.q.Summary, f.q.Elements)
}
