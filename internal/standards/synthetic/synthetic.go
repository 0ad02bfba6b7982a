// Package synthetic tells invented patient data from what looks real, by ranges that belong to nobody: social security numbers
// that are never issued, telephone numbers kept for fiction, mail at example domains. A practice without a business associate
// agreement holds only what passes. It is pure, and it is a fence against mistakes: who wants to lie to it can.
package synthetic

import (
	"encoding/base64"
	"fmt"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Kind is what a value looks like.
type Kind uint8

// The kinds of findings.
const (
	SSN        Kind = iota + 1 // a social security number that could be somebody's
	Phone                      // a telephone number that could ring
	Mail                       // an address at which mail could arrive
	Identifier                 // a number by which an authority knows a person
)

// Finding is one value that looks real. It never holds the value itself.
type Finding struct {
	Kind Kind
	Path string // "Patient.telecom[0].value"
}

// most is how many findings of one resource are told.
const most = 10

// TestData is the code of HL7 v3 ActReason that declares a resource to be test data, in meta.tag or meta.security.
const (
	TestData       = "HTEST"
	TestDataSystem = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
)

// Find gives what looks real in a resource, in document order, at most ten findings. Identifiers of authorities are left out
// when the resource declares itself to be test data.
func Find(n *fhirjson.Node) []Finding {
	l := looker{}
	l.resource(n, n.Get("resourceType").Text())
	return l.found
}

// WithoutIdentifiers are the findings that a declaration of synthetic data does not excuse.
func WithoutIdentifiers(found []Finding) []Finding {
	var out []Finding
	for _, f := range found {
		if f.Kind != Identifier {
			out = append(out, f)
		}
	}
	return out
}

// Issues says findings to people: what looks real, where, and what to do.
func Issues(found []Finding) fhir.Issues {
	var out fhir.Issues
	for _, f := range found {
		out = append(out, *f.issue().At(f.Path))
	}
	return out
}

func (f Finding) issue() *fhir.Issue {
	switch f.Kind {
	case SSN:
		return fhir.Problem("business-rule", "This looks like a real social security number, and the practice may hold only invented data.",
			"Have the agreement signed first, or use a number that begins with 000, 666 or 9.")
	case Phone:
		return fhir.Problem("business-rule", "This looks like a real telephone number, and the practice may hold only invented data.",
			"Have the agreement signed first, or use a number such as 555-0123.")
	case Mail:
		return fhir.Problem("business-rule", "This looks like a real e-mail address, and the practice may hold only invented data.",
			"Have the agreement signed first, or use an address at example.com.")
	}
	return fhir.Problem("business-rule", "This looks like a number that an authority gave to a person, and the practice may hold only invented data.",
		"Have the agreement signed first, leave the number out, or declare the data as synthetic (tag HTEST, or --synthetic at an import).")
}

// public are the types that are about the practice, its neighbours and definitions: their telephone numbers stand in
// directories, and only social security numbers are looked for in them.
var public = func() map[string]bool {
	m := map[string]bool{}
	for t := range strings.FieldsSeq("Practitioner PractitionerRole Organization Location HealthcareService OrganizationAffiliation InsurancePlan " +
		"Endpoint VerificationResult ActivityDefinition CapabilityStatement CatalogEntry ChargeItemDefinition CodeSystem CompartmentDefinition " +
		"ConceptMap DeviceDefinition EffectEvidenceSynthesis EventDefinition Evidence EvidenceVariable ExampleScenario GraphDefinition " +
		"ImplementationGuide Library Measure Medication MedicationKnowledge MessageDefinition NamingSystem ObservationDefinition " +
		"OperationDefinition PlanDefinition Questionnaire ResearchDefinition ResearchElementDefinition ResearchStudy RiskEvidenceSynthesis " +
		"SearchParameter SpecimenDefinition StructureDefinition StructureMap Substance TerminologyCapabilities TestReport TestScript ValueSet") {
		m[t] = true
	}
	return m
}()

// persons are the types whose identifiers name a person.
var persons = map[string]bool{"Patient": true, "RelatedPerson": true, "Person": true}

// mute are members that hold no words of people: codes, addresses of systems, ids.
var mute = map[string]bool{"id": true, "reference": true, "system": true, "code": true, "url": true, "fullUrl": true, "uri": true, "hash": true,
	"version": true, "versionId": true, "profile": true, "contentType": true, "language": true, "resourceType": true, "unit": true, "status": true,
	"use": true, "type": true, "start": true, "end": true, "lastUpdated": true, "valueCode": true, "valueUri": true, "valueUrl": true, "valueCanonical": true,
	"valueOid": true, "valueUuid": true, "valueId": true, "valueDate": true, "valueDateTime": true, "valueInstant": true, "birthDate": true, "gender": true}

type looker struct {
	found    []Finding
	path     []string
	resType  string
	declared bool
}

func (l *looker) add(k Kind, more ...string) {
	if len(l.found) < most {
		l.found = append(l.found, Finding{k, strings.Join(append(append([]string(nil), l.path...), more...), ".")})
	}
}

// resource looks at a resource, contained ones and those of a Bundle included.
func (l *looker) resource(n *fhirjson.Node, typ string) {
	before, wasDeclared := l.resType, l.declared
	l.resType, l.declared = typ, l.declared || declared(n)
	if len(l.path) == 0 {
		l.path = append(l.path, typ)
		defer func() { l.path = l.path[:0] }()
	}
	l.object(n, "")
	l.resType, l.declared = before, wasDeclared
}

func declared(n *fhirjson.Node) bool {
	for _, name := range []string{"tag", "security"} {
		list := n.Get("meta").Get(name).Items()
		for i := range list {
			if list[i].Get("code").Text() == TestData && list[i].Get("system").Text() == TestDataSystem {
				return true
			}
		}
	}
	return false
}

func (l *looker) object(n *fhirjson.Node, under string) {
	switch {
	case under == "telecom" || under == "valueContactPoint":
		l.contact(n)
		return
	case under == "identifier" || under == "valueIdentifier":
		l.identifier(n)
		return
	}
	members := n.Members()
	for i := range members {
		m := &members[i]
		if mute[m.Name] || m.Value.Kind() == fhirjson.Null {
			continue
		}
		l.value(&m.Value, m.Name, n)
	}
}

func (l *looker) value(v *fhirjson.Node, name string, in *fhirjson.Node) {
	switch v.Kind() {
	case fhirjson.String:
		if name == "data" && (l.resType == "Binary" || in.Get("contentType") != nil) {
			l.data(v.Text(), in.Get("contentType").Text(), name)
			return
		}
		l.text(v.Text(), name)
	case fhirjson.Object:
		l.path = append(l.path, name)
		if typ := v.Get("resourceType"); typ != nil {
			l.resource(v, typ.Text())
		} else {
			l.object(v, name)
		}
		l.path = l.path[:len(l.path)-1]
	case fhirjson.Array:
		items := v.Items()
		for i := range items {
			switch items[i].Kind() {
			case fhirjson.Object:
				l.path = append(l.path, fmt.Sprintf("%s[%d]", name, i))
				if typ := items[i].Get("resourceType"); typ != nil {
					l.resource(&items[i], typ.Text())
				} else {
					l.object(&items[i], name)
				}
				l.path = l.path[:len(l.path)-1]
			case fhirjson.String:
				l.text(items[i].Text(), fmt.Sprintf("%s[%d]", name, i))
			}
		}
	}
}

// contact looks at one ContactPoint.
func (l *looker) contact(n *fhirjson.Node) {
	value := n.Get("value").Text()
	if public[l.resType] {
		l.text(value, "value")
		return
	}
	switch n.Get("system").Text() {
	case "phone", "fax", "sms", "pager":
		if !FictionalPhone(value) {
			l.add(Phone, "value")
			return
		}
	case "email":
		if !ExampleMail(value) {
			l.add(Mail, "value")
			return
		}
	case "url":
		return
	default:
		switch {
		case strings.Contains(value, "@") && !ExampleMail(value):
			l.add(Mail, "value")
		case !strings.Contains(value, "@") && len(digits(value)) >= 7 && !FictionalPhone(value):
			l.add(Phone, "value")
		}
	}
}

// identifier looks at one Identifier.
func (l *looker) identifier(n *fhirjson.Node) {
	value := n.Get("value").Text()
	if value == "" {
		return
	}
	system, typ := n.Get("system").Text(), ""
	codings := n.Get("type").Get("coding").Items()
	for i := range codings {
		if c := codings[i].Get("code").Text(); authorities[c] || c == "SS" {
			typ = c
		}
	}
	switch {
	case typ == "SS" || ssnSystems[system]:
		if !UnissuedSSN(value) {
			l.add(SSN, "value")
		}
	case persons[l.resType] && !l.declared && (authorities[typ] || official(system)) && !invented(value):
		l.add(Identifier, "value")
	default:
		if k := scan(value); k == SSN {
			l.add(SSN, "value")
		}
	}
}

// ssnSystems are the systems of US social security numbers.
var ssnSystems = map[string]bool{"http://hl7.org/fhir/sid/us-ssn": true, "urn:oid:2.16.840.1.113883.4.1": true}

// authorities are codes of HL7 v2 table 0203 for numbers that states and payers give to persons.
var authorities = map[string]bool{"DL": true, "PPN": true, "MC": true, "MCR": true, "MA": true, "MI": true, "MB": true, "NI": true, "NH": true, "SB": true,
	"TAX": true, "PRC": true, "CZ": true, "MCN": true, "HC": true, "NNxxx": true}

// official says by its system that a number comes from an authority: Medicare, driver's licences and passports.
func official(system string) bool {
	return system == "http://hl7.org/fhir/sid/us-mbi" || system == "http://hl7.org/fhir/sid/us-medicare" ||
		strings.HasPrefix(system, "urn:oid:2.16.840.1.113883.4.3.") || // US driver's licences, by state
		strings.HasPrefix(system, "urn:oid:2.16.840.1.113883.4.330.") || // passports, by country
		strings.HasPrefix(system, "http://hl7.org/fhir/sid/passport-")
}

// invented knows numbers that say so themselves: those in the forms Synthea gives (S99 and six digits; digits between two X), in words, or
// with digits that are all alike.
func invented(v string) bool {
	v = strings.ToUpper(v)
	switch {
	case len(v) == 9 && strings.HasPrefix(v, "S99") && len(digits(v)) == 8:
		return true
	case len(v) >= 7 && len(v) <= 10 && v[0] == 'X' && v[len(v)-1] == 'X' && len(digits(v)) == len(v)-2:
		return true
	case strings.Contains(v, "TEST") || strings.Contains(v, "EXAMPLE") || strings.Contains(v, "SAMPLE") || strings.Contains(v, "DEMO"):
		return true
	}
	d := digits(v)
	return d == "" || strings.Count(d, d[:1]) == len(d)
}

// data looks into an attachment of text.
func (l *looker) data(encoded, contentType, name string) {
	if !strings.HasPrefix(contentType, "text/") && !strings.Contains(contentType, "xml") && !strings.Contains(contentType, "json") {
		return
	}
	if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		l.text(string(raw), name)
	}
}

// text looks at words of people.
func (l *looker) text(s, name string) {
	switch k := scan(s); {
	case k == 0:
	case k == SSN || !public[l.resType]:
		l.add(k, name)
	}
}
