package fhirapi

import (
	"context"
	"net/url"
	"strings"

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
	f := &finding{typ: typ, self: c.self()}
	look := c.View
	if typ != "" && !several(typ, values) {
		look = c.glance
	}
	err := look(ctx, func(tx *db.Tx) error {
		place := ""
		if sealed := values.Get("_page"); sealed != "" {
			var err error
			if values, place, err = openPage(tx, c.path(), sealed); err != nil {
				return err
			}
		}
		if err := c.query(ctx, tx, f, values, within, place); err != nil {
			return err
		}
		var err error
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

// several says that a search asks for more than its matches, which then should be of one moment.
func several(typ string, values url.Values) bool {
	for name, v := range values {
		if name == "_sort" && len(v) == 1 && fhirstore.SortedByIndex(typ, v[0]) {
			continue
		}
		for _, more := range []string{"_include", "_revinclude", "_total", "_summary", "_sort", "_page"} {
			if strings.HasPrefix(name, more) {
				return true
			}
		}
	}
	return false
}

// query carries out the search: of one type, or with typ "" of several.
func (c *Call) query(ctx context.Context, tx *db.Tx, f *finding, values url.Values, within, place string) error {
	var queries []fhirsearch.Query
	var issues fhir.Issues
	if f.typ == "" {
		queries, issues = fhirsearch.ParseTypes(values)
	} else {
		q, is := fhirsearch.ParseQuery(f.typ, values)
		queries, issues = []fhirsearch.Query{q}, is
	}
	var err error
	if f.hints, err = c.tolerated(issues); err != nil {
		return err
	}
	for i := range queries {
		queries[i].Page, queries[i].Compartment = place, within
	}
	if len(queries) > 0 {
		f.q = queries[0]
	}
	if f.typ == "" {
		f.page, err = c.Store().SearchTypes(ctx, tx, queries)
	} else {
		f.page, err = c.Store().Search(ctx, tx, f.q)
	}
	return err
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

// self is the address of the search as it was sent, without what a form said.
func (c *Call) self() string {
	if len(c.form) == 0 && len(c.Query) > 0 {
		return c.path() + "?" + c.Query.Encode()
	}
	return c.path()
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

// searchAll answers GET [base]?_type=… and POST [base]/_search: several types at once.
func (a *API) searchAll(ctx context.Context, c *Call) (*Answer, error) {
	found, err := c.find(ctx, "", "")
	if err != nil {
		return nil, err
	}
	return &Answer{Resource: found.bundle(c)}, nil
}

// narrow applies _summary and _elements to an entry.
func (f *finding) narrow(r *fhirstore.Resource) ([]byte, error) {
	return subset(r.Type, r.Raw, f.q.Summary, f.q.Elements)
}
