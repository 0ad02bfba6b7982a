package fhirapi

import (
	"context"
	"net/url"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// defaultPage is how many resources a page has when the client does not say.
const defaultPage = 50

// compartmentAll answers [base]/Patient/x/*: every type of the compartment that the scope may search, type by type.
func (a *API) compartmentAll(ctx context.Context, c *Call) (*Answer, error) {
	values := c.values()
	access := auth.AccessOf(c.Scope)
	f := &finding{typ: "Resource", self: c.self(), page: &fhirstore.Page{Total: -1}}
	err := c.View(ctx, func(tx *db.Tx) error {
		at := ""
		if sealed := values.Get("_page"); sealed != "" {
			var err error
			if values, at, err = openPage(tx, c.path(), sealed); err != nil {
				return err
			}
		}
		from, place, _ := strings.Cut(at, " ")
		room := -1
		for _, typ := range fhir.ResourceTypes() {
			if typ < from || len(fhir.Compartment(c.Type, typ)) == 0 || !access.Allows(typ, auth.CanSearch) {
				continue
			}
			q, err := c.wholeQuery(typ, values)
			if err != nil {
				return err
			}
			f.q = q
			if room < 0 {
				if room = q.Count; room == 0 {
					room = defaultPage
				}
			}
			if room == 0 {
				f.next, err = sealPage(tx, c.path(), values, typ)
				return err
			}
			if q.Count = room; typ == from {
				q.Page = place
			}
			q.Compartment = c.Type + "/" + c.ID
			page, err := c.Store().Search(ctx, tx, q)
			if err != nil {
				return err
			}
			f.page.Resources = append(f.page.Resources, page.Resources...)
			if page.Next != "" {
				f.next, err = sealPage(tx, c.path(), values, typ+" "+page.Next)
				return err
			}
			room -= len(page.Resources)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.See(searchEvent("", f.page.Resources))
	return &Answer{Resource: f.bundle(c)}, nil
}

// wholeQuery reads the parameters of a search over all types of a compartment: those that every type has.
func (c *Call) wholeQuery(typ string, values url.Values) (fhirsearch.Query, error) {
	for name := range values {
		base, _, _ := strings.Cut(name, ":")
		switch base {
		case "_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_count", "_elements", "_summary", "_page":
		default:
			i := fhir.Problem("not-supported", "The parameter "+short(name)+" cannot be used for all types at once.", "Use _id, _lastUpdated, _tag, _profile, _security, _source, _count or _summary, or search one type.").At("http." + short(name))
			if !c.x.prefer.lenient {
				return fhirsearch.Query{}, i
			}
		}
	}
	q, issues := fhirsearch.ParseQuery(typ, values)
	if _, err := c.tolerated(issues); err != nil {
		return q, err
	}
	if q.Summary == "count" {
		return q, fhir.Problem("not-supported", "All types at once cannot be counted.", "Count one type, [base]/"+c.Type+"/"+c.ID+"/Type?_summary=count.").At("http._summary")
	}
	return q, nil
}
