package bulk

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

const definitions = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"

// Operations are $export at its three levels (Bulk Data Access 2.0, section "Bulk Data Kick-off Request"), and $import.
func (e *Exports) Operations() []fhirapi.Operation {
	params := []fhirapi.Param{
		{Name: "_outputFormat", Type: "string", Max: 1, Doc: "application/fhir+ndjson, application/ndjson or ndjson."},
		{Name: "_since", Type: "instant", Max: 1, Doc: "Only what has changed after this moment; what was deleted since is listed."},
		{Name: "_until", Type: "instant", Max: 1, Doc: "What there was at this moment instead of now."},
		{Name: "_type", Type: "string", Max: -1, Doc: "Only these types, with commas between them."},
		{Name: "_elements", Type: "string", Max: -1, Doc: "Only these elements, such as id or Patient.name, and those that must be there."},
		{Name: "_typeFilter", Type: "string", Max: -1, Doc: "Only resources of a type that answer a search, such as Observation?category=laboratory; of several for one type, any."},
		{Name: "includeAssociatedData", Type: "code", Max: -1, Doc: "LatestProvenanceResources or RelevantProvenanceResources."},
		{Name: "organizeOutputBy", Type: "string", Max: 1, Doc: "Patient: the files hold one block for each patient, behind a header, instead of one type each."},
		{Name: "allowPartialManifests", Type: "boolean", Max: 1, Doc: "Taken, without effect: the manifest is whole when it is there."},
	}
	patients := append(slices.Clone(params), fhirapi.Param{Name: "patient", Type: "Reference", Max: -1, Doc: "Only these patients; in the body of a POST."})
	op := func(level fhirapi.Level, types []string, name, doc string, p []fhirapi.Param) fhirapi.Operation {
		return fhirapi.Operation{Name: "$export", Levels: level, Types: types, URL: definitions + name, Doc: doc, Params: p, Open: true, Run: e.kickOff}
	}
	return []fhirapi.Operation{
		e.importOperation(),
		op(fhirapi.System, nil, "export", "Exports everything that the program may read, in the background, as NDJSON files.", params),
		op(fhirapi.Type, []string{"Patient"}, "patient-export", "Exports the records of all patients, or of those named, in the background, as NDJSON files.", patients),
		op(fhirapi.Instance, []string{"Group"}, "group-export", "Exports the records of the members of a Group, in the background, as NDJSON files.", patients),
	}
}

// kickOff answers $export: 202 and the address where the export is followed.
func (e *Exports) kickOff(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	o := &order{Level: ofSystem, Owner: fhirapi.Asker(c.Scope), Access: accessOf(c.Scope), Request: requestOf(c)}
	switch c.Type {
	case "Patient":
		o.Level = ofPatient
	case "Group":
		o.Level = ofGroup
	}
	if err := o.read(c); err != nil {
		return nil, err
	}
	var err error
	if o.Held, err = e.o.Hold(ctx, c.Practice, c.Header("Authorization")); err != nil {
		return nil, err
	}
	if o.Level == ofGroup {
		if err := e.members(ctx, c, o); err != nil {
			return nil, err
		}
	}
	secret, err := e.start(ctx, c.Scope, o)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	h.Set("Content-Location", strings.TrimSuffix(c.Base, "/fhir")+"/bulk/"+secret)
	begun := fhir.Issue{Severity: "information", Code: "informational", Text: "The export has begun. Its Content-Location says how far it is."}
	return &fhirapi.Answer{Status: http.StatusAccepted, Resource: fhir.Outcome(begun), Header: h}, nil
}

// requestOf is the address that was called.
func requestOf(c *fhirapi.Call) string {
	at := c.Base
	if c.Type != "" {
		at += "/" + c.Type
	}
	if c.ID != "" {
		at += "/" + c.ID
	}
	at += "/$export"
	if len(c.Query) > 0 {
		at += "?" + c.Query.Encode()
	}
	return at
}

