package auth

import (
	"fmt"
	"strings"
	"time"

	"yarrow.health/internal/base/db"
)

// SessionID names a session in the audit. It is not the token and opens nothing.
type SessionID int64

// String gives 16 hexadecimal digits.
func (id SessionID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Staff is a person who works in one practice, signed in. It is made by sign-in and [Auth.Resume] and is valid for
// one request.
type Staff struct {
	db.Seal
	session      SessionID
	name         string
	practitioner string
	locale       string
	roles        roleSet
	access       *Access
	permissions  permissionSet
	proved       time.Time // when the person last proved to be themself in this session
}

// UserID is the person across practices. It is never used again for somebody else.
func (s Staff) UserID() int64 { return s.Actor().UserID }

// Name is how the person is shown to colleagues.
func (s Staff) Name() string { return s.name }

// Practitioner is the person's FHIR reference, "Practitioner/id", or "" for people without one.
func (s Staff) Practitioner() string { return s.practitioner }

// Roles of the person in the practice, in the order of the role table.
func (s Staff) Roles() []Role { return s.roles.list() }

// Can says whether the person's roles include a permission. A session that still lacks its second factor can do
// nothing but [AccountSecurity].
func (s Staff) Can(p Permission) bool { return s.Valid() && s.permissions.has(p) }

// Session names the session the scope came from; 0 for none.
func (s Staff) Session() SessionID { return s.session }

// Locale is the person's language as a BCP 47 tag, or "" for the practice's.
func (s Staff) Locale() string { return s.locale }

// ProvedAt is when the person last proved to be themself in this session: at sign-in, unlock or step-up.
func (s Staff) ProvedAt() time.Time { return s.proved }

// ForRequest returns the scope with the id of the request, which the audit keeps. Ids of 16 hexadecimal digits take
// the least room.
func (s Staff) ForRequest(id string) Staff {
	if !s.Valid() {
		return s
	}
	a := s.Actor()
	a.Request = id
	s.Seal = db.NewSeal(s.Practice(), a)
	return s
}

// From returns the scope with the address the request came from, which the audit keeps.
func (s Staff) From(address string) Staff {
	if !s.Valid() {
		return s
	}
	a := s.Actor()
	a.Address = address
	s.Seal = db.NewSeal(s.Practice(), a)
	return s
}

// text names the roles of a set, as the audit keeps them.
func (s roleSet) text() string {
	var out []string
	for _, r := range s.list() {
		out = append(out, string(r))
	}
	return strings.Join(out, ",")
}

// AsStaff makes a Staff scope without a sign-in, for tests. The architecture test refuses its use in any file that
// is not a test.
func AsStaff(p db.PracticeID, userID int64, name, practitioner string, roles ...Role) Staff {
	set := rolesOf(roles)
	return Staff{
		Seal:         db.NewSeal(p, db.Actor{Kind: kindStaff, UserID: userID, Display: name, FHIR: practitioner, Role: set.text()}),
		name:         name,
		practitioner: practitioner,
		roles:        set,
		access:       set.access(),
		permissions:  set.permissions(),
	}
}

// Patient is a patient, or somebody acting for one, signed in to the portal. The kernel confines it to the one
// compartment.
type Patient struct {
	db.Seal
	access *Access
}

// App is a program acting with scopes that were granted to it.
type App struct {
	db.Seal
	access *Access
}

// System is Yarrow itself: jobs, import, the simulator, the command line. It reaches everything in one practice and
// is audited under the reason it gives.
type System struct {
	db.Seal
}

// SystemScope makes a System scope. why is a short constant that the audit shows ("import", "retention").
func SystemScope(p db.PracticeID, why string) System {
	return System{db.NewSeal(p, db.Actor{Kind: kindSystem, Display: why})}
}

// Operator is somebody of the company that hosts the practice. It reaches nothing until the practice grants it,
// for a limited time, and every use shows in the practice's audit.
type Operator struct {
	db.Seal
	access *Access
}

// Kinds of actors as the audit writes them.
const (
	kindStaff    = "staff"
	kindPatient  = "patient"
	kindApp      = "app"
	kindSystem   = "system"
	kindOperator = "operator"
)

// list gives the roles of a set in table order, then the practice's own.
func (s roleSet) list() []Role {
	var out []Role
	for i, r := range roleOrder {
		if s&(1<<i) != 0 {
			out = append(out, r)
		}
	}
	for n := range OwnRoles {
		if s&(1<<(firstOwn+n)) != 0 {
			out = append(out, ownRole(n+1))
		}
	}
	return out
}

// rolesOf is the set of roles among names; what can be no role gives nothing.
func rolesOf(names []Role) roleSet {
	var s roleSet
	for _, n := range names {
		if i, ok := n.bit(); ok {
			s |= 1 << i
		}
	}
	return s
}
