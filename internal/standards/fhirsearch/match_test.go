package fhirsearch

import "testing"

func TestMatch(t *testing.T) {
	resources := map[string]string{"Patient": patientJSON, "Observation": observationJSON}
	resources["RiskAssessment"] = `{"resourceType":"RiskAssessment","prediction":[{"probabilityRange":{"low":{"value":10},"high":{"value":20}}}]}`
	resources["Location"] = `{"resourceType":"Location","position":{"latitude":42.36,"longitude":-71.06}}`
	resources["Encounter"] = `{"resourceType":"Encounter","contained":[{"resourceType":"Patient","id":"c","name":[{"family":"Zed"}]}],"subject":{"reference":"#c"},
		"period":{"start":"2024-03-05","end":"2024-03-07"},"length":{"value":100,"system":"http://unitsofmeasure.org","code":"min"}}`
	resources["ValueSet"] = `{"resourceType":"ValueSet","url":"http://example.org/a/b","text":{"div":"<div><b>Bold</b> words</div>"}}`
	for _, x := range []struct {
		typ, query string
		want       bool
	}{
		{"Patient", "family=obri", true}, {"Patient", "family=O%27BRIEN-NUNEZ", true}, {"Patient", "family=nunez", false}, {"Patient", "family:contains=nunez", true},
		{"Patient", "family:exact=o%27brien-núñez", false}, {"Patient", "name=zoe%20ann", true}, {"Patient", "given=ann,bob", true}, {"Patient", "given=bob", false},
		{"Patient", "gender=http://hl7.org/fhir/administrative-gender|female", true}, {"Patient", "gender:not=male", true}, {"Patient", "gender:not=female,male", false},
		{"Patient", "identifier=00123", true}, {"Patient", "identifier=|00123", false}, {"Patient", "identifier=|A-7", true}, {"Patient", "identifier=http://example.org/mrn|", true},
		{"Patient", "identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|00123", true}, {"Patient", "identifier:of-type=|MR|00124", false}, {"Patient", "identifier:text=chart", true},
		{"Patient", "birthdate=1980", true}, {"Patient", "birthdate=1980-02-03", false}, {"Patient", "birthdate=gt1980", false}, {"Patient", "birthdate=lt1980-02-15", true}, {"Patient", "birthdate=ne1981", true},
		{"Patient", "deceased=false", true}, {"Patient", "death-date:missing=true", true}, {"Patient", "birthdate:missing=true", false}, {"Patient", "link:missing=false", false},
		{"Patient", "general-practitioner=Practitioner/d1", true}, {"Patient", "general-practitioner=d1", true}, {"Patient", "general-practitioner:Organization=d1", false},
		{"Patient", "general-practitioner:identifier=http://example.org/npi|999", true}, {"Patient", "general-practitioner:identifier=998", false},
		{"Patient", "organization=http://other.example/fhir/Organization/5", true}, {"Patient", "organization=5", false}, {"Patient", "organization=Organization/5", false},
		{"Patient", "_profile=http://example.org/profile", true}, {"Patient", "_profile=http://example.org/profile%7C2.0", true}, {"Patient", "_profile=http://example.org/profile%7C1.0", false},
		{"Patient", "_tag=http://example.org/tags|t1", true}, {"Patient", "_id=p1", true}, {"Patient", "_id=p2", false}, {"Patient", "_content=elm%20troy", true}, {"Patient", "_content=oak", false},
		{"Patient", "_has:Observation:patient:code=1", true}, {"Patient", "phone=555-0100", true}, {"Patient", "phone=z@example.org", false},

		{"Observation", "patient=p1", true}, {"Observation", "patient:missing=false", true}, {"Observation", "subject:Group=p1", false}, {"Observation", "patient=Group/p1", false},
		{"Observation", "code=http://loinc.org|85354-9", true}, {"Observation", "code:text=pressure%20blo", true}, {"Observation", "code:text=pressures", false}, {"Observation", "code:in=http://x/vs", false},
		{"Observation", "combo-code-value-quantity=8480-6$120", true}, {"Observation", "combo-code-value-quantity=8462-4$120", false}, {"Observation", "combo-code-value-quantity=8480-6$gt119||mm[Hg]", true},
		{"Observation", "component-value-quantity=lt30", true}, {"Observation", "component-value-quantity=120|http://unitsofmeasure.org|mm[Hg]", true}, {"Observation", "component-value-quantity=120||mmHg", true},
		{"Observation", "component-value-quantity=1.2e2", true}, {"Observation", "component-value-quantity=119", false}, {"Observation", "component-value-quantity=119.6", false}, {"Observation", "component-value-quantity=ap112", true},
		{"Observation", "date=ge2024-03-01", true}, {"Observation", "date=sa2024-02", true}, {"Observation", "date=gt2030", true}, {"Observation", "date=eb2030", false}, {"Observation", "date=2024-03-01", false}, {"Observation", "date=lt2024-03-01", false},
		{"Observation", "subject:Patient.name=x", true}, {"Observation", "encounter.status=x", false},

		{"RiskAssessment", "probability=gt15", true}, {"RiskAssessment", "probability=gt20", false}, {"RiskAssessment", "probability=sa9", true}, {"RiskAssessment", "probability=10", false},
		{"Location", "near=42.35|-71.05|5|km", true}, {"Location", "near=40.7|-74|100|km", false},
		{"Encounter", "patient.name=zed", true}, {"Encounter", "patient.name=bob", false}, {"Encounter", "subject:Group.type=person", false},
		{"Encounter", "date=2024-03", true}, {"Encounter", "date=2024-03-06", false}, {"Encounter", "date=ge2024-03-06", true}, {"Encounter", "date=ap2024-03-06", true}, {"Encounter", "date=eb2024-03-08", true}, {"Encounter", "length=gt99||min", true},
		{"ValueSet", "url=http://example.org/a/b", true}, {"ValueSet", "url=http://example.org/a", false}, {"ValueSet", "url:below=http://example.org/a/", true}, {"ValueSet", "url:below=http://example.org/a/bc", false}, {"ValueSet", "url:above=http://example.org/a/b/c", true},
		{"ValueSet", "_text=bold%20wo", true}, {"ValueSet", "_text=b", true}, {"ValueSet", "_text=div", false},
	} {
		if got := Match(mustParse(t, resources[x.typ]), one(t, x.typ, x.query)); got != x.want {
			t.Errorf("%s?%s: %v, want %v", x.typ, x.query, got, x.want)
		}
	}
}
