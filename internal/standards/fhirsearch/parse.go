package fhirsearch

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// maxDepth bounds chains and _has: a.b.c.name=x has three links.
const maxDepth = 3

// maxAlternatives bounds the targets that one chain may try, over all its links.
const maxAlternatives = 60

// maxClauses and maxValues bound a query.
const (
	maxClauses  = 100
	maxValues   = 1000
	maxIncludes = 40
	maxSort     = 10
	maxElements = 200
)

// ParseQuery reads the parameters of a search on resourceType, as decoded from a URL or form: each value
// of a name is a clause of its own. What cannot be understood is left out of the Query and reported:
// code "not-supported" for parameters and modifiers that do not exist (which a caller with
// Prefer: handling=lenient may overlook), "value" and "too-costly" for the rest. Texts of issues never
// repeat the values, which may be patient data.
func ParseQuery(resourceType string, q map[string][]string) (Query, fhir.Issues) {
	p := &queryParser{q: Query{Type: resourceType}}
	if !fhir.IsResourceType(resourceType) {
		p.report("", fhir.Problem("not-supported", fmt.Sprintf("%q is not a resource type of FHIR R4.", resourceType), nearestType(resourceType)))
		return p.q, p.issues
	}
	names := make([]string, 0, len(q))
	for name := range q {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, value := range q[name] {
			if len(p.q.Clauses) >= maxClauses {
				p.report(name, fhir.Problem("too-costly", "The search has too many conditions.", fmt.Sprintf("Send at most %d.", maxClauses)))
				return p.q, p.issues
			}
			p.parameter(name, value)
		}
	}
	return p.q, p.issues
}

// ParseTypes reads a search over several types (GET [base]?_type=…): one Query for each. Without _type these are all types,
// and only parameters that every type has are understood. The issues are those of the first type that has any.
func ParseTypes(q map[string][]string) ([]Query, fhir.Issues) {
	var types []string
	for _, list := range q["_type"] {
		for typ := range strings.SplitSeq(list, ",") {
			if typ = strings.TrimSpace(typ); !slices.Contains(types, typ) {
				types = append(types, typ)
			}
		}
	}
	if len(types) == 0 {
		types = fhir.ResourceTypes()
	}
	form := make(map[string][]string, len(q))
	for name, values := range q {
		if name != "_type" {
			form[name] = values
		}
	}
	out := make([]Query, 0, len(types))
	var first fhir.Issues
	for _, typ := range types {
		one, issues := ParseQuery(typ, form)
		if first == nil {
			first = issues
		}
		if fhir.IsResourceType(typ) {
			out = append(out, one)
		}
	}
	return out, first
}

type queryParser struct {
	q            Query
	issues       fhir.Issues
	alternatives int
}

func (p *queryParser) report(name string, i *fhir.Issue) {
	if i == nil {
		return
	}
	if name != "" {
		i.Path = "http." + name[:min(len(name), 100)]
	}
	p.issues = append(p.issues, *i)
}

// parameter reads one name=value.
func (p *queryParser) parameter(name, value string) {
	base, modifier, _ := strings.Cut(name, ":")
	switch base {
	case "_include", "_revinclude":
		p.report(name, p.include(base == "_revinclude", modifier, value))
	case "_sort":
		p.report(name, p.sort(value))
	case "_count":
		n, err := strconv.Atoi(value)
		switch {
		case err != nil || n < 0:
			p.report(name, fhir.Problem("value", "_count is not a whole number.", "Send a number of resources per page, such as _count=50."))
		case n == 0:
			p.q.Summary = "count"
		default:
			p.q.Count = n
		}
	case "_total":
		p.report(name, oneOf(&p.q.Total, name, value, "none", "estimate", "accurate"))
	case "_summary":
		p.report(name, oneOf(&p.q.Summary, name, value, "true", "text", "data", "count", "false"))
	case "_elements":
		p.report(name, p.elements(value))
	case "_page":
		p.q.Page = value
	case "_format":
		p.q.Format = value
	case "_pretty":
		p.q.Pretty = value == "true"
	case "_contained", "_containedType":
		if name == "_containedType" || value != "false" {
			p.report(name, fhir.Problem("not-supported", "Contained resources cannot be searched on their own.", "Leave _contained out or send _contained=false."))
		}
	default:
		c, issue := p.clause(p.q.Type, name, value, 0)
		if issue != nil {
			p.report(name, issue)
			return
		}
		p.q.Clauses = append(p.q.Clauses, c)
	}
}

