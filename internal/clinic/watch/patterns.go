// Package watch reviews every day what people looked at, as 45 CFR 164.308(a)(1)(ii)(D) asks: it looks for the patterns of
// snooping, puts what it finds on record, and keeps the queue that the privacy officer works off.
//
// A finding is a question, not a verdict. The package never restricts anybody and keeps no table of its own: findings and what
// became of them are entries of the audit, as sealed as what they are about.
package watch

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
)

// Pattern is a way of looking that deserves a question.
type Pattern string

// The patterns.
const (
	SameSurname Pattern = "same-surname" // a chart of somebody with the person's family name
	Neighbour   Pattern = "neighbour"    // of somebody who lives in the person's street
	Coworker    Pattern = "coworker"     // of a colleague
	OwnChart    Pattern = "own-chart"    // the person's own
	NoReason    Pattern = "no-reason"    // read in depth, without a visit or another reason
	VIP         Pattern = "vip"          // of a person of public interest
	Deceased    Pattern = "deceased"     // of somebody who died some time ago
	Night       Pattern = "night"        // at night, without a visit nearby
	Mass        Pattern = "mass"         // many charts within an hour
	BreakGlass  Pattern = "break-glass"  // emergency access again and again
	Refused     Pattern = "refused"      // trying what is refused, again and again
	LeftWith    Pattern = "left-with"    // exported or printed much, then left
)

// Patterns lists all of them.
var Patterns = []Pattern{SameSurname, Neighbour, Coworker, OwnChart, NoReason, VIP, Deceased, Night, Mass, BreakGlass, Refused, LeftWith}

// What makes a pattern.
const (
	reasonDays   = 30  // a visit so many days before or after is a reason to look
	nightDays    = 2   // at night, a visit this near
	depth        = 4   // entries that show what was said or found make reading "in depth"
	massCharts   = 200 // charts in massWithin
	massWithin   = time.Hour
	glassTimes   = 3
	refusedTimes = 10
	leftCharts   = 20 // exported or printed in leftDays before leaving
	leftDays     = 30
	deceasedDays = 60
	nightFrom    = 22 // o'clock
	nightTo      = 5
)

// Person is somebody who works in the practice, as far as a review needs to know.
type Person struct {
	ID             int64
	Family         string // folded
	Street, Postal string // folded, the street without its number
	Self           string // the person's own chart, "Patient/x", or ""
}

// Chart is a patient, as far as a review needs to know.
type Chart struct {
	Ref            string
	Family         string // folded
	Street, Postal string // folded
	Staff          int64  // the person who works here and whose chart it is, or 0
	VIP            bool
	Died           time.Time   // zero while alive
	Visits         []time.Time // appointments and encounters around the day
}

// Facts are what the entries of a day are compared with.
type Facts struct {
	People map[int64]Person
	Charts map[string]Chart
	Zone   *time.Location
	// Taken is how many charts each person exported or printed in the thirty days up to the day.
	Taken map[int64]int
}

// Finding is a pattern that was met.
type Finding struct {
	Pattern Pattern
	UserID  int64
	Patient string // "" for patterns of many charts
	Day     string // 2026-03-02, in the practice's zone
	Count   int    // entries, or charts, that make it
	Entry   int64  // the first of them
}

// look is what one person did in one chart on one day.
type look struct {
	user    int64
	chart   string
	entries []*audit.Entry
	deep    int  // entries that show what was said or found
	wrote   bool // the person added, changed or signed something
}

// Review finds the patterns in the entries of one day, in any order. It is pure: the same entries and facts give the same findings,
// ordered by person, pattern and chart.
func Review(day time.Time, entries []audit.Entry, f Facts) []Finding {
	v := review{f: f, day: day.In(f.Zone).Format(time.DateOnly), looks: map[[2]any]*look{}, by: map[int64][]*audit.Entry{}}
	for i := range entries {
		v.take(&entries[i])
	}
	for _, l := range v.looks {
		v.look(l)
	}
	for user, list := range v.by {
		slices.SortFunc(list, func(a, b *audit.Entry) int { return cmp.Compare(a.ID, b.ID) })
		v.person(user, list)
	}
	slices.SortFunc(v.out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(a.Patient, b.Patient))
	})
	return v.out
}

type review struct {
	f     Facts
	day   string
	looks map[[2]any]*look
	by    map[int64][]*audit.Entry
	left  map[int64]bool
	out   []Finding
}

func (v *review) take(e *audit.Entry) {
	if e.Action == audit.ActionPrivilege && e.Type == "User" && e.Detail == "disabled" {
		if id, ok := userOf(e.Event.ID); ok {
			v.leaves(id, e)
		}
	}
	if e.Actor.Kind != "staff" || e.Actor.UserID == 0 {
		return
	}
	v.by[e.Actor.UserID] = append(v.by[e.Actor.UserID], e)
	if e.Patient == "" {
		return
	}
	key := [2]any{e.Actor.UserID, e.Patient}
	l := v.looks[key]
	if l == nil {
		l = &look{user: e.Actor.UserID, chart: e.Patient}
		v.looks[key] = l
	}
	l.entries = append(l.entries, e)
	switch e.Action {
	case audit.ActionCreate, audit.ActionUpdate, audit.ActionSign:
		l.wrote = true
	}
	if slices.ContainsFunc(e.Categories, func(c string) bool { return telling[c] }) || telling[e.Type] {
		l.deep++
	}
}

