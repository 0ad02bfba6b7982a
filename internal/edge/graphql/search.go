package graphql

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// What one query may cost.
const (
	maxSearches = 200
	maxRead     = 5_000   // resources, whether they are shown or not
	maxValues   = 200_000 // of the answer
	maxSchema   = 600_000 // of an answer that describes the schema
	maxList     = 1_000   // resources in a list
)

// argumentsOf are the arguments of a search, in order.
func argumentsOf(typ string, connection, nested bool) []string {
	out := []string{"_filter", "_sort", "_count", "fhirpath"}
	switch {
	case nested:
		out = append(out, "_reference")
	case connection:
		out = append(out, "_cursor", "cursor")
	}
	if !connection {
		out = append(out, "_offset")
	}
	for _, p := range fhirsearch.Params(typ) {
		if name := strings.ReplaceAll(p.Code, "-", "_"); p.Searchable() && name != "_filter" {
			out = append(out, name)
		}
	}
	return out
}

// parameter is the search parameter that an argument stands for.
func parameter(typ, argument string) string {
	for _, p := range fhirsearch.Params(typ) {
		if strings.ReplaceAll(p.Code, "-", "_") == argument {
			return p.Code
		}
	}
	return argument
}

// cursorName is what cursors are sealed for.
const cursorName = "$graphql"

// search carries out a list or connection; around is the resource it refers to, nil at the root.
func (r *run) search(p pick, typ string, connection bool, around *fhirstore.Resource) (fhirjson.Node, error) {
	f := p.field
	if r.searches++; r.searches > maxSearches {
		return none, fhir.Problem("too-costly", fmt.Sprintf("The query makes more than %d searches.", maxSearches), "Ask for fewer resources with lists inside.")
	}
	values, place, offset, err := r.asked(f, typ, around)
	if err != nil {
		return none, err
	}
	expr, err := r.expression(f.Arguments.ForName("fhirpath"))
	if err != nil {
		return none, err
	}
	q, issues := fhirsearch.ParseQuery(typ, values)
	if err := issues.Err(); err != nil {
		return none, located(issues, f)
	}
	skip, err := r.number(f.Arguments, "_offset", 0)
	if err != nil {
		return none, err
	}
	size := q.Count
	if q.Page = place; connection {
		if size <= 0 {
			size = 50
		}
		if q.Count = min(size, maxList); r.wants(p, "count") {
			q.Total = "accurate"
		}
	} else {
		if q.Count = maxList; size > 0 {
			q.Count = min(skip+size, maxList)
		}
		if skip >= maxList {
			return none, wrong("too-costly", fmt.Sprintf("_offset goes beyond the %d resources of a list.", maxList), "Use "+typ+"Connection with its cursors.", f.Position)
		}
	}
	if q.Summary == "count" {
		return none, wrong("not-supported", "_count: 0 means nothing here.", "Ask "+typ+"Connection for its count.", f.Position)
	}
	page, err := r.c.Store().Search(r.ctx, r.tx, q)
	if err != nil {
		return none, err
	}
	if r.read += len(page.Resources); r.read > maxRead {
		return none, tooMuch()
	}
	found := page.Resources
	if !connection {
		if page.Next != "" && size <= 0 {
			return none, wrong("too-costly", fmt.Sprintf("%s finds more than %d resources.", f.Name, maxList), "Narrow it, say how many with _count, or use "+typ+"Connection.", f.Position)
		}
		found = found[min(skip, len(found)):]
	}
	if expr != nil {
		kept := make([]*fhirstore.Resource, 0, len(found))
		for _, x := range found {
			holds, err := r.holds(expr, x.Node(), typ, -1)
			if err != nil {
				return none, err
			}
			if holds {
				kept = append(kept, x)
			}
		}
		found = kept
	}
	if !connection {
		return r.resources(found, p.sets)
	}
	return r.connection(p, typ, values, found, page, size, offset)
}

// wants says whether a field is selected, by any of the ways to write it.
func (r *run) wants(p pick, name string) bool {
	picks, err := r.collect(p.sets, func(string) bool { return true })
	return err == nil && slices.ContainsFunc(picks, func(p pick) bool { return p.field.Name == name })
}

