// Package scheduling keeps the practice's book: who sees whom, when, where, and how
// far along each visit is.
//
// It owns the resource types Appointment, Schedule and Slot, the table booking that
// makes a double booking impossible unless someone confirmed it, and the steps an
// Encounter takes from arrival to its end. It never writes what happened in a visit.
package scheduling

import (
	"time"

	"yarrow.health/internal/clinic/practice"
)

// Status is how far a visit has come, in the words of the front desk.
type Status string

// The steps of a visit in order, and the two ways it does not happen.
const (
	Booked    Status = "booked"
	Confirmed Status = "confirmed"
	Arrived   Status = "arrived"
	Roomed    Status = "roomed"
	InVisit   Status = "in-visit"
	Done      Status = "done"
	NoShow    Status = "no-show"
	Cancelled Status = "cancelled"
)

// Statuses lists every status in the order the day's legend shows them.
func Statuses() []Status {
	return []Status{Booked, Confirmed, Arrived, Roomed, InVisit, Done, NoShow, Cancelled}
}

// Next is the step that follows when the visit goes well; "" at the end.
func (s Status) Next() Status {
	switch s {
	case Booked, Confirmed:
		return Arrived
	case Arrived:
		return Roomed
	case Roomed:
		return InVisit
	case InVisit:
		return Done
	}
	return ""
}

// Here reports whether the patient is in the building.
func (s Status) Here() bool { return s == Arrived || s == Roomed || s == InVisit }

// Day is one day of the book at one site, ready to be drawn. Minutes count from local midnight.
type Day struct {
	Date    string // yyyy-mm-dd on the practice's clock
	Site    string // Location id, "" for all
	Zone    *time.Location
	Opens   int // first minute to draw: a whole hour, at or before the first opening and the first visit
	Closes  int // last minute to draw
	Now     int // minute of the day now, -1 when Date is not today
	Columns []Column
	Flow    Flow
}

// Column is one person's day.
type Column struct {
	Staff  practice.Member
	Hours  []practice.Span // when the person works; empty: not working that day
	Blocks []Block
}

// Block is one appointment, placed.
type Block struct {
	ID          string // Appointment id
	Version     int64  // of the Appointment: send it back with a change
	From, To    int    // minutes after midnight
	Lane        int    // 0-based position among Lanes side by side where bookings overlap
	Lanes       int
	Double      bool   // overlaps another booking of the same person
	PatientID   string // "" for a block without a patient
	Name        string // "Okafor-Reyes, Maria"
	Short       string // initials, for what is shown when Restricted
	Age         string
	Sex         string // F, M, X, U
	Restricted  bool   // show initials and "Restricted" only, in the title too
	Status      Status
	Since       time.Time     // when Status was reached; zero when not known
	Waiting     time.Duration // arrived or roomed: time since arrival
	Late        bool          // not arrived 15 minutes after the start, or arrived and kept waiting past it
	Room        string
	Type        string // visit type: "Follow-up"
	Reason      string
	Video       bool
	EncounterID string
	StaffID     string
	SiteID      string
}

// Minutes is the length of the block.
func (b Block) Minutes() int { return b.To - b.From }

// Flow counts the day's visits over all columns shown.
type Flow struct {
	Total   int
	ByStep  map[Status]int
	Longest time.Duration // longest current wait of those arrived and not yet roomed
}
