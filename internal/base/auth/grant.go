package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"sync"
	"time"

	"yarrow.health/internal/base/db"
)

// AppGrant is what a program was granted, as base/oauth keeps it with a token.
type AppGrant struct {
	Practice   db.PracticeID
	ClientID   string
	ClientName string
	TokenID    string // names the token in the audit; it opens nothing
	User       int64  // the person of the practice on whose behalf it acts; 0 for none
	Granted    int64  // when that person granted it, in microseconds since 1970
	Patient    string // "Patient/x" in whose name it was granted, for that record; "" for none
	Proxy      bool   // who granted it stands for the patient: what is kept from them is kept from the program
	Access     Access // what the scopes allow, before the person, the patient and the practice narrow it
	Open       int64  // labels the practice opened for a program that acts for nobody; notes kept apart stay closed
}

// AppScope makes the scope of one request of a program. It is asked for every request: a person who was disabled,
// or lost a role, takes the access of programs acting for them along within a second. The error is an Issue of code
// "login" when the grant opens nothing any more. Only base/oauth may call it (architecture_test checks).
func (a *Auth) AppScope(ctx context.Context, g AppGrant) (App, error) {
	p, err := a.PracticeByID(ctx, g.Practice)
	if err != nil {
		return App{}, goneIsOut(err)
	}
	if p.Access.Contract == ContractClosed || g.ClientID == "" || g.User != 0 && g.Patient != "" {
		return App{}, signedOut()
	}
	actor := db.Actor{Kind: kindApp, Display: g.ClientName, Client: g.ClientID, Session: g.TokenID, UserID: g.User, FHIR: g.Patient}
	r, err := a.rulesOf(ctx, p.ID)
	if err != nil {
		return App{}, err
	}
	var bound Access
	switch {
	case g.User != 0:
		m, err := a.member(ctx, p, g.User)
		if err != nil {
			return App{}, err
		}
		if m.void != 0 && g.Granted <= m.void { // it does not come back with a person who is enabled again
			return App{}, signedOut()
		}
		actor.Role = m.roles.text()
		if m.practitioner != "" {
			actor.FHIR = "Practitioner/" + m.practitioner
		}
		if actor.OnBehalf = actor.FHIR; actor.OnBehalf == "" { // people at the desk have no resource
			actor.OnBehalf = "User/" + strconv.FormatInt(g.User, 10)
		}
		access, _, _ := r.forStaff(p, g.User, actor.FHIR, m.roles, a.clock.Now())
		bound = *access
	case g.Patient != "":
		bound = *p.Access.apply(patientAccess(g.Patient))
		actor.OnBehalf = g.Patient
		if g.Proxy {
			bound.Forbidden |= LabelAdolescent
		}
	default:
		who := asker{names: []string{"Client/" + g.ClientID}, open: g.Open}
		access, _ := r.chartsFor(who, &Access{All: true, Forbidden: beyondCare&^g.Open | notesApart}, a.clock.Now())
		bound = *p.Access.apply(access)
	}
	if g.User != 0 || g.Patient != "" {
		bound = p.Access.withOwn(bound, g.Access, actor)
	}
	both := bound.Within(g.Access)
	return App{Seal: db.NewSeal(p.ID, actor), access: &both}, nil
}

// SubscriberSystem is the system of the tag by which a stored Subscription says whose it is; see [Subscriber].
const SubscriberSystem = "https://yarrow.health/fhir/subscriber"

// Subscriber is the code of that tag: the same for the same program acting for the same person, and no name of either.
func Subscriber(by db.Actor) string {
	person := "user " + strconv.FormatInt(by.UserID, 10)
	if by.UserID == 0 {
		person = by.OnBehalf // "Patient/x", or "" for a program that acts by itself
	}
	sum := sha256.Sum256([]byte(by.Client + "\n" + person))
	return hex.EncodeToString(sum[:12])
}

// withOwn adds what a program that acts for a person reaches beside what the person does: the Subscriptions that it made for them. No
// role gives any, so that nobody sees, by way of a program, who else is told what.
func (s AccessState) withOwn(bound, granted Access, by db.Actor) Access {
	bits := canAll
	if s.Contract != ContractActive {
		bits = canLook
	}
	if !granted.All {
		bits &= granted.Types["Subscription"]
	}
	if bits == 0 || bound.All || len(bound.Types) == 0 {
		return bound
	}
	bound.Types, bound.Narrow = maps.Clone(bound.Types), maps.Clone(bound.Narrow)
	if bound.Narrow == nil {
		bound.Narrow = map[string][]Narrowing{}
	}
	bound.Types["Subscription"] = bits
	bound.Narrow["Subscription"] = []Narrowing{{Params: "_tag=" + SubscriberSystem + "%7C" + Subscriber(by), Bits: bits}}
	return bound
}

