package fhirapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// act carries out one interaction.
type act func(ctx context.Context, c *Call) (*Answer, error)

// methodIssue is a refusal with 405 and what the address allows.
type methodIssue struct {
	*fhir.Issue
	allow []string
}

func (m *methodIssue) Unwrap() error { return m.Issue }

// resolve finds what a method does at an address. open interactions need nobody to be signed in.
func (a *API) resolve(method string, t target) (do act, open bool, err error) {
	acts := a.acts(t)
	if t.shape == operation && len(acts) == 0 {
		return nil, false, a.noOperation(t)
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if do = acts[method]; do == nil {
		return nil, false, &methodIssue{fhir.Problem("not-supported", method+" does nothing at this address.",
			"Use one of: "+strings.Join(methodsOf(acts), ", ")+"."), methodsOf(acts)}
	}
	return do, t.shape == metadata, nil
}

// acts is what each method does at an address; HEAD is a GET without its body.
func (a *API) acts(t target) map[string]act {
	switch t.shape {
	case system:
		return map[string]act{"GET": a.searchAll, "POST": a.bundle}
	case metadata:
		return map[string]act{"GET": a.capabilities}
	case systemSearch:
		return map[string]act{"POST": a.searchAll}
	case resourceType:
		return map[string]act{"GET": a.search, "POST": a.create, "PUT": a.updateWhere, "PATCH": a.patchWhere, "DELETE": a.deleteWhere}
	case typeSearch, compartmentFind:
		return map[string]act{"POST": a.search}
	case instance:
		return map[string]act{"GET": a.readOne, "PUT": a.update, "PATCH": a.patch, "DELETE": a.remove}
	case version:
		return map[string]act{"GET": a.readVersion}
	case history, typeHistory, systemHistory:
		return map[string]act{"GET": a.history}
	case compartment:
		return map[string]act{"GET": a.search}
	case operation:
		op := a.operation(t)
		if op == nil {
			return nil
		}
		m := map[string]act{"POST": op.run}
		if !op.Affects {
			m["GET"] = op.run
		}
		return m
	}
	return nil
}

func methodsOf(acts map[string]act) []string {
	var out []string
	for m := range acts {
		out = append(out, m)
	}
	if acts["GET"] != nil {
		out = append(out, "HEAD")
	}
	out = append(out, "OPTIONS")
	slices.Sort(out)
	return out
}
