package fhirapi

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Level says where an operation may be called; levels may be or-ed.
type Level uint8

// The levels of R4 (http://hl7.org/fhir/R4/operations.html).
const (
	System   Level = 1 << iota // [base]/$name
	Type                       // [base]/Patient/$name
	Instance                   // [base]/Patient/x/$name
)

// Param describes one parameter of an operation, for checking calls and for the docs.
type Param struct {
	Name string
	Type string // FHIR type: string, code, boolean, date, Reference, Coding … or Resource; "" for one with parts
	Min  int
	Max  int // -1: any number
	Doc  string
	Out  bool
}

// Operation is a registered operation. Its name, levels and parameters are checked before Run.
type Operation struct {
	Name    string // "$everything"
	Levels  Level
	Types   []string // at the levels Type and Instance; empty: every type
	Affects bool     // it changes something: GET is refused, and an idempotency key is honoured by Call.Do
	Open    bool     // it may be called with parameters that Params does not list
	Params  []Param
	// Bodies are the media types of bodies that it reads itself, from Call.Body; of other types a FHIR resource is made. A body of
	// application/json is FHIR when it is an object with a resourceType.
	Bodies []string
	// Refusal writes a refusal in a form of its own that is not an OperationOutcome; nil for none. Entries of Bundles never use it.
	Refusal func(issues fhir.Issues) (media string, body []byte)
	// Forms are what it can answer with that is not FHIR, by the names that _format and Accept ask by: "csv", "text/csv".
	Forms []string
	// URL is the canonical address of its definition; "" for http://hl7.org/fhir/OperationDefinition/{type}-{name}.
	URL string
	Doc string // one sentence for people
	Run func(ctx context.Context, c *Call) (*Answer, error)
}

// Register adds an operation. Call it before the API serves; two operations of one name must differ in types or levels.
func (a *API) Register(ops ...Operation) {
	for i := range ops {
		a.operations[ops[i].Name] = append(a.operations[ops[i].Name], &ops[i])
	}
}

// Operations lists what is registered, by name.
func (a *API) Operations() []Operation {
	var out []Operation
	for _, ops := range a.operations {
		for _, op := range ops {
			out = append(out, *op)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Name != out[j].Name {
			return out[i].Name < out[j].Name
		}
		return strings.Join(out[i].Types, " ") < strings.Join(out[j].Types, " ")
	})
	return out
}

// operation finds the operation at an address.
func (a *API) operation(t target) *Operation {
	for _, op := range a.operations[t.op] {
		if op.Levels&t.level != 0 && (t.level == System || len(op.Types) == 0 || slices.Contains(op.Types, t.typ)) {
			return op
		}
	}
	return nil
}

