package fhirsearch

import (
	"math"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// clinicalDates lists, for types whose entries have a place in a patient's history, the elements that
// date them, best first: "name" for a date or dateTime, "name.start" and the like for Periods.
var clinicalDates = map[string][]string{
	"AdverseEvent":             {"date", "detected", "recordedDate"},
	"AllergyIntolerance":       {"onsetDateTime", "onsetPeriod", "recordedDate"},
	"Appointment":              {"start", "created"},
	"AuditEvent":               {"recorded"},
	"CarePlan":                 {"period", "created"},
	"CareTeam":                 {"period"},
	"ChargeItem":               {"occurrenceDateTime", "occurrencePeriod", "enteredDate"},
	"Claim":                    {"billablePeriod", "created"},
	"ClaimResponse":            {"created"},
	"ClinicalImpression":       {"effectiveDateTime", "effectivePeriod", "date"},
	"Communication":            {"sent", "received"},
	"CommunicationRequest":     {"occurrenceDateTime", "occurrencePeriod", "authoredOn"},
	"Composition":              {"date"},
	"Condition":                {"onsetDateTime", "onsetPeriod", "recordedDate"},
	"Consent":                  {"dateTime"},
	"Coverage":                 {"period"},
	"DetectedIssue":            {"identifiedDateTime", "identifiedPeriod"},
	"DeviceRequest":            {"occurrenceDateTime", "occurrencePeriod", "authoredOn"},
	"DeviceUseStatement":       {"timingDateTime", "timingPeriod", "recordedOn"},
	"DiagnosticReport":         {"effectiveDateTime", "effectivePeriod", "issued"},
	"DocumentReference":        {"context.period", "date"},
	"Encounter":                {"period"},
	"EpisodeOfCare":            {"period"},
	"ExplanationOfBenefit":     {"billablePeriod", "created"},
	"FamilyMemberHistory":      {"date"},
	"Flag":                     {"period"},
	"Goal":                     {"startDate", "statusDate"},
	"ImagingStudy":             {"started"},
	"Immunization":             {"occurrenceDateTime", "recorded"},
	"ImmunizationEvaluation":   {"date"},
	"Invoice":                  {"date"},
	"List":                     {"date"},
	"Media":                    {"createdDateTime", "createdPeriod", "issued"},
	"MedicationAdministration": {"effectiveDateTime", "effectivePeriod"},
	"MedicationDispense":       {"whenHandedOver", "whenPrepared"},
	"MedicationRequest":        {"authoredOn"},
	"MedicationStatement":      {"effectiveDateTime", "effectivePeriod", "dateAsserted"},
	"Observation":              {"effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"},
	"PaymentReconciliation":    {"paymentDate", "created"},
	"Procedure":                {"performedDateTime", "performedPeriod"},
	"Provenance":               {"occurredDateTime", "occurredPeriod", "recorded"},
	"QuestionnaireResponse":    {"authored"},
	"RiskAssessment":           {"occurrenceDateTime", "occurrencePeriod"},
	"Schedule":                 {"planningHorizon"},
	"ServiceRequest":           {"occurrenceDateTime", "occurrencePeriod", "authoredOn"},
	"Slot":                     {"start"},
	"Specimen":                 {"collection.collectedDateTime", "collection.collectedPeriod", "receivedTime"},
	"Task":                     {"executionPeriod", "authoredOn", "lastModified"},
	"VisionPrescription":       {"dateWritten", "created"},
}

// SortDate returns the clinical date of a resource in UTC microseconds: the moment by which its type is
// ordered in a history (an Observation's effective time, an Encounter's start). It is 0 when the type has
// none or the resource does not say.
func SortDate(resourceType string, n *fhirjson.Node) int64 {
	for _, path := range clinicalDates[resourceType] {
		v := n
		for start, i := 0, 0; i <= len(path); i++ {
			if i == len(path) || path[i] == '.' {
				v = v.Get(path[start:i])
				start = i + 1
			}
		}
		if v == nil {
			continue
		}
		if v.Kind() == fhirjson.String {
			if low, _, ok := moment(v.Text()); ok {
				return low
			}
			continue
		}
		if low, _, ok := moment(v.Get("start").Text()); ok {
			return low
		}
		if low, _, ok := moment(v.Get("end").Text()); ok {
			return low
		}
	}
	return 0
}

// Moment reads a date, dateTime or instant of any precision as [low, high) in UTC microseconds; without an offset it is UTC.
func Moment(s string) (low, high int64, ok bool) { return moment(s) }

// CareDates returns the time that what a resource records took, [low, high) in UTC microseconds, from the element that
// SortDate reads: a Period without a start or end is open there. ok is false when the resource does not say.
func CareDates(resourceType string, n *fhirjson.Node) (low, high int64, ok bool) {
	for _, path := range clinicalDates[resourceType] {
		v := n
		for name := range strings.SplitSeq(path, ".") {
			v = v.Get(name)
		}
		if v.Kind() == fhirjson.String {
			if low, high, ok = moment(v.Text()); ok {
				return low, high, true
			}
			continue
		}
		from, _, begun := moment(v.Get("start").Text())
		_, to, ended := moment(v.Get("end").Text())
		if !begun && !ended {
			continue
		}
		if !begun {
			from = math.MinInt64
		}
		if !ended {
			to = math.MaxInt64
		}
		return from, to, true
	}
	return 0, 0, false
}
