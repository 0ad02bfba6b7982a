package patient

import (
	"context"
	"errors"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Registration is who a patient is and how to reach them, as the front desk reads and corrects it.
type Registration struct {
	Identity
	Fields Demographics
}

// Registration reads what is on record. A patient who is closed to the scope is not found.
func (d *Directory) Registration(ctx context.Context, s db.Scope, id string) (out Registration, err error) {
	err = d.db.View(ctx, s, func(tx *db.Tx) error {
		r, err := d.store.Read(ctx, tx, "Patient", id)
		if err != nil {
			return err
		}
		n := r.Node()
		out = Registration{Identity: Identify(id, r.Version, n, d.db.Clock().Now()), Fields: demographicsOf(n)}
		return nil
	})
	return out, err
}

// Correct writes what changed of a registration, and only that: whatever else the record says stays. With renamed the name that was in use
// is kept as a former one, by which the patient is still found; without it the name was a slip. The MRN is not changed here. Fields that
// cannot be used come back as fhir.Issues with the field names as paths; a version that is no longer the current one is a conflict.
func (d *Directory) Correct(ctx context.Context, s auth.Staff, id string, version int64, in Demographics, renamed bool) error {
	if !s.Can(auth.DemographicsWrite) {
		return fhir.Problem("forbidden", "Your role may not change who a patient is.", "Ask a practice administrator for the right.")
	}
	return d.db.Do(ctx, s, func(tx *db.Tx) error {
		r, err := d.store.Read(ctx, tx, "Patient", id)
		if err != nil {
			return err
		}
		in := in
		if issues := in.checkChanges(demographicsOf(r.Node()), d.db.Clock().Now()); issues.HasErrors() {
			return issues
		}
		tree := r.Node().Clone()
		in.onto(&tree, renamed)
		if fhirjson.Equal(&tree, r.Node()) && r.Version == version {
			return nil
		}
		p, err := d.store.PrepareNode(ctx, &tree)
		if err != nil {
			return atFields(err, &tree)
		}
		_, err = d.store.Update(ctx, tx, p, version)
		var issues fhir.Issues
		if errors.As(err, &issues) {
			return atFields(err, &tree)
		}
		return err
	})
}

// demographicsOf reads the fields of registration from a Patient; it is the other way of Demographics.onto.
func demographicsOf(p *fhirjson.Node) (d Demographics) {
	n, _ := names(p)
	d = Demographics{Family: n.Family, Given: n.Given, Middle: n.Middle, Preferred: n.Preferred, BirthDate: p.Get("birthDate").Text(),
		Sex: p.Get("gender").Text(), MRN: mrn(p)}
	if t := contact(p, "phone"); t != nil {
		d.Phone = t.Get("value").Text()
	}
	if t := contact(p, "email"); t != nil {
		d.Email = t.Get("value").Text()
	}
	if a := home(p); a != nil {
		var lines []string
		for _, l := range a.Get("line").Items() {
			lines = append(lines, l.Text())
		}
		d.Line, d.City, d.State, d.Postal = strings.Join(lines, ", "), a.Get("city").Text(), a.Get("state").Text(), a.Get("postalCode").Text()
	}
	if c := spoken(p); c != nil {
		d.Language = c.At("language", "coding", "code").Text()
	}
	return d
}

// checkChanges is check for what differs from the record: an old record lacks things, such as the day of a birth of which the year is known,
// and its telephone can be corrected all the same.
func (in *Demographics) checkChanges(was Demographics, today time.Time) (out fhir.Issues) {
	typed := *in
	same := map[string]bool{"family": typed.Family == was.Family, "given": typed.Given == was.Given, "birthDate": typed.BirthDate == was.BirthDate,
		"sex": typed.Sex == was.Sex, "phone": typed.Phone == was.Phone, "email": typed.Email == was.Email}
	for _, i := range in.check(today) {
		if !same[i.Path] {
			out = append(out, i)
		}
	}
	if same["birthDate"] {
		in.BirthDate = was.BirthDate
	}
	return out
}

// onto makes the resource say what the fields say, touching nothing that they agree with already.
func (in Demographics) onto(p *fhirjson.Node, renamed bool) {
	was := demographicsOf(p)
	if in.Family != was.Family || in.Given != was.Given || in.Middle != was.Middle {
		in.rename(p, renamed)
	}
	if in.Preferred != was.Preferred {
		in.nickname(p)
	}
	if in.BirthDate != was.BirthDate { // check has seen to it that neither of these two is empty
		p.Set("birthDate", fhirjson.NewString(in.BirthDate))
	}
	if in.Sex != was.Sex {
		p.Set("gender", fhirjson.NewString(in.Sex))
	}
	if in.Phone != was.Phone {
		reach(p, "phone", in.Phone)
	}
	if in.Email != was.Email {
		reach(p, "email", in.Email)
	}
	if in.Line != was.Line || in.City != was.City || in.State != was.State || in.Postal != was.Postal {
		in.move(p, was)
	}
	if in.Language != was.Language {
		in.speak(p)
	}
}

func (in Demographics) rename(p *fhirjson.Node, renamed bool) {
	best := nameInUse(p)
	if best == nil {
		best = grow(p, "name", fhir.Object("use", "official"))
	}
	former := best.Clone()
	best.Set("family", fhirjson.NewString(in.Family))
	best.Set("given", fhirjson.NewArray(strs(in.Given, in.Middle)...))
	best.Delete("text") // it would say the former name
	if renamed && former.Get("family") != nil {
		former.Set("use", fhirjson.NewString("old"))
		grow(p, "name", former)
	}
}

func (in Demographics) nickname(p *fhirjson.Node) {
	drop(p, "name", func(n *fhirjson.Node) bool { return n.Get("use").Text() == "nickname" })
	if in.Preferred != "" {
		grow(p, "name", fhir.Object("use", "nickname", "given", strs(in.Preferred)))
	}
}

// reach sets the one telephone or mail address that registration shows; others stay.
func reach(p *fhirjson.Node, system, value string) {
	t := contact(p, system)
	switch {
	case t != nil && value == "":
		drop(p, "telecom", func(n *fhirjson.Node) bool { return n == t })
	case t != nil:
		t.Set("value", fhirjson.NewString(value))
	case system == "phone":
		grow(p, "telecom", fhir.Object("system", "phone", "value", value, "use", "mobile"))
	default:
		grow(p, "telecom", fhir.Object("system", system, "value", value))
	}
}

func (in Demographics) move(p *fhirjson.Node, was Demographics) {
	a := home(p)
	if a == nil {
		a = grow(p, "address", fhir.Object("use", "home"))
	}
	if in.Line != was.Line {
		a.Delete("line")
		if in.Line != "" {
			a.Set("line", fhirjson.NewArray(strs(in.Line)...))
		}
	}
	for _, f := range [][2]string{{"city", in.City}, {"state", in.State}, {"postalCode", in.Postal}} {
		a.Delete(f[0])
		if f[1] != "" {
			a.Set(f[0], fhirjson.NewString(f[1]))
		}
	}
	a.Delete("text") // it would say the former address
	if in.Line+in.City+in.State+in.Postal == "" {
		drop(p, "address", func(n *fhirjson.Node) bool { return n == a })
	}
}

func (in Demographics) speak(p *fhirjson.Node) {
	if c := spoken(p); c != nil {
		drop(p, "communication", func(n *fhirjson.Node) bool { return n == c })
	}
	if in.Language != "" {
		grow(p, "communication", communication(in.Language))
	}
}

// contact is the telephone number or mail address that stands for the patient: a mobile number before others.
func contact(p *fhirjson.Node, system string) (best *fhirjson.Node) {
	list := p.Get("telecom").Items()
	for i := range list {
		t := &list[i]
		if s := t.Get("system").Text(); t.Get("use").Text() == "old" || s != system && (system != "phone" || s != "sms") {
			continue
		}
		if best == nil || system == "phone" && t.Get("use").Text() == "mobile" {
			best = t
		}
	}
	return best
}

func home(p *fhirjson.Node) *fhirjson.Node {
	list := p.Get("address").Items()
	for i := range list {
		if list[i].Get("use").Text() != "old" && fhir.AddressLine(&list[i]) != "" {
			return &list[i]
		}
	}
	return nil
}

// spoken is the language to speak with the patient: the preferred one, else the first.
func spoken(p *fhirjson.Node) *fhirjson.Node {
	list := p.Get("communication").Items()
	for i := range list {
		if list[i].Get("preferred").Text() == "true" {
			return &list[i]
		}
	}
	if len(list) > 0 {
		return &list[0]
	}
	return nil
}

// grow adds an item to a list of the resource, which is made when it is not there, and returns the item in its place.
func grow(p *fhirjson.Node, list string, item fhirjson.Node) *fhirjson.Node {
	if p.Get(list) == nil {
		p.Set(list, fhirjson.NewArray())
	}
	l := p.Get(list)
	l.Append(item)
	items := l.Items()
	return &items[len(items)-1]
}

// drop takes items out of a list of the resource, and the list with its last one: FHIR has no empty arrays.
func drop(p *fhirjson.Node, list string, gone func(*fhirjson.Node) bool) {
	l := p.Get(list)
	items := l.Items()
	var kept []fhirjson.Node
	for i := range items {
		if !gone(&items[i]) {
			kept = append(kept, items[i])
		}
	}
	if len(kept) == 0 {
		p.Delete(list)
		return
	}
	l.SetItems(kept)
}