// asked turns arguments into parameters of a search, or opens a cursor.
func (r *run) asked(f *ast.Field, typ string, around *fhirstore.Resource) (values url.Values, place string, offset int, err error) {
	values = url.Values{}
	for _, name := range []string{"_cursor", "cursor"} {
		token, err := r.one(f.Arguments, name)
		if err != nil {
			return nil, "", 0, err
		}
		if token == "" {
			continue
		}
		if len(f.Arguments) > 1 {
			return nil, "", 0, wrong("structure", "A cursor comes with further arguments.", "Send the cursor alone: it holds the search.", f.Position)
		}
		if values, place, err = fhirapi.OpenCursor(r.tx, cursorName, token); err != nil || values.Get(":type") != typ {
			return nil, "", 0, wrong("value", "The cursor does not belong to this search.", "Use cursors as they came, in the same kind of search, or begin again without.", f.Position)
		}
		offset, _ = strconv.Atoi(values.Get(":offset"))
		values.Del(":type")
		values.Del(":offset")
		return values, place, offset, nil
	}
	for _, a := range f.Arguments {
		texts, err := r.values(a)
		if err != nil {
			return nil, "", 0, err
		}
		switch a.Name {
		case "fhirpath", "_offset":
			continue
		case "_reference":
			if len(texts) != 1 {
				return nil, "", 0, wrong("value", "_reference is not one search parameter.", "Name one, such as patient.", a.Position)
			}
			code := parameter(typ, texts[0])
			if p := fhirsearch.Lookup(typ, code); p == nil || p.Type != "reference" {
				return nil, "", 0, wrong("value", fmt.Sprintf("%s has no reference %q to search by.", typ, short(texts[0])), "Name a search parameter of "+typ+" that is a reference, such as patient or subject.", a.Position)
			}
			values.Add(code, around.Reference())
		case "_filter", "_sort", "_count":
			for _, t := range texts {
				values.Add(a.Name, t)
			}
		default:
			for i := range texts {
				texts[i] = commas(texts[i])
			}
			if len(texts) > 0 {
				values.Add(parameter(typ, a.Name), strings.Join(texts, ","))
			}
		}
	}
	return values, "", 0, nil
}

// commas escapes commas: alternatives are the members of a list here, and a comma is part of a value.
func commas(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			b.WriteByte(s[i])
			i++
		case s[i] == ',':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func located(issues fhir.Issues, f *ast.Field) error {
	for i := range issues {
		issues[i].Line, issues[i].Column = f.Position.Line, f.Position.Column
	}
	return issues
}

func tooMuch() error {
	return fhir.Problem("too-costly", fmt.Sprintf("The query reads more than %d resources.", maxRead), "Ask for fewer at a time with _count.")
}

// connection writes a page with its cursors. There is no way back but to the first page.
func (r *run) connection(p pick, typ string, values url.Values, found []*fhirstore.Resource, page *fhirstore.Page, size, offset int) (fhirjson.Node, error) {
	cursor := func(place string, offset int) (fhirjson.Node, error) {
		v := url.Values{":type": {typ}, ":offset": {strconv.Itoa(offset)}}
		for name, list := range values {
			v[name] = list
		}
		token, err := fhirapi.SealCursor(r.tx, cursorName, v, place)
		return fhirjson.NewString(token), err
	}
	return r.fixed(p.sets, nameOf(typ)+"Connection", func(p pick) (fhirjson.Node, error) {
		switch p.field.Name {
		case "count":
			return fhirjson.NewNumber(strconv.Itoa(page.Total)), nil
		case "offset":
			return fhirjson.NewNumber(strconv.Itoa(offset)), nil
		case "pagesize":
			return fhirjson.NewNumber(strconv.Itoa(size)), nil
		case "first":
			return cursor("", 0)
		case "next":
			if page.Next != "" {
				return cursor(page.Next, offset+len(page.Resources))
			}
		case "edges":
			picks, err := r.collect(p.sets, func(string) bool { return true })
			if err != nil {
				return none, err
			}
			for _, e := range picks {
				if err := r.prefetch(found, e.sets); e.field.Name == "resource" && err != nil {
					return none, err
				}
			}
			out := fhirjson.NewArray()
			for _, x := range found {
				edge, err := r.fixed(p.sets, nameOf(typ)+"Edge", func(p pick) (fhirjson.Node, error) {
					switch p.field.Name {
					case "mode":
						return fhirjson.NewString("match"), nil
					case "resource":
						list, err := r.resources([]*fhirstore.Resource{x}, p.sets)
						if err != nil {
							return none, err
						}
						return list.Items()[0], nil
					}
					return none, nil
				})
				if err != nil {
					return none, err
				}
				out.Append(edge)
			}
			return out, nil
		}
		return none, nil
	})
}
