package patient

import (
	"context"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Restrictions are the labels by which a whole chart is restricted, in the order screens show them, with their codings.
var Restrictions = []struct{ Name, system, code string }{
	{"restricted", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "R"},
	{"very-restricted", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "V"},
	{"vip", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "CEL"},
}

// ConsentLabels are the sensitivities that a consent may speak of, with the ActCode of each.
var ConsentLabels = []struct{ Name, code string }{
	{"part2", "42CFRPart2"}, {"substance-use", "ETH"}, {"mental-health", "PSY"}, {"psychotherapy", "PSYTHPN"}, {"sud-counseling", "SUDCN"},
	{"hiv", "HIV"}, {"sexual-health", "SEX"}, {"violence", "SDV"}, {"genetic", "GDIS"}, {"adolescent", "ADOL"},
}

// Consent is a privacy consent as the practice records it: one provision about some people.
type Consent struct {
	ID      string
	Version int64
	Active  bool
	Deny    bool
	Labels  []string // names of ConsentLabels; none: the whole chart
	Role    string   // auth.Role it speaks of, or
	Person  string   // "Practitioner/x"; neither: everybody (only when it denies)
	On      string   // date it was given, as recorded
	Until   string   // last day, "2006-01-02", "" without end
	Other   bool     // it says more than this practice's screens can show
}

// Privacy is what restricts one patient's chart.
type Privacy struct {
	Version      int64
	Restrictions []string // names of Restrictions
	Consents     []Consent
}

// Privacy reads what restricts a chart. A patient who is closed to the scope is not found.
func (d *Directory) Privacy(ctx context.Context, s db.Scope, id string) (out Privacy, err error) {
	err = d.db.View(ctx, s, func(tx *db.Tx) error {
		r, err := d.store.Read(ctx, tx, "Patient", id)
		if err != nil {
			return err
		}
		out = Privacy{Version: r.Version}
		names := auth.LabelNames(r.Labels)
		for _, x := range Restrictions {
			if slices.Contains(names, x.Name) {
				out.Restrictions = append(out.Restrictions, x.Name)
			}
		}
		list, err := d.store.Find(ctx, tx, "Consent", "patient", "Patient/"+id)
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.Node().At("scope", "coding", "code").Text() == "patient-privacy" {
				out.Consents = append(out.Consents, consentOf(c))
			}
		}
		return nil
	})
	return out, err
}

func consentOf(r *fhirstore.Resource) Consent {
	n := r.Node()
	p := n.Get("provision")
	c := Consent{ID: r.ID, Version: r.Version, Active: n.Get("status").Text() == "active", Deny: p.Get("type").Text() == "deny",
		On: n.Get("dateTime").Text(), Until: p.At("period", "end").Text()}
	marks := p.Get("securityLabel").Items()
	for i := range marks {
		names := auth.LabelNames(auth.LabelOf(marks[i].Get("system").Text(), marks[i].Get("code").Text()))
		c.Other = c.Other || len(names) == 0
		c.Labels = append(c.Labels, names...)
	}
	actors := p.Get("actor").Items()
	for i := range actors {
		role := actors[i].At("role", "coding")
		switch {
		case len(actors) > 1:
			c.Other = true
		case role.Get("system").Text() == auth.RoleSystem:
			c.Role = role.Get("code").Text()
		default:
			c.Person = actors[i].At("reference", "reference").Text()
		}
	}
	for _, more := range []string{"provision", "purpose", "class", "code", "data", "action", "dataPeriod"} {
		c.Other = c.Other || p.Get(more) != nil
	}
	return c
}

// Restrict adds a restriction to a chart. Those who may not see it lose the chart at once; the patient's own doctors
// (Patient.generalPractitioner) keep it.
func (d *Directory) Restrict(ctx context.Context, s auth.Staff, id, name string) error {
	if !s.Can(auth.LabelWrite) {
		return fhir.Problem("forbidden", "Your role may not restrict charts.", "Ask a practice administrator for the right.")
	}
	at := slices.IndexFunc(Restrictions, func(x struct{ Name, system, code string }) bool { return x.Name == name })
	if at < 0 {
		return fhir.Problem("required", "No restriction was chosen.", "Choose one from the list.").At("label")
	}
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		r, err := d.store.Read(ctx, tx, "Patient", id)
		if err != nil {
			return err
		}
		tree := r.Node().Clone()
		meta := fhirjson.NewObject()
		if m := tree.Get("meta"); m != nil {
			meta = m.Clone()
		}
		list := fhirjson.NewArray()
		if l := meta.Get("security"); l != nil {
			list = l.Clone()
		}
		list.Append(coding(Restrictions[at].system, Restrictions[at].code))
		meta.Set("security", list)
		tree.Set("meta", meta)
		p, err := d.store.PrepareNode(ctx, &tree)
		if err != nil {
			return err
		}
		_, err = d.store.Update(ctx, tx, p, r.Version)
		return err
	})
}

