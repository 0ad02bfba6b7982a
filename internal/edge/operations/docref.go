package operations

import (
	"context"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// summaryOfCare is the document that $docref means when nobody says which (US Core: a C-CDA continuity of care document).
const summaryOfCare = "http://loinc.org|34133-9"

// documentsRead bounds the documents of a patient that $docref looks through.
const documentsRead = 5000

// docref answers DocumentReference/$docref of US Core: without dates the latest document of a kind, with dates those about care
// in that time. Documents are found, not made: asked for on-demand ones it finds none and says so.
func docref(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	v := c.Texts()
	id := strings.TrimPrefix(v.Get("patient"), "Patient/")
	of, err := spanOf(v.Get("start"), v.Get("end"))
	if err != nil {
		return nil, err
	}
	kind, err := kindOf(c.Parameters.First("type"))
	if err != nil {
		return nil, err
	}
	set := fhirapi.Set{Whole: true}
	switch v.Get("on-demand") {
	case "", "false":
	case "true":
		set.Hints = fhir.Issues{{Severity: "information", Code: "informational", Text: "No documents are made on demand here.", Fix: "Ask without on-demand for the documents that there are."}}
	default:
		return nil, fhir.Problem("value", "on-demand is not true or false.", "Send true or false, or leave it out.").At("on-demand")
	}
	params := map[string][]string{"patient": {"Patient/" + id}, "type": {kind}, "status": {"current"}}
	if p := v["profile"]; len(p) > 0 {
		params["_profile"] = []string{strings.Join(p, ",")}
	}
	q, issues := fhirsearch.ParseQuery("DocumentReference", params)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	q.Count = 200
	err = c.View(ctx, func(tx *db.Tx) error {
		if _, err := c.Store().Read(ctx, tx, "Patient", id); err != nil {
			return err
		}
		for looked := 0; len(set.Hints) == 0; {
			page, err := c.Store().Search(ctx, tx, q)
			if err != nil {
				return err
			}
			for _, r := range page.Resources {
				if of.open() {
					set.Matches = later(set.Matches, r)
				} else if of.holds(r.Type, r.Node()) {
					set.Matches = append(set.Matches, r)
				}
			}
			if q.Page = page.Next; q.Page == "" {
				break
			}
			if looked += len(page.Resources); looked >= documentsRead {
				return fhir.Problem("too-costly", "The patient has more than 5,000 documents of this kind.", "Search DocumentReference page by page instead.")
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.SeeAll("$docref", set.Matches)
	return c.Searchset(set), nil
}

// later keeps the document that was made last.
func later(have []*fhirstore.Resource, r *fhirstore.Resource) []*fhirstore.Resource {
	made := func(x *fhirstore.Resource) int64 {
		if at, _, ok := fhirsearch.Moment(x.Node().Get("date").Text()); ok {
			return at
		}
		return fhirsearch.SortDate(x.Type, x.Node())
	}
	if len(have) == 0 || made(r) > made(have[0]) {
		return []*fhirstore.Resource{r}
	}
	return have
}

// kindOf reads the parameter type, "system|code" in an address or a CodeableConcept, as search terms.
func kindOf(p *fhirapi.Parameter) (string, error) {
	if p == nil {
		return summaryOfCare, nil
	}
	if p.Value.Kind() == fhirjson.String {
		return p.Text(), nil
	}
	codings := p.Value.Get("coding").Items()
	if p.Type == "Coding" {
		codings = []fhirjson.Node{*p.Value}
	}
	var out []string
	for i := range codings {
		if code := codings[i].Get("code").Text(); code != "" {
			term := escape(code)
			if system := codings[i].Get("system").Text(); system != "" {
				term = escape(system) + "|" + term
			}
			out = append(out, term)
		}
	}
	if len(out) == 0 {
		return "", fhir.Problem("value", "The type has no code.", "Send a coding with a system and a code.").At("type")
	}
	return strings.Join(out, ","), nil
}

// escape writes a text as a search value.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `|`, `\|`, `$`, `\$`).Replace(s)
}