// read takes the parameters of a call.
func (o *order) read(c *fhirapi.Call) error {
	lenient := strings.Contains(strings.ReplaceAll(c.Header("Prefer"), " ", ""), "handling=lenient")
	pass := func(i *fhir.Issue) error {
		if lenient {
			o.Passed = append(o.Passed, i.Text)
			return nil
		}
		return i
	}
	access := auth.AccessOf(c.Scope)
	var asked []string
	for i := range c.Parameters {
		p := &c.Parameters[i]
		at := "http." + p.Name
		switch p.Name {
		case "_outputFormat":
			switch p.Text() {
			case "application/fhir+ndjson", "application/ndjson", "ndjson":
			default:
				// A "+" in an address that was not encoded arrives as a space.
				if p.Text() != "application/fhir ndjson" {
					return fhir.Problem("not-supported", "Exports have the format NDJSON only.", "Use application/fhir+ndjson, or leave _outputFormat out.").At(at)
				}
			}
		case "_since", "_until":
			t, err := time.Parse(time.RFC3339Nano, strings.Replace(p.Text(), " ", "+", 1))
			if err != nil {
				return fhir.Problem("value", p.Name+" is not an instant.", "Write date, time and zone, such as 2026-03-01T08:00:00Z.").At(at)
			}
			if p.Name == "_since" {
				o.Since = t.UnixMicro()
			} else {
				o.At = t.UnixMicro()
			}
		case "_type":
			for typ := range strings.SplitSeq(p.Text(), ",") {
				if typ = strings.TrimSpace(typ); !fhir.IsResourceType(typ) {
					if err := pass(fhir.Problem("value", fmt.Sprintf("_type names %q, which is not a resource type.", cut(typ)), "Name types of FHIR R4, with commas between them.").At(at)); err != nil {
						return err
					}
					continue
				}
				asked = append(asked, typ)
			}
		case "_typeFilter":
			for part := range strings.SplitSeq(p.Text(), ",") {
				typ, query, ok := strings.Cut(part, "?")
				if last := o.lastFilter; !ok && last != "" { // a value with a comma: the query before goes on
					n := len(o.Filters[last]) - 1
					o.Filters[last][n] += "," + part
					continue
				}
				if !fhir.IsResourceType(typ) {
					if err := pass(fhir.Problem("value", "A _typeFilter does not begin with a resource type and a question mark.", "Write it as Observation?category=laboratory.").At(at)); err != nil {
						return err
					}
					continue
				}
				if o.Filters == nil {
					o.Filters = map[string][]string{}
				}
				o.Filters[typ], o.lastFilter = append(o.Filters[typ], query), typ
			}
		case "_elements":
			for name := range strings.SplitSeq(p.Text(), ",") {
				if name = strings.TrimSpace(name); name != "" {
					o.Elements = append(o.Elements, name)
				}
			}
		case "includeAssociatedData":
			for kind := range strings.SplitSeq(p.Text(), ",") {
				if kind = strings.TrimSpace(kind); kind == "LatestProvenanceResources" || kind == "RelevantProvenanceResources" {
					o.provenance = true
				} else if err := pass(fhir.Problem("not-supported", fmt.Sprintf("includeAssociatedData does not know %q.", cut(kind)), "Use LatestProvenanceResources or RelevantProvenanceResources.").At(at)); err != nil {
					return err
				}
			}
		case "patient":
			if o.Level == ofSystem {
				return fhir.Problem("not-supported", "An export of everything takes no patients.", "Use [base]/Patient/$export.").At(at)
			}
			ref := p.Value.Get("reference").Text()
			if p.Type == "string" {
				ref = p.Text()
			}
			typ, id, ok := fhir.ParseReference(strings.TrimPrefix(ref, c.Base+"/"))
			if !ok || typ != "Patient" {
				return fhir.Problem("value", "patient is not a reference to a Patient.", "Write it as Patient/x.").At(at)
			}
			o.Patients = append(o.Patients, id)
		case "organizeOutputBy":
			if p.Text() == "Patient" {
				o.Blocks = true
			} else if err := pass(fhir.Problem("not-supported", "The files of an export are organised by Patient, or by the type of resource, only.",
				"Use organizeOutputBy=Patient, or leave it out.").At(at)); err != nil {
				return err
			}
		case "allowPartialManifests", "_format", "_pretty":
		default:
			if err := pass(fhir.Problem("not-supported", fmt.Sprintf("$export has no parameter %q here.", cut(p.Name)),
				"It takes _type, _typeFilter, _since, _until, _elements, _outputFormat, includeAssociatedData, organizeOutputBy and, for patients, patient.").At(at)); err != nil {
				return err
			}
		}
	}
	if o.Since != 0 && o.At != 0 && o.Since >= o.At {
		return fhir.Problem("value", "_until is not after _since.", "Give an _until after _since.").At("http._until")
	}
	return o.choose(access, asked)
}

