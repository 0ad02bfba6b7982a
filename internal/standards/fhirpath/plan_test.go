package fhirpath_test

import (
	"slices"
	"testing"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// byPlan and byEval list what an expression gives in both ways: kind, type and text of each element with a
// value, sorted, once each.
func byPlan(t testing.TB, p *fhirpath.Plan, n *fhirjson.Node) []string {
	var out []string
	if err := p.Each(n, n, func(v *fhirjson.Node, typ string) { out = append(out, typ+" "+string(v.AppendJSON(nil))) }); err != nil {
		t.Error(err)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func byEval(t testing.TB, e *fhirpath.Expr, n *fhirjson.Node, typ string) []string {
	col, err := e.Eval(&fhirpath.Env{Model: model, ManyAs: true}, n, typ)
	if err != nil {
		t.Errorf("%s: %v", e, err)
	}
	var out []string
	for _, it := range col {
		switch {
		case it.Node != nil:
			out = append(out, it.Type+" "+string(it.Node.AppendJSON(nil)))
		case it.Type == "System.Boolean":
			out = append(out, "boolean "+it.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestPlanEqualsEval compares the direct walk with the evaluator for every search parameter of R4, on
// resources of our own and on the official examples.
func TestPlanEqualsEval(t *testing.T) {
	resources := []*fhirjson.Node{mustParse(t, patient), mustParse(t, observation)}
	for _, n := range append(resources, examples(t)...) {
		typ := n.Get("resourceType").Text()
		if n.Get("id").Text() == "decimal" {
			continue // holds 1.0 and 1.00, which "|" makes one by its rules and a walk does not
		}
		for _, sp := range fhir.SearchParams(typ) {
			if sp.Expression == "" {
				continue
			}
			e := mustCompile(t, sp.Expression)
			p := e.For(model, typ)
			if a, b := byPlan(t, p, n), byEval(t, e, n, typ); !slices.Equal(a, b) {
				t.Errorf("%s/%s %s %s\n plan %q\n eval %q", typ, n.Get("id").Text(), sp.Code, e, a, b)
			}
		}
	}
}

// TestPlanShapes pins which expressions become direct walks.
func TestPlanShapes(t *testing.T) {
	for _, x := range []struct {
		src, root     string
		direct, empty bool
	}{
		{"Observation.code", "Observation", true, false},
		{"Patient.name | Observation.code", "Observation", true, false},
		{"Patient.name", "Observation", true, true},
		{"(Observation.value as Quantity) | Observation.value.ofType(CodeableConcept)", "Observation", true, false},
		{"Observation.subject.where(resolve() is Patient)", "Observation", true, false},
		{"Patient.telecom.where(system='phone')", "Patient", true, false},
		{"Bundle.entry[0].resource", "Bundle", true, false},
		{"Resource.meta.tag", "Patient", true, false},
		{"$this.code", "Observation", true, false},
		{"Patient.name.given[0]", "Patient", false, false},
		{"Patient.deceased.exists() and Patient.deceased != false", "Patient", false, false},
		{"%resource.id", "Patient", false, false},
		{"Patient.name.where(use = 'old' and family.exists())", "Patient", false, false},
	} {
		p := mustCompile(t, x.src).For(model, x.root)
		if p.Direct() != x.direct || p.Empty() != x.empty {
			t.Errorf("%s: direct %v, empty %v", x.src, p.Direct(), p.Empty())
		}
	}
}

// TestSearchExpressionsCompile compiles what R4 publishes; all but one parameter is a direct walk.
func TestSearchExpressionsCompile(t *testing.T) {
	total := 0
	for _, typ := range fhir.ResourceTypes() {
		for _, sp := range fhir.SearchParams(typ) {
			if sp.Expression == "" {
				continue
			}
			total++
			p := mustCompile(t, sp.Expression).For(model, typ)
			if p.Empty() {
				t.Errorf("%s of %s gives nothing: %s", sp.Code, typ, sp.Expression)
			}
			if !p.Direct() && sp.Code != "deceased" {
				t.Errorf("%s of %s is no direct walk: %s", sp.Code, typ, sp.Expression)
			}
		}
	}
	if total < 2000 {
		t.Errorf("only %d expressions", total)
	}
}

// TestViolations is the negative control of TestInvariants: rules of R4 on elements that break them.
func TestViolations(t *testing.T) {
	for _, x := range []struct{ rule, typ, json string }{
		{"start.hasValue().not() or end.hasValue().not() or (start <= end)", "Period", `{"start":"2024-02-02","end":"2024-02-01"}`},
		{"code.empty() or system.exists()", "Quantity", `{"value":1,"code":"kg"}`},
		{"extension.exists() != value.exists()", "Extension", `{"url":"x"}`},
		{"low.empty() or high.empty() or (low <= high)", "Range", `{"low":{"value":2,"unit":"kg"},"high":{"value":1.99,"unit":"kg"}}`},
		{"contained.contained.empty()", "Patient", `{"resourceType":"Patient","contained":[{"resourceType":"Patient","contained":[{"resourceType":"Patient"}]}]}`},
		{"contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()", "Patient", `{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"a"}]}`},
		{"hasValue() or (children().count() > id.count())", "Period", `{"id":"a"}`},
		{"dataAbsentReason.empty() or value.empty()", "Observation", `{"resourceType":"Observation","valueString":"a","dataAbsentReason":{"text":"b"}}`},
		{"name.exists() or telecom.exists() or address.exists() or organization.exists()", "Patient.contact", `{"gender":"male"}`},
		{"repeat.all(duration >= 0)", "Timing", `{"repeat":{"duration":-1}}`},
	} {
		holds, known, err := mustCompile(t, x.rule).Test(&fhirpath.Env{Model: model, ManyAs: true}, mustParse(t, x.json), x.typ)
		if err != nil || holds || !known {
			t.Errorf("%s on %s: holds %v, known %v, %v", x.rule, x.json, holds, known, err)
		}
	}
}
