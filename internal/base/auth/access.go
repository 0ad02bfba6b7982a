package auth

import (
	"strings"

	"yarrow.health/internal/base/db"
)

// Bits are the interactions a scope may have with a resource type.
type Bits uint8

// The interactions. History counts as CanRead of the resource it belongs to.
const (
	CanRead Bits = 1 << iota
	CanSearch
	CanCreate
	CanUpdate
	CanDelete

	canLook  = CanRead | CanSearch
	canWrite = CanCreate | CanUpdate | CanDelete
)

// String gives the SMART v2 letters that fit: c r u d s.
func (b Bits) String() string {
	var out []byte
	for _, l := range []struct {
		bit    Bits
		letter byte
	}{{CanCreate, 'c'}, {CanRead, 'r'}, {CanUpdate, 'u'}, {CanDelete, 'd'}, {CanSearch, 's'}} {
		if b&l.bit != 0 {
			out = append(out, l.letter)
		}
	}
	return string(out)
}

// Access is what a scope may reach, in the form the store compiles into every query. The zero Access reaches
// nothing. It is shared between requests and must not be changed.
type Access struct {
	All         bool                   // every type and interaction; everything below still holds
	Types       map[string]Bits        // by resource type, when not All
	Narrow      map[string][]Narrowing // by resource type: only resources that match any of them; see [Access.Narrowed]
	Compartment string                 // "Patient/x": only resources in that compartment; "" for no such limit
	Forbidden   int64                  // resources with any of these Label bits do not exist for the scope
	Charts      map[string]ChartRule   // by patient id: rules for one patient's records that replace Forbidden
}

// AccessOf is the authorization kernel: what a scope may reach. A zero scope, a scope of a kind it does not know
// and an operator without a grant reach nothing.
func AccessOf(s db.Scope) Access {
	if s == nil || !s.Valid() {
		return Access{}
	}
	switch s := s.(type) {
	case Staff:
		return orNothing(s.access)
	case Patient:
		// A patient's access without a compartment would be everybody's record.
		if a := orNothing(s.access); a.Compartment != "" && !a.All {
			return a
		}
	case App:
		return orNothing(s.access)
	case Operator:
		return orNothing(s.access)
	case System:
		return Access{All: true}
	}
	return Access{}
}

func orNothing(a *Access) Access {
	if a == nil {
		return Access{}
	}
	return *a
}

