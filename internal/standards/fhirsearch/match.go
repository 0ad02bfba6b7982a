package fhirsearch

import (
	"math"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// Match reports whether a resource answers a clause, exactly and slowly: it extracts the parameter anew.
// A store uses it to check what its index found, and tests use it as the reference.
//
// One resource cannot tell everything. _has and _list hold as far as Match knows. A chain holds when the
// reference leads to one of the types asked for; only targets contained in the resource are followed. A
// clause that NeedsTerminology never holds.
func Match(n *fhirjson.Node, c Clause) bool {
	if c.Has != nil || c.Param == "_list" {
		return true
	}
	if c.Filter != nil {
		return c.Filter.holds(n)
	}
	if c.NeedsTerminology() {
		return false
	}
	if c.Param == "_text" || c.Param == "_content" {
		return matchWords(n, c)
	}
	p := Lookup(n.Get("resourceType").Text(), c.Param)
	if p == nil {
		return false
	}
	values := extractParam(p, n)
	if c.OnlyType != "" {
		values = slices.DeleteFunc(values, func(v Value) bool { return v.Kind == Reference && v.RefType != c.OnlyType })
	}
	if len(c.Chain) > 0 {
		return matchChain(n, values, c)
	}
	switch c.Modifier {
	case "missing":
		return slices.ContainsFunc(c.Values, func(t ValueTerm) bool { return t.Missing == (len(values) == 0) })
	case otherValue:
		return slices.ContainsFunc(values, func(v Value) bool { return v.Modifier == "" && !matchEqual(&v, &c.Values[0]) })
	case "not":
		plain := c
		plain.Modifier = ""
		return !matchAny(p, values, plain)
	}
	return matchAny(p, values, c)
}

func matchAny(p *Param, values []Value, c Clause) bool {
	for i := range c.Values {
		if p.Type == "composite" {
			if matchComposite(p, values, &c.Values[i]) {
				return true
			}
			continue
		}
		for j := range values {
			if matchValue(&values[j], &c.Values[i], c.Modifier) {
				return true
			}
		}
	}
	return false
}

// matchComposite needs one group whose every part matches.
func matchComposite(p *Param, values []Value, t *ValueTerm) bool {
	if len(t.Parts) != len(p.Components) {
		return false
	}
	groups := 0
	for i := range values {
		groups = max(groups, values[i].Group)
	}
group:
	for g := 1; g <= groups; g++ {
		for i, part := range p.Components {
			if !slices.ContainsFunc(values, func(v Value) bool {
				return v.Group == g && v.Part == part.Code && matchValue(&v, &t.Parts[i], "")
			}) {
				continue group
			}
		}
		return true
	}
	return false
}

// matchValue compares one value with one term.
func matchValue(v *Value, t *ValueTerm, modifier string) bool {
	switch modifier {
	case "text", "of-type", "identifier":
		if v.Modifier != modifier {
			return false
		}
	default:
		if v.Modifier != "" {
			return false
		}
	}
	switch modifier {
	case "text":
		return wordsMatch(v.Text, t.Text)
	case "of-type":
		return matchToken(v, t) && v.Text == t.Text
	}
	switch v.Kind {
	case Token:
		return matchToken(v, t)
	case Reference:
		return matchReference(v, t)
	case URI:
		return matchURI(v.Text, t.Text, modifier)
	case String:
		return matchString(v.Text, t.Text, modifier)
	case Date:
		return matchDate(v, t)
	case Number:
		return matchNumber(v, t)
	case Quantity:
		if t.Base.Dim != "" && v.Base.Dim == t.Base.Dim {
			return compare(v.Base.Low, v.Base.High, t.Prefix, t.Base.Num, t.Base.Low, t.Base.High)
		}
		return matchUnit(v, t) && matchNumber(v, t)
	case Position:
		return kilometres(v.NumLow, v.NumHigh, t.NumLow, t.NumHigh) <= t.Num
	}
	return false
}

// matchEqual is matchValue for _filter's ne, in which strings are compared whole.
func matchEqual(v *Value, t *ValueTerm) bool {
	modifier := ""
	if v.Kind == String {
		modifier = equalText
	}
	return matchValue(v, t, modifier)
}

func matchToken(v *Value, t *ValueTerm) bool {
	if t.HasSystem && v.System != t.System {
		return false
	}
	return t.Code == "" && t.HasSystem || v.Code == t.Code
}

func matchReference(v *Value, t *ValueTerm) bool {
	if t.RefURL != "" {
		return v.RefURL == t.RefURL && (t.RefVersion == "" || v.RefVersion == t.RefVersion)
	}
	return t.RefID != "" && v.RefID == t.RefID && (t.RefType == "" || v.RefType == t.RefType)
}

func matchURI(value, term, modifier string) bool {
	under := func(s, root string) bool {
		root = strings.TrimSuffix(root, "/")
		return s == root || strings.HasPrefix(s, root) && strings.HasPrefix(s[len(root):], "/")
	}
	switch modifier {
	case "below":
		return under(value, term)
	case "above":
		return under(term, value)
	}
	return value == term
}

func matchString(value, term, modifier string) bool {
	switch modifier {
	case "exact":
		return value == term
	case "contains":
		return strings.Contains(Fold(value), Fold(term))
	case equalText:
		return Fold(value) == Fold(term)
	case endsText:
		return strings.HasSuffix(Fold(value), Fold(term))
	}
	return strings.HasPrefix(Fold(value), Fold(term))
}

// wordsMatch reports whether every word of the term begins a word of the text.
func wordsMatch(text, term string) bool {
	words := Words(text)
	asked := Words(term)
	for _, w := range asked {
		if !slices.ContainsFunc(words, func(s string) bool { return strings.HasPrefix(s, w) }) {
			return false
		}
	}
	return len(asked) > 0
}

// matchDate compares intervals as the R4 table of prefixes says.
func matchDate(v *Value, t *ValueTerm) bool {
	inside := t.Low <= v.Low && v.High <= t.High
	switch t.Prefix {
	case "ne":
		return !inside
	case "gt":
		return v.High > t.High
	case "lt":
		return v.Low < t.Low
	case "ge":
		return inside || v.High > t.High
	case "le":
		return inside || v.Low < t.Low
	case "sa":
		return v.Low >= t.High
	case "eb":
		return v.High <= t.Low
	case "ap":
		return v.Low < t.High && t.Low < v.High
	}
	return inside
}

func matchNumber(v *Value, t *ValueTerm) bool {
	return compare(v.NumLow, v.NumHigh, t.Prefix, t.Num, t.NumLow, t.NumHigh)
}

// compare holds a stored interval against a number asked for, whose digits mean [tLow, tHigh).
func compare(low, high float64, prefix string, num, tLow, tHigh float64) bool {
	inside := tLow <= low && (high < tHigh || high == num)
	switch prefix {
	case "ne":
		return !inside
	case "gt":
		return high > num
	case "lt":
		return low < num
	case "ge":
		return high >= num
	case "le":
		return low <= num
	case "sa":
		return low > num
	case "eb":
		return high < num
	case "ap":
		return low <= tHigh && tLow <= high
	}
	return inside
}

// matchUnit compares units: system and code when the term has a system, else code or unit text.
func matchUnit(v *Value, t *ValueTerm) bool {
	switch {
	case t.HasSystem:
		return v.System == t.System && v.Code == t.Code
	case t.Code != "":
		return v.Code == t.Code || v.Text == t.Code
	}
	return true
}

// matchChain follows references as far as one resource allows.
func matchChain(n *fhirjson.Node, values []Value, c Clause) bool {
	for i := range values {
		v := &values[i]
		if v.Kind != Reference || v.Modifier != "" {
			continue
		}
		for _, link := range c.Chain {
			if id, ok := strings.CutPrefix(v.RefURL, "#"); ok {
				if inner := fhirpath.Contained(n, id); v.RefType == link.Target && inner != nil && Match(inner, *link.Clause) {
					return true
				}
			} else if v.RefType == link.Target || v.RefType == "" {
				return true
			}
		}
	}
	return false
}

// matchWords answers _text (the narrative) and _content (everything): every word must begin a word there.
func matchWords(n *fhirjson.Node, c Clause) bool {
	if c.Param == "_text" {
		n = n.At("text", "div")
	}
	var b strings.Builder
	gather(&b, n)
	text := b.String()
	return slices.ContainsFunc(c.Values, func(t ValueTerm) bool { return wordsMatch(text, t.Text) })
}

// gather joins all texts below n, tags left out.
func gather(b *strings.Builder, n *fhirjson.Node) {
	switch n.Kind() {
	case fhirjson.String:
		b.WriteString(stripTags(n.Text()))
		b.WriteByte(' ')
	case fhirjson.Array:
		items := n.Items()
		for i := range items {
			gather(b, &items[i])
		}
	case fhirjson.Object:
		members := n.Members()
		for i := range members {
			gather(b, &members[i].Value)
		}
	}
}

func stripTags(s string) string {
	if strings.IndexByte(s, '<') < 0 {
		return s
	}
	var b strings.Builder
	inside := false
	for _, r := range s {
		switch {
		case r == '<':
			inside = true
			b.WriteByte(' ')
		case r == '>':
			inside = false
		case !inside:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// kilometres is the distance of two positions in degrees over a sphere.
func kilometres(lat1, long1, lat2, long2 float64) float64 {
	const radius, rad = 6371.0088, math.Pi / 180
	dLat, dLong := (lat2-lat1)*rad, (long2-long1)*rad
	a := math.Pow(math.Sin(dLat/2), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin(dLong/2), 2)
	return 2 * radius * math.Asin(math.Min(1, math.Sqrt(a)))
}
