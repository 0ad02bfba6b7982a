package fhirstore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// worlds draws a small practice at random: the same few ids everywhere, so that everything touches.
func worlds(t *rapid.T) (raws []string) {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	patient := func() string { return pick("patient", "p0", "p1", "p2") }
	label := func() string {
		return pick("label", "", "", "", `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},`,
			`"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},`)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "patients") {
		raws = append(raws, fmt.Sprintf(`{"resourceType":"Patient","id":"p%d",%s"name":[{"family":%q}],"birthDate":%q,"generalPractitioner":[{"reference":"Practitioner/d%d"}]%s}`,
			i, label(), pick("family", "Ash", "Birch", "Ashby"), pick("birth", "1980", "1980-05", "1999-01-02"), i%2,
			pick("link", "", `,"link":[{"other":{"reference":"Patient/p0"},"type":"seealso"}]`)))
	}
	raws = append(raws, `{"resourceType":"Practitioner","id":"d0","name":[{"family":"Ash"}]}`, `{"resourceType":"Practitioner","id":"d1","name":[{"family":"Birch"}]}`)
	for i := range rapid.IntRange(0, 8).Draw(t, "observations") {
		performer := ""
		if rapid.Bool().Draw(t, "performed") {
			performer = `,"performer":[{"reference":"Patient/` + patient() + `"}]`
		}
		raws = append(raws, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d",%s"status":%q,"category":[{"coding":[{"code":%q}]}],"code":{"coding":[{"system":%q,"code":%q}]},"subject":{"reference":"Patient/%s"}%s%s,"encounter":{"reference":"Encounter/e%d"},"valueQuantity":{"value":%d}}`,
			i, label(), pick("status", "final", "preliminary"), pick("category", "laboratory", "vital-signs"), pick("system", "http://loinc.org", "http://other"), pick("code", "a", "b"),
			patient(), performer, pick("date", ``, `,"effectiveDateTime":"2024-01"`, `,"effectiveDateTime":"2024-01-15T10:00:00Z"`, `,"effectivePeriod":{"start":"2023-06-01"}`), i%2, i))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "encounters") {
		raws = append(raws, fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d",%s"status":%q,"class":{"code":"AMB"},"subject":{"reference":"Patient/%s"},"period":{"start":"2024-01-0%d"}}`,
			i, label(), pick("status", "finished", "planned"), patient(), i+1))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "tasks") {
		raws = append(raws, fmt.Sprintf(`{"resourceType":"Task","id":"t%d",%s"status":"requested","intent":"order","for":{"reference":"Patient/%s"},"focus":{"reference":"Observation/o%d"}}`, i, label(), patient(), i))
	}
	return raws
}

