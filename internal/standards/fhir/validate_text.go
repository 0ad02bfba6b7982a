package fhir

import (
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

func itoa(n int) string { return strconv.Itoa(n) }

// report adds an error about n at the current path.
func (v *validator) report(n *fhirjson.Node, code, text, fix string) {
	v.add(n, Issue{Severity: "error", Code: code, Text: text, Fix: fix})
}

func (v *validator) warn(n *fhirjson.Node, code, text, fix string) {
	v.add(n, Issue{Severity: "warning", Code: code, Text: text, Fix: fix})
}

func (v *validator) add(n *fhirjson.Node, i Issue) {
	if v.full {
		return
	}
	if len(v.issues) == maxIssues {
		v.full = true
		i = Issue{Severity: "error", Code: "too-costly", Text: "There are more faults than the " + itoa(maxIssues) + " shown.", Fix: "Correct these first, then check again."}
		n = nil
	} else {
		i.Path = v.place()
	}
	i.offset = n.Offset()
	v.issues = append(v.issues, i)
}

// place writes the current path: Patient.name[1].given[0].
func (v *validator) place() string {
	var b []byte
	for i, s := range v.path {
		if i > 0 {
			b = append(b, '.')
		}
		b = append(b, s.name...)
		if s.index >= 0 {
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(s.index), 10)
			b = append(b, ']')
		}
	}
	return string(b)
}

func (v *validator) notObject(n *fhirjson.Node, in *slot) {
	what := "An object"
	if in != nil && in.typ != "BackboneElement" {
		what = "A value of type " + in.typ
	}
	v.report(n, "structure", what+" belongs here, not "+n.Kind().String()+".", "Write an object { … }.")
}

func (v *validator) notArray(n *fhirjson.Node) {
	v.report(n, "structure", "This element can repeat, so it is always an array, even with one value.", "Put the value into [ ].")
}

func (v *validator) wrongKind(n *fhirjson.Node, sl *slot) {
	v.report(n, "structure", "The type "+sl.typ+" is written as "+sl.prim.json().String()+", not "+n.Kind().String()+".", sl.prim.remedy())
}

// missing reports a required element.
func (v *validator) missing(n *fhirjson.Node, s *shape, part int) {
	p := &s.parts[part]
	v.push(p.name, -1)
	defer v.pop()
	if !p.choice {
		v.report(n, "required", `The element "`+p.name+`" is required.`, "Add it.")
		return
	}
	v.report(n, "required", `The element "`+p.name+`[x]" is required.`, "Add one of "+orList(s.choices(part))+".")
}

func (s *shape) choices(part int) []string {
	var names []string
	for name, sl := range s.slots {
		if sl.part == part {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// twoChoices reports sl if another choice of the same element came before it.
// A primitive and its "_" sibling are one choice.
func (v *validator) twoChoices(n *fhirjson.Node, s *shape, sl *slot) {
	for i := range n.Members() {
		name := strings.TrimPrefix(n.Members()[i].Name, "_")
		other := s.slots[name]
		if other != nil && other.part == sl.part && other != sl {
			v.push(sl.name, -1)
			v.report(n, "structure", other.json+" and "+sl.json+" stand side by side, but only one type of "+sl.name+"[x] is allowed.", "Keep one of them.")
			v.pop()
			return
		}
	}
}

// unknown reports a member that is no element and names the one that may be
// meant.
func (v *validator) unknown(n *fhirjson.Node, s *shape, name string) {
	if len(v.issues) > maxIssues { // nothing more is told, so nothing is looked for
		return
	}
	shown := safeName(name)
	fix := "Remove it, or carry it in an extension."
	bare := strings.TrimPrefix(name, "_")
	if strings.HasPrefix(name, "_") && s.slots[bare] == nil && bare != "" {
		name = bare
	}
	if right := s.like(name); right != "" {
		switch {
		case s.slots[right] == nil:
			fix = "Write one of " + orList(s.choicesOf(right)) + ": the name of a choice tells its type."
		case strings.EqualFold(right, name):
			fix = `Write "` + right + `": names are case-sensitive.`
		default:
			fix = `Write "` + right + `".`
		}
	}
	v.push(shown, -1)
	v.report(n, "structure", `There is no element "`+shown+`" in `+s.name+`.`, fix)
	v.pop()
}

func (s *shape) choicesOf(name string) []string {
	for i := range s.parts {
		if s.parts[i].name == name {
			return s.choices(i)
		}
	}
	return nil
}

// like finds the element that a wrong name most probably means: the same in
// another case, a choice without its type, or a small slip.
func (s *shape) like(name string) string {
	for right := range s.slots {
		if strings.EqualFold(right, name) {
			return right
		}
	}
	for i := range s.parts {
		if s.parts[i].choice && s.parts[i].name == name {
			return name
		}
	}
	best, distance := "", 3
	for right := range s.slots {
		if d := Edits(name, right, distance); d < distance && d < len(right)/2 || d == distance && right < best && best != "" {
			best, distance = right, d
		}
	}
	return best
}

func nearestType(name string) string {
	best, distance := "", 4
	for _, t := range resourceTypes() {
		if strings.EqualFold(t, name) {
			return `Write "` + t + `": names are case-sensitive.`
		}
		if d := Edits(name, t, distance); d < distance {
			best, distance = t, d
		}
	}
	if best != "" {
		return `Write "` + best + `" if that is meant.`
	}
	return "Use one of the 146 resource types of R4."
}

// safeName keeps a member name fit for a path and a log: names are not
// patient data, but anything can be sent as one.
func safeName(name string) string {
	if len(name) > 40 {
		return "…"
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return "…"
		}
	}
	return name
}
