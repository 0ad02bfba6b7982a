// Package practice knows the practice itself: its name and time zone, the sites it
// works at, the people who work there and the hours they keep.
//
// It owns the resource types Organization, Location, Practitioner, PractitionerRole
// and HealthcareService of the practice's own. It never holds anything about a patient.
package practice

import (
	"strings"
	"time"
)

// Profile is everything a screen needs to know about the practice, read at one
// change sequence. It is shared between requests: read it, never change it.
type Profile struct {
	ID    string // Organization id, "" when none has been entered
	Name  string
	Phone string
	Zone  *time.Location // the practice's own clock; never nil
	Sites []Site         // by name
	Staff []Member       // by family name, inactive people last
}

// Site is a place where patients are seen (Location).
type Site struct {
	ID      string // Location
	Name    string
	Address string // one line
	Phone   string
	Hours   Week
	Rooms   []string // names of the Locations that are part of this one, by name
	RoomIDs []string // their ids, in the same order
}

// Member is one person who works in the practice (Practitioner with its PractitionerRoles).
type Member struct {
	ID         string
	Family     string
	Given      string
	Credential string // "MD", "NP": the suffix as it is worn on the badge
	Role       string // first PractitionerRole.code text
	Specialty  string // first PractitionerRole.specialty text
	Sites      []string
	Hours      Week
	Bookable   bool // sees patients by appointment
	Active     bool
}

// Name is how colleagues write the person: "Amara Osei, MD".
func (m Member) Name() string {
	n := strings.TrimSpace(m.Given + " " + m.Family)
	if m.Credential != "" {
		n += ", " + m.Credential
	}
	return n
}

// Initials are the one or two letters of the person's badge.
func (m Member) Initials() string { return initials(m.Given) + initials(m.Family) }

func initials(s string) string {
	for _, r := range s {
		return strings.ToUpper(string(r))
	}
	return ""
}

// Works reports whether the person works at the site; without a named site they work at every one.
func (m Member) Works(site string) bool {
	if site == "" || len(m.Sites) == 0 {
		return true
	}
	for _, s := range m.Sites {
		if s == site {
			return true
		}
	}
	return false
}

// Week holds opening times by time.Weekday; a day without spans is closed.
type Week [7][]Span

// Span is a stretch of one day in minutes after midnight, [From, To).
type Span struct{ From, To int }

// Empty reports whether no hours have been entered at all, which differs from being closed.
func (w Week) Empty() bool {
	for _, d := range w {
		if len(d) > 0 {
			return false
		}
	}
	return true
}

// Site returns the site with that id.
func (p *Profile) Site(id string) (Site, bool) {
	for _, s := range p.Sites {
		if s.ID == id {
			return s, true
		}
	}
	return Site{}, false
}

// Member returns the person with that Practitioner id; a reference "Practitioner/id" is accepted too.
func (p *Profile) Member(id string) (Member, bool) {
	id = strings.TrimPrefix(id, "Practitioner/")
	for _, m := range p.Staff {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Bookable lists the people who see patients at the site ("" for any site).
func (p *Profile) Bookable(site string) []Member {
	var out []Member
	for _, m := range p.Staff {
		if m.Active && m.Bookable && m.Works(site) {
			out = append(out, m)
		}
	}
	return out
}
