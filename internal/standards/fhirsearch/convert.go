package fhirsearch

import (
	"math"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// convert files the values of one element for a parameter type, by the element's datatype (R4 search,
// section 3.1.1.4.6 and following).
func (x *extractor) convert(paramType string, n *fhirjson.Node, typ string) {
	switch paramType {
	case "token":
		x.token(n, typ)
	case "reference":
		x.reference(n, typ)
	case "date":
		x.date(n, typ)
	case "string":
		x.text(n, typ)
	case "number":
		x.number(n, typ)
	case "quantity":
		x.quantity(n, typ)
	case "uri":
		if s := n.Text(); n.Kind() == fhirjson.String && s != "" {
			x.add(&Value{Kind: URI, Text: s})
			if url, _, versioned := strings.Cut(s, "|"); versioned && typ == "canonical" {
				x.add(&Value{Kind: URI, Text: url}) // a question without version means every version
			}
		}
	case "special":
		x.position(n)
	}
}

func (x *extractor) addToken(system, code string) {
	if system != "" || code != "" {
		x.add(&Value{Kind: Token, System: system, Code: code})
	}
}

func (x *extractor) addText(s string) {
	if s != "" && x.value.Part == "" { // parts of composites take no modifiers
		x.add(&Value{Kind: String, Modifier: "text", Text: s})
	}
}

func (x *extractor) token(n *fhirjson.Node, typ string) {
	if n.Kind() != fhirjson.Object {
		x.addToken("", n.Text())
		return
	}
	switch typ {
	case "Coding":
		x.coding(n)
	case "CodeableConcept":
		x.concept(n)
	case "Identifier":
		x.identifier(n)
	case "ContactPoint":
		x.addToken(n.Get("system").Text(), n.Get("value").Text())
	case "Reference":
		x.identifier(n.Get("identifier"))
	case "Quantity", "Age", "Duration", "Count", "Distance":
		x.addToken(n.Get("system").Text(), n.Get("code").Text())
	}
}

func (x *extractor) coding(n *fhirjson.Node) {
	x.addToken(n.Get("system").Text(), n.Get("code").Text())
	x.addText(n.Get("display").Text())
}

func (x *extractor) concept(n *fhirjson.Node) {
	codings := n.Get("coding").Items()
	for i := range codings {
		x.coding(&codings[i])
	}
	x.addText(n.Get("text").Text())
}

func (x *extractor) identifier(n *fhirjson.Node) {
	system, value := n.Get("system").Text(), n.Get("value").Text()
	x.addToken(system, value)
	typ := n.Get("type")
	if typ == nil || x.value.Part != "" {
		return
	}
	codings := typ.Get("coding").Items()
	for i := range codings {
		s, c := codings[i].Get("system").Text(), codings[i].Get("code").Text()
		if value != "" && c != "" {
			x.add(&Value{Kind: Token, Modifier: "of-type", System: s, Code: c, Text: value})
		}
	}
	x.addText(typ.Get("text").Text())
}

func (x *extractor) reference(n *fhirjson.Node, typ string) {
	if n.Kind() == fhirjson.Object {
		if typ != "Reference" { // an inner resource, such as the Composition of a document Bundle
			if id := n.Get("id").Text(); id != "" && (len(x.targets) == 0 || slices.Contains(x.targets, typ)) {
				x.add(&Value{Kind: Reference, RefType: typ, RefID: id})
			}
			return
		}
		if ref := n.Get("reference").Text(); ref != "" {
			x.literal(n, ref)
		}
		if id := n.Get("identifier"); id != nil {
			s, c := id.Get("system").Text(), id.Get("value").Text()
			if s != "" || c != "" {
				x.add(&Value{Kind: Token, Modifier: "identifier", System: s, Code: c})
			}
		}
		return
	}
	if s := n.Text(); s != "" {
		if typ == "canonical" {
			url, version, _ := strings.Cut(s, "|")
			x.add(&Value{Kind: Reference, RefURL: url, RefVersion: version})
			return
		}
		x.literal(n, s)
	}
}

// literal files a reference by its text.
func (x *extractor) literal(n *fhirjson.Node, ref string) {
	v := Value{Kind: Reference}
	switch {
	case ref[0] == '#':
		v.RefType, v.RefURL = fhirpath.ReferredType(x.resource, n), ref
	case strings.Contains(ref, ":") || strings.ContainsAny(ref, "?"):
		v.RefType, v.RefURL = fhirpath.ReferredType(x.resource, n), ref
	default:
		typ, id, ok := fhir.ParseReference(ref)
		if !ok {
			v.RefType, v.RefURL = n.Get("type").Text(), ref
		} else {
			v.RefType, v.RefID = typ, id
		}
	}
	x.add(&v)
}

func (x *extractor) date(n *fhirjson.Node, typ string) {
	if low, high, ok := dateRange(n, typ); ok {
		x.add(&Value{Kind: Date, Low: low, High: high})
	}
}

// dateRange is the time that a date, dateTime, instant, Period or Timing covers. Of a Timing only the
// outer limits count.
func dateRange(n *fhirjson.Node, typ string) (low, high int64, ok bool) {
	if n.Kind() == fhirjson.String {
		return moment(n.Text())
	}
	switch typ {
	case "Period":
		low, high = always, never
		if s := n.Get("start").Text(); s != "" {
			l, _, parsed := moment(s)
			if low, ok = l, parsed; !ok {
				return 0, 0, false
			}
		}
		if s := n.Get("end").Text(); s != "" {
			_, h, parsed := moment(s)
			if high, ok = h, parsed; !ok {
				return 0, 0, false
			}
		}
		return low, high, ok
	case "Timing":
		low, high = never, always
		events := n.Get("event").Items()
		for i := range events {
			if l, h, parsed := moment(events[i].Text()); parsed {
				low, high, ok = min(low, l), max(high, h), true
			}
		}
		if bounds := n.At("repeat", "boundsPeriod"); bounds != nil {
			if l, h, parsed := dateRange(bounds, "Period"); parsed {
				low, high, ok = min(low, l), max(high, h), true
			}
		}
		return low, high, ok
	}
	return 0, 0, false
}

func (x *extractor) text(n *fhirjson.Node, typ string) {
	if n.Kind() != fhirjson.Object {
		x.addString(n.Text())
		return
	}
	switch typ {
	case "HumanName":
		x.humanName(n)
	case "Address":
		for _, name := range [...]string{"text", "line", "city", "district", "state", "postalCode", "country"} {
			x.strings(n.Get(name))
		}
	case "CodeableConcept":
		x.addString(n.Get("text").Text())
		codings := n.Get("coding").Items()
		for i := range codings {
			x.addString(codings[i].Get("display").Text())
		}
	case "Annotation":
		x.addString(n.Get("text").Text())
	}
}

// humanName files each part of a name, and the whole so that a first and last name can be typed
// together.
func (x *extractor) humanName(n *fhirjson.Node) {
	x.strings(n.Get("family"))
	x.strings(n.Get("given"))
	x.strings(n.Get("prefix"))
	x.strings(n.Get("suffix"))
	if t := n.Get("text").Text(); t != "" {
		x.addString(t)
		return
	}
	given := n.Get("given").Items()
	if family := n.Get("family").Text(); family != "" && len(given) > 0 {
		var b strings.Builder
		for i := range given {
			if g := given[i].Text(); g != "" {
				b.WriteString(g)
				b.WriteByte(' ')
			}
		}
		b.WriteString(family)
		x.addString(b.String())
	}
}

// strings files a string or every string of an array.
func (x *extractor) strings(n *fhirjson.Node) {
	if n.Kind() == fhirjson.Array {
		items := n.Items()
		for i := range items {
			x.addString(items[i].Text())
		}
		return
	}
	x.addString(n.Text())
}

func (x *extractor) addString(s string) {
	if s != "" {
		x.add(&Value{Kind: String, Text: s})
	}
}

func (x *extractor) number(n *fhirjson.Node, typ string) {
	if typ == "Range" {
		if low, high, ok := rangeOf(n); ok {
			x.add(&Value{Kind: Number, Num: finite(low, high), NumLow: low, NumHigh: high})
		}
		return
	}
	if v, _, ok := number(n.Text()); ok {
		x.add(&Value{Kind: Number, Num: v, NumLow: v, NumHigh: v})
	}
}

func rangeOf(n *fhirjson.Node) (low, high float64, ok bool) {
	low, high = math.Inf(-1), math.Inf(1)
	if v, _, parsed := number(n.At("low", "value").Text()); parsed {
		low, ok = v, true
	}
	if v, _, parsed := number(n.At("high", "value").Text()); parsed {
		high, ok = v, true
	}
	return low, high, ok && low <= high
}

// finite picks the end of an interval that stands for it: the lower, or the upper when that is open.
func finite(low, high float64) float64 {
	if math.IsInf(low, 0) {
		return high
	}
	return low
}

func (x *extractor) quantity(n *fhirjson.Node, typ string) {
	switch typ {
	case "Range":
		low, high, ok := rangeOf(n)
		if !ok {
			return
		}
		unit := n.Get("low")
		if unit == nil {
			unit = n.Get("high")
		}
		v := unitOf(unit)
		v.Num, v.NumLow, v.NumHigh = finite(low, high), low, high
		v.Base = x.base(v.System, v.Code, "0", n.At("low", "value").Text(), n.At("high", "value").Text())
		x.add(&v)
	case "Money":
		if f, _, ok := number(n.Get("value").Text()); ok {
			x.add(&Value{Kind: Quantity, System: "urn:iso:std:iso:4217", Code: n.Get("currency").Text(), Num: f, NumLow: f, NumHigh: f})
		}
	default:
		if n.Kind() != fhirjson.Object {
			x.bareQuantity(n)
			return
		}
		f, _, ok := number(n.Get("value").Text())
		if !ok {
			return
		}
		v := unitOf(n)
		v.Num, v.NumLow, v.NumHigh = f, f, f
		num := n.Get("value").Text()
		low, high := num, num
		switch n.Get("comparator").Text() {
		case "<", "<=":
			v.NumLow, low = math.Inf(-1), ""
		case ">", ">=":
			v.NumHigh, high = math.Inf(1), ""
		}
		v.Base = x.base(v.System, v.Code, num, low, high)
		x.add(&v)
	}
}

// base is canonical, remembered, since several parameters read the same element.
func (x *extractor) base(system, code, num, low, high string) Canonical {
	key := [4]string{code, num, low, high}
	if system != systemUCUM || x.lastKey == key {
		if system != systemUCUM {
			return Canonical{}
		}
		return x.lastBase
	}
	x.lastKey, x.lastBase = key, canonical(system, code, num, low, high)
	return x.lastBase
}

func (x *extractor) bareQuantity(n *fhirjson.Node) {
	if f, _, ok := number(n.Text()); ok {
		x.add(&Value{Kind: Quantity, Num: f, NumLow: f, NumHigh: f})
	}
}

func unitOf(q *fhirjson.Node) Value {
	return Value{Kind: Quantity, System: q.Get("system").Text(), Code: q.Get("code").Text(), Text: q.Get("unit").Text()}
}

func (x *extractor) position(n *fhirjson.Node) {
	lat, _, ok1 := number(n.Get("latitude").Text())
	long, _, ok2 := number(n.Get("longitude").Text())
	if ok1 && ok2 {
		x.add(&Value{Kind: Position, NumLow: lat, NumHigh: long})
	}
}
