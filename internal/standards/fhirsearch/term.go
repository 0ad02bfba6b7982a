package fhirsearch

import (
	"fmt"
	"math"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// split cuts s at every sep that no backslash stands before. The parts keep their escapes.
func split(s string, sep byte) []string {
	if strings.IndexByte(s, '\\') < 0 {
		return strings.Split(s, string(sep))
	}
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// unescape removes the backslashes of \, \$ \| and \\.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`,$|\`, s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Escape writes a text so that a search takes it literally.
func Escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `$`, `\$`, `|`, `\|`).Replace(s)
}

// parseTerm reads one alternative of a clause.
func parseTerm(param *Param, c Clause, raw string) (ValueTerm, *fhir.Issue) {
	if strings.TrimSpace(raw) == "" {
		return ValueTerm{}, fhir.Problem("value", fmt.Sprintf("%s has an empty value.", param.Code), "Give a value, or leave the parameter out.")
	}
	t := ValueTerm{Raw: unescape(raw)}
	switch c.Modifier {
	case "missing":
		if raw != "true" && raw != "false" {
			return t, fhir.Problem("value", param.Code+":missing takes true or false.", "Send true for resources without a value, false for those with one.")
		}
		t.Missing = raw == "true"
		return t, nil
	case "text":
		t.Text = t.Raw
		return t, nil
	case "identifier":
		issue := token(&t, param, raw)
		return t, issue
	case "of-type":
		parts := split(raw, '|')
		if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
			return t, fhir.Problem("value", param.Code+":of-type needs three parts.", "Write system|type-code|value, such as http://terminology.hl7.org/CodeSystem/v2-0203|MR|12345.")
		}
		t.System, t.Code, t.Text, t.HasSystem = unescape(parts[0]), unescape(parts[1]), unescape(parts[2]), parts[0] != ""
		return t, nil
	case "in", "not-in":
		t.Text = t.Raw
		return t, nil
	}
	issue := parsePlain(&t, param, c, raw)
	return t, issue
}

// parsePlain reads a value by the parameter's type.
func parsePlain(t *ValueTerm, param *Param, c Clause, raw string) *fhir.Issue {
	switch param.Type {
	case "token":
		return token(t, param, raw)
	case "reference":
		return reference(t, param, c, raw)
	case "date":
		return date(t, param)
	case "number":
		return numeric(t, param, t.Raw)
	case "quantity":
		return quantity(t, param, raw)
	case "composite":
		return composite(t, param, raw)
	case "special":
		if param.Code == "near" {
			return near(t, raw)
		}
	}
	t.Text = t.Raw
	return nil
}

func token(t *ValueTerm, param *Param, raw string) *fhir.Issue {
	parts := split(raw, '|')
	switch len(parts) {
	case 1:
		t.Code = unescape(raw)
	case 2:
		t.System, t.Code, t.HasSystem = unescape(parts[0]), unescape(parts[1]), true
		if t.System == "" && t.Code == "" {
			return fhir.Problem("value", param.Code+" has neither system nor code.", "Write code, system|code, |code or system|.")
		}
		if param.plainCode && t.Code != "" {
			t.System, t.HasSystem = "", false // the element's value set fixes the system
		}
	default:
		return fhir.Problem("value", param.Code+" has more than one |.", `Write system|code, and \| for a | inside a code.`)
	}
	return nil
}

func reference(t *ValueTerm, param *Param, c Clause, raw string) *fhir.Issue {
	s := t.Raw
	if strings.Contains(s, "://") || strings.HasPrefix(s, "urn:") {
		parts := split(raw, '|')
		t.RefURL = unescape(parts[0])
		if len(parts) == 2 {
			t.RefVersion = unescape(parts[1])
		}
		return nil
	}
	if typ, id, ok := fhir.ParseReference(s); ok {
		t.RefType, t.RefID = typ, id
		return nil
	}
	if !isID(s) {
		return fhir.Problem("value", param.Code+" is not a reference.", "Write Type/id, an id, or a URL.")
	}
	t.RefID = s
	switch {
	case c.OnlyType != "":
		t.RefType = c.OnlyType
	case len(param.Targets) == 1:
		t.RefType = param.Targets[0]
	}
	return nil
}

func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// splitPrefix takes the comparison off a value.
func splitPrefix(s string) (p, rest string) {
	if len(s) > 2 && 'a' <= s[0] && s[0] <= 'z' {
		switch s[:2] {
		case "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap":
			return s[:2], s[2:]
		}
	}
	return "eq", s
}

