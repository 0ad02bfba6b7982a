// Package operations is what the FHIR interface does beyond reading, searching and writing: whole records ($everything), the
// latest results ($lastn), documents ($docref), tags and labels ($meta), and what changed ($diff).
//
// It owns the parameters and rules of these operations. Everything it shows comes through the store under the caller's own
// scope, is put on record by reference, and nothing here speaks to the database.
package operations

import (
	"math"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Operations returns those that need nothing but the store.
func Operations() []fhirapi.Operation {
	whole := []fhirapi.Param{
		{Name: "start", Type: "date", Max: 1, Doc: "Care given on or after this date; what has no date is always there."},
		{Name: "end", Type: "date", Max: 1, Doc: "Care given on or before this date."},
		{Name: "_since", Type: "instant", Max: 1, Doc: "Only what was changed at or after this time."},
		{Name: "_type", Type: "code", Max: -1, Doc: "Only these resource types, separated by commas."},
		{Name: "_count", Type: "integer", Max: 1, Doc: "Resources per page, up to 1000."},
		{Name: "_page", Type: "string", Max: 1, Doc: "The place of a page, from the link next."},
	}
	return []fhirapi.Operation{
		views(),
		{Name: "$everything", Levels: fhirapi.Instance | fhirapi.Type, Types: []string{"Patient"}, Params: whole, Run: everything,
			Doc: "The whole record of a patient, or of all patients, page by page, with the people, places and organizations it names."},
		{Name: "$everything", Levels: fhirapi.Instance, Types: []string{"Encounter"}, Params: whole, Run: everything,
			Doc: "All that was recorded in a visit, page by page, with the patient, people and places it names."},
		{Name: "$lastn", Levels: fhirapi.Type, Types: []string{"Observation"}, Open: true, Run: lastN,
			Params: []fhirapi.Param{{Name: "max", Type: "positiveInt", Max: 1, Doc: "How many of each code, 1 unless it says otherwise."}},
			Doc:    "The latest observations of each code. It takes the search parameters of Observation: a patient, and a category or code."},
		{Name: "$docref", Levels: fhirapi.Type, Types: []string{"DocumentReference"}, Run: docref,
			URL: "http://hl7.org/fhir/us/core/OperationDefinition/docref",
			Params: []fhirapi.Param{
				{Name: "patient", Type: "id", Min: 1, Max: 1, Doc: "The id of the patient."},
				{Name: "start", Type: "dateTime", Max: 1, Doc: "Care given at or after this time."},
				{Name: "end", Type: "dateTime", Max: 1, Doc: "Care given at or before this time."},
				{Name: "type", Type: "CodeableConcept", Max: 1, Doc: "The kind of document; a summary of care (LOINC 34133-9) unless it says otherwise."},
				{Name: "on-demand", Type: "boolean", Max: 1, Doc: "Only documents that can be made on demand."},
				{Name: "profile", Type: "canonical", Max: -1, Doc: "Only documents that name one of these profiles."},
			},
			Doc: "The documents of a patient: the latest one, or those of a time."},
		{Name: "$meta", Levels: fhirapi.System | fhirapi.Type | fhirapi.Instance, Run: showMeta, URL: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
			Doc: "The profiles, tags and security labels of a resource, or all that occur in a type or everywhere."},
		{Name: "$meta-add", Levels: fhirapi.Instance, Affects: true, Run: addMeta, URL: "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
			Params: []fhirapi.Param{{Name: "meta", Type: "Meta", Min: 1, Max: 1, Doc: "Profiles, tags and security labels to add."}},
			Doc:    "Adds profiles, tags and security labels to a resource."},
		{Name: "$meta-delete", Levels: fhirapi.Instance, Affects: true, Run: deleteMeta, URL: "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
			Params: []fhirapi.Param{{Name: "meta", Type: "Meta", Min: 1, Max: 1, Doc: "Profiles, tags and security labels to take away."},
				{Name: "reason", Type: "string", Max: 1, Doc: "Why a sensitivity label is taken away, in 5 to 200 characters without naming the patient."}},
			Doc: "Takes profiles, tags and security labels away from a resource. Sensitivity labels need the right to remove them and a reason."},
		{Name: "$diff", Levels: fhirapi.Instance, Run: diffVersions, URL: "https://yarrow.health/fhir/OperationDefinition/diff",
			Params: []fhirapi.Param{{Name: "fromVersion", Type: "integer", Max: 1, Doc: "The older version; the one before the newer unless it says otherwise."},
				{Name: "toVersion", Type: "integer", Max: 1, Doc: "The newer version; the current one unless it says otherwise."},
				{Name: "includeMeta", Type: "boolean", Max: 1, Doc: "Changes of meta.versionId and meta.lastUpdated too."}},
			Doc: "What changed between two versions of a resource, as a FHIRPath Patch that makes the newer of the older."},
		{Name: "$diff", Levels: fhirapi.System, Run: diffResources, URL: "https://yarrow.health/fhir/OperationDefinition/diff",
			Params: []fhirapi.Param{{Name: "from", Type: "Reference", Min: 1, Max: 1, Doc: "Type/id, or Type/id/_history/version."},
				{Name: "to", Type: "Reference", Min: 1, Max: 1, Doc: "Another resource of the type, in the same form."},
				{Name: "includeMeta", Type: "boolean", Max: 1, Doc: "Changes of meta.versionId and meta.lastUpdated too."}},
			Doc: "What differs between two resources of a type, as a FHIRPath Patch that makes the second of the first."},
	}
}

// instant reads a time parameter of an address: a plus that was not encoded arrives as a space.
func instant(name, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(s, " ", "+"))
	if err != nil {
		return t, fhir.Problem("value", name+" is not an instant.", "Write it as 2026-03-01T00:00:00Z, with + in a zone encoded as %2B.").At(name)
	}
	return t, nil
}

