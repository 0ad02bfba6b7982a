package fhir

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

func TestValidateRefuses(t *testing.T) {
	patient := func(rest string) string { return `{"resourceType":"Patient",` + rest + `}` }
	obs := func(rest string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},` + rest + `}`
	}
	tests := []struct {
		name, doc      string
		path, code     string
		text, fix      string // parts
		alsoOtherFault bool
	}{
		{"not an object", `[]`, "", "structure", "not an array", "resourceType", false},
		{"no type", `{"id":"x"}`, "", "structure", "resourceType is missing", "Patient", false},
		{"type not a string", `{"resourceType":5}`, "", "structure", "resourceType is missing", "Patient", false},
		{"type in wrong case", `{"resourceType":"patient"}`, "", "structure", "not a resource type", `"Patient": names are case-sensitive`, false},
		{"type misspelt", `{"resourceType":"Observaton"}`, "", "structure", "not a resource type", `"Observation" if that`, false},
		{"abstract type", `{"resourceType":"DomainResource"}`, "", "structure", "not a resource type", "146", false},
		{"later version's type", `{"resourceType":"SubscriptionStatus"}`, "", "structure", "not a resource type", "Use one", false},
		{"unknown element", patient(`"shoeSize":5`), "Patient.shoeSize", "structure", `no element "shoeSize" in Patient`, "extension", false},
		{"wrong case", patient(`"birthdate":"2000"`), "Patient.birthdate", "structure", "no element", `"birthDate": names are case-sensitive`, false},
		{"slip", patient(`"gendre":"male"`), "Patient.gendre", "structure", "no element", `"gender"`, false},
		{"choice without type", obs(`"value":{"value":1}`), "Observation.value", "structure", "no element", "valueQuantity", false},
		{"choice of wrong type", patient(`"deceasedString":"x"`), "Patient.deceasedString", "structure", "no element", "", false},
		{"vendor element", patient(`"meta":{"project":"x"}`), "Patient.meta.project", "structure", "in Meta", "", false},
		{"strange name is not echoed", patient(`"Ann Lee, 12 Elm St":1`), "Patient.…", "structure", "", "", false},
		{"nested unknown", patient(`"name":[{"given":["A"]},{"first":"x"}]`), "Patient.name[1].first", "structure", "in HumanName", "", true},
		{"not an array", patient(`"name":{"family":"x"}`), "Patient.name", "structure", "can repeat", "[ ]", false},
		{"array for one", patient(`"birthDate":["2000"]`), "Patient.birthDate", "structure", "does not repeat", "without", false},
		{"empty array", patient(`"name":[]`), "Patient.name", "structure", "empty", "leave", false},
		{"empty object", patient(`"maritalStatus":{}`), "Patient.maritalStatus", "structure", "no content", "leave", false},
		{"only an id", patient(`"maritalStatus":{"id":"a"}`), "Patient.maritalStatus", "structure", "no content", "leave", false},
		{"empty string", patient(`"language":""`), "Patient.language", "value", "empty", "", false},
		{"null", patient(`"birthDate":null`), "Patient.birthDate", "structure", "null", "Leave", false},
		{"null in list", patient(`"name":[{"given":["A",null]}]`), "Patient.name[0].given[1]", "structure", "null", "_given", false},
		{"object null in list", patient(`"name":[null]`), "Patient.name[0]", "structure", "HumanName belongs here", "object", false},
		{"string for boolean", patient(`"active":"true"`), "Patient.active", "structure", "written as a boolean, not a string", "without quotes", false},
		{"number for string", patient(`"name":[{"family":5}]`), "Patient.name[0].family", "structure", "as a string, not a number", "", false},
		{"string for number", obs(`"valueQuantity":{"value":"1.5"}`), "Observation.value.value", "structure", "as a number", "without quotes", false},
		{"object for primitive", patient(`"birthDate":{"x":1}`), "Patient.birthDate", "structure", "not an object", "", false},
		{"primitive for object", patient(`"maritalStatus":"M"`), "Patient.maritalStatus", "structure", "CodeableConcept belongs here, not a string", "object", false},
		{"bad date", patient(`"birthDate":"2023-02-29"`), "Patient.birthDate", "value", "not a valid date", "2024-05-31", false},
		{"date with time", patient(`"birthDate":"2023-02-28T10:00:00Z"`), "Patient.birthDate", "value", "not a valid date", "", false},
		{"dateTime without zone", obs(`"effectiveDateTime":"2023-02-28T10:00:00"`), "Observation.effective", "value", "not a valid dateTime", "time zone", false},
		{"dateTime without seconds", obs(`"effectiveDateTime":"2023-02-28T10:00Z"`), "Observation.effective", "value", "dateTime", "", false},
		{"instant without time", obs(`"issued":"2023-02-28"`), "Observation.issued", "value", "instant", "", false},
		{"fraction for integer", obs(`"valueInteger":1.0`), "Observation.value", "value", "integer", "whole", false},
		{"zero for positiveInt", `{"resourceType":"Appointment","status":"booked","minutesDuration":0,"participant":[{"status":"accepted"}]}`, "Appointment.minutesDuration", "value", "positiveInt", "between 1", false},
		{"id too long", patient(`"id":"` + strings.Repeat("a", 65) + `"`), "Patient.id", "value", "valid id", "1 to 64", false},
		{"space in uri", patient(`"implicitRules":"a b"`), "Patient.implicitRules", "value", "uri", "without spaces", false},
		{"space in code", patient(`"language":" en"`), "Patient.language", "value", "valid code", "", false},
		{"bad base64", patient(`"photo":[{"data":"a"}]`), "Patient.photo[0].data", "value", "base64Binary", "", false},
		{"control character", patient(`"name":[{"text":"a\u0001"}]`), "Patient.name[0].text", "value", "valid string", "control", false},
		{"narrative", patient(`"text":{"status":"generated","div":"hello"}`), "Patient.text.div", "value", "xhtml", "<div>", false},
		{"code", patient(`"gender":"m"`), "Patient.gender", "code-invalid", "not one", "male, female, other, unknown", false},
		{"code in wrong case", patient(`"gender":"Male"`), "Patient.gender", "code-invalid", "not one", "Write male: codes are case-sensitive", false},
		{"concept of another system", `{"resourceType":"Condition","subject":{"reference":"Patient/1"},"clinicalStatus":{"coding":[{"system":"http://x","code":"active"}]}}`, "Condition.clinicalStatus", "code-invalid", "system is not", "condition-clinical", false},
		{"concept with text only", `{"resourceType":"Condition","subject":{"reference":"Patient/1"},"clinicalStatus":{"text":"active"}}`, "Condition.clinicalStatus", "code-invalid", "text alone", "active, recurrence", false},
		{"required element", `{"resourceType":"Observation","code":{"text":"x"}}`, "Observation.status", "required", `"status" is required`, "Add it", false},
		{"required choice", `{"resourceType":"MedicationRequest","status":"active","intent":"order","subject":{"reference":"Patient/1"}}`, "MedicationRequest.medication", "required", "medication[x]", "medicationCodeableConcept or medicationReference", false},
		{"required in backbone", patient(`"link":[{"type":"refer"}]`), "Patient.link[0].other", "required", "other", "Add", false},
		{"two choices", obs(`"valueString":"x","valueInteger":1`), "Observation.value", "structure", "valueString and valueInteger", "Keep one", false},
		{"two choices, one by sibling", obs(`"valueString":"x","_valueInteger":{"extension":[{"url":"u","valueString":"x"}]}`), "Observation.value", "structure", "side by side", "Keep one", false},
		{"sibling of a complex element", patient(`"_name":[{"extension":[]}]`), "Patient.name", "structure", "primitive types", "inside", false},
		{"unknown sibling", patient(`"_birthdate":{"id":"x"}`), "Patient._birthdate", "structure", "no element", `birthDate`, false},
		{"sibling not an object", patient(`"_birthDate":"x"`), "Patient.birthDate", "structure", "_birthDate holds a string", "extension", false},
		{"sibling not an array", patient(`"name":[{"given":["A"],"_given":{"id":"x"}}]`), "Patient.name[0].given", "structure", "holds an object", "array", false},
		{"longer sibling without extension", patient(`"name":[{"given":["A"],"_given":[{"id":"x"},{"id":"y"}]}]`), "Patient.name[0].given[1]", "structure", "neither", "", true},
		{"null beyond a shorter sibling", patient(`"name":[{"given":["A",null],"_given":[{"id":"x"}]}]`), "Patient.name[0].given[1]", "structure", "null", "_given", true},
		{"sibling with nothing", patient(`"name":[{"given":["A"],"_given":[null]}]`), "Patient.name[0].given", "structure", "no content", "Leave", false},
		{"sibling without value or extension", patient(`"_birthDate":{"id":"x"}`), "Patient.birthDate", "structure", "neither a value", "leave", false},
		{"sibling with unknown member", patient(`"birthDate":"2000","_birthDate":{"value":"x"}`), "Patient.birthDate.value", "structure", "in Element", "", false},
		{"both null", patient(`"name":[{"given":[null,"A"],"_given":[null,{"id":"x"}]}]`), "Patient.name[0].given[0]", "structure", "null", "_given", false},
		{"empty sibling", patient(`"birthDate":"2000","_birthDate":{}`), "Patient.birthDate", "structure", "neither", "leave", false},
		{"extension without url", patient(`"extension":[{"valueString":"x"}]`), "Patient.extension[0].url", "required", "url", "Add", false},
		{"extension with nothing", patient(`"extension":[{"url":"u"}]`), "Patient.extension[0]", "structure", "neither", "valueString", false},
		{"extension with both", patient(`"extension":[{"url":"u","valueString":"x","extension":[{"url":"v","valueString":"x"}]}]`), "Patient.extension[0]", "structure", "both", "Keep", false},
		{"contained of unknown type", patient(`"contained":[{"resourceType":"Foo"}]`), "Patient.contained[0]", "structure", "not a resource type", "", false},
		{"contained fault", patient(`"contained":[{"resourceType":"Patient","id":"a","active":1}]`), "Patient.contained[0].active", "structure", "boolean", "", false},
		{"contained in contained", patient(`"contained":[{"resourceType":"Patient","id":"a","contained":[{"resourceType":"Basic","code":{"text":"x"}}]}]`), "Patient.contained[0]", "structure", "cannot contain", "outermost", false},
		{"bundle entry", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient"}},{"resource":{"resourceType":"Patient","gender":5}}]}`, "Bundle.entry[1].resource.gender", "structure", "code is written as a string", "", false},
		{"reference without type", obs(`"subject":{"reference":"12345"}`), "Observation.subject.reference", "value", "not a FHIR reference", "Type/id", false},
		{"reference to unknown type", obs(`"subject":{"reference":"Person2/1"}`), "Observation.subject.reference", "value", "not a FHIR reference", "Type/id", false},
		{"reference to wrong type", obs(`"subject":{"reference":"Practitioner/1"}`), "Observation.subject", "value", "reference to Practitioner", "Patient, Group, Device or Location", false},
		{"absolute reference to wrong type", obs(`"subject":{"reference":"http://x.org/fhir/Practitioner/1/_history/2"}`), "Observation.subject", "value", "Practitioner", "", false},
		{"typed reference to wrong type", obs(`"subject":{"type":"Practitioner","identifier":{"value":"1"}}`), "Observation.subject", "value", "Practitioner", "", false},
		{"empty reference", obs(`"subject":{}`), "Observation.subject", "structure", "no content", "", false},
		{"resourceType in a datatype", patient(`"name":[{"resourceType":"HumanName"}]`), "Patient.name[0].resourceType", "structure", "no element", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, issues := Parse([]byte(tt.doc))
			if len(issues) == 0 {
				t.Fatal("accepted")
			}
			if len(issues) > 1 && !tt.alsoOtherFault {
				t.Errorf("more than one fault: %v", issues)
			}
			i := issues[slices.IndexFunc(issues, func(i Issue) bool { return i.Severity == "error" })]
			if i.Path != tt.path || i.Code != tt.code || i.Severity != "error" {
				t.Errorf("%s %s at %q, want %s at %q", i.Severity, i.Code, i.Path, tt.code, tt.path)
			}
			if !strings.Contains(i.Text, tt.text) || !strings.Contains(i.Fix, tt.fix) || i.Fix == "" {
				t.Errorf("says %q %q, want %q %q", i.Text, i.Fix, tt.text, tt.fix)
			}
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	for _, doc := range []string{
		`{"resourceType":"Patient"}`,
		`{"id":"a","resourceType":"Patient","name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"u","valueString":"x"}]}]}]}`,
		`{"resourceType":"Patient","name":[{"_given":[{"extension":[{"url":"u","valueString":"x"}]}]}]}`,
		`{"resourceType":"Patient","birthDate":"2000","_birthDate":{"id":"x"}}`,
		`{"resourceType":"Observation","_status":{"extension":[{"url":"u","valueCode":"x"}]},"code":{"text":"x"},"valueString":"a","_valueString":{"id":"b"}}`,
		`{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"#p"},"performer":[{"reference":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},{"reference":"http://x.org/any/thing"},{"reference":"Practitioner?identifier=a|b"},{"display":"x"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"a","valueDecimal":1e3},{"name":"b","resource":{"resourceType":"Patient"}},{"name":"c","part":[{"name":"d","valueBoolean":false}]}]}`,
		`{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"string"}]}]}`,
	} {
		if _, issues := Parse([]byte(doc)); len(issues) > 0 {
			t.Errorf("%s\n%v", doc, issues)
		}
	}
}