func date(t *ValueTerm, param *Param) *fhir.Issue {
	p, s := splitPrefix(t.Raw)
	// A "+" that was not percent-encoded arrives as a space.
	if len(s) > 10 {
		s = s[:10] + strings.ReplaceAll(s[10:], " ", "+")
	}
	low, high, ok := moment(s)
	if !ok {
		return fhir.Problem("value", param.Code+" is not a date.", "Write year, year-month, year-month-day or a time with its offset, such as 2024-05 or 2024-05-01T09:30:00Z, after one of eq, ne, gt, lt, ge, le, sa, eb, ap or nothing.")
	}
	t.Prefix = p
	t.Low, t.High = low, high
	if p == "ap" { // as far again on each side, at least a day
		margin := max(high-low, day)
		t.Low, t.High = low-margin, high+margin
	}
	return nil
}

func numeric(t *ValueTerm, param *Param, s string) *fhir.Issue {
	p, s := splitPrefix(s)
	v, half, ok := number(s)
	low, high, within := interval(s)
	if !ok || !within {
		return fhir.Problem("value", param.Code+" is not a number.", "Write a decimal such as 5.4, after one of eq, ne, gt, lt, ge, le, sa, eb, ap or nothing.")
	}
	t.Prefix, t.Num = p, v
	t.NumLow, t.NumHigh = low, high
	if p == "ap" {
		margin := max(math.Abs(v)/10, half)
		t.NumLow, t.NumHigh = v-margin, v+margin
	}
	return nil
}

func quantity(t *ValueTerm, param *Param, raw string) *fhir.Issue {
	parts := split(raw, '|')
	if issue := numeric(t, param, unescape(parts[0])); issue != nil {
		return issue
	}
	switch len(parts) {
	case 1:
	case 3:
		t.System, t.Code, t.HasSystem = unescape(parts[1]), unescape(parts[2]), parts[1] != ""
		if t.HasSystem && t.Code == "" {
			return fhir.Problem("value", param.Code+" has a unit system but no unit.", "Write number|system|code or number||unit.")
		}
		_, num := splitPrefix(unescape(parts[0]))
		if t.HasSystem {
			t.Base = canonical(t.System, t.Code, num, plainDecimal(t.NumLow), plainDecimal(t.NumHigh))
		}
	default:
		return fhir.Problem("value", param.Code+" has an incomplete unit.", "Write number|system|code, number||unit or the number alone.")
	}
	return nil
}

func composite(t *ValueTerm, param *Param, raw string) *fhir.Issue {
	parts := split(raw, '$')
	if len(parts) != len(param.Components) {
		var names []string
		for _, c := range param.Components {
			names = append(names, c.Code)
		}
		return fhir.Problem("value", fmt.Sprintf("%s needs %d parts.", param.Code, len(names)), "Write "+strings.Join(names, "$")+".")
	}
	for i, c := range param.Components {
		part, issue := parseTerm(c, Clause{Param: c.Code, Type: c.Type}, parts[i])
		if issue != nil {
			return issue
		}
		t.Parts = append(t.Parts, part)
	}
	return nil
}

// near reads latitude|longitude|distance|units of Location.near: the position goes to NumLow and NumHigh,
// the distance in kilometres to Num.
func near(t *ValueTerm, raw string) *fhir.Issue {
	parts := split(raw, '|')
	bad := fhir.Problem("value", "near is not a position.", "Write latitude|longitude|distance|km (or mi), such as 42.36|-71.06|10|km.")
	if len(parts) < 2 || len(parts) > 4 {
		return bad
	}
	lat, _, ok1 := number(parts[0])
	long, _, ok2 := number(parts[1])
	if !ok1 || !ok2 || math.Abs(lat) > 90 || math.Abs(long) > 180 {
		return bad
	}
	t.NumLow, t.NumHigh, t.Num = lat, long, 25
	if len(parts) > 2 {
		d, _, ok := number(parts[2])
		if !ok || d < 0 {
			return bad
		}
		t.Num = d
	}
	if len(parts) == 4 {
		switch strings.ToLower(strings.Trim(parts[3], "[]")) {
		case "km", "":
		case "mi", "mi_i", "mi_us":
			t.Num *= 1.609344
		case "m":
			t.Num /= 1000
		default:
			return bad
		}
	}
	return nil
}
