package profile

import (
	"strings"
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

func parse(t testing.TB, raw string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(raw), fhirjson.Limits{})
	if err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return n
}

// setOf is a set with profiles given as type and differential elements.
func setOf(t testing.TB, defs ...string) *Set {
	t.Helper()
	s := NewSet(Builtin())
	for i := 0; i+2 < len(defs); i += 3 {
		base := structureBase + defs[i+1]
		typ := defs[i+1]
		if strings.HasPrefix(typ, "test:") {
			base, typ = typ, s.Find(typ).Type
		}
		d, err := Read(parse(t, `{"resourceType":"StructureDefinition","url":"test:`+defs[i]+`","type":"`+typ+`","baseDefinition":"`+base+`","derivation":"constraint","differential":{"element":[`+defs[i+2]+`]}}`))
		if err != nil {
			t.Fatal(err)
		}
		s.Add(d)
	}
	return s
}

// judged are the errors (path and text) that a resource has by the profile test:p.
func judged(t testing.TB, s *Set, resource string, o Options) string {
	t.Helper()
	v := &Validator{Profiles: s, Codes: func(valueSet, system, code string) (bool, bool) {
		return strings.Contains(code, "good"), strings.HasPrefix(valueSet, "test:")
	}}
	o.Profiles = []string{"test:p"}
	var lines []string
	for _, i := range v.Validate(parse(t, resource), o) {
		if i.Severity == "error" {
			lines = append(lines, i.Path+": "+i.Text)
		}
	}
	return strings.Join(lines, "\n")
}

const patient = `{"resourceType":"Patient",`

