package fhir

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed data/search.gz
var packedSearch []byte

type searchTables struct {
	params       map[string][]SearchParam // by resource type or abstract base
	byURL        map[string]*SearchParam
	compartments map[string]map[string][]string
}

// usCoreParams are the search parameters that US Core (6.1.0 and later) defines beside those of R4 (SearchParameter/us-core-…).
var usCoreParams = []struct {
	base string
	SearchParam
}{
	{"CareTeam", SearchParam{URL: usCoreParam + "careteam-role", Code: "role", Type: "token", Expression: "CareTeam.participant.role"}},
	{"Condition", SearchParam{URL: usCoreParam + "condition-asserted-date", Code: "asserted-date", Type: "date",
		Expression: "Condition.extension.where(url = 'http://hl7.org/fhir/StructureDefinition/condition-assertedDate').value.as(dateTime)"}},
	{"Encounter", SearchParam{URL: usCoreParam + "encounter-discharge-disposition", Code: "discharge-disposition", Type: "token",
		Expression: "Encounter.hospitalization.dischargeDisposition"}},
	{"Goal", SearchParam{URL: usCoreParam + "goal-description", Code: "description", Type: "token", Expression: "Goal.description"}},
}

const usCoreParam = "http://hl7.org/fhir/us/core/SearchParameter/us-core-"

var searchDefinitions = sync.OnceValue(func() searchTables {
	t := searchTables{map[string][]SearchParam{}, map[string]*SearchParam{}, map[string]map[string][]string{}}
	var all []*SearchParam
	bases := map[string]string{}
	for f := range rows(packedSearch) {
		switch f[0] {
		case "P":
			p := &SearchParam{URL: f[1], Code: f[2], Type: f[3], Expression: f[6]}
			if f[5] != "" {
				p.Targets = strings.Split(f[5], ",")
			}
			all = append(all, p)
			t.byURL[p.URL] = p
			bases[p.URL] = f[4]
		case "C":
			p := all[len(all)-1]
			p.Components = append(p.Components, Component{Definition: f[1], Expression: f[2]})
		case "M":
			if t.compartments[f[1]] == nil {
				t.compartments[f[1]] = map[string][]string{}
			}
			t.compartments[f[1]][f[2]] = strings.Split(f[3], ",")
		}
	}
	// R4 leaves devices out of the patient compartment. What is implanted in a patient is part of the record: US Core reads it with
	// patient/ scopes, and a chart that is restricted must not show in its devices.
	if c := t.compartments["Patient"]; c != nil && c["Device"] == nil {
		c["Device"] = []string{"patient"}
	}
	for i := range usCoreParams {
		p := &usCoreParams[i]
		all = append(all, &p.SearchParam)
		t.byURL[p.URL] = &p.SearchParam
		bases[p.URL] = p.base
	}
	for _, p := range all {
		for i := range p.Components {
			if part := t.byURL[p.Components[i].Definition]; part != nil {
				p.Components[i].Code = part.Code
			}
		}
	}
	for _, p := range all {
		for base := range strings.SplitSeq(bases[p.URL], ",") {
			t.params[base] = append(t.params[base], *p)
		}
	}
	for _, name := range resourceTypes() {
		list := t.params[name]
		for base := Definition(name).Base; base != ""; base = Definition(base).Base {
			list = append(list, t.params[base]...)
		}
		slices.SortFunc(list, func(a, b SearchParam) int { return strings.Compare(a.Code, b.Code) })
		t.params[name] = list
	}
	return t
})

// SearchParams returns the search parameters of a resource type, those of R4 and of US Core, with those
// of Resource and DomainResource, sorted by code. The list is shared: do not
// change it. Parameters without an Expression (_text, _content, _query …)
// are those that R4 does not define by a path.
func SearchParams(resourceType string) []SearchParam { return searchDefinitions().params[resourceType] }

// SearchParamByURL returns the parameter with this canonical URL, or nil.
func SearchParamByURL(url string) *SearchParam { return searchDefinitions().byURL[url] }

// Compartment returns the codes of the search parameters that put a resource
// of a type into a compartment ("Patient", "Practitioner", "Encounter",
// "RelatedPerson", "Device"). The code "{def}" means that a resource of the
// compartment's own type is its own compartment. Nil: never in it.
func Compartment(name, resourceType string) []string {
	return searchDefinitions().compartments[name][resourceType]
}