// span is the time that start and end leave open, [from, to) in microseconds.
type span struct{ from, to int64 }

func spanOf(start, end string) (s span, err error) {
	s = span{math.MinInt64, math.MaxInt64}
	for name, text := range map[string]string{"start": start, "end": end} {
		if text == "" {
			continue
		}
		low, high, ok := fhirsearch.Moment(strings.ReplaceAll(text, " ", "+"))
		if !ok {
			return s, fhir.Problem("value", name+" is not a date.", "Write it as 2026-03-01 or 2026-03-01T10:00:00Z.").At(name)
		}
		if name == "start" {
			s.from = low
		} else {
			s.to = high
		}
	}
	if s.from >= s.to {
		return s, fhir.Problem("value", "The end lies before the start.", "Send start first and end after it.").At("end")
	}
	return s, nil
}

func (s span) open() bool { return s == span{math.MinInt64, math.MaxInt64} }

// holds says whether care that a resource records touches the span. What says no date does.
func (s span) holds(typ string, n *fhirjson.Node) bool {
	if s.open() {
		return true
	}
	low, high, ok := fhirsearch.CareDates(typ, n)
	return !ok || low < s.to && high > s.from
}

// count reads a page size.
func count(s string) (int, error) {
	if s == "" {
		return 50, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fhir.Problem("value", "_count is not a whole number from 1.", "Send a number of resources per page, such as _count=50.").At("_count")
	}
	return min(n, 1000), nil
}

// references are the local references within a resource, "Type/id", each once.
func references(n *fhirjson.Node, base string, see func(typ, id string)) {
	switch n.Kind() {
	case fhirjson.Array:
		items := n.Items()
		for i := range items {
			references(&items[i], base, see)
		}
	case fhirjson.Object:
		members := n.Members()
		for i := range members {
			if m := &members[i]; m.Name == "reference" && m.Value.Kind() == fhirjson.String {
				text := strings.TrimPrefix(m.Value.Text(), base+"/")
				if strings.Contains(text, "://") {
					continue
				}
				if typ, id, ok := fhir.ParseReference(text); ok {
					see(typ, id)
				}
			} else {
				references(&m.Value, base, see)
			}
		}
	}
}
