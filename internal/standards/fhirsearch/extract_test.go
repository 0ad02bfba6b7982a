package fhirsearch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yarrow.health/internal/standards/fhir"
)

// line writes a value so that a person can check it.
func line(v Value) string {
	var b strings.Builder
	b.WriteString(v.Param)
	if v.Part != "" {
		fmt.Fprintf(&b, "#%d/%s", v.Group, v.Part)
	}
	if v.Modifier != "" {
		b.WriteString(":" + v.Modifier)
	}
	b.WriteString(" " + v.Kind.String() + " ")
	switch v.Kind {
	case Token:
		b.WriteString(v.System + "|" + v.Code)
		if v.Text != "" {
			b.WriteString("|" + v.Text)
		}
	case Reference:
		if v.RefID != "" {
			b.WriteString(v.RefType + "/" + v.RefID)
		} else {
			b.WriteString("<" + v.RefURL + "> " + v.RefType)
			if v.RefVersion != "" {
				b.WriteString(" v" + v.RefVersion)
			}
		}
	case URI, String:
		b.WriteString(v.Text)
	case Date:
		fmt.Fprintf(&b, "%s..%s", micros(v.Low), micros(v.High))
	case Number:
		fmt.Fprintf(&b, "%g [%g,%g]", v.Num, v.NumLow, v.NumHigh)
	case Quantity:
		fmt.Fprintf(&b, "%g [%g,%g] %s|%s|%s", v.Num, v.NumLow, v.NumHigh, v.System, v.Code, v.Text)
	case Position:
		fmt.Fprintf(&b, "%g,%g", v.NumLow, v.NumHigh)
	}
	return b.String()
}

const (
	patientJSON = `{"resourceType":"Patient","id":"p1",
 "meta":{"profile":["http://example.org/profile|2.0"],"tag":[{"system":"http://example.org/tags","code":"t1"}],"source":"http://example.org/src"},
 "identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}],"text":"chart number"},"system":"http://example.org/mrn","value":"00123"},{"value":"A-7"}],
 "active":true,"name":[{"family":"O'Brien-Núñez","given":["Zoë","Ann"],"prefix":["Dr."]},{"text":"Zed"}],
 "telecom":[{"system":"phone","value":"555-0100"},{"system":"email","value":"z@example.org"}],
 "gender":"female","birthDate":"1980-02","deceasedBoolean":false,
 "address":[{"line":["1 Elm St"],"city":"Troy","state":"NY","postalCode":"12180","use":"home"}],
 "generalPractitioner":[{"reference":"Practitioner/d1/_history/3"},{"reference":"#o1"},{"identifier":{"system":"http://example.org/npi","value":"999"},"type":"Practitioner"}],
 "contained":[{"resourceType":"Organization","id":"o1"}],
 "managingOrganization":{"reference":"http://other.example/fhir/Organization/5"}}`

	observationJSON = `{"resourceType":"Observation","id":"b1","status":"final",
 "code":{"coding":[{"system":"http://loinc.org","code":"85354-9","display":"Blood pressure"}],"text":"BP"},
 "subject":{"reference":"Patient/p1"},"effectivePeriod":{"start":"2024-03-01T10:00:00-05:00"},
 "component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":120,"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
  {"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":60,"comparator":"<","unit":"mmHg"}}]}`
)

