package fhirapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
)

// BenchmarkSafety says what the kernel's filter, row security and the audit cost: a read, a search by patient and code, a chart (five
// searches in one Bundle) and a create through the handler of the interface, with everything and with one of them left out, in turns in
// one run. It prints two tables for each engine: µs of processor time an operation, eight callers at once, the server's and its share
// of PostgreSQL's, and the time an operation takes one caller alone. The sealing of the audit, which the server does each second, is
// counted with what it seals. Signing in and the roles of who asks are the same in all and not measured. Three rounds:
//
//	go test ./internal/edge/fhirapi -run '^$' -bench Safety -benchtime 3x
func BenchmarkSafety(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func() *dbtest.DB
	}{
		{"SQLite", func() *dbtest.DB { return dbtest.SQLite(b, nil) }},
		{"PostgreSQL", func() *dbtest.DB { return dbtest.PostgreSQL(b, nil) }},
	} {
		b.Run(engine.name, func(b *testing.B) {
			d := engine.open()
			m := newSafetyBench(b, d)
			for range b.N {
				m.round()
			}
			m.print(engine.name)
		})
	}
}

// shields are the columns: which of them stand.
type shields struct {
	name                string
	audit, kernel, rows bool
}

// The turn in which a shield is missing comes between turns with all, so that what changes with the hour falls on both.
func turnsOn(e db.Engine) []shields {
	out := []shields{
		{"all on", true, true, true}, {"audit off", false, true, true},
		{"all on", true, true, true}, {"kernel off", true, false, true},
	}
	if e == db.PostgreSQL {
		out = append(out, shields{"all on", true, true, true}, shields{"row security off", true, true, false})
	}
	return append(out, shields{"all off", false, false, false})
}

type safetyBench struct {
	b     *testing.B
	d     *dbtest.DB
	log   *audit.Log
	apis  map[[2]bool]*API // by audit and kernel
	asked []request
	took  map[string]map[string][]cost // by operation, by name of the shields
	made  int
}

type request struct {
	name, method string
	address      func(i int) string
	body         func(i int) string
	each         int // operations in a turn
}

// cost of one operation in µs.
type cost struct{ cpu, alone float64 }

const safetyPatients = 60

func newSafetyBench(b *testing.B, d *dbtest.DB) *safetyBench {
	m := &safetyBench{b: b, d: d, log: audit.New(d.DB), apis: map[[2]bool]*API{}, took: map[string]map[string][]cost{}}
	staff := auth.AsStaff(1, 7, "Dr. Kind", "Practitioner/kind", auth.Clinician).ForRequest("0123456789abcdef").From("10.0.0.1")
	for _, kept := range []bool{true, false} {
		log := m.log
		if !kept {
			log = audit.Mute(d.DB)
		}
		for _, ruled := range []bool{true, false} {
			store := fhirstore.New(d.DB, log)
			store.Labels = auth.Sensitivity
			var who db.Scope = staff
			if !ruled {
				who = auth.SystemScope(1, "bench") // reaches everything: the kernel adds nothing to its queries
			}
			m.apis[[2]bool{kept, ruled}] = New(Options{DB: d.DB, Store: store, Audit: log, Clock: d.Clock, Origin: "https://ehr.example.org",
				Practice: func(context.Context, string) (auth.Practice, error) {
					return auth.Practice{ID: 1, Slug: "north", Name: "North"}, nil
				},
				Budget:       &Budget{Requests: 1 << 40, Window: time.Second},
				Authenticate: func(*http.Request, auth.Practice) (db.Scope, error) { return who, nil }})
		}
	}
	m.fill()
	nothing := func(int) string { return "" }
	chart := func(i int) string {
		var entries []string
		for _, q := range []string{"Condition?patient=%s", "MedicationRequest?patient=%s", "AllergyIntolerance?patient=%s", "Encounter?patient=%s&_sort=-date&_count=10", "Observation?patient=%s&_sort=-date&_count=20"} {
			entries = append(entries, fmt.Sprintf(`{"request":{"method":"GET","url":"`+q+`"}}`, fmt.Sprintf("p%d", i%safetyPatients)))
		}
		return `{"resourceType":"Bundle","type":"batch","entry":[` + strings.Join(entries, ",") + `]}`
	}
	m.asked = []request{
		{"read", http.MethodGet, func(i int) string { return fmt.Sprintf("Observation/o%d-%d", i%safetyPatients, i%40) }, nothing, 8000},
		{"search by patient and code", http.MethodGet, func(i int) string {
			return fmt.Sprintf("Observation?patient=p%d&code=%s", i%safetyPatients, url.QueryEscape(fmt.Sprintf("http://loinc.org|29463-%d", i%10)))
		}, nothing, 3000},
		{"chart", http.MethodPost, nothing, chart, 600},
		{"create", http.MethodPost, func(int) string { return "Observation" }, func(i int) string { return weight("", i%safetyPatients, i%40) }, 1500},
	}
	return m
}