// PatientGrant says whose record somebody signed in to the portal may see.
type PatientGrant struct {
	Practice db.PracticeID
	User     int64  // the person signed in: the patient or somebody acting for them
	Name     string // of the person signed in
	Patient  string // "Patient/x" whose record it is
	Proxy    bool   // the person is not the patient: confidential care of a minor stays hidden
	Session  string // names the session in the audit
	Access   Access // what the portal offers, before the compartment narrows it
}

// PatientScope makes the scope of one portal request. Only the portal's sign-in may call it (architecture_test
// checks). The error is an Issue of code "login" when the practice is closed.
func (a *Auth) PatientScope(ctx context.Context, g PatientGrant) (Patient, error) {
	p, err := a.PracticeByID(ctx, g.Practice)
	if err != nil {
		return Patient{}, goneIsOut(err)
	}
	if p.Access.Contract == ContractClosed || g.Patient == "" {
		return Patient{}, signedOut()
	}
	bound := patientAccess(g.Patient)
	if g.Proxy {
		bound.Forbidden |= LabelAdolescent
	}
	both := p.Access.apply(bound).Within(g.Access)
	actor := db.Actor{Kind: kindPatient, Display: g.Name, UserID: g.User, FHIR: g.Patient, Session: g.Session}
	if g.Proxy {
		actor.OnBehalf = g.Patient
	}
	return Patient{Seal: db.NewSeal(p.ID, actor), access: &both}, nil
}

// Themself says that a scope is a patient's own, at the portal or by a program that the patient let in: nobody stands for them.
func Themself(s db.Scope, patient string) bool {
	access, by := AccessOf(s), s.Actor()
	if patient == "" || access.Compartment != patient || access.Forbidden&LabelAdolescent != 0 {
		return false
	}
	switch s.(type) {
	case Patient:
		return by.OnBehalf == ""
	case App:
		return by.UserID == 0 && by.OnBehalf == patient
	}
	return false
}

// patientAccess is the most a patient, or a program acting for one, ever reaches: their own compartment without the
// notes kept apart (45 CFR 164.524(a)(1)(i), 42 CFR 2.11) and what is not to be shown to the patient.
func patientAccess(patient string) *Access {
	return &Access{Types: typesForPatient(), Compartment: patient, Forbidden: notesApart | LabelPatientHidden}
}

// typesForPatient is every type that any row of the table gives somebody, except what is about the practice alone.
var typesForPatient = sync.OnceValue(func() map[string]Bits {
	out := map[string]Bits{}
	for t, b := range everybody.access().Types {
		if t != "AuditEvent" {
			out[t] = b &^ CanDelete
		}
	}
	return out
})

// ClientID is the program's registered id.
func (a App) ClientID() string { return a.Actor().Client }

// UserID is the person on whose behalf the program acts; 0 for none.
func (a App) UserID() int64 { return a.Actor().UserID }

// ForRequest returns the scope with the id of the request, which the audit keeps.
func (a App) ForRequest(id string) App {
	if a.Valid() {
		by := a.Actor()
		by.Request = id
		a.Seal = db.NewSeal(a.Practice(), by)
	}
	return a
}

// member is what a person is in a practice at present.
type member struct {
	name, practitioner string
	roles              roleSet
	void               int64 // what they granted up to this moment counts no more, in microseconds since 1970
	read               time.Time
}

// memberCache keeps members for as long as [Auth.fresh] allows.
type memberCache struct {
	mu      sync.Mutex
	by      map[memberKey]member
	forgets uint64
}

type memberKey struct {
	practice db.PracticeID
	user     int64
}

// member finds an active person of a practice; the "login" Issue when there is none.
func (a *Auth) member(ctx context.Context, p Practice, user int64) (member, error) {
	c, key := &a.members, memberKey{p.ID, user}
	c.mu.Lock()
	m, ok := c.by[key]
	forgets := c.forgets
	c.mu.Unlock()
	if ok && a.fresh(m.read) {
		return m, nil
	}
	m = member{read: a.clock.Now()}
	err := a.db.View(ctx, system("member"), func(tx *db.Tx) error {
		who, err := findPerson(ctx, tx, personOfID, p.ID, user)
		if err == nil && (who.id == 0 || !who.active) {
			err = signedOut()
		}
		m.name, m.practitioner, m.roles, m.void = who.display, who.practitioner, who.roles, who.void
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.by, key)
		return member{}, onlyIssue(err)
	}
	if c.forgets == forgets {
		if c.by == nil || len(c.by) >= maxCached {
			c.by = map[memberKey]member{}
		}
		c.by[key] = m
	}
	return m, nil
}

func (c *memberCache) forget(user int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	for k := range c.by {
		if k.user == user {
			delete(c.by, k)
		}
	}
}
