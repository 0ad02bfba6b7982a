package clinical

import (
	"context"
	"sort"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// allergiesOf reads the answer to "any allergies?" from the AllergyIntolerances of a patient.
// A list wins over a statement that there are none, should both be on record.
func allergiesOf(list []*fhirstore.Resource) Allergies {
	var out Allergies
	for _, r := range list {
		n := r.Node()
		a := readAllergy(r.ID, r.Version, n)
		active := a.Status == "active" || a.Status == ""
		wrong := a.Verified == "entered-in-error" || a.Verified == "refuted"
		if deniesAllergies(n) {
			if active && !wrong && a.Recorded >= out.NoneOn {
				out.NoneBy, out.NoneOn, out.NoneID, out.NoneVersion = a.By, a.Recorded, a.ID, a.Version
			}
			continue
		}
		if active && !wrong {
			out.List = append(out.List, a)
		} else {
			out.Past = append(out.Past, a)
		}
	}
	switch {
	case len(out.List) > 0:
		out.State = AllergiesListed
	case out.NoneID != "":
		out.State = NoKnownAllergies
	}
	sort.SliceStable(out.List, func(i, j int) bool {
		a, b := out.List[i], out.List[j]
		if r, q := gravity(a), gravity(b); r != q {
			return r > q
		}
		return a.Substance < b.Substance
	})
	return out
}

func gravity(a Allergy) int {
	switch {
	case a.Severe():
		return 3
	case a.Severity == "moderate":
		return 2
	case a.Severity == "mild":
		return 0
	}
	return 1
}

// AllergyEntry is what a person fills in for an allergy or intolerance.
type AllergyEntry struct {
	Substance string
	System    string // of Code; "" for free words
	Code      string
	Kind      string // allergy, intolerance, "" when not known
	Category  string // medication, food, environment, biologic, ""
	Reaction  string // in words
	Severity  string // mild, moderate, severe, ""
	High      bool   // criticality high: a next exposure may threaten life
	Note      string
}

func (e *AllergyEntry) check() error {
	e.Substance, e.Reaction = strings.TrimSpace(e.Substance), strings.TrimSpace(e.Reaction)
	if e.Substance == "" {
		return fhir.Problem("required", "The substance is missing.", "Choose a substance or write its name.").At("substance")
	}
	for _, f := range [...]struct{ name, v, allowed string }{
		{"kind", e.Kind, "allergy intolerance"},
		{"category", e.Category, "medication food environment biologic"},
		{"severity", e.Severity, "mild moderate severe"},
	} {
		if f.v != "" && !contains(strings.Fields(f.allowed), f.v) {
			return fhir.Problem("value", "“"+f.v+"” cannot be chosen here.", "Choose one of: "+strings.ReplaceAll(f.allowed, " ", ", ")+".").At(f.name)
		}
	}
	if e.Severity != "" && e.Reaction == "" {
		return fhir.Problem("required", "A severity needs the reaction it belongs to.", "Write what happened, such as “hives”.").At("reaction")
	}
	return nil
}

func (e AllergyEntry) fill(n *fhirjson.Node) {
	setOrDelete(n, "type", e.Kind)
	if e.Category == "" {
		n.Delete("category")
	} else {
		n.Set("category", fhir.Array(fhirjson.NewString(e.Category)))
	}
	switch {
	case e.High:
		n.Set("criticality", fhirjson.NewString("high"))
	case n.Get("criticality").Text() == "high":
		n.Delete("criticality")
	}
	n.Delete("reaction")
	if e.Reaction != "" {
		var what []fhirjson.Node
		for _, w := range strings.Split(e.Reaction, ",") {
			if w = strings.TrimSpace(w); w != "" {
				what = append(what, fhir.Object("text", w))
			}
		}
		n.Set("reaction", fhir.Array(fhir.Object("manifestation", what, "severity", e.Severity)))
	}
}

// AddAllergy puts a substance on the allergy list and returns its id. A standing statement
// that there are no known allergies is refuted in the same transaction.
func (r *Record) AddAllergy(ctx context.Context, s auth.Staff, patientID string, e AllergyEntry) (string, error) {
	if err := need(s, auth.AllergyWrite); err != nil {
		return "", err
	}
	if err := e.check(); err != nil {
		return "", err
	}
	n := fhir.Object(
		"resourceType", "AllergyIntolerance",
		"clinicalStatus", status(systemAllergy, "active"),
		"verificationStatus", status(systemAllergVer, "confirmed"),
		"code", fhir.Concept(e.System, e.Code, e.Substance, e.Substance),
		"patient", subject(patientID),
		"recordedDate", instant(r.db.Clock().Now(), r.zone(ctx, s)),
		"recorder", me(s),
		"note", noteOf(e.Note),
	)
	e.fill(&n)
	p, err := r.store.PrepareNode(ctx, &n)
	if err != nil {
		return "", err
	}
	var id string
	err = r.db.Do(ctx, s, func(tx *db.Tx) error {
		was, err := r.allergies(ctx, tx, patientID)
		if err != nil {
			return err
		}
		for _, a := range was.List {
			if e.Code != "" && a.Code == e.Code || strings.EqualFold(a.Substance, e.Substance) {
				return fhir.Problem("duplicate", "“"+a.Substance+"” is already on the allergy list.", "Edit that entry instead.").At("substance")
			}
		}
		if was.NoneID != "" {
			if err := r.refuteNone(ctx, tx, patientID, was); err != nil {
				return err
			}
		}
		made, err := r.store.Create(ctx, tx, p)
		if err == nil {
			id = made.ID
		}
		return err
	})
	return id, err
}

func (r *Record) refuteNone(ctx context.Context, tx *db.Tx, patientID string, was Allergies) error {
	return r.changeIn(ctx, tx, patientID, "AllergyIntolerance", was.NoneID, was.NoneVersion, func(n *fhirjson.Node) error {
		n.Set("clinicalStatus", status(systemAllergy, "inactive"))
		n.Set("verificationStatus", status(systemAllergVer, "refuted"))
		return nil
	})
}

func (r *Record) allergies(ctx context.Context, tx *db.Tx, patientID string) (Allergies, error) {
	if _, err := r.store.Read(ctx, tx, "Patient", patientID); err != nil {
		return Allergies{}, err
	}
	list, err := r.store.Find(ctx, tx, "AllergyIntolerance", "patient", "Patient/"+patientID)
	return allergiesOf(list), err
}

// EditAllergy changes an entry of the list. version is the one that was on screen.
func (r *Record) EditAllergy(ctx context.Context, s auth.Staff, patientID, id string, version int64, e AllergyEntry) error {
	if err := need(s, auth.AllergyWrite); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, "AllergyIntolerance", id, version, func(n *fhirjson.Node) error {
		before := readAllergy(id, version, n)
		if before.Substance != e.Substance || before.Code != e.Code {
			n.Set("code", fhir.Concept(e.System, e.Code, e.Substance, e.Substance))
		}
		if before.Reaction == e.Reaction && before.Severity == e.Severity {
			reaction := n.Get("reaction").Clone()
			e.fill(n)
			if reaction.Kind() == fhirjson.Array {
				n.Set("reaction", reaction) // coded manifestations and dates stay
			}
		} else {
			e.fill(n)
		}
		setNote(n, e.Note)
		return nil
	})
}

