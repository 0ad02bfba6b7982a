package docs

import (
	"net/http"

	"yarrow.health/internal/web/ui"
)

// start is a query to begin with. Its words are docs.gql.start.NAME in the catalogue.
type start struct{ Name, Type, Query, Variables string }

// starts are queries that work in every practice; what varies stands in their variables.
var starts = []start{
	{"find", "Patient", `query Find($name: String) {
  PatientList(name: $name, _count: 5) {
    id
    name { family given }
    birthDate
    gender
  }
}`, `{ "name": "a" }`},
	{"chart", "Patient", `query Chart($patient: ID!) {
  Patient(id: $patient) {
    name { family given }
    ConditionList(_reference: patient) { code { text } onsetDateTime }
    MedicationRequestList(_reference: patient) { status medicationCodeableConcept { text } }
    AllergyIntoleranceList(_reference: patient) { code { text } criticality }
  }
}`, `{ "patient": "ID of a patient" }`},
	{"results", "Observation", `query Results($patient: String) {
  ObservationList(patient: $patient, category: "laboratory", _sort: "-date", _count: 10) {
    code { text }
    valueQuantity { value unit }
    effectiveDateTime
    subject { reference }
  }
}`, `{ "patient": "Patient/ID" }`},
	{"vitals", "Observation", `{
  ObservationList(category: "vital-signs", _sort: "-date", _count: 5) {
    code { text }
    valueQuantity { value unit }
    component { code { text } valueQuantity { value unit } }
    subject { resource { ... on Patient { id } } }
  }
}`, ""},
	{"problems", "Condition", `{
  ConditionList(clinical_status: "active", _count: 10) {
    code { text coding { system code } }
    subject { reference }
  }
}`, ""},
	{"medicines", "MedicationRequest", `{
  MedicationRequestList(status: "active", _count: 10) {
    medicationCodeableConcept { text }
    dosageInstruction { text }
    authoredOn
  }
}`, ""},
	{"today", "Appointment", `query Today($day: String) {
  AppointmentList(date: $day, _sort: "date") {
    start
    status
    description
    participant { actor { display } }
  }
}`, `{ "day": "2026-01-31" }`},
	{"visits", "Encounter", `{
  EncounterList(_sort: "-date", _count: 5) {
    status
    period { start end }
    participant { individual { resource { ... on Practitioner { name { family } } } } }
  }
}`, ""},
	{"pages", "Patient", `query Page($cursor: String) {
  PatientConnection(_count: 3, _cursor: $cursor) {
    count
    next
    edges { resource { id name { family } } }
  }
}`, ""},
	{"flat", "Patient", `{
  PatientList(_count: 5) {
    id
    name @first { family given @flatten }
  }
}`, ""},
	{"staff", "Practitioner", `{
  PractitionerList(_count: 10) { id name { family given suffix } }
}`, ""},
}

// graphQL is the page on which GraphQL is tried. It is filled by its script, which asks the interface for the schema.
func (p *Pages) graphQL(w *ui.Reply, q *ui.Request) error {
	return w.HTML(http.StatusOK, graphQLView(q, p.origin+q.URL("fhir", "$graphql")))
}