func TestValidateWarns(t *testing.T) {
	for _, doc := range []string{
		`{"resourceType":"Patient","name":[{"family":" "}]}`,
		`{"resourceType":"Patient","name":[{"given":["A","B"],"_given":[{"id":"x"}]}]}`,
	} {
		_, issues := Parse([]byte(doc))
		if len(issues) != 1 || issues.HasErrors() || issues[0].Severity != "warning" {
			t.Errorf("%s: %v", doc, issues)
		}
	}
}

func TestValidateLocates(t *testing.T) {
	_, issues := Parse([]byte("{\"resourceType\":\"Patient\",\n \"active\": 5}"))
	if len(issues) != 1 || issues[0].Line != 2 || issues[0].Column != 12 {
		t.Errorf("place: %+v", issues)
	}
	raw := []byte("{\"resourceType\":\"Patient\", \"name\":[{\"text\":\"é\", \"a\":1},\n{\"text\":\"é\",\"b\":2, \"c\":3}], \"active\":\n\n 5}")
	_, issues = Parse(raw)
	var places []string
	for _, i := range issues {
		places = append(places, fmt.Sprintf("%s %d:%d", i.Path, i.Line, i.Column))
		if line, column := fhirjson.Position(raw, i.offset); line != i.Line || column != i.Column {
			t.Errorf("%s is at %d:%d, not %d:%d", i.Path, line, column, i.Line, i.Column)
		}
	}
	if got, want := strings.Join(places, ", "), "Patient.name[0].a 1:53, Patient.name[1].b 2:17, Patient.name[1].c 2:24, Patient.active 4:2"; got != want {
		t.Errorf("places %s", got)
	}
}