// ResolveAllergy takes an entry off the active list, because the patient tolerates the
// substance or never was allergic; with back it returns to the list.
func (r *Record) ResolveAllergy(ctx context.Context, s auth.Staff, patientID, id string, version int64, back bool) error {
	if err := need(s, auth.AllergyWrite); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, "AllergyIntolerance", id, version, func(n *fhirjson.Node) error {
		to := "resolved"
		if back {
			to = "active"
		}
		n.Set("clinicalStatus", status(systemAllergy, to))
		return nil
	})
}

// DenyAllergies records that the patient was asked and knows of no allergy. Said again, it
// renews the date and the person. It is refused while substances are on the list.
func (r *Record) DenyAllergies(ctx context.Context, s auth.Staff, patientID string) error {
	if err := need(s, auth.AllergyWrite); err != nil {
		return err
	}
	when := instant(r.db.Clock().Now(), r.zone(ctx, s))
	n := fhir.Object(
		"resourceType", "AllergyIntolerance",
		"clinicalStatus", status(systemAllergy, "active"),
		"verificationStatus", status(systemAllergVer, "confirmed"),
		"code", fhir.Concept(systemSNOMED, noKnownAllergies, "No known allergy", "No known allergies"),
		"patient", subject(patientID),
		"recordedDate", when,
		"recorder", me(s),
	)
	p, err := r.store.PrepareNode(ctx, &n)
	if err != nil {
		return err
	}
	return r.db.Do(ctx, s, func(tx *db.Tx) error {
		was, err := r.allergies(ctx, tx, patientID)
		if err != nil {
			return err
		}
		if was.State == AllergiesListed {
			return fhir.Problem("business-rule", "There are allergies on the list.", "Resolve them or mark them entered in error first.")
		}
		if was.NoneID != "" {
			return r.changeIn(ctx, tx, patientID, "AllergyIntolerance", was.NoneID, was.NoneVersion, func(n *fhirjson.Node) error {
				n.Set("recordedDate", fhirjson.NewString(when))
				n.Set("recorder", me(s))
				return nil
			})
		}
		_, err = r.store.Create(ctx, tx, p)
		return err
	})
}
