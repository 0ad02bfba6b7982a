package fhirstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// fixtures are a small practice: two patients, what belongs to them, and what belongs to nobody.
func fixtures() []string {
	patient := func(id, family, given, birth, more string) string {
		return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"http://mrn","value":"M-%s"}],
			"active":true,"name":[{"family":%q,"given":[%q]}],"gender":"female","birthDate":%q,"address":[{"line":["1 Elm St"],"city":"Salem","state":"MA","postalCode":"01970"}]%s}`,
			id, id, family, given, birth, more)
	}
	observation := func(id, patient, status, category, code, date, value string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%q,"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":%q}]}],
			"code":{"coding":[{"system":"http://loinc.org","code":%q,"display":"Something measured"}]},"subject":{"reference":"Patient/%s"},"encounter":{"reference":"Encounter/e-%s"}%s%s}`,
			id, status, category, code, patient, patient, date, value)
	}
	quantity := func(v, unit string) string {
		return fmt.Sprintf(`,"valueQuantity":{"value":%s,"unit":%q,"system":"http://unitsofmeasure.org","code":%q}`, v, unit, unit)
	}
	on := func(d string) string { return `,"effectiveDateTime":"` + d + `"` }
	return []string{
		`{"resourceType":"Organization","id":"org","name":"Saint Elsewhere Clinic","identifier":[{"system":"http://npi","value":"100"}]}`,
		`{"resourceType":"Practitioner","id":"doc","name":[{"family":"Østergård","given":["Åse"]}],"identifier":[{"system":"http://npi","value":"200"}]}`,
		`{"resourceType":"Practitioner","id":"other","name":[{"family":"Oster"}],"identifier":[{"system":"http://ssn","value":"200"}]}`,
		patient("ann", "O'Brien-Ash", "Ann Marie", "1980-03-15", `,"generalPractitioner":[{"reference":"Practitioner/doc"}],"managingOrganization":{"reference":"Organization/org"},"telecom":[{"system":"phone","value":"555-0101"},{"system":"email","value":"ann@example.com"}]`),
		patient("bob", "Birch", "Bob", "1955", `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}`),
		patient("cyd", "Cedar", "Cyd", "2001-11", ""),
		`{"resourceType":"Encounter","id":"e-ann","status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},"subject":{"reference":"Patient/ann"},
			"participant":[{"individual":{"reference":"Practitioner/doc"}}],"period":{"start":"2024-01-10T09:00:00Z","end":"2024-01-10T09:20:00Z"}}`,
		`{"resourceType":"Encounter","id":"e-bob","status":"in-progress","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},"subject":{"reference":"Patient/bob"},"period":{"start":"2023-05-01T09:00:00Z"}}`,
		observation("a1", "ann", "final", "vital-signs", "8867-4", on("2024-01-10T09:05:00Z"), quantity("72", "/min")),
		observation("a2", "ann", "final", "vital-signs", "8867-4", on("2024-02-10"), quantity("80.50", "/min")),
		observation("a3", "ann", "preliminary", "laboratory", "4548-4", on("2024-02"), quantity("6.1", "%")),
		observation("a4", "ann", "final", "laboratory", "4548-4", `,"effectivePeriod":{"start":"2023-12-01","end":"2024-01-15"}`, `,"valueString":"see note"`),
		observation("a5", "ann", "final", "survey", "44261-6", "", quantity("-3", "{score}")),
		observation("a6", "ann", "final", "vital-signs", "85354-9", on("2024-01-10T09:06:00Z"), `,"component":[
			{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":122,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
			{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":79,"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]`),
		observation("a7", "ann", "final", "vital-signs", "8867-4", `,"effectiveTiming":{"event":["2024-03-01","2024-03-05"]}`, quantity("91", "/min")),
		observation("a8", "ann", "final", "social-history", "8867-4", on("2024-03-09"), `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}],"tag":[{"system":"http://tag","code":"t1"}],"profile":["http://prof/p1"]}`),
		observation("b1", "bob", "final", "vital-signs", "8867-4", on("2024-01-11T10:00:00Z"), quantity("60", "/min")),
		observation("c1", "cyd", "final", "vital-signs", "8867-4", on("2022-01-11T10:00:00Z"), `,"performer":[{"reference":"Patient/ann"},{"reference":"Practitioner/doc"}]`+quantity("101", "/min")),
		observation("c2", "cyd", "final", "vital-signs", "8480-6", on("2022-01-12T10:00:00Z"), quantity("150", "mm[Hg]")),
		`{"resourceType":"Condition","id":"k1","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"I10"}],"text":"High blood pressure"},"subject":{"reference":"Patient/ann"},"onsetDateTime":"2019-04"}`,
		`{"resourceType":"Condition","id":"k2","code":{"text":"Asthma"},"subject":{"reference":"Patient/cyd"},"recordedDate":"2020-01-01"}`,
		`{"resourceType":"Provenance","id":"p1","target":[{"reference":"Observation/a1"},{"reference":"Observation/b1"}],"recorded":"2024-01-10T09:05:01Z","agent":[{"who":{"reference":"Practitioner/doc"}}]}`,
		`{"resourceType":"Task","id":"t1","status":"requested","intent":"order","for":{"reference":"Patient/ann"},"authoredOn":"2024-05-01"}`,
		`{"resourceType":"Task","id":"t2","status":"completed","intent":"order","for":{"reference":"Patient/bob"},"authoredOn":"2024-05-02"}`,
		`{"resourceType":"RiskAssessment","id":"r1","status":"final","subject":{"reference":"Patient/ann"},"prediction":[{"probabilityDecimal":0.25}]}`,
		`{"resourceType":"ValueSet","id":"v1","url":"http://example.org/vs/one","status":"active","version":"2"}`,
		`{"resourceType":"Appointment","id":"ap1","status":"booked","start":"2026-03-02T09:00:00Z","end":"2026-03-02T09:20:00Z","participant":[{"actor":{"reference":"Patient/ann"},"status":"accepted"},{"actor":{"reference":"Patient/bob"},"status":"accepted"}]}`,
	}
}

