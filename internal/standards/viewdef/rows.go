package viewdef

import (
	"strconv"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// maxRows bounds the rows that one resource may make.
const maxRows = 100_000

// maxSteps bounds the work of FHIRPath on one resource, to some seconds at worst.
const maxSteps = 5 * fhirpath.DefaultSteps

// Row is one row: a cell for each column of the view, null where there is nothing.
type Row = []fhirjson.Node

// Rows makes the rows of one resource. A resource of another type, or one that where leaves out, makes none. Errors are
// *fhir.Issue: a column that is no list found several values or an element with parts, or where is not true or false.
func (v *View) Rows(resource *fhirjson.Node, now time.Time) ([]Row, error) {
	if resource.Get("resourceType").Text() != v.Resource {
		return nil, nil
	}
	r := run{v: v, now: now, resource: resource, left: maxSteps}
	top := focus{node: resource, typ: v.Resource}
	for _, e := range v.where {
		found, err := r.eval(e, top, 0)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, nil
		}
		yes, ok := found[0].Bool()
		if !ok || len(found) > 1 {
			return nil, fhir.Problem("processing", "A where of the view is neither true nor false.", "End its path with a comparison or exists().").At("where")
		}
		if !yes {
			return nil, nil
		}
	}
	rows := []Row{{}}
	for _, s := range v.selects {
		more, err := r.rows(s, top, 0)
		if err != nil {
			return nil, err
		}
		if rows, err = product(rows, more); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

type run struct {
	v        *View
	now      time.Time
	resource *fhirjson.Node
	left     int // steps of FHIRPath that are left for this resource
}

// focus is the element that paths begin at; nothing for the null of forEachOrNull.
type focus struct {
	node *fhirjson.Node
	typ  string
}

func (r *run) eval(e *fhirpath.Expr, at focus, index int) (fhirpath.Collection, error) {
	if at.node == nil {
		return nil, nil
	}
	row := fhirjson.NewNumber(strconv.Itoa(index))
	vars := map[string]fhirpath.Collection{"rowIndex": {fhirpath.NewElement(&row, "integer")}}
	for name, c := range r.v.constants {
		vars[name] = c
	}
	found, err := e.Eval(&fhirpath.Env{Model: &fhir.Model{}, Resource: r.resource, RootResource: r.resource, Vars: vars, Now: r.now, EmptyJoin: true, Left: &r.left}, at.node, at.typ)
	if err != nil {
		return nil, fhir.Problem("processing", "A path of the view cannot be evaluated: "+short(err.Error())+".", "Correct the path.").Because(err)
	}
	return found, nil
}

func (r *run) foci(e *fhirpath.Expr, at focus, index int) ([]focus, error) {
	found, err := r.eval(e, at, index)
	out := make([]focus, 0, len(found))
	for _, it := range found {
		n := it.Node
		if n == nil {
			v := value(it)
			n = &v
		}
		out = append(out, focus{n, it.Type})
	}
	return out, err
}

// repeated walks down the paths, each element before those below it.
func (r *run) repeated(s *selection, at focus, out []focus) ([]focus, error) {
	for _, e := range s.repeat {
		found, err := r.foci(e, at, 0)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if out = append(out, f); len(out) > maxRows {
				return nil, tooMany()
			}
			if f.node.Kind() != fhirjson.Object {
				continue
			}
			if out, err = r.repeated(s, f, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func tooMany() error {
	return fhir.Problem("too-costly", "One resource makes more than 100,000 rows.", "Select less, or use fewer forEach side by side.")
}

// rows are those of a selection at an element; index is the %rowIndex around it.
func (r *run) rows(s *selection, at focus, index int) (out []Row, err error) {
	list := []focus{at}
	own := s.each != nil || s.repeat != nil
	switch {
	case s.each != nil:
		list, err = r.foci(s.each, at, index)
	case s.repeat != nil:
		list, err = r.repeated(s, at, nil)
	}
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && s.orNull {
		list = []focus{{}}
	}
	for i, f := range list {
		if own {
			index = i
		}
		rows := []Row{make(Row, 0, s.width)}
		for k := range s.columns {
			cell, err := r.cell(&s.columns[k], f, index)
			if err != nil {
				return nil, err
			}
			rows[0] = append(rows[0], cell)
		}
		for _, in := range s.selects {
			more, err := r.rows(in, f, index)
			if err != nil {
				return nil, err
			}
			if rows, err = product(rows, more); err != nil {
				return nil, err
			}
		}
		if len(s.unions) > 0 {
			var all []Row
			for _, u := range s.unions {
				more, err := r.rows(u, f, index)
				if err != nil {
					return nil, err
				}
				all = append(all, more...)
			}
			if rows, err = product(rows, all); err != nil {
				return nil, err
			}
		}
		if out = append(out, rows...); len(out) > maxRows {
			return nil, tooMany()
		}
	}
	return out, nil
}

// product puts every row of b behind every row of a.
func product(a, b []Row) ([]Row, error) {
	if len(b) > 0 && len(a) > maxRows/len(b) {
		return nil, tooMany()
	}
	out := make([]Row, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, append(append(make(Row, 0, len(x)+len(y)), x...), y...))
		}
	}
	return out, nil
}

func (r *run) cell(c *Column, at focus, index int) (fhirjson.Node, error) {
	if at.node == nil && c.path.String() == "%rowIndex" {
		return fhirjson.NewNumber(strconv.Itoa(index)), nil
	}
	found, err := r.eval(c.path, at, index)
	if err != nil {
		return fhirjson.NewNull(), err
	}
	var cells []fhirjson.Node
	for _, it := range found {
		n := value(it)
		if n.Kind() == fhirjson.Object {
			return n, fhir.Problem("processing", "The column "+c.Name+" leads to an element with parts.", "Lead its path to a value, or use getReferenceKey().").At(c.Name)
		}
		if n.Kind() != fhirjson.Null {
			cells = append(cells, n)
		}
	}
	switch {
	case c.Collection:
		return fhirjson.NewArray(cells...), nil
	case len(cells) == 0:
		return fhirjson.NewNull(), nil
	case len(cells) > 1:
		return fhirjson.NewNull(), fhir.Problem("processing", "The column "+c.Name+" found several values.", "Set collection to true, use first(), or select with forEach.").At(c.Name)
	}
	return cells[0], nil
}

// value writes an item as JSON.
func value(it fhirpath.Item) fhirjson.Node {
	if it.Node != nil {
		return it.Node.Clone()
	}
	switch it.Type {
	case "System.Boolean":
		yes, _ := it.Bool()
		return fhirjson.NewBool(yes)
	case "System.Integer", "System.Decimal":
		return fhirjson.NewNumber(it.String())
	}
	if text := it.String(); text != "" || it.Type == "System.String" {
		return fhirjson.NewString(text)
	}
	return fhirjson.NewNull()
}
