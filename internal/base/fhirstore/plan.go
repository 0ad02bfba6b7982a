package fhirstore

import (
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// How a search parameter of a type is indexed. Whatever the index answers is checked again on the decoded
// body, so a mode decides cost, never results.
type mode uint8

const (
	byKey   mode = iota // a row per value
	byFacet             // two bits in resource.facet: for values that many resources share
	byRare              // byFacet for the listed everyday values, a row for every other value
	byDate              // the columns date and span of the resource: its clinical date
	byBody              // not indexed: candidates of other clauses are checked
)

// clinicalDate names the date parameter that orders the resources of a type. Types without one are
// ordered by when they were first stored.
var clinicalDate = map[string]string{
	"AdverseEvent": "date", "AllergyIntolerance": "date", "Appointment": "date", "CarePlan": "date", "CareTeam": "date",
	"ChargeItem": "occurrence", "Claim": "created", "ClaimResponse": "created", "ClinicalImpression": "date",
	"Communication": "sent", "CommunicationRequest": "authored", "Composition": "date", "Condition": "onset-date",
	"Consent": "date", "CoverageEligibilityRequest": "created", "CoverageEligibilityResponse": "created",
	"DetectedIssue": "identified", "DeviceRequest": "authored-on", "DiagnosticReport": "date",
	"DocumentManifest": "created", "DocumentReference": "date", "Encounter": "date", "EpisodeOfCare": "date",
	"ExplanationOfBenefit": "created", "FamilyMemberHistory": "date", "Flag": "date", "Goal": "start-date",
	"ImagingStudy": "started", "Immunization": "date", "ImmunizationEvaluation": "date",
	"ImmunizationRecommendation": "date", "Invoice": "date", "List": "date", "MeasureReport": "date", "Media": "created",
	"MedicationAdministration": "effective-time", "MedicationDispense": "whenhandedover",
	"MedicationRequest": "authoredon", "MedicationStatement": "effective", "NutritionOrder": "datetime",
	"Observation": "date", "PaymentNotice": "created", "PaymentReconciliation": "created", "Procedure": "date",
	"Provenance": "recorded", "QuestionnaireResponse": "authored", "RequestGroup": "authored", "RiskAssessment": "date",
	"Schedule": "date", "ServiceRequest": "authored", "Slot": "start", "Specimen": "collected", "SupplyRequest": "date",
	"Task": "authored-on", "VisionPrescription": "datewritten",
}

// unindexed lists the parameters that deserve no row of their own, as "Type.code" or "*.code".
// Facet entries name values that nearly all resources of the type share.
var unindexed = map[string]mode{
	"*._profile": byFacet, "*._id": byBody, "*._lastUpdated": byBody, "*._text": byBody, "*._content": byBody,
	"*.near": byBody, "*.phonetic": byBody, "*.language": byFacet, "*.gender": byFacet, "*.active": byFacet,
	"*.address-use": byFacet, "*.address-country": byBody, "*.address-state": byBody, "*.address-city": byBody,
	"*.address-postalcode": byBody, "*.given": byBody, "*.family": byBody, "*.phone": byBody, "*.email": byBody,

	"AllergyIntolerance.category": byFacet, "AllergyIntolerance.type": byFacet, "AllergyIntolerance.criticality": byFacet,
	"AllergyIntolerance.verification-status": byFacet,

	"CarePlan.category": byFacet, "CarePlan.intent": byFacet, "CarePlan.activity-code": byBody,
	"CarePlan.activity-date": byBody, "CareTeam.category": byFacet,

	"Claim.use": byFacet, "Claim.priority": byFacet, "Claim.care-team": byBody, "Claim.facility": byBody,
	"Claim.insurer": byBody, "Claim.enterer": byBody, "Claim.payee": byBody,

	"Condition.category": byFacet, "Condition.verification-status": byFacet, "Condition.severity": byFacet,
	"Condition.recorded-date": byBody, "Condition.abatement-date": byBody, "Condition.abatement-string": byBody,
	"Condition.stage": byBody,

	"DiagnosticReport.category": byFacet, "DiagnosticReport.issued": byBody,

	"DocumentReference.category": byFacet, "DocumentReference.contenttype": byFacet, "DocumentReference.format": byFacet,
	"DocumentReference.custodian": byBody, "DocumentReference.period": byBody, "DocumentReference.location": byBody,
	"DocumentReference.description": byBody, "DocumentReference.facility": byBody, "DocumentReference.setting": byBody,

	"Encounter.class": byFacet, "Encounter.location-period": byBody, "Encounter.length": byBody,
	"Encounter.participant-type": byFacet, "Encounter.special-arrangement": byBody,
	"Encounter.service-provider": byBody,

	"ExplanationOfBenefit.care-team": byBody, "ExplanationOfBenefit.coverage": byBody,
	"ExplanationOfBenefit.disposition": byBody, "ExplanationOfBenefit.facility": byBody,
	"ExplanationOfBenefit.enterer": byBody, "ExplanationOfBenefit.payee": byBody,
	"ExplanationOfBenefit.detail-udi": byBody, "ExplanationOfBenefit.item-udi": byBody,
	"ExplanationOfBenefit.subdetail-udi": byBody, "ExplanationOfBenefit.procedure-udi": byBody,

	"ImagingStudy.series": byBody, "ImagingStudy.instance": byBody, "ImagingStudy.dicom-class": byFacet,
	"ImagingStudy.modality": byFacet, "ImagingStudy.bodysite": byFacet,

	"Immunization.location": byBody, "Immunization.lot-number": byKey,

	"MedicationRequest.intent": byFacet, "MedicationRequest.priority": byFacet, "MedicationRequest.date": byBody,
	"MedicationRequest.intended-performertype": byFacet,

	"Observation.category": byFacet, "Observation.method": byFacet, "Observation.data-absent-reason": byKey,
	"Observation.component-data-absent-reason": byBody, "Observation.combo-data-absent-reason": byBody,
	"Observation.value-quantity": byBody, "Observation.component-value-quantity": byBody,
	"Observation.combo-value-quantity": byBody, "Observation.combo-code": byBody,
	"Observation.combo-value-concept": byBody, "Observation.component-value-concept": byBody,
	"Observation.value-string": byBody, "Observation.value-date": byBody,

	"Patient.deceased": byFacet, "Patient.death-date": byKey,

	"Procedure.category": byFacet, "Procedure.location": byBody,

	"Provenance.when": byBody, "Provenance.agent-role": byFacet, "Provenance.agent-type": byFacet,

	"SupplyDelivery.supplier": byBody,
}

// everyday lists the values of byRare parameters that most resources of the type have, so that the others
// (the unfinished, the preliminary) are found by a row and these by their facet.
var everyday = map[string]string{
	"AllergyIntolerance.clinical-status": "active", "CarePlan.status": "active completed",
	"CareTeam.status": "active inactive", "Claim.status": "active", "Condition.clinical-status": "active resolved",
	"DiagnosticReport.status": "final", "DocumentReference.status": "current superseded", "Encounter.status": "finished",
	"ExplanationOfBenefit.status": "active", "ImagingStudy.status": "available", "Immunization.status": "completed",
	"Location.status": "active", "Medication.status": "active",
	"MedicationAdministration.status": "completed", "MedicationRequest.status": "active stopped completed",
	"Observation.status": "final", "Procedure.status": "completed", "SupplyDelivery.status": "completed",
}

// nameKeys are the parameters whose narrower relatives find their candidates through it.
var nameKeys = map[string]string{
	"given": "name", "family": "name", "phonetic": "name",
	"address-city": "address", "address-state": "address", "address-postalcode": "address", "address-country": "address",
}

// shortWords are the parameters whose words say their first letters as a facet: in names and states two letters tell something.
var shortWords = map[string]bool{"name": true, "address-state": true, "address-country": true}

// unitedKeys are the parameters that are answered by the rows of others. R4 gives phone and email to the types that have telecom.
var unitedKeys = map[string][]string{
	"Observation.combo-code": {"code", "component-code"},
	"*.phone":                {"telecom"},
	"*.email":                {"telecom"},
}

func unitedKeysOf(typ, param string) []string {
	if keys := unitedKeys[typ+"."+param]; keys != nil {
		return keys
	}
	return unitedKeys["*."+param]
}

// pairTypes have a row per patient and code.
var pairTypes = map[string]string{"Observation": "code"}

// sharedTypes hold no patient's record: a scope confined to a compartment sees them all (if it may see the
// type). Every other type is filtered, also those that R4 puts into no patient compartment.
var sharedTypes = set("ActivityDefinition CapabilityStatement ChargeItemDefinition CodeSystem CompartmentDefinition " +
	"ConceptMap DeviceDefinition Endpoint GraphDefinition HealthcareService ImplementationGuide InsurancePlan Library " +
	"Location Measure Medication MedicationKnowledge MessageDefinition NamingSystem ObservationDefinition " +
	"OperationDefinition Organization OrganizationAffiliation PlanDefinition Practitioner PractitionerRole " +
	"Questionnaire Schedule SearchParameter Slot SpecimenDefinition StructureDefinition StructureMap Substance " +
	"TerminologyCapabilities ValueSet")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// plan is how one resource type is indexed.
type plan struct {
	typ       string
	params    map[string]paramPlan
	date      string          // code of the clinical date parameter, ""
	inPatient map[string]bool // canonical reference parameters that put a resource into a patient's compartment
	encounter string          // the parameter that names the encounter, ""
	subject   string          // the parameter that names whom a resource is about, ""
}

type paramPlan struct {
	kind     string // R4 parameter type
	mode     mode
	everyday map[string]bool
}

var plans sync.Map // type name → *plan; built from constants, so sharing it is harmless

// planOf returns the plan of a type, nil for an unknown one.
func planOf(typ string) *plan {
	if p, ok := plans.Load(typ); ok {
		return p.(*plan)
	}
	if typeCode(typ) == 0 {
		return nil
	}
	p := &plan{typ: typ, params: map[string]paramPlan{}, date: clinicalDate[typ], inPatient: map[string]bool{}}
	for _, sp := range fhir.SearchParams(typ) {
		canonical, _ := fhirsearch.Alias(typ, sp.Code)
		if canonical != sp.Code {
			continue
		}
		pp := paramPlan{kind: sp.Type}
		if m, ok := unindexed[typ+"."+sp.Code]; ok {
			pp.mode = m
		} else if m, ok := unindexed["*."+sp.Code]; ok {
			pp.mode = m
		} else if v := everyday[typ+"."+sp.Code]; v != "" {
			pp.mode, pp.everyday = byRare, set(v)
		}
		if sp.Code == p.date {
			pp.mode = byDate
		}
		p.params[sp.Code] = pp
	}
	for _, code := range PatientParams(typ) {
		canonical, _ := fhirsearch.Alias(typ, code)
		p.inPatient[canonical] = true
	}
	for _, code := range []string{"patient", "subject", "beneficiary", "individual", "member"} {
		if canonical, _ := fhirsearch.Alias(typ, code); p.inPatient[canonical] {
			p.subject = canonical
			break
		}
	}
	for _, code := range []string{"encounter", "context"} {
		if pp, ok := p.params[code]; ok && pp.kind == "reference" {
			p.encounter = code
			break
		}
	}
	plans.Store(typ, p)
	return p
}

// PatientParams are the parameters that put a resource of the type into a patient's compartment: those
// of R4, and for types that R4 leaves out (Task, Device, Person …) the ones that name a patient.
//
// R4 also counts a Patient whose link names another among the other's record. Here a Patient is in its own alone:
// whoever may read one person's record would otherwise read whomever links to that person.
func PatientParams(typ string) []string {
	if typ == "Patient" {
		return nil
	}
	if codes := fhir.Compartment("Patient", typ); len(codes) > 0 {
		return codes
	}
	if sharedTypes[typ] {
		return nil
	}
	var codes []string
	for _, sp := range fhir.SearchParams(typ) {
		if sp.Type == "reference" && (sp.Code == "patient" || sp.Code == "subject" || sp.Code == "beneficiary") {
			codes = append(codes, sp.Code)
		}
	}
	return codes
}
