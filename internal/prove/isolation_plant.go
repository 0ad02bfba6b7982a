package prove

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// plant is one resource of a practice under proof: a resource of every type, about each of two patients or about nobody, plain
// or kept apart, with its canary in every string field.
type plant struct {
	typ     string
	patient int  // 1 or 2; 0 for what is in nobody's record
	apart   bool // labelled as a psychotherapy note, which general access never opens
}

// plants of a whole practice, in one order.
func plants() (out []plant) {
	for _, typ := range fhir.ResourceTypes() {
		if typ != "Patient" && len(fhir.Compartment("Patient", typ)) == 0 {
			out = append(out, plant{typ: typ})
			if !fhirstore.Shared(typ) {
				out = append(out, plant{typ: typ, apart: true})
			}
			continue
		}
		for patient := 1; patient <= 2; patient++ {
			out = append(out, plant{typ: typ, patient: patient})
			if typ != "Patient" { // a chart that is wholly apart is another proof: this one looks at what lies in it
				out = append(out, plant{typ: typ, patient: patient, apart: true})
			}
		}
	}
	return out
}

// id is the same in every practice under proof, except that the other practice's carry its letter.
func (p plant) id(letter byte) string {
	id := fmt.Sprintf("%s-%d", strings.ToLower(p.typ), p.patient)
	if p.apart {
		id += "-apart"
	}
	if letter != home {
		id += "-" + string(letter)
	}
	return id
}

func (p plant) ref(letter byte) string { return p.typ + "/" + p.id(letter) }

// canary is a word that only this resource of this practice holds.
func (p plant) canary(letter byte) string {
	s := "p"
	if p.apart {
		s = "s"
	}
	return fmt.Sprintf("cnry%c%d%s%03d", letter, p.patient, s, slices.Index(fhir.ResourceTypes(), p.typ))
}

// The letters of the practices: the one that is asked, the other one, and the one whose contract ended.
const (
	home   = byte('a')
	other  = byte('b')
	closed = byte('c')
)

// filler makes a resource from the definitions: every string there is holds the canary.
type filler struct {
	plant
	letter byte
	little bool // only what is required
}

// carries are elements whose target's labels travel to the resource; what they name must not be apart.
var carries = strings.Fields("encounter context derivedFrom hasMember target entry relatesTo related result item content request ref basedOn partOf focus condition " +
	"addresses investigation finding prescription authorizingPrescription member itemReference reference what evidence reasonReference part section subject")