// choose settles the types: those asked for, which the scope must be able to read, or all that it can.
func (o *order) choose(access auth.Access, asked []string) error {
	for typ, queries := range o.Filters {
		if len(asked) > 0 && !slices.Contains(asked, typ) {
			return fhir.Problem("value", "A _typeFilter is about "+typ+", which _type does not name.", "Name the type in _type too.").At("http._typeFilter")
		}
		for _, q := range queries {
			if _, err := filterOf(typ, q); err != nil {
				return err
			}
		}
	}
	for _, name := range o.Elements {
		typ, element, ok := strings.Cut(name, ".")
		if ok && (!fhir.IsResourceType(typ) || !hasElement(typ, element)) || !ok && !slices.ContainsFunc(fhir.ResourceTypes(), func(t string) bool { return hasElement(t, name) }) {
			return fhir.Problem("value", fmt.Sprintf("_elements names %q, which there is not.", cut(name)), "Name elements of the top level, such as id or Patient.name.").At("http._elements")
		}
	}
	if o.provenance && len(asked) > 0 && !slices.Contains(asked, "Provenance") {
		asked = append(asked, "Provenance")
	}
	for _, typ := range asked {
		if !access.Allows(typ, auth.CanRead) {
			return fhir.Problem("forbidden", "The access token does not let you read "+typ+".", "Leave the type out, or ask for a token with the scope system/"+typ+".rs.").At("http._type")
		}
		if o.Level != ofSystem && !patientTypes(typ) {
			return fhir.Problem("not-supported", typ+" is not part of patients' records.", "Leave the type out, or export it with [base]/$export.").At("http._type")
		}
	}
	if len(asked) == 0 {
		for _, typ := range fhir.ResourceTypes() {
			if access.Allows(typ, auth.CanRead) && (o.Level == ofSystem && typ != "AuditEvent" || o.Level != ofSystem && patientTypes(typ) && typ != "Group") {
				asked = append(asked, typ)
			}
		}
	}
	if len(asked) == 0 {
		return fhir.Problem("forbidden", "The access token does not let you read anything that this export holds.", "Ask for a token with scopes such as system/*.rs.")
	}
	slices.Sort(asked)
	o.Types = slices.Compact(asked)
	return nil
}

// members settles whose records an export of a Group holds: its members at present who are not inactive, and those of Groups within.
func (e *Exports) members(ctx context.Context, c *fhirapi.Call, o *order) error {
	of := map[string]bool{}
	seen := map[string]bool{}
	err := c.View(ctx, func(tx *db.Tx) error {
		var walk func(id string, depth int) error
		walk = func(id string, depth int) error {
			if seen[id] || depth > 5 {
				return nil
			}
			seen[id] = true
			r, err := e.o.Store.Read(ctx, tx, "Group", id)
			if err != nil {
				return err
			}
			if depth == 0 {
				c.SeeResource("read", r)
			}
			n := r.Node()
			if n.Get("actual").Text() == "false" {
				return fhir.Problem("business-rule", "This Group describes a kind of patient and has no members.", "Export a Group with actual set to true.")
			}
			items := n.Get("member").Items()
			for i := range items {
				m := &items[i]
				if m.Get("inactive").Text() == "true" || ended(m.At("period", "end").Text(), tx.Now()) {
					continue
				}
				switch typ, id, ok := fhir.ParseReference(strings.TrimPrefix(m.At("entity", "reference").Text(), c.Base+"/")); {
				case ok && typ == "Patient":
					of[id] = true
				case ok && typ == "Group":
					if err := walk(id, depth+1); err != nil {
						return err
					}
				}
			}
			return nil
		}
		return walk(c.ID, 0)
	})
	if err != nil {
		return err
	}
	asked := o.Patients
	o.Patients = []string{}
	for id := range of {
		if asked == nil || slices.Contains(asked, id) {
			o.Patients = append(o.Patients, id)
		}
	}
	for _, id := range asked {
		if !of[id] {
			return fhir.Problem("not-found", "A patient asked for is not a member of the Group.", "Name members of the Group only.").At("http.patient")
		}
	}
	slices.Sort(o.Patients)
	return nil
}

// ended says whether a period's end, to whatever precision, is past.
func ended(end string, now time.Time) bool {
	if end == "" {
		return false
	}
	const day = "2006-01-02"
	if len(end) <= len(day) {
		return end < now.Format(day)[:len(end)]
	}
	t, err := time.Parse(time.RFC3339Nano, end)
	return err == nil && t.Before(now)
}

func cut(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
