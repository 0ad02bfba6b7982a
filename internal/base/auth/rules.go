package auth

import (
	"context"
	"slices"
	"sync"
	"time"

	"yarrow.health/internal/base/db"
)

// rules are everything a practice decided about access, as they were at one epoch. They are shared and not changed.
type rules struct {
	epoch    int64
	cells    []RoleRule // what differs from the default
	own      []OwnRole  // roles of its own, those that were retired too
	matrix   *matrix
	charts   []ChartProvision
	openings []opening // in an emergency, that had not ended when they were read
}

// ChartProvision is one rule about one patient's records: a restricted chart, or a provision of a consent.
type ChartProvision struct {
	Kind    ProvisionKind `json:"kind"`
	Patient string        `json:"patient"`          // id of the Patient resource
	Labels  int64         `json:"labels,omitempty"` // it is about records with these; 0: about the whole chart
	Actors  []string      `json:"actors,omitempty"` // "Practitioner/x", "Client/id"; Restrict: who stays inside
	Roles   []Role        `json:"roles,omitempty"`
	Except  []string      `json:"except,omitempty"` // Deny: actors it does not speak of
	From    time.Time     `json:"from,omitzero"`
	Until   time.Time     `json:"until,omitzero"` // zero: without end
}

// ProvisionKind says what a provision does.
type ProvisionKind string

// The kinds of provisions. Where several are about the same person, the stricter holds.
const (
	Restrict ProvisionKind = "restrict" // the chart bears labels of its own: who may not see these does not see the chart
	Permit   ProvisionKind = "permit"   // opens labels, or a restricted chart
	Deny     ProvisionKind = "deny"     // closes labels, or the chart
)

// asker is who a provision is held against.
type asker struct {
	user  int64
	names []string // "Practitioner/x" or "Client/id"
	roles roleSet
	open  int64 // labels of restricted charts that do not close them: a program the practice opened them for
}

// named says whether a provision speaks of the asker: by name (alone), or by role.
func (p *ChartProvision) named(who asker) (byName, byRole bool) {
	for _, n := range who.names {
		byName = byName || slices.Contains(p.Actors, n)
	}
	return byName, rolesOf(p.Roles)&who.roles != 0
}

// closedToAll are labels that close a chart even to those who care for patients, unless they are named: colleagues
// and people of public interest.
const closedToAll = LabelVeryRestricted | LabelVIP

// chartsFor applies the provisions to somebody's access. until is when one of them begins or ends next; zero: never.
func (r *rules) chartsFor(who asker, a *Access, now time.Time) (out *Access, until time.Time) {
	type state struct {
		shut, closed bool
		permitted    int64
		denied       int64
		let          bool
		glass        bool
	}
	by := map[string]*state{}
	of := func(id string) *state {
		if by[id] == nil {
			by[id] = &state{}
		}
		return by[id]
	}
	next := func(t time.Time) {
		if t.After(now) && (until.IsZero() || t.Before(until)) {
			until = t
		}
	}
	for i := range r.charts {
		p := &r.charts[i]
		next(p.From)
		next(p.Until)
		if now.Before(p.From) || !p.Until.IsZero() && !now.Before(p.Until) {
			continue
		}
		byName, byRole := p.named(who)
		switch p.Kind {
		case Restrict:
			if !byName && (p.Labels&a.Forbidden != 0 || p.Labels&closedToAll&^who.open != 0) {
				of(p.Patient).shut = true
			}
		case Permit:
			// Notes kept apart open to a person whom the patient named, never to a role.
			switch {
			case byName && p.Labels == 0, byRole && p.Labels == 0:
				of(p.Patient).let = true
			case byName:
				of(p.Patient).permitted |= p.Labels
			case byRole:
				of(p.Patient).permitted |= p.Labels &^ notesApart
			}
		case Deny:
			all := len(p.Actors) == 0 && len(p.Roles) == 0
			switch {
			case !byName && !byRole && !all, slices.ContainsFunc(who.names, func(n string) bool { return slices.Contains(p.Except, n) }):
			case p.Labels == 0:
				of(p.Patient).closed = true
			default:
				of(p.Patient).denied |= p.Labels
			}
		}
	}
	for _, o := range r.openings {
		if who.user != 0 && o.User == who.user && now.Before(o.Until) {
			of(o.Patient).glass = true
			next(o.Until)
		}
	}
	if len(by) == 0 {
		return a, until
	}
	b := *a
	b.Charts = make(map[string]ChartRule, len(by))
	for id, s := range by {
		switch {
		case s.glass:
			b.Charts[id] = ChartRule{Forbidden: notesApart}
		case s.closed, s.shut && !s.let:
			b.Charts[id] = ChartRule{Closed: true}
		default:
			b.Charts[id] = ChartRule{Forbidden: a.Forbidden&^s.permitted | s.denied}
		}
	}
	return &b, until
}

// forStaff is what a person reaches in the practice, and until when that holds without being asked anew.
func (r *rules) forStaff(p Practice, user int64, practitioner string, set roleSet, now time.Time) (*Access, permissionSet, time.Time) {
	who := asker{user: user, roles: set}
	if practitioner != "" {
		who.names = append(who.names, practitioner)
	}
	a, until := r.chartsFor(who, r.matrix.access(set), now)
	return p.Access.apply(a), r.matrix.may(set), until
}

// rulesCache keeps the rules of the practices in use.
type rulesCache struct {
	mu      sync.Mutex
	by      map[db.PracticeID]heldRules
	forgets uint64
}

type heldRules struct {
	*rules
	read time.Time
}

// rulesOf gives the rules of a practice, at most a second old on every node.
func (a *Auth) rulesOf(ctx context.Context, p db.PracticeID) (*rules, error) {
	c := &a.rules
	c.mu.Lock()
	held, forgets := c.by[p], c.forgets
	c.mu.Unlock()
	if held.rules != nil && a.fresh(held.read) {
		return held.rules, nil
	}
	now := a.clock.Now()
	r := held.rules
	err := a.db.View(ctx, SystemScope(p, "rules"), func(tx *db.Tx) error {
		epoch, err := kernelEpoch(ctx, tx)
		if err != nil || r != nil && r.epoch == epoch {
			return err
		}
		r, err = loadRules(ctx, tx, epoch)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgets == forgets {
		if c.by == nil {
			c.by = map[db.PracticeID]heldRules{}
		}
		c.by[p] = heldRules{r, now}
	}
	return r, nil
}

// forget makes the next request read the epoch. Call it when a change is durable.
func (c *rulesCache) forget(p db.PracticeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	if h, ok := c.by[p]; ok {
		h.read = time.Time{}.Add(-time.Hour)
		h.rules = nil
		c.by[p] = h
	}
}

// changed counts the epoch in the transaction that changes rules, and has every node read them anew when it is durable.
func (a *Auth) changed(ctx context.Context, tx *db.Tx) error {
	p := tx.Practice()
	tx.OnCommit(func() { a.rules.forget(p) })
	return countEpoch(ctx, tx)
}
