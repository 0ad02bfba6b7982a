package fhirstore

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// slow answers searches the plain way: look at every resource, decide by access and fhirsearch.Match. It is
// what Search is compared with.
type slow struct {
	all    []*Resource
	access auth.Access
}

func slowOf(s db.Scope, all []*Resource) slow { return slow{all, auth.AccessOf(s)} }

// sees decides the kernel anew from the resource itself.
func (m slow) sees(r *Resource, bit auth.Bits) bool {
	var patients []string
	if r.Type == "Patient" {
		patients = append(patients, r.ID)
	}
	named, _ := fhirsearch.Extract(r.Type, r.Node())
	for _, about := range []bool{true, false} { // whom it is about first
		for _, v := range named {
			if v.Kind == fhirsearch.Reference && v.Modifier == "" && v.RefType == "Patient" && planOf(r.Type).inPatient[v.Param] && about == (v.Param == planOf(r.Type).subject) {
				patients = append(patients, v.RefID)
			}
		}
	}
	if queries, narrowed := m.access.Narrowed(r.Type, bit); narrowed && !slices.ContainsFunc(queries, func(query string) bool {
		form, _ := url.ParseQuery(query)
		q, issues := fhirsearch.ParseQuery(r.Type, form)
		for name := range form { // what leads to other resources opens nothing
			if strings.ContainsAny(name, ".") || strings.HasPrefix(name, "_has") {
				return false
			}
		}
		return len(issues) == 0 && m.matches(r, q.Clauses)
	}) {
		return false
	}
	first := ""
	if len(patients) > 0 {
		first = patients[0]
	}
	forbidden, _ := m.access.ForbiddenIn(first)
	if !m.access.Allows(r.Type, bit) || r.Labels&forbidden != 0 {
		return false
	}
	if !sharedTypes[r.Type] && slices.ContainsFunc(patients, func(id string) bool { return m.access.Charts[id].Closed }) {
		return false
	}
	if m.access.Compartment == "" || sharedTypes[r.Type] || r.Reference() == m.access.Compartment {
		return true
	}
	values, _ := fhirsearch.Extract(r.Type, r.Node())
	for _, code := range PatientParams(r.Type) {
		canonical, _ := fhirsearch.Alias(r.Type, code)
		for _, v := range values {
			if v.Param == canonical && v.Kind == fhirsearch.Reference && v.RefType+"/"+v.RefID == m.access.Compartment {
				return true
			}
		}
	}
	return false
}