// TestValidateStops: a document of faults gets a bounded answer.
func TestValidateStops(t *testing.T) {
	_, issues := Parse([]byte(`{"resourceType":"Patient","name":[` + strings.Repeat(`{"x":1},`, 5000) + `{"x":1}]}`))
	if len(issues) != maxIssues+1 || issues[maxIssues].Code != "too-costly" {
		t.Errorf("%d issues", len(issues))
	}
}

// TestIssuesHideValues: what a resource says may be about a patient.
func TestIssuesHideValues(t *testing.T) {
	n := fhirjson.NewObject()
	for _, doc := range []string{
		`{"resourceType":"Patient","birthDate":"Canary","gender":"Canary","active":"Canary","name":"Canary","id":"Can ary","photo":[{"data":"Canary!"}],"contact":[{"gender":"Canary"}]}`,
		`{"resourceType":"Observation","status":"Canary","code":{"coding":[{"system":"Canary x"}]},"subject":{"reference":"Canary"},"issued":"Canary","Canary Smith":1}`,
		`{"resourceType":"Canary"}`,
	} {
		raw, issues := Parse([]byte(doc))
		n = *raw
		if len(issues) == 0 || strings.Contains(issues.Error(), "Canary") || strings.Contains(string(Outcome(issues...)), "Canary") {
			t.Errorf("%s\n%v", n.String(), issues)
		}
	}
}
