package fhirapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// TestHugeBodies sends five megabytes of what decoders, patches and expressions find hard: each is refused, or taken where it is
// sound, with an OperationOutcome and never a fault of the server. How long each took is told, about a second on an idle core.
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
	} {
		at := time.Now()
		r := k.ask("system", c.method, c.path, c.body, "Content-Type: "+c.media, "Accept: application/fhir+json")
		t.Logf("%s: %d after %v", c.name, r.status, time.Since(at).Round(time.Millisecond))
		n, issues := fhir.Parse([]byte(r.body))
		sound := r.status == 200 || r.status == 201 // a long path that finds nothing to delete, a long text
		if !sound && (r.status < 400 || r.status >= 500 || n.Get("resourceType").Text() != "OperationOutcome") || issues.HasErrors() || len(r.body) > 200_000 {
			t.Errorf("%s: %d, %d bytes: %.500s", c.name, r.status, len(r.body), r.body)
		}
	}
}
