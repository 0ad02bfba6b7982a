package fhir

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./gen

//go:embed data/types.gz
var packedTypes []byte

//go:embed data/rules.gz
var packedRules []byte

// rows unpacks embedded data and yields its tab-separated fields line by line.
// The fields are valid until the next line.
func rows(packed []byte) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			panic("fhir: embedded data: " + err.Error())
		}
		var text strings.Builder
		if _, err := io.Copy(&text, r); err != nil {
			panic("fhir: embedded data: " + err.Error())
		}
		var fields []string
		for line := range strings.Lines(text.String()) {
			fields = fields[:0]
			for f := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "\t") {
				fields = append(fields, f)
			}
			if !yield(fields) {
				return
			}
		}
	}
}

// definitions decodes the types once, on first use (about 10 ms).
var definitions = sync.OnceValue(func() map[string]*Type {
	types := make(map[string]*Type, 256)
	var t *Type
	for f := range rows(packedTypes) {
		if f[0] == "T" {
			t = &Type{Name: f[1], Kind: f[2], Base: f[3], Abstract: f[4] != ""}
			types[t.Name] = t
			continue
		}
		t.Elements = append(t.Elements, readElement(t.Name, f[1:]))
	}
	return types
})

func readElement(typ string, f []string) Element {
	e := Element{Path: typ + "." + f[0], Max: -1, Binding: f[4], ValueSet: f[5], ContentRef: f[6],
		Modifier: strings.Contains(f[7], "m"), Summary: strings.Contains(f[7], "s")}
	e.Min, _ = strconv.Atoi(f[1])
	if f[2] != "*" {
		e.Max, _ = strconv.Atoi(f[2])
	}
	if f[3] == "" {
		return e
	}
	for t := range strings.SplitSeq(f[3], "|") {
		name, targets, ok := strings.Cut(t, "(")
		e.Types = append(e.Types, name)
		if !ok {
			continue
		}
		list := strings.Split(strings.TrimSuffix(targets, ")"), ",")
		if name == "Reference" {
			e.Targets = list
		} else {
			e.Canonicals = list
		}
	}
	return e
}

// Definition returns the definition of a resource type, datatype or primitive,
// or nil if R4 has no type of this name. It is shared: do not change it.
func Definition(typeName string) *Type { return definitions()[typeName] }

// TypeNames yields the names of all types: resources, datatypes and primitives, abstract ones too, in no order.
func TypeNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range definitions() {
			if !yield(name) {
				return
			}
		}
	}
}

// Element returns the element at a path below the type, such as
// "component.value[x]", or nil.
func (t *Type) Element(path string) *Element {
	if t == nil {
		return nil
	}
	for i := range t.Elements {
		if e := &t.Elements[i]; e.Path[len(t.Name)+1:] == path {
			return e
		}
	}
	return nil
}

// Named returns the top-level element of a resource by its name in JSON, where value[x] is written valueQuantity; nil for none.
func (t *Type) Named(name string) *Element {
	if e := t.Element(name); e != nil || t == nil {
		return e
	}
	for i := range t.Elements {
		stem, ok := strings.CutSuffix(t.Elements[i].Path[len(t.Name)+1:], "[x]")
		if ok && !strings.Contains(stem, ".") && strings.HasPrefix(name, stem) && len(name) > len(stem) && name[len(stem)] >= 'A' && name[len(stem)] <= 'Z' {
			return &t.Elements[i]
		}
	}
	if t.Name != "DomainResource" {
		return Definition("DomainResource").Named(name)
	}
	return nil
}

var resourceTypes = sync.OnceValue(func() []string {
	var names []string
	for name, t := range definitions() {
		if t.Kind == "resource" && !t.Abstract {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
})

// ResourceTypes returns the 146 resource types of R4 that can be used, sorted.
func ResourceTypes() []string { return slices.Clone(resourceTypes()) }

// IsResourceType reports whether R4 has a resource type of this name that can
// be used (not Resource or DomainResource).
func IsResourceType(name string) bool {
	t := definitions()[name]
	return t != nil && t.Kind == "resource" && !t.Abstract
}

var rules = sync.OnceValue(func() map[string][]Rule {
	all := make(map[string][]Rule)
	typ := ""
	for f := range rows(packedRules) {
		if f[0] == "T" {
			typ = f[1]
			continue
		}
		path := typ
		if f[3] != "" {
			path += "." + f[3]
		}
		all[typ] = append(all[typ], Rule{Key: f[1], Severity: f[2], Path: path, Expression: f[4]})
	}
	return all
})

// Rules returns the invariants a type adds. Those of its bases (Definition's
// Base, up to Resource or Element) and of the types of its elements hold too.
func Rules(typeName string) []Rule { return rules()[typeName] }
