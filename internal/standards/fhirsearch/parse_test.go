package fhirsearch

import (
	"net/url"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// parse reads a query string.
func parse(t testing.TB, typ, query string) (Query, []string) {
	t.Helper()
	v, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	q, issues := ParseQuery(typ, v)
	var texts []string
	for _, i := range issues {
		if i.Fix == "" {
			t.Errorf("%s: issue without place or remedy: %v", query, i)
		}
		texts = append(texts, i.Code+": "+i.Text+" "+i.Fix)
	}
	return q, texts
}

// one parses a query of a single clause.
func one(t testing.TB, typ, query string) Clause {
	t.Helper()
	q, issues := parse(t, typ, query)
	if len(issues) > 0 || len(q.Clauses) != 1 {
		t.Fatalf("%s: %d clauses, %v", query, len(q.Clauses), issues)
	}
	return q.Clauses[0]
}

func TestParseClause(t *testing.T) {
	const march = 1709251200_000000 // 2024-03-01
	for _, x := range []struct {
		typ, query string
		want       Clause
	}{
		{"Patient", "gender=male,female", Clause{Param: "gender", Type: "token", Values: []ValueTerm{{Raw: "male", Code: "male"}, {Raw: "female", Code: "female"}}}},
		{"Patient", "gender=http://hl7.org/fhir/administrative-gender|male", Clause{Param: "gender", Type: "token", Values: []ValueTerm{{Raw: "http://hl7.org/fhir/administrative-gender|male", Code: "male"}}}},
		{"Patient", "identifier=http://x|1", Clause{Param: "identifier", Type: "token", Values: []ValueTerm{{Raw: "http://x|1", System: "http://x", Code: "1", HasSystem: true}}}},
		{"Patient", "identifier=|1", Clause{Param: "identifier", Type: "token", Values: []ValueTerm{{Raw: "|1", Code: "1", HasSystem: true}}}},
		{"Patient", "identifier=http://x|", Clause{Param: "identifier", Type: "token", Values: []ValueTerm{{Raw: "http://x|", System: "http://x", HasSystem: true}}}},
		{"Patient", `identifier=a\|b\,c`, Clause{Param: "identifier", Type: "token", Values: []ValueTerm{{Raw: "a|b,c", Code: "a|b,c"}}}},
		{"Patient", "identifier:of-type=http://t|MR|1", Clause{Param: "identifier", Type: "token", Modifier: "of-type", Values: []ValueTerm{{Raw: "http://t|MR|1", System: "http://t", Code: "MR", Text: "1", HasSystem: true}}}},
		{"Patient", "name:exact=Ann", Clause{Param: "name", Type: "string", Modifier: "exact", Values: []ValueTerm{{Raw: "Ann", Text: "Ann"}}}},
		{"Patient", "phonetic=Ann", Clause{Param: "name", Type: "string", Values: []ValueTerm{{Raw: "Ann", Text: "Ann"}}}},
		{"Patient", "birthdate:missing=true", Clause{Param: "birthdate", Type: "date", Modifier: "missing", Values: []ValueTerm{{Raw: "true", Missing: true}}}},
		{"Patient", "_id=a", Clause{Param: "_id", Type: "token", Values: []ValueTerm{{Raw: "a", Code: "a"}}}},
		{"Observation", "date=ge2024-03", Clause{Param: "date", Type: "date", Values: []ValueTerm{{Raw: "ge2024-03", Prefix: "ge", Low: march, High: march + 31*day}}}},
		{"Observation", "date=2024-03-01T00:00:00 01:00", Clause{Param: "date", Type: "date", Values: []ValueTerm{{Raw: "2024-03-01T00:00:00 01:00", Prefix: "eq", Low: march - hour, High: march - hour + second}}}},
		{"Observation", "date=ap2024-03-01", Clause{Param: "date", Type: "date", Values: []ValueTerm{{Raw: "ap2024-03-01", Prefix: "ap", Low: march - day, High: march + 2*day}}}},
		{"Observation", "patient=p1", Clause{Param: "subject", Type: "reference", OnlyType: "Patient", Values: []ValueTerm{{Raw: "p1", RefType: "Patient", RefID: "p1"}}}},
		{"Observation", "subject:Patient=p1", Clause{Param: "subject", Type: "reference", OnlyType: "Patient", Values: []ValueTerm{{Raw: "p1", RefType: "Patient", RefID: "p1"}}}},
		{"Observation", "subject=Group/g", Clause{Param: "subject", Type: "reference", Values: []ValueTerm{{Raw: "Group/g", RefType: "Group", RefID: "g"}}}},
		{"Observation", "subject=p1", Clause{Param: "subject", Type: "reference", Values: []ValueTerm{{Raw: "p1", RefID: "p1"}}}},
		{"Observation", "subject=https://h/fhir/Patient/p1", Clause{Param: "subject", Type: "reference", Values: []ValueTerm{{Raw: "https://h/fhir/Patient/p1", RefURL: "https://h/fhir/Patient/p1"}}}},
		{"Observation", "subject:identifier=http://x|1", Clause{Param: "subject", Type: "reference", Modifier: "identifier", Values: []ValueTerm{{Raw: "http://x|1", System: "http://x", Code: "1", HasSystem: true}}}},
		{"Observation", "value-quantity=le5.40|http://unitsofmeasure.org|mg", Clause{Param: "value-quantity", Type: "quantity", Values: []ValueTerm{{Raw: "le5.40|http://unitsofmeasure.org|mg", Prefix: "le", Num: 5.4, NumLow: 5.395, NumHigh: 5.405, System: "http://unitsofmeasure.org", Code: "mg", HasSystem: true,
			Base: Canonical{Dim: "g", Num: 0.0054, Low: 0.005395, High: 0.005405}}}}},
		{"Observation", "value-quantity=100||mg", Clause{Param: "value-quantity", Type: "quantity", Values: []ValueTerm{{Raw: "100||mg", Prefix: "eq", Num: 100, NumLow: 99.5, NumHigh: 100.5, Code: "mg"}}}},
		{"Observation", "code-value-quantity=http://loinc.org|1$gt5", Clause{Param: "code-value-quantity", Type: "composite", Values: []ValueTerm{{Raw: "http://loinc.org|1$gt5", Parts: []ValueTerm{
			{Raw: "http://loinc.org|1", System: "http://loinc.org", Code: "1", HasSystem: true}, {Raw: "gt5", Prefix: "gt", Num: 5, NumLow: 4.5, NumHigh: 5.5}}}}}},
		{"ValueSet", "reference=http://x/cs|2", Clause{Param: "reference", Type: "uri", Values: []ValueTerm{{Raw: "http://x/cs|2", Text: "http://x/cs|2"}}}},
		{"Task", "focus=http://x/q|2", Clause{Param: "focus", Type: "reference", Values: []ValueTerm{{Raw: "http://x/q|2", RefURL: "http://x/q", RefVersion: "2"}}}},
		{"Location", "near=42.5|-71|10|mi", Clause{Param: "near", Type: "special", Values: []ValueTerm{{Raw: "42.5|-71|10|mi", Num: 16.09344, NumLow: 42.5, NumHigh: -71}}}},
		{"Observation", "subject:Patient.name=ann", Clause{Param: "subject", Type: "reference", OnlyType: "Patient", Chain: []Link{{"Patient", &Clause{Param: "name", Type: "string", Values: []ValueTerm{{Raw: "ann", Text: "ann"}}}}}}},
		{"Observation", "subject.birthdate=1980", Clause{Param: "subject", Type: "reference", Chain: []Link{{"Patient", &Clause{Param: "birthdate", Type: "date", Values: []ValueTerm{{Raw: "1980", Prefix: "eq", Low: 315532800_000000, High: 347155200_000000}}}}}}},
		{"Patient", "_has:Observation:patient:code=1", Clause{Param: "_has", Type: "special", Has: &Has{"Observation", "subject", "Patient", &Clause{Param: "code", Type: "token", Values: []ValueTerm{{Raw: "1", Code: "1"}}}}}},
		{"Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent=Practitioner/m", Clause{Param: "_has", Type: "special", Has: &Has{"Observation", "subject", "Patient", &Clause{Param: "_has", Type: "special",
			Has: &Has{"AuditEvent", "entity", "", &Clause{Param: "agent", Type: "reference", Values: []ValueTerm{{Raw: "Practitioner/m", RefType: "Practitioner", RefID: "m"}}}}}}}},
	} {
		if got := one(t, x.typ, strings.ReplaceAll(x.query, " ", "+")); !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s?%s\n got %+v\nwant %+v", x.typ, x.query, got, x.want)
		}
	}
}

