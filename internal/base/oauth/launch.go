package oauth

import (
	"context"
	"errors"
	"net/url"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// launchLasts is how long a program has to come back after it was started from a chart.
const launchLasts = 5 * time.Minute

// launched is the context in which a person started a program: bound to person, session, client, practice and patient.
type launched struct {
	Client    string `json:"client"`
	User      int64  `json:"user"`
	Session   int64  `json:"session"`
	Patient   string `json:"patient"`
	Encounter string `json:"encounter,omitempty"`
}

// Launch starts a program from an open chart and gives the address to send the browser to. patient and encounter are ids that the
// caller has found the person to see.
func (s *Server) Launch(ctx context.Context, who auth.Staff, p auth.Practice, clientID, patient, encounter string) (string, error) {
	if !who.Valid() || who.Practice() != p.ID || !who.Can(auth.ChartRead) || patient == "" {
		return "", fhir.Problem("forbidden", "Programs are started from a chart that you have open.", "Open the chart first.")
	}
	c, err := s.Client(ctx, p.ID, clientID)
	if err != nil {
		return "", err
	}
	if !c.Usable() || c.LaunchURI == "" {
		return "", fhir.Problem("business-rule", "This program cannot be started from a chart.", "Ask an administrator of the practice.")
	}
	token := random(prefixLaunch)
	l := launched{Client: c.ID, User: who.UserID(), Session: int64(who.Session()), Patient: patient, Encounter: encounter}
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Client", ID: c.ID, Patient: "Patient/" + patient, Detail: "program started from the chart"}
	err = s.db.Do(ctx, who, func(tx *db.Tx) error {
		if err := insertLaunch(ctx, tx, token, l); err != nil {
			return err
		}
		s.audit.Record(tx, e)
		return nil
	})
	if err != nil {
		return "", err
	}
	return answerAt(c.LaunchURI, url.Values{"iss": {s.FHIRBase(p)}, "launch": {token}}), nil
}

// takeLaunch uses up a launch; nil when it is none of the client's.
func (s *Server) takeLaunch(ctx context.Context, p auth.Practice, client, token string) (*launched, error) {
	var l launched
	err := s.db.Do(ctx, work(p.ID), func(tx *db.Tx) error {
		var err error
		l, err = spendLaunch(ctx, tx, token)
		return err
	})
	if errors.Is(err, db.ErrNoRows) || err == nil && l.Client != client {
		return nil, nil
	}
	return &l, err
}

// fits says whether a launch is that of the person who now answers, in the session in which they started the program.
func (l *launched) fits(who auth.Staff) bool {
	return l == nil || l.User == who.UserID() && l.Session == int64(who.Session())
}
