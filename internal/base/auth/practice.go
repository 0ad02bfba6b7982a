package auth

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Practice is one practice as everybody may know it.
type Practice struct {
	ID       db.PracticeID
	Slug     string // its place in every URL; it never changes
	Name     string
	Settings Settings
	SignOn   SignOnRule
	Access   AccessState
}

// Settings of a practice's sessions.
type Settings struct {
	Idle     time.Duration // without activity, a session locks; default 15 minutes
	Absolute time.Duration // a session ends, whatever happens; default 12 hours
	MFA      bool          // a second factor is required; on by default
}

// The settings a practice begins with, and the widest it may choose (NIST SP 800-63B-4 §2.2.3 for AAL2: 24 hours,
// 1 hour idle).
const (
	DefaultIdle     = 15 * time.Minute
	DefaultAbsolute = 12 * time.Hour
	maxIdle         = time.Hour
	maxAbsolute     = 24 * time.Hour
)

var slugForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// reservedSlugs are first segments of URLs that are not practices.
var reservedSlugs = []string{"healthz", "readyz", "metrics", "favicon", "robots", "well-known", "api", "static", "assets"}

func checkSlug(slug string) error {
	if len(slug) > 40 || !slugForm.MatchString(slug) || slices.Contains(reservedSlugs, slug) {
		return fhir.Problem("value", "This short name cannot stand in web addresses.",
			"Use 1 to 40 small letters, digits and single hyphens, beginning with a letter, and not a reserved word.")
	}
	return nil
}

// AddPractice makes a practice and returns its number. When it was interrupted, the same slug continues it.
func (a *Auth) AddPractice(ctx context.Context, slug, name string) (db.PracticeID, error) {
	if err := checkPractice(slug, name); err != nil {
		return 0, err
	}
	name = strings.TrimSpace(name)
	existing, err := a.db.Practices(ctx)
	if err != nil {
		return 0, err
	}
	var id db.PracticeID
	err = a.db.Do(ctx, system("add practice"), func(tx *db.Tx) error {
		var err error
		id, err = beginPractice(ctx, tx, slug, name, existing)
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := a.db.Create(ctx, id); err != nil {
		return 0, err
	}
	by := SystemScope(id, "add practice")
	e := audit.Event{Action: audit.ActionAdmin, Type: "Practice", ID: slug, Detail: "practice added"}
	err = a.change(ctx, by, e, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, setPracticeState, 0, int64(id), stateActive)
		return err
	})
	a.known.forget()
	return id, err
}

// AdoptPractice lists a practice whose store came from elsewhere, by a restore, under a slug and a name. Nobody can sign
// in to it until people are added. An Issue of code "conflict" says that the number or the slug is taken.
func (a *Auth) AdoptPractice(ctx context.Context, id db.PracticeID, slug, name string) error {
	if err := checkPractice(slug, name); err != nil {
		return err
	}
	by := SystemScope(id, "adopt practice")
	e := audit.Event{Action: audit.ActionAdmin, Type: "Practice", ID: slug, Detail: "practice adopted after a restore"}
	defer a.known.forget()
	if err := a.change(ctx, by, e, func(tx *db.Tx) error { return adoptPractice(ctx, tx, id, slug, strings.TrimSpace(name)) }); err != nil {
		return err
	}
	// What the practice holds came with its agreement.
	signed, err := a.Agreements(ctx, by)
	if err != nil || len(signed) == 0 {
		return err
	}
	return a.ChangeAccessState(ctx, by, func(s *AccessState) { s.BAA = signed[0].Signed })
}

func checkPractice(slug, name string) error {
	if err := checkSlug(slug); err != nil {
		return err
	}
	if name = strings.TrimSpace(name); name == "" || len(name) > 200 {
		return fhir.Problem("value", "A practice needs a name of at most 200 bytes.", "Give the name people know it by.")
	}
	return nil
}

// PracticeBySlug finds a practice; an Issue of code "not-found" when there is none.
func (a *Auth) PracticeBySlug(ctx context.Context, slug string) (Practice, error) {
	return a.findPractice(ctx, func(p Practice) bool { return p.Slug == slug })
}

// PracticeByID finds a practice by its number.
func (a *Auth) PracticeByID(ctx context.Context, id db.PracticeID) (Practice, error) {
	return a.findPractice(ctx, func(p Practice) bool { return p.ID == id })
}

// NoPractice tells the error of a practice that is not there from that of a database which does not say.
func NoPractice(err error) bool {
	var i *fhir.Issue
	return errors.As(err, &i) && i.Code == "not-found"
}

func (a *Auth) findPractice(ctx context.Context, want func(Practice) bool) (Practice, error) {
	all, err := a.Practices(ctx)
	if err != nil {
		return Practice{}, err
	}
	if i := slices.IndexFunc(all, want); i >= 0 {
		return all[i], nil
	}
	return Practice{}, fhir.Problem("not-found", "There is no such practice here.", "Check the address.")
}

// Practices lists every practice in the order of their numbers. The slice is shared: do not change it.
func (a *Auth) Practices(ctx context.Context) ([]Practice, error) {
	return a.known.get(a, func() ([]Practice, error) {
		var out []Practice
		err := a.db.View(ctx, system("practices"), func(tx *db.Tx) error {
			var err error
			out, err = practices(ctx, tx)
			return err
		})
		return out, err
	})
}

// SetSettings changes how the sessions of the caller's practice behave.
func (a *Auth) SetSettings(ctx context.Context, by db.Scope, s Settings) error {
	if err := may(by, PracticeAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	if s.Idle < time.Minute || s.Idle > maxIdle || s.Absolute < s.Idle || s.Absolute > maxAbsolute {
		return fhir.Problem("value", "These times are outside what is safe.",
			"Lock between 1 minute and 1 hour without activity, and end sessions after 24 hours at most.")
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Setting", Detail: "session settings changed"}
	defer a.forgetPractice(by.Practice())
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, setPracticeSettings, 0, int64(by.Practice()),
			int64(s.Idle/time.Second), int64(s.Absolute/time.Second), oneIf(s.MFA))
		return err
	})
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// forgetPractice drops what is cached about a practice and its sessions.
func (a *Auth) forgetPractice(p db.PracticeID) {
	a.known.forget()
	a.sessions.forget(func(e *cached) bool { return e.practice.ID == p })
}

// freshFor is how long something read from PostgreSQL is used again. With the quarter of a second in which open
// streams look, a revocation takes effect within a second on every node.
const freshFor = 750 * time.Millisecond

// fresh says whether something read at a time may still be used without asking the database: for ever on SQLite,
// where this process makes every change, and for freshFor on PostgreSQL, where other processes do too.
func (a *Auth) fresh(read time.Time) bool {
	if a.db.Engine() == db.SQLite {
		return true
	}
	age := a.clock.Since(read) // negative when the clock was set back
	return age >= 0 && age < freshFor
}

// practiceCache keeps the list of practices.
type practiceCache struct {
	mu   sync.Mutex
	list []Practice
	read time.Time
	ok   bool
}

func (c *practiceCache) get(a *Auth, load func() ([]Practice, error)) ([]Practice, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ok && a.fresh(c.read) {
		return c.list, nil
	}
	now := a.clock.Now()
	list, err := load()
	if err == nil {
		c.list, c.read, c.ok = list, now, true
	}
	return list, err
}

// agreed says whether the last list that was read has a practice with an agreement. It never waits for the database.
func (c *practiceCache) agreed(p db.PracticeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.list {
		if c.list[i].ID == p {
			return !c.list[i].Access.BAA.IsZero()
		}
	}
	return false
}

func (c *practiceCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ok = false
}
