package profile

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// Facts are definitions in Yarrow's compact form: tab-separated lines, one definition (D), element (E) or invariant (R)
// each. Texts for people are left out.

var errFacts = errors.New("profile: not the compact form of definitions")

// AppendFacts writes definitions in the compact form.
func AppendFacts(dst []byte, defs []*Definition) []byte {
	for _, d := range defs {
		flags := ""
		for _, f := range []struct {
			on   bool
			flag string
		}{{d.Specialization, "s"}, {d.Abstract, "a"}, {d.Whole, "w"}} {
			if f.on {
				flags += f.flag
			}
		}
		var contexts []string
		for _, c := range d.Contexts {
			contexts = append(contexts, c.Kind+" "+c.Expression)
		}
		dst = appendRow(dst, "D", d.URL, d.Version, d.Name, d.Type, d.Base, flags, strings.Join(contexts, ";"))
		for i := range d.Elements {
			dst = appendElement(dst, &d.Elements[i])
		}
	}
	return dst
}

func appendRow(dst []byte, fields ...string) []byte {
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = append(dst, f...)
	}
	return append(dst, '\n')
}

func appendElement(dst []byte, e *Element) []byte {
	flags := ""
	if e.Must {
		flags += "m"
	}
	if e.Modifier {
		flags += "!"
	}
	var types, bindings []string
	for _, t := range e.Types {
		types = append(types, typeText(t))
	}
	for _, b := range e.Bindings {
		bindings = append(bindings, b.Strength+" "+b.ValueSet)
	}
	length := ""
	if e.MaxLength > 0 {
		length = strconv.Itoa(e.MaxLength)
	}
	dst = appendRow(dst, "E", e.ID, countText(e.Min), countText(e.Max), strings.Join(types, ";"), valueText(e.Fixed), valueText(e.Pattern),
		valueText(e.MinValue), valueText(e.MaxValue), length, strings.Join(bindings, ";"), slicingText(e.Slicing), flags, e.Content)
	for _, r := range e.Rules {
		severity := ""
		if r.Warning {
			severity = "w"
		}
		dst = appendRow(dst, "R", r.Key, severity, strings.Join(strings.Fields(r.FHIRPath), " "))
	}
	return dst
}

func countText(n int) string {
	switch n {
	case Unset:
		return ""
	case Many:
		return "*"
	}
	return strconv.Itoa(n)
}

func typeText(t Type) string {
	parts := []string{t.Code}
	for _, x := range []struct {
		mark string
		list []string
	}{{"p=", t.Profiles}, {"t=", t.Targets}, {"a=", t.Aggregation}} {
		for _, s := range x.list {
			parts = append(parts, x.mark+s)
		}
	}
	if t.Versioning != "" {
		parts = append(parts, "v="+t.Versioning)
	}
	return strings.Join(parts, " ")
}

func valueText(v *Value) string {
	if v == nil {
		return ""
	}
	return v.Type + " " + string(v.Node.AppendJSON(nil))
}

func slicingText(s *Slicing) string {
	if s == nil {
		return ""
	}
	text := s.Rules
	if s.Ordered {
		text += " ordered"
	}
	for _, d := range s.By {
		text += " " + d.Kind + ":" + d.Path
	}
	return text
}

// ReadFacts reads the compact form.
func ReadFacts(r io.Reader) ([]*Definition, error) {
	var defs []*Definition
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		switch {
		case f[0] == "D" && len(f) == 8:
			d := &Definition{URL: f[1], Version: f[2], Name: f[3], Type: f[4], Base: f[5], Specialization: strings.Contains(f[6], "s"),
				Abstract: strings.Contains(f[6], "a"), Whole: strings.Contains(f[6], "w")}
			for c := range splitSeq(f[7]) {
				kind, expression, _ := strings.Cut(c, " ")
				d.Contexts = append(d.Contexts, Context{kind, expression})
			}
			defs = append(defs, d)
		case f[0] == "E" && len(f) == 14 && len(defs) > 0:
			e, err := factElement(f)
			if err != nil {
				return nil, err
			}
			d := defs[len(defs)-1]
			d.Elements = append(d.Elements, e)
		case f[0] == "R" && len(f) == 4 && len(defs) > 0 && len(defs[len(defs)-1].Elements) > 0:
			es := defs[len(defs)-1].Elements
			e := &es[len(es)-1]
			e.Rules = append(e.Rules, Rule{Key: f[1], Warning: f[2] == "w", FHIRPath: f[3]})
		default:
			return nil, errFacts
		}
	}
	return defs, lines.Err()
}

// splitSeq yields the parts of a list; an empty text has none.
func splitSeq(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if s == "" {
			return
		}
		for part := range strings.SplitSeq(s, ";") {
			if !yield(part) {
				return
			}
		}
	}
}

func factElement(f []string) (Element, error) {
	e := Element{ID: f[1], Min: readCount(f[2]), Max: readCount(f[3]), Must: strings.Contains(f[12], "m"), Modifier: strings.Contains(f[12], "!"), Content: f[13]}
	for t := range splitSeq(f[4]) {
		e.Types = append(e.Types, factType(t))
	}
	for i, v := range []**Value{&e.Fixed, &e.Pattern, &e.MinValue, &e.MaxValue} {
		typ, text, ok := strings.Cut(f[5+i], " ")
		if !ok {
			continue
		}
		n, err := fhirjson.Parse([]byte(text), fhirjson.Limits{})
		if err != nil {
			return e, err
		}
		*v = &Value{typ, n}
	}
	e.MaxLength, _ = strconv.Atoi(f[9])
	for b := range splitSeq(f[10]) {
		strength, vs, _ := strings.Cut(b, " ")
		e.Bindings = append(e.Bindings, Binding{Strength: strength, ValueSet: vs})
	}
	if f[11] != "" {
		e.Slicing = &Slicing{}
		for i, part := range strings.Split(f[11], " ") {
			switch kind, path, ok := strings.Cut(part, ":"); {
			case i == 0:
				e.Slicing.Rules = part
			case ok:
				e.Slicing.By = append(e.Slicing.By, Discriminator{kind, path})
			default:
				e.Slicing.Ordered = true
			}
		}
	}
	return e, nil
}

func readCount(s string) int {
	switch s {
	case "":
		return Unset
	case "*":
		return Many
	}
	n, _ := strconv.Atoi(s)
	return n
}

func factType(s string) Type {
	parts := strings.Split(s, " ")
	t := Type{Code: parts[0]}
	for _, p := range parts[1:] {
		mark, x, _ := strings.Cut(p, "=")
		switch mark {
		case "p":
			t.Profiles = append(t.Profiles, x)
		case "t":
			t.Targets = append(t.Targets, x)
		case "a":
			t.Aggregation = append(t.Aggregation, x)
		case "v":
			t.Versioning = x
		}
	}
	return t
}