// TestConstraints: each row is a differential, a resource, and what an error must say ("" for none).
func TestConstraints(t *testing.T) {
	for name, c := range map[string]struct{ differential, resource, want string }{
		"min missing":         {`{"path":"Patient"},{"path":"Patient.birthDate","min":1}`, patient + `"active":true}`, `Patient.birthDate: The element "birthDate" is required`},
		"min there":           {`{"path":"Patient.birthDate","min":1}`, patient + `"birthDate":"1970"}`, ""},
		"min by extension":    {`{"path":"Patient.birthDate","min":1}`, patient + `"_birthDate":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}`, ""},
		"max":                 {`{"path":"Patient.name","max":"1"}`, patient + `"name":[{"family":"a"},{"family":"b"}]}`, "Patient.name: The element \"name\" is allowed once"},
		"prohibited":          {`{"path":"Patient.photo","max":"0"}`, patient + `"photo":[{"title":"x"}]}`, "not allowed"},
		"nested":              {`{"path":"Patient.name.family","min":1}`, patient + `"name":[{"family":"a"},{"given":["b"]}]}`, "Patient.name[1].family: "},
		"nested, none":        {`{"path":"Patient.name.family","min":1}`, patient + `"active":true}`, ""},
		"fixed":               {`{"path":"Patient.gender","fixedCode":"other"}`, patient + `"gender":"male"}`, "fixes"},
		"pattern":             {`{"path":"Patient.maritalStatus","patternCodeableConcept":{"coding":[{"code":"M"}]}}`, patient + `"maritalStatus":{"coding":[{"code":"S"}]}}`, "does not hold"},
		"pattern among more":  {`{"path":"Patient.maritalStatus","patternCodeableConcept":{"coding":[{"code":"M"}]}}`, patient + `"maritalStatus":{"coding":[{"code":"S"},{"code":"M","display":"x"}]}}`, ""},
		"type of choice":      {`{"path":"Patient.deceased[x]","type":[{"code":"boolean"}]}`, patient + `"deceasedDateTime":"2020"}`, "type dateTime is not allowed"},
		"choice by its name":  {`{"path":"Patient.deceasedBoolean","min":1}`, patient + `"deceasedDateTime":"2020"}`, "deceased"},
		"required binding":    {`{"path":"Patient.maritalStatus","binding":{"strength":"required","valueSet":"test:vs"}}`, patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"bad"}]}}`, "requires"},
		"required, good":      {`{"path":"Patient.maritalStatus","binding":{"strength":"required","valueSet":"test:vs"}}`, patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"bad"},{"system":"s:s","code":"good"}]}}`, ""},
		"required, unknown":   {`{"path":"Patient.maritalStatus","binding":{"strength":"required","valueSet":"other:vs"}}`, patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"bad"}]}}`, ""},
		"required, text only": {`{"path":"Patient.maritalStatus","binding":{"strength":"required","valueSet":"test:vs"}}`, patient + `"maritalStatus":{"text":"married"}}`, "requires"},
		"extensible":          {`{"path":"Patient.maritalStatus","binding":{"strength":"extensible","valueSet":"test:vs"}}`, patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"bad"}]}}`, ""},
		"invariant":           {`{"path":"Patient","constraint":[{"key":"t-1","severity":"error","human":"Has a name","expression":"name.exists()"}]}`, patient + `"active":true}`, "t-1 of the profile test:p is not met here: Has a name"},
		"invariant, warning":  {`{"path":"Patient","constraint":[{"key":"t-1","severity":"warning","human":"x","expression":"name.exists()"}]}`, patient + `"active":true}`, ""},
		"invariant, broken":   {`{"path":"Patient","constraint":[{"key":"t-1","severity":"error","human":"x","expression":"name.("}]}`, patient + `"active":true}`, ""},
		"invariant on text":   {`{"path":"Patient.birthDate","constraint":[{"key":"t-1","severity":"error","human":"x","expression":"extension.exists()"}]}`, patient + `"birthDate":"1970"}`, "t-1"},
		"length":              {`{"path":"Patient.name.family","maxLength":3}`, patient + `"name":[{"family":"Ärzte"}]}`, "longer than the 3"},
		"least":               {`{"path":"Patient.multipleBirthInteger","minValueInteger":2}`, patient + `"multipleBirthInteger":1}`, "smallest"},
		"reference type":      {`{"path":"Patient.generalPractitioner","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Practitioner"]}]}`, patient + `"generalPractitioner":[{"reference":"Organization/x"}]}`, "A reference to Organization"},
		"reference, inside": {`{"path":"Patient.generalPractitioner","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-practitioner"]}]}`,
			patient + `"contained":[{"resourceType":"Practitioner","id":"a","active":true}],"generalPractitioner":[{"reference":"#a"}]}`, "does not meet the profile"},
		"reference, where": {`{"path":"Patient.generalPractitioner","type":[{"code":"Reference","aggregation":["contained"]}]}`, patient + `"generalPractitioner":[{"reference":"Practitioner/a"}]}`, ""},
		"no such element":  {`{"path":"Patient.shoes","min":1}`, patient + `"active":true}`, ""},
	} {
		got := judged(t, setOf(t, "p", "Patient", c.differential), c.resource, Options{})
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q does not say %q", name, got, c.want)
		}
	}
}

// TestSlices: names are told apart by use, closed or open, in order or not.
func TestSlices(t *testing.T) {
	sliced := func(rules, more string) string {
		return `{"path":"Patient.name","slicing":{"discriminator":[{"type":"value","path":"use"}],` + rules + `}},
			{"path":"Patient.name","sliceName":"official","min":1,"max":"1"},{"path":"Patient.name.use","min":1,"fixedCode":"official"},{"path":"Patient.name.family","min":1},
			{"path":"Patient.name","sliceName":"nick","max":"1"},{"path":"Patient.name.use","min":1,"patternCode":"nickname"}` + more
	}
	names := func(uses ...string) string {
		var list []string
		for _, u := range uses {
			list = append(list, `{"use":"`+u+`","family":"x"}`)
		}
		return patient + `"name":[` + strings.Join(list, ",") + `]}`
	}
	for name, c := range map[string]struct{ rules, resource, want string }{
		"all is well":     {`"rules":"open"`, names("official", "nickname", "old"), ""},
		"one is missing":  {`"rules":"open"`, names("nickname"), `The slice "official" of "name" is required`},
		"too many":        {`"rules":"open"`, names("official", "official"), `The slice "official" of "name" is allowed once`},
		"inside a slice":  {`"rules":"open"`, patient + `"name":[{"use":"official","given":["x"]}]}`, `Patient.name[0].family: The element "family" is required`},
		"outside a slice": {`"rules":"open"`, patient + `"name":[{"use":"official","family":"x"},{"given":["x"]}]}`, ""},
		"closed":          {`"rules":"closed"`, names("official", "old"), "Patient.name[1]: This value belongs to none"},
		"out of order":    {`"rules":"open","ordered":true`, names("nickname", "official"), "Patient.name[1]: The slices are not in the order"},
		"in order":        {`"rules":"open","ordered":true`, names("official", "nickname"), ""},
		"open at end":     {`"rules":"openAtEnd"`, names("official", "old", "nickname"), "stands after values of no slice"},
		"at the end":      {`"rules":"openAtEnd"`, names("official", "nickname", "old"), ""},
	} {
		got := judged(t, setOf(t, "p", "Patient", sliced(c.rules, "")), c.resource, Options{})
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q does not say %q", name, got, c.want)
		}
	}
}

