package auth

// Permission is something a person may do on the screens. Routes and commands name one; the kernel's table of
// resource types ([AccessOf]) holds for data independently of it.
type Permission string

// The permissions. Their texts are stable: they appear in golden files and in the audit.
const (
	AccountSecurity   Permission = "account.security"   // one's own credentials and sessions; everybody has it
	PatientRead       Permission = "patient.read"       // find patients, see demographics
	PatientRegister   Permission = "patient.register"   // add a patient
	DemographicsWrite Permission = "demographics.write" // change who a patient is and how to reach them
	ChartRead         Permission = "chart.read"         // see the clinical record
	ChartWrite        Permission = "chart.write"        // write in it: drafts, history, documents
	NoteSign          Permission = "note.sign"
	ProblemWrite      Permission = "problem.write"
	MedicationWrite   Permission = "medication.write"
	MedicationSign    Permission = "medication.sign" // prescribe
	AllergyWrite      Permission = "allergy.write"
	VitalsWrite       Permission = "vitals.write"
	ImmunizationWrite Permission = "immunization.write"
	OrderWrite        Permission = "order.write"
	OrderSign         Permission = "order.sign"
	ResultSign        Permission = "result.sign" // acknowledge results
	BreakGlass        Permission = "break-glass" // open a restricted record in an emergency, with a reason
	ConsentWrite      Permission = "consent.write"
	LabelWrite        Permission = "label.write"    // mark records as sensitive, restrict a chart
	LabelRemove       Permission = "label.remove"   // take such a mark away, with a reason
	PrivacyReview     Permission = "privacy.review" // the privacy officer: is told of and reviews openings in an emergency
	TaskRead          Permission = "task.read"
	TaskWrite         Permission = "task.write"
	MessageRead       Permission = "message.read"
	MessageWrite      Permission = "message.write"
	ScheduleRead      Permission = "schedule.read"
	ScheduleWrite     Permission = "schedule.write"
	BillingRead       Permission = "billing.read"
	BillingWrite      Permission = "billing.write"
	AuditRead         Permission = "audit.read"
	UserAdmin         Permission = "user.admin"     // people, roles, credentials of others
	PracticeAdmin     Permission = "practice.admin" // sites, hours, settings
	ExportData        Permission = "export.data"    // take data out in bulk
	RecordDestroy     Permission = "record.destroy" // destroy records for good, place and lift legal holds
	SupportGrant      Permission = "support.grant"  // let the hosting company in for a limited time
)

// Permissions lists every permission in table order.
func Permissions() []Permission {
	out := make([]Permission, len(permissionTable))
	for i, row := range permissionTable {
		out[i] = row.permission
	}
	return out
}

// permissionSet is a set of rows of permissionTable.
type permissionSet uint64

func (s permissionSet) has(p Permission) bool {
	for i := range permissionTable {
		if permissionTable[i].permission == p {
			return s&(1<<i) != 0
		}
	}
	return false
}

// onlyAccountSecurity is what a session without its second factor may do.
func onlyAccountSecurity() permissionSet {
	for i := range permissionTable {
		if permissionTable[i].permission == AccountSecurity {
			return 1 << i
		}
	}
	return 0
}
