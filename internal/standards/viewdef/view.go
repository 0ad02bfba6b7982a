// Package viewdef reads SQL on FHIR view definitions (https://sql-on-fhir.org, version 2) and makes flat rows of resources.
//
// It owns the shape of a ViewDefinition and its evaluation over one resource at a time. FHIRPath is package fhirpath's. It never
// finds, stores or shows anything: who evaluates a view decides which resources it sees.
package viewdef

import (
	"fmt"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// View is a ViewDefinition that was checked and compiled. It is not changed by its use and safe for concurrent use.
type View struct {
	Resource string // resource type
	Name     string
	Columns  []Column // in the order of the cells of a row

	constants map[string]fhirpath.Collection
	selects   []*selection
	where     []*fhirpath.Expr
}

// Column is one column of a view.
type Column struct {
	Name       string
	Type       string // as the view says, "" when it does not
	Collection bool   // its cells are lists

	path *fhirpath.Expr
}

// selection is one select.
type selection struct {
	each    *fhirpath.Expr // forEach or forEachOrNull
	orNull  bool
	repeat  []*fhirpath.Expr
	columns []Column
	selects []*selection
	unions  []*selection
	width   int // columns it gives
}

// What a view may be.
const (
	maxDepth   = 20
	maxColumns = 1000
)

// Compile reads a ViewDefinition. Errors are *fhir.Issue with a path into it.
func Compile(n *fhirjson.Node) (*View, error) {
	v := &View{Resource: n.Get("resource").Text(), Name: n.Get("name").Text(), constants: map[string]fhirpath.Collection{}}
	if !fhir.IsResourceType(v.Resource) {
		return nil, fhir.Problem("required", "The view does not say a resource type of FHIR R4.", "Add resource, such as Patient.").At("resource")
	}
	constants := n.Get("constant").Items()
	for i := range constants {
		if issue := v.constant(&constants[i]); issue != nil {
			return nil, issue.At(fmt.Sprintf("constant[%d]", i))
		}
	}
	var issue *fhir.Issue
	if v.selects, issue = v.list(n.Get("select"), "select", 0); issue != nil {
		return nil, issue
	}
	if len(v.selects) == 0 {
		return nil, fhir.Problem("required", "The view selects nothing.", "Add a select with columns.").At("select")
	}
	seen := map[string]bool{}
	for _, s := range v.selects {
		v.Columns = append(v.Columns, s.all()...)
	}
	for _, c := range v.Columns {
		if seen[c.Name] {
			return nil, fhir.Problem("value", "Two columns have the name "+short(c.Name)+".", "Give each column a name of its own.").At("select")
		}
		seen[c.Name] = true
	}
	switch {
	case len(v.Columns) == 0:
		return nil, fhir.Problem("required", "The view has no column.", "Add a column with name and path.").At("select")
	case len(v.Columns) > maxColumns:
		return nil, fhir.Problem("too-costly", "The view has more than 1,000 columns.", "Make several views of it.").At("select")
	}
	where := n.Get("where").Items()
	for i := range where {
		e, issue := v.path(where[i].Get("path"), fmt.Sprintf("where[%d].path", i))
		if issue != nil {
			return nil, issue
		}
		v.where = append(v.where, e)
	}
	return v, nil
}

func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

func (v *View) constant(n *fhirjson.Node) *fhir.Issue {
	name := n.Get("name").Text()
	if !isName(name) {
		return fhir.Problem("value", "The constant has no name of letters, digits and _.", "Give it one, beginning with a letter.")
	}
	for _, m := range n.Members() {
		if typ, ok := strings.CutPrefix(m.Name, "value"); ok && typ != "" {
			value := m.Value
			v.constants[name] = fhirpath.Collection{fhirpath.NewElement(&value, strings.ToLower(typ[:1])+typ[1:])}
			return nil
		}
	}
	return fhir.Problem("required", "The constant has no value.", "Add value[x], such as valueString.")
}

func (v *View) path(n *fhirjson.Node, at string) (*fhirpath.Expr, *fhir.Issue) {
	if n.Kind() != fhirjson.String || n.Text() == "" {
		return nil, fhir.Problem("required", "A path is missing.", "Write it in FHIRPath.").At(at)
	}
	for name := range variables(n.Text()) {
		if _, ok := v.constants[name]; !ok && !known(name) {
			return nil, fhir.Problem("value", "The view has no constant named "+short(name)+".", "Add it to constant.").At(at)
		}
	}
	e, err := fhirpath.Compile(n.Text())
	if err != nil {
		return nil, fhir.Problem("value", "The path is not FHIRPath: "+short(err.Error())+".", "Correct it.").At(at).Because(err)
	}
	return e, nil
}

func known(name string) bool {
	switch name {
	case "rowIndex", "resource", "rootResource", "context", "sct", "loinc", "ucum":
		return true
	}
	return strings.HasPrefix(name, "vs-") || strings.HasPrefix(name, "ext-")
}

// variables are the names behind % in an expression, outside texts.
func variables(path string) map[string]bool {
	out := map[string]bool{}
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\'':
			i = closing(path, i)
		case '%':
			if i+1 < len(path) && (path[i+1] == '`' || path[i+1] == '\'') {
				end := closing(path, i+1)
				out[path[i+2:end]] = true
				i = end
				continue
			}
			end := i + 1
			for end < len(path) && (path[end] == '_' || isName("a"+path[end:end+1])) {
				end++
			}
			out[path[i+1:end]] = true
			i = end - 1
		}
	}
	return out
}

