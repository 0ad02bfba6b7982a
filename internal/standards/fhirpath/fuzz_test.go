package fhirpath_test

import (
	"errors"
	"testing"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// FuzzEval compiles and evaluates arbitrary expressions on a small resource: no panic, no endless work,
// and every compile error has a position.
func FuzzEval(f *testing.F) {
	for _, s := range []string{
		"Patient.name.given", "name.where(use = 'official').given.first() & 'x'", "1.5 'mg' + 2 'g'", "@2024-02 + 1 month",
		"descendants().repeat(children()).aggregate($total + 1, 0)", "(1 | 2).combine({}) ~ %resource.id",
		"iif(true, $this, $index)", "name.given.sort(-$this).join(',')", "'a'.replaceMatches('(a)', '$1$1')", "1 div 0 mod 3",
		"birthDate.lowBoundary(17) < now()", "2.power(1000000)", "10000000000000000000.exp()", "`a`.\"b\" is FHIR.`code`", "/* */ // x",
		"'x'.toQuantity() ~ 1 week", "@T12:30.highBoundary(9)", "telecom.rank / 3 > 0.3 implies {}", "defineVariable('a', 1).select(%a)",
		"code.memberOf('x') or code.subsumes(code) or checkModifiers('a').exists()", "name.sort(family desc, use asc)", "'1 \\'kg\\''.toQuantity('g')", "(deceased as Period).start", "'\\ud83d\\ude00\\p'",
	} {
		f.Add(s)
	}
	n := mustParse(f, patient)
	f.Fuzz(func(t *testing.T, src string) {
		e, err := fhirpath.Compile(src)
		if err != nil {
			var at *fhirpath.Error
			if !errors.As(err, &at) {
				t.Fatalf("error without position: %v", err)
			}
			return
		}
		col, err := e.Eval(&fhirpath.Env{Model: model, Steps: 50_000}, n, "")
		if err == nil {
			for _, it := range col {
				_ = it.String()
			}
		}
		_, _ = e.Eval(&fhirpath.Env{Model: model, Steps: 50_000, Strict: true, ManyAs: true, Codes: func(string, string, string) (bool, bool) { return true, true }}, n, "")
		if p := e.For(model, "Patient"); p.Direct() {
			if err := p.Each(n, n, func(*fhirjson.Node, string) {}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
