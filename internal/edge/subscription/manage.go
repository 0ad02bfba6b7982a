package subscription

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

// Host is one that a practice's programs may have told what happens.
type Host struct {
	Name      string    `json:"name"` // with its port unless that is 443
	Agreement string    `json:"agreement"`
	By        string    `json:"by"` // who allowed it
	At        time.Time `json:"at"`
}

func (h Host) destination() (egress.Destination, error) {
	name, port, err := net.SplitHostPort(h.Name)
	if err != nil {
		return egress.Destination{Host: h.Name, Purpose: "subscriptions", Agreement: h.Agreement}, nil
	}
	n, err := strconv.Atoi(port)
	return egress.Destination{Host: name, Ports: []int{n}, Purpose: "subscriptions", Agreement: h.Agreement}, err
}

// View is a subscription as an administrator sees it. It holds no patient data and no secrets.
type View struct {
	ID, Program, Topic string
	For                string // whom the program acts for: staff, patient, or "" for nobody
	Title              string // of the topic
	Filters            []string
	Channel, Host      string
	Shows              string // empty, id-only or full-resource
	Signed             bool
	State              string // requested, active, error or off
	Paused             bool
	Waiting            int64 // events that were not taken yet
	Events             int64
	Delivered          time.Time   // zero for never
	Problem            *fhir.Issue // why the last try failed, or why it is off; nil for nothing
	FailedAt           time.Time
	NextTry            time.Time // zero for none
	Allowed            bool      // the host may be sent to
}

