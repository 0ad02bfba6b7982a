package main

import (
	"fmt"
	"slices"
	"strings"
)

// The package carries changes of its maker on top of R4 4.0.1. Found by
// comparing every definition with the published hl7.fhir.core 4.0.1; the
// fingerprints in ../testdata/pristine.txt hold the result of that comparison.

// notR4Types are structure definitions that R4 does not have.
var notR4Types = []string{"MetadataResource", "SubscriptionStatus"}

// notR4 are elements that R4 does not have, each with all below it.
var notR4 = []string{
	"Binary.url",
	"DeviceDefinition.bodySite", "DeviceDefinition.classification",
	"EvidenceVariable.characteristic.definitionByCombination",
	"EvidenceVariable.characteristic.definitionByTypeAndValue",
	"EvidenceVariable.characteristic.definitionCanonical",
	"EvidenceVariable.characteristic.definitionCodeableConcept",
	"EvidenceVariable.characteristic.definitionExpression",
	"EvidenceVariable.characteristic.definitionId",
	"EvidenceVariable.characteristic.definitionReference",
	"EvidenceVariable.characteristic.duration[x]",
	"EvidenceVariable.characteristic.instances[x]",
	"EvidenceVariable.characteristic.linkId",
	"EvidenceVariable.characteristic.note",
	"EvidenceVariable.characteristic.timeFromEvent",
	"Meta.account", "Meta.accounts", "Meta.author", "Meta.compartment", "Meta.onBehalfOf", "Meta.project",
	"ObservationDefinition.publisher",
	"ResearchStudy.associatedParty", "ResearchStudy.classifier", "ResearchStudy.comparisonGroup",
	"ResearchStudy.descriptionSummary", "ResearchStudy.label", "ResearchStudy.name",
	"ResearchStudy.objective.description", "ResearchStudy.outcomeMeasure", "ResearchStudy.progressStatus",
	"ResearchStudy.recruitment", "ResearchStudy.region", "ResearchStudy.result", "ResearchStudy.studyDesign",
	"ResearchStudy.whyStopped",
}

// missingR4 are elements that R4 has and the package dropped, as rows of the
// data, with the element each follows.
var missingR4 = []struct{ typ, after, row string }{
	{"EvidenceVariable", "characteristic.description", "characteristic.definition[x]\t1\t1\tReference(Group)|canonical(ActivityDefinition)|CodeableConcept|Expression|DataRequirement|TriggerDefinition\t\t\t\ts"},
	{"EvidenceVariable", "characteristic.definition[x]", "characteristic.usageContext\t0\t*\tUsageContext\t\t\t\t"},
	{"EvidenceVariable", "characteristic.exclude", "characteristic.participantEffective[x]\t0\t1\tdateTime|Period|Duration|Timing\t\t\t\t"},
	{"EvidenceVariable", "characteristic.participantEffective[x]", "characteristic.timeFromStart\t0\t1\tDuration\t\t\t\t"},
	{"EvidenceVariable", "characteristic.timeFromStart", "characteristic.groupMeasure\t0\t1\tcode\trequired\thttp://hl7.org/fhir/ValueSet/group-measure\t\t"},
}

// changedR4 are fields of element rows that the package changed: the column
// (as in typeLines) and what R4 says.
var changedR4 = []struct {
	typ, path string
	column    int
	is, want  string
}{
	{"AuditEvent", "source.observer", 3, "Reference(PractitionerRole,Practitioner,Organization,Device,Patient,RelatedPerson,Subscription,Bot,ClientApplication)", "Reference(PractitionerRole,Practitioner,Organization,Device,Patient,RelatedPerson)"},
	{"Bundle", "entry.response.outcome", 3, "OperationOutcome", "Resource"},
	{"DetectedIssue", "status", 5, "http://hl7.org/fhir/ValueSet/detectedissue-status", "http://hl7.org/fhir/ValueSet/observation-status"},
	{"EvidenceVariable", "characteristic", 1, "0", "1"},
	{"EvidenceVariable", "characteristic.description", 3, "markdown", "string"},
	{"MeasureReport", "subject", 3, "Reference(Patient,Practitioner,PractitionerRole,Location,Device,RelatedPerson,Organization,CareTeam,HealthcareService,Group)", "Reference(Patient,Practitioner,PractitionerRole,Location,Device,RelatedPerson,Group)"},
	{"ResearchStudy", "site", 3, "Reference(Location,ResearchStudy,Organization)", "Reference(Location)"},
}