// requests are search forms with what must and must not appear.
var requests = []struct{ request, has, not string }{
	{"Patient", "ann bob cyd", ""},
	{"Patient?_id=ann,cyd", "ann cyd", "bob"},
	{"Patient?name=obrien", "ann", "bob"},
	{"Patient?name=O'Br", "ann", "bob"},
	{"Patient?name=ob", "ann", "bob"},
	{"Patient?name=o", "ann", "bob"},
	{"Patient?family=bi,ce", "bob cyd", "ann"},
	{"Patient?family=b,ced", "bob cyd", "ann"},
	{"Patient?given=zz", "", "ann bob cyd"},
	{"Patient?name=ann", "ann", "bob cyd"},
	{"Patient?given=Ann%20M", "ann", "bob"},
	{"Patient?family=ann", "", "ann"},
	{"Patient?name:contains=rien", "ann", "bob"},
	{"Patient?family:exact=Birch", "bob", "ann"},
	{"Patient?family:exact=birch", "", "bob"},
	{"Patient?family=b,c", "bob cyd", "ann"},
	{"Patient?address-city=sal&name=b", "bob", "ann"},
	{"Patient?address-state=ma&family=bi", "bob", "ann"},
	{"Patient?address-state=NY,VT", "", "ann bob cyd"},
	{"Patient?address=ma&address-postalcode=0", "ann bob cyd", ""},
	{"Patient?phone=555-0101", "ann", "bob"},
	{"Patient?email=ann@example.com", "ann", "bob"},
	{"Patient?email=555-0101", "", "ann"},
	{"Patient?telecom=phone|555-0101", "ann", "bob"},
	{"Patient?birthdate=1980-03-15", "ann", "bob cyd"},
	{"Patient?birthdate=1980", "ann", "bob cyd"},
	{"Patient?birthdate=lt1970", "bob", "ann cyd"},
	{"Patient?birthdate=ge1980-03-15&birthdate=le2001-12-31", "ann cyd", "bob"},
	{"Patient?birthdate=ne1955", "ann cyd", "bob"},
	{"Patient?identifier=http://mrn|M-ann", "ann", "bob"},
	{"Patient?identifier=M-ann", "ann", "bob"},
	{"Patient?identifier=http://other|M-ann", "", "ann"},
	{"Patient?identifier=http://mrn|", "ann bob cyd", ""},
	{"Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|M-bob", "bob", "ann"},
	{"Patient?general-practitioner=Practitioner/doc", "ann", "bob"},
	{"Patient?general-practitioner=doc", "ann", "bob"},
	{"Patient?general-practitioner.name=oster", "ann", "bob"},
	{"Patient?organization.name=saint", "ann", "bob"},
	{"Patient?_has:Observation:patient:code=4548-4", "ann", "bob cyd"},
	{"Patient?_has:Observation:patient:_has:Provenance:target:agent=Practitioner/doc", "ann bob", "cyd"},
	{"Patient?gender=female&active=true", "ann bob cyd", ""},
	{"Patient?gender:not=female", "", "ann bob cyd"},
	{"Patient?general-practitioner:missing=true", "bob cyd", "ann"},
	{"Patient?_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R", "bob", "ann"},
	{"Practitioner?name=østergard", "doc", "other"},
	{"Practitioner?name=oster", "doc other", ""},
	{"Practitioner?identifier=200", "doc other", ""},
	{"Practitioner?identifier=http://npi|200", "doc", "other"},
	{"Observation?patient=ann", "a1 a2 a3 a4 a5 a6 a7 a8", "b1 c1"},
	{"Observation?patient=Patient/ann&code=8867-4", "a1 a2 a7 a8", "a3 b1 c1"},
	{"Observation?subject=Patient/ann&code=http://loinc.org|8867-4", "a1 a2 a7", "a3 b1"},
	{"Observation?patient=ann,bob&code=8867-4,4548-4", "a1 a2 a3 a4 a7 b1", "c1 a6"},
	{"Observation?patient=ann&category=laboratory", "a3 a4", "a1 a5"},
	{"Observation?patient=ann&category=laboratory&date=ge2024-02-01", "a3", "a4"},
	{"Observation?patient=ann&date=2024-01-10", "a1 a6", "a2 a4"},
	{"Observation?patient=ann&date=ge2024-01-10&date=lt2024-02-01", "a1 a6", "a2 a3"},
	{"Observation?patient=ann&date=gt2024-01-12", "a2 a3 a4 a7", "a1 a5"},
	{"Observation?patient=ann&date=sa2024-01-12", "a2 a3 a7", "a4 a1"},
	{"Observation?patient=ann&date=eb2024-02-01", "a1 a4", "a2 a3"},
	{"Observation?patient=ann&date=2024-03", "a7 a8", "a2"},
	{"Observation?date=ge2024-02", "a2 a3 a7", "a1 c1"},
	{"Observation?date=2022-01", "c1 c2", "a1"},
	{"Observation?code=8867-4&date=ge2024-01-11T00:00:00Z", "a2 b1", "a1 c1"},
	{"Observation?status=preliminary", "a3", "a1"},
	{"Observation?status=final,preliminary&code=4548-4", "a3 a4", "a1"},
	{"Observation?performer=Practitioner/doc", "c1", "a1"},
	{"Observation?performer=Patient/ann", "c1", "a1"},
	{"Observation?encounter=Encounter/e-ann", "a1 a8", "b1"},
	{"Observation?encounter.date=2024-01-10", "a1 a2", "b1"},
	{"Observation?subject:Patient.name=cedar", "c1 c2", "a1"},
	{"Observation?patient.birthdate=lt1970", "b1", "a1"},
	{"Observation?patient.general-practitioner.name=ase", "a1", "b1"},
	{"Observation?patient.general-practitioner:Practitioner.name=østergård", "a1 a7", "b1"},
	{"Observation?value-quantity=gt80&code=8867-4", "a2 a7 c1", "a1 b1"},
	{"Observation?value-quantity=80.50", "a2", "a1"},
	{"Observation?value-quantity=80.5|http://unitsofmeasure.org|/min", "a2", "a1"},
	{"Observation?code-value-quantity=8867-4$gt90", "a7 c1", "a1 a2"},
	{"Observation?code-value-quantity=44261-6$lt0", "a5", "a1"},
	{"Observation?component-code-value-quantity=8480-6$gt120", "a6", "c2"},
	{"Observation?combo-code=8480-6", "a6 c2", "a1"},
	{"Observation?combo-code-value-quantity=8480-6$gt120", "a6 c2", "a1"},
	{"Observation?value-string=see", "a4", "a1"},
	{"Observation?_tag=http://tag|t1", "a8", "a1"},
	{"Observation?_profile=http://prof/p1", "a8", "a1"},
	{"Observation?code:text=something&patient=bob", "b1", "a1"},
	{"Observation?_lastUpdated=ge2026-01-01&patient=bob", "b1", "a1"},
	{"Observation?_lastUpdated=lt2026-01-01", "", "a1 b1"},
	{"Encounter?date=ge2024-06-01", "e-bob", "e-ann"},
	{"Encounter?status=in-progress", "e-bob", "e-ann"},
	{"Encounter?status=finished&class=AMB", "e-ann", "e-bob"},
	{"Encounter?practitioner=doc", "e-ann", "e-bob"},
	{"Condition?code=I10", "k1", "k2"},
	{"Condition?code:text=asth", "k2", "k1"},
	{"Condition?onset-date=2019", "k1", "k2"},
	{"Condition?clinical-status=active", "k1", "k2"},
	{"Provenance?target=Observation/b1", "p1", ""},
	{"Provenance?patient=ann", "", "p1"},
	{"Task?status=requested", "t1", "t2"},
	{"Task?patient=ann", "t1", "t2"},
	{"RiskAssessment?probability=gt0.2", "r1", ""},
	{"RiskAssessment?probability=0.4", "", "r1"},
	{"ValueSet?url=http://example.org/vs/one", "v1", ""},
	{"ValueSet?url:below=http://example.org/vs", "v1", ""},
	{"Appointment?patient=bob", "ap1", ""},
	{"Appointment?date=2026-03-02", "ap1", ""},
}

