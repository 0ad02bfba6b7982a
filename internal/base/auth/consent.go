package auth

import (
	"context"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// RoleSystem is the code system of provision.actor.role for a role of the practice (its codes are those of [Roles]).
const RoleSystem = "https://yarrow.health/fhir/CodeSystem/role"

// chartLabels are the labels on a Patient that restrict the whole chart.
const chartLabels = LabelRestricted | LabelVeryRestricted | LabelVIP

// FollowResource turns a version of a Patient or Consent into provisions, in the transaction that writes it, so that
// a revocation holds for every request that begins after its commit, and on other nodes within a second. n is nil for
// a deletion. It is the store's hook (fhirstore.Store.Rules).
func (a *Auth) FollowResource(ctx context.Context, tx *db.Tx, typ, id string, n *fhirjson.Node, labels int64) error {
	var list []ChartProvision
	switch {
	case n == nil:
	case typ == "Consent":
		list = consentProvisions(n)
	case typ == "Patient" && labels&chartLabels != 0:
		list = []ChartProvision{{Kind: Restrict, Patient: id, Labels: labels & chartLabels, Actors: references(n.Get("generalPractitioner"))}}
	}
	changed, err := setProvisions(ctx, tx, typ+"/"+id, list)
	if err != nil || !changed {
		return err
	}
	return a.changed(ctx, tx)
}

// consentProvisions reads what an active privacy Consent of R4 permits and denies. Conditions Yarrow cannot decide
// (purpose, class, data, code) make a permit void and are left out of a denial, so that what is unclear stays closed.
func consentProvisions(n *fhirjson.Node) (out []ChartProvision) {
	typ, patient, ok := fhir.ParseReference(n.At("patient", "reference").Text())
	if n.Get("status").Text() != "active" || !ok || typ != "Patient" || scopeOf(n) != "patient-privacy" {
		return nil
	}
	root := n.Get("provision")
	var walk func(p *fhirjson.Node)
	walk = func(p *fhirjson.Node) {
		if p == nil {
			return
		}
		one := ChartProvision{Patient: patient, From: day(p.At("period", "start").Text(), false), Until: day(p.At("period", "end").Text(), true)}
		conditions := len(p.Get("class").Items())+len(p.Get("code").Items())+len(p.Get("purpose").Items())+len(p.Get("data").Items())+
			len(p.Get("action").Items()) > 0 || p.Get("dataPeriod") != nil
		actors := p.Get("actor").Items()
		for i := range actors {
			if ref := actors[i].At("reference", "reference").Text(); ref != "" {
				one.Actors = append(one.Actors, ref)
			}
			codings := actors[i].Get("role").Get("coding").Items()
			for j := range codings {
				if codings[j].Get("system").Text() == RoleSystem && rolesOf([]Role{Role(codings[j].Get("code").Text())}) != 0 {
					one.Roles = append(one.Roles, Role(codings[j].Get("code").Text()))
				}
			}
		}
		marks := p.Get("securityLabel").Items()
		unknown := false
		for i := range marks {
			l := LabelOf(marks[i].Get("system").Text(), marks[i].Get("code").Text())
			unknown = unknown || l == 0
			one.Labels |= l
		}
		switch p.Get("type").Text() {
		case "permit":
			if one.Kind = Permit; !conditions && !unknown && len(one.Actors)+len(one.Roles) > 0 {
				out = append(out, one)
			}
		case "deny":
			one.Kind = Deny
			if unknown {
				one.Labels = 0 // a label we do not know: the whole chart
			}
			if len(actors) == 0 || len(one.Actors)+len(one.Roles) > 0 {
				one.Except = permitted(p)
				out = append(out, one)
			}
		}
		parts := p.Get("provision").Items()
		for i := range parts {
			walk(&parts[i])
		}
	}
	walk(root)
	return out
}

// permitted are the actors whom a denial's own exceptions let in.
func permitted(deny *fhirjson.Node) (out []string) {
	parts := deny.Get("provision").Items()
	for i := range parts {
		if parts[i].Get("type").Text() != "permit" {
			continue
		}
		actors := parts[i].Get("actor").Items()
		for j := range actors {
			if ref := actors[j].At("reference", "reference").Text(); ref != "" {
				out = append(out, ref)
			}
		}
	}
	return out
}

func scopeOf(n *fhirjson.Node) string {
	return n.At("scope", "coding", "code").Text()
}

func references(list *fhirjson.Node) (out []string) {
	items := list.Items()
	for i := range items {
		if ref := items[i].Get("reference").Text(); ref != "" {
			out = append(out, ref)
		}
	}
	return out
}

// day reads a FHIR dateTime; of a partial one the beginning, or with end the last moment. What cannot be read ends
// long ago as a beginning and never as an end, so that nothing opens by it.
func day(s string, end bool) time.Time {
	if s == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC()
	}
	for i, layout := range []string{"2006-01-02", "2006-01", "2006"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if end {
			t = [...]func() time.Time{func() time.Time { return t.AddDate(0, 0, 1) }, func() time.Time { return t.AddDate(0, 1, 0) },
				func() time.Time { return t.AddDate(1, 0, 0) }}[i]()
		}
		return t
	}
	return time.Unix(0, 0).UTC()
}