func (f *filler) resource() (fhirjson.Node, error) {
	t := fhir.Definition(f.typ)
	n := f.object(t, "", 0)
	if f.typ == "Binary" {
		n.Set("contentType", fhirjson.NewString("text/plain"))
	}
	n.SetFirst("id", fhirjson.NewString(f.id(f.letter)))
	n.SetFirst("resourceType", fhirjson.NewString(f.typ))
	n.Delete("meta")
	if f.little {
		return n, nil
	}
	if f.apart {
		n.Set("meta", fhir.Object("security", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code", "PSYTHPN"))))
	}
	if issues := fhir.Validate(&n); issues.HasErrors() {
		return n, fmt.Errorf("prove: a %s cannot be planted: %w", f.typ, issues)
	}
	return n, nil
}

// object fills the inline structure at a path of a type.
func (f *filler) object(t *fhir.Type, path string, depth int) fhirjson.Node {
	n := fhirjson.NewObject()
	prefix := t.Name + "."
	if path != "" {
		prefix += path + "."
	}
	for i := range t.Elements {
		e := &t.Elements[i]
		name, ok := strings.CutPrefix(e.Path, prefix)
		if !ok || strings.Contains(name, ".") {
			continue
		}
		if typ := f.choose(e, name, depth); typ != "" {
			v := f.value(t, e, name, typ, depth)
			if v.Kind() == fhirjson.Object && v.Len() == 0 {
				if e.Min == 0 {
					continue
				}
				v = f.told()
			}
			if e.Max != 1 {
				v = fhirjson.NewArray(v)
			}
			if base, choice := strings.CutSuffix(name, "[x]"); choice {
				name = base + strings.ToUpper(typ[:1]) + typ[1:]
			}
			n.Set(name, v)
		}
	}
	return n
}

// choose names the type an element is filled with; "" leaves it out.
func (f *filler) choose(e *fhir.Element, name string, depth int) string {
	switch name {
	case "id", "extension", "modifierExtension", "implicitRules", "language", "meta", "contained", "text":
		if e.Min == 0 && (name != "text" || depth == 0 || !slices.Contains(e.Types, "string")) {
			return ""
		}
	}
	if e.ContentRef != "" {
		if e.Min > 0 {
			return "BackboneElement"
		}
		return ""
	}
	if f.little && e.Min == 0 && (depth > 0 || f.patient == 0 || name != "subject" && name != "patient" && name != "beneficiary") {
		return ""
	}
	for _, typ := range []string{"string", "markdown", "Reference", "CodeableConcept", "Annotation", "BackboneElement", "Element", "Identifier", "HumanName", "Address", "ContactPoint"} {
		if slices.Contains(e.Types, typ) && (e.Min > 0 || depth < 3) {
			if typ == "Reference" && e.Min == 0 && f.target(e, name) == "" {
				continue
			}
			return typ
		}
	}
	if e.Min > 0 && len(e.Types) > 0 {
		return e.Types[0]
	}
	if depth == 0 && len(e.Types) == 1 && (e.Types[0] == "code" && e.Binding == "required" || e.Types[0] == "dateTime" || e.Types[0] == "date" || e.Types[0] == "Period") {
		return e.Types[0]
	}
	return ""
}

func (f *filler) value(t *fhir.Type, e *fhir.Element, name, typ string, depth int) fhirjson.Node {
	codes, listed := fhir.Codes(e.ValueSet)
	listed = listed && e.Binding == "required" && len(codes) > 0
	switch typ {
	case "BackboneElement", "Element":
		path := e.Path
		if e.ContentRef != "" {
			path = e.ContentRef
		}
		return f.object(t, strings.TrimPrefix(path, t.Name+"."), depth+1)
	case "Resource":
		return fhir.Object("resourceType", "Basic", "code", fhir.Object("text", f.canary(f.letter)))
	case "Reference":
		if to := f.target(e, name); to != "" {
			return fhir.Object("reference", to, "display", f.canary(f.letter))
		}
		return fhir.Object("display", f.canary(f.letter))
	case "CodeableConcept":
		if listed {
			return fhir.Object("coding", fhir.Array(fhir.Object("system", codes[0].System, "code", codes[0].Code)), "text", f.canary(f.letter))
		}
		return fhir.Object("coding", fhir.Array(fhir.Object("system", "https://example.org/codes", "code", f.canary(f.letter), "display", f.canary(f.letter))), "text", f.canary(f.letter))
	case "Identifier":
		return fhir.Object("system", "https://example.org/ids", "value", f.canary(f.letter))
	case "ContactPoint":
		return fhir.Object("system", "email", "value", f.canary(f.letter)+"@example.org")
	case "HumanName":
		return fhir.Object("family", f.canary(f.letter), "given", fhir.Array(fhirjson.NewString(f.canary(f.letter))))
	case "Address":
		return fhir.Object("line", fhir.Array(fhirjson.NewString(f.canary(f.letter))), "city", f.canary(f.letter))
	case "Annotation":
		return fhir.Object("text", f.canary(f.letter))
	case "Period":
		return fhir.Object("start", "2026-03-01T09:00:00Z", "end", "2026-03-01T10:00:00Z")
	}
	if d := fhir.Definition(typ); d != nil && d.Kind == "complex-type" {
		n := f.object(d, "", depth+1)
		if typ == "Coding" && listed {
			n.Set("system", fhirjson.NewString(codes[0].System))
			n.Set("code", fhirjson.NewString(codes[0].Code))
		}
		if typ == "Narrative" {
			n = fhir.Object("status", "generated", "div", `<div xmlns="http://www.w3.org/1999/xhtml">`+f.canary(f.letter)+`</div>`)
		}
		return n
	}
	switch typ {
	case "boolean":
		return fhirjson.NewBool(true)
	case "integer", "unsignedInt", "positiveInt", "decimal":
		return fhirjson.NewNumber("1")
	case "date":
		return fhirjson.NewString("2026-03-01")
	case "dateTime", "instant":
		return fhirjson.NewString("2026-03-01T09:00:00Z")
	case "time":
		return fhirjson.NewString("09:00:00")
	case "base64Binary":
		return fhirjson.NewString("eWFycm93")
	case "uri", "url", "canonical":
		return fhirjson.NewString("https://example.org/" + f.canary(f.letter))
	case "oid":
		return fhirjson.NewString("urn:oid:1.2.840.0")
	case "uuid":
		return fhirjson.NewString("urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001")
	case "code":
		if listed {
			return fhirjson.NewString(codes[0].Code)
		}
	case "xhtml":
		return fhirjson.NewString(`<div xmlns="http://www.w3.org/1999/xhtml">` + f.canary(f.letter) + `</div>`)
	}
	return fhirjson.NewString(f.canary(f.letter))
}

// told is an element with nothing but an extension.
func (f *filler) told() fhirjson.Node {
	return fhir.Object("extension", fhir.Array(fhir.Object("url", "https://example.org/x", "valueString", f.canary(f.letter))))
}

// target is what a reference names: the patient where that is possible, otherwise something the resource's own reader may not
// see: what is apart, or where labels would travel, what is the other patient's.
func (f *filler) target(e *fhir.Element, name string) string {
	if len(e.Targets) == 0 || slices.Contains(e.Targets, "Patient") {
		if f.patient == 0 {
			return ""
		}
		return plant{typ: "Patient", patient: f.patient}.ref(f.letter)
	}
	for _, typ := range e.Targets {
		if typ == f.typ && f.patient == 0 || !fhir.IsResourceType(typ) || fhirstore.Shared(typ) && typ != "Practitioner" {
			continue
		}
		to := plant{typ: typ}
		inChart := len(fhir.Compartment("Patient", typ)) > 0
		switch {
		case inChart && f.patient == 0:
			to.patient, to.apart = 2, !slices.Contains(carries, name)
		case inChart && slices.Contains(carries, name):
			to.patient = 3 - f.patient
		case inChart:
			to.patient, to.apart = f.patient, true
		}
		return to.ref(f.letter)
	}
	return ""
}

// sow writes the plants of a practice that want lets through.
func (w *world) sow(ctx context.Context, p db.PracticeID, letter byte, want func(plant) bool) error {
	// What fills every element keeps to their form, but not to the rules between them.
	judge, rules := w.store.Judge, w.store.Rules
	w.store.Judge, w.store.Rules = nil, nil
	defer func() { w.store.Judge, w.store.Rules = judge, rules }()
	var entries []fhirjson.Node
	s := auth.SystemScope(p, "prove")
	flush := func() error {
		if len(entries) == 0 {
			return nil
		}
		b := fhir.Object("resourceType", "Bundle", "type", "transaction", "entry", fhir.Array(entries...))
		entries = nil
		_, err := w.store.ApplyNode(ctx, s, &b, fhirstore.ApplyOptions{})
		return err
	}
	for i, x := range plants() {
		// What comes together is the same in every practice, also where part of it is left out.
		if i%60 == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		if !want(x) {
			continue
		}
		n, err := (&filler{plant: x, letter: letter}).resource()
		if err != nil {
			return err
		}
		entries = append(entries, fhir.Object("request", fhir.Object("method", "PUT", "url", x.ref(letter)), "resource", n))
		w.r.Count("resources planted", 1)
	}
	return flush()
}