func TestParseControls(t *testing.T) {
	q, issues := parse(t, "Observation", "_count=20&_sort=-date,patient,_id&_total=accurate&_summary=data&_elements=id,Observation.status&_page=xyz&_format=json&_pretty=true"+
		"&_include=Observation:patient&_include:iterate=Patient:general-practitioner:Practitioner&_include=*&_revinclude=Provenance:target&_lastUpdated=gt2024&_contained=false&_list=42")
	if len(issues) > 0 {
		t.Fatal(issues)
	}
	want := Query{Type: "Observation", Count: 20, Total: "accurate", Summary: "data", Elements: []string{"id", "status"}, Page: "xyz", Format: "json", Pretty: true,
		Sort:       []Sort{{"date", "date", true}, {"subject", "reference", false}, {"_id", "token", false}},
		Include:    []Include{{"Observation", "subject", "Patient", false}, {"Observation", "*", "", false}, {"Patient", "general-practitioner", "Practitioner", true}},
		RevInclude: []Include{{"Provenance", "target", "", false}},
	}
	clauses := q.Clauses
	q.Clauses = nil
	if !reflect.DeepEqual(q, want) {
		t.Errorf("got %+v\nwant %+v", q, want)
	}
	if len(clauses) != 2 || clauses[0].Param != "_lastUpdated" || clauses[1].Param != "_list" {
		t.Errorf("clauses %+v", clauses)
	}
	if q, _ := parse(t, "Patient", "_count=0"); q.Summary != "count" {
		t.Error("_count=0 is not a count")
	}
}

