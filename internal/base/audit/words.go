package audit

import "sync"

// words are the texts that canonical bytes write as a number: their index here. The list is append-only, since
// stored entries refer to it by position; words_test.go holds its hash.
var words = []string{
	"", // 0 is not used
	// actions
	ActionRead, ActionSearch, ActionCreate, ActionUpdate, ActionDelete, ActionPrint, ActionExport, ActionSign,
	ActionSignIn, ActionSignOut, ActionSignInFailed, ActionLock, ActionUnlock, ActionStepUp, ActionBreakGlass,
	ActionAdmin, ActionPrivilege, ActionDisclose, ActionImport, ActionDenied, ActionUnspecified,
	// outcomes
	OutcomeRefused, OutcomeFailed,
	// kinds of actors
	"staff", "patient", "app", "system", "operator",
	// purposes of use (HL7 v3 PurposeOfUse)
	"HPAYMT", "HOPERAT", "ETREAT", "PATRQT", "FAMRQT", "HRESCH", "PUBHLTH", "HLEGAL", "SUPNWK", "HSYSADMIN", "BTG",
	// the resource types seen most
	"Patient", "Encounter", "Condition", "Observation", "AllergyIntolerance", "MedicationRequest",
	"MedicationStatement", "Immunization", "Procedure", "DiagnosticReport", "DocumentReference", "Composition",
	"Appointment", "Schedule", "Slot", "Practitioner", "PractitionerRole", "Organization", "Location", "Coverage",
	"Claim", "ClaimResponse", "ExplanationOfBenefit", "Account", "ChargeItem", "Invoice", "PaymentReconciliation",
	"CarePlan", "CareTeam", "Goal", "ServiceRequest", "Task", "Communication", "Questionnaire",
	"QuestionnaireResponse", "Consent", "Provenance", "AuditEvent", "RelatedPerson", "Binary", "Media",
	"FamilyMemberHistory", "Flag", "Device", "Specimen", "ImagingStudy", "MedicationAdministration",
	"MedicationDispense", "List", "ClinicalImpression",
	// things that are no FHIR resource
	"Session", "User", "Practice", "Credential", "Setting",
	// categories of data (E2147 7.1.9)
	"demographics", "problems", "medications", "allergies", "vitals", "results", "notes", "immunizations",
	"procedures", "encounters", "documents", "schedule", "billing", "coverage", "messages", "orders", "timeline",
	"summary", "family history", "care plan", "forms", "photo", "audit",
	// roles
	"clinician", "nurse", "frontdesk", "biller", "administrator",
}

// wordNumbers gives the number of a word, built once.
var wordNumbers = sync.OnceValue(func() map[string]uint64 {
	m := make(map[string]uint64, len(words))
	for i, w := range words {
		if i > 0 {
			m[w] = uint64(i)
		}
	}
	return m
})
