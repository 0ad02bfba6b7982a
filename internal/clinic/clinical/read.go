package clinical

import (
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Code systems this package writes and looks for.
const (
	systemICD10     = "http://hl7.org/fhir/sid/icd-10-cm"
	systemRxNorm    = "http://www.nlm.nih.gov/research/umls/rxnorm"
	systemSNOMED    = "http://snomed.info/sct"
	systemLOINC     = "http://loinc.org"
	systemUCUM      = "http://unitsofmeasure.org"
	systemCategory  = "http://terminology.hl7.org/CodeSystem/observation-category"
	systemCondition = "http://terminology.hl7.org/CodeSystem/condition-clinical"
	systemCondVer   = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
	systemCondCat   = "http://terminology.hl7.org/CodeSystem/condition-category"
	systemAllergy   = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
	systemAllergVer = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
	systemInterpret = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
)

// SNOMED CT codes of the "none known" statements (CC BY 4.0 International Patient Set).
const (
	noKnownAllergies = "716186003"
	noKnownDrug      = "409137002"
)

func readProblem(id string, version int64, n *fhirjson.Node) (Problem, bool) {
	p := Problem{ID: id, Version: version, Name: fhir.ConceptText(n.Get("code")), Note: annotation(n)}
	p.System, p.Code = fhir.ConceptCode(n.Get("code"), systemICD10, systemSNOMED)
	_, p.Status = fhir.ConceptCode(n.Get("clinicalStatus"))
	_, p.Verified = fhir.ConceptCode(n.Get("verificationStatus"))
	for _, f := range []string{"onsetDateTime", "onsetString"} {
		if v := n.Get(f).Text(); v != "" {
			p.Onset = v
		}
	}
	if v := n.At("onsetPeriod", "start").Text(); v != "" {
		p.Onset = v
	}
	for _, f := range []string{"abatementDateTime", "abatementString"} {
		if v := n.Get(f).Text(); v != "" {
			p.Resolved = v
		}
	}
	if p.Status == "" && p.Resolved != "" {
		p.Status = "resolved"
	}
	p.Recorded = n.Get("recordedDate").Text()
	p.By = person(n.Get("recorder"))
	p.Source = source(n)
	return p, p.Verified != "entered-in-error" && onProblemList(n)
}

// onProblemList leaves out diagnoses that belong to one encounter only (US Core:
// encounter-diagnosis); a condition without a category is taken for a problem. Synthea
// and older systems file every problem as an encounter diagnosis, so one that is still
// active stays on the list.
func onProblemList(n *fhirjson.Node) bool {
	only := false
	for _, c := range n.Get("category").Items() {
		for _, k := range c.Get("coding").Items() {
			switch k.Get("code").Text() {
			case "problem-list-item", "health-concern":
				return true
			case "encounter-diagnosis":
				only = true
			}
		}
	}
	if !only {
		return true
	}
	_, status := fhir.ConceptCode(n.Get("clinicalStatus"))
	return status == "active" || status == "recurrence" || status == "relapse"
}

func readMedication(typ, id string, version int64, n *fhirjson.Node) (Medication, bool) {
	m := Medication{ID: id, Version: version, Kind: typ, Status: n.Get("status").Text(), Note: annotation(n), Source: source(n)}
	c := n.Get("medicationCodeableConcept")
	m.Name = fhir.ConceptText(c)
	m.System, m.Code = fhir.ConceptCode(c, systemRxNorm)
	if c == nil {
		r := n.Get("medicationReference")
		m.Name = r.Get("display").Text()
		if ref := r.Get("reference").Text(); strings.HasPrefix(ref, "#") {
			for _, in := range n.Get("contained").Items() {
				if in.Get("id").Text() == ref[1:] {
					m.Name = fhir.ConceptText(in.Get("code"))
					m.System, m.Code = fhir.ConceptCode(in.Get("code"), systemRxNorm)
				}
			}
		}
	}
	if m.Name == "" {
		m.Name = "Unnamed medication"
	}
	dosage := n.Get("dosageInstruction")
	m.Start, m.By = n.Get("authoredOn").Text(), person(n.Get("requester"))
	m.Refills = n.At("dispenseRequest", "numberOfRepeatsAllowed").Text()
	m.End = n.At("dispenseRequest", "validityPeriod", "end").Text()
	if typ == "MedicationStatement" {
		dosage = n.Get("dosage")
		m.By = person(n.Get("informationSource"))
		m.Start, m.End = n.Get("effectiveDateTime").Text(), ""
		if p := n.Get("effectivePeriod"); p != nil {
			m.Start, m.End = p.Get("start").Text(), p.Get("end").Text()
		}
		if m.Start == "" {
			m.Start = n.Get("dateAsserted").Text()
		}
	}
	m.Sig = sig(dosage)
	for _, r := range n.Get("reasonCode").Items() {
		m.Reason = fhir.ConceptText(&r)
		break
	}
	if m.Reason == "" {
		for _, r := range n.Get("reasonReference").Items() {
			m.Reason = r.Get("display").Text()
			break
		}
	}
	return m, m.Status != "entered-in-error"
}

// sig is how the medicine is taken: the text as written, else the parts put together.
func sig(dosage *fhirjson.Node) string {
	var out []string
	for _, d := range dosage.Items() {
		if t := d.Get("text").Text(); t != "" {
			out = append(out, t)
			continue
		}
		if t := d.Get("patientInstruction").Text(); t != "" {
			out = append(out, t)
			continue
		}
		var part []string
		if q := quantityOf(d.At("doseAndRate", "doseQuantity")); q.text != "" {
			part = append(part, strings.TrimSpace(q.text+" "+plainUnit(q.unit)))
		}
		if r := d.At("timing", "repeat"); r != nil {
			f, p, u := r.Get("frequency").Text(), r.Get("period").Text(), r.Get("periodUnit").Text()
			if f != "" && p != "" {
				part = append(part, frequency(f, p, u))
			}
		} else if t := fhir.ConceptText(d.At("timing", "code")); t != "" {
			part = append(part, t)
		}
		if d.Get("asNeededBoolean").Text() == "true" || d.Get("asNeededCodeableConcept") != nil {
			part = append(part, "as needed")
		}
		if len(part) > 0 {
			out = append(out, strings.Join(part, " "))
		}
	}
	return strings.Join(out, "; ")
}

func plainUnit(u string) string {
	if u == "1" || u == "{tbl}" {
		return ""
	}
	return u
}

func frequency(f, p, unit string) string {
	names := map[string]string{"h": "hour", "d": "day", "wk": "week", "mo": "month", "min": "minute"}
	u := names[unit]
	if u == "" {
		u = unit
	}
	times := f + " times"
	switch f {
	case "1":
		times = "once"
	case "2":
		times = "twice"
	}
	p = strings.TrimSuffix(p, ".0")
	if p == "1" {
		if times == "once" && u == "day" {
			return "once daily"
		}
		return times + " a " + u
	}
	if f == "1" {
		return "every " + p + " " + u + "s"
	}
	return times + " every " + p + " " + u + "s"
}

func readAllergy(id string, version int64, n *fhirjson.Node) Allergy {
	a := Allergy{ID: id, Version: version, Substance: fhir.ConceptText(n.Get("code")), Kind: n.Get("type").Text(),
		Criticality: n.Get("criticality").Text(), Recorded: n.Get("recordedDate").Text(), Note: annotation(n)}
	a.System, a.Code = fhir.ConceptCode(n.Get("code"), systemRxNorm, systemSNOMED)
	for _, c := range n.Get("category").Items() {
		a.Category = c.Text()
		break
	}
	_, a.Status = fhir.ConceptCode(n.Get("clinicalStatus"))
	_, a.Verified = fhir.ConceptCode(n.Get("verificationStatus"))
	a.By = person(n.Get("recorder"))
	if a.By == "" {
		a.By = person(n.Get("asserter"))
	}
	var what []string
	rank := map[string]int{"mild": 1, "moderate": 2, "severe": 3}
	for _, r := range n.Get("reaction").Items() {
		for _, m := range r.Get("manifestation").Items() {
			if t := fhir.ConceptText(&m); t != "" && !contains(what, t) {
				what = append(what, t)
			}
		}
		if s := r.Get("severity").Text(); rank[s] > rank[a.Severity] {
			a.Severity = s
		}
	}
	a.Reaction = strings.Join(what, ", ")
	return a
}

// deniesAllergies reports whether the AllergyIntolerance says that there is none.
func deniesAllergies(n *fhirjson.Node) bool {
	for _, c := range n.At("code", "coding").Items() {
		if c.Get("system").Text() == systemSNOMED && c.Get("code").Text() == noKnownAllergies {
			return true
		}
	}
	return false
}

func readVisit(id string, version int64, n *fhirjson.Node, zone *time.Location) Visit {
	v := Visit{ID: id, Version: version, Status: n.Get("status").Text(), Class: n.At("class", "code").Text()}
	for _, t := range n.Get("type").Items() {
		if v.Type = fhir.ConceptText(&t); v.Type != "" {
			break
		}
	}
	if v.Type == "" {
		v.Type = classWords(v.Class)
	}
	for _, r := range n.Get("reasonCode").Items() {
		if v.Reason = fhir.ConceptText(&r); v.Reason != "" {
			break
		}
	}
	v.Start, _, _ = fhir.Moment(n.At("period", "start").Text(), zone)
	v.End, _, _ = fhir.Moment(n.At("period", "end").Text(), zone)
	for _, p := range n.Get("participant").Items() {
		if r := p.Get("individual"); r != nil {
			v.With, v.WithRef = person(r), r.Get("reference").Text()
			break
		}
	}
	for _, l := range n.Get("location").Items() {
		v.Place = l.At("location", "display").Text()
	}
	return v
}

func classWords(code string) string {
	switch code {
	case "AMB":
		return "Office visit"
	case "VR":
		return "Virtual visit"
	case "HH":
		return "Home visit"
	case "EMER":
		return "Emergency visit"
	case "IMP", "ACUTE", "NONAC":
		return "Hospital stay"
	}
	return "Visit"
}

func annotation(n *fhirjson.Node) string {
	var out []string
	for _, a := range n.Get("note").Items() {
		if t := a.Get("text").Text(); t != "" {
			out = append(out, t)
		}
	}
	return strings.Join(out, "\n")
}

func person(ref *fhirjson.Node) string { return ref.Get("display").Text() }

// source names where a record came from when it was not made here (meta.source other than ours).
func source(n *fhirjson.Node) string {
	s := n.At("meta", "source").Text()
	if s == "" || strings.HasPrefix(s, "urn:uuid:") || strings.HasPrefix(s, "https://yarrow.health/") {
		return ""
	}
	s, _, _ = strings.Cut(s, "#")
	return s
}
