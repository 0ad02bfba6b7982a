package fhirstore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
)

// corpus is the folder of Synthea files, "" when YARROW_CORPUS is not set.
func corpus(t testing.TB) string {
	return corpustest.Folder(t, "synthea")
}

// syntheaFiles are the FHIR files of the corpus; one set holds the log of its export as well.
func syntheaFiles(t testing.TB, dir string) []string {
	files, err := importFiles([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "log.ndjson.gz" })
}

// load imports paths into practice 1 and fails on any error.
func (b *bench) load(paths ...string) *ImportReport {
	b.t.Helper()
	im := Importer{Store: b.Store, Scope: system(1)}
	r, err := im.Run(b.t.Context(), paths...)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, i := range r.Issues {
		if i.Severity != "warning" {
			b.t.Errorf("%s:%d entry %d: %v (%v)", filepath.Base(i.File), i.Line, i.Entry, i.Error(), i.Cause)
		}
	}
	return r
}

// TestSyntheaCorpus imports every Synthea file, checks that nothing was refused, that a second run finds
// nothing to do, and that the doctor finds the index in order.
func TestSyntheaCorpus(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	each(t, func(t *testing.T, b *bench) {
		// All of it goes in once, through the program, in test/scenario, and on PostgreSQL in BenchmarkImport.
		files := slices.DeleteFunc(syntheaFiles(t, dir), func(f string) bool { return strings.Contains(f, "2021-07") || strings.Contains(f, "v2.4") })
		const least = 15000
		r := b.load(files...)
		if r.Failed > 0 || r.Created < least {
			t.Errorf("%d of %d files failed, %d resources created", r.Failed, r.Files, r.Created)
		}
		again := b.load(files...)
		if again.Skipped != r.Files {
			t.Errorf("a second run took %d of %d files in again", r.Files-again.Skipped, r.Files)
		}
	})
}

// TestSyntheaValues compares what is read with what the files say, value by value, numbers by their text.
func TestSyntheaValues(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	each(t, func(t *testing.T, b *bench) {
		set := filepath.Join(dir, "2025-02-uscore6-transaction-bundles")
		b.load(set)
		files, err := importFiles([]string{set})
		if err != nil {
			t.Fatal(err)
		}
		stored := map[string]*Resource{}
		for _, r := range b.everything(1) {
			stored[r.Reference()] = r
		}
		run := &importRun{im: &Importer{}}
		compared := 0
		for _, f := range files {
			data, err := run.read(f)
			if err != nil {
				t.Fatal(err)
			}
			n, err := fhirjson.Parse(data, fhirjson.Limits{Bytes: len(data)})
			if err != nil {
				t.Fatal(err)
			}
			bundle, issue := parseBundle(n, true)
			if issue != nil {
				t.Fatal(issue)
			}
			for _, e := range bundle.entries {
				r := stored[e.typ+"/"+e.id]
				if r == nil {
					continue // found by its condition under another id
				}
				references(e.node, func(ref string) string {
					if to := bundle.targets[ref]; to != "" {
						return to
					}
					return ref
				})
				if diff := compare(e.node, r.Node(), e.typ); diff != "" {
					t.Fatalf("%s: %s", r.Reference(), diff)
				}
				compared++
			}
		}
		if compared < 3900 {
			t.Errorf("only %d resources compared", compared)
		}
	})
}

// compare names the first difference; conditional references have become literal ones.
func compare(file, read *fhirjson.Node, path string) string {
	if file.Kind() != read.Kind() || len(file.Items()) != len(read.Items()) {
		return fmt.Sprintf("%s: %s in the file, %s read", path, file.String(), read.String())
	}
	switch file.Kind() {
	case fhirjson.Object:
		for i := range file.Members() {
			m := &file.Members()[i]
			if _, _, ok := conditional(m.Value.Text()); ok && m.Name == "reference" {
				continue
			}
			if diff := compare(&m.Value, read.Get(m.Name), path+"."+m.Name); diff != "" {
				return diff
			}
		}
	case fhirjson.Array:
		for i := range file.Items() {
			if diff := compare(&file.Items()[i], &read.Items()[i], fmt.Sprintf("%s[%d]", path, i)); diff != "" {
				return diff
			}
		}
	default:
		if file.Text() != read.Text() {
			return fmt.Sprintf("%s: %q in the file, %q read", path, file.Text(), read.Text())
		}
	}
	return ""
}

