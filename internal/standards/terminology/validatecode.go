package terminology

import (
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// Coding is a code to be judged.
type Coding struct{ System, Version, Code, Display string }

// Verdict is the answer to "does this code belong here?".
type Verdict struct {
	OK       bool
	Known    bool   // false: it cannot be told, because a code system is not here
	Message  string // why not, or a warning although OK
	Display  string // the name it should have
	System   string
	Version  string // of the code system that was asked
	Code     string
	Inactive bool
}

// Strictness of a judgement.
type Judging struct {
	Abstract        bool // headings are allowed
	DisplayLanguage string
}

// ValidateIn judges a code against its code system alone.
func (sh *Shelf) ValidateIn(c Coding, o Judging) (Verdict, error) {
	v := Verdict{System: c.System, Code: c.Code, Display: ""}
	if c.Code == "" {
		v.Known, v.Message = true, "No code was given."
		return v, nil
	}
	s, err := sh.system(c.System, c.Version)
	if err != nil && !isMissing(err) {
		return v, err
	}
	if s == nil {
		v.Message = fmt.Sprintf("The code system %s is not here, so the code %s could not be checked.", c.System, c.Code)
		if c.Version != "" {
			if other, err := sh.system(c.System, ""); err == nil && other != nil {
				v.Message = fmt.Sprintf("The version %s of %s is not here (here is %s), so the code %s could not be checked.", c.Version, c.System, first(other.Version, "one without version"), c.Code)
			}
		}
		return v, nil
	}
	v.Version, v.Known = s.Version, true
	if s.grammar != nil {
		if v.OK = s.grammar(c.Code); !v.OK {
			v.Message = fmt.Sprintf("%q is not a code of %s.", c.Code, s.said())
			if why := whyNot(s.URL, c.Code); why != "" {
				v.Message = why
			}
		}
		return v, nil
	}
	i, ok := s.Find(c.Code)
	if !ok {
		if !s.Listed() {
			v.Known = false
			v.Message = fmt.Sprintf("%s is not here in full, so the code %s could not be checked.", s.said(), c.Code)
			return v, nil
		}
		v.Message = fmt.Sprintf("The code %s is not in %s.%s", c.Code, s.said(), s.nearest(c.Code))
		return v, nil
	}
	v.OK, v.Code = true, s.Code(i)
	e := s.Entry(i)
	v.judge(c, o, e, e.Display, s)
	return v, nil
}

// ValidateInSet judges codings against a value set: one of them must belong to it.
func (sh *Shelf) ValidateInSet(set *Set, codings []Coding, o Judging) (Verdict, error) {
	v := Verdict{Known: true}
	var why []string
	for _, c := range codings {
		if c.Code == "" {
			continue
		}
		m, known := set.find(c.System, c.Version, c.Code)
		v.Known = v.Known && known
		if m == nil {
			if v.Code == "" {
				v.System, v.Code = c.System, c.Code
			}
			one := fmt.Sprintf("The code %s is not in %s.", sayCode(c), first(set.Name, set.URL, "the value set"))
			if !known {
				one = fmt.Sprintf("Whether %s is in %s cannot be told: its code system is not here in full.", sayCode(c), first(set.Name, set.URL, "the value set"))
			} else if c.System != "" {
				if in, err := sh.ValidateIn(c, o); err == nil && in.Known && !in.OK {
					one += " " + in.Message
				}
			} else if c.Version != "" {
				if other, _ := set.find(c.System, "", c.Code); other != nil {
					one += fmt.Sprintf(" It is there in version %s.", other.part.version)
				}
			}
			why = append(why, one)
			continue
		}
		out := Verdict{OK: true, Known: true, System: m.part.url, Version: m.part.version, Code: m.code, Display: m.display()}
		if m.ref >= 0 {
			e := m.part.system.Entry(m.ref)
			e.Designations = append(e.Designations, Designation{Value: e.Display})
			out.judge(c, o, e, m.display(), m.part.system)
		} else if l := m.part.loose[m.code]; l.Display != "" && c.Display != "" && !sameName(l.Display, c.Display) {
			out.Message = fmt.Sprintf("The display %q of %s is not its name %q.", c.Display, sayCode(c), l.Display)
		}
		return out, nil
	}
	if len(why) == 0 {
		why = []string{"No code was given."}
	}
	v.Message = strings.Join(why, " ")
	return v, nil
}

// judge looks at what a code that exists says besides. A name that the code does not have makes it wrong (R4 CodeSystem and
// ValueSet $validate-code, examples), where the owner's complete list is here and so all its names.
func (v *Verdict) judge(c Coding, o Judging, e Entry, display string, s *CodeSystem) {
	v.Display = display
	if name, ok := inLanguage(e.Designations, o.DisplayLanguage); ok && o.DisplayLanguage != "" {
		v.Display = name
	}
	v.Inactive = e.Inactive
	var warn []string
	if e.Abstract && !o.Abstract {
		v.OK = false
		warn = append(warn, fmt.Sprintf("The code %s is a heading and cannot be chosen; choose one below it.", e.Code))
	}
	if c.Display != "" && !sameName(c.Display, display) && !sameName(c.Display, e.Display) &&
		!slices.ContainsFunc(e.Designations, func(d Designation) bool { return sameName(d.Value, c.Display) }) {
		v.OK = v.OK && !s.Listed()
		warn = append(warn, fmt.Sprintf("The display %q is not a name of %s; its name is %q.", c.Display, e.Code, first(v.Display, e.Code)))
	}
	if e.Inactive {
		warn = append(warn, fmt.Sprintf("The code %s is inactive in %s; new records should use another.", e.Code, s.said()))
	}
	v.Message = strings.Join(warn, " ")
}

// sameName compares names without regard to case and spacing.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

func sayCode(c Coding) string {
	if c.System == "" {
		return c.Code
	}
	return c.System + "|" + c.Code
}

// nearest names the code that was probably meant.
func (s *CodeSystem) nearest(code string) string {
	for _, try := range []string{strings.ToUpper(code), strings.ToLower(code), strings.TrimSpace(code), strings.TrimLeft(code, "0")} {
		if i, ok := s.Find(try); ok && try != code {
			return fmt.Sprintf(" Perhaps %s (%s) is meant.", s.Code(i), s.Display(i))
		}
	}
	if s.URL == ICD10CM && len(code) > 3 && !strings.Contains(code, ".") {
		if i, ok := s.Find(code[:3] + "." + code[3:]); ok {
			return fmt.Sprintf(" Write it with its dot: %s (%s).", s.Code(i), s.Display(i))
		}
	}
	return ""
}

// Lookup gives everything known of a code; the Issue says whether the system or the code is missing.
func (sh *Shelf) Lookup(c Coding) (*CodeSystem, Entry, error) {
	s, err := sh.system(c.System, c.Version)
	if err != nil {
		return nil, Entry{}, err
	}
	if s == nil {
		return nil, Entry{}, noSystem(c)
	}
	if s.grammar != nil {
		if !s.grammar(c.Code) {
			return nil, Entry{}, fhir.Problem("not-found", first(whyNot(s.URL, c.Code), fmt.Sprintf("%q is not a code of %s.", c.Code, s.said())), "Check the code.")
		}
		return s, Entry{Code: c.Code, Display: nameOf(s.URL, c.Code)}, nil
	}
	i, ok := s.Find(c.Code)
	if !ok {
		return nil, Entry{}, fhir.Problem("not-found", fmt.Sprintf("The code %s is not in %s.%s", c.Code, s.said(), s.nearest(c.Code)), "Check the code, or import the release that has it.")
	}
	e := s.Entry(i)
	for _, k := range s.Children(i) {
		if len(e.Properties) > 2000 {
			break
		}
		e.Properties = append(e.Properties, Property{"child", "code", s.Code(k)})
	}
	for _, p := range s.Parents(i) {
		e.Properties = append(e.Properties, Property{"parent", "code", s.Code(p)})
	}
	return s, e, nil
}

func noSystem(c Coding) error {
	if c.Version != "" {
		return fhir.Problem("not-found", fmt.Sprintf("The code system %s is not here in version %s.", c.System, c.Version), "Import that release, or leave the version out.")
	}
	return fhir.Problem("not-found", fmt.Sprintf("The code system %s is not here.", c.System), "Import its release (yarrow import terminology), or store it as a CodeSystem.")
}

// Subsumption compares two codes of one system: equivalent, subsumes, subsumed-by or not-subsumed.
func (sh *Shelf) Subsumption(system, version, a, b string) (string, error) {
	s, err := sh.system(system, version)
	if err != nil {
		return "", err
	}
	if s == nil {
		return "", noSystem(Coding{System: system, Version: version})
	}
	if s.grammar != nil {
		for _, c := range []string{a, b} {
			if !s.grammar(c) {
				return "", fhir.Problem("not-found", fmt.Sprintf("%q is not a code of %s.", c, s.said()), "Check the code.")
			}
		}
		if a == b {
			return "equivalent", nil
		}
		return "not-subsumed", nil
	}
	var at [2]Ref
	for k, c := range []string{a, b} {
		i, ok := s.Find(c)
		if !ok {
			return "", fhir.Problem("not-found", fmt.Sprintf("The code %s is not in %s.%s", c, s.said(), s.nearest(c)), "Check the code.")
		}
		at[k] = i
	}
	switch {
	case at[0] == at[1]:
		return "equivalent", nil
	case s.Hierarchy != "" && s.Hierarchy != "is-a":
		return "not-subsumed", nil // its parents are not more general concepts
	case s.Subsumes(at[0], at[1]):
		return "subsumes", nil
	case s.Subsumes(at[1], at[0]):
		return "subsumed-by", nil
	}
	return "not-subsumed", nil
}
