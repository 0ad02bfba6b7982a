package profile

import (
	"slices"

	"yarrow.health/internal/standards/fhirjson"
)

// measured judges a MeasureReport against its Measure, where that can be found: groups, populations and stratifiers are
// those of the measure, and a score fits the measure's scoring (R4 MeasureReport and Measure, clinical reasoning module).
func (r *run) measured(n *fhirjson.Node) {
	url := n.Get("measure")
	if url == nil || url.Kind() != fhirjson.String || r.v.Find == nil {
		return
	}
	measure := r.v.Find(url.Text())
	if measure.Get("resourceType").Text() != "Measure" {
		r.push("measure", -1)
		r.warn("not-found", url, "The measure is not known here, so the report was not checked against it.", "Store the measure first.")
		r.pop()
		return
	}
	m := &report{run: r, node: n, measure: measure, kind: n.Get("type").Text(), complete: n.Get("status").Text() == "complete"}
	m.groups()
}

// report is a MeasureReport being judged.
type report struct {
	run           *run
	node, measure *fhirjson.Node
	kind          string // individual, subject-list, summary or data-collection
	complete      bool
}

// scoring is the code of Measure.scoring, "" if it is not one of R4's.
func (m *report) scoring() string {
	for _, c := range m.measure.At("scoring", "coding").Items() {
		if code := c.Get("code").Text(); slices.Contains([]string{"proportion", "ratio", "continuous-variable", "cohort", "composite"}, code) {
			return code
		}
	}
	return ""
}

func (m *report) groups() {
	given, defs := m.node.Get("group").Items(), m.measure.Get("group").Items()
	if m.kind == "data-collection" && len(given) > 0 {
		m.run.fail("business-rule", m.node, "A report that only collects data has no groups.", "Leave group out, or correct the type of the report.")
		return
	}
	seen := m.each("group", given, defs, func(g, d *fhirjson.Node) {
		m.score(g)
		m.populations(g, d)
		m.stratifiers(g, d)
	})
	if m.complete {
		m.unreported("group", m.node, defs, seen)
	}
}

// each pairs what is reported with what the measure defines, by code; a lone definition without a code is that of a lone
// group. do gets every pair.
func (m *report) each(name string, given, defs []fhirjson.Node, do func(g, d *fhirjson.Node)) map[*fhirjson.Node]bool {
	r := m.run
	seen := map[*fhirjson.Node]bool{}
	for i := range given {
		if r.left -= len(defs); !r.charged() {
			return seen
		}
		r.push(name, i)
		g := &given[i]
		d := definedAs(g, defs)
		switch {
		case d == nil && g.Get("code") == nil && len(defs) > 0:
			r.fail("business-rule", g, "It has no code, so it cannot be told which part of the measure it reports.", "Give the code that the measure gives it.")
		case d == nil:
			r.fail("business-rule", g, "The measure has nothing with this code here.", "Correct the code, or report by another measure.")
		case seen[d]:
			r.fail("business-rule", g, "The same part of the measure is reported twice.", "Keep one.")
		default:
			seen[d] = true
			do(g, d)
		}
		r.pop()
	}
	return seen
}

// unreported says which parts of the measure a complete report lacks.
func (m *report) unreported(name string, at *fhirjson.Node, defs []fhirjson.Node, seen map[*fhirjson.Node]bool) {
	for i := range defs {
		if seen[&defs[i]] {
			continue
		}
		m.run.fail("business-rule", at, "The measure has a "+name+" that this complete report lacks.", "Report every "+name+" of the measure, or correct the status.")
	}
}

// definedAs finds the definition that what is reported belongs to.
func definedAs(g *fhirjson.Node, defs []fhirjson.Node) *fhirjson.Node {
	if g.Get("code") == nil && len(defs) == 1 && defs[0].Get("code") == nil {
		return &defs[0]
	}
	for i := range defs {
		if sameConcept(g.Get("code"), defs[i].Get("code")) {
			return &defs[i]
		}
	}
	return nil
}

// sameConcept reports whether two CodeableConcepts share a coding, or have the same text where one has no coding.
func sameConcept(a, b *fhirjson.Node) bool {
	if a == nil || b == nil {
		return false
	}
	x, y := a.Get("coding").Items(), b.Get("coding").Items()
	for i := range x {
		for j := range y {
			if x[i].Get("code").Text() != "" && x[i].Get("code").Text() == y[j].Get("code").Text() && x[i].Get("system").Text() == y[j].Get("system").Text() {
				return true
			}
		}
	}
	return (len(x) == 0 || len(y) == 0) && a.Get("text").Text() != "" && a.Get("text").Text() == b.Get("text").Text()
}

// score: a cohort has none, nor has a report that only collects data; other scorings ask for one in a complete report.
func (m *report) score(g *fhirjson.Node) {
	score := g.Get("measureScore")
	switch s := m.scoring(); {
	case score != nil && s == "cohort":
		m.run.push("measureScore", -1)
		m.run.fail("business-rule", score, "A measure that scores by cohort has no score.", "Leave measureScore out.")
		m.run.pop()
	case score != nil && score.Get("value") == nil && score.Get("extension") == nil && s != "":
		m.run.push("measureScore", -1)
		m.run.fail("business-rule", score, "The score has no value.", "Give its value, or leave it out.")
		m.run.pop()
	case score == nil && m.complete && slices.Contains([]string{"proportion", "ratio", "continuous-variable"}, s) && g.Get("_measureScore") == nil:
		m.run.fail("business-rule", g, "A complete report of a measure that scores by "+s+" has a measureScore.", "Add it, or correct the status.")
	}
}

func (m *report) populations(g, d *fhirjson.Node) {
	given, defs := g.Get("population").Items(), d.Get("population").Items()
	seen := m.each("population", given, defs, func(p, _ *fhirjson.Node) { m.population(p) })
	if m.complete {
		m.unreported("population", g, defs, seen)
	}
}

// population: subjects are listed in a list of subjects only, and there they are.
func (m *report) population(p *fhirjson.Node) {
	r := m.run
	switch {
	case m.kind == "subject-list" && p.Get("subjectResults") == nil:
		r.fail("business-rule", p, "A report that lists subjects has them for every population.", "Add subjectResults.")
	case m.kind != "subject-list" && p.Get("subjectResults") != nil:
		r.fail("business-rule", p, "Only a report that lists subjects has subjectResults.", "Leave them out, or correct the type of the report.")
	}
	if m.kind != "subject-list" && p.Get("count") == nil && r.silent == 0 {
		r.warn("business-rule", p, "The population has no count.", "Add count.")
	}
}

func (m *report) stratifiers(g, d *fhirjson.Node) {
	given, defs := g.Get("stratifier").Items(), d.Get("stratifier").Items()
	r := m.run
	for i := range given {
		codes := given[i].Get("code").Items()
		if len(codes) == 0 && len(defs) == 1 && defs[0].Get("code") == nil {
			continue
		}
		for j := range codes {
			if r.left -= len(defs); !r.charged() {
				return
			}
			if slices.ContainsFunc(defs, func(d fhirjson.Node) bool {
				return sameConcept(&codes[j], d.Get("code")) || slices.ContainsFunc(d.Get("component").Items(), func(c fhirjson.Node) bool { return sameConcept(&codes[j], c.Get("code")) })
			}) {
				continue
			}
			r.push("stratifier", i)
			r.fail("business-rule", &given[i], "The measure has no stratifier with this code.", "Correct the code.")
			r.pop()
		}
	}
}
