package graphql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// run answers one query in one snapshot of the practice.
type run struct {
	ctx    context.Context
	tx     *db.Tx
	c      *fhirapi.Call
	doc    *ast.QueryDocument
	vars   map[string]*fhirjson.Node
	access auth.Access

	known    map[string]*fhirstore.Resource // what references lead to; nil for what is not there
	shown    []*fhirstore.Resource
	marked   map[string]bool // of shown
	exprs    map[string]*fhirpath.Expr
	searches int
	read     int // resources
	size     int // values of the answer
	steps    int // of FHIRPath that are left
	picked   int // fields looked at

	describing bool // the schema is asked for
}

var none = fhirjson.NewNull()

// pick is a field that is wanted, with what is wanted of it: the same field may be asked for in several places.
type pick struct {
	key   string
	field *ast.Field
	sets  []ast.SelectionSet
}

// collect gathers the fields wanted of an object; on says whether a fragment's type is that of the object.
func (r *run) collect(sets []ast.SelectionSet, on func(typ string) bool) ([]pick, error) {
	var out []pick
	var walk func(set ast.SelectionSet) error
	walk = func(set ast.SelectionSet) error {
		for _, s := range set {
			if r.picked++; r.picked > 20*maxValues {
				return tooLarge()
			}
			var list ast.DirectiveList
			switch s := s.(type) {
			case *ast.Field:
				list = s.Directives
			case *ast.InlineFragment:
				list = s.Directives
			case *ast.FragmentSpread:
				list = s.Directives
			}
			if out, err := r.leftOut(list); out || err != nil {
				if err != nil {
					return err
				}
				continue
			}
			var err error
			switch s := s.(type) {
			case *ast.InlineFragment:
				if s.TypeCondition == "" || on(s.TypeCondition) {
					err = walk(s.SelectionSet)
				}
			case *ast.FragmentSpread:
				if f := r.doc.Fragments.ForName(s.Name); on(f.TypeCondition) {
					err = walk(f.SelectionSet)
				}
			case *ast.Field:
				out, err = merge(out, s)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, set := range sets {
		if err := walk(set); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// merge adds a field. Two that go by one name must be the same field; of resource there may be one for each type.
func merge(list []pick, f *ast.Field) ([]pick, error) {
	for i := range list {
		if list[i].key != f.Alias {
			continue
		}
		same := list[i].field.Name == f.Name && written(list[i].field) == written(f)
		if same {
			list[i].sets = append(slices.Clip(list[i].sets), f.SelectionSet)
			return list, nil
		}
		if f.Name != "resource" || list[i].field.Name != "resource" {
			return nil, wrong("structure", fmt.Sprintf("%s is asked for twice in different ways.", short(f.Alias)), "Give one of them another name: other: "+short(f.Name)+".", f.Position)
		}
	}
	return append(list, pick{f.Alias, f, []ast.SelectionSet{f.SelectionSet}}), nil
}

// written are the arguments and directives of a field as one text.
func written(f *ast.Field) string {
	var b strings.Builder
	for _, a := range f.Arguments {
		b.WriteString(a.Name + ":" + a.Value.String() + " ")
	}
	for _, d := range f.Directives {
		b.WriteString("@" + d.Name)
		for _, a := range d.Arguments {
			b.WriteString(a.Name + ":" + a.Value.String())
		}
	}
	return b.String()
}

// leftOut carries out @skip and @include.
func (r *run) leftOut(list ast.DirectiveList) (bool, error) {
	for _, d := range list {
		if d.Name == "skip" || d.Name == "include" {
			yes, err := r.truth(d.Arguments, "if")
			if err != nil || yes == (d.Name == "skip") {
				return true, err
			}
		}
	}
	return false, nil
}

// query answers the selection of the operation at the root of the system, or of a resource.
func (r *run) query(sets []ast.SelectionSet) (fhirjson.Node, error) {
	if r.c.ID != "" {
		self, err := r.c.Store().Read(r.ctx, r.tx, r.c.Type, r.c.ID)
		if err != nil {
			return none, err
		}
		list, err := r.resources([]*fhirstore.Resource{self}, sets)
		if err != nil {
			return none, err
		}
		return list.Items()[0], nil
	}
	return r.fixed(sets, "Query", func(p pick) (fhirjson.Node, error) {
		if typ, connection, ok := searching(p.field.Name); ok {
			return r.search(p, typ, connection, nil)
		}
		if !fhir.IsResourceType(p.field.Name) {
			return r.schema(p)
		}
		id, err := r.one(p.field.Arguments, "id")
		if err != nil {
			return none, err
		}
		x, err := r.c.Store().Read(r.ctx, r.tx, p.field.Name, strings.TrimPrefix(id, p.field.Name+"/"))
		if err != nil {
			return none, err
		}
		if r.read++; r.read > maxRead {
			return none, tooMuch()
		}
		list, err := r.resources([]*fhirstore.Resource{x}, p.sets)
		if err != nil {
			return none, err
		}
		return list.Items()[0], nil
	})
}

// fixed answers an object whose fields are not those of FHIR.
func (r *run) fixed(sets []ast.SelectionSet, name string, answer func(p pick) (fhirjson.Node, error)) (fhirjson.Node, error) {
	picks, err := r.collect(sets, func(on string) bool { return on == name })
	if err != nil {
		return none, err
	}
	out := &bag{}
	for _, p := range picks {
		if err := r.count(); err != nil {
			return none, err
		}
		v := fhirjson.NewString(name)
		if p.field.Name != "__typename" {
			if v, err = answer(p); err != nil {
				return none, err
			}
		}
		out.put(p.key, false).values = []fhirjson.Node{v}
	}
	return out.object()
}

func (r *run) count() error {
	most := maxValues
	if r.describing {
		most = maxSchema
	}
	if r.size++; r.size > most {
		return tooLarge()
	}
	return nil
}

func tooLarge() error {
	return fhir.Problem("too-costly", fmt.Sprintf("The answer would hold more than %d values.", maxValues), "Ask for fewer resources at a time with _count, or for fewer fields.")
}

// resources writes resources as a list, and notes that they are shown.
func (r *run) resources(list []*fhirstore.Resource, sets []ast.SelectionSet) (fhirjson.Node, error) {
	if err := r.prefetch(list, sets); err != nil {
		return none, err
	}
	out := fhirjson.NewArray()
	for _, x := range list {
		r.show(x)
		into := &bag{}
		if err := r.object(frame{self: x, top: x.Node()}, x.Type, x.Node(), sets, into, flat{}); err != nil {
			return none, err
		}
		n, err := into.object()
		if err != nil {
			return none, err
		}
		out.Append(n)
	}
	return out, nil
}

// show notes that a resource is part of the answer.
func (r *run) show(x *fhirstore.Resource) {
	if ref := x.Reference(); !r.marked[ref] {
		r.marked[ref] = true
		r.shown = append(r.shown, x)
	}
}

// frame is the resource that elements belong to.
type frame struct {
	self *fhirstore.Resource // nil within what is contained, which others cannot refer to
	top  *fhirjson.Node      // where #id is looked up
}

// flat is what @flatten of the fields above does to those below.
type flat struct {
	on, list bool
	suffix   string
}

// object answers the fields of one element.
func (r *run) object(f frame, typ string, n *fhirjson.Node, sets []ast.SelectionSet, into *bag, above flat) error {
	if err := r.count(); err != nil {
		return err
	}
	picks, err := r.collect(sets, func(on string) bool {
		return on == nameOf(typ) || on == "Resource" && fhir.IsResourceType(typ) || on == "Query" && f.self != nil && n == f.top
	})
	if err != nil {
		return err
	}
	for _, p := range picks {
		if err := r.field(f, typ, n, p, into, above); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) field(f frame, typ string, n *fhirjson.Node, p pick, into *bag, above flat) error {
	name := p.field.Name
	if name == "__typename" {
		return r.leaf(p, into, above, false, []fhirjson.Node{fhirjson.NewString(nameOf(typ))})
	}
	if f.self != nil && n == f.top {
		if name == "__schema" || name == "__type" {
			v, err := r.schema(p)
			into.put(p.key, false).values = []fhirjson.Node{v}
			return err
		}
		if of, connection, ok := searching(name); ok {
			v, err := r.search(p, of, connection, f.self)
			if err != nil {
				return err
			}
			into.put(p.key+above.suffix, false).values = []fhirjson.Node{v}
			return nil
		}
	}
	if typ == "Reference" && name == "resource" {
		return r.follow(f, n, p, into, above)
	}
	def := shapeOf(typ).byName[name]
	if def == nil { // another of the types that a reference may lead to has it
		if !above.on {
			into.put(p.key, false)
		}
		return nil
	}
	items := children(n.Get(name), def.list)
	if def.leaf {
		if p.field.Directives.ForName("first") != nil {
			items = items[:min(1, len(items))]
		}
		return r.leaf(p, into, above, def.list, items)
	}
	items, err := r.narrow(f, def, items, p.field.Arguments)
	if err != nil {
		return err
	}
	return r.elements(p, into, above, def.list, items, func(i int, into *bag, above flat) error {
		in, at := def.typ, f
		item := &items[i]
		if in == "Resource" {
			if in = item.Get("resourceType").Text(); name == "contained" {
				at.self = nil
			} else {
				at = frame{top: item}
			}
		}
		return r.object(at, in, item, p.sets, into, above)
	}, func(i int, path string) (string, error) { return r.suffix(f, def, &items[i], i, path) })
}

// leaf puts plain values.
func (r *run) leaf(p pick, into *bag, above flat, list bool, items []fhirjson.Node) error {
	single := p.field.Directives.ForName("singleton") != nil
	if above.on && len(items) == 0 {
		return nil
	}
	s := into.put(p.key+above.suffix, (list || above.list) && !single)
	for _, v := range items {
		if err := r.count(); err != nil {
			return err
		}
		if v.Kind() != fhirjson.Null || !above.on {
			s.values = append(s.values, v)
		}
	}
	return nil
}

// elements puts structures, or with @flatten what is in them.
func (r *run) elements(p pick, into *bag, above flat, list bool, items []fhirjson.Node, object func(i int, into *bag, above flat) error, suffix func(i int, path string) (string, error)) error {
	d := p.field.Directives
	if d.ForName("first") != nil {
		items = items[:min(1, len(items))]
	}
	slice := d.ForName("slice")
	if len(items) == 0 && !above.on && slice == nil && d.ForName("flatten") == nil {
		into.put(p.key, list)
		return nil
	}
	for i := range items {
		more := above.suffix
		if slice != nil {
			path, err := r.one(slice.Arguments, slice.Arguments[0].Name)
			if err != nil {
				return err
			}
			end, err := suffix(i, path)
			if err != nil {
				return err
			}
			more += "." + end
		}
		if d.ForName("flatten") != nil {
			if err := object(i, into, flat{on: true, list: above.list || list, suffix: more}); err != nil {
				return err
			}
			continue
		}
		inside := &bag{}
		if err := object(i, inside, flat{}); err != nil {
			return err
		}
		n, err := inside.object()
		if err != nil {
			return err
		}
		s := into.put(p.key+more, (list || above.list) && d.ForName("singleton") == nil)
		s.values = append(s.values, n)
	}
	return nil
}

// children are the values of an element.
func children(n *fhirjson.Node, list bool) []fhirjson.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind() == fhirjson.Array && list:
		return n.Items()
	}
	return []fhirjson.Node{*n}
}

// narrow applies the arguments of an element: what it must hold, a FHIRPath, and a stretch of what remains.
func (r *run) narrow(f frame, def *field, items []fhirjson.Node, args ast.ArgumentList) ([]fhirjson.Node, error) {
	if len(args) == 0 {
		return items, nil
	}
	expr, err := r.expression(args.ForName("fhirpath"))
	if err != nil {
		return nil, err
	}
	kept := make([]fhirjson.Node, 0, len(items))
	for i := range items {
		fits := true
		for _, a := range args {
			switch a.Name {
			case "fhirpath", "_offset", "_count":
				continue
			}
			want, err := r.values(a)
			if err != nil {
				return nil, err
			}
			have := items[i].Get(a.Name)
			fits = fits && (len(want) == 0 || slices.ContainsFunc(children(have, true), func(v fhirjson.Node) bool { return slices.Contains(want, v.Text()) }))
		}
		if fits && expr != nil {
			if fits, err = r.within(f, expr, &items[i], def.typ, i); err != nil {
				return nil, err
			}
		}
		if fits {
			kept = append(kept, items[i])
		}
	}
	skip, err := r.number(args, "_offset", 0)
	if err != nil {
		return nil, err
	}
	most, err := r.number(args, "_count", len(kept))
	if err != nil {
		return nil, err
	}
	kept = kept[min(skip, len(kept)):]
	return kept[:min(most, len(kept))], nil
}

// bag is an object under way: fields that are flattened fill it from several places.
type bag struct {
	keys []string
	by   map[string]*slot
}

type slot struct {
	list   bool
	values []fhirjson.Node
}

func (b *bag) put(key string, list bool) *slot {
	if s := b.by[key]; s != nil {
		s.list = s.list || list
		return s
	}
	if b.by == nil {
		b.by = map[string]*slot{}
	}
	b.keys = append(b.keys, key)
	s := &slot{list: list}
	b.by[key] = s
	return s
}

func (b *bag) object() (fhirjson.Node, error) {
	members := make([]fhirjson.Member, 0, len(b.keys))
	for _, key := range b.keys {
		s, v := b.by[key], none
		switch {
		case s.list && len(s.values) > 0:
			v = fhirjson.NewArray(s.values...)
		case len(s.values) > 1:
			return none, fhir.Problem("value", fmt.Sprintf("%s has more than one value.", short(key)), "Leave out @singleton, or narrow the list.")
		case len(s.values) == 1:
			v = s.values[0]
		}
		members = append(members, fhirjson.Member{Name: key, Value: v})
	}
	return fhirjson.NewObject(members...), nil
}

// expression compiles a FHIRPath once.
func (r *run) expression(a *ast.Argument) (*fhirpath.Expr, error) {
	if a == nil {
		return nil, nil
	}
	src, err := r.one(ast.ArgumentList{a}, a.Name)
	if err != nil || src == "" {
		return nil, err
	}
	return r.compile(src, a.Position)
}

func (r *run) compile(src string, pos *ast.Position) (*fhirpath.Expr, error) {
	if e := r.exprs[src]; e != nil {
		return e, nil
	}
	// $index of the list itself: inside of it the language has an index of its own.
	text := src
	if rest, ok := strings.CutPrefix(src, "$index"); ok {
		text = "%index" + rest
	}
	e, err := fhirpath.Compile(text)
	if err != nil {
		var at *fhirpath.Error
		what := ""
		if errors.As(err, &at) {
			what = ": " + at.Msg
		}
		return nil, wrong("value", "The FHIRPath cannot be read"+what+".", "Write a condition such as use = 'official'.", pos)
	}
	r.exprs[src] = e
	return e, nil
}

// maxSteps bounds the FHIRPath of a query altogether.
const maxSteps = 2_000_000

// holds says whether a resource meets a condition.
func (r *run) holds(e *fhirpath.Expr, n *fhirjson.Node, typ string, index int) (bool, error) {
	return r.within(frame{top: n}, e, n, typ, index)
}

func (r *run) within(f frame, e *fhirpath.Expr, n *fhirjson.Node, typ string, index int) (bool, error) {
	holds, known, used, err := e.TestItem(r.env(f, index), fhirpath.NewElement(n, typ))
	r.steps -= used
	return holds && known, r.evaluated(err)
}

func (r *run) evaluated(err error) error {
	if err == nil && r.steps >= 0 {
		return nil
	}
	if err == nil || errors.Is(err, fhirpath.ErrTooMuchWork) {
		return fhir.Problem("too-costly", "The FHIRPath of the query takes too much work.", "Make it simpler, or apply it to fewer elements.")
	}
	return fhir.Problem("value", "The FHIRPath has no meaning for an element it is applied to.", "Write a condition that is true or false for each element, such as use = 'official'.").Because(err)
}

var model = &fhir.Model{}

func (r *run) env(f frame, index int) *fhirpath.Env {
	env := &fhirpath.Env{Model: model, Resource: f.top, RootResource: f.top, Now: r.c.Now(), Steps: max(1, r.steps)}
	if index >= 0 {
		n := fhirjson.NewNumber(fmt.Sprint(index))
		env.Vars = map[string]fhirpath.Collection{"index": {fhirpath.NewElement(&n, "integer")}}
	}
	return env
}

// suffix evaluates @slice for an element.
func (r *run) suffix(f frame, def *field, n *fhirjson.Node, index int, path string) (string, error) {
	e, err := r.compile(path, nil)
	if err != nil {
		return "", err
	}
	found, err := e.Eval(r.env(f, index), n, def.typ)
	r.steps -= 100
	if err := r.evaluated(err); err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0].String(), nil
}