func TestParseIssues(t *testing.T) {
	for _, x := range []struct{ typ, query, want string }{
		{"Patient", "birthDate=1980", "not-supported: Patient has no search parameter \"birthDate\". Did you mean birthdate?"},
		{"Patient", "familly=x", "Did you mean family?"},
		{"Patient", "_coutn=5", "Did you mean _count?"},
		{"Patient", "zzzzzz=x", "Valid are: _id, _lastUpdated"},
		{"Patent", "name=x", "not-supported: \"Patent\" is not a resource type of FHIR R4. Did you mean Patient?"},
		{"Patient", "birthdate=1980-13", "value: birthdate is not a date. Write year"},
		{"Patient", "birthdate=", "value: birthdate has an empty value."},
		{"Patient", "birthdate:exact=1980", "not-supported: The modifier \":exact\" does not work on birthdate, a date parameter. Allowed here: missing."},
		{"Patient", "name:missing=maybe", "value: name:missing takes true or false."},
		{"Patient", "identifier=a|b|c", "value: identifier has more than one |."},
		{"Patient", "name.family=x", "value: name is not a reference"},
		{"Observation", "subject.colour=x", "not-supported: subject refers to Device, Group, Location, Patient, and none of them"},
		{"Observation", "subject:Patient.colour=x", "not-supported: Patient has no search parameter \"colour\"."},
		{"Observation", "subject=a/b/c", "value: subject is not a reference."},
		{"Observation", "patient:Group=x", "value: patient always refers to a Patient."},
		{"Observation", "value-quantity=5|mg", "value: value-quantity has an incomplete unit."},
		{"Observation", "value-quantity=five", "value: value-quantity is not a number."},
		{"Observation", "code-value-quantity=1", "value: code-value-quantity needs 2 parts. Write code$value-quantity."},
		{"Observation", "_sort=colour", "Observation has no search parameter \"colour\"."},
		{"Observation", "_sort=code-value-quantity", "not-supported: Results cannot be sorted by code-value-quantity."},
		{"Observation", "_include=patient", "value: The include is not of the form Type:parameter."},
		{"Observation", "_include=Observation:code", "value: code of Observation is not a reference."},
		{"Observation", "_count=-1", "value: _count is not a whole number."},
		{"Observation", "_total=some", "value: _total has a value it does not know. Use one of: none, estimate, accurate."},
		{"Observation", "_elements=colour", "value: Observation has no element \"colour\"."},
		{"Observation", "_contained=true", "not-supported: Contained resources"},
		{"Observation", "_contained=both", "not-supported: Contained resources"},
		{"Observation", "_containedType=container", "not-supported: Contained resources"},
		{"Patient", "_has:Observation:code:x=1", "value: code of Observation is not a reference."},
		{"Patient", "_has:Observation=1", "value: _has is not complete."},
		{"Practitioner", "_has:Observation:patient:code=1", "value: patient of Observation never refers to a Practitioner."},
		{"Observation", "encounter.part-of.part-of.part-of.part-of.status=x", "too-costly: The chain of references is too long."},
		{"Provenance", "target.name=x", "too-costly: target may refer to any type of resource. Name the type"},
	} {
		_, issues := parse(t, x.typ, x.query)
		if len(issues) != 1 || !strings.Contains(issues[0], x.want) {
			t.Errorf("%s?%s\n got %q\nwant %s", x.typ, x.query, issues, x.want)
		}
	}
	// Values may be patient data and never come back in texts.
	for _, query := range []string{"birthdate=Sekret", "identifier=Sekret|Sekret|Sekret", "general-practitioner=Sek/ret/Sekret", "_count=Sekret", "name:missing=Sekret", "_total=Sekret", "_include=Sekret"} {
		if _, issues := parse(t, "Patient", query); strings.Contains(strings.Join(issues, ""), "Sekret") {
			t.Errorf("%s repeats the value: %s", query, issues)
		}
	}
}

