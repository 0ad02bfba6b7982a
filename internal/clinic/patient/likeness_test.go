package patient

import (
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhirjson"
)

func TestCompare(t *testing.T) {
	const maria = `{"resourceType":"Patient","identifier":[{"system":"urn:m","value":"1"}],"name":[{"family":"Okafor","given":["Maria"]}],"gender":"female","birthDate":"1968-03-04","telecom":[{"system":"phone","value":"(555) 010-2030"}],"address":[{"line":["1 Main St"],"postalCode":"97201"}]}`
	for _, c := range []struct {
		other string
		want  Grade
	}{
		{maria, Certain},
		{`{"name":[{"family":"OKAFOR","given":["María"]}],"birthDate":"1968-03-04","telecom":[{"system":"phone","value":"+1 555 010 2030"}]}`, Certain},
		{`{"name":[{"family":"Maria","given":["Okafor"]}],"birthDate":"1968-03-04","address":[{"line":["1 main st"],"postalCode":"97201-1234"}]}`, Certain},
		{`{"identifier":[{"system":"urn:m","value":"1"}],"name":[{"family":"Okafor","given":["Marie"]}]}`, Certain},
		{`{"name":[{"family":"Okafor","given":["Maria"]}],"birthDate":"1968-03-04"}`, Probable},
		{`{"name":[{"family":"Okafo","given":["Mariya"]}],"birthDate":"1968-03-04","gender":"female"}`, Probable},
		{`{"identifier":[{"system":"urn:m","value":"1"}]}`, Probable},
		{`{"name":[{"family":"Okafor","given":["Maria"]}],"birthDate":"1968-04-03"}`, Possible},
		{`{"name":[{"family":"Okafor","given":["Maria"]}]}`, Possible},
		{`{"identifier":[{"system":"urn:m","value":"1"}],"name":[{"family":"Okafor","given":["Maria"]}],"birthDate":"1999-01-01"}`, Possible}, // one number, two people
		{`{"name":[{"family":"Okafor","given":["Maria"]}],"birthDate":"1991-12-24"}`, CertainlyNot},
		{`{"name":[{"family":"Okafor","given":["Peter"]}],"birthDate":"1968-03-04","gender":"male"}`, CertainlyNot},
		{`{"birthDate":"1968-03-04","gender":"female"}`, CertainlyNot},
		{`{"identifier":[{"system":"urn:other","value":"1"}]}`, CertainlyNot},
		{`{}`, CertainlyNot},
	} {
		got := Compare(tree(t, maria), tree(t, c.other))
		if got.Grade != c.want || got.Score < 0 || got.Score > 1 {
			t.Errorf("%s: %+v, not %s", c.other, got, c.want)
		}
		if back := Compare(tree(t, c.other), tree(t, maria)); back.Grade != got.Grade {
			t.Errorf("%s: the other way round %s", c.other, back.Grade)
		}
	}
}

func tree(t *testing.T, s string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(s), fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestGradesAreOrdered checks that a surer grade never has a lower score.
func TestGradesAreOrdered(t *testing.T) {
	floor := map[Grade]float64{Certain: 0.9, Probable: 0.7, Possible: 0.35, CertainlyNot: 0}
	ceiling := map[Grade]float64{Certain: 1, Probable: 0.89, Possible: 0.69, CertainlyNot: 0.34}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) *fhirjson.Node {
			pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(rt, label+what) }
			s := `{` + pick("name", `"name":[{"family":"Okafor","given":["Maria"]}]`, `"name":[{"family":"Okafo","given":["M"]}]`, `"name":[{"text":"x"}]`) + `,` +
				pick("birth", `"birthDate":"1968-03-04"`, `"birthDate":"1968-04-03"`, `"birthDate":"1968"`, `"birthDate":"1999-01-01"`) + `,` +
				pick("gender", `"gender":"female"`, `"gender":"male"`, `"gender":"unknown"`) + `,` +
				pick("id", `"identifier":[{"system":"s","value":"1"}]`, `"identifier":[{"system":"s","value":"2"}]`) + `,` +
				pick("reach", `"telecom":[{"system":"email","value":"A@b.c"}]`, `"telecom":[{"system":"email","value":"a@b.c"},{"system":"phone","value":"123"}]`) + `}`
			return tree(t, s)
		}
		l := Compare(draw("a"), draw("b"))
		if l.Score < floor[l.Grade] || l.Score > ceiling[l.Grade] {
			rt.Fatalf("%+v", l)
		}
	})
}
