package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// How long a grant stands at most. With offline_access a program may come back for a year without asking, and longer while it
// comes at least every three months; anything else ends with the session in which it was granted.
const (
	offlineLasts = 365 * 24 * time.Hour
	// offlineLeast is what is left at least after each use of a refresh token: § 170.315(g)(10)(v)(A)(2) asks for three months.
	offlineLeast = 93 * 24 * time.Hour
	onlineLasts  = 24 * time.Hour
	systemLasts  = 365 * 24 * time.Hour
)

// grantBody is what is sealed in oauth_grant.body.
type grantBody struct {
	Scopes    string `json:"scopes"`
	Patient   string `json:"patient,omitempty"`   // in context
	Encounter string `json:"encounter,omitempty"` // in context
	Granter   string `json:"granter,omitempty"`   // "Patient/x" in whose name it was granted
	Proxy     bool   `json:"proxy,omitempty"`     // by somebody who stands for that patient
	FHIRUser  string `json:"fhirUser,omitempty"`
	Name      string `json:"name,omitempty"` // of the person
	Session   int64  `json:"session,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
	AuthTime  int64  `json:"authTime,omitempty"`
	Launched  bool   `json:"launched,omitempty"`
}

// Grant is what a person, or the practice, let a program do.
type Grant struct {
	ID      int64
	Client  *Client // nil when it was removed
	Scopes  []Scope
	User    int64  // of staff; 0 for patients and for programs that act by themselves
	Name    string // of the person
	Patient string // id of the patient in context, "" for none
	Created time.Time
	Used    time.Time
	Expires time.Time
	Offline bool // stands without the person
}

// grant is a row of oauth_grant.
type grant struct {
	id                     int64
	client                 string
	user, patient          int64
	created, used, expires int64
	ended                  string
	grantBody
}

func (g *grant) offline() bool { scopes, _ := ParseScopes(g.Scopes); return Has(scopes, ScopeOffline) }

// Question is what a person is asked when a program wants in.
type Question struct {
	Client      *Client
	Scopes      []Scope
	PickPatient bool   // the person has to choose whose record it is about
	Patient     string // id of the patient it is about; "" when there is none, or none yet
	Encounter   string
	Launched    bool // started from an open chart
	Skip        bool // need not be asked: the administrator has decided for staff who start it from a chart
	Silent      bool // must not be asked
}

// subject is who answers.
type subject struct {
	user    int64
	granter string // "Patient/x"
	proxy   bool   // they stand for that patient
	self    string // FHIR reference of the person
	name    string
	session int64
	proved  time.Time
}

// subjectOf reads who answers from a scope: staff, or a patient at the portal. Nobody else can grant anything.
func subjectOf(p auth.Practice, who db.Scope) (subject, bool) {
	if who == nil || !who.Valid() || who.Practice() != p.ID {
		return subject{}, false
	}
	switch who := who.(type) {
	case auth.Staff:
		return subject{user: who.UserID(), self: who.Practitioner(), name: who.Name(), session: int64(who.Session()), proved: who.ProvedAt()}, true
	case auth.Patient:
		// What a patient may hand on is their own compartment, and who is signed in for them no more than they see.
		record := auth.AccessOf(who).Compartment
		return subject{granter: record, proxy: !auth.Themself(who, record), self: record, name: who.Actor().Display}, strings.HasPrefix(record, "Patient/")
	}
	return subject{}, false
}

// Question reads a request for the person who is to answer it. The error is an Issue for the screen, or a *[Refusal].
func (s *Server) Question(ctx context.Context, p auth.Practice, who db.Scope, id, browser string) (Question, error) {
	a, c, err := s.open(ctx, p, id, browser)
	if err != nil {
		return Question{}, err
	}
	by, ok := subjectOf(p, who)
	if !ok {
		return Question{}, expired()
	}
	if err := a.Launch.check(who); err != nil {
		return Question{}, err
	}
	scopes, _ := ParseScopes(a.Scopes)
	q := Question{Client: c, Scopes: scopes, Silent: a.Silent, Launched: a.Launch != nil, Skip: a.Launch != nil && c.Trusted && !a.Again}
	switch {
	case a.Launch != nil:
		q.Patient, q.Encounter = a.Launch.Patient, a.Launch.Encounter
	case by.granter != "":
		q.Patient = strings.TrimPrefix(by.granter, "Patient/")
	default:
		q.PickPatient = Has(scopes, ScopeLaunchPatient)
	}
	return q, nil
}

// check refuses a launch in another person's or another session's hands.
func (l *launched) check(who db.Scope) error {
	staff, _ := who.(auth.Staff)
	if !l.fits(staff) {
		return fhir.Problem("forbidden", "This program was started by somebody else, or in another session.", "Start it again from the chart.")
	}
	return nil
}

// Answer is what a person decided.
type Answer struct {
	Scopes    []string // what they let through; more than was asked counts for nothing
	Patient   string   // id of the patient they chose, which the caller has found them to see
	Encounter string
}

// Grant makes what a person decided and gives the address that carries the code to the client.
func (s *Server) Grant(ctx context.Context, p auth.Practice, who db.Scope, id, browser string, answer Answer) (string, error) {
	a, c, err := s.open(ctx, p, id, browser)
	if err != nil {
		return "", err
	}
	by, ok := subjectOf(p, who)
	if !ok {
		return "", expired()
	}
	if err := a.Launch.check(who); err != nil {
		return "", err
	}
	asked, _ := ParseScopes(a.Scopes)
	chosen, _ := ParseScopes(strings.Join(answer.Scopes, " "))
	granted := Limit(chosen, asked)
	for _, context := range []string{ScopeLaunch, ScopeLaunchPatient, ScopeLaunchEncounter} { // where it works is no choice of its own
		if Has(asked, context) && !Has(granted, context) {
			granted = append(granted, Scope{Text: context})
		}
	}
	if !slices.ContainsFunc(granted, func(g Scope) bool { return g.Level != "" || g.Text == ScopeOpenID }) {
		return s.Deny(ctx, p, who, id, browser)
	}
	g := grant{id: randomID(), client: c.ID, user: by.user, grantBody: grantBody{Scopes: JoinScopes(granted), Granter: by.granter, Proxy: by.proxy, FHIRUser: by.self,
		Name: by.name, Nonce: a.Nonce, AuthTime: by.proved.Unix(), Launched: a.Launch != nil}}
	if by.proved.IsZero() {
		g.AuthTime = 0
	}
	switch {
	case a.Launch != nil:
		g.Patient, g.Encounter = a.Launch.Patient, a.Launch.Encounter
	case by.granter != "":
		g.Patient = strings.TrimPrefix(by.granter, "Patient/")
	case Has(granted, ScopeLaunchPatient):
		if answer.Patient == "" {
			return "", fhir.Problem("required", "No patient was chosen.", "Choose the patient whose record the program may use.").At("patient")
		}
		g.Patient, g.Encounter = answer.Patient, answer.Encounter
	}
	lasts := onlineLasts
	if Has(granted, ScopeOffline) {
		lasts = offlineLasts
	} else {
		g.Session = by.session
	}
	code := random(prefixCode)
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: c.ID, Detail: fmt.Sprintf("program connected, %d scopes", len(granted))}
	if g.Patient != "" {
		e.Patient = "Patient/" + g.Patient
	}
	answered := false
	err = s.db.Do(ctx, who, func(tx *db.Tx) error {
		var err error
		if answered, err = answerAsk(ctx, tx, id); err != nil || !answered {
			return err
		}
		if by.granter != "" {
			g.patient = tx.Keys().Hash("oauth.granter", by.granter)
		}
		g.created, g.expires = tx.NowMicro(), tx.Now().Add(lasts).UnixMicro()
		if err := insertGrant(ctx, tx, &g); err != nil {
			return err
		}
		s.audit.Record(tx, e)
		return insertToken(ctx, tx, code, token{kind: kindCode, grant: g.id, expires: tx.Now().Add(codeLasts).UnixMicro(),
			tokenBody: tokenBody{Redirect: a.Redirect, Challenge: a.Challenge}})
	})
	if err == nil && !answered {
		err = expired()
	}
	if err != nil {
		return "", err
	}
	return answerAt(a.Redirect, url.Values{"code": {code}, "state": {a.State}, "iss": {s.Issuer(p)}}), nil
}

// Deny answers a request with no, and gives the address that says so to the client.
func (s *Server) Deny(ctx context.Context, p auth.Practice, who db.Scope, id, browser string) (string, error) {
	return s.turnDown(ctx, p, who, id, browser, "access_denied", "the person said no")
}

// Silence answers a request that must not be shown to anybody and would have to be.
func (s *Server) Silence(ctx context.Context, p auth.Practice, id, browser, code string) (string, error) {
	return s.turnDown(ctx, p, work(p.ID), id, browser, code, "")
}

func (s *Server) turnDown(ctx context.Context, p auth.Practice, who db.Scope, id, browser, code, why string) (string, error) {
	a, c, err := s.open(ctx, p, id, browser)
	if err != nil {
		return "", err
	}
	answered := false
	err = s.db.Do(ctx, who, func(tx *db.Tx) error {
		var err error
		if answered, err = answerAsk(ctx, tx, id); answered {
			s.audit.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: c.ID, Outcome: audit.OutcomeRefused, Detail: "program not connected: " + code})
		}
		return err
	})
	if err == nil && !answered {
		err = expired()
	}
	return s.refusal(p, a, code, why).To, err
}

// SilentOnly says whether a request must not be shown to anybody (prompt=none), for whoever would ask the person to sign in.
func (s *Server) SilentOnly(ctx context.Context, p auth.Practice, id, browser string) bool {
	a, _, err := s.open(ctx, p, id, browser)
	return err == nil && a.Silent
}

// Grants lists what a person let programs do: their own grants, the latest first.
func (s *Server) Grants(ctx context.Context, p auth.Practice, who db.Scope) ([]Grant, error) {
	by, ok := subjectOf(p, who)
	if !ok {
		return nil, db.ErrNoScope
	}
	return s.grants(ctx, p.ID, func(ctx context.Context, tx *db.Tx) ([]grant, error) {
		if by.granter != "" {
			return loadGrants(ctx, tx, grantsOfPatient, tx.Keys().Hash("oauth.granter", by.granter))
		}
		return loadGrants(ctx, tx, grantsOfUser, by.user)
	})
}

// GrantsOf lists every standing grant of a client, for administrators.
func (s *Server) GrantsOf(ctx context.Context, by db.Scope, client string) ([]Grant, error) {
	if err := may(by); err != nil {
		return nil, err
	}
	return s.grants(ctx, by.Practice(), func(ctx context.Context, tx *db.Tx) ([]grant, error) {
		return loadGrants(ctx, tx, grantsOfClient, client)
	})
}

func (s *Server) grants(ctx context.Context, p db.PracticeID, load func(context.Context, *db.Tx) ([]grant, error)) (out []Grant, err error) {
	clients, err := s.Clients(ctx, p)
	if err != nil {
		return nil, err
	}
	var rows []grant
	err = s.db.View(ctx, work(p), func(tx *db.Tx) error {
		rows, err = load(ctx, tx)
		return err
	})
	for _, g := range rows {
		if g.user != 0 {
			_, err := s.auth.AppScope(ctx, auth.AppGrant{Practice: p, ClientID: g.client, User: g.user, Granted: g.created})
			var i *fhir.Issue
			if errors.As(err, &i) && i.Code == "login" { // the person is disabled, or was since
				continue
			} else if err != nil {
				return nil, err
			}
		}
		view := Grant{ID: g.id, User: g.user, Name: g.Name, Patient: g.Patient, Created: instant(g.created), Used: instant(g.used), Expires: instant(g.expires), Offline: g.offline()}
		view.Scopes, _ = ParseScopes(g.Scopes)
		if i := slices.IndexFunc(clients, func(c *Client) bool { return c.ID == g.client }); i >= 0 {
			view.Client = clients[i]
		}
		out = append(out, view)
	}
	return out, err
}

// Revoke ends a grant and every token of it: one's own, or any for an administrator. It takes effect within a second everywhere.
func (s *Server) Revoke(ctx context.Context, p auth.Practice, who db.Scope, id int64) error {
	by, own := subjectOf(p, who)
	if err := may(who); err != nil && !own {
		return err
	}
	missing := fhir.Problem("not-found", "There is no such connection.", "It may have ended already; look at the list again.")
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Grant", ID: fmt.Sprintf("%016x", id), Detail: "program disconnected"}
	return s.change(ctx, who, e, func(tx *db.Tx) error {
		g, err := loadGrant(ctx, tx, id)
		if err != nil {
			return missing.Because(err)
		}
		mine := own && (by.user != 0 && g.user == by.user || by.granter != "" && g.Granter == by.granter)
		if !mine && may(who) != nil || g.ended != "" {
			return missing
		}
		return finishGrant(ctx, tx, id, "disconnected")
	})
}
