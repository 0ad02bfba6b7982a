package db

import "errors"

// PracticeID numbers a practice from 1. 0 is the system store: practices, logins, memberships.
type PracticeID int64

// System is the id of the system store.
const System PracticeID = 0

// Actor says on whose behalf something is done, for the audit.
type Actor struct {
	Kind    string // staff | patient | app | system | operator
	UserID  int64
	Display string
	FHIR    string // the person's resource, such as "Practitioner/x"
	Session string
	Request string
	Client  string // the program that asked, such as a SMART app

	Role     string // roles at the time, separated by commas
	OnBehalf string // whom it was done for: "Patient/x" for a proxy or their program, "Practitioner/y" or "User/7" for a program of staff
	Address  string // where the request came from
}

// Scope is permission to reach the data of one practice. Only values that embed a Seal satisfy it, and only
// base/auth makes Seals, so nothing else can invent one. A zero scope is not valid and is refused.
type Scope interface {
	Practice() PracticeID
	Actor() Actor
	Valid() bool
	sealed()
}

// Seal makes the type that embeds it a Scope. The zero Seal is not valid.
type Seal struct {
	practice PracticeID
	actor    Actor
	valid    bool
}

// NewSeal is called by base/auth and by db/dbtest only (architecture_test checks).
func NewSeal(p PracticeID, a Actor) Seal { return Seal{practice: p, actor: a, valid: true} }

// Practice is the practice the scope reaches.
func (s Seal) Practice() PracticeID { return s.practice }

// Actor says on whose behalf.
func (s Seal) Actor() Actor { return s.actor }

// Valid is false for a zero scope.
func (s Seal) Valid() bool { return s.valid }

func (s Seal) sealed() {}

// ErrNoScope is returned when Do or View is called without a valid scope: a fault of the program.
var ErrNoScope = errors.New("db: no valid scope")
