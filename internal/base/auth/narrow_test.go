package auth

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A narrowed type is reachable only through one of its queries, for the interactions that query gives.
func TestNarrowing(t *testing.T) {
	a := Access{Types: map[string]Bits{"Observation": canLook, "Patient": canLook}, Narrow: map[string][]Narrowing{
		"Observation": {{"category=laboratory", CanRead}, {"category=vital-signs", canLook}},
	}}
	for _, c := range []struct {
		typ   string
		bits  Bits
		may   bool
		ways  string
		bound bool
	}{
		{"Observation", CanRead, true, "category=laboratory category=vital-signs", true},
		{"Observation", CanSearch, true, "category=vital-signs", true},
		{"Observation", CanCreate, false, "", true},
		{"Patient", CanRead, true, "", false},
		{"Condition", CanRead, false, "", false},
	} {
		ways, bound := a.Narrowed(c.typ, c.bits)
		if a.Allows(c.typ, c.bits) != c.may || strings.Join(ways, " ") != c.ways || bound != c.bound {
			t.Errorf("%s %s: %v %v %v", c.typ, c.bits, a.Allows(c.typ, c.bits), ways, bound)
		}
	}
	open := Access{All: true, Narrow: map[string][]Narrowing{"Observation": {{"category=laboratory", CanRead}, {"", CanSearch}}}}
	if _, bound := open.Narrowed("Observation", CanSearch); bound || open.Allows("Observation", CanCreate) || !open.Allows("Patient", canAll) {
		t.Error("an empty query is no limit, and a narrowed type has no more than its queries give")
	}
}

func someAccess(t *rapid.T, name string) Access {
	types := []string{"Patient", "Observation", "Condition"}
	a := Access{All: rapid.Bool().Draw(t, name+".all"), Forbidden: rapid.Int64Range(0, 7).Draw(t, name+".forbidden"),
		Compartment: rapid.SampledFrom([]string{"", "Patient/a", "Patient/b"}).Draw(t, name+".compartment")}
	if !a.All {
		a.Types = map[string]Bits{}
		for _, typ := range types {
			a.Types[typ] = Bits(rapid.IntRange(0, 31).Draw(t, name+"."+typ))
		}
	}
	for _, typ := range types {
		for range rapid.IntRange(0, 2).Draw(t, name+".ways."+typ) {
			if a.Narrow == nil {
				a.Narrow = map[string][]Narrowing{}
			}
			a.Narrow[typ] = append(a.Narrow[typ], Narrowing{rapid.SampledFrom([]string{"", "x=1", "y=1"}).Draw(t, name+".params"),
				Bits(rapid.IntRange(0, 31).Draw(t, name+".bits"))})
		}
	}
	for _, id := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, name+".rule."+id) {
			if a.Charts == nil {
				a.Charts = map[string]ChartRule{}
			}
			a.Charts[id] = ChartRule{rapid.Bool().Draw(t, name+".closed."+id), rapid.Int64Range(0, 7).Draw(t, name+".chart."+id)}
		}
	}
	return a
}

// reaches is the plain meaning of an access for one resource that matches the queries in matches.
func reaches(a Access, typ string, b Bits, patient string, labels int64, matches []string) bool {
	if !a.Allows(typ, b) || a.Compartment != "" && a.Compartment != "Patient/"+patient {
		return false
	}
	forbidden, closed := a.ForbiddenIn(patient)
	if closed || labels&forbidden != 0 {
		return false
	}
	queries, narrowed := a.Narrowed(typ, b)
	return !narrowed || slices.ContainsFunc(queries, func(q string) bool {
		for _, part := range strings.Split(q, "&") {
			if !slices.Contains(matches, part) {
				return false
			}
		}
		return true
	})
}

// What two accesses allow together is exactly what each of them allows.
func TestWithinIsBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := someAccess(t, "a"), someAccess(t, "b")
		both := a.Within(b)
		typ := rapid.SampledFrom([]string{"Patient", "Observation", "Condition"}).Draw(t, "type")
		bit := Bits(1) << rapid.IntRange(0, 4).Draw(t, "bit")
		patient := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "patient")
		labels := rapid.Int64Range(0, 7).Draw(t, "labels")
		matches := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"x=1", "y=1"}), func(s string) string { return s }).Draw(t, "matches")
		want := reaches(a, typ, bit, patient, labels, matches) && reaches(b, typ, bit, patient, labels, matches)
		if got := reaches(both, typ, bit, patient, labels, matches); got != want {
			t.Fatalf("%s %s of %s: %v, want %v\n%+v\n%+v\n%+v", typ, bit, patient, got, want, a, b, both)
		}
	})
}
