package main

// What is sent: invented Patients and bundles, and Synthea bundles made into transactions of their own.

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

type patient struct {
	ID     string   `json:"id"`
	Family string   `json:"family"`
	Codes  []string `json:"codes"`
}

type prepared struct {
	body    []byte
	n       int
	family  string
	codes   []string
	patient bool
}

var syll = []string{"ba", "ber", "cor", "dan", "el", "fer", "gar", "hol", "in", "jo", "kel", "lan", "mor", "nor", "ol", "per", "quin", "ros", "sal", "ter", "ul", "ver", "wil", "yor", "zan"}

func surname(r *rand.Rand) string {
	s := syll[r.Intn(len(syll))] + syll[r.Intn(len(syll))] + []string{"", "son", "ez", "man", "ski"}[r.Intn(5)]
	return strings.ToUpper(s[:1]) + s[1:]
}

func given(r *rand.Rand) string {
	s := syll[r.Intn(len(syll))] + []string{"a", "o", "y", "ie", "an"}[r.Intn(5)]
	return strings.ToUpper(s[:1]) + s[1:]
}

func uuid(r *rand.Rand) string {
	b := make([]byte, 16)
	r.Read(b)
	return fmt.Sprintf("%x-%x-4%x-a%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])[:36]
}

// patientJSON gives a Patient of about 2 KB, US Core shaped.
func patientJSON(r *rand.Rand, id string) ([]byte, string) {
	fam := surname(r)
	p := map[string]any{
		"resourceType": "Patient",
		"text":         map[string]any{"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Generated for a load test</div>"},
		"extension": []any{
			map[string]any{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", "extension": []any{
				map[string]any{"url": "ombCategory", "valueCoding": map[string]any{"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3", "display": "White"}},
				map[string]any{"url": "text", "valueString": "White"}}},
			map[string]any{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity", "extension": []any{
				map[string]any{"url": "ombCategory", "valueCoding": map[string]any{"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2186-5", "display": "Not Hispanic or Latino"}},
				map[string]any{"url": "text", "valueString": "Not Hispanic or Latino"}}},
			map[string]any{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"},
		},
		"identifier": []any{
			map[string]any{"type": map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR", "display": "Medical Record Number"}}, "text": "Medical Record Number"}, "system": "http://hospital.smarthealthit.org", "value": uuid(r)},
			map[string]any{"type": map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS", "display": "Social Security Number"}}, "text": "Social Security Number"}, "system": "http://hl7.org/fhir/sid/us-ssn", "value": fmt.Sprintf("999-%02d-%04d", r.Intn(100), r.Intn(10000))},
		},
		"active":               true,
		"name":                 []any{map[string]any{"use": "official", "family": fam, "given": []any{given(r), given(r)}, "prefix": []any{"Ms."}}},
		"telecom":              []any{map[string]any{"system": "phone", "value": fmt.Sprintf("555-%03d-%04d", r.Intn(1000), r.Intn(10000)), "use": "home"}, map[string]any{"system": "email", "value": strings.ToLower(fam) + fmt.Sprint(r.Intn(99999)) + "@example.com"}},
		"gender":               []string{"female", "male"}[r.Intn(2)],
		"birthDate":            fmt.Sprintf("%04d-%02d-%02d", 1930+r.Intn(90), 1+r.Intn(12), 1+r.Intn(28)),
		"address":              []any{map[string]any{"line": []any{fmt.Sprintf("%d Main Street", r.Intn(9999))}, "city": "Springfield", "state": "MA", "postalCode": fmt.Sprintf("%05d", r.Intn(99999)), "country": "US"}},
		"maritalStatus":        map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}}, "text": "Married"},
		"multipleBirthBoolean": false,
		"communication":        []any{map[string]any{"language": map[string]any{"coding": []any{map[string]any{"system": "urn:ietf:bcp:47", "code": "en-US", "display": "English"}}, "text": "English"}}},
	}
	if id != "" {
		p["id"] = id
	}
	b, _ := json.Marshal(p)
	return b, fam
}

func coding(sys, code, disp string) map[string]any {
	return map[string]any{"coding": []any{map[string]any{"system": sys, "code": code, "display": disp}}, "text": disp}
}

