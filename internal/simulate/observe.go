package simulate

import (
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

const interpretation = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

func testOf(code string) terminology.Test {
	t, ok := terminology.TestOf(code)
	if !ok {
		panic("simulate: no test " + code)
	}
	return t
}

// flagOf is the interpretation code of a number for this patient.
func (p *patient) flagOf(t terminology.Test, value float64, when time.Time) string {
	r, known := t.RangeFor(p.sex, p.age(when))
	switch {
	case t.CritHigh != 0 && value > t.CritHigh && p.age(when) >= 18:
		return "HH"
	case t.CritLow != 0 && value < t.CritLow && p.age(when) >= 18:
		return "LL"
	case known && r.High != 0 && value > r.High:
		return "H"
	case known && r.Low != 0 && value < r.Low:
		return "L"
	}
	return "N"
}

var flagWords = map[string]string{"N": "Normal", "H": "High", "L": "Low", "HH": "Critical high", "LL": "Critical low", "A": "Abnormal"}

func flagged(code string) fhirjson.Node {
	return fhir.Array(fhir.Object("coding", fhir.Array(fhir.Object("system", interpretation, "code", code, "display", flagWords[code]))))
}

func category(code, display string) fhirjson.Node {
	return fhir.Array(fhir.Object("coding", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/observation-category", "code", code, "display", display))))
}

func conceptOf(t terminology.Test) fhirjson.Node {
	coding := []fhirjson.Node{fhir.Object("system", terminology.LOINC, "code", t.Code, "display", t.Name)}
	if t.Code == "59408-5" { // US Core asks for both codes of pulse oximetry
		coding = append(coding, fhir.Object("system", terminology.LOINC, "code", "2708-6", "display", t.Name))
	}
	return fhir.Object("coding", coding, "text", t.Name)
}

// vital writes one vital sign.
func (c *chart) vital(v *visit, when time.Time, code string, value float64) {
	t := testOf(code)
	n := c.observation(v, when, category("vital-signs", "Vital Signs"), conceptOf(t), alvarez)
	n.Set("valueQuantity", fhir.Amount(fixed(value, t.Decimals), t.Show, t.Unit))
	if f := c.p.flagOf(t, rounded(value, t.Decimals), when); f != "N" {
		n.Set("interpretation", flagged(f))
	}
	c.put(n)
}

func (c *chart) observation(v *visit, when time.Time, cat, code fhirjson.Node, who int) fhirjson.Node {
	return fhir.Object("resourceType", "Observation", "id", c.id("observation"), "status", "final", "category", cat, "code", code,
		"subject", c.p.self(), "encounter", v.ref(), "effectiveDateTime", stamp(when), "performer", fhir.Array(c.staff(who)))
}

func (c *chart) pressure(v *visit, when time.Time, systolic, diastolic int) {
	n := c.observation(v, when, category("vital-signs", "Vital Signs"), fhir.Concept(terminology.LOINC, "85354-9", "Blood pressure panel with all children optional", "Blood pressure"), alvarez)
	var parts []fhirjson.Node
	for _, x := range []struct {
		code  string
		value int
	}{{"8480-6", systolic}, {"8462-4", diastolic}} {
		t := testOf(x.code)
		part := fhir.Object("code", conceptOf(t), "valueQuantity", fhir.Amount(fixed(float64(x.value), 0), t.Show, t.Unit))
		if f := c.p.flagOf(t, float64(x.value), when); f != "N" {
			part.Set("interpretation", flagged(f))
		}
		parts = append(parts, part)
	}
	n.Set("component", fhir.Array(parts...))
	c.put(n)
}

// survey writes the score of a questionnaire.
func (c *chart) survey(v *visit, code, name string, score int) {
	n := c.observation(v, v.start, category("survey", "Survey"), fhir.Concept(terminology.LOINC, code, name, ""), alvarez)
	n.Set("valueQuantity", fhir.Amount(fixed(float64(score), 0), "", "{score}"))
	n.Get("valueQuantity").Delete("unit")
	c.put(n)
}

// smoking writes the smoking status, in the codes US Core names for it.
func (c *chart) smoking(v *visit) {
	code, name := "266919005", "Never smoked tobacco"
	switch c.p.smoke {
	case "":
		return
	case "former":
		code, name = "8517006", "Ex-smoker"
	case "current":
		code, name = "77176002", "Smoker"
	}
	n := c.observation(v, v.start, category("social-history", "Social History"), fhir.Concept(terminology.LOINC, "72166-2", "Tobacco smoking status", ""), alvarez)
	n.Set("valueCodeableConcept", fhir.Concept("http://snomed.info/sct", code, "", name))
	c.put(n)
}

// specimen is one draw of blood or urine: its results become one or more reports.
type specimen struct {
	v      *visit
	taken  time.Time
	issued time.Time
}

func (c *chart) draw(v *visit) specimen {
	s := specimen{v: v, taken: v.start.Add(4 * time.Minute)}
	s.issued = s.taken.Add(95 * time.Minute)
	if s.issued.After(c.w.Now) {
		s.issued = c.w.Now
	}
	return s
}

// result writes one laboratory number and returns its reference.
func (c *chart) result(s specimen, code string, value float64) fhirjson.Node {
	t := testOf(code)
	value = max(t.Min, min(t.Max, rounded(value, t.Decimals)))
	n := c.lab(s, t)
	n.Set("valueQuantity", fhir.Amount(fixed(value, t.Decimals), t.Show, t.Unit))
	if t.Show == "" {
		n.Get("valueQuantity").Delete("unit")
	}
	n.Set("interpretation", flagged(c.p.flagOf(t, value, s.taken)))
	if r, ok := t.RangeFor(c.p.sex, c.p.age(s.taken)); ok {
		n.Set("referenceRange", fhir.Array(rangeNode(t, r)))
	}
	ref := fhir.RefTo("Observation/"+n.Get("id").Text(), t.Name)
	c.put(n)
	return ref
}

func (c *chart) lab(s specimen, t terminology.Test) fhirjson.Node {
	n := c.observation(s.v, s.taken, category("laboratory", "Laboratory"), conceptOf(t), osei)
	n.Set("issued", fhirjson.NewString(string(fhir.InstantOf(s.issued))))
	n.Set("performer", fhir.Array(fhir.RefTo("Organization/"+c.w.id("laboratory"), laboratory)))
	return n
}

// said writes a laboratory result in words.
func (c *chart) said(s specimen, code, value string, abnormal bool) fhirjson.Node {
	t := testOf(code)
	n := c.lab(s, t)
	n.Set("valueCodeableConcept", fhir.Object("text", value))
	f := "N"
	if abnormal {
		f = "A"
	}
	n.Set("interpretation", flagged(f))
	ref := fhir.RefTo("Observation/"+n.Get("id").Text(), t.Name)
	c.put(n)
	return ref
}

func rangeNode(t terminology.Test, r terminology.Range) fhirjson.Node {
	var low, high fhirjson.Node
	text := ""
	switch l, h := fixed(r.Low, t.Decimals), fixed(r.High, t.Decimals); {
	case r.Low != 0 && r.High != 0:
		text = l + "–" + h
	case r.High != 0:
		text = "≤ " + h
	default:
		text = "≥ " + l
	}
	if r.Low != 0 {
		low = fhir.Amount(fixed(r.Low, t.Decimals), t.Show, t.Unit)
	}
	if r.High != 0 {
		high = fhir.Amount(fixed(r.High, t.Decimals), t.Show, t.Unit)
	}
	for _, q := range []*fhirjson.Node{&low, &high} {
		if t.Show == "" && q.Kind() == fhirjson.Object {
			q.Delete("unit")
		}
	}
	return fhir.Object("low", low, "high", high, "text", text)
}

// report writes the DiagnosticReport that holds results.
func (c *chart) report(s specimen, code, name, conclusion string, results ...fhirjson.Node) {
	c.put(fhir.Object("resourceType", "DiagnosticReport", "id", c.id("report"), "status", "final",
		"category", fhir.Array(fhir.Concept("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB", "Laboratory", "")),
		"code", fhir.Concept(terminology.LOINC, code, name, ""), "subject", c.p.self(), "encounter", s.v.ref(),
		"effectiveDateTime", stamp(s.taken), "issued", string(fhir.InstantOf(s.issued)),
		"performer", fhir.Array(fhir.RefTo("Organization/"+c.w.id("laboratory"), laboratory)), "result", results, "conclusion", conclusion))
}

// single reports one number on its own.
func (c *chart) single(s specimen, code string, value float64) {
	c.report(s, code, testOf(code).Name, "", c.result(s, code, value))
}