// Unrestrict takes a restriction away, with a reason that goes on record and must not name the patient.
func (d *Directory) Unrestrict(ctx context.Context, s auth.Staff, id, name, reason string) error {
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		_, err := d.store.Unlabel(ctx, tx, "Patient", id, 0, auth.LabelsNamed(name), reason)
		return err
	})
}

// RecordConsent stores what the patient decided and returns the id of the Consent. It holds from the next request on.
func (d *Directory) RecordConsent(ctx context.Context, s auth.Staff, patientID string, c Consent) (string, error) {
	if !s.Can(auth.ConsentWrite) {
		return "", fhir.Problem("forbidden", "Your role may not record consents.", "Ask a practice administrator for the right.")
	}
	if !c.Deny && c.Role == "" && c.Person == "" {
		return "", fhir.Problem("required", "Nobody was chosen who may see it.", "Choose a person or a role.").At("who")
	}
	if c.Until != "" {
		if t, err := time.Parse(time.DateOnly, c.Until); err != nil || t.Before(d.db.Clock().Now().AddDate(0, 0, -1)) {
			return "", fhir.Problem("value", "The last day cannot be read or is over.", "Write it as 2026-12-31, or leave it empty.").At("until")
		}
	}
	n := c.resource(patientID, d.db.Clock().Now())
	p, err := d.store.PrepareNode(ctx, &n)
	if err != nil {
		return "", err
	}
	err = d.db.Do(ctx, s, func(tx *db.Tx) error {
		if _, err := d.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		_, err = d.store.Create(ctx, tx, p)
		return err
	})
	return p.ID, err
}

// EndConsent takes a consent back.
func (d *Directory) EndConsent(ctx context.Context, s auth.Staff, patientID, id string, version int64) error {
	if !s.Can(auth.ConsentWrite) {
		return fhir.Problem("forbidden", "Your role may not record consents.", "Ask a practice administrator for the right.")
	}
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		r, err := d.store.Read(ctx, tx, "Consent", id)
		if err != nil {
			return err
		}
		if r.Node().At("patient", "reference").Text() != "Patient/"+patientID {
			return fhir.Problem("conflict", "This consent belongs to another patient.", "Reload the page.")
		}
		tree := r.Node().Clone()
		tree.Set("status", fhirjson.NewString("inactive"))
		p, err := d.store.PrepareNode(ctx, &tree)
		if err != nil {
			return err
		}
		_, err = d.store.Update(ctx, tx, p, version)
		return err
	})
}

// resource is the consent as R4 writes it.
func (c Consent) resource(patientID string, now time.Time) fhirjson.Node {
	str, obj := fhirjson.NewString, fhirjson.NewObject
	list := func(n ...fhirjson.Node) fhirjson.Node { return fhirjson.NewArray(n...) }
	field := func(name string, v fhirjson.Node) fhirjson.Member { return fhirjson.Member{Name: name, Value: v} }
	concept := func(system, code string) fhirjson.Node { return obj(field("coding", list(coding(system, code)))) }
	kind, rule := "permit", "OPTIN"
	if c.Deny {
		kind, rule = "deny", "OPTOUT"
	}
	provision := obj(field("type", str(kind)))
	if c.Until != "" {
		provision.Set("period", obj(field("end", str(c.Until))))
	}
	switch {
	case c.Person != "":
		provision.Set("actor", list(obj(field("role", concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")),
			field("reference", obj(field("reference", str(c.Person)))))))
	case c.Role != "":
		provision.Set("actor", list(obj(field("role", concept(auth.RoleSystem, c.Role)), field("reference", obj(field("display", str(c.Role)))))))
	}
	labels := list()
	for _, l := range ConsentLabels {
		if slices.Contains(c.Labels, l.Name) {
			labels.Append(coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", l.code))
		}
	}
	if len(labels.Items()) > 0 {
		provision.Set("securityLabel", labels)
	}
	subject := obj(field("reference", str("Patient/"+patientID)))
	return obj(field("resourceType", str("Consent")), field("status", str("active")),
		field("scope", concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy")),
		field("category", list(concept("http://loinc.org", "59284-0"))),
		field("patient", subject), field("dateTime", str(now.UTC().Format(time.RFC3339))), field("performer", list(subject.Clone())),
		field("policyRule", concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", rule)), field("provision", provision))
}

func coding(system, code string) fhirjson.Node {
	return fhirjson.NewObject(fhirjson.Member{Name: "system", Value: fhirjson.NewString(system)}, fhirjson.Member{Name: "code", Value: fhirjson.NewString(strings.TrimSpace(code))})
}