func TestSearchForms(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(fixtures()...)
		all := b.everything(1)
		for _, r := range requests {
			got, _, err := b.search(system(1), r.request)
			if err != nil {
				t.Errorf("%s: %v", r.request, err)
				continue
			}
			for _, id := range strings.Fields(r.has) {
				if !slices.Contains(got, id) {
					t.Errorf("%s does not give %s but %v", r.request, id, got)
				}
			}
			for _, id := range strings.Fields(r.not) {
				if slices.Contains(got, id) {
					t.Errorf("%s gives %s", r.request, id)
				}
			}
			for _, s := range scopes() {
				b.agree(s, all, r.request)
			}
		}
	})
}

// scopes are who may search: all, some types, without labels.
func scopes() []db.Scope {
	return []db.Scope{
		system(1),
		auth.AsStaff(1, 1, "Clinician", "Practitioner/doc", auth.Clinician),
		auth.AsStaff(1, 2, "Desk", "", auth.FrontDesk),
		auth.AsStaff(1, 3, "Biller", "", auth.Biller),
		patientApp("Patient/ann"),
		patientApp("Patient/cyd"),
		auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelRestricted | auth.LabelPsychotherapy}),
		auth.AsApp(1, auth.Access{All: true, Compartment: "Practitioner/doc"}), // no compartment we know: nothing
		auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Observation": auth.CanSearch, "Patient": auth.CanRead}}),
	}
}

