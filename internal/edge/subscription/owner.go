package subscription

import (
	"context"
	"errors"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Owner keeps the rules of Subscriptions that programs write. It is a fhirstore.Owner.
type Owner struct{ hub *Hub }

// Owner returns the owner of Subscriptions.
func (h *Hub) Owner() *Owner { return &Owner{h} }

// Create takes a new subscription; the receiver is asked for a handshake next.
func (o *Owner) Create(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared) (*fhirstore.Resource, error) {
	s, n, err := o.hub.taken(ctx, tx, p, nil)
	if err != nil {
		return nil, err
	}
	ready, err := o.hub.o.Store.PrepareNode(ctx, n)
	if err != nil {
		return nil, err
	}
	r, err := o.hub.o.Store.Create(ctx, tx, ready)
	if err != nil {
		return nil, err
	}
	return r, o.hub.begin(ctx, tx, s, nil, r)
}

// Update changes a subscription, which then starts again with a handshake. Only the program that made it may.
func (o *Owner) Update(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared, ifVersion int64) (*fhirstore.Resource, error) {
	old, err := loadSub(ctx, tx, p.ID)
	if err != nil {
		return nil, err
	}
	if old != nil && old.Asker != fhirapi.Asker(tx.Scope()) {
		return nil, fhir.Problem("forbidden", "This Subscription was made by another program.", "Make one of your own; an administrator can pause or end this one.")
	}
	s, n, err := o.hub.taken(ctx, tx, p, old)
	if err != nil {
		return nil, err
	}
	ready, err := o.hub.o.Store.PrepareNode(ctx, n)
	if err != nil {
		return nil, err
	}
	r, err := o.hub.o.Store.Update(ctx, tx, ready, ifVersion)
	if err != nil {
		return nil, err
	}
	return r, o.hub.begin(ctx, tx, s, old, r)
}

// Delete ends a subscription and forgets its events.
func (o *Owner) Delete(ctx context.Context, tx *db.Tx, typ, id string, ifVersion int64) error {
	if err := o.hub.o.Store.Delete(ctx, tx, typ, id, ifVersion); err != nil {
		return err
	}
	return deleteSub(ctx, tx, hashOf(tx, id))
}

// taken is the subscription that a program asks for, and the resource as it will be stored.
func (h *Hub) taken(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared, old *sub) (*sub, *fhirjson.Node, error) {
	kept, err := authority(ctx)
	if err != nil {
		return nil, nil, err
	}
	n := p.Node().Clone()
	var before *terms
	s := &sub{ID: p.ID, h: hashOf(tx, p.ID), due: tx.NowMicro()}
	if old != nil {
		*s, before = *old, &old.Terms
	}
	t, err := read(&n, before)
	if err != nil {
		return nil, nil, err
	}
	actor := tx.Scope().Actor()
	s.Terms, s.Held, s.Asker, s.Name, s.For = *t, kept, fhirapi.Asker(tx.Scope()), actor.Display, behalf(actor)
	s.Failures, s.Problem, s.Remedy, s.FailedAt, s.Shaken, s.lease = 0, "", "", 0, false, 0
	switch n.Get("status").Text() {
	case "off":
		s.state = off
	default:
		s.state = requested
		if t.Channel == webSocket {
			s.state = active // the receiver comes by itself
		}
	}
	n.Set("status", fhirjson.NewString(s.state.code()))
	n.Delete("error")
	masked(&n)
	owned(&n, actor)
	return s, &n, nil
}

// owned marks a Subscription as that of the program, and of the person it acts for: by this tag the kernel knows whose it is. What the
// sender wrote there counts for nothing.
func owned(n *fhirjson.Node, by db.Actor) {
	tags := fhirjson.NewArray()
	meta := object()
	if m := n.Get("meta"); m != nil {
		meta = m.Clone()
	}
	items := meta.Get("tag").Items()
	for i := range items {
		if items[i].Get("system").Text() != auth.SubscriberSystem {
			tags.Append(items[i].Clone())
		}
	}
	tags.Append(object("system", auth.SubscriberSystem, "code", auth.Subscriber(by)))
	meta.Set("tag", tags)
	n.Set("meta", meta)
}

// begin stores a subscription whose resource was written just now, and has it looked after.
func (h *Hub) begin(ctx context.Context, tx *db.Tx, s, old *sub, r *fhirstore.Resource) error {
	switch {
	case s.state == off:
		s.Begun = false
	case s.state == active && !s.Begun:
		if err := h.awaken(ctx, tx, s, r.Updated.UnixMicro()); err != nil {
			return err
		}
	}
	if old == nil {
		if err := insertSub(tx, s); err != nil {
			return err
		}
	} else if ok, err := storeSub(ctx, tx, s); err != nil || !ok {
		if err == nil {
			err = fhir.Problem("conflict", "This Subscription was changed meanwhile.", "Send it again.")
		}
		return err
	}
	if s.state != off {
		if err := h.plan(ctx, tx); err != nil {
			return err
		}
	}
	p := tx.Practice()
	tx.OnCommit(func() { h.man(p) })
	return nil
}

// awaken has events made for a subscription of the changes after a number: that of the write of its resource, which is taken until the
// commit, so that whoever sees a later change sees the subscription too; or of the last change before its first handshake leaves.
func (h *Hub) awaken(ctx context.Context, tx *db.Tx, s *sub, since int64) error {
	s.Begun, s.Since = true, since
	all, err := loadSubs(ctx, tx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.live() && o.h != s.h {
			return nil
		}
	}
	return startMark(ctx, tx, s.Since) // nobody waits for what was before
}

// errLost says that somebody else has changed the subscription since it was read.
var errLost = errors.New("subscription: somebody else has changed this")

// become stores a subscription in its new state, in the resource too. The error is errLost when somebody else has changed it since it
// was read; the transaction must then fail.
func (h *Hub) become(ctx context.Context, tx *db.Tx, s *sub, to status) error {
	if s.state != to {
		r, err := h.o.Store.Read(ctx, tx, "Subscription", s.ID)
		if err != nil {
			return err
		}
		n := r.Node().Clone()
		n.Set("status", fhirjson.NewString(to.code()))
		n.Delete("error")
		if (to == failing || to == off) && s.Problem != "" {
			n.Set("error", fhirjson.NewString(s.Problem))
		}
		p, err := h.o.Store.PrepareNode(ctx, &n)
		if err != nil {
			return err
		}
		var i *fhir.Issue
		if r, err = h.o.Store.Update(ctx, tx, p, r.Version); errors.As(err, &i) && i.Code == "conflict" {
			return errLost
		} else if err != nil {
			return err
		}
		switch {
		case to == off:
			s.Begun = false
		case to == active && !s.Begun:
			if err := h.awaken(ctx, tx, s, r.Updated.UnixMicro()); err != nil {
				return err
			}
		}
		s.state = to
	}
	ok, err := storeSub(ctx, tx, s)
	if err == nil && !ok {
		err = errLost
	}
	return err
}

// stop turns a subscription off.
func (h *Hub) stop(ctx context.Context, p db.PracticeID, s *sub, why *fhir.Issue) error {
	now := *s
	now.lease = 0
	now.because(why, h.clock.Now().UnixMicro())
	err := h.o.DB.Do(ctx, self(p), func(tx *db.Tx) error {
		try := now
		return h.become(ctx, tx, &try, off)
	})
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}

// ended says whether an error of Resume means that the authority is over.
func ended(err error) bool {
	var i *fhir.Issue
	return errors.As(err, &i) && (i.Code == "login" || i.Code == "forbidden" || i.Code == "unknown" || i.Code == "expired")
}