// TestEscape: an escaped text is one value, and reads back as written.
func TestEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		for _, sep := range []byte{',', '|', '$'} {
			if parts := split(Escape(s), sep); len(parts) != 1 || unescape(parts[0]) != s {
				t.Fatalf("%q becomes %q", s, parts)
			}
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{
		"name=a,b&birthdate=ge2024-02", "subject:Patient.name=x", "_has:Observation:patient:code=1|2", "code-value-quantity=a$gt5.4|x|y",
		"_sort=-date&_include=Observation:subject:Patient", "near=1|2|3|km", "date=ap2024-01-01T10:00:00Z", `identifier=\|\,\$\\`,
	} {
		f.Add("Observation", s)
	}
	patient, observation := mustParse(f, patientJSON), mustParse(f, observationJSON)
	f.Fuzz(func(t *testing.T, typ, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, issues := ParseQuery(typ, v)
		for _, i := range issues {
			if i.Fix == "" || i.Code == "" {
				t.Fatalf("incomplete issue %+v", i)
			}
		}
		for _, c := range q.Clauses {
			Match(patient, c)
			Match(observation, c)
		}
	})
}

// TestHugeQueriesEndSoon: five megabytes of anything are refused or read at once; one of these once took forty seconds.
func TestHugeQueriesEndSoon(t *testing.T) {
	const size = 5 << 20
	long := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for _, c := range []struct{ name, value string }{
		{"code", long(",")}, {"code", long("a,")}, {"_elements", long("id,")}, {"_sort", long("code,")}, {"_filter", long("(")}, {"_filter", long("a")}, {"_filter", long("code eq a and ")},
		{long("a"), "x"}, {"subject." + long("subject."), "x"}, {long("_has:Observation:subject:"), "x"}, {"value-quantity", long("1")}, {"value-quantity", long("1") + "|http://unitsofmeasure.org|mg"},
		{"date", long("1")}, {"_include", long("x:")}, {"code-value-quantity", long("$")},
	} {
		if _, issues := ParseQuery("Observation", map[string][]string{c.name: {c.value}}); len(issues) != 1 || len(issues[0].Text) > 1000 {
			t.Errorf("%.30s=%.30s gives %d issues", c.name, c.value, len(issues))
		}
	}
}
