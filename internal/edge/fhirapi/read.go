package fhirapi

import (
	"context"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
)

// readOne answers GET [base]/Type/id.
func (a *API) readOne(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls("_summary", "_elements"); err != nil {
		return nil, err
	}
	var r *fhirstore.Resource
	err := c.glance(ctx, func(tx *db.Tx) (err error) {
		r, err = a.o.Store.Read(ctx, tx, c.Type, c.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.SeeResource(audit.ActionRead, r)
	return answerWith(r), nil
}

// readVersion answers GET [base]/Type/id/_history/version.
func (a *API) readVersion(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls("_summary", "_elements"); err != nil {
		return nil, err
	}
	var r *fhirstore.Resource
	err := c.View(ctx, func(tx *db.Tx) (err error) {
		r, err = a.o.Store.ReadVersion(ctx, tx, c.Type, c.ID, c.Version)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.SeeResource(audit.ActionRead, r)
	return answerWith(r), nil
}