// noOperation says which operations there are at the level instead.
func (a *API) noOperation(t target) error {
	var names []string
	for name := range a.operations {
		at := t
		at.op = name
		if a.operation(at) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fix := "There are no operations here."
	if len(names) > 0 {
		fix = "Here are: " + strings.Join(names, ", ") + "."
	}
	return fhir.Problem("not-found", fmt.Sprintf("There is no operation %s at this address.", short(t.op)), fix)
}

func (op *Operation) run(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.readParameters(op); err != nil {
		return nil, err
	}
	return op.Run(ctx, c)
}

// Parameters are the parameters of an operation, in the order they were sent.
type Parameters []Parameter

// Parameter is one of them: a value or a resource, or parts. A value from an address has Type "string" whatever it means.
type Parameter struct {
	Name     string
	Type     string         // of Value: "string", "Coding", "Reference" …
	Value    *fhirjson.Node // nil when there is none
	Resource *fhirjson.Node
	Parts    Parameters
}

// Text is the parameter's primitive value as text.
func (p *Parameter) Text() string {
	if p == nil {
		return ""
	}
	return p.Value.Text()
}

// First is the first parameter of a name, or nil.
func (ps Parameters) First(name string) *Parameter {
	for i := range ps {
		if ps[i].Name == name {
			return &ps[i]
		}
	}
	return nil
}

// All are the parameters of a name.
func (ps Parameters) All(name string) (out []*Parameter) {
	for i := range ps {
		if ps[i].Name == name {
			out = append(out, &ps[i])
		}
	}
	return out
}

// Text is the text of the first parameter of a name, "" when there is none.
func (ps Parameters) Text(name string) string { return ps.First(name).Text() }

// readParameters takes the parameters of an operation from the address, a Parameters resource, or, when it has one parameter of
// type Resource, from the resource that was posted bare.
func (c *Call) readParameters(op *Operation) error {
	names := make([]string, 0, len(c.Query))
	for name := range c.Query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range c.Query[name] {
			n := fhirjson.NewString(v)
			c.Parameters = append(c.Parameters, Parameter{Name: name, Type: "string", Value: &n})
		}
	}
	if !c.empty() && !c.bare {
		n, err := c.Resource()
		if err != nil {
			return err
		}
		if n.Get("resourceType").Text() == "Parameters" {
			ps, issue := parametersOf(n.Get("parameter"), "Parameters.parameter")
			if issue != nil {
				return issue
			}
			c.Parameters = append(c.Parameters, ps...)
		} else if bare := op.resourceParam(); bare != "" {
			c.Parameters = append(c.Parameters, Parameter{Name: bare, Resource: n})
		} else {
			return fhir.Problem("structure", "The body is not a Parameters resource.", "Send the operation's parameters as a Parameters resource.").At("resourceType")
		}
	}
	return op.check(c.Parameters)
}

// resourceParam is the parameter that a resource posted bare stands for.
func (op *Operation) resourceParam() string {
	for _, p := range op.Params {
		if !p.Out && p.Type == "Resource" {
			return p.Name
		}
	}
	return ""
}

func parametersOf(list *fhirjson.Node, path string) (out Parameters, issue *fhir.Issue) {
	items := list.Items()
	for i := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		p := Parameter{Name: items[i].Get("name").Text()}
		if p.Name == "" {
			return nil, fhir.Problem("required", "A parameter has no name.", "Give each parameter its name.").At(at + ".name")
		}
		for j := range items[i].Members() {
			m := &items[i].Members()[j]
			switch typ, isValue := strings.CutPrefix(m.Name, "value"); {
			case m.Name == "resource":
				p.Resource = &m.Value
			case m.Name == "part":
				if p.Parts, issue = parametersOf(&m.Value, at+".part"); issue != nil {
					return nil, issue
				}
			case isValue && typ != "":
				if p.Value != nil {
					return nil, fhir.Problem("structure", "A parameter has two values.", "Keep one.").At(at)
				}
				p.Type, p.Value = typeOfValue(typ), &m.Value
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// typeOfValue names the type of value[x]: primitives start with a small letter.
func typeOfValue(suffix string) string {
	if fhir.Definition(suffix) != nil {
		return suffix
	}
	return strings.ToLower(suffix[:1]) + suffix[1:]
}

// check compares a call with the operation's parameters.
func (op *Operation) check(ps Parameters) error {
	var in []string
	for _, want := range op.Params {
		if want.Out {
			continue
		}
		in = append(in, want.Name)
		n := len(ps.All(want.Name))
		if n < want.Min {
			return fhir.Problem("required", fmt.Sprintf("The parameter %s of %s is missing.", want.Name, op.Name), "Add it. "+want.Doc).At("Parameters.parameter")
		}
		if want.Max >= 0 && n > max(want.Max, 1) {
			return fhir.Problem("structure", fmt.Sprintf("The parameter %s of %s is there %d times.", want.Name, op.Name, n), "Send it once.").At("Parameters.parameter")
		}
	}
	if op.Open {
		return nil
	}
	for _, p := range ps {
		if !slices.Contains(in, p.Name) {
			fix := op.Name + " takes no parameters."
			if len(in) > 0 {
				fix = op.Name + " takes: " + strings.Join(in, ", ") + "."
			}
			return fhir.Problem("not-supported", fmt.Sprintf("%s has no parameter %q.", op.Name, short(p.Name)), fix).At("Parameters.parameter")
		}
	}
	return nil
}
