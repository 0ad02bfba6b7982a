package fhir

import (
	"reflect"
	"strings"
	"sync"
)

// fieldKind says how a struct field stands in JSON.
type fieldKind uint8

const (
	textField fieldKind = iota
	decimalField
	boolField
	intField
	objectField
	rawField
)

// fieldPlan is one field of a generated struct.
type fieldPlan struct {
	name string // JSON member
	kind fieldKind
	many bool
	elem reflect.Type // of an item or what a pointer points to
	plan *plan        // of elem, for objects
}

// plan is how a generated struct is read and written, worked out once per type
// by reflection.
type plan struct {
	typ    reflect.Type
	fields []fieldPlan
	index  map[string]int
}

var plans struct {
	sync.RWMutex
	m map[reflect.Type]*plan
}

// planOf returns the plan of a struct type.
func planOf(t reflect.Type) *plan {
	plans.RLock()
	p := plans.m[t]
	plans.RUnlock()
	if p != nil {
		return p
	}
	plans.Lock()
	defer plans.Unlock()
	if plans.m == nil {
		plans.m = map[reflect.Type]*plan{}
	}
	return makePlan(t)
}

// makePlan works out a plan and those below it. The lock is held.
func makePlan(t reflect.Type) *plan {
	if p := plans.m[t]; p != nil {
		return p
	}
	p := &plan{typ: t, fields: make([]fieldPlan, t.NumField()), index: make(map[string]int, t.NumField())}
	plans.m[t] = p
	for i := range p.fields {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		p.fields[i] = planField(name, f.Type)
		p.index[name] = i
	}
	return p
}

var rawType = reflect.TypeFor[Raw]()

func planField(name string, t reflect.Type) fieldPlan {
	fp := fieldPlan{name: name}
	if t.Kind() == reflect.Slice && t != rawType {
		fp.many = true
		t = t.Elem()
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	fp.elem = t
	switch {
	case t == rawType:
		fp.kind = rawField
	case t == reflect.TypeFor[Decimal]():
		fp.kind = decimalField
	case t.Kind() == reflect.Bool:
		fp.kind = boolField
	case t.Kind() == reflect.Int:
		fp.kind = intField
	case t.Kind() == reflect.Struct:
		fp.kind = objectField
		fp.plan = makePlan(t)
	}
	return fp
}
