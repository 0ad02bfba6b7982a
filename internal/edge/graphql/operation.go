package graphql

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

const (
	mediaJSON    = "application/json"
	mediaQuery   = "application/graphql"
	mediaAnswer  = "application/graphql-response+json"
	mediaCharset = "; charset=utf-8"
)

// maxQuery bounds the text of a query in bytes.
const maxQuery = 256 << 10

// Operation returns $graphql.
func Operation() fhirapi.Operation {
	return fhirapi.Operation{
		Name: "$graphql", Levels: fhirapi.System | fhirapi.Instance, URL: "http://hl7.org/fhir/OperationDefinition/Resource-graphql",
		Bodies: []string{mediaJSON, mediaQuery}, Forms: []string{mediaAnswer}, Refusal: refusal, Run: answer,
		Params: []fhirapi.Param{
			{Name: "query", Type: "string", Max: 1, Doc: "The query, such as {PatientList(name: \"ash\") {id name {given family}}}. It may be the body too, as application/graphql or in JSON."},
			{Name: "variables", Type: "string", Max: 1, Doc: "Values of the query's variables, as a JSON object."},
			{Name: "operationName", Type: "string", Max: 1, Doc: "Which of several queries is meant."},
		},
		Doc: "Answers a GraphQL query for reading: resources by id, lists and connections of search results, what they refer to and what refers to them. Ask {__schema {types {name}}} for the schema.",
	}
}

// question is what was sent.
type question struct {
	query, name string
	variables   *fhirjson.Node
}

func asked(c *fhirapi.Call) (q question, err error) {
	q.query, q.name = c.Parameters.Text("query"), c.Parameters.Text("operationName")
	if text := c.Parameters.Text("variables"); text != "" {
		if q.variables, err = fhirjson.Parse([]byte(text), fhirjson.Limits{Bytes: len(text)}); err != nil {
			return q, fhir.SyntaxIssue(err).At("http.variables")
		}
	}
	if body := c.Bare(); body != nil {
		typ := c.Header("Content-Type")
		if strings.HasPrefix(typ, mediaQuery) {
			q.query = string(body)
		} else {
			n, err := fhirjson.Parse(body, fhirjson.Limits{Bytes: len(body)})
			if err != nil {
				return q, fhir.SyntaxIssue(err)
			}
			if n.Get("query").Kind() == fhirjson.String {
				q.query = n.Get("query").Text()
			}
			if q.name = n.Get("operationName").Text(); n.Get("variables").Kind() != fhirjson.Null {
				q.variables = n.Get("variables")
			}
		}
	}
	switch {
	case strings.TrimSpace(q.query) == "":
		return q, fhir.Problem("required", "There is no query.", "Send it as the parameter query, as a body of application/graphql, or as JSON with a member query.")
	case len(q.query) > maxQuery:
		return q, fhir.Problem("too-costly", fmt.Sprintf("The query is longer than %d kB.", maxQuery>>10), "Send several shorter ones.")
	case q.variables != nil && q.variables.Kind() != fhirjson.Object:
		return q, fhir.Problem("value", "variables is not an object.", `Send an object with a member for each variable, such as {"id": "x"}.`)
	}
	return q, nil
}

// parse reads a query and picks the operation.
func parse(q question) (doc *ast.QueryDocument, op *ast.OperationDefinition, err error) {
	doc, err = parser.ParseQueryWithTokenLimit(&ast.Source{Input: q.query}, maxTokens)
	if err != nil {
		var g *gqlerror.Error
		i := fhir.Problem("structure", "The query is not well formed.", "Check braces, quotes and names around this place.")
		if errors.As(err, &g) {
			if strings.Contains(g.Message, "token limit") {
				i = fhir.Problem("too-costly", fmt.Sprintf("The query has more than %d words and signs.", maxTokens), "Send several shorter ones.")
			}
			if len(g.Locations) > 0 {
				i.Line, i.Column = g.Locations[0].Line, g.Locations[0].Column
			}
		}
		return nil, nil, i
	}
	switch {
	case q.name != "":
		op = doc.Operations.ForName(q.name)
		if op == nil {
			return nil, nil, fhir.Problem("not-found", "There is no query of the name in operationName.", "Send one of the names in the query, or leave operationName out.")
		}
	case len(doc.Operations) == 1:
		op = doc.Operations[0]
	default:
		return nil, nil, fhir.Problem("structure", "The text holds no query, or several.", "Send one, or say which in operationName.")
	}
	if op.Operation != ast.Query {
		return nil, nil, wrong("not-supported", fmt.Sprintf("A %s is not carried out here: GraphQL is for reading.", op.Operation), "Write through the FHIR interface.", op.Position)
	}
	return doc, op, nil
}

// answer carries out the operation. The first thing that goes wrong refuses the whole query, as FHIR wants it.
func answer(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	q, err := asked(c)
	if err != nil {
		return nil, err
	}
	doc, op, err := parse(q)
	if err != nil {
		return nil, err
	}
	check := checker{doc: doc, left: maxFields}
	if err := check.selection(at{typ: c.Type, root: true, anchor: c.ID != ""}, op.SelectionSet); err != nil {
		return nil, err
	}
	vars, err := variables(op, q.variables)
	if err != nil {
		return nil, err
	}
	r := &run{ctx: ctx, c: c, doc: doc, vars: vars, access: auth.AccessOf(c.Scope), known: map[string]*fhirstore.Resource{}, marked: map[string]bool{},
		exprs: map[string]*fhirpath.Expr{}, steps: maxSteps}
	var data fhirjson.Node
	err = c.View(ctx, func(tx *db.Tx) (err error) {
		r.tx = tx
		data, err = r.query([]ast.SelectionSet{op.SelectionSet})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(r.shown) > 0 {
		c.SeeAll("$graphql", r.shown)
	}
	out := fhirjson.NewObject(fhirjson.Member{Name: "data", Value: data})
	body := out.AppendJSON(nil)
	if c.Nested() {
		n := fhir.Object("resourceType", "Binary", "contentType", mediaJSON, "data", base64.StdEncoding.EncodeToString(body))
		return &fhirapi.Answer{Resource: n.AppendJSON(nil)}, nil
	}
	media := mediaJSON
	if c.Form() != "" {
		media = c.Form()
	}
	return &fhirapi.Answer{Media: media + mediaCharset, Body: body}, nil
}

// refusal writes errors as GraphQL does, each with its OperationOutcome.
func refusal(issues fhir.Issues) (string, []byte) {
	list := fhirjson.NewArray()
	for i := range issues {
		e := &issues[i]
		n := fhir.Object("message", strings.TrimSpace(e.Text+" "+e.Fix))
		if e.Line > 0 {
			n.Set("locations", fhir.Array(fhirjson.NewObject(
				fhirjson.Member{Name: "line", Value: fhirjson.NewNumber(fmt.Sprint(e.Line))}, fhirjson.Member{Name: "column", Value: fhirjson.NewNumber(fmt.Sprint(e.Column))})))
		}
		outcome, err := fhirjson.Parse(fhir.Outcome(*e), fhirjson.Limits{})
		if err == nil {
			n.Set("extensions", fhir.Object("resource", outcome.Clone()))
		}
		list.Append(n)
	}
	out := fhirjson.NewObject(fhirjson.Member{Name: "data", Value: fhirjson.NewNull()}, fhirjson.Member{Name: "errors", Value: list})
	return mediaJSON + mediaCharset, out.AppendJSON(nil)
}
