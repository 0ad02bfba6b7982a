package graphql

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// wrong is an Issue about a place in the query.
func wrong(code, text, fix string, at *ast.Position) *fhir.Issue {
	i := fhir.Problem(code, text, fix)
	if at != nil {
		i.Line, i.Column = at.Line, at.Column
	}
	return i
}

func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// variables settles what the operation's variables are: what was sent, else the default.
func variables(op *ast.OperationDefinition, sent *fhirjson.Node) (map[string]*fhirjson.Node, error) {
	vars := map[string]*fhirjson.Node{}
	for _, d := range op.VariableDefinitions {
		if _, twice := vars[d.Variable]; twice {
			return nil, wrong("structure", fmt.Sprintf("The variable $%s is declared twice.", short(d.Variable)), "Declare it once.", d.Position)
		}
		v := sent.Get(d.Variable)
		switch {
		case v != nil && !(v.Kind() == fhirjson.Null && d.Type.NonNull):
			vars[d.Variable] = v
		case d.DefaultValue != nil:
			n, err := literal(d.DefaultValue)
			if err != nil {
				return nil, err
			}
			vars[d.Variable] = &n
		case d.Type.NonNull:
			return nil, wrong("required", fmt.Sprintf("The variable $%s has no value.", short(d.Variable)), "Send it in variables.", d.Position)
		default:
			n := fhirjson.NewNull()
			vars[d.Variable] = &n
		}
	}
	return vars, nil
}

// literal is a value of the query without variables as JSON.
func literal(v *ast.Value) (fhirjson.Node, error) {
	switch v.Kind {
	case ast.IntValue, ast.FloatValue:
		if fhirjson.ValidNumber(v.Raw) {
			return fhirjson.NewNumber(v.Raw), nil
		}
	case ast.StringValue, ast.BlockValue, ast.EnumValue:
		return fhirjson.NewString(v.Raw), nil
	case ast.BooleanValue:
		return fhirjson.NewBool(v.Raw == "true"), nil
	case ast.NullValue:
		return fhirjson.NewNull(), nil
	case ast.ListValue:
		out := fhirjson.NewArray()
		for _, c := range v.Children {
			n, err := literal(c.Value)
			if err != nil {
				return n, err
			}
			out.Append(n)
		}
		return out, nil
	}
	return fhirjson.NewNull(), wrong("value", "This value cannot be used here.", "Use a text, a number, true, false, a name, or a list of them.", v.Position)
}

// values are the texts of an argument: one, or those of a list; none for null.
func (r *run) values(a *ast.Argument) ([]string, error) {
	return r.texts(a.Value, a.Name)
}

func (r *run) texts(v *ast.Value, name string) (out []string, err error) {
	switch v.Kind {
	case ast.Variable:
		n, ok := r.vars[v.Raw]
		if !ok {
			return nil, wrong("value", fmt.Sprintf("There is no variable $%s.", short(v.Raw)), "Declare it after the name of the query, such as query($"+short(v.Raw)+": String).", v.Position)
		}
		return plain(n, name, v.Position)
	case ast.ListValue:
		for _, c := range v.Children {
			some, err := r.texts(c.Value, name)
			if err != nil {
				return nil, err
			}
			out = append(out, some...)
		}
		return out, nil
	}
	n, err := literal(v)
	if err != nil {
		return nil, err
	}
	return plain(&n, name, v.Position)
}

func plain(n *fhirjson.Node, name string, at *ast.Position) (out []string, err error) {
	switch n.Kind() {
	case fhirjson.Null:
		return nil, nil
	case fhirjson.String, fhirjson.Number, fhirjson.Bool:
		return []string{n.Text()}, nil
	case fhirjson.Array:
		for i := range n.Items() {
			some, err := plain(&n.Items()[i], name, at)
			if err != nil {
				return nil, err
			}
			out = append(out, some...)
		}
		return out, nil
	}
	return nil, wrong("value", fmt.Sprintf("The value of %s is an object.", short(name)), "Use a text, a number, true, false, a name, or a list of them.", at)
}

// one is the single text of an argument; "" when it is not there.
func (r *run) one(list ast.ArgumentList, name string) (string, error) {
	a := list.ForName(name)
	if a == nil {
		return "", nil
	}
	v, err := r.values(a)
	if err != nil || len(v) == 0 {
		return "", err
	}
	if len(v) > 1 {
		return "", wrong("value", name+" has more than one value.", "Send one.", a.Position)
	}
	return v[0], nil
}

// number is an argument that counts, or otherwise when it is not there.
func (r *run) number(list ast.ArgumentList, name string, otherwise int) (int, error) {
	text, err := r.one(list, name)
	if err != nil || text == "" {
		return otherwise, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, wrong("value", name+" is not a whole number from 0.", "Write it as "+name+": 10.", list.ForName(name).Position)
	}
	return n, nil
}

// truth is an argument that is true or false.
func (r *run) truth(list ast.ArgumentList, name string) (bool, error) {
	text, err := r.one(list, name)
	if err == nil && text != "" && text != "true" && text != "false" {
		err = wrong("value", name+" is neither true nor false.", "Write true or false.", list.ForName(name).Position)
	}
	return text == "true", err
}
