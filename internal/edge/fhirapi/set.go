package fhirapi

import (
	"net/url"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// Set is what an operation finds, for an answer as a Bundle of type searchset.
type Set struct {
	Matches []*fhirstore.Resource
	// Score gives further members of a match's entry.search as JSON that begins with a comma; nil for none.
	Score    func(i int) string
	Included []*fhirstore.Resource
	Whole    bool   // there are no other matches: the Bundle says how many
	Next     string // link to the next page below the base; "" for none
	Hints    fhir.Issues
}

// Searchset writes a set.
func (c *Call) Searchset(s Set) *Answer {
	b := newBundle("searchset", 4096)
	if s.Whole {
		b.total(len(s.Matches))
	}
	self := c.operationPath()
	if len(c.Query) > 0 {
		self += "?" + c.Query.Encode()
	}
	b.link("self", c.Base+"/"+self)
	if s.Next != "" {
		b.link("next", c.Base+"/"+s.Next)
	}
	entry := func(r *fhirstore.Resource, search string) {
		b.entry()
		b.raw(`"fullUrl":`).text(c.Base + "/" + r.Type + "/" + r.ID).raw(`,"resource":`).bytes(r.Raw).raw(`,"search":{` + search + `}}`)
	}
	for i, r := range s.Matches {
		more := ""
		if s.Score != nil {
			more = s.Score(i)
		}
		entry(r, `"mode":"match"`+more)
	}
	for _, r := range s.Included {
		entry(r, `"mode":"include"`)
	}
	if len(s.Hints) > 0 {
		b.entry()
		b.raw(`"resource":`).bytes(fhir.Outcome(s.Hints...)).raw(`,"search":{"mode":"outcome"}}`)
	}
	return &Answer{Resource: b.done()}
}

// SeeAll notes that an operation shows resources: each by reference, and every patient they are about.
func (c *Call) SeeAll(detail string, lists ...[]*fhirstore.Resource) {
	e := searchEvent(c.Type, lists...)
	e.ID, e.Detail = c.ID, detail
	if c.ID != "" {
		e.Action = audit.ActionRead
	}
	c.See(e)
}

// operationPath is the address of an operation below the base.
func (c *Call) operationPath() string {
	out := ""
	for _, part := range []string{c.Type, c.ID} {
		if part != "" {
			out += part + "/"
		}
	}
	return out + c.at.op
}

// Texts are the parameters of an operation that have a plain value, as a search has them.
func (c *Call) Texts() url.Values {
	out := url.Values{}
	for i := range c.Parameters {
		p := &c.Parameters[i]
		if t := p.Text(); t != "" {
			out.Add(p.Name, t)
		}
	}
	return out
}

// OpenPage gives the parameters of an operation and the place its page begins at: what the link that was followed holds, or what
// was sent and "". The operation lists the parameter _page.
func (c *Call) OpenPage(tx *db.Tx) (values url.Values, place string, err error) {
	values = c.Texts()
	if sealed := values.Get("_page"); sealed != "" {
		return openPage(tx, c.operationPath(), sealed)
	}
	return values, "", nil
}

// SealPage makes the link to the page of an operation that begins at a place.
func (c *Call) SealPage(tx *db.Tx, values url.Values, place string) (string, error) {
	return sealPage(tx, c.operationPath(), values, place)
}

// PatientOf is whose record a resource belongs to, "Patient/x", or "".
func PatientOf(r *fhirstore.Resource) string { return patientOf(r) }

// Form is which of the operation's own Forms is asked for, "" for none.
func (c *Call) Form() string { return c.x.form }

// Nested says whether the call is an entry of a Bundle, where an answer must be a resource.
func (c *Call) Nested() bool { return c.nested }
