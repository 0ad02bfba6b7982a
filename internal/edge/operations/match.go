package operations

import (
	"context"
	"encoding/json"
	"sort"
	"strconv"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// compared bounds the patients that $match compares.
const compared = 100

// matchReason is the extension of an entry's search that says in plain words what agrees.
const matchReason = "https://yarrow.health/fhir/StructureDefinition/match-reason"

// Match returns Patient/$match (http://hl7.org/fhir/R4/patient-operation-match.html).
func Match(d *patient.Directory) fhirapi.Operation {
	return fhirapi.Operation{Name: "$match", Levels: fhirapi.Type, Types: []string{"Patient"},
		Params: []fhirapi.Param{
			{Name: "resource", Type: "Resource", Min: 1, Max: 1, Doc: "A Patient with what is known of the person."},
			{Name: "onlyCertainMatches", Type: "boolean", Max: 1, Doc: "Only a patient who certainly is the person, and none when several are."},
			{Name: "count", Type: "integer", Max: 1, Doc: "How many at most, 10 unless it says otherwise."},
		},
		Doc: "Finds the patients who may be a described person, graded certain, probable or possible, with reasons.",
		Run: func(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) { return match(ctx, c, d) },
	}
}

// likely is a patient with its likeness.
type likely struct {
	r *fhirstore.Resource
	patient.Likeness
}

func match(ctx context.Context, c *fhirapi.Call, d *patient.Directory) (*fhirapi.Answer, error) {
	asked := c.Parameters.First("resource").Resource
	if asked.Get("resourceType").Text() != "Patient" {
		return nil, fhir.Problem("value", "The parameter resource is not a Patient.", "Send a Patient with name, birthDate, identifier or telecom.").At("resource")
	}
	if issues := fhir.Validate(asked); issues.HasErrors() {
		return nil, issues
	}
	most := 10
	if s := c.Parameters.Text("count"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fhir.Problem("value", "count is not a whole number from 1.", "Send how many patients you want at most.").At("count")
		}
		most = min(n, compared)
	}
	ids, err := d.Alike(ctx, c.Scope, asked, compared)
	if err != nil {
		return nil, err
	}
	var found []likely
	err = c.View(ctx, func(tx *db.Tx) error {
		people, err := candidates(ctx, c, tx, asked, ids)
		if err != nil {
			return err
		}
		for _, r := range people {
			if l := patient.Compare(asked, r.Node()); l.Grade != patient.CertainlyNot {
				found = append(found, likely{r, l})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sort.SliceStable(found, func(i, j int) bool {
		if found[i].Score != found[j].Score {
			return found[i].Score > found[j].Score
		}
		return found[i].r.ID < found[j].r.ID
	})
	set := fhirapi.Set{Whole: true}
	if c.Parameters.Text("onlyCertainMatches") == "true" {
		n := 0
		for n < len(found) && found[n].Grade == patient.Certain {
			n++
		}
		if found = found[:n]; n > 1 {
			found = nil
			set.Hints = fhir.Issues{{Severity: "warning", Code: "multiple-matches", Text: "More than one patient could certainly be this person.", Fix: "Add what tells them apart, or ask without onlyCertainMatches."}}
		}
	}
	found = found[:min(len(found), most)]
	for _, l := range found {
		set.Matches = append(set.Matches, l.r)
	}
	set.Score = func(i int) string { return score(found[i].Likeness) }
	c.SeeAll("$match", set.Matches)
	return c.Searchset(set), nil
}

// candidates are the patients who are alike and those with an identifier that was sent.
func candidates(ctx context.Context, c *fhirapi.Call, tx *db.Tx, asked *fhirjson.Node, ids []string) (out []*fhirstore.Resource, err error) {
	refs := make([]string, 0, len(ids))
	for _, id := range ids {
		refs = append(refs, "Patient/"+id)
	}
	byRef, err := c.Store().ReadMany(ctx, tx, refs)
	if err != nil {
		return nil, err
	}
	var terms []string
	identifiers := asked.Get("identifier").Items()
	for i := range identifiers[:min(len(identifiers), 20)] {
		if s, v := identifiers[i].Get("system").Text(), identifiers[i].Get("value").Text(); s != "" && v != "" {
			terms = append(terms, escape(s)+"|"+escape(v))
		}
	}
	if len(terms) > 0 {
		q, issues := fhirsearch.ParseQuery("Patient", map[string][]string{"identifier": {strings.Join(terms, ",")}})
		if err := issues.Err(); err != nil {
			return nil, err
		}
		q.Count = compared
		page, err := c.Store().Search(ctx, tx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Resources {
			byRef[r.Reference()] = r
		}
	}
	for _, r := range byRef {
		out = append(out, r)
	}
	return out, nil
}

// score writes what entry.search says beside its mode.
func score(l patient.Likeness) string {
	var b strings.Builder
	b.WriteString(`,"score":` + strconv.FormatFloat(l.Score, 'f', 2, 64) + `,"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/match-grade","valueCode":"` + string(l.Grade) + `"}`)
	for _, why := range l.Reasons {
		text, _ := json.Marshal(why)
		b.WriteString(`,{"url":"` + matchReason + `","valueString":` + string(text) + `}`)
	}
	return b.String() + `]`
}