// telling are the kinds of data that say what was said or found.
var telling = map[string]bool{"notes": true, "results": true, "medications": true, "problems": true, "documents": true, "timeline": true, "summary": true,
	"Observation": true, "Condition": true, "Composition": true, "DocumentReference": true, "MedicationRequest": true}

func (v *review) find(p Pattern, user int64, patient string, count int, first *audit.Entry) {
	v.out = append(v.out, Finding{p, user, patient, v.day, count, first.ID})
}

// near says whether a chart has a visit within days of a moment.
func (c *Chart) near(at time.Time, days int) bool {
	reach := time.Duration(days) * 24 * time.Hour
	return slices.ContainsFunc(c.Visits, func(t time.Time) bool { d := t.Sub(at); return d <= reach && d >= -reach })
}

// look judges what one person did in one chart.
func (v *review) look(l *look) {
	p, known := v.f.People[l.user]
	c, chart := v.f.Charts[l.chart]
	first := l.entries[0]
	for _, e := range l.entries {
		if e.ID < first.ID {
			first = e
		}
	}
	if known && p.Self == l.chart {
		v.find(OwnChart, l.user, l.chart, len(l.entries), first)
		return
	}
	if !chart {
		return
	}
	for _, e := range l.entries {
		if h := e.At.In(v.f.Zone).Hour(); (h >= nightFrom || h < nightTo) && !c.near(e.At, nightDays) {
			v.find(Night, l.user, l.chart, len(l.entries), e)
			break
		}
	}
	if c.near(first.At, reasonDays) || l.wrote {
		return
	}
	switch {
	case c.Staff != 0 && c.Staff != l.user:
		v.find(Coworker, l.user, l.chart, len(l.entries), first)
	case c.VIP:
		v.find(VIP, l.user, l.chart, len(l.entries), first)
	case known && p.Family != "" && p.Family == c.Family:
		v.find(SameSurname, l.user, l.chart, len(l.entries), first)
	case known && p.Street != "" && p.Street == c.Street && p.Postal == c.Postal:
		v.find(Neighbour, l.user, l.chart, len(l.entries), first)
	case !c.Died.IsZero() && first.At.Sub(c.Died) > deceasedDays*24*time.Hour:
		v.find(Deceased, l.user, l.chart, len(l.entries), first)
	case l.deep >= depth:
		v.find(NoReason, l.user, l.chart, len(l.entries), first)
	}
}

// person judges what one person did that day altogether; entries are in order.
func (v *review) person(user int64, list []*audit.Entry) {
	var glass, refused []*audit.Entry
	charts := map[string]int{} // in the window
	var window []*audit.Entry
	most, at := 0, (*audit.Entry)(nil)
	for _, e := range list {
		if e.Action == audit.ActionBreakGlass {
			glass = append(glass, e)
		}
		if e.Outcome == audit.OutcomeRefused || e.Action == audit.ActionDenied {
			refused = append(refused, e)
		}
		if e.Patient == "" {
			continue
		}
		window = append(window, e)
		charts[e.Patient]++
		for e.At.Sub(window[0].At) > massWithin {
			if old := window[0].Patient; charts[old] == 1 {
				delete(charts, old)
			} else {
				charts[old]--
			}
			window = window[1:]
		}
		if len(charts) > most {
			most, at = len(charts), window[0]
		}
	}
	if most >= massCharts {
		v.find(Mass, user, "", most, at)
	}
	if len(glass) >= glassTimes {
		v.find(BreakGlass, user, "", len(glass), glass[0])
	}
	if len(refused) >= refusedTimes {
		v.find(Refused, user, "", len(refused), refused[0])
	}
}

// leaves judges somebody whose access was ended that day.
func (v *review) leaves(user int64, e *audit.Entry) {
	if v.left == nil {
		v.left = map[int64]bool{}
	}
	if n := v.f.Taken[user]; n >= leftCharts && !v.left[user] {
		v.left[user] = true
		v.find(LeftWith, user, "", n, e)
	}
}

// fold makes names and streets comparable.
func fold(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

// street is a line of an address without its number.
func street(line string) string {
	words := strings.Fields(fold(line))
	if len(words) > 1 && strings.ContainsAny(words[0], "0123456789") {
		words = words[1:]
	}
	return strings.Join(words, " ")
}

// userOf reads a person's number as the audit writes it.
func userOf(text string) (int64, bool) {
	id, err := strconv.ParseInt(text, 16, 64)
	return id, err == nil && id > 0
}
