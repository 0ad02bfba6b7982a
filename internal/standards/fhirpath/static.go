package fhirpath

import (
	"fmt"
	"slices"
	"strings"
)

// static is what is known of the items of an expression before any resource is seen: their types, model names or
// "System.…". nil means that anything may come.
type static []string

// lambdas are the functions whose arguments are evaluated with each item, or the whole, of their input as focus.
var lambdas = []string{"where", "exists", "all", "select", "repeat", "iif", "aggregate", "trace", "sort", "defineVariable"}

// sameItems are the functions whose result holds items of their input only.
var sameItems = []string{"where", "first", "last", "tail", "skip", "take", "single", "distinct", "exclude", "intersect", "trace", "sort", "defineVariable", "checkModifiers"}

// results are the types of what further functions give.
var results = map[string]string{
	"empty": "Boolean", "exists": "Boolean", "all": "Boolean", "allTrue": "Boolean", "allFalse": "Boolean", "anyTrue": "Boolean", "anyFalse": "Boolean",
	"subsetOf": "Boolean", "supersetOf": "Boolean", "isDistinct": "Boolean", "not": "Boolean", "hasValue": "Boolean", "is": "Boolean", "conformsTo": "Boolean",
	"memberOf": "Boolean", "subsumes": "Boolean", "subsumedBy": "Boolean", "htmlChecks": "Boolean", "comparable": "Boolean",
	"startsWith": "Boolean", "endsWith": "Boolean", "contains": "Boolean", "matches": "Boolean", "matchesFull": "Boolean",
	"count": "Integer", "length": "Integer", "indexOf": "Integer", "lastIndexOf": "Integer", "precision": "Integer", "toInteger": "Integer",
	"substring": "String", "upper": "String", "lower": "String", "replace": "String", "replaceMatches": "String", "trim": "String", "split": "String", "join": "String",
	"toChars": "String", "encode": "String", "decode": "String", "escape": "String", "unescape": "String", "toString": "String",
	"toBoolean": "Boolean", "toDecimal": "Decimal", "toDate": "Date", "toDateTime": "DateTime", "toTime": "Time", "toQuantity": "Quantity",
	"now": "DateTime", "today": "Date", "timeOfDay": "Time", "type": "TypeInfo",
}

// Check refuses what no resource of a type could ever satisfy: an element that none of the types on its way has. It is
// the part of Env.Strict that does not depend on what a resource happens to hold.
func (e *Expr) Check(m Model, rootType string) error {
	if m == nil || rootType == "" {
		return nil
	}
	k := checker{m}
	_, err := k.of(e.root, static{rootType})
	return err
}

type checker struct{ model Model }

// of finds the types of what n gives with a focus of the given types.
func (k checker) of(n node, focus static) (static, error) {
	switch n := n.(type) {
	case *literal:
		if len(n.value) == 1 {
			return static{n.value[0].Type}, nil
		}
		return nil, nil
	case *dollar:
		if n.name == "this" {
			return focus, nil
		}
		return nil, nil
	case *member:
		return k.member(n, focus)
	case *indexer:
		if _, err := k.of(n.index, focus); err != nil {
			return nil, err
		}
		return k.of(n.of, focus)
	case *typeTest:
		if _, err := k.of(n.of, focus); err != nil {
			return nil, err
		}
		if n.as {
			return static{n.typ.full()}, nil
		}
		return static{"System.Boolean"}, nil
	case *unionOp:
		a, err := k.of(n.l, focus)
		if err != nil {
			return nil, err
		}
		b, err := k.of(n.r, focus)
		return either(a, b), err
	case *logicOp:
		return k.operands(n.l, n.r, focus)
	case *equalOp:
		return k.operands(n.l, n.r, focus)
	case *equivalentOp:
		return k.operands(n.l, n.r, focus)
	case *memberOp:
		return k.operands(n.item, n.list, focus)
	case *compareOp:
		return k.operands(n.l, n.r, focus)
	case *arithmeticOp:
		_, err := k.operands(n.l, n.r, focus)
		return nil, err
	case *signOp:
		return k.of(n.of, focus)
	case *call:
		return k.call(n, focus)
	}
	return nil, nil
}

// operands checks both sides of an operator that gives a Boolean.
func (k checker) operands(l, r node, focus static) (static, error) {
	if _, err := k.of(l, focus); err != nil {
		return nil, err
	}
	_, err := k.of(r, focus)
	return static{"System.Boolean"}, err
}

func either(a, b static) static {
	if a == nil || b == nil {
		return nil
	}
	return append(slices.Clone(a), b...)
}

func (k checker) member(n *member, focus static) (static, error) {
	in := focus
	if n.of != nil {
		var err error
		if in, err = k.of(n.of, focus); err != nil {
			return nil, err
		}
	} else if n.isType && len(in) == 1 && (in[0] == n.name || k.model.IsSubtype(in[0], n.name)) {
		return in, nil
	}
	if in == nil {
		return nil, nil
	}
	var out static
	open, found := false, false
	for _, t := range in {
		typ, choice, ok := k.element(t, n.name)
		found = found || ok
		open = open || ok && (choice || typ == "" || typ == "Resource" || typ == "DomainResource")
		if ok {
			out = append(out, typ)
		}
	}
	switch {
	case !found:
		return nil, fmt.Errorf("%s has no element %q", strings.Join(in, " or "), n.name)
	case open:
		return nil, nil
	}
	return out, nil
}

// element looks up an element of a type; what a System type has is in N1, sections Quantity and Reflection.
func (k checker) element(typ, name string) (string, bool, bool) {
	switch typ {
	case "System.Quantity":
		return map[string]string{"value": "System.Decimal", "unit": "System.String", "code": "System.String"}[name], false, name == "value" || name == "unit" || name == "code"
	case "System.TypeInfo":
		return "", false, true
	case "Resource", "DomainResource", "Element", "BackboneElement":
		return "", false, true
	}
	if strings.HasPrefix(typ, "System.") {
		return "", false, false
	}
	return k.model.ElementType(typ, name)
}

func (k checker) call(n *call, focus static) (static, error) {
	in := focus
	if n.of != nil {
		var err error
		if in, err = k.of(n.of, focus); err != nil {
			return nil, err
		}
	}
	inner := focus
	if slices.Contains(lambdas, n.name) {
		inner = in
	}
	if n.name == "repeat" { // what is repeated on is not the input alone
		inner = nil
	}
	var args []static
	for _, a := range n.args {
		t, err := k.of(a, inner)
		if err != nil {
			return nil, err
		}
		args = append(args, t)
	}
	switch {
	case slices.Contains(sameItems, n.name):
		return in, nil
	case n.name == "ofType" || n.name == "as":
		return static{n.typ.full()}, nil
	case n.name == "select":
		return args[0], nil
	case n.name == "combine" || n.name == "union":
		return either(in, args[0]), nil
	case n.name == "iif" && len(args) == 3:
		return either(args[1], args[2]), nil
	case n.name == "extension":
		return static{"Extension"}, nil
	}
	if r, ok := results[n.name]; ok {
		return static{"System." + r}, nil
	}
	return nil, nil
}

// full names the type as items carry it.
func (s typeSpec) full() string {
	if s.space == "System" {
		return "System." + s.name
	}
	return s.name
}
