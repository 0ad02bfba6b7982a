package fhirsearch

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirpath"
)

// Param is one search parameter as it applies to one resource type.
type Param struct {
	Code       string
	Type       string   // R4 parameter type: token, reference, date, string, number, quantity, uri, composite, special
	Targets    []string // resource types a reference may name, sorted; empty for any
	Components []*Param // parts of a composite, in order; their Code is the Part of values
	Canonical  string   // the parameter that answers this one: Code itself, or what Alias says
	OnlyType   string   // the target type an alias is restricted to

	plainCode bool // every element is a bare code, boolean or string: a system in a query says nothing
	plan      *fhirpath.Plan
	parts     map[string]*fhirpath.Plan // of a component: by type of the composite's element
	source    []string                  // alternatives of the expression, for finding aliases
}

// Searchable says whether ParseQuery takes the parameter: some of R4 have no expression and mean nothing here.
func (p *Param) Searchable() bool {
	return p.plan != nil || p.Code == "_text" || p.Code == "_content" || p.Code == "_filter"
}

// typeParams are the compiled parameters of one resource type.
type typeParams struct {
	byCode  map[string]*Param
	sorted  []*Param // by code
	extract []*Param // those that Extract evaluates: no aliases, not _id and _lastUpdated
	err     error
}

// BareCodes says that every element of a token parameter is a code without a system of its own.
func (p *Param) BareCodes() bool { return p.plainCode }

// compiled holds a *typeParams by resource type. It is filled on first use and never changes after.
var compiled sync.Map

func paramsOf(resourceType string) *typeParams {
	if t, ok := compiled.Load(resourceType); ok {
		return t.(*typeParams)
	}
	if !fhir.IsResourceType(resourceType) { // never kept: such names come from outside without end
		return &typeParams{err: fmt.Errorf("%q is not an R4 resource type", resourceType)}
	}
	t, _ := compiled.LoadOrStore(resourceType, compileType(resourceType))
	return t.(*typeParams)
}

// Params returns the search parameters of a resource type, sorted by code, aliases included. The list is
// shared: do not change it.
func Params(resourceType string) []*Param { return paramsOf(resourceType).sorted }

// Lookup returns a parameter of a resource type, or nil.
func Lookup(resourceType, code string) *Param { return paramsOf(resourceType).byCode[code] }

// Alias returns the parameter under which Extract files what code asks for, and the target type that the
// question is restricted to: "patient" of an Observation is "subject" restricted to "Patient". A code
// that is no alias, or not known, comes back unchanged.
func Alias(resourceType, code string) (canonical, onlyType string) {
	if p := Lookup(resourceType, code); p != nil {
		return p.Canonical, p.OnlyType
	}
	return code, ""
}

var model = &fhir.Model{}

func compileType(resourceType string) *typeParams {
	t := &typeParams{byCode: map[string]*Param{}}
	for _, sp := range fhir.SearchParams(resourceType) {
		p, err := compileParam(resourceType, sp)
		if err != nil {
			t.err = fmt.Errorf("search parameter %s of %s: %w", sp.Code, resourceType, err)
			return t
		}
		if _, twice := t.byCode[p.Code]; twice {
			continue
		}
		t.byCode[p.Code] = p
		t.sorted = append(t.sorted, p)
	}
	sort.Slice(t.sorted, func(i, j int) bool { return t.sorted[i].Code < t.sorted[j].Code })
	findAliases(t.sorted)
	for _, p := range t.sorted {
		if p.Canonical == p.Code && p.plan != nil && p.Code != "_id" && p.Code != "_lastUpdated" {
			t.extract = append(t.extract, p)
		}
	}
	return t
}

func compileParam(resourceType string, sp fhir.SearchParam) (*Param, error) {
	p := &Param{Code: sp.Code, Type: sp.Type, Canonical: sp.Code, Targets: slices.Sorted(slices.Values(sp.Targets))}
	if sp.Expression == "" {
		return p, nil
	}
	e, err := compileExpression(sp.Expression)
	if err != nil {
		return nil, err
	}
	p.plan = e.For(model, resourceType)
	p.source = alternatives(resourceType, sp.Expression)
	p.plainCode = p.Type == "token" && onlyCodes(p.plan)
	if sp.Type != "composite" {
		return p, nil
	}
	for _, c := range sp.Components {
		part := &Param{Code: c.Code, Canonical: c.Code, parts: map[string]*fhirpath.Plan{}}
		def := fhir.SearchParamByURL(c.Definition)
		if def == nil {
			return nil, fmt.Errorf("component %s is not defined", c.Definition)
		}
		part.Type, part.Targets = def.Type, def.Targets
		e, err := compileExpression(c.Expression)
		if err != nil {
			return nil, err
		}
		part.plainCode = part.Type == "token"
		p.plan.Types(func(typ string) {
			q := e.For(model, typ)
			part.parts[typ] = q
			part.plainCode = part.plainCode && onlyCodes(q)
		})
		p.Components = append(p.Components, part)
	}
	return p, nil
}

// compileExpression compiles a published expression. Observation-code-value-date names the type DateTime,
// which R4 writes dateTime.
func compileExpression(src string) (*fhirpath.Expr, error) {
	return fhirpath.Compile(strings.ReplaceAll(src, "(DateTime)", "(dateTime)"))
}

// onlyCodes reports whether a token parameter reaches nothing that carries a system of its own.
func onlyCodes(p *fhirpath.Plan) bool {
	only := true
	p.Types(func(typ string) {
		switch typ {
		case "code", "boolean", "string", "id", "uri", "canonical", "url":
		default:
			only = false
		}
	})
	return only
}

// alternatives splits an expression at its outer "|" and keeps those that start at the type.
func alternatives(resourceType, src string) []string {
	var out []string
	depth, start := 0, 0
	for i := 0; i <= len(src); i++ {
		switch {
		case i == len(src) || src[i] == '|' && depth == 0:
			alt := strings.TrimSpace(src[start:i])
			if strings.HasPrefix(strings.TrimLeft(alt, "("), resourceType+".") {
				out = append(out, alt)
			}
			start = i + 1
		case src[i] == '(':
			depth++
		case src[i] == ')':
			depth--
		}
	}
	sort.Strings(out)
	return out
}

// findAliases marks the parameters whose values another one of the type has already: the same
// expression, or the same with where(resolve() is T) behind it. Among equals the first by code stays.
func findAliases(params []*Param) {
	const open, end = ".where(resolve() is ", ")"
	plain := map[string]*Param{}
	for _, p := range params {
		if p.Type == "composite" || len(p.source) == 0 {
			continue
		}
		// Bundle.composition and Bundle.message share an expression and differ in targets.
		key := p.Type + " " + strings.Join(p.source, " | ")
		if strings.Contains(key, open) {
			continue
		}
		if first := plain[key]; first == nil {
			plain[key] = p
		} else if slices.Equal(first.Targets, p.Targets) {
			p.Canonical = first.Code
		}
	}
	for _, p := range params {
		only := ""
		bare := make([]string, len(p.source))
		for i, alt := range p.source {
			head, rest, ok := strings.Cut(alt, open)
			if !ok || !strings.HasSuffix(rest, end) || only != "" && only != strings.TrimSuffix(rest, end) {
				only = ""
				break
			}
			bare[i], only = head, strings.TrimSuffix(rest, end)
		}
		if only == "" {
			continue
		}
		if of := plain[p.Type+" "+strings.Join(bare, " | ")]; of != nil {
			p.Canonical, p.OnlyType = of.Code, only
		}
	}
}