// TestSyntheaSearches compares searches over real-looking records with the slow way, and looks at the plans
// of those that people wait for.
func TestSyntheaSearches(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	each(t, func(t *testing.T, b *bench) {
		b.load(filepath.Join(dir, "2025-02-uscore6-transaction-bundles"))
		all := b.everything(1)
		patient := ""
		most := 0
		count := map[string]int{}
		for _, r := range all {
			if ref := r.Node().At("subject", "reference").Text(); strings.HasPrefix(ref, "Patient/") {
				if count[ref]++; count[ref] > most {
					most, patient = count[ref], strings.TrimPrefix(ref, "Patient/")
				}
			}
		}
		found := 0
		for _, request := range []string{
			"Patient?_id=" + patient, "Patient?gender=female", "Patient?birthdate=ge1970", "Patient?name=al",
			"AllergyIntolerance?patient=" + patient, "CarePlan?patient=" + patient + "&category=assess-plan",
			"CareTeam?patient=" + patient + "&status=active", "Condition?patient=" + patient + "&category=encounter-diagnosis",
			"Condition?patient=" + patient + "&clinical-status=active", "Condition?patient=" + patient + "&recorded-date=ge2015",
			"DiagnosticReport?patient=" + patient + "&category=LAB", "DiagnosticReport?patient=" + patient + "&date=ge2018",
			"DocumentReference?patient=" + patient + "&type=34117-2", "Encounter?patient=" + patient + "&date=ge2020",
			"Encounter?class=AMB&status=finished", "Immunization?patient=" + patient + "&status=completed",
			"MedicationRequest?patient=" + patient + "&intent=order,plan&status=active", "MedicationRequest?patient=" + patient + "&authoredon=ge2019",
			"Observation?patient=" + patient + "&category=laboratory", "Observation?patient=" + patient + "&category=vital-signs&date=ge2020",
			"Observation?patient=" + patient + "&code=http://loinc.org|8867-4", "Observation?patient=" + patient + "&code=8867-4,8302-2&date=lt2022",
			"Observation?code=8302-2", "Observation?combo-code=8480-6", "Observation?code-value-quantity=8302-2$gt150",
			"Observation?component-code-value-quantity=8480-6$gt120", "Observation?date=ge2024", "Observation?status=final&category=survey",
			"Observation?patient.gender=male&code=8302-2", "Patient?_has:Condition:patient:code=73595000",
			"Procedure?patient=" + patient + "&date=ge2010", "Claim?patient=" + patient, "ExplanationOfBenefit?patient=" + patient + "&created=ge2020",
			"Encounter?practitioner.name=a&date=ge2023", "PractitionerRole?practitioner:identifier=http://hl7.org/fhir/sid/us-npi|9999989343",
			"Provenance?target=Patient/" + patient, "Organization?name=hosp", "Location?address-state=MA", "Device?patient=" + patient,
		} {
			for _, s := range []db.Scope{system(1), auth.AsStaff(1, 1, "C", "", auth.Clinician), patientApp("Patient/" + patient)} {
				found += b.agree(s, all, request)
			}
		}
		if found < 1000 {
			t.Errorf("only %d matches in all", found)
		}
		b.plans(patient)
	})
}

// plans fails when a hot search reads a table from end to end or sorts what an index has in order.
func (b *bench) plans(patient string) {
	explain := "EXPLAIN "
	if b.d.Engine() == db.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	} else {
		b.analyze()
	}
	for _, h := range []struct {
		request string
		sorts   bool
	}{
		{"Observation?patient=" + patient + "&code=8867-4", false},
		{"Observation?patient=" + patient + "&category=laboratory", false},
		{"Observation?patient=" + patient + "&date=ge2024", false},
		{"Observation?patient=" + patient, false},
		{"Observation?patient=" + patient + "&code=8867-4,8302-2", true},
		{"Encounter?patient=" + patient + "&status=planned", true},
		{"Observation?code=8302-2", false},
		{"Observation?date=ge2024&_sort=-date", false},
		{"Patient?name=smith", false},
		{"Patient?identifier=http://x|y", false},
		{"Patient?_id=" + patient, true},
		{"Patient?birthdate=1980-01-01", true},
		{"Observation?_lastUpdated=ge2026-03-02T09:00:05Z&_sort=_lastUpdated", false},
	} {
		q := parse(b.t, h.request)
		b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
			a := b.kernel(tx)
			c, err := (&compiler{s: b.Store, tx: tx, a: &a}).compile(ctx, q.Type, q.Clauses)
			if err != nil {
				return err
			}
			o, _ := orderOf(q)
			sql := c.query(1, o, nil, 51)
			rows, err := tx.Query(ctx, tx.Compile(explain+sql.b.String()), sql.args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			var lines []string
			for rows.Next() {
				var line string
				var n [3]int64
				if b.d.Engine() == db.SQLite {
					err = rows.Scan(&n[0], &n[1], &n[2], &line)
				} else {
					err = rows.Scan(&line)
				}
				if err != nil {
					return err
				}
				lines = append(lines, line)
			}
			plan := strings.Join(lines, "\n")
			scan := strings.Contains(plan, "Seq Scan") || slices.ContainsFunc(lines, func(l string) bool {
				return strings.HasPrefix(l, "SCAN") && !strings.Contains(l, "SCAN c") && !strings.Contains(l, "json_each")
			})
			// PostgreSQL may well sort when it expects little to sort; SQLite would sort everything.
			sort := strings.Contains(plan, "TEMP B-TREE")
			if scan || sort && !h.sorts {
				b.t.Errorf("%s\n%s\n%s", h.request, sql.b.String(), plan)
			}
			return rows.Err()
		})
	}
}

// analyze has PostgreSQL look at the tables, as autovacuum would in time.
func (b *bench) analyze() {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, b.d.Super)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "ANALYZE"); err != nil {
		b.t.Fatal(err)
	}
}

// bytesUsed is what the practice's data takes on disk.
func (b *bench) bytesUsed() (n int64) {
	if b.d.Engine() == db.SQLite {
		err := filepath.WalkDir(b.d.Dir, func(path string, d os.DirEntry, err error) error {
			if i, _ := d.Info(); i != nil && d.Type().IsRegular() && !bytes.HasSuffix([]byte(path), []byte("-wal")) {
				n += i.Size()
			}
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	ctx := context.Background()
	c, err := pgx.Connect(ctx, b.d.Super)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close(ctx)
	if err := c.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}