// notR4Rules are invariants of later versions.
var notR4Rules = []string{"evv-1"}

// notR4Params are search parameters that R4 does not have.
var notR4Params = []string{
	"http://hl7.org/fhir/SearchParameter/DetectedIssue-status",
	"http://hl7.org/fhir/SearchParameter/DeviceDefinition-classification",
	"http://hl7.org/fhir/SearchParameter/ServiceRequest-order-detail",
}

// changedTargets are targets of search parameters as R4 has them.
var changedTargets = map[string][]string{
	"http://hl7.org/fhir/SearchParameter/MeasureReport-subject": {"Practitioner", "Group", "Device", "Patient", "PractitionerRole", "RelatedPerson", "Location"},
	"http://hl7.org/fhir/SearchParameter/clinical-patient":      {"Patient", "Group"},
}

// pureType is a structure reduced to what the product needs.
type pureType struct {
	name, kind, base string
	abstract         bool
	rows             []string // see row
	rules            []string
}

// pureTypes reduces the structures and applies the corrections. A correction
// that no longer meets what it corrects is an error: the package changed.
func pureTypes(all []structure) ([]pureType, error) {
	var types []pureType
	stripped := map[string]bool{}
	for _, s := range all {
		if s.Derivation == "constraint" || slices.Contains(notR4Types, s.Name) {
			continue
		}
		t := pureType{name: s.Name, kind: s.Kind, base: last(s.BaseDefinition), abstract: s.Abstract}
		for _, e := range s.Snapshot.Element {
			if cut := notR4Prefix(e.Path); cut != "" {
				stripped[cut] = true
				continue
			}
			t.rules = append(t.rules, ruleRows(s.Name, e)...)
			if e.Path == s.Name || s.Kind == "primitive-type" {
				continue
			}
			t.rows = append(t.rows, row(s, e))
		}
		types = append(types, t)
	}
	for _, p := range notR4 {
		if !stripped[p] {
			return nil, fmt.Errorf("%s, which is to be stripped, is not there", p)
		}
	}
	if err := correct(types); err != nil {
		return nil, err
	}
	slices.SortFunc(types, func(a, b pureType) int { return strings.Compare(a.name, b.name) })
	return types, nil
}

func correct(types []pureType) error {
	find := func(typ, path string) (*pureType, int) {
		for i := range types {
			if types[i].name == typ {
				return &types[i], slices.IndexFunc(types[i].rows, func(r string) bool { return strings.HasPrefix(r, path+"\t") })
			}
		}
		return nil, -1
	}
	for _, m := range missingR4 {
		t, i := find(m.typ, m.after)
		if i < 0 {
			return fmt.Errorf("%s.%s is not there", m.typ, m.after)
		}
		t.rows = slices.Insert(t.rows, i+1, m.row)
	}
	for _, c := range changedR4 {
		t, i := find(c.typ, c.path)
		if i < 0 {
			return fmt.Errorf("%s.%s is not there", c.typ, c.path)
		}
		f := strings.Split(t.rows[i], "\t")
		if f[c.column] != c.is {
			return fmt.Errorf("%s.%s has %q, not %q", c.typ, c.path, f[c.column], c.is)
		}
		f[c.column] = c.want
		t.rows[i] = strings.Join(f, "\t")
	}
	return nil
}

func notR4Prefix(path string) string {
	for _, p := range notR4 {
		if path == p || strings.HasPrefix(path, p+".") {
			return p
		}
	}
	return ""
}

func pureSearchParams(all []searchParam) ([]searchParam, error) {
	var out []searchParam
	dropped := 0
	for _, p := range all {
		if slices.Contains(notR4Params, p.URL) {
			dropped++
			continue
		}
		if targets, ok := changedTargets[p.URL]; ok {
			p.Target = targets
		}
		out = append(out, p)
	}
	if dropped != len(notR4Params) {
		return nil, fmt.Errorf("%d of %d search parameters to be stripped were there", dropped, len(notR4Params))
	}
	slices.SortFunc(out, func(a, b searchParam) int { return strings.Compare(a.URL, b.URL) })
	return out, nil
}

// last returns what follows the last slash of a canonical URL.
func last(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
