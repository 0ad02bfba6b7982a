// Package docs describes the FHIR interface to people who write programs: what can be done with each type, how it is searched, which
// operations there are, and a console that sends requests as the person who is signed in. It takes all of it from the interface
// itself and keeps nothing. Everybody may read the pages; the console is for people who are signed in.
package docs

import (
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// Pages holds what the pages describe.
type Pages struct {
	api    *fhirapi.API
	origin string
}

// Register registers the pages. origin is what addresses begin with, such as "https://ehr.example.org".
func Register(r *ui.Router, api *fhirapi.API, origin string) {
	p := &Pages{api: api, origin: origin}
	r.Public("/{practice}/docs/api", auth.AccountSecurity, p.index)
	r.Public("/{practice}/docs/api/{type}", auth.AccountSecurity, p.one)
	r.Public("/{practice}/docs/graphql", auth.AccountSecurity, p.graphQL)
	r.AddCommands(ui.Command{ID: "docs", Title: "docs.title", Keys: "G M", Permission: auth.AccountSecurity, Group: ui.GroupSettings, Icon: "file-text", Path: "/docs/api", Office: "programs"})
}

// index is what the first page shows.
type index struct {
	all    fhirapi.Described
	text   string // what is looked for
	hits   []found
	script string
	budget fhirapi.Budget
	base   string // the address of the interface
}

// found is a type that the search box found, and why.
type found struct {
	Type string
	Why  []string // parameters and operations that match
}

// common types come first: they hold most of a practice's record.
var common = []string{"Patient", "Encounter", "Appointment", "Condition", "Observation", "MedicationRequest", "AllergyIntolerance", "Immunization", "DiagnosticReport", "DocumentReference", "Procedure", "Practitioner"}

func (p *Pages) index(w *ui.Reply, q *ui.Request) error {
	text := strings.TrimSpace(q.Query("q"))
	return w.HTML(http.StatusOK, indexView(q, index{p.api.Describe(""), text, p.search(text), p.script(q.Slug(), q.Demo()), p.api.Budget(), p.origin + q.URL("fhir")}))
}

// search finds types by their names, and by the names of parameters and operations.
func (p *Pages) search(text string) (out []found) {
	folded := strings.ToLower(text)
	for _, typ := range fhir.ResourceTypes() {
		f := found{Type: typ}
		hit := strings.Contains(strings.ToLower(typ), folded)
		if folded != "" {
			d := p.api.Describe(typ)
			for _, s := range d.Params {
				if strings.Contains(s.Name, folded) {
					f.Why = append(f.Why, s.Name)
				}
			}
			for _, op := range d.Operations {
				if len(op.Types) > 0 && strings.Contains(strings.ToLower(op.Name), folded) {
					f.Why = append(f.Why, op.Name)
				}
			}
		}
		if hit || len(f.Why) > 0 {
			out = append(out, f)
		}
	}
	return out
}

func (p *Pages) one(w *ui.Reply, q *ui.Request) error {
	typ := q.Path("type")
	if !fhir.IsResourceType(typ) {
		return fhir.Problem("not-found", q.T("docs.notype"), q.T("docs.notype.fix"))
	}
	return w.HTML(http.StatusOK, typeView(q, p.api.Describe(typ), examples()[typ]))
}

func shell(q *ui.Request, title string) ui.Shell { return ui.Shell{Title: title, Active: "docs"} }

// sample is an address to try: what varies is filled with what is likely to be there.
func sample(i fhirapi.Interaction) string {
	path := strings.TrimPrefix(i.Path, "/")
	if i.Code == "search-type" {
		return path + "?_count=5"
	}
	return path
}

// search shows how a parameter of a kind is written.
func written(s fhirapi.SearchParam) string {
	return s.Name + "=" + map[string]string{"token": "system|code", "reference": first(s.Targets) + "/id", "date": "ge2026-01-01", "string": "text", "quantity": "gt5.4|http://unitsofmeasure.org|mg", "number": "gt5",
		"uri": "http://example.org/x", "composite": "a$b", "special": "value"}[s.Type]
}

func first(targets []string) string {
	if len(targets) != 1 {
		return "Type"
	}
	return targets[0]
}

// problems are the statuses that programs have to deal with.
var problems = []string{"400", "401", "403", "404", "409", "410", "412", "422", "429"}

// at is the address of a type's page.
func at(q *ui.Request, typ string) templ.SafeURL { return templ.SafeURL(q.URL("docs", "api", typ)) }
