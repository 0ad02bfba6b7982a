package fhirapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// create answers POST [base]/Type, with If-None-Exist a conditional create.
func (a *API) create(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls(); err != nil {
		return nil, err
	}
	p, err := c.prepare(ctx, true)
	if err != nil {
		return nil, err
	}
	condition := strings.TrimPrefix(c.Header("If-None-Exist"), "?")
	return c.joinWhere(ctx, condition, func(tx *db.Tx) (*Answer, error) {
		if condition != "" {
			r, err := a.o.Store.Only(ctx, tx, c.Type, condition)
			if err != nil {
				return nil, conditional(err)
			}
			if r != nil {
				// R4 http, section 3.1.0.8.1: nothing is created, and the one that is there is the answer.
				ans := written(r, http.StatusOK)
				c.SeeResource("read", r)
				return ans, nil
			}
		}
		r, err := c.Owner(c.Type).Create(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		return written(r, http.StatusCreated).of(p), nil
	})
}

// update answers PUT [base]/Type/id. It creates what is not there, for clients that may choose ids.
func (a *API) update(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls(); err != nil {
		return nil, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return nil, err
	}
	p, err := c.prepare(ctx, false)
	if err != nil {
		return nil, err
	}
	if p.ID != c.ID {
		return nil, fhir.Problem("value", "The id in the body is not the one of the address.", "Send the "+c.Type+" with the id of the address.").At(c.Type + ".id")
	}
	none := strings.TrimSpace(c.Header("If-None-Match")) == "*"
	return c.join(ctx, func(tx *db.Tx) (*Answer, error) {
		if err := c.mayPut(ctx, tx, c.Type, c.ID); err != nil {
			return nil, preconditioned(err, version)
		}
		r, err := c.Owner(c.Type).Update(ctx, tx, p, version)
		if err != nil {
			return nil, preconditioned(err, version)
		}
		if r.Created {
			return written(r, http.StatusCreated).of(p), nil
		}
		if none {
			return nil, withStatus(http.StatusPreconditionFailed, fhir.Problem("conflict", "There is already a "+c.Type+" with this id.", "Leave If-None-Match out to replace it."))
		}
		return written(r, http.StatusOK).of(p), nil
	})
}

// mayPut refuses a PUT under an id that is not there for the scope, unless the scope may choose ids: it may where nothing of the
// type can be hidden from it, or where the type is in nobody's record. To anybody else the answer would tell which ids are taken
// by resources they may not see, so that they update what they see and create with POST. What was deleted can be written anew.
func (c *Call) mayPut(ctx context.Context, tx *db.Tx, typ, id string) error {
	if c.mayChooseID(typ) {
		return nil
	}
	found, err := c.Store().Reaches(ctx, tx, typ, id, auth.CanUpdate)
	if err == nil && !found {
		err = notFound(typ)
	}
	return err
}

func (c *Call) mayChooseID(typ string) bool { return MayChooseID(c.Scope, typ) }

// MayChooseID says whether a scope may write a resource of a type under an id of its own choice: one to whom it would tell which ids
// are taken by what it may not see, may not.
func MayChooseID(s db.Scope, typ string) bool {
	access := auth.AccessOf(s)
	if !access.Allows(typ, auth.CanCreate) {
		return false
	}
	if _, narrowed := access.Narrowed(typ, auth.CanRead|auth.CanUpdate); narrowed {
		return false
	}
	return nobodys(typ) || access.Compartment == "" && access.Forbidden == 0 && len(access.Charts) == 0
}

// nobodys says that resources of a type are in nobody's record.
func nobodys(typ string) bool {
	return fhirstore.Shared(typ) && len(fhir.Compartment("Patient", typ)) == 0
}

func notFound(typ string) *fhir.Issue {
	return fhir.Problem("not-found", "There is no such "+typ+", or you may not see it.", "Check the id.")
}

// updateWhere answers PUT [base]/Type?condition.
func (a *API) updateWhere(ctx context.Context, c *Call) (*Answer, error) {
	condition, err := c.condition()
	if err != nil {
		return nil, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return nil, err
	}
	p, err := c.prepare(ctx, false)
	if err != nil {
		return nil, err
	}
	return c.joinWhere(ctx, condition, func(tx *db.Tx) (*Answer, error) {
		found, err := a.o.Store.Only(ctx, tx, c.Type, condition)
		if err != nil {
			return nil, conditional(err)
		}
		write := p
		switch {
		case found == nil && version != 0:
			return nil, preconditioned(notFound(c.Type), version)
		case found == nil && p.Fresh():
			r, err := c.Owner(c.Type).Create(ctx, tx, p)
			if err != nil {
				return nil, err
			}
			return written(r, http.StatusCreated).of(p), nil
		case found != nil && p.Fresh():
			if write, err = a.o.Store.WithID(p, found.ID); err != nil {
				return nil, err
			}
		case found != nil && p.ID != found.ID:
			return nil, fhir.Problem("value", "The resource that answers the condition has another id.", "Leave the id out of the body, or send the id found.").At(c.Type + ".id")
		}
		if err := c.mayPut(ctx, tx, c.Type, write.ID); err != nil {
			return nil, preconditioned(err, version)
		}
		r, err := c.Owner(c.Type).Update(ctx, tx, write, version)
		if err != nil {
			return nil, preconditioned(err, version)
		}
		if r.Created {
			return written(r, http.StatusCreated).of(write), nil
		}
		return written(r, http.StatusOK).of(write), nil
	})
}

// remove answers DELETE [base]/Type/id.
func (a *API) remove(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls(); err != nil {
		return nil, err
	}
	version, err := c.ifMatch()
	if err != nil {
		return nil, err
	}
	return c.join(ctx, func(tx *db.Tx) (*Answer, error) {
		// What never was there is answered like what may not be seen; what was deleted before is deleted.
		found, err := a.o.Store.Reaches(ctx, tx, c.Type, c.ID, auth.CanDelete)
		if err == nil && !found {
			err = notFound(c.Type)
		}
		if err != nil {
			return nil, preconditioned(err, version)
		}
		if err := c.Owner(c.Type).Delete(ctx, tx, c.Type, c.ID, version); err != nil {
			return nil, preconditioned(err, version)
		}
		return &Answer{Status: http.StatusNoContent}, nil
	})
}

// deleteWhere answers DELETE [base]/Type?condition: one resource at most.
func (a *API) deleteWhere(ctx context.Context, c *Call) (*Answer, error) {
	condition, err := c.condition()
	if err != nil {
		return nil, err
	}
	if text := c.Header(deleteCount); text != "" {
		return a.deleteAll(ctx, c, condition, text)
	}
	return c.joinWhere(ctx, condition, func(tx *db.Tx) (*Answer, error) {
		found, err := a.o.Store.Only(ctx, tx, c.Type, condition)
		if err != nil {
			return nil, conditional(err)
		}
		if found != nil {
			if err := c.Owner(c.Type).Delete(ctx, tx, c.Type, found.ID, found.Version); err != nil {
				return nil, err
			}
		}
		return &Answer{Status: http.StatusNoContent}, nil
	})
}

// deleteCount is the header by which a client says how many resources a conditional delete is to take: no slip of a condition deletes
// more than was meant.
const deleteCount = "X-Delete-Count"

// maxDelete bounds a conditional delete of several.
const maxDelete = 1000

// deleteAll deletes what answers the condition, when it is exactly as many as the client says: all of them or none.
func (a *API) deleteAll(ctx context.Context, c *Call, condition, text string) (*Answer, error) {
	want, err := strconv.Atoi(text)
	if err != nil || want < 0 || want > maxDelete {
		return nil, fhir.Problem("value", deleteCount+" is not a number of resources.", fmt.Sprintf("Send how many are to be deleted, up to %d.", maxDelete)).At("http." + deleteCount)
	}
	return c.Do(ctx, func(tx *db.Tx) (*Answer, error) {
		found, err := a.o.Store.Several(ctx, tx, c.Type, condition, want+1)
		if err != nil {
			return nil, conditional(err)
		}
		if len(found) != want {
			more := strconv.Itoa(len(found))
			if len(found) > want {
				more = "more than " + strconv.Itoa(want)
			}
			return nil, conditional(fhir.Problem("multiple-matches", fmt.Sprintf("%s resources answer the condition, not %d: nothing was deleted.", more, want), "Search by the condition, look at what it finds, and send how many there are."))
		}
		for _, r := range found {
			if err := c.Owner(c.Type).Delete(ctx, tx, c.Type, r.ID, r.Version); err != nil {
				return nil, err
			}
		}
		return &Answer{Resource: fhir.Outcome(fhir.Issue{Severity: "information", Code: "informational", Text: fmt.Sprintf("%d resources were deleted.", want)})}, nil
	})
}

// condition is the search after the question mark of a conditional write.
func (c *Call) condition() (string, error) {
	if len(c.Query) == 0 {
		return "", fhir.Problem("required", "Without an id the address needs a condition.", "Write [base]/"+c.Type+"/id, or [base]/"+c.Type+"?identifier=system|value.")
	}
	return c.Query.Encode(), nil
}

// prepare readies the body for the store.
func (c *Call) prepare(ctx context.Context, fresh bool) (*fhirstore.Prepared, error) {
	if c.empty() {
		return nil, fhir.Problem("required", "The request has no body.", "Send the "+c.Type+" to be stored.")
	}
	store := c.Store()
	var p *fhirstore.Prepared
	var err error
	switch {
	case c.x.sent != formatJSON || c.nested:
		n, derr := c.Resource()
		if derr != nil {
			return nil, derr
		}
		if fresh {
			n.Delete("id")
		}
		p, err = store.PrepareNode(ctx, n)
	case fresh:
		p, err = store.PrepareNew(ctx, c.Body)
	default:
		p, err = store.Prepare(ctx, c.Body)
	}
	if err != nil {
		return nil, err
	}
	c.Warn(p.Warnings...)
	c.seek(p)
	if p.Type != c.Type {
		return nil, fhir.Problem("value", fmt.Sprintf("The body is a %s, and the address is that of a %s.", p.Type, c.Type), "Send it to [base]/"+p.Type+", or send a "+c.Type+".").At("resourceType")
	}
	return p, nil
}

// seek has the write look whether what the resource refers to is here, as the practice wants it. What would only be a warning is
// not looked for where nobody is told.
func (c *Call) seek(p *fhirstore.Prepared) {
	if c.x.targets == fhirstore.MustTarget || c.nested || c.x.prefer.ret == "OperationOutcome" {
		p.Seek(c.x.targets)
	}
}

// of has the answer carry what the write of p found about its references.
func (a *Answer) of(p *fhirstore.Prepared) *Answer {
	a.unmet = p.Unmet()
	return a
}

// written answers a write with what is stored now.
func written(r *fhirstore.Resource, status int) *Answer {
	return &Answer{Status: status, Resource: r.Raw, Version: r.Version, Updated: r.Updated, wrote: true, typ: r.Type,
		Location: r.Type + "/" + r.ID + "/_history/" + strconv.FormatInt(r.Version, 10)}
}

// preconditioned gives the failure of an If-Match its status, 412. What is not there has no version that could match
// (RFC 9110 section 13.1.1).
func preconditioned(err error, version int64) error {
	var i *fhir.Issue
	if version != 0 && errors.As(err, &i) && i.Code == "not-found" {
		return withStatus(http.StatusPreconditionFailed, fhir.Problem("not-found", i.Text, "Leave If-Match out to create it, or check the id."))
	}
	return err
}

// conditional gives the failure of a condition its status: more than one match is 412.
func conditional(err error) error {
	var i *fhir.Issue
	if errors.As(err, &i) && i.Code == "multiple-matches" {
		return withStatus(http.StatusPreconditionFailed, i)
	}
	return err
}