// generated bundle for when no Synthea files are at hand
func genBundle(r *rand.Rand, n int) prepared {
	if n == 0 {
		n = 100
	}
	var es []any
	add := func(res map[string]any) string {
		u := "urn:uuid:" + uuid(r)
		es = append(es, map[string]any{"fullUrl": u, "resource": res, "request": map[string]any{"method": "POST", "url": res["resourceType"]}})
		return u
	}
	pb, fam := patientJSON(r, "")
	var pm map[string]any
	json.Unmarshal(pb, &pm)
	pu := add(pm)
	ref := func(u string) map[string]any { return map[string]any{"reference": u} }
	prac := add(map[string]any{"resourceType": "Practitioner", "active": true, "identifier": []any{map[string]any{"system": "http://hl7.org/fhir/sid/us-npi", "value": fmt.Sprint(9000000000 + r.Int63n(999999999))}}, "name": []any{map[string]any{"family": surname(r), "given": []any{given(r)}}}})
	loinc := []string{"8302-2", "29463-7", "39156-5", "85354-9", "4548-4", "2339-0", "6299-2", "38483-4", "49765-1", "6298-4", "2069-3", "20565-8", "2093-3", "2571-8", "18262-6", "2085-9", "33914-3", "72166-2"}
	used := map[string]bool{}
	enc := ""
	day := time.Date(2015, 1, 1, 9, 0, 0, 0, time.UTC)
	for len(es) < n {
		if len(es)%10 == 2 {
			day = day.AddDate(0, 0, 20+r.Intn(90))
			d := day.Format(time.RFC3339)
			enc = add(map[string]any{"resourceType": "Encounter", "status": "finished", "class": map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}, "type": []any{coding("http://snomed.info/sct", "162673000", "General examination of patient (procedure)")}, "subject": ref(pu), "participant": []any{map[string]any{"individual": ref(prac)}}, "period": map[string]any{"start": d, "end": d}})
			continue
		}
		d := day.Format(time.RFC3339)
		switch x := r.Intn(10); {
		case x < 7:
			c := loinc[r.Intn(len(loinc))]
			used["http://loinc.org|"+c] = true
			add(map[string]any{"resourceType": "Observation", "status": "final", "category": []any{coding("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "laboratory")}, "code": coding("http://loinc.org", c, "Measurement "+c), "subject": ref(pu), "encounter": ref(enc), "effectiveDateTime": d, "issued": d, "valueQuantity": map[string]any{"value": float64(r.Intn(20000)) / 100, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}})
		case x == 7:
			add(map[string]any{"resourceType": "Condition", "clinicalStatus": coding("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active"), "verificationStatus": coding("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed", "Confirmed"), "code": coding("http://snomed.info/sct", "44054006", "Diabetes"), "subject": ref(pu), "encounter": ref(enc), "onsetDateTime": d, "recordedDate": d})
		case x == 8:
			add(map[string]any{"resourceType": "MedicationRequest", "status": "active", "intent": "order", "medicationCodeableConcept": coding("http://www.nlm.nih.gov/research/umls/rxnorm", "860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet"), "subject": ref(pu), "encounter": ref(enc), "authoredOn": d, "requester": ref(prac)})
		default:
			add(map[string]any{"resourceType": "Procedure", "status": "completed", "code": coding("http://snomed.info/sct", "430193006", "Medication Reconciliation (procedure)"), "subject": ref(pu), "encounter": ref(enc), "performedPeriod": map[string]any{"start": d, "end": d}})
		}
	}
	b, _ := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": es})
	var cs []string
	for c := range used {
		cs = append(cs, c)
	}
	sort.Strings(cs)
	return prepared{body: b, n: len(es), family: fam, codes: cs}
}

func walkRefs(v any, f func(m map[string]any, ref string)) {
	switch x := v.(type) {
	case map[string]any:
		if s, ok := x["reference"].(string); ok {
			f(x, s)
		}
		for _, y := range x {
			walkRefs(y, f)
		}
	case []any:
		for _, y := range x {
			walkRefs(y, f)
		}
	}
}

// loadSynthea reads the files; each becomes a self-contained transaction of at most max entries
// (first entries whose references resolve inside the cut; conditional references become display only).
func loadSynthea(glob string, max int) []map[string]any {
	fs, _ := filepath.Glob(glob)
	sort.Strings(fs)
	var out []map[string]any
	for _, f := range fs {
		fh, err := os.Open(f)
		if err != nil {
			fatal(err)
		}
		var rd io.Reader = fh
		if strings.HasSuffix(f, ".gz") {
			if rd, err = gzip.NewReader(fh); err != nil {
				fatal(err)
			}
		}
		dec := json.NewDecoder(rd)
		dec.UseNumber()
		var b map[string]any
		err = dec.Decode(&b)
		fh.Close()
		if err != nil || b["resourceType"] != "Bundle" {
			continue
		}
		es, _ := b["entry"].([]any)
		have := map[string]bool{}
		var keep []any
		hasPatient := false
		for _, e := range es {
			em := e.(map[string]any)
			res, _ := em["resource"].(map[string]any)
			fu, _ := em["fullUrl"].(string)
			if res == nil {
				continue
			}
			ok := true
			walkRefs(res, func(m map[string]any, ref string) {
				if strings.Contains(ref, "?") {
					delete(m, "reference")
					if _, d := m["display"]; !d {
						m["display"] = "external"
					}
					return
				}
				if strings.HasPrefix(ref, "urn:") && ref != fu && !have[ref] {
					ok = false
				}
			})
			if !ok && max > 0 {
				continue
			}
			rt := res["resourceType"].(string)
			if rt == "Patient" {
				if hasPatient {
					continue
				}
				hasPatient = true
			}
			delete(res, "id")
			have[fu] = true
			keep = append(keep, map[string]any{"fullUrl": fu, "resource": res, "request": map[string]any{"method": "POST", "url": rt}})
			if max > 0 && len(keep) >= max {
				break
			}
		}
		if !hasPatient || (max > 0 && len(keep) < max*9/10) {
			continue
		}
		out = append(out, map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": keep})
	}
	return out
}

func prepareFromSynthea(b map[string]any, r *rand.Rand) prepared {
	p := prepared{}
	used := map[string]bool{}
	es := b["entry"].([]any)
	for _, e := range es {
		res := e.(map[string]any)["resource"].(map[string]any)
		switch res["resourceType"] {
		case "Patient":
			p.family = surname(r)
			res["name"] = []any{map[string]any{"use": "official", "family": p.family, "given": []any{given(r), given(r)}}}
			res["birthDate"] = fmt.Sprintf("%04d-%02d-%02d", 1930+r.Intn(80), 1+r.Intn(12), 1+r.Intn(28))
		case "Observation":
			if cc, ok := res["code"].(map[string]any); ok {
				if cs, ok := cc["coding"].([]any); ok && len(cs) > 0 {
					c := cs[0].(map[string]any)
					used[fmt.Sprint(c["system"], "|", c["code"])] = true
				}
			}
		}
	}
	for c := range used {
		p.codes = append(p.codes, c)
	}
	sort.Strings(p.codes)
	p.n = len(es)
	p.body, _ = json.Marshal(b)
	return p
}