// TestDerivedProfiles: a profile adds to those it stands on; slices of slices count within their slice.
func TestDerivedProfiles(t *testing.T) {
	s := setOf(t,
		"a", "Observation", `{"id":"Observation.category","path":"Observation.category","slicing":{"discriminator":[{"type":"pattern","path":"$this"}],"rules":"open"}},
			{"id":"Observation.category:lab","path":"Observation.category","sliceName":"lab","min":1,"patternCodeableConcept":{"coding":[{"system":"s:s","code":"lab"}]}}`,
		"p", "test:a", `{"id":"Observation.category:lab","path":"Observation.category","sliceName":"lab","slicing":{"discriminator":[{"type":"exists","path":"text"}],"rules":"closed"}},
			{"id":"Observation.category:lab/said","path":"Observation.category","sliceName":"lab/said","min":1,"max":"1"},{"id":"Observation.category:lab/said.text","path":"Observation.category.text","min":1},
			{"id":"Observation.subject","path":"Observation.subject","min":1}`)
	obs := func(categories string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/x"},"category":[` + categories + `]}`
	}
	lab := `{"coding":[{"system":"s:s","code":"lab"}]}`
	said := `{"coding":[{"system":"s:s","code":"lab"}],"text":"x"}`
	for resource, want := range map[string]string{
		obs(said):               "",
		obs(said + "," + lab):   "Observation.category[1]: This value belongs to none of the slices",
		obs(`{"text":"other"}`): `The slice "lab"`,
		obs(said + "," + said):  `The slice "lab/said" of "category" is allowed once`,
		strings.Replace(obs(said), `"subject":{"reference":"Patient/x"},`, "", 1): "Observation.subject",
	} {
		got := judged(t, s, resource, Options{})
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", resource, got, want)
		}
	}
}

// TestOneCauseIsOneIssue: what R4 and two profiles find alike is said once.
func TestOneCauseIsOneIssue(t *testing.T) {
	s := setOf(t, "q", "Observation", `{"path":"Observation.status","min":1},{"path":"Observation.code","min":1}`, "p", "test:q", `{"path":"Observation.status","min":1}`)
	v := &Validator{Profiles: s}
	issues := v.Validate(parse(t, `{"resourceType":"Observation","code":{"text":"x"}}`), Options{Profiles: []string{"test:p", "test:q"}})
	if len(issues) != 1 || issues[0].Path != "Observation.status" || issues[0].Fix == "" {
		t.Errorf("%v", issues)
	}
}

func TestPlaces(t *testing.T) {
	raw := "{\"resourceType\":\"Patient\",\n \"contact\":[\n  {\"gender\":\"male\"}]}"
	issues := (&Validator{}).Validate(parse(t, raw), Options{})
	issues.Locate([]byte(raw))
	if len(issues) != 1 || issues[0].Line != 3 || issues[0].Column != 3 || issues[0].Path != "Patient.contact[0]" {
		t.Errorf("%+v", issues)
	}
}