func weight(id string, patient, n int) string {
	if id != "" {
		id = `"id":"` + id + `",`
	}
	return fmt.Sprintf(`{"resourceType":"Observation",%s"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-%d","display":"Body weight"}],"text":"Weight"},"subject":{"reference":"Patient/p%d"},"effectiveDateTime":"2026-02-%02dT09:00:00Z","valueQuantity":{"value":7%d.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}`, id, n%10, patient, 1+n%28, n%10)
}

// fill makes charts of some sixty resources.
func (m *safetyBench) fill() {
	for p := range safetyPatients {
		var entries []string
		put := func(ref, body string) {
			entries = append(entries, fmt.Sprintf(`{"request":{"method":"PUT","url":"%s"},"resource":%s}`, ref, body))
		}
		id := fmt.Sprintf("p%d", p)
		put("Patient/"+id, fmt.Sprintf(`{"resourceType":"Patient","id":"%s","name":[{"family":"Alder%d","given":["Ann"]}],"gender":"female","birthDate":"1980-01-02"}`, id, p))
		for n := range 40 {
			at := fmt.Sprintf("o%d-%d", p, n)
			put("Observation/"+at, weight(at, p, n))
		}
		for n := range 6 {
			put(fmt.Sprintf("Condition/c%d-%d", p, n), fmt.Sprintf(`{"resourceType":"Condition","id":"c%d-%d","code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"E11.%d"}]},"subject":{"reference":"Patient/%s"}}`, p, n, n, id))
			put(fmt.Sprintf("MedicationRequest/m%d-%d", p, n), fmt.Sprintf(`{"resourceType":"MedicationRequest","id":"m%d-%d","status":"active","intent":"order","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"86100%d"}]},"subject":{"reference":"Patient/%s"}}`, p, n, n, id))
			put(fmt.Sprintf("Encounter/e%d-%d", p, n), fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d-%d","status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},"subject":{"reference":"Patient/%s"},"period":{"start":"2026-01-%02dT09:00:00Z"}}`, p, n, id, 1+n))
		}
		put(fmt.Sprintf("AllergyIntolerance/a%d", p), fmt.Sprintf(`{"resourceType":"AllergyIntolerance","id":"a%d","patient":{"reference":"Patient/%s"},"code":{"text":"Penicillin"}}`, p, id))
		if _, err := m.apis[[2]bool{true, false}].o.Store.Apply(m.b.Context(), auth.SystemScope(1, "bench"), []byte(`{"resourceType":"Bundle","type":"batch","entry":[`+strings.Join(entries, ",")+`]}`), fhirstore.ApplyOptions{}); err != nil {
			m.b.Fatal(err)
		}
	}
	m.settle()
}

func (m *safetyBench) settle() {
	if err := m.log.Settle(m.b.Context(), auth.SystemScope(1, "bench")); err != nil {
		m.b.Fatal(err)
	}
}

func (m *safetyBench) round() {
	for _, op := range m.asked {
		if m.took[op.name] == nil {
			m.took[op.name] = map[string][]cost{}
			m.run(op, shields{"", true, true, true}, 8, op.each/4) // warm
		}
		for _, s := range turnsOn(m.d.Engine()) {
			if !s.rows {
				m.d.RowSecurity(m.b, false)
				m.run(op, s, 8, op.each/8) // plans are made again
			}
			m.settle()
			runtime.GC()
			before := m.cpu()
			m.run(op, s, 8, op.each)
			m.settle()
			c := cost{cpu: (m.cpu() - before) / float64(op.each)}
			alone := max(op.each/10, 50)
			began := clock.System().Now()
			m.run(op, s, 1, alone)
			c.alone = float64(clock.System().Since(began).Microseconds()) / float64(alone)
			m.took[op.name][s.name] = append(m.took[op.name][s.name], c)
			if !s.rows {
				m.d.RowSecurity(m.b, true)
				m.run(op, shields{"", true, true, true}, 8, op.each/8)
			}
		}
	}
}

// run has callers ask n times in all.
func (m *safetyBench) run(op request, s shields, callers, n int) {
	api := m.apis[[2]bool{s.audit, s.kernel}]
	first := m.made
	m.made += n
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := first + c; i < first+n; i += callers {
				r := httptest.NewRequest(op.method, "https://ehr.example.org/north/fhir/"+op.address(i), strings.NewReader(op.body(i)))
				r.Header.Set("Content-Type", "application/fhir+json")
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				if w.Code >= 300 || op.name == "chart" && strings.Count(w.Body.String(), `"searchset"`) != 5 {
					m.b.Errorf("%s: %d %.300s", op.name, w.Code, w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
}

// cpu is the processor time in µs of this process and, on PostgreSQL, of the processes that serve its database.
func (m *safetyBench) cpu() float64 {
	total := float64(cpu(m.b))
	if m.d.Engine() != db.PostgreSQL {
		return total
	}
	u, err := url.Parse(m.d.URL)
	if err != nil {
		m.b.Fatal(err)
	}
	name := strings.Trim(u.Path, "/")
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		m.b.Fatal(err)
	}
	for _, l := range lines {
		line, err := os.ReadFile(l) // processes come and go
		if err != nil || !strings.HasPrefix(string(line), "postgres: ") || !slices.Contains(strings.Fields(string(line)), name) {
			continue
		}
		var ns float64
		if b, err := os.ReadFile(filepath.Dir(l) + "/schedstat"); err == nil {
			fmt.Sscan(string(b), &ns)
		}
		total += ns / 1000
	}
	return total
}

// print writes the tables: medians, and in brackets how many times as much it is with everything on.
func (m *safetyBench) print(engine string) {
	var names []string
	for _, s := range turnsOn(m.d.Engine()) {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	for _, figure := range []struct {
		name string
		of   func(cost) float64
	}{
		{"µs of CPU, eight callers", func(c cost) float64 { return c.cpu }},
		{"µs, one caller alone", func(c cost) float64 { return c.alone }},
	} {
		var out strings.Builder
		fmt.Fprintf(&out, "\n| %s: %s | %s |\n|---|%s\n", engine, figure.name, strings.Join(names, " | "), strings.Repeat("---|", len(names)))
		for _, op := range m.asked {
			fmt.Fprintf(&out, "| %s |", op.name)
			whole := middle(m.took[op.name]["all on"], figure.of)
			for _, n := range names {
				here := middle(m.took[op.name][n], figure.of)
				fmt.Fprintf(&out, " %.0f", here)
				if n != "all on" {
					fmt.Fprintf(&out, " (x%.2f)", whole/here)
				}
				out.WriteString(" |")
			}
			out.WriteString("\n")
		}
		fmt.Println(out.String())
	}
}

func middle(all []cost, of func(cost) float64) float64 {
	var v []float64
	for _, c := range all {
		v = append(v, of(c))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
