package fhirapi

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// TestHugeBodies sends five megabytes of what decoders, patches and expressions find hard: each is refused, or taken where it is
// sound, with an OperationOutcome and never a fault of the server. How much processor time each took is told: at most a second.
func TestHugeBodies(t *testing.T) {
	const size = 5 << 20
	long := func(s string) string { return strings.Repeat(s, size/len(s)) }
	counted := func(form string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	const xml = `<Patient xmlns="http://hl7.org/fhir"`
	short := func(s string) string { return strings.Repeat(s, 60_000/len(s)) } // as long as an expression may be
	k := deskOn(t, dbtest.SQLite(t, nil), nil)
	k.fill()
	for _, c := range []struct{ name, method, path, media, body string }{
		{"arrays without end", "POST", "Patient", "application/fhir+json", long("[")},
		{"objects without end", "POST", "Patient", "application/fhir+json", long(`{"a":`)},
		{"a number", "POST", "Patient", "application/fhir+json", long("9")},
		{"members of all names", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient",` + counted(`"k%d":1,`) + `"z":1}`},
		{"empty names", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","name":[` + long(`{"family":"a"},`) + `{}]}`},
		{"extensions", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","extension":[` + long(`{"url":"a","valueString":"b"},`) + `{"url":"a"}]}`},
		{"entries", "POST", "", "application/fhir+json", `{"resourceType":"Bundle","type":"batch","entry":[` + long(`{"request":{"method":"GET","url":"Patient/a"}},`) + `{}]}`},
		{"elements without end", "POST", "Patient", "application/fhir+xml", long("<a>")},
		{"attributes", "POST", "Patient", "application/fhir+xml", xml + counted(` k%d="1"`) + "/>"},
		{"names in XML", "POST", "Patient", "application/fhir+xml", xml + ">" + long(`<name><family value="a"/></name>`) + "<q/></Patient>"},
		{"entities", "POST", "Patient", "application/fhir+xml", xml + `><id value="` + long("&amp;") + `"/></Patient>`},
		{"additions", "PATCH", "Patient/ann", "application/json-patch+json", "[" + long(`{"op":"add","path":"/active","value":true},`) + `{"op":"remove","path":"/x"}]`},
		{"a pointer", "PATCH", "Patient/ann", "application/json-patch+json", `[{"op":"add","path":"` + long("/a") + `","value":1}]`},
		{"a value", "PATCH", "Patient/ann", "application/json-patch+json", `[{"op":"add","path":"/name","value":[` + long("1,") + `1]}]`},
		{"an expression", "PATCH", "Patient/ann", "application/fhir+json", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Patient` + long(".where(true)") + `"}]}]}`},
		{"brackets", "PATCH", "Patient/ann", "application/fhir+json", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"` + short("(") + `"}]}]}`},
		{"descendants of descendants", "PATCH", "Patient/ann", "application/fhir+json", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Patient` + short(".descendants()") + `"}]}]}`},
		{"sums", "PATCH", "Patient/ann", "application/fhir+json", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Patient.name[1` + short("+1") + `]"}]}]}`},
		{"operations", "PATCH", "Patient/ann", "application/fhir+json", `{"resourceType":"Parameters","parameter":[` + long(`{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Patient.x"}]},`) + `{"name":"operation"}]}`},
		{"a form", "POST", "Patient/_search", "application/x-www-form-urlencoded", long("name=a&")},
		{"one member in an array", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","name":[` + long("{},") + `{}]}`},
		{"wrong kinds", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","name":[` + long("1,") + `1]}`},
		{"names that are stored", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","name":[` + counted(`{"family":"a%d"},`) + `{"family":"b"}]}`},
		{"identifiers that are stored", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","identifier":[` + counted(`{"system":"urn:x","value":"%d"},`) + `{"value":"b"}]}`},
		{"words", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","name":[{"family":"` + counted("w%d ") + `b"}]}`},
		{"narrative", "POST", "Patient", "application/fhir+json", `{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">` + long("<b>a</b>") + `</div>"}}`},
		{"components", "POST", "Observation", "application/fhir+json", `{"resourceType":"Observation","status":"final","code":{"text":"a"},"component":[` + counted(`{"code":{"text":"%d"},"valueQuantity":{"value":1}},`) + `{"code":{"text":"a"}}]}`},
		{"codings", "POST", "Observation", "application/fhir+json", `{"resourceType":"Observation","status":"final","code":{"coding":[` + counted(`{"system":"http://loinc.org","code":"%d"},`) + `{"code":"a"}]}}`},
		{"references", "POST", "List", "application/fhir+json", `{"resourceType":"List","status":"current","mode":"working","entry":[` + counted(`{"item":{"reference":"Patient/p%d"}},`) + `{"item":{"reference":"Patient/a"}}]}`},
		{"contained", "POST", "List", "application/fhir+json", `{"resourceType":"List","status":"current","mode":"working","contained":[` + counted(`{"resourceType":"Patient","id":"p%d"},`) + `{"resourceType":"Patient","id":"a"}]}`},
		{"times", "POST", "MedicationRequest", "application/fhir+json", `{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"a"},"subject":{"reference":"Patient/ann"},"dosageInstruction":[{"timing":{"event":[` + long(`"2024-01-01T00:00:00Z",`) + `"2024"]}}]}`},
		{"questions", "POST", "Questionnaire", "application/fhir+json", `{"resourceType":"Questionnaire","status":"draft","item":[` + counted(`{"linkId":"%d","type":"string"},`) + `{"linkId":"a","type":"string"}]}`},
		{"a value set", "POST", "ValueSet", "application/fhir+json", `{"resourceType":"ValueSet","status":"draft","compose":{"include":[{"system":"urn:x","concept":[` + counted(`{"code":"%d"},`) + `{"code":"a"}]}]}}`},
		{"a Bundle in place", "POST", "Bundle", "application/fhir+json", `{"resourceType":"Bundle","type":"collection","entry":[` + counted(`{"fullUrl":"urn:uuid:%032d","resource":{"resourceType":"Patient"}},`) + `{"resource":{"resourceType":"Patient"}}]}`},
		{"values to look for", "POST", "Patient/_search", "application/x-www-form-urlencoded", "name=" + counted("a%d,") + "b"},
		{"a copy of copies", "PATCH", "Patient/ann", "application/json-patch+json", `[{"op":"add","path":"/name","value":[{"family":"a"}]},` + long(`{"op":"copy","from":"/name/0","path":"/name/-"},`) + `{"op":"test","path":"/x","value":1}]`},
		{"elements", "POST", "List", "application/fhir+xml", `<List xmlns="http://hl7.org/fhir"><status value="current"/><mode value="working"/>` + long(`<entry><item><display value="a"/></item></entry>`) + `</List>`},
		{"comments", "POST", "Patient", "application/fhir+xml", xml + ">" + long("<!---->") + "</Patient>"},
		{"namespaces", "POST", "Patient", "application/fhir+xml", xml + counted(` xmlns:a%d="u"`) + "/>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, used := time.Now(), processorTime()
			r := k.ask("system", c.method, c.path, c.body, "Content-Type: "+c.media, "Accept: application/fhir+json")
			t.Logf("%d after %v and %v of processor time", r.status, time.Since(at).Round(time.Millisecond), (processorTime() - used).Round(time.Millisecond))
			n, issues := fhir.Parse([]byte(r.body))
			sound := r.status == 200 || r.status == 201 // a long path that finds nothing to delete, a long text
			if !sound && (r.status < 400 || r.status >= 500 || n.Get("resourceType").Text() != "OperationOutcome") || issues.HasErrors() || r.status >= 400 && len(r.body) > 200_000 {
				t.Errorf("%d, %d bytes: %.500s", r.status, len(r.body), r.body)
			}
		})
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
