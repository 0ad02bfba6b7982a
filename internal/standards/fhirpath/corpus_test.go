package fhirpath_test

import (
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// examples returns the official R4 examples.
func examples(t testing.TB) []*fhirjson.Node {
	t.Helper()
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return nil
	}
	var out []*fhirjson.Node
	corpustest.Untar(t, filepath.Join(dir, "examples.tar.gz"), func(name string, data []byte) {
		if !strings.HasSuffix(name, ".json") {
			return
		}
		if n, err := fhirjson.Parse(data, fhirjson.Limits{}); err == nil && fhir.IsResourceType(n.Get("resourceType").Text()) {
			out = append(out, n)
		}
	})
	return out
}

// rule is one invariant of a type's definition.
type rule struct {
	key, path string // path of the element it constrains
	expr      *fhirpath.Expr
	where     *fhirpath.Expr // finds the elements; nil for the root of a datatype
}

// invariants compiles every binding invariant of the published definitions, by type.
func invariants(t testing.TB, dir string) (map[string][]rule, int) {
	t.Helper()
	out := map[string][]rule{}
	total := 0
	for _, file := range []string{"profiles-types", "profiles-resources"} {
		bundle, err := fhirjson.Parse(corpustest.Gunzip(t, filepath.Join(dir, "definitions", file+".json.gz")), fhirjson.Limits{Bytes: 100 << 20})
		if err != nil {
			t.Fatal(err)
		}
		entries := bundle.Get("entry").Items()
		for i := range entries {
			sd := entries[i].Get("resource")
			if sd.Get("resourceType").Text() != "StructureDefinition" || sd.Get("derivation").Text() == "constraint" {
				continue
			}
			typ := sd.Get("type").Text()
			elements := sd.At("snapshot", "element").Items()
			for j := range elements {
				path := strings.TrimSuffix(elements[j].Get("path").Text(), "[x]")
				cons := elements[j].Get("constraint").Items()
				for k := range cons {
					src := cons[k].Get("expression").Text()
					if src == "" || cons[k].Get("severity").Text() != "error" {
						continue // the rest is advice, which examples need not follow
					}
					total++
					e, err := fhirpath.Compile(src)
					if err != nil {
						t.Errorf("%s %s: %v", path, cons[k].Get("key").Text(), err)
						continue
					}
					r := rule{key: cons[k].Get("key").Text(), path: path, expr: e}
					if path != typ {
						r.where = mustCompile(t, path)
					}
					out[typ] = append(out[typ], r)
				}
			}
		}
	}
	return out, total
}

// TestInvariants evaluates every binding invariant on the official examples, which are to obey them.
func TestInvariants(t *testing.T) {
	dir := corpustest.Folder(t, "fhir-r4")
	if dir == "" {
		return
	}
	rules, total := invariants(t, dir)
	evaluated := 0
	check := func(resource *fhirjson.Node, it fhirpath.Item, r rule) {
		env := &fhirpath.Env{Model: model, Resource: resource, RootResource: resource, ManyAs: true}
		evaluated++
		if it.Node == nil {
			return
		}
		ok, known, err := r.expr.Test(env, it.Node, it.Type)
		if err != nil || known && !ok {
			t.Errorf("%s/%s %s at %s: %s (%v)", resource.Get("resourceType").Text(), resource.Get("id").Text(), r.key, r.path, r.expr, err)
		}
	}
	all := mustCompile(t, "descendants()")
	for _, n := range examples(t) {
		typ := n.Get("resourceType").Text()
		env := &fhirpath.Env{Model: model, ManyAs: true}
		for _, r := range rules[typ] {
			if r.key == "ele-1" || r.key == "ext-1" {
				continue // below, for every element once
			}
			if r.where == nil {
				check(n, fhirpath.NewElement(n, typ), r)
				continue
			}
			items, err := r.where.Eval(env, n, typ)
			if err != nil {
				t.Error(err)
			}
			for _, it := range items {
				check(n, it, r)
			}
		}
		items, err := all.Eval(env, n, typ)
		if err != nil {
			t.Error(err)
		}
		for _, it := range items {
			for _, r := range rules[it.Type] {
				if r.where == nil && (r.key == "ext-1" || r.key == "ele-1" || !fhir.IsResourceType(it.Type)) {
					check(n, it, r)
				}
			}
		}
	}
	t.Logf("%d invariants, %d evaluations", total, evaluated)
}