func oneOf(into *string, name, value string, allowed ...string) *fhir.Issue {
	if !slices.Contains(allowed, value) {
		return fhir.Problem("value", name+" has a value it does not know.", "Use one of: "+strings.Join(allowed, ", ")+".")
	}
	*into = value
	return nil
}

// ElementOf says whether _elements may name this element of a type: one of the top level, of value[x] as value or as valueQuantity.
func ElementOf(typ, name string) *fhir.Issue {
	def := fhir.Definition(typ)
	if !strings.Contains(name, ".") && (def.Named(name) != nil || def.Named(name+"[x]") != nil) {
		return nil
	}
	var names []string
	for i := range def.Elements {
		if n := strings.TrimSuffix(def.Elements[i].Path[len(typ)+1:], "[x]"); !strings.Contains(n, ".") {
			names = append(names, n)
		}
	}
	fix := "List elements of the resource's top level in _elements, such as _elements=id,meta."
	if near := nearest(name, names); len(near) > 0 {
		fix = "Did you mean " + strings.Join(near, " or ") + "? " + fix
	}
	return fhir.Problem("value", fmt.Sprintf("%s has no element %q.", typ, name[:min(len(name), 64)]), fix)
}

func (p *queryParser) elements(value string) *fhir.Issue {
	for name := range strings.SplitSeq(value, ",") {
		if len(p.q.Elements) >= maxElements {
			return fhir.Problem("too-costly", "_elements names too many elements.", fmt.Sprintf("Name at most %d.", maxElements))
		}
		name = strings.TrimPrefix(strings.TrimSpace(name), p.q.Type+".")
		if issue := ElementOf(p.q.Type, name); issue != nil {
			return issue
		}
		p.q.Elements = append(p.q.Elements, name)
	}
	return nil
}

func (p *queryParser) sort(value string) *fhir.Issue {
	for _, key := range strings.Split(value, ",") {
		if len(p.q.Sort) >= maxSort {
			return fhir.Problem("too-costly", "The search sorts by too many parameters.", fmt.Sprintf("Sort by at most %d.", maxSort))
		}
		code, down := strings.CutPrefix(strings.TrimSpace(key), "-")
		param := Lookup(p.q.Type, code)
		if param == nil {
			return unknownParam(p.q.Type, code)
		}
		if param.Type == "composite" || param.Type == "special" || param.plan == nil {
			return fhir.Problem("not-supported", fmt.Sprintf("Results cannot be sorted by %s.", code), "Sort by a date, string, token, number, quantity, reference or uri parameter.")
		}
		p.q.Sort = append(p.q.Sort, Sort{Param: param.Canonical, Type: param.Type, Desc: down})
	}
	return nil
}

func (p *queryParser) include(reverse bool, modifier, value string) *fhir.Issue {
	in := Include{Iterate: modifier == "iterate" || modifier == "recurse"}
	if modifier != "" && !in.Iterate {
		return fhir.Problem("not-supported", fmt.Sprintf("%q is not a modifier of includes.", modifier), "Use :iterate or none.")
	}
	const form = "Write Type:parameter or Type:parameter:TargetType, such as Observation:subject:Patient."
	parts := strings.Split(value, ":")
	if value == "*" && !reverse {
		parts = []string{p.q.Type, "*"}
	}
	if len(parts) < 2 || len(parts) > 3 {
		return fhir.Problem("value", "The include is not of the form Type:parameter.", form)
	}
	in.Source, in.Param = parts[0], parts[1]
	if !fhir.IsResourceType(in.Source) {
		return fhir.Problem("not-supported", fmt.Sprintf("%q is not a resource type of FHIR R4.", in.Source), nearestType(in.Source))
	}
	if in.Param != "*" {
		param := Lookup(in.Source, in.Param)
		if param == nil {
			return unknownParam(in.Source, in.Param)
		}
		if param.Type != "reference" {
			return fhir.Problem("value", fmt.Sprintf("%s of %s is not a reference.", in.Param, in.Source), form)
		}
		in.Param, in.Target = param.Canonical, param.OnlyType
	}
	if len(parts) == 3 {
		if !fhir.IsResourceType(parts[2]) {
			return fhir.Problem("not-supported", fmt.Sprintf("%q is not a resource type of FHIR R4.", parts[2]), nearestType(parts[2]))
		}
		in.Target = parts[2]
	}
	if len(p.q.Include)+len(p.q.RevInclude) >= maxIncludes {
		return fhir.Problem("too-costly", "The search includes along too many references.", fmt.Sprintf("Send at most %d _include and _revinclude.", maxIncludes))
	}
	if reverse {
		p.q.RevInclude = append(p.q.RevInclude, in)
	} else {
		p.q.Include = append(p.q.Include, in)
	}
	return nil
}

