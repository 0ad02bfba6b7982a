// Package validation is the operation $validate of the FHIR interface: a client asks whether a resource could be stored
// and what is wrong with it, without storing it.
//
// It owns the operation's parameters and modes. Judging is package profile's, the practice's guides are package
// guides'. It never writes.
package validation

import (
	"context"
	"net/http"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

// Operation returns $validate (http://hl7.org/fhir/R4/resource-operation-validate.html) for every type.
func Operation(g *guides.Guides) fhirapi.Operation {
	return fhirapi.Operation{Name: "$validate", Levels: fhirapi.Type | fhirapi.Instance,
		URL: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
		Doc: "Tells whether a resource could be stored, and what is wrong with it. Nothing is stored.",
		Params: []fhirapi.Param{
			{Name: "resource", Type: "Resource", Max: 1, Doc: "What to check. At an instance without it, what is stored there."},
			{Name: "mode", Type: "code", Max: 1, Doc: "create, update, delete or profile. In the mode profile what can be stored and read but is wrong is an error too."},
			{Name: "profile", Type: "canonical", Max: -1, Doc: "A profile to check against, beside those that the resource names."},
		},
		Run: func(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) { return run(ctx, c, g) },
	}
}

// outcome answers with what was found: 200 whether valid or not, for the question was answered.
func outcome(issues fhir.Issues) *fhirapi.Answer {
	if len(issues) == 0 {
		issues = fhir.Issues{{Severity: "information", Code: "informational", Text: "The resource is valid."}}
	}
	return &fhirapi.Answer{Status: http.StatusOK, Resource: fhir.Outcome(issues...)}
}

func run(ctx context.Context, c *fhirapi.Call, g *guides.Guides) (*fhirapi.Answer, error) {
	mode := c.Parameters.First("mode").Text()
	switch mode {
	case "", "create", "update", "delete", "profile":
	default:
		return nil, fhir.Problem("value", "There is no mode of this name.", "Use create, update, delete or profile.").At("mode")
	}
	if mode == "delete" {
		return deletable(ctx, c)
	}
	n, raw, err := subject(ctx, c)
	if err != nil {
		return nil, err
	}
	v, policy, err := g.Validator(ctx, c.Scope.Practice())
	if err != nil {
		return nil, err
	}
	// Whether it could be stored is not asked in the mode profile, so what readers of a resource can live with counts there.
	o := profile.Options{Now: c.Now(), Strict: mode == "profile", Examples: true}
	if policy == guides.WarnOnly {
		o.Declared = profile.Warn
	}
	for _, p := range c.Parameters.All("profile") {
		o.Profiles = append(o.Profiles, p.Text())
	}
	if mode == "profile" && len(o.Profiles) == 0 {
		return nil, fhir.Problem("required", "The mode profile needs a profile to check against.", "Add the parameter profile.").At("profile")
	}
	issues := agrees(c, n, mode)
	issues = append(issues, v.Validate(n, o)...)
	if mode != "profile" {
		unmet, err := unmet(ctx, c, n)
		if err != nil {
			return nil, err
		}
		issues = append(issues, unmet...)
	}
	if raw != nil {
		issues.Locate(raw)
	}
	return outcome(issues), nil
}

// unmet are the references that lead to nothing the caller may see, as the practice takes them when the resource is stored.
func unmet(ctx context.Context, c *fhirapi.Call, n *fhirjson.Node) (issues fhir.Issues, err error) {
	policy, err := c.Store().TargetPolicy(ctx, c.Scope)
	if err != nil {
		return nil, err
	}
	err = c.View(ctx, func(tx *db.Tx) error {
		issues, err = c.Store().Unmet(ctx, tx, n, policy)
		return err
	})
	return issues, err
}

// subject is the resource in question: of the parameters, of the body, or the one stored at the address. raw are the
// bytes it was read from where places in them mean something to who asked.
func subject(ctx context.Context, c *fhirapi.Call) (n *fhirjson.Node, raw []byte, err error) {
	if p := c.Parameters.First("resource"); p != nil && p.Resource != nil {
		return p.Resource, c.Body, nil
	}
	if len(c.Body) > 0 {
		n, err := c.Resource()
		if err != nil {
			return nil, nil, err
		}
		if n.Get("resourceType").Text() != "Parameters" || c.Type == "Parameters" {
			return n, c.Body, nil
		}
	}
	if c.ID == "" {
		return nil, nil, fhir.Problem("required", "There is no resource to check.", "Send it as the body, or in a Parameters resource as the parameter resource.")
	}
	r, err := stored(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	c.SeeResource("read", r)
	return r.Node(), nil, nil
}

func stored(ctx context.Context, c *fhirapi.Call) (r *fhirstore.Resource, err error) {
	err = c.View(ctx, func(tx *db.Tx) error {
		r, err = c.Store().Read(ctx, tx, c.Type, c.ID)
		return err
	})
	return r, err
}

// agrees checks that the resource fits the address and the mode.
func agrees(c *fhirapi.Call, n *fhirjson.Node, mode string) fhir.Issues {
	var out fhir.Issues
	typ, id := n.Get("resourceType").Text(), n.Get("id").Text()
	if c.Type != "" && typ != c.Type {
		out = append(out, *fhir.Problem("value", "The resource is not of the type of the address.", "Send it to [base]/"+safe(typ)+"/$validate, or send a "+c.Type+".").At("resourceType"))
	}
	switch {
	case mode == "create" && c.ID != "":
		out = append(out, *fhir.Problem("value", "A resource is created at its type, not at an instance.", "Ask at [base]/"+c.Type+"/$validate."))
	case mode == "update" && id == "":
		out = append(out, *fhir.Problem("required", "An update names the id of the resource.", "Add the id.").At(typ + ".id"))
	case mode == "update" && c.ID != "" && id != c.ID:
		out = append(out, *fhir.Problem("value", "The id is not that of the address.", "Write the id of the address into the resource.").At(typ + ".id"))
	}
	return out
}

func safe(typ string) string {
	if fhir.IsResourceType(typ) {
		return typ
	}
	return "{type}"
}

// deletable answers mode=delete: whether the resource is there to be deleted by who asks.
func deletable(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	if c.ID == "" {
		return nil, fhir.Problem("required", "A deletion names the resource.", "Ask at [base]/"+strings.TrimSpace(c.Type)+"/{id}/$validate.")
	}
	r, err := stored(ctx, c)
	if err != nil {
		return nil, err
	}
	c.SeeResource("read", r)
	return outcome(fhir.Issues{{Severity: "information", Code: "informational", Text: "The resource is there and can be deleted by who may delete it."}}), nil
}
