package clinical

import (
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Flag marks a value against its reference range. It is computed here once, never in a view.
type Flag string

// The flags, as they are printed beside a value.
const (
	Normal       Flag = ""
	High         Flag = "H"
	Low          Flag = "L"
	CriticalHigh Flag = "HH"
	CriticalLow  Flag = "LL"
	Abnormal     Flag = "A"
	CriticalAbn  Flag = "AA"
)

// Critical reports whether someone must be told at once.
func (f Flag) Critical() bool { return f == CriticalHigh || f == CriticalLow || f == CriticalAbn }

// rank orders flags by how much they matter: critical, out of range, in range.
func (f Flag) rank() int {
	switch {
	case f.Critical():
		return 2
	case f != Normal:
		return 1
	}
	return 0
}

// interpreted maps the code of an interpretation (v3 ObservationInterpretation, which
// grew out of HL7 table 0078) to a flag. ok is false for codes that say nothing about it.
func interpreted(code string) (f Flag, ok bool) {
	switch code {
	case "N", "NEG", "ND", "NR", "WR", "S":
		return Normal, true
	case "H", "HU", ">":
		return High, true
	case "HH", "HX":
		return CriticalHigh, true
	case "L", "LU", "<":
		return Low, true
	case "LL", "LX":
		return CriticalLow, true
	case "A", "POS", "DET", "R", "RR", "I":
		return Abnormal, true
	case "AA":
		return CriticalAbn, true
	}
	return Normal, false
}

// flagOf decides the flag of an Observation or one of its components: what the
// laboratory said, else its reference range, else nothing.
func flagOf(o *fhirjson.Node, v quantity) Flag {
	for _, in := range o.Get("interpretation").Items() {
		for _, c := range in.Get("coding").Items() {
			if f, ok := interpreted(c.Get("code").Text()); ok {
				return f
			}
		}
	}
	if !v.ok {
		return Normal
	}
	r := rangeOf(o)
	switch {
	case r.hasHigh && v.num > r.high:
		return High
	case r.hasLow && v.num < r.low:
		return Low
	}
	return Normal
}

// reference is a normal range with the text the laboratory printed.
type reference struct {
	low, high       float64
	hasLow, hasHigh bool
	text            string
}

func rangeOf(o *fhirjson.Node) reference {
	for _, r := range o.Get("referenceRange").Items() {
		if t := r.At("type", "coding", "code").Text(); t != "" && t != "normal" {
			continue
		}
		lo, hi := r.Get("low"), r.Get("high")
		var out reference
		if v, err := strconv.ParseFloat(lo.Get("value").Text(), 64); err == nil {
			out.low, out.hasLow = v, true
		}
		if v, err := strconv.ParseFloat(hi.Get("value").Text(), 64); err == nil {
			out.high, out.hasHigh = v, true
		}
		switch {
		case r.Get("text").Text() != "":
			out.text = r.Get("text").Text()
		case out.hasLow && out.hasHigh:
			out.text = lo.Get("value").Text() + "–" + hi.Get("value").Text()
		case out.hasLow:
			out.text = "≥ " + lo.Get("value").Text()
		case out.hasHigh:
			out.text = "≤ " + hi.Get("value").Text()
		}
		return out
	}
	return reference{}
}

// quantity is a measured value as reported: its text travels with the number, so 5.0 stays "5.0".
type quantity struct {
	text       string
	num        float64
	ok         bool // num holds a number
	comparator string
	unit, code string
}

func quantityOf(q *fhirjson.Node) quantity {
	t := q.Get("value").Text()
	if t == "" {
		return quantity{}
	}
	n, err := strconv.ParseFloat(t, 64)
	out := quantity{text: t, num: n, ok: err == nil, comparator: q.Get("comparator").Text(), unit: q.Get("unit").Text(), code: q.Get("code").Text()}
	if out.unit == "" {
		out.unit = out.code
	}
	if out.comparator != "" {
		out.text = out.comparator + " " + out.text
	}
	return out
}

// valueOf reads Observation.value[x] or component.value[x] as text with, where it is one, its number.
func valueOf(o *fhirjson.Node) quantity {
	if q := o.Get("valueQuantity"); q != nil {
		return quantityOf(q)
	}
	for _, name := range []string{"valueString", "valueInteger", "valueDateTime", "valueTime"} {
		if v := o.Get(name); v != nil {
			return quantity{text: v.Text()}
		}
	}
	if v := o.Get("valueCodeableConcept"); v != nil {
		return quantity{text: fhir.ConceptText(v)}
	}
	if v := o.Get("valueBoolean"); v != nil {
		if v.Text() == "true" {
			return quantity{text: "Yes"}
		}
		return quantity{text: "No"}
	}
	if v := o.Get("valueRatio"); v != nil {
		n, d := quantityOf(v.Get("numerator")), quantityOf(v.Get("denominator"))
		return quantity{text: n.text + ":" + d.text}
	}
	if v := o.Get("valueRange"); v != nil {
		lo, hi := quantityOf(v.Get("low")), quantityOf(v.Get("high"))
		return quantity{text: lo.text + "–" + hi.text, unit: lo.unit}
	}
	if why := fhir.ConceptText(o.Get("dataAbsentReason")); why != "" {
		return quantity{text: strings.ToLower(why)}
	}
	return quantity{}
}