// clause reads one condition on resources of typ.
func (p *queryParser) clause(typ, name, value string, depth int) (Clause, *fhir.Issue) {
	if depth > maxDepth {
		return Clause{}, fhir.Problem("too-costly", "The chain of references is too long.", fmt.Sprintf("Use at most %d links.", maxDepth))
	}
	if strings.HasPrefix(name, "_has:") {
		return p.has(typ, name, value, depth)
	}
	if name == "_filter" {
		return p.filter(typ, value, depth)
	}
	head, rest, chained := strings.Cut(name, ".")
	code, modifier, _ := strings.Cut(head, ":")
	if code == "_list" && modifier == "" && !chained {
		return Clause{Param: code, Type: "special", Values: []ValueTerm{{Raw: value, RefType: "List", RefID: strings.TrimPrefix(value, "List/")}}}, nil
	}
	param := Lookup(typ, code)
	if param == nil || param.plan == nil && code != "_text" && code != "_content" {
		return Clause{}, unknownParam(typ, code)
	}
	c := Clause{Param: param.Canonical, Type: param.Type, Modifier: modifier, OnlyType: param.OnlyType}
	if param.Type == "reference" && fhir.IsResourceType(modifier) {
		if c.OnlyType != "" && c.OnlyType != modifier {
			return Clause{}, fhir.Problem("value", fmt.Sprintf("%s always refers to a %s.", code, c.OnlyType), "Leave :"+modifier+" out.")
		}
		c.OnlyType, c.Modifier = modifier, ""
	}
	if chained {
		return p.chain(c, param, rest, value, depth)
	}
	if issue := checkModifier(param, c.Modifier); issue != nil {
		return Clause{}, issue
	}
	for _, raw := range split(value, ',') {
		if len(c.Values) >= maxValues {
			return Clause{}, fhir.Problem("too-costly", code+" has too many values.", fmt.Sprintf("Send at most %d, in several searches.", maxValues))
		}
		term, issue := parseTerm(param, c, raw)
		if issue != nil {
			return Clause{}, issue
		}
		c.Values = append(c.Values, term)
	}
	return c, nil
}

// chain reads what follows the dot for every type the reference may lead to.
func (p *queryParser) chain(c Clause, param *Param, rest, value string, depth int) (Clause, *fhir.Issue) {
	if param.Type != "reference" {
		return Clause{}, fhir.Problem("value", fmt.Sprintf("%s is not a reference, so nothing can follow it after a dot.", param.Code), "Chain through reference parameters only, such as subject:Patient.name.")
	}
	if c.Modifier != "" {
		return Clause{}, fhir.Problem("not-supported", fmt.Sprintf("%q cannot stand before a dot.", ":"+c.Modifier), "Only a resource type can, such as subject:Patient.name.")
	}
	return p.links(c, param, rest, func(target string) (Clause, *fhir.Issue) { return p.clause(target, rest, value, depth+1) })
}