func (m slow) find(typ string, clauses []fhirsearch.Clause) (ids []string) {
	for _, r := range m.all {
		if r.Type == typ && m.sees(r, auth.CanSearch) && m.matches(r, clauses) {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m slow) matches(r *Resource, clauses []fhirsearch.Clause) bool {
	for _, c := range clauses {
		switch {
		case c.Filter != nil:
			if !m.filter(r, c.Filter) {
				return false
			}
		case c.NeedsTerminology():
			var listed []fhirsearch.ValueTerm
			for _, v := range c.Values {
				codes, _ := testTerms(context.Background(), nil, CodeQuestion{Modifier: strings.TrimPrefix(c.Modifier, "not-"), ValueSet: v.Text, System: v.System, Code: v.Code})
				for _, code := range codes {
					listed = append(listed, fhirsearch.ValueTerm{System: code.System, Code: code.Code, HasSystem: true})
				}
			}
			plain := c
			plain.Modifier, plain.Values = "", listed
			if fhirsearch.Match(r.Node(), plain) == (c.Modifier == "not-in") {
				return false
			}
		case c.Has != nil:
			if !m.has(r, c.Has) {
				return false
			}
		case len(c.Chain) > 0:
			if !m.chain(r, &c) {
				return false
			}
		case !fhirsearch.Match(r.Node(), c):
			return false
		}
	}
	return true
}

func (m slow) filter(r *Resource, f *fhirsearch.Filter) bool {
	switch f.Op {
	case "and":
		return !slices.ContainsFunc(f.Args, func(a *fhirsearch.Filter) bool { return !m.filter(r, a) })
	case "or":
		return slices.ContainsFunc(f.Args, func(a *fhirsearch.Filter) bool { return m.filter(r, a) })
	case "not":
		return !m.filter(r, f.Args[0])
	}
	return m.matches(r, []fhirsearch.Clause{*f.Clause})
}

// testTerms knows one value set and one hierarchy.
func testTerms(_ context.Context, _ *db.Tx, ask CodeQuestion) ([]fhir.Code, error) {
	loinc := func(codes ...string) (out []fhir.Code) {
		for _, c := range codes {
			out = append(out, fhir.Code{System: "http://loinc.org", Code: c})
		}
		return out
	}
	switch {
	case ask.Modifier == "in" && ask.ValueSet == "http://vs/a":
		return loinc("a", "zz"), nil
	case ask.Modifier == "below" && ask.Code == "ab":
		return loinc("ab", "a", "b"), nil
	case ask.Modifier == "above" && ask.Code == "a":
		return loinc("ab", "a"), nil
	}
	return nil, fhir.Problem("not-found", "Not known.", "Ask for another.")
}

func (m slow) chain(r *Resource, c *fhirsearch.Clause) bool {
	for _, link := range c.Chain {
		ids := m.find(link.Target, []fhirsearch.Clause{*link.Clause})
		for _, ref := range r.references(c.Param) {
			if ref.RefType == link.Target && slices.Contains(ids, ref.RefID) {
				return true
			}
		}
	}
	return false
}

func (m slow) has(r *Resource, h *fhirsearch.Has) bool {
	ids := m.find(h.Type, []fhirsearch.Clause{*h.Clause})
	for _, o := range m.all {
		if o.Type != h.Type || !slices.Contains(ids, o.ID) {
			continue
		}
		for _, ref := range o.references(h.Param) {
			if ref.RefType+"/"+ref.RefID == r.Reference() {
				return true
			}
		}
	}
	return false
}

// parse reads "Type?a=b&c=d".
func parse(t testing.TB, request string) fhirsearch.Query {
	t.Helper()
	typ, query, _ := strings.Cut(request, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	q, issues := fhirsearch.ParseQuery(typ, values)
	if issues.HasErrors() {
		t.Fatalf("%s: %v", request, issues)
	}
	return q
}

// search returns the ids of all pages in order, and those included.
func (b *bench) search(s db.Scope, request string) (ids, included []string, err error) {
	q := parse(b.t, request)
	err = b.d.View(context.Background(), s, func(tx *db.Tx) error {
		for {
			page, err := b.Search(context.Background(), tx, q)
			if err != nil {
				return err
			}
			for _, r := range page.Resources {
				ids = append(ids, r.ID)
			}
			for _, r := range page.Included {
				included = append(included, r.Reference())
			}
			if page.Next == "" {
				return nil
			}
			q.Page = page.Next
		}
	})
	return ids, included, err
}

// everything reads all current resources of a practice as the system.
func (b *bench) everything(p db.PracticeID) (all []*Resource) {
	b.t.Helper()
	b.view(system(p), func(ctx context.Context, tx *db.Tx) error {
		for after := int64(0); ; {
			some, next, err := b.Changes(ctx, tx, after, 10000)
			if err != nil || next == after {
				return err
			}
			after = next
			for _, r := range some {
				if !r.Deleted {
					all = append(all, r)
				}
			}
		}
	})
	return all
}

// agree compares Search with the slow way for one request.
func (b *bench) agree(s db.Scope, all []*Resource, request string) int {
	b.t.Helper()
	q := parse(b.t, request)
	want := slowOf(s, all).find(q.Type, q.Clauses)
	got, _, err := b.search(s, request)
	access := auth.AccessOf(s)
	if !access.Allows(q.Type, auth.CanSearch) || strings.HasPrefix(access.Compartment, "Practitioner/") {
		if i, ok := err.(*fhir.Issue); !ok || i.Code != "forbidden" {
			b.t.Errorf("%s without permission: %v", request, err)
		}
		return 0
	}
	if err != nil {
		b.t.Errorf("%s: %v", request, err)
		return 0
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		b.t.Errorf("%s for %+v gives\n%d %v, the slow way\n%d %v", request, access, len(got), head(got), len(want), head(want))
	}
	return len(want)
}

func head(s []string) []string { return s[:min(len(s), 12)] }