var kernelRequests = []string{
	"Patient", "Patient?name=ash", "Patient?birthdate=1980", "Patient?general-practitioner.name=ash", "Patient?_has:Observation:patient:code=a",
	"Patient?_has:Observation:performer:status=final", "Patient?_has:Task:patient:_has:Provenance:target:_id=x", "Patient?_has:Encounter:patient:_has:Observation:encounter:code=b",
	"Observation", "Observation?patient=p0", "Observation?patient=p0&code=a", "Observation?patient=p0,p1&code=http://loinc.org|a,b", "Observation?subject:Patient.name=ash",
	"Observation?patient.general-practitioner:Practitioner.name=birch", "Observation?performer=Patient/p1", "Observation?performer:Patient.name=ash",
	"Observation?encounter=e0", "Observation?encounter.patient.name=ash", "Observation?encounter:Encounter.status=finished", "Observation?category=laboratory&status=final",
	"Observation?date=2024-01", "Observation?patient=p1&date=ge2024-01-10", "Observation?code=a&date=lt2024", "Observation?date=ge2023", "Observation?code:not=a", "Observation?status:not=final&patient=p0",
	"Observation?performer:missing=false", "Observation?_has:Task:focus:patient=p1", "Observation?code-value-quantity=a$ge3", "Observation?status=preliminary",
	"Observation?_id=o0,o1,o2", "Observation?_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R",
	"Observation?code:in=http://vs/a", "Observation?code:not-in=http://vs/a", "Observation?code:below=http://loinc.org|ab&status=final", "Observation?code:above=http://loinc.org|a", "Patient?_has:Observation:patient:code:in=http://vs/a",
	"Observation?_filter=status eq final and patient eq Patient/p0", "Observation?_filter=code eq a or patient eq Patient/p1", "Observation?_filter=not (subject:Patient.name sw ash)", "Observation?_filter=not (code eq a and status eq final) and date ge 2024-01-10",
	"Observation?_filter=subject:Patient.birthdate lt 1990 or encounter:Encounter.status eq planned", "Observation?_filter=subject:Patient[birthdate lt 1990].name sw ash", "Observation?_filter=not (subject:Patient[birthdate lt 1990 and name co a].name pr true)", "Observation?_filter=code in http://vs/a or _id eq o1", "Observation?_filter=performer pr true or category ne laboratory",
	"Patient?_filter=family co sh and not (_id eq p1)", "Patient?_has:Observation:patient:_filter=code eq a", "Patient?general-practitioner:Practitioner._filter=name sw a",
	"Observation?_sort=code,-date", "Patient?_sort=-family,birthdate&_count=1", "Observation?_sort=status,subject&_count=2", "Observation?code-value-quantity=a$2,b$ge1", "Observation?value-quantity=1,3",
	"Observation?patient:missing=false&code:text=x", "Observation?patient=p0&category:not=laboratory", "Observation?subject:missing=true", "Patient?name:contains=sh", "Patient?name:exact=Ash", "Patient?birthdate=ne1980", "Patient?birthdate=1980-05,1999",
	"Observation?date=ap2024-01-15", "Observation?date=sa2024-01-01", "Observation?date=eb2024-01-01,gt2024-01-20", "Observation?_lastUpdated=gt2001", "Observation?_id=o0,o3&code=a", "Observation?code=http://loinc.org|", "Observation?code=|a",
	"Observation?category=laboratory,vital-signs&code=b", "Observation?code:not=a,b", "Patient?general-practitioner:Practitioner._has:Patient:general-practitioner:name=birch",
	"Encounter?patient=p0", "Encounter?date=ge2024-01-02", "Encounter?status=planned", "Encounter?_has:Observation:encounter:patient=p0",
	"Task", "Task?patient=p0", "Task?focus:Observation.code=a", "Task?focus=Observation/o0", "Practitioner?name=ash", "Practitioner?_has:Patient:general-practitioner:name=ash",
}

// TestKernelFiltersEverySearch compares Search, for every kind of scope, with a plain look at all resources:
// neither a result nor a hop of a chain may use what the scope cannot see.
func TestKernelFiltersEverySearch(t *testing.T) {
	who := []db.Scope{
		system(1),
		auth.AsStaff(1, 1, "Clinician", "Practitioner/d0", auth.Clinician),
		auth.AsStaff(1, 2, "Desk", "", auth.FrontDesk),
		auth.AsStaff(1, 3, "Biller", "", auth.Biller),
		patientApp("Patient/p0"),
		patientApp("Patient/p1"),
		auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelRestricted}),
		auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Observation": auth.CanSearch, "Patient": auth.CanRead | auth.CanSearch}, Compartment: "Patient/p0"}),
		auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelRestricted | auth.LabelPsychotherapy, Charts: map[string]auth.ChartRule{
			"p0": {Closed: true}, "p1": {Forbidden: auth.LabelPsychotherapy}}}),
		auth.AsApp(1, auth.Access{All: true, Forbidden: auth.LabelPsychotherapy, Charts: map[string]auth.ChartRule{
			"p0": {Forbidden: auth.LabelRestricted}, "p1": {}, "p2": {Forbidden: auth.LabelRestricted | auth.LabelPsychotherapy}}}),
		narrowed(auth.Access{All: true}, "Observation", "category=vital-signs"),
		narrowed(auth.Access{All: true}, "Observation", "category=vital-signs&status=final", "code=http://loinc.org|a"),
		narrowed(auth.Access{All: true, Compartment: "Patient/p1"}, "Observation", "date=ge2024-01-10", "status:not=final"),
		narrowed(auth.Access{All: true}, "Patient", "name=ash"),
		narrowed(auth.Access{All: true}, "Patient", "_id=p0", "birthdate=lt1990"),
		narrowed(auth.Access{All: true}, "Observation", "subject:Patient.name=ash", "no-such=1", "_has:Task:focus:status=x"), // opens nothing
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := benchOn(t, d)
		b.Terms = testTerms
		var all []*Resource
		rapid.Check(t, func(rt *rapid.T) {
			// One practice serves all draws: what the last one left is deleted first.
			b.do(func(ctx context.Context, tx *db.Tx) error {
				for _, r := range all {
					if err := b.Delete(ctx, tx, r.Type, r.ID, 0); err != nil {
						return err
					}
				}
				return nil
			})
			all = b.put(worlds(rt)...)
			for i, r := range all { // an Encounter's labels have reached what was recorded in it
				all[i] = b.get(r.Type, r.ID)
			}
			for range 12 {
				s := rapid.SampledFrom(who).Draw(rt, "scope")
				b.agree(s, all, rapid.SampledFrom(kernelRequests).Draw(rt, "request"))
			}
			if t.Failed() {
				rt.Fatal("see above")
			}
		})
	})
}

