package fhirapi

import (
	"context"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// inCompartment narrows a search to a compartment.
func inCompartment(q *fhirsearch.Query, within string) error {
	return fhir.Problem("not-supported", "Compartments cannot be searched here yet.", "Search the type with the reference, such as [base]/Observation?patient=Patient/x.")
}

func (a *API) compartmentAll(ctx context.Context, c *Call) (*Answer, error) {
	return nil, fhir.Problem("not-supported", "Compartments cannot be searched here yet.", "Search the types with the reference, such as [base]/Observation?patient=Patient/x.")
}