func TestExtract(t *testing.T) {
	for _, x := range []struct {
		name, typ, json string
		want            []string
	}{
		{"patient", "Patient", patientJSON, []string{
			"_profile uri http://example.org/profile", "_profile uri http://example.org/profile|2.0",
			"_source uri http://example.org/src", "_tag token http://example.org/tags|t1",
			"active token |true",
			"address string 12180", "address string 1 Elm St", "address string NY", "address string Troy",
			"address-city string Troy", "address-postalcode string 12180", "address-state string NY", "address-use token |home",
			"birthdate date 1980-02-01T00:00:00Z..1980-03-01T00:00:00Z",
			"deceased token |false", "email token email|z@example.org",
			"family string O'Brien-Núñez", "gender token |female",
			"general-practitioner reference <#o1> Organization", "general-practitioner reference Practitioner/d1",
			"general-practitioner:identifier token http://example.org/npi|999",
			"given string Ann", "given string Zoë",
			"identifier token http://example.org/mrn|00123", "identifier token |A-7",
			"identifier:of-type token http://terminology.hl7.org/CodeSystem/v2-0203|MR|00123", "identifier:text string chart number",
			"name string Ann", "name string Dr.", "name string O'Brien-Núñez", "name string Zed", "name string Zoë", "name string Zoë Ann O'Brien-Núñez",
			"organization reference <http://other.example/fhir/Organization/5> Organization",
			"phone token phone|555-0100",
			"telecom token email|z@example.org", "telecom token phone|555-0100",
		}},
		{"observation", "Observation", observationJSON, []string{
			"code token http://loinc.org|85354-9", "code:text string BP", "code:text string Blood pressure",
			"combo-code token http://loinc.org|8462-4", "combo-code token http://loinc.org|8480-6", "combo-code token http://loinc.org|85354-9",
			"combo-code-value-quantity#2/combo-code token http://loinc.org|8480-6",
			"combo-code-value-quantity#2/combo-value-quantity quantity 120 [120,120] http://unitsofmeasure.org|mm[Hg]|mmHg",
			"combo-code-value-quantity#3/combo-code token http://loinc.org|8462-4",
			"combo-code-value-quantity#3/combo-value-quantity quantity 60 [-Inf,60] ||mmHg",
			"combo-code:text string BP", "combo-code:text string Blood pressure",
			"combo-value-quantity quantity 120 [120,120] http://unitsofmeasure.org|mm[Hg]|mmHg", "combo-value-quantity quantity 60 [-Inf,60] ||mmHg",
			"component-code token http://loinc.org|8462-4", "component-code token http://loinc.org|8480-6",
			"component-code-value-quantity#1/component-code token http://loinc.org|8480-6",
			"component-code-value-quantity#1/component-value-quantity quantity 120 [120,120] http://unitsofmeasure.org|mm[Hg]|mmHg",
			"component-code-value-quantity#2/component-code token http://loinc.org|8462-4",
			"component-code-value-quantity#2/component-value-quantity quantity 60 [-Inf,60] ||mmHg",
			"component-value-quantity quantity 120 [120,120] http://unitsofmeasure.org|mm[Hg]|mmHg", "component-value-quantity quantity 60 [-Inf,60] ||mmHg",
			"date date 2024-03-01T15:00:00Z..never", "status token |final", "subject reference Patient/p1",
		}},
		{"risk", "RiskAssessment", `{"resourceType":"RiskAssessment","status":"final","subject":{"reference":"Group/g"},
			"prediction":[{"probabilityDecimal":0.02},{"probabilityRange":{"low":{"value":10},"high":{"value":20}}}]}`, []string{
			"probability number 0.02 [0.02,0.02]", "probability number 10 [10,20]", "subject reference Group/g",
		}},
		{"location", "Location", `{"resourceType":"Location","position":{"latitude":42.5,"longitude":-71.25}}`, []string{"near special 42.5,-71.25"}},
		{"value set", "ValueSet", `{"resourceType":"ValueSet","status":"draft","version":"1","useContext":[
			{"code":{"code":"focus"},"valueCodeableConcept":{"text":"x","coding":[{"code":"c"}]}},{"code":{"code":"age"},"valueRange":{"low":{"value":5,"code":"a"}}}]}`, []string{
			"context token |c", "context-quantity quantity 5 [5,+Inf] |a|", "context-type token |age", "context-type token |focus",
			"context-type-quantity#2/context-quantity quantity 5 [5,+Inf] |a|", "context-type-quantity#2/context-type token |age",
			"context-type-value#1/context token |c", "context-type-value#1/context-type token |focus",
			"context:text string x", "status token |draft", "version token |1",
		}},
		{"task with canonical", "Task", `{"resourceType":"Task","status":"draft","intent":"order","instantiatesCanonical":"http://x/a|1","for":{"reference":"urn:uuid:1"},"focus":{"reference":"Patient/a b"}}`, []string{
			"focus reference <Patient/a b> ", "intent token |order", "status token |draft", "subject reference <urn:uuid:1> ",
		}},
		{"document", "Bundle", `{"resourceType":"Bundle","type":"document","entry":[{"resource":{"resourceType":"Composition","id":"c1"}}]}`, []string{
			"composition reference Composition/c1", "type token |document",
		}},
	} {
		vs, err := Extract(x.typ, mustParse(t, x.json))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range vs {
			got = append(got, line(v))
		}
		slices.Sort(got)
		slices.Sort(x.want)
		for _, g := range got {
			if !slices.Contains(x.want, g) {
				t.Errorf("%s: unexpected %s", x.name, g)
			}
		}
		for _, w := range x.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: missing %s", x.name, w)
			}
		}
		if len(got) != len(x.want) {
			t.Errorf("%s: %d values, want %d", x.name, len(got), len(x.want))
		}
	}
	if _, err := Extract("Patent", mustParse(t, patientJSON)); err == nil {
		t.Error("an unknown type is accepted")
	}
	if _, kept := compiled.Load("Patent"); kept {
		t.Error("an unknown type is kept")
	}
}

