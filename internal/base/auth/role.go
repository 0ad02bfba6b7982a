package auth

// Role is what a person is in a practice. Somebody with several roles may do what any of them may.
type Role string

// The roles every practice has.
const (
	Clinician     Role = "clinician" // physicians, nurse practitioners, physician assistants, therapists
	Nurse         Role = "nurse"     // nurses and medical assistants
	FrontDesk     Role = "frontdesk"
	Biller        Role = "biller"
	Administrator Role = "administrator"
)

// roleOrder gives each role its bit in roleSet. Append only: sets are stored.
var roleOrder = [...]Role{Clinician, Nurse, FrontDesk, Biller, Administrator}

// roleSet is a set of roles by their place in roleOrder.
type roleSet int64

const (
	isClinician roleSet = 1 << iota
	isNurse
	isFrontDesk
	isBiller
	isAdministrator
	everybody = isClinician | isNurse | isFrontDesk | isBiller | isAdministrator
	caring    = isClinician | isNurse
)

// Roles lists every role in table order.
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