// links tries what follows the dot on every type the reference may lead to.
func (p *queryParser) links(c Clause, param *Param, rest string, behind func(target string) (Clause, *fhir.Issue)) (Clause, *fhir.Issue) {
	if param.Type != "reference" {
		return Clause{}, fhir.Problem("value", fmt.Sprintf("%s is not a reference, so nothing can follow it after a dot.", param.Code), "Chain through reference parameters only, such as subject:Patient.name.")
	}
	targets := param.Targets
	if c.OnlyType != "" {
		targets = []string{c.OnlyType}
	}
	if len(targets) == 0 || len(targets) > 30 {
		return Clause{}, fhir.Problem("too-costly", fmt.Sprintf("%s may refer to any type of resource.", param.Code), fmt.Sprintf("Name the type, such as %s:Patient.%s.", param.Code, rest))
	}
	var fault *fhir.Issue
	for _, target := range targets {
		if p.alternatives++; p.alternatives > maxAlternatives {
			return Clause{}, fhir.Problem("too-costly", "The chain may lead through too many types.", fmt.Sprintf("Name the types, such as %s:%s.", param.Code, target))
		}
		inner, issue := behind(target)
		if issue != nil {
			if fault == nil || fault.Code == "not-supported" {
				fault = issue
			}
			continue
		}
		c.Chain = append(c.Chain, Link{Target: target, Clause: &inner})
	}
	if len(c.Chain) == 0 {
		if len(targets) > 1 && fault.Code == "not-supported" {
			fault = fhir.Problem("not-supported", fmt.Sprintf("%s refers to %s, and none of them has the search parameter that follows the dot.", param.Code, strings.Join(targets, ", ")), fault.Fix)
		}
		return Clause{}, fault
	}
	return c, nil
}

// has reads _has:Type:reference:rest.
func (p *queryParser) has(typ, name, value string, depth int) (Clause, *fhir.Issue) {
	parts := strings.SplitN(name, ":", 4)
	if len(parts) != 4 || parts[3] == "" {
		return Clause{}, fhir.Problem("value", "_has is not complete.", "Write _has:Type:reference:parameter=value, such as _has:Observation:patient:code=1234-5.")
	}
	if !fhir.IsResourceType(parts[1]) {
		return Clause{}, fhir.Problem("not-supported", fmt.Sprintf("%q is not a resource type of FHIR R4.", parts[1]), nearestType(parts[1]))
	}
	param := Lookup(parts[1], parts[2])
	if param == nil {
		return Clause{}, unknownParam(parts[1], parts[2])
	}
	if param.Type != "reference" {
		return Clause{}, fhir.Problem("value", fmt.Sprintf("%s of %s is not a reference.", parts[2], parts[1]), "Name the reference that leads here, such as _has:Observation:patient:code.")
	}
	if param.OnlyType != "" && param.OnlyType != typ || len(param.Targets) > 0 && !slices.Contains(param.Targets, typ) {
		return Clause{}, fhir.Problem("value", fmt.Sprintf("%s of %s never refers to a %s.", parts[2], parts[1], typ), "Name a reference that does.")
	}
	if p.alternatives++; p.alternatives > maxAlternatives {
		return Clause{}, fhir.Problem("too-costly", "The search follows too many references.", "Split it.")
	}
	inner, issue := p.clause(parts[1], parts[3], value, depth+1)
	if issue != nil {
		return Clause{}, issue
	}
	return Clause{Param: "_has", Type: "special", Has: &Has{Type: parts[1], Param: param.Canonical, OnlyType: param.OnlyType, Clause: &inner}}, nil
}

// modifiers lists what each parameter type allows beside :missing (R4 search, section 3.1.1.4.4).
var modifiers = map[string][]string{
	"string":    {"exact", "contains"},
	"token":     {"text", "not", "in", "not-in", "above", "below", "of-type"},
	"reference": {"identifier"},
	"uri":       {"above", "below"},
}

func checkModifier(param *Param, modifier string) *fhir.Issue {
	if modifier == "" || modifier == "missing" && param.plan != nil {
		return nil
	}
	allowed := modifiers[param.Type]
	if param.plan == nil {
		allowed = nil
	}
	if param.Code == "_id" {
		allowed = []string{"not"}
	}
	if slices.Contains(allowed, modifier) {
		return nil
	}
	fix := "Leave it out."
	all := append([]string{"missing"}, allowed...)
	if param.Type == "reference" {
		all = append(all, "a resource type")
	}
	if param.plan != nil {
		fix = "Allowed here: " + strings.Join(all, ", ") + "."
	}
	return fhir.Problem("not-supported", fmt.Sprintf("The modifier %q does not work on %s, a %s parameter.", ":"+modifier, param.Code, param.Type), fix)
}