// List gives the subscriptions of the practice, those in trouble first, and the hosts that may be sent to.
func (h *Hub) List(ctx context.Context, who auth.Staff) (views []View, hosts []Host, err error) {
	if !who.Can(auth.PracticeAdmin) {
		return nil, nil, denied()
	}
	err = h.o.DB.View(ctx, who, func(tx *db.Tx) error {
		all, err := loadSubs(ctx, tx)
		if err != nil {
			return err
		}
		if hosts, err = loadHosts(ctx, tx); err != nil {
			return err
		}
		views = nil
		for _, s := range all {
			views = append(views, s.view(hosts))
		}
		return nil
	})
	slices.SortFunc(hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	rank := map[string]int{"error": 0, "requested": 1, "off": 2, "active": 3}
	slices.SortStableFunc(views, func(a, b View) int {
		if d := rank[a.State] - rank[b.State]; d != 0 {
			return d
		}
		return strings.Compare(a.Program+a.ID, b.Program+b.ID)
	})
	return views, hosts, err
}

func (s *sub) view(hosts []Host) View {
	v := View{ID: s.ID, Program: s.Name, For: s.For, Topic: s.Terms.Topic, Filters: s.Terms.Filters, Channel: s.Terms.Channel, Host: s.Terms.host(), Shows: s.Terms.Shows,
		Signed: len(s.Terms.Secret) > 0, State: s.state.code(), Paused: s.Paused, Waiting: s.n - s.sent, Events: s.n}
	if t := topicOf(s.Terms.Topic); t != nil {
		v.Title = t.Title
	}
	v.Allowed = v.Host == "" || slices.ContainsFunc(hosts, func(o Host) bool { return o.Name == v.Host })
	if s.delivered != 0 {
		v.Delivered = time.UnixMicro(s.delivered)
	}
	if s.Problem != "" {
		v.Problem = &fhir.Issue{Severity: "error", Code: "processing", Text: s.Problem, Fix: s.Remedy}
	}
	if s.FailedAt != 0 {
		v.FailedAt = time.UnixMicro(s.FailedAt)
	}
	if s.state != off && s.Failures > 0 && !s.Paused && s.due < never {
		v.NextTry = time.UnixMicro(s.due)
	}
	return v
}

func denied() error {
	return fhir.Problem("forbidden", "You may not look after programs.", "Ask an administrator of the practice.")
}

// Pause keeps the events of a subscription until [Hub.Resume].
func (h *Hub) Pause(ctx context.Context, who auth.Staff, id string) error {
	return h.decide(ctx, who, id, "subscription paused", func(tx *db.Tx, s *sub) error {
		s.Paused = true
		return h.become(ctx, tx, s, s.state)
	})
}

// Resume sends again, first what was kept.
func (h *Hub) Resume(ctx context.Context, who auth.Staff, id string) error {
	return h.decide(ctx, who, id, "subscription resumed", func(tx *db.Tx, s *sub) error {
		s.Paused, s.due = false, tx.NowMicro()
		return h.become(ctx, tx, s, s.state)
	})
}

// Retry tries at once what failed. One that is off starts again with a handshake; what it had not taken is sent then.
func (h *Hub) Retry(ctx context.Context, who auth.Staff, id string) error {
	return h.decide(ctx, who, id, "subscription tried again", func(tx *db.Tx, s *sub) error {
		to := s.state
		if s.state == off {
			to, s.Shaken = requested, false
			if s.Terms.Channel == webSocket {
				to = active
			}
		}
		s.Failures, s.due, s.lease = 0, tx.NowMicro(), 0
		if err := h.become(ctx, tx, s, to); err != nil {
			return err
		}
		return h.plan(ctx, tx)
	})
}

// End turns a subscription off.
func (h *Hub) End(ctx context.Context, who auth.Staff, id string) error {
	return h.decide(ctx, who, id, "subscription ended", func(tx *db.Tx, s *sub) error {
		s.because(overByHand(), tx.NowMicro())
		return h.become(ctx, tx, s, off)
	})
}

// decide does what an administrator decided about a subscription. The transaction is Yarrow's own, for nobody else writes the state of
// a program's subscription; the record says who decided.
func (h *Hub) decide(ctx context.Context, who auth.Staff, id, what string, do func(tx *db.Tx, s *sub) error) error {
	if !who.Can(auth.PracticeAdmin) {
		return denied()
	}
	if err := h.o.Audit.Seen(ctx, who, audit.Event{Action: audit.ActionAdmin, Type: "Subscription", ID: id, Detail: what}); err != nil {
		return err
	}
	return h.o.DB.Do(ctx, self(who.Practice()), func(tx *db.Tx) error {
		s, err := loadSub(ctx, tx, id)
		if err != nil {
			return err
		}
		if s == nil {
			return fhir.Problem("not-found", "There is no such subscription.", "It may have been deleted. Look at the list again.")
		}
		p := tx.Practice()
		tx.OnCommit(func() { h.man(p) })
		return do(tx, s)
	})
}

// Allow puts a host on the list of those that may be told. What waited for it is tried at once.
func (h *Hub) Allow(ctx context.Context, who auth.Staff, name, agreement string) error {
	name, agreement = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(agreement)
	if !who.Can(auth.PracticeAdmin) {
		return denied()
	}
	if agreement == "" || len(agreement) > 200 {
		return fhir.Problem("required", "The agreement that covers the host is missing.", "Name the business associate agreement or contract, in up to 200 characters.").At("agreement")
	}
	host := Host{Name: strings.TrimSuffix(name, ":443"), Agreement: agreement, By: who.Name(), At: h.clock.Now().UTC()}
	d, err := host.destination()
	if err == nil {
		err = h.o.Egress.Allow(d)
	}
	if err != nil || !strings.Contains(name, ".") && !h.o.Private {
		return fhir.Problem("value", "This is not the name of one host.", "Write it as hooks.example.org, without scheme and path.").At("host").Because(err)
	}
	if err := h.o.Audit.Seen(ctx, who, audit.Event{Action: audit.ActionAdmin, Detail: "host allowed for subscriptions: " + host.Name}); err != nil {
		return err
	}
	return h.o.DB.Do(ctx, self(who.Practice()), func(tx *db.Tx) error {
		if err := storeHost(ctx, tx, host); err != nil {
			return err
		}
		all, err := loadSubs(ctx, tx)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.state != off && s.Failures > 0 && s.Terms.host() == host.Name {
				s.Failures, s.due = 0, tx.NowMicro()
				if err := h.become(ctx, tx, s, s.state); err != nil {
					return err
				}
			}
		}
		p := tx.Practice()
		tx.OnCommit(func() { h.man(p) })
		return nil
	})
}

// Forbid takes a host off the list: nothing is sent there from then on.
func (h *Hub) Forbid(ctx context.Context, who auth.Staff, name string) error {
	if !who.Can(auth.PracticeAdmin) {
		return denied()
	}
	if err := h.o.Audit.Seen(ctx, who, audit.Event{Action: audit.ActionAdmin, Detail: "host taken off the list for subscriptions: " + name}); err != nil {
		return err
	}
	return h.o.DB.Do(ctx, self(who.Practice()), func(tx *db.Tx) error { return deleteHost(ctx, tx, name) })
}