// patientApp may do everything within one patient's record.
func patientApp(compartment string) db.Scope {
	return auth.AsApp(1, auth.Access{All: true, Compartment: compartment, Forbidden: auth.LabelPsychotherapy})
}

func TestOrderAndPages(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(fixtures()...)
		for request, want := range map[string]string{
			"Observation?patient=ann&code=8867-4&_count=1":                 "a8 a7 a2 a1",
			"Observation?patient=ann&code=8867-4&_sort=date&_count=2":      "a1 a2 a7 a8",
			"Observation?code=8867-4&_sort=-date&_count=2":                 "a8 a7 a2 b1 a1 c1",
			"Observation?patient=ann,bob&code=8867-4&_sort=-date&_count=2": "a8 a7 a2 b1 a1",
			"Patient?_sort=family":                                         "bob cyd ann",
			"Patient?_sort=-birthdate&_count=1":                            "cyd ann bob",
			"Patient?_sort=_lastUpdated&_count=2":                          "ann bob cyd",
			"Patient?_sort=-_lastUpdated&_count=2":                         "cyd bob ann",
			"Patient?_sort=gender,-_id":                                    "cyd bob ann",
		} {
			got, _, err := b.search(system(1), request)
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("%s gives %v (%v), want %s", request, got, err, want)
			}
		}
		q := parse(t, "Observation?patient=ann&_count=3&_total=accurate")
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			page, err := b.Search(ctx, tx, q)
			if err != nil {
				return err
			}
			if page.Total != 8 || len(page.Resources) != 3 || page.Next == "" {
				t.Errorf("total %d, %d on the page, next %q", page.Total, len(page.Resources), page.Next)
			}
			other := parse(t, "Observation?patient=bob&_count=3")
			other.Page = page.Next
			if _, err := b.Search(ctx, tx, other); code(err) != "value" {
				t.Errorf("the cursor of another search: %v", err)
			}
			return nil
		})
	})
}

