package operations

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/keeping"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Keeping returns $expunge and $legal-hold: for people with the permission who have just proved to be themself, never for programs.
func Keeping(k *keeping.Keeper) []fhirapi.Operation {
	reason := fhirapi.Param{Name: "reason", Type: "string", Max: 1, Doc: "Why, in 5 to 200 characters without naming the patient."}
	return []fhirapi.Operation{
		{Name: "$expunge", Levels: fhirapi.System | fhirapi.Type | fhirapi.Instance, Affects: true, URL: "https://yarrow.health/fhir/OperationDefinition/expunge",
			Params: []fhirapi.Param{
				{Name: "expungeDeletedResources", Type: "boolean", Max: 1, Doc: "Destroy what was deleted, with all its versions."},
				{Name: "expungePreviousVersions", Type: "boolean", Max: 1, Doc: "Destroy the superseded versions of one resource."},
				{Name: "expungeEverything", Type: "boolean", Max: 1, Doc: "Destroy the whole record of one patient."},
				{Name: "limit", Type: "integer", Max: 1, Doc: "How many resources at most, up to 1000."}, reason,
			},
			Doc: "Destroys records for good, where the practice's rules for keeping them and legal holds allow it, and gives a receipt. The audit keeps the ids.",
			Run: func(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) { return expunge(ctx, c, k) }},
		{Name: "$legal-hold", Levels: fhirapi.System | fhirapi.Instance, Types: []string{"Patient"}, Affects: true, URL: "https://yarrow.health/fhir/OperationDefinition/legal-hold",
			Params: []fhirapi.Param{
				{Name: "action", Type: "code", Min: 1, Max: 1, Doc: "place, lift or list; at a Patient for that record, at the base for the whole practice."},
				{Name: "hold", Type: "string", Max: 1, Doc: "The number of the hold to lift."}, reason,
			},
			Doc: "Keeps a record from being destroyed, or everything; lifts such a hold, and lists them.",
			Run: func(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) { return legalHold(ctx, c, k) }},
	}
}

// person insists on somebody who is signed in: a program cannot prove again who it is.
func person(c *fhirapi.Call) (auth.Staff, error) {
	who, ok := c.Scope.(auth.Staff)
	if !ok || c.Nested() {
		return who, fhir.Problem("forbidden", "Only a person decides over the destruction of records, one order at a time.", "Sign in, and send it from the practice's own pages.")
	}
	return who, nil
}

func expunge(ctx context.Context, c *fhirapi.Call, k *keeping.Keeper) (*fhirapi.Answer, error) {
	who, err := person(c)
	if err != nil {
		return nil, err
	}
	o := keeping.Order{Type: c.Type, ID: c.ID, Reason: c.Parameters.Text("reason"), Deleted: c.Parameters.Text("expungeDeletedResources") == "true",
		Versions: c.Parameters.Text("expungePreviousVersions") == "true", Everything: c.Parameters.Text("expungeEverything") == "true"}
	if text := c.Parameters.Text("limit"); text != "" {
		if o.Limit, err = strconv.Atoi(text); err != nil || o.Limit < 1 {
			return nil, fhir.Problem("value", "limit is not a whole number from 1.", "Send a number of resources up to 1000.").At("limit")
		}
	}
	r, err := k.Expunge(ctx, who, o)
	if err != nil {
		return nil, err
	}
	c.See(audit.Event{Action: audit.ActionDelete, Type: c.Type, ID: c.ID, Detail: fmt.Sprintf("$expunge, receipt %d", r.ID), Links: r.Removed})
	ps := []fhirjson.Node{named("receipt", "valueString", strconv.FormatInt(r.ID, 10)), named("digest", "valueString", "sha256:"+r.Digest), named("signed", "valueString", r.Signed),
		named("when", "valueInstant", r.At.Format("2006-01-02T15:04:05.000000Z")), named("reason", "valueString", r.Reason), named("what", "valueCode", r.What),
		named("count", "valueInteger", fhirjson.NewNumber(strconv.Itoa(r.Count))), named("kept", "valueInteger", fhirjson.NewNumber(strconv.Itoa(r.Kept)))}
	if !r.Earliest.IsZero() {
		ps = append(ps, named("earliest", "valueDate", r.Earliest.Format(time.DateOnly)))
	}
	for _, ref := range r.Removed {
		ps = append(ps, named("removed", "valueString", ref))
	}
	for _, ref := range r.Shared {
		ps = append(ps, named("shared", "valueString", ref))
	}
	return parameters(ps...), nil
}

func legalHold(ctx context.Context, c *fhirapi.Call, k *keeping.Keeper) (*fhirapi.Answer, error) {
	who, err := person(c)
	if err != nil {
		return nil, err
	}
	switch c.Parameters.Text("action") {
	case "place":
		h, err := k.Place(ctx, who, c.ID, c.Parameters.Text("reason"))
		if err != nil {
			return nil, err
		}
		return parameters(holdOf(h)), nil
	case "lift":
		id, err := strconv.ParseInt(c.Parameters.Text("hold"), 10, 64)
		if err != nil {
			return nil, fhir.Problem("value", "hold is not the number of a hold.", "Take it from the list of holds.").At("hold")
		}
		if err := k.Lift(ctx, who, id, c.Parameters.Text("reason")); err != nil {
			return nil, err
		}
	case "list":
	default:
		return nil, fhir.Problem("value", "action has a value it does not know.", "Use place, lift or list.").At("action")
	}
	list, err := k.Holds(ctx, who)
	if err != nil {
		return nil, err
	}
	var ps []fhirjson.Node
	for _, h := range list {
		if c.ID == "" || h.Patient == c.ID {
			ps = append(ps, holdOf(h))
			if h.Patient != "" {
				c.See(audit.Event{Action: audit.ActionRead, Type: "Patient", ID: h.Patient, Patient: "Patient/" + h.Patient, Detail: "legal hold"})
			}
		}
	}
	return parameters(ps...), nil
}

func holdOf(h keeping.Hold) fhirjson.Node {
	parts := []fhirjson.Node{named("id", "valueString", strconv.FormatInt(h.ID, 10)), named("reason", "valueString", h.Reason), named("placed", "valueInstant", h.Placed.Format(time.RFC3339))}
	if h.Patient != "" {
		parts = append(parts, named("patient", "valueReference", fhir.RefTo("Patient/"+h.Patient, "")))
	}
	if !h.Lifted.IsZero() {
		parts = append(parts, named("lifted", "valueInstant", h.Lifted.Format(time.RFC3339)), named("why", "valueString", h.Why))
	}
	return fhir.Object("name", "hold", "part", fhirjson.NewArray(parts...))
}

func named(name, value string, v any) fhirjson.Node { return fhir.Object("name", name, value, v) }

func parameters(ps ...fhirjson.Node) *fhirapi.Answer {
	n := fhir.Object("resourceType", "Parameters")
	if len(ps) > 0 {
		n.Set("parameter", fhirjson.NewArray(ps...))
	}
	return &fhirapi.Answer{Resource: n.AppendJSON(nil)}
}