// typeTable says what each role may do with each resource type, unless the practice changed it. Every R4 type stands in exactly one row; a type
// in none reaches nobody, and a test fails. testdata/access.golden shows it whole.
//
// Nobody deletes clinical records: what was wrong is marked entered-in-error and stays. Modules narrow further
// what the screens offer; nothing widens it.
var typeTable = []struct {
	types         string
	clinician     Bits
	nurse         Bits
	frontDesk     Bits
	biller        Bits
	administrator Bits
}{
	// who the patients are
	{types: "Patient RelatedPerson Person",
		clinician: canKeep, nurse: canKeep, frontDesk: canKeep, biller: canLook, administrator: canLook},
	// the clinical record that claims are made from
	// checking a patient in begins the visit, so the front desk keeps it too
	{types: "Encounter",
		clinician: canKeep, nurse: canKeep, frontDesk: canKeep, biller: canLook},
	{types: "Condition Procedure Immunization ServiceRequest EpisodeOfCare",
		clinician: canKeep, nurse: canKeep, biller: canLook},
	// the rest of the clinical record
	{types: "AllergyIntolerance Observation DiagnosticReport DocumentReference DocumentManifest Composition " +
		"MedicationRequest MedicationStatement MedicationAdministration MedicationDispense ClinicalImpression " +
		"FamilyMemberHistory CarePlan CareTeam Goal RiskAssessment Flag List DetectedIssue AdverseEvent " +
		"ImmunizationEvaluation ImmunizationRecommendation ImagingStudy Media Specimen BodyStructure " +
		"NutritionOrder VisionPrescription Device DeviceRequest DeviceUseStatement DeviceMetric " +
		"SupplyRequest SupplyDelivery RequestGroup GuidanceResponse MolecularSequence Group Linkage " +
		"MeasureReport ResearchSubject BiologicallyDerivedProduct Basic",
		clinician: canKeep, nurse: canKeep},
	// forms, messages and files are read and filled at the front desk too
	{types: "QuestionnaireResponse Communication CommunicationRequest Binary",
		clinician: canKeep, nurse: canKeep, frontDesk: canKeep, biller: canLook},
	{types: "Task",
		clinician: canAll, nurse: canAll, frontDesk: canAll, biller: canAll, administrator: canAll},
	{types: "Consent",
		clinician: canKeep, nurse: canKeep, frontDesk: canKeep, biller: canLook, administrator: canLook},
	{types: "Appointment AppointmentResponse Slot Schedule",
		clinician: canAll, nurse: canAll, frontDesk: canAll, biller: canLook, administrator: canLook},
	// money
	{types: "Coverage CoverageEligibilityRequest CoverageEligibilityResponse",
		clinician: canLook, nurse: canLook, frontDesk: canKeep, biller: canKeep},
	{types: "Account Invoice PaymentNotice EnrollmentRequest EnrollmentResponse",
		frontDesk: canLook, biller: canKeep},
	{types: "Claim ClaimResponse ExplanationOfBenefit PaymentReconciliation Contract",
		biller: canKeep},
	{types: "ChargeItem",
		clinician: canKeep, nurse: canLook, biller: canKeep},
	// who works where
	{types: "Practitioner PractitionerRole Organization Location HealthcareService OrganizationAffiliation " +
		"InsurancePlan Endpoint VerificationResult",
		clinician: canLook, nurse: canLook, frontDesk: canLook, biller: canLook, administrator: canAll},
	// definitions without patients
	{types: "ActivityDefinition CapabilityStatement CatalogEntry ChargeItemDefinition CodeSystem " +
		"CompartmentDefinition ConceptMap DeviceDefinition EffectEvidenceSynthesis EventDefinition Evidence " +
		"EvidenceVariable ExampleScenario GraphDefinition ImplementationGuide Library Measure Medication " +
		"MedicationKnowledge MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication " +
		"MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction " +
		"MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical " +
		"MedicinalProductUndesirableEffect MessageDefinition NamingSystem ObservationDefinition " +
		"OperationDefinition PlanDefinition Questionnaire ResearchDefinition ResearchElementDefinition " +
		"ResearchStudy RiskEvidenceSynthesis SearchParameter SpecimenDefinition StructureDefinition StructureMap " +
		"Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation " +
		"SubstanceSourceMaterial SubstanceSpecification TerminologyCapabilities TestReport TestScript ValueSet",
		clinician: canLook, nurse: canLook, frontDesk: canLook, biller: canLook, administrator: canAll},
	// who did what
	{types: "Provenance", clinician: canLook, nurse: canLook, administrator: canLook},
	{types: "AuditEvent", administrator: canLook},
	// carried in messages and requests; no role reaches a stored one
	{types: "Bundle MessageHeader OperationOutcome Parameters Subscription"},
}

const (
	canKeep = canLook | CanCreate | CanUpdate
	canAll  = canKeep | CanDelete
)

// readOnly is an access without its writes, for a practice whose contract allows reading only.
func (a *Access) readOnly() *Access {
	out := *a
	out.All, out.Types = false, make(map[string]Bits, len(a.Types))
	if a.All {
		for _, row := range typeTable {
			for _, t := range strings.Fields(row.types) {
				out.Types[t] = canLook
			}
		}
	}
	for t, b := range a.Types {
		if b &^= canWrite; b != 0 {
			out.Types[t] = b
		}
	}
	return &out
}
