package auth

import (
	"slices"
	"strconv"
	"strings"
)

// Role is what a person is in a practice. Somebody with several roles may do what any of them may. Beside those that every practice
// has, a practice may have roles of its own, "own-1" and so on: see [OwnRole].
type Role string

// The roles every practice has.
const (
	Clinician     Role = "clinician" // physicians, nurse practitioners, physician assistants, therapists
	Nurse         Role = "nurse"     // nurses and medical assistants
	FrontDesk     Role = "frontdesk"
	Biller        Role = "biller"
	Administrator Role = "administrator"
)

// roleOrder gives each role its bit in roleSet. Append only, and no further than firstOwn: sets are stored.
var roleOrder = [...]Role{Clinician, Nurse, FrontDesk, Biller, Administrator}

// OwnRoles is the most roles of its own that a practice ever has. One that was retired keeps its place: the audit and memberships of
// people who left name it, and it must never come to mean something else.
const OwnRoles = 40

// firstOwn is the bit of own-1.
const firstOwn = 8

// roleSet is a set of roles: those every practice has by their place in roleOrder, a practice's own by their number from firstOwn on.
// What the own ones are only the practice's matrix knows; a bit that it does not know gives nothing.
type roleSet int64

func ownRole(n int) Role { return Role("own-" + strconv.Itoa(n)) }

// Own says that a role is one of a practice's own.
func (r Role) Own() bool {
	i, ok := r.bit()
	return ok && i >= firstOwn
}

// bit is the role's place in sets; no role has another one in another practice.
func (r Role) bit() (int, bool) {
	if i := slices.Index(roleOrder[:], r); i >= 0 {
		return i, true
	}
	if text, is := strings.CutPrefix(string(r), "own-"); is {
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= OwnRoles && r == ownRole(n) {
			return firstOwn + n - 1, true
		}
	}
	return 0, false
}

const (
	isClinician roleSet = 1 << iota
	isNurse
	isFrontDesk
	isBiller
	isAdministrator
	everybody = isClinician | isNurse | isFrontDesk | isBiller | isAdministrator
	caring    = isClinician | isNurse
)

// Roles lists the roles every practice has, in table order.
func Roles() []Role { return append([]Role(nil), roleOrder[:]...) }

// permissionTable is the default matrix of roles and permissions. testdata/matrix.golden shows it whole.
var permissionTable = []struct {
	permission Permission
	roles      roleSet
}{
	{AccountSecurity, everybody},
	{PatientRead, everybody},
	{PatientRegister, caring | isFrontDesk},
	{DemographicsWrite, caring | isFrontDesk},
	{ChartRead, caring},
	{ChartWrite, caring},
	{NoteSign, isClinician},
	{ProblemWrite, caring},
	{MedicationWrite, caring},
	{MedicationSign, isClinician},
	{AllergyWrite, caring},
	{VitalsWrite, caring},
	{ImmunizationWrite, caring},
	{OrderWrite, caring},
	{OrderSign, isClinician},
	{ResultSign, isClinician},
	{BreakGlass, isClinician},
	{ConsentWrite, caring | isFrontDesk},
	{LabelWrite, caring},
	{LabelRemove, isClinician},
	{PrivacyReview, isAdministrator},
	{TaskRead, everybody},
	{TaskWrite, everybody},
	{MessageRead, caring | isFrontDesk | isBiller},
	{MessageWrite, caring | isFrontDesk | isBiller},
	{ScheduleRead, caring | isFrontDesk | isBiller | isAdministrator},
	{ScheduleWrite, caring | isFrontDesk},
	{BillingRead, isFrontDesk | isBiller},
	{BillingWrite, isBiller},
	{AuditRead, isAdministrator},
	{UserAdmin, isAdministrator},
	{PracticeAdmin, isAdministrator},
	{ExportData, isAdministrator},
	{SupportGrant, isAdministrator},
	{RecordDestroy, isAdministrator},
}
