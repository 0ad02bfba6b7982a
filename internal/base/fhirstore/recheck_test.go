package fhirstore

import (
	"encoding/json"
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// TestMembersOfABody reads every top-level member by scanning and compares it with the parsed tree.
func TestMembersOfABody(t *testing.T) {
	for _, raw := range append(fixtures(), `{"resourceType":"Basic","id":"x","meta":{"tag":[{"code":"a,\"}"}]},"code":{"text":"a\"b\\"},"implicitRules":"x","created":"2020"}`) {
		n, err := fhirjson.Parse([]byte(raw), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		d := splitBody(n.Get("resourceType").Text(), n.Get("id").Text(), n)
		for _, m := range n.Members() {
			if m.Name == "resourceType" || m.Name == "id" || m.Name == "meta" {
				continue
			}
			if got, want := string(d.member(m.Name)), m.Value.String(); got != want {
				t.Errorf("%s: %s, want %s", m.Name, got, want)
			}
		}
		if d.member("nothing") != nil {
			t.Error("a member that is not there")
		}
	}
}

// TestCodesAreProvedWithinOneObject: system and code count in any order, and only of the same Coding or Identifier.
func TestCodesAreProvedWithinOneObject(t *testing.T) {
	coding := [2][]byte{[]byte(`"system":"s"`), []byte(`"code":"1"`)}
	value := [2][]byte{[]byte(`"system":"s"`), []byte(`"value":"1"`)}
	for _, c := range []struct {
		element string
		members [2][]byte
		inner   bool
		want    bool
	}{
		{`{"coding":[{"system":"s","code":"1"}]}`, coding, true, true},
		{`{"coding":[{"code":"1","display":"a }\"{","system":"s"}],"text":"x"}`, coding, true, true},
		{`[{"coding":[{"system":"t","code":"1"},{"system":"s","code":"2"}]},{"coding":[{"system":"s"}]}]`, coding, true, false},
		{`{"coding":[{"system":"s","code":"12"},{"code":"1"}]}`, coding, true, false},
		{`{"coding":[{"system":"s","display":"\"code\":\"1\""}]}`, coding, true, false},
		{`{"coding":[{"display":"{","system":"s"},{"display":"}","code":"1"}]}`, coding, true, false},
		{`[{"use":"old","type":{"coding":[{"system":"s","code":"1"}]},"value":"1","system":"s"}]`, value, false, true},
		{`[{"system":"t","value":"2","assigner":{"identifier":{"system":"s","value":"1"}}}]`, value, false, false},
		{`"1"`, coding, true, false},
		{`{"system":"s","code":"1`, coding, true, false},
	} {
		if got := inOneObject([]byte(c.element), c.members, c.inner); got != c.want {
			t.Errorf("%s in %s: %v", c.members, c.element, got)
		}
	}
}

// TestNamesAreProvedAsTheyMatch: what the bytes of a name say, for and against, is what the search says of its tree.
func TestNamesAreProvedAsTheyMatch(t *testing.T) {
	part := rapid.SampledFrom([]string{"Ann", "Annette", "O'Hara", "de la Cruz", "Müller", "van-Dyke", "ANN MARIE", "St. John", "Jo\"e", "Dr."})
	rapid.Check(t, func(t *rapid.T) {
		name := map[string]any{"family": part.Draw(t, "family"), "given": rapid.SliceOfN(part, 0, 2).Draw(t, "given")}
		if rapid.Bool().Draw(t, "more") {
			name["text"], name["prefix"] = part.Draw(t, "text"), []string{part.Draw(t, "prefix")}
		}
		raw, err := json.Marshal(map[string]any{"resourceType": "Patient", "id": "x", "name": []any{name}})
		if err != nil {
			t.Fatal(err)
		}
		n, err := fhirjson.Parse(raw, fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		asked := rapid.SampledFrom([]string{"ann", "anne", "ohara", "cruz", "la", "mul", "muller", "van", "dyke", "marie", "john", "joe", "dr", "family", "given", "zoe", "annmarie"}).Draw(t, "asked")
		q, issues := fhirsearch.ParseQuery("Patient", url.Values{"name": {asked}})
		if len(issues) > 0 {
			t.Fatal(issues)
		}
		c := newCheck(planOf("Patient"), &q.Clauses[0])
		r := &Resource{Type: "Patient", ID: "x", body: splitBody("Patient", "x", n)}
		if got, want := c.holds(r, &row{}), fhirsearch.Match(n, q.Clauses[0]); got != want {
			t.Fatalf("%s in %s: %v, not %v", asked, raw, got, want)
		}
	})
}

func TestRowKeysPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rowKeys{date: rapid.Int64().Draw(t, "date"), hashes: rapid.SliceOf(rapid.Int64()).Draw(t, "hashes")}
		for range rapid.IntRange(0, 4).Draw(t, "spans") {
			low := rapid.Int64().Draw(t, "low")
			k.spans = append(k.spans, spanKey{rapid.Int64().Draw(t, "p"), low, rapid.Int64Min(low).Draw(t, "high")})
		}
		k.normal()
		got, ok := unpackKeys(k.pack())
		if !ok || got.date != k.date || len(got.hashes) != len(k.hashes) || len(got.spans) != len(k.spans) {
			t.Fatalf("%+v became %+v", k, got)
		}
		for i := range k.hashes {
			if got.hashes[i] != k.hashes[i] {
				t.Fatal("hashes differ")
			}
		}
		for i := range k.spans {
			if got.spans[i] != k.spans[i] {
				t.Fatal("spans differ")
			}
		}
	})
}

func TestOrderedNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64().Draw(t, "a"), rapid.Float64().Draw(t, "b")
		if (a < b) != (ordered(a) < ordered(b)) || (a == b) != (ordered(a) == ordered(b)) {
			t.Fatalf("%v and %v", a, b)
		}
	})
}

// FuzzOpenBody gives the decoder what a disk might: it may refuse, never crash.
func FuzzOpenBody(f *testing.F) {
	var z zcodec
	d := &decoded{typ: "Patient", id: "x", content: []byte(`,"active":true,"name":[{"family":"Ash"},{"family":"Ash"}]`)}
	packed, err := d.pack(&z)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{0, dictRaw})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, rest, ok := cutID(b)
		if ok && len(rest) > 1 {
			_, _ = z.expand(nil, rest[1:])
		}
		_, _ = unpackKeys(b)
		(&decoded{content: b}).member("name")
	})
}

// TestTypeNumbers holds the numbers of the types to what is on disk.
func TestTypeNumbers(t *testing.T) {
	for name, want := range map[string]int16{"Account": 1, "Encounter": 44, "Observation": 96, "Patient": 103, "VisionPrescription": int16(len(typeNames))} {
		if got := typeCode(name); got != want {
			t.Errorf("%s has number %d, want %d", name, got, want)
		}
	}
}

func TestEveryTypeHasANumber(t *testing.T) {
	for _, name := range fhir.ResourceTypes() {
		if typeCode(name) == 0 || typeName(typeCode(name)) != name {
			t.Errorf("%s has no number", name)
		}
	}
}

// FuzzBundle takes apart whatever parses: it may refuse, never crash.
func FuzzBundle(f *testing.F) {
	f.Add(bundleOf("transaction", post("urn:uuid:obs", obsEntry, "a=b"), request("DELETE", "Patient?x=y", ""), request("GET", "Patient/1", "")))
	f.Add(bundleOf("batch", `{"resource":[],"request":{"url":"?","method":"PUT"}}`, `7`, `null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := fhirjson.Parse(raw, fhirjson.Limits{})
		if err != nil {
			return
		}
		b, issue := parseBundle(n, len(raw)%2 == 0)
		if issue != nil {
			return
		}
		a := applier{s: &Store{}, b: b, opt: ApplyOptions{Loose: true, conditions: &conditionCache{}}}
		for _, e := range b.entries {
			if e.node != nil {
				a.rewrite(e)
			}
		}
		a.prepareAll(b.entries)
	})
}

// TestNamesProvedByTheirBytes: what named proves, Match holds.
func TestNamesProvedByTheirBytes(t *testing.T) {
	for _, c := range []struct {
		name, term string
		proved     bool
	}{
		{`[{"family":"Birch","given":["Ann","Mary"]}]`, "bir", true},
		{`[{"family":"Birch","given":["Ann","Mary"]}]`, "MARY", true},
		{`[{"family":"Birch","given":["Ann","Mary"]}]`, "marya", false},
		{`[{"family":"Birch","given":["Ann","Mary"]}]`, "family", false},
		{`[{"use":"old","family":"Ash"},{"family":"Birch"}]`, "birch", true},
		{`[{"use":"old","family":"Ash"},{"family":"Birch"}]`, "old", false},
		{`[{"given":["A]n","Bo"]}]`, "bo", false}, // not worth more care: Match decides
		{`[{"given":["Jo\"given","Bo"]}]`, "bo", false},
		{`[{"text":"x\"family\":\"birch"}]`, "birch", false},
		{`[{"family":"Ash","extension":[{"url":"http://x","valueHumanName":{"family":"Birch"}}]}]`, "birch", false},
		{`[{"family":"Østergård"}]`, "stergard", false},
		{`[{"family":"Birch"}]`, "Bı", false},
	} {
		q := parse(t, "Patient?name="+url.QueryEscape(c.term))
		check := newCheck(planOf("Patient"), &q.Clauses[0])
		if got := len(check.names) > 0 && check.named([]byte(c.name)); got != c.proved {
			t.Errorf("%s in %s: %v", c.term, c.name, got)
		}
		n, err := fhirjson.Parse([]byte(`{"resourceType":"Patient","name":`+c.name+`}`), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if c.proved && !fhirsearch.Match(n, q.Clauses[0]) {
			t.Errorf("%s is proved in %s, and does not match", c.term, c.name)
		}
	}
}