// closing is the place of the quote that ends the one at i, or the last place.
func closing(s string, i int) int {
	for j := i + 1; j < len(s); j++ {
		if s[j] == '\\' {
			j++
		} else if s[j] == s[i] {
			return j
		}
	}
	return max(len(s)-1, i+1)
}

func (v *View) list(n *fhirjson.Node, at string, depth int) (out []*selection, issue *fhir.Issue) {
	items := n.Items()
	for i := range items {
		s, issue := v.selection(&items[i], fmt.Sprintf("%s[%d]", at, i), depth+1)
		if issue != nil {
			return nil, issue
		}
		out = append(out, s)
	}
	return out, nil
}

func (v *View) selection(n *fhirjson.Node, at string, depth int) (s *selection, issue *fhir.Issue) {
	if depth > maxDepth {
		return nil, fhir.Problem("too-costly", "The view is nested more than 20 deep.", "Make it flatter.").At(at)
	}
	s = &selection{}
	ways := 0
	for _, name := range []string{"forEach", "forEachOrNull"} {
		if p := n.Get(name); p != nil {
			ways++
			s.orNull = name == "forEachOrNull"
			if s.each, issue = v.path(p, at+"."+name); issue != nil {
				return nil, issue
			}
		}
	}
	if p := n.Get("repeat"); p != nil {
		ways++
		items := p.Items()
		for i := range items {
			e, issue := v.path(&items[i], fmt.Sprintf("%s.repeat[%d]", at, i))
			if issue != nil {
				return nil, issue
			}
			s.repeat = append(s.repeat, e)
		}
		if len(s.repeat) == 0 {
			return nil, fhir.Problem("required", "repeat names no path.", "Add a path, such as item.").At(at + ".repeat")
		}
	}
	if ways > 1 {
		return nil, fhir.Problem("structure", "A select has more than one of forEach, forEachOrNull and repeat.", "Keep one.").At(at)
	}
	columns := n.Get("column").Items()
	for i := range columns {
		c := Column{Name: columns[i].Get("name").Text(), Type: columns[i].Get("type").Text(), Collection: columns[i].Get("collection").Text() == "true"}
		here := fmt.Sprintf("%s.column[%d]", at, i)
		if !isName(c.Name) {
			return nil, fhir.Problem("value", "The column has no name of letters, digits and _.", "Give it one, beginning with a letter.").At(here + ".name")
		}
		if c.path, issue = v.path(columns[i].Get("path"), here+".path"); issue != nil {
			return nil, issue
		}
		s.columns = append(s.columns, c)
	}
	if s.selects, issue = v.list(n.Get("select"), at+".select", depth); issue != nil {
		return nil, issue
	}
	if s.unions, issue = v.list(n.Get("unionAll"), at+".unionAll", depth); issue != nil {
		return nil, issue
	}
	for i, u := range s.unions {
		a, b := s.unions[0].all(), u.all()
		same := len(a) == len(b)
		for j := 0; same && j < len(a); j++ {
			same = a[j].Name == b[j].Name
		}
		if !same {
			return nil, fhir.Problem("value", "The parts of a unionAll have different columns.", "Give them the same names in the same order.").At(fmt.Sprintf("%s.unionAll[%d]", at, i))
		}
	}
	s.width = len(s.all())
	return s, nil
}

// all are the columns that a selection gives, in order: its own, those of its selects, those of the union.
func (s *selection) all() []Column {
	out := append([]Column(nil), s.columns...)
	for _, in := range s.selects {
		out = append(out, in.all()...)
	}
	if len(s.unions) > 0 {
		out = append(out, s.unions[0].all()...)
	}
	return out
}