func TestAllTypesCompile(t *testing.T) {
	for _, typ := range fhir.ResourceTypes() {
		if err := paramsOf(typ).err; err != nil {
			t.Error(err)
		}
	}
}

func TestAlias(t *testing.T) {
	for _, x := range []struct{ typ, code, canonical, only string }{
		{"Observation", "patient", "subject", "Patient"},
		{"Observation", "subject", "subject", ""},
		{"Encounter", "practitioner", "participant", "Practitioner"},
		{"Appointment", "location", "actor", "Location"},
		{"Task", "patient", "subject", "Patient"},
		{"AllergyIntolerance", "patient", "patient", ""},
		{"Coverage", "patient", "beneficiary", ""},
		{"Patient", "phonetic", "name", ""},
		{"Bundle", "message", "message", ""},
		{"Observation", "nonsense", "nonsense", ""},
	} {
		if c, o := Alias(x.typ, x.code); c != x.canonical || o != x.only {
			t.Errorf("%s.%s: %s %s, want %s %s", x.typ, x.code, c, o, x.canonical, x.only)
		}
	}
}

func TestMoment(t *testing.T) {
	for _, x := range []struct{ in, low, high string }{
		{"2024", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"},
		{"2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"2024-12", "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z"},
		{"2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"2024-02-29T10:05+02:00", "2024-02-29T08:05:00Z", "2024-02-29T08:06:00Z"},
		{"2024-02-29T10:05:07", "2024-02-29T10:05:07Z", "2024-02-29T10:05:08Z"},
		{"2024-02-29T23:59:59.9Z", "2024-02-29T23:59:59.9Z", "2024-03-01T00:00:00Z"},
		{"2024-02-29T10:05:07.123456789-05:00", "2024-02-29T15:05:07.123456Z", "2024-02-29T15:05:07.123457Z"},
		{"0001", "0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z"},
	} {
		low, high, ok := moment(x.in)
		if !ok || micros(low) != x.low || micros(high) != x.high {
			t.Errorf("%s: %v %s..%s, want %s..%s", x.in, ok, micros(low), micros(high), x.low, x.high)
		}
	}
	for _, s := range []string{"", "24", "2024-13", "2024-00", "2023-02-29", "2024-02-30", "2024-1-1", "2024-01-01T", "2024-01-01T25", "2024-01-01T10:61", "2024-01-01T10:00:00+15:00", "2024-01-01T10:00:00z", "2024-01-01 10:00", "2024-01-01T10:00:00.Z", "0000", "20240101"} {
		if _, _, ok := moment(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, x := range []struct {
		in          string
		value, half float64
	}{{"100", 100, .5}, {"5.40", 5.4, .005}, {"1e2", 100, 50}, {"1.0e-2", .01, .0005}, {"-7", -7, .5}, {"0", 0, .5}} {
		v, half, ok := number(x.in)
		if !ok || v != x.value || math.Abs(half-x.half) > 1e-12 {
			t.Errorf("%s: %v %g ± %g", x.in, ok, v, half)
		}
	}
	for _, s := range []string{"", "x", "0x10", "Inf", "NaN", "1e999", "1,5", "--1", "1_0"} {
		if _, _, ok := number(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"Smith": "smith", "  O'Brien \t Smith ": "obrien smith", "Núñez": "nunez", "Straße": "strasse", "Ｆｕｌｌ": "full",
		"Łódź": "lodz", "a  b": "a b", "İstanbul": "istanbul", "d’Arc": "darc", "ab": "ab", "": "", "ﬁne": "fine",
	} {
		if got := Fold(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := Fold(Fold(in)); got != want {
			t.Errorf("%q folds differently the second time: %q", in, got)
		}
	}
	if got := Words("Smith-Jones, O'Neil (3rd)"); !slices.Equal(got, []string{"smith", "jones", "oneil", "3rd"}) {
		t.Errorf("words %q", got)
	}
}

func TestSortDate(t *testing.T) {
	for _, x := range []struct{ typ, json, want string }{
		{"Observation", observationJSON, "2024-03-01T15:00:00Z"},
		{"Encounter", `{"resourceType":"Encounter","period":{"end":"2024-02-01"}}`, "2024-02-01T00:00:00Z"},
		{"DocumentReference", `{"resourceType":"DocumentReference","date":"2020-01-01T00:00:00Z","context":{"period":{"start":"2019"}}}`, "2019-01-01T00:00:00Z"},
		{"Condition", `{"resourceType":"Condition","onsetAge":{"value":3},"recordedDate":"2021"}`, "2021-01-01T00:00:00Z"},
		{"Patient", patientJSON, "1970-01-01T00:00:00Z"},
	} {
		if got := micros(SortDate(x.typ, mustParse(t, x.json))); got != x.want {
			t.Errorf("%s: %s, want %s", x.typ, got, x.want)
		}
	}
	for typ, paths := range clinicalDates {
		for _, p := range paths {
			at := typ
			for _, name := range strings.Split(p, ".") {
				next, _, ok := model.ElementType(at, name)
				if !ok { // a choice written with its type
					for i := range name {
						if _, choice, found := model.ElementType(at, name[:i]); found && choice && name[i] >= 'A' && name[i] <= 'Z' {
							ok = true
						}
					}
				}
				if !ok {
					t.Errorf("%s has no element %s", typ, p)
				}
				at = next
			}
		}
	}
}

// TestExtractTellsManyValuesApart: each of many values comes once, in the order of the resource, however often it is there.
func TestExtractTellsManyValuesApart(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"resourceType":"Patient","identifier":[{"value":"0"}`)
	const different = 500
	for i := range 3 * different {
		fmt.Fprintf(&b, `,{"value":"%d"}`, i%different)
	}
	b.WriteString(`],"name":[{"family":"a"},{"family":"a"}]}`)
	vs, err := Extract("Patient", mustParse(t, b.String()))
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, v := range vs {
		if v.Param != "identifier" {
			continue
		}
		if v.Code != strconv.Itoa(next) {
			t.Fatalf("value %d is %q", next, v.Code)
		}
		next++
	}
	if next != different {
		t.Errorf("%d values, want %d", next, different)
	}
}
