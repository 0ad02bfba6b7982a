package fhirapi

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirsearch"
)

// Interaction is one thing that can be done at an address, as R4 names it.
type Interaction struct {
	Code   string // read, vread, search-type …
	Method string
	Path   string // below the base: "/Patient/{id}"
}

// SearchParam is a parameter that the parser of searches takes.
type SearchParam struct {
	Name, Type string
	Targets    []string // of a reference: the types it may name; empty for any
}

// Described is what the interface does with a type, from the tables that route requests, parse searches and run operations. The
// capability statement says the same; pages and programs that describe the interface start here.
type Described struct {
	Type         string // "" for what is the same for all
	Interactions []Interaction
	Params       []SearchParam
	Operations   []Operation
}

// Describe says what the interface does with a type, or, for "", with all of them.
func (a *API) Describe(typ string) Described {
	d := Described{Type: typ}
	of, level := typ, Type|Instance
	if typ == "" {
		of, level = "Patient", System
		d.Interactions = []Interaction{{"capabilities", "GET", "/metadata"}, {"search-system", "GET", "/"}, {"transaction", "POST", "/"}, {"history-system", "GET", "/_history"}}
	} else {
		for _, i := range interactions {
			if a.acts(target{shape: i.at, typ: typ})[i.method] != nil {
				d.Interactions = append(d.Interactions, Interaction{i.code, i.method, i.at.path(typ)})
			}
		}
	}
	for _, p := range fhirsearch.Params(of) {
		if p.Searchable() && strings.HasPrefix(p.Code, "_") == (typ == "") {
			d.Params = append(d.Params, SearchParam{p.Code, p.Type, p.Targets})
		}
	}
	for _, op := range a.Operations() {
		if op.Levels&level != 0 && (level == System || len(op.Types) == 0 || slices.Contains(op.Types, typ)) {
			d.Operations = append(d.Operations, op)
		}
	}
	return d
}

// path of a shape below the base, with places for what varies.
func (s shape) path(typ string) string {
	switch s {
	case instance:
		return "/" + typ + "/{id}"
	case version:
		return "/" + typ + "/{id}/_history/{version}"
	case history:
		return "/" + typ + "/{id}/_history"
	case typeHistory:
		return "/" + typ + "/_history"
	case typeSearch:
		return "/" + typ + "/_search"
	}
	return "/" + typ
}

// Paths are the addresses of an operation on a type, or on the whole system for "".
func (op *Operation) Paths(typ string) (out []string) {
	if typ == "" {
		return []string{"/" + op.Name}
	}
	if op.Levels&Type != 0 {
		out = append(out, "/"+typ+"/"+op.Name)
	}
	if op.Levels&Instance != 0 {
		out = append(out, "/"+typ+"/{id}/"+op.Name)
	}
	return out
}
