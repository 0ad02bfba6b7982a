package simulate

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// morning is a Thursday at 9:22 on the practice's clock.
var morning = time.Date(2026, 11, 19, 14, 22, 0, 0, time.UTC)

// all gives every resource of a world by bundle.
func all(t testing.TB, w *World, visit func(name string, n *fhirjson.Node)) (bytes int) {
	t.Helper()
	one := func(b Bundle) {
		n, err := fhirjson.Parse(b.JSON, fhirjson.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", b.Name, err)
		}
		entries := n.Get("entry").Items()
		if len(entries) != b.Resources {
			t.Errorf("%s: %d entries, said %d", b.Name, len(entries), b.Resources)
		}
		bytes += len(b.JSON)
		for i := range entries {
			visit(b.Name, entries[i].Get("resource"))
		}
	}
	for b := range w.First() {
		one(b)
	}
	for b := range w.Rest() {
		one(b)
	}
	return bytes
}

func TestEveryResourceIsValid(t *testing.T) {
	w := Plan(7, morning, DefaultPatients)
	have := map[string]bool{}
	var refs []string
	count, types := 0, map[string]int{}
	shown := 0
	size := all(t, w, func(name string, n *fhirjson.Node) {
		count++
		typ, id := n.Get("resourceType").Text(), n.Get("id").Text()
		types[typ]++
		if have[typ+"/"+id] {
			t.Errorf("%s: %s/%s comes twice", name, typ, id)
		}
		have[typ+"/"+id] = true
		if issues := fhir.Validate(n); len(issues) > 0 && shown < 10 {
			shown++
			t.Errorf("%s: %s %v\n%s", name, typ, issues, n.AppendJSON(nil))
		}
		references(n, &refs)
	})
	for _, r := range refs {
		if !have[r] {
			t.Errorf("reference to %s, which is nowhere", r)
		}
	}
	per := float64(count) / float64(w.Patients())
	t.Logf("%d resources, %.0f a patient, %d bytes: %v", count, per, size, types)
	if per < 60 || per > 150 {
		t.Errorf("%.0f resources a patient", per)
	}
}

func references(n *fhirjson.Node, out *[]string) {
	for _, m := range n.Members() {
		if m.Name == "reference" {
			*out = append(*out, m.Value.Text())
			continue
		}
		references(&m.Value, out)
	}
	items := n.Items()
	for i := range items {
		references(&items[i], out)
	}
}

func digest(w *World) string {
	h := sha256.New()
	for b := range w.First() {
		h.Write(b.JSON)
	}
	for b := range w.Rest() {
		h.Write(b.JSON)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b := digest(Plan(7, morning, 60)), digest(Plan(7, morning, 60))
	if a != b {
		t.Fatal("the same seed and moment gave different bytes")
	}
	if c := digest(Plan(8, morning, 60)); c == a {
		t.Fatal("another seed gave the same bytes")
	}
	t.Logf("digest %s", a)
	if runtime.GOARCH == "amd64" && a != golden {
		t.Errorf("digest %s, the committed one is %s. If the change is meant, commit the new one.", a, golden)
	}
}

func TestOnlySyntheticMarks(t *testing.T) {
	w := Plan(3, morning, 60)
	for b := range w.First() {
		s := string(b.JSON)
		for _, bad := range []string{"us-ssn", "@gmail", ".com\""} {
			if strings.Contains(s, bad) {
				t.Errorf("%s holds %s", b.Name, bad)
			}
		}
	}
	for _, p := range w.patients {
		if !strings.Contains(p.phone, ") 555-01") || len(p.phone) != 14 {
			t.Errorf("phone %s", p.phone)
		}
	}
}
