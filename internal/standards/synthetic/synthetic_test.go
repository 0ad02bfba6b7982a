package synthetic_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/synthetic"
)

func parse(t testing.TB, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{Bytes: 1 << 28})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatLooksRealIsFoundInItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		json string
		want string // kind@path
	}{
		"real phone":             {`{"resourceType":"Patient","telecom":[{"system":"phone","value":"(617) 482-1234"}]}`, "2@Patient.telecom[0].value"},
		"phone with country":     {`{"resourceType":"Patient","telecom":[{"system":"sms","value":"+1 617 482 1234"}]}`, "2@Patient.telecom[0].value"},
		"phone abroad":           {`{"resourceType":"Patient","telecom":[{"system":"phone","value":"+49 30 901820"}]}`, "2@Patient.telecom[0].value"},
		"phone without system":   {`{"resourceType":"Patient","telecom":[{"value":"6174821234"}]}`, "2@Patient.telecom[0].value"},
		"555 at the end only":    {`{"resourceType":"Patient","telecom":[{"system":"phone","value":"617-482-5551"}]}`, "2@Patient.telecom[0].value"},
		"phone of a contact":     {`{"resourceType":"Patient","contact":[{"telecom":[{"system":"phone","value":"617-482-1234"}]}]}`, "2@Patient.contact[0].telecom[0].value"},
		"mail":                   {`{"resourceType":"Patient","telecom":[{"system":"email","value":"ann@gmail.com"}]}`, "3@Patient.telecom[0].value"},
		"mail like an example":   {`{"resourceType":"RelatedPerson","telecom":[{"system":"email","value":"ann@notexample.com"}]}`, "3@RelatedPerson.telecom[0].value"},
		"ssn":                    {`{"resourceType":"Patient","identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"123-45-6789"}]}`, "1@Patient.identifier[0].value"},
		"ssn by type":            {`{"resourceType":"Patient","identifier":[{"type":{"coding":[{"code":"SS"}]},"value":"123456789"}]}`, "1@Patient.identifier[0].value"},
		"ssn of a doctor":        {`{"resourceType":"Practitioner","identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"123456789"}]}`, "1@Practitioner.identifier[0].value"},
		"ssn as another number":  {`{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"123-45-6789"}]}`, "1@Patient.identifier[0].value"},
		"ssn declared":           {`{"resourceType":"Patient","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"HTEST"}]},"identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"123-45-6789"}]}`, "1@Patient.identifier[0].value"},
		"licence":                {`{"resourceType":"Patient","identifier":[{"type":{"coding":[{"code":"DL"}]},"value":"SA1234567"}]}`, "4@Patient.identifier[0].value"},
		"medicare":               {`{"resourceType":"Patient","identifier":[{"system":"http://hl7.org/fhir/sid/us-mbi","value":"1EG4-TE5-MK73"}]}`, "4@Patient.identifier[0].value"},
		"licence declared":       {`{"resourceType":"Patient","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"HTEST"}]},"identifier":[{"type":{"coding":[{"code":"DL"}]},"value":"SA1234567"}]}`, ""},
		"note with phone":        {`{"resourceType":"Observation","note":[{"text":"fine"},{"text":"call daughter at 617-482-1234."}]}`, "2@Observation.note[1].text"},
		"note with brackets":     {`{"resourceType":"Observation","note":[{"text":"call (617) 482-1234 tonight"}]}`, "2@Observation.note[0].text"},
		"note with 1-":           {`{"resourceType":"Observation","note":[{"text":"call 1-617-482-1234"}]}`, "2@Observation.note[0].text"},
		"narrative with ssn":     {`{"resourceType":"Composition","text":{"div":"<div>SSN:123-45-6789<br/></div>"}}`, "1@Composition.text.div"},
		"narrative spaced ssn":   {`{"resourceType":"Composition","section":[{"text":{"div":"<div>SSN 123-45-6789</div>"}}]}`, "1@Composition.section[0].text.div"},
		"text with mail":         {`{"resourceType":"Communication","payload":[{"contentString":"write to ann.b@aol.com please"}]}`, "3@Communication.payload[0].contentString"},
		"attachment of text":     {`{"resourceType":"DocumentReference","content":[{"attachment":{"contentType":"text/plain","data":"Y2FsbCA2MTctNDgyLTEyMzQ="}}]}`, "2@DocumentReference.content[0].attachment.data"},
		"picture":                {`{"resourceType":"DocumentReference","content":[{"attachment":{"contentType":"image/png","data":"Y2FsbCA2MTctNDgyLTEyMzQ="}}]}`, ""},
		"Binary":                 {`{"resourceType":"Binary","contentType":"text/plain","data":"Y2FsbCA2MTctNDgyLTEyMzQ="}`, "2@Binary.data"},
		"contained person":       {`{"resourceType":"Observation","contained":[{"resourceType":"Patient","telecom":[{"system":"email","value":"a@b.com"}]}]}`, "3@Observation.contained[0].telecom[0].value"},
		"contained doctor":       {`{"resourceType":"Observation","contained":[{"resourceType":"Practitioner","telecom":[{"system":"email","value":"a@b.com"}]}]}`, ""},
		"in a Bundle":            {`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","telecom":[{"system":"email","value":"a@b.com"}]}}]}`, "3@Bundle.entry[0].resource.telecom[0].value"},
		"in an extension":        {`{"resourceType":"Patient","extension":[{"url":"x","valueContactPoint":{"system":"phone","value":"6174821234"}},{"url":"y","valueString":"617.482.1234"}]}`, "2@Patient.extension[0].valueContactPoint.value 2@Patient.extension[1].valueString"},
		"hospital":               {`{"resourceType":"Organization","telecom":[{"system":"phone","value":"6174821234"}]}`, ""},
		"doctor's mail":          {`{"resourceType":"Practitioner","telecom":[{"system":"email","value":"a@b.com"}]}`, ""},
		"invented":               {`{"resourceType":"Patient","telecom":[{"system":"phone","value":"555-0134"},{"system":"phone","value":"(617) 555-0134 x7"},{"system":"phone","value":"555-954-6427"},{"system":"email","value":"Ann@Example.com"},{"system":"email","value":"a@mail.practice.test"}]}`, ""},
		"abroad and invented":    {`{"resourceType":"Patient","telecom":[{"system":"phone","value":"(03) 5555 6473"}]}`, ""},
		"own number":             {`{"resourceType":"Patient","identifier":[{"type":{"coding":[{"code":"MR"}]},"system":"urn:practice","value":"100482"}]}`, ""},
		"Synthea's numbers":      {`{"resourceType":"Patient","identifier":[{"type":{"coding":[{"code":"DL"}]},"system":"urn:oid:2.16.840.1.113883.4.3.25","value":"S99978705"},{"type":{"coding":[{"code":"PPN"}]},"value":"X39123756X"}]}`, ""},
		"oid, uuid, date, dose":  {`{"resourceType":"Observation","note":[{"text":"1.2.840.113619.2.62.994044785528, 6dff1468-d6cf-804a-a3ed-a69896211234, 2024-11-2024, 250 500 1000 mg, 120-80-9999x, 12345-6"}]}`, ""},
		"numbers glued to words": {`{"resourceType":"Observation","note":[{"text":"lot A617-482-1234, 617-482-12345, 617-482-1234-9"}]}`, ""},
		"code":                   {`{"resourceType":"Observation","code":{"coding":[{"code":"123-45-6789"}]}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range synthetic.Find(parse(t, c.json)) {
				got = append(got, fmt.Sprintf("%d@%s", f.Kind, f.Path))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %q", got, c.want)
			}
		})
	}
}

func TestIssuesSayWhereAndWhat(t *testing.T) {
	found := synthetic.Find(parse(t, `{"resourceType":"Patient","identifier":[{"type":{"coding":[{"code":"DL"}]},"value":"SA1234567"}],"telecom":[{"system":"phone","value":"617-482-1234"}]}`))
	issues := synthetic.Issues(found)
	if len(issues) != 2 || !issues.HasErrors() {
		t.Fatalf("issues: %v", issues)
	}
	for _, i := range issues {
		if i.Path == "" || i.Fix == "" || strings.Contains(i.Text+i.Fix, "482-1234") || strings.Contains(i.Text+i.Fix, "SA1234567") {
			t.Errorf("an issue without place or remedy, or one that repeats the value: %+v", i)
		}
	}
	if left := synthetic.WithoutIdentifiers(found); len(left) != 1 || left[0].Kind != synthetic.Phone {
		t.Errorf("a declaration left %v", left)
	}
}

func TestEverySSNOfARangeIsJudgedByItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		area, group, serial := rapid.IntRange(0, 999).Draw(t, "area"), rapid.IntRange(0, 99).Draw(t, "group"), rapid.IntRange(0, 9999).Draw(t, "serial")
		sep := rapid.SampledFrom([]string{"-", "", " "}).Draw(t, "sep")
		s := fmt.Sprintf("%03d%s%02d%s%04d", area, sep, group, sep, serial)
		want := area == 0 || area == 666 || area >= 900 || group == 0 || serial == 0
		if synthetic.UnissuedSSN(s) != want {
			t.Fatalf("%s: unissued is not %v", s, want)
		}
		if sep == "-" {
			n := parse(panics{}, fmt.Sprintf(`{"resourceType":"Observation","note":[{"text":"number %s, seen"}]}`, s))
			if found := synthetic.Find(n); len(found) == 0 != want {
				t.Fatalf("%s in words: %v", s, found)
			}
		}
	})
}

// panics lets parse report to a rapid test, which catches it.
type panics struct{ testing.TB }

func (panics) Helper()           {}
func (panics) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestEveryPhoneOf555IsFiction(t *testing.T) {
	forms := []string{"%s-%s-%s", "(%s) %s-%s", "%s.%s.%s", "%s%s%s", "+1 %s %s %s", "+1%s%s%s", "1-%s-%s-%s", "tel:%s-%s-%s"}
	rapid.Check(t, func(t *rapid.T) {
		area := fmt.Sprint(rapid.IntRange(212, 989).Filter(func(n int) bool { return n != 555 && n%100 != 11 }).Draw(t, "area"))
		exchange := fmt.Sprint(rapid.IntRange(200, 999).Filter(func(n int) bool { return n != 555 }).Draw(t, "exchange"))
		line := fmt.Sprintf("%04d", rapid.IntRange(0, 9999).Draw(t, "line"))
		form := rapid.SampledFrom(forms).Draw(t, "form")
		if s := fmt.Sprintf(form, area, exchange, line); synthetic.FictionalPhone(s) {
			t.Fatalf("%s could ring", s)
		}
		for _, s := range []string{fmt.Sprintf(form, area, "555", line), fmt.Sprintf(form, "555", exchange, line)} {
			if !synthetic.FictionalPhone(s) {
				t.Fatalf("%s is fiction", s)
			}
		}
	})
}

func FuzzFind(f *testing.F) {
	f.Add(`{"resourceType":"Patient","telecom":[{"value":"(617) 4"}],"note":[{"text":"1-2@ 617-"}]}`)
	f.Add(`{"resourceType":"Binary","contentType":"text/plain","data":"@@@"}`)
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{}); err == nil {
			synthetic.Find(n)
		}
	})
}

// No record that Synthea wrote looks real: false alarms would teach people to switch the fence off.
func TestSyntheaRaisesNoAlarm(t *testing.T) {
	dir := corpustest.Folder(t, "synthea")
	if dir == "" {
		return
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "son.gz") {
			return err
		}
		files++
		if files%3 != 0 { // a third of them takes seconds already
			return nil
		}
		raw := corpustest.Gunzip(t, path)
		docs := [][]byte{raw}
		if strings.HasSuffix(path, ".ndjson.gz") {
			docs = slices.Collect(splitLines(raw))
		}
		for _, doc := range docs {
			n, err := fhirjson.Parse(doc, fhirjson.Limits{Bytes: 1 << 28})
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if found := synthetic.Find(n); len(found) > 0 {
				t.Errorf("%s: %v", filepath.Base(path), found)
			}
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Fatalf("%d files, %v", files, err)
	}
}

func splitLines(raw []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for line := range strings.Lines(string(raw)) {
			if strings.TrimSpace(line) != "" && !yield([]byte(strings.TrimSpace(line))) {
				return
			}
		}
	}
}

func BenchmarkFind(b *testing.B) {
	n := parse(b, `{"resourceType":"Observation","id":"a","status":"final","category":[{"coding":[{"system":"s","code":"vital-signs","display":"Vital signs"}]}],
		"code":{"coding":[{"system":"http://loinc.org","code":"8302-2","display":"Body Height"}],"text":"Body Height"},"subject":{"reference":"Patient/x"},
		"effectiveDateTime":"2014-08-11T11:00:00+00:00","valueQuantity":{"value":182.3,"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}}`)
	for b.Loop() {
		synthetic.Find(n)
	}
}