func TestListOfResources(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(fixtures()...)
		b.put(`{"resourceType":"List","id":"l","status":"current","mode":"working","entry":[{"item":{"reference":"Patient/ann"}},{"item":{"reference":"Patient/bob"}},{"item":{"reference":"Observation/a1"}}]}`)
		got, _, err := b.search(system(1), "Patient?_list=l&_sort=_id")
		if err != nil || strings.Join(got, " ") != "ann bob" {
			t.Errorf("%v %v", got, err)
		}
		if _, _, err := b.search(system(1), "Patient?_list=none"); code(err) != "not-found" {
			t.Errorf("a list that is not there: %v", err)
		}
		biller := auth.AsStaff(1, 3, "Biller", "", auth.Biller)
		if _, _, err := b.search(biller, "Patient?_list=l"); code(err) != "forbidden" {
			t.Errorf("a list the biller may not read: %v", err)
		}
	})
}

func TestIncludes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(fixtures()...)
		for request, want := range map[string]string{
			"Observation?_id=a1&_include=Observation:subject":                                                        "Patient/ann",
			"Observation?_id=a1&_include=Observation:*":                                                              "Encounter/e-ann Patient/ann",
			"Observation?_id=a1&_include=Observation:subject:Practitioner":                                           "",
			"Observation?_id=a1&_include=Observation:subject&_include:iterate=Patient:general-practitioner":          "Patient/ann Practitioner/doc",
			"Observation?_id=a1,b1&_revinclude=Provenance:target":                                                    "Provenance/p1",
			"Patient?_id=bob&_revinclude=Observation:patient&_revinclude=Encounter:patient&_revinclude=Task:patient": "Encounter/e-bob Observation/b1 Task/t2",
		} {
			_, got, err := b.search(system(1), request)
			slices.Sort(got)
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("%s includes %v (%v), want %s", request, got, err, want)
			}
		}
		// The biller may not read observations, nor see Bob, whose record is restricted.
		biller := auth.AsStaff(1, 3, "Biller", "", auth.Biller)
		_, got, err := b.search(biller, "Encounter?_include=Encounter:subject&_revinclude=Observation:encounter")
		if err != nil || strings.Join(got, " ") != "Patient/ann" {
			t.Errorf("the biller is shown %v (%v)", got, err)
		}
	})
}