func narrowed(a auth.Access, typ string, queries ...string) db.Scope {
	a.Narrow = map[string][]auth.Narrowing{}
	for _, q := range queries {
		a.Narrow[typ] = append(a.Narrow[typ], auth.Narrowing{Params: q, Bits: auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate | auth.CanDelete})
	}
	return auth.AsApp(1, a)
}

func TestNobodySeesNothing(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(fixtures()...)
		desk := auth.AsStaff(1, 2, "Desk", "", auth.FrontDesk)
		ann := patientApp("Patient/ann")
		type read func(ctx context.Context, tx *db.Tx) error
		of := func(typ, id string) read {
			return func(ctx context.Context, tx *db.Tx) error { _, err := b.Read(ctx, tx, typ, id); return err }
		}
		for _, c := range []struct {
			name string
			s    db.Scope
			read read
			want string
		}{
			{"zero staff", auth.Staff{}, of("Patient", "ann"), "error: " + db.ErrNoScope.Error()},
			{"desk reads a note", desk, of("Observation", "a1"), "forbidden"},
			{"desk reads a restricted patient", desk, of("Patient", "bob"), "not-found"},
			{"desk reads a patient", desk, of("Patient", "ann"), ""},
			{"patient reads another", ann, of("Patient", "bob"), "not-found"},
			{"patient reads another's result", ann, of("Observation", "b1"), "not-found"},
			{"patient reads what is not there", ann, of("Observation", "zz"), "not-found"},
			{"patient reads a result she performed", ann, of("Observation", "c1"), ""},
			{"patient reads a psychotherapy note", ann, of("Observation", "a8"), "not-found"},
			{"patient reads her task", ann, of("Task", "t1"), ""},
			{"patient reads another's task", ann, of("Task", "t2"), "not-found"},
			{"patient reads the doctor", ann, of("Practitioner", "doc"), ""},
			{"patient reads another's history", ann, func(ctx context.Context, tx *db.Tx) error {
				_, err := b.History(ctx, tx, "Observation", "b1", 0, 10)
				return err
			}, "not-found"},
			{"patient opens another's chart", ann, func(ctx context.Context, tx *db.Tx) error {
				_, err := b.Compartment(ctx, tx, "bob", []string{"Observation"}, 10)
				return err
			}, "not-found"},
			{"unknown type", system(1), of("Pirate", "x"), "not-supported"},
		} {
			ctx := context.Background()
			err := b.d.View(ctx, c.s, func(tx *db.Tx) error { return c.read(ctx, tx) })
			if code(err) != c.want {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
		write := func(s db.Scope, raw string) string {
			p, err := b.Prepare(context.Background(), []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			return code(b.try(s, func(ctx context.Context, tx *db.Tx) error { _, err := b.Update(ctx, tx, p, 0); return err }))
		}
		if c := write(ann, `{"resourceType":"Observation","id":"new","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/bob"}}`); c != "forbidden" {
			t.Errorf("a patient writes into another's record: %q", c)
		}
		if c := write(ann, `{"resourceType":"Observation","id":"b1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"}}`); c != "not-found" {
			t.Errorf("a patient takes over another's result: %q", c)
		}
		if c := write(desk, `{"resourceType":"Observation","id":"n2","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"}}`); c != "forbidden" {
			t.Errorf("the desk writes a result: %q", c)
		}
		b.view(patientApp("Patient/ann"), func(ctx context.Context, tx *db.Tx) error {
			chart, err := b.Compartment(ctx, tx, "ann", []string{"Observation", "Task", "Condition"}, 3)
			if err != nil {
				return err
			}
			var got []string
			for _, r := range chart.ByType["Observation"] {
				got = append(got, r.ID)
			}
			if strings.Join(got, " ") != "a7 a2 a3" || !chart.Cut["Observation"] || len(chart.ByType["Task"]) != 1 || chart.Patient == nil {
				t.Errorf("chart: %v %v", got, chart.Cut)
			}
			many, err := b.ReadMany(ctx, tx, []string{"Observation/a1", "Observation/b1", "Observation/a8", "Practitioner/doc", "Nonsense/1", "x"})
			if len(many) != 2 || many["Observation/a1"] == nil || many["Practitioner/doc"] == nil {
				t.Errorf("many: %v", many)
			}
			return err
		})
	})
}
