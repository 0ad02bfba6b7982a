package patient

import (
	"context"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Grade says how sure it is that two descriptions are of one person (http://hl7.org/fhir/R4/valueset-match-grade.html).
type Grade string

// The grades of R4, surest first.
const (
	Certain      Grade = "certain"
	Probable     Grade = "probable"
	Possible     Grade = "possible"
	CertainlyNot Grade = "certainly-not"
)

// Likeness is what comes of comparing two descriptions.
type Likeness struct {
	Grade   Grade
	Score   float64  // 0 to 1; every certain one is above every probable one, and so on
	Reasons []string // what agrees, and what does not, in plain words without what the values are
}

// Alike lists the ids of patients, likeliest first, who might be the person that a Patient resource describes. Those whom the scope
// may not see are not among them, nor stand stubs for them.
func (d *Directory) Alike(ctx context.Context, s db.Scope, n *fhirjson.Node, most int) ([]string, error) {
	m, a, err := d.current(ctx, s)
	if err != nil {
		return nil, err
	}
	who := Identify("", 0, n, d.db.Clock().Now())
	in := Demographics{Family: who.Name.Family, Given: who.Name.Given, BirthDate: who.BirthDate, Phone: who.Phone, MRN: who.MRN}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, c := range m.idx.duplicates(in) {
		if e := &m.idx.entries[c.at]; e.live && e.seenBy(a) && len(out) < most {
			out = append(out, e.ID)
		}
	}
	return out, nil
}

// Compare says how alike two Patient resources are. It never says certain on demographics alone without name, date of birth and a
// way to reach the person, nor when dates of birth contradict each other.
func Compare(a, b *fhirjson.Node) (l Likeness) {
	agree := func(what string, score float64) {
		l.Reasons = append(l.Reasons, what)
		l.Score += score
	}
	id := sharedIdentifier(a, b)
	if id {
		agree("same identifier", 0.6)
	}
	name := nameLikeness(a, b)
	switch name {
	case 3:
		agree("same name", 0.4)
	case 2:
		agree("nearly the same name", 0.3)
	case 1:
		agree("similar name", 0.15)
	}
	born, notBorn := false, false
	switch x, y := a.Get("birthDate").Text(), b.Get("birthDate").Text(); {
	case x == "" || y == "":
	case x == y && len(x) == 10:
		born = true
		agree("same date of birth", 0.35)
	case strings.HasPrefix(x, y) || strings.HasPrefix(y, x):
		agree("dates of birth agree as far as known", 0.2)
	case fhir.Edits(x, y, 1) <= 1 || swapped(x, y):
		agree("nearly the same date of birth", 0.15)
	default:
		notBorn = true
		agree("different date of birth", -0.25)
	}
	other := false
	if x, y := a.Get("gender").Text(), b.Get("gender").Text(); x != "" && y != "" && x != "unknown" && y != "unknown" {
		if other = x != y; other {
			agree("different gender", -0.1)
		} else {
			agree("same gender", 0.05)
		}
	}
	reached := false
	for _, t := range []struct{ what, system string }{{"same telephone number", "phone"}, {"same e-mail address", "email"}} {
		if shared(contacts(a, t.system), contacts(b, t.system)) {
			reached = true
			agree(t.what, 0.15)
		}
	}
	if shared(places(a), places(b)) {
		reached = true
		agree("same address", 0.15)
	}
	within := func(g Grade, low, high float64) { l.Grade, l.Score = g, min(max(l.Score, low), high) }
	switch {
	case !notBorn && id && (name >= 2 || born && name > 0), name == 3 && born && !other && reached:
		within(Certain, 0.9, 1)
	case !notBorn && (id || name >= 2 && born && !other):
		within(Probable, 0.7, 0.89)
	case id || l.Score >= 0.35 && name > 0:
		within(Possible, 0.35, 0.69)
	default:
		within(CertainlyNot, 0, 0.34)
	}
	return l
}

func sharedIdentifier(a, b *fhirjson.Node) bool {
	have := map[string]bool{}
	each := func(n *fhirjson.Node, fn func(key string)) {
		for _, i := range n.Get("identifier").Items() {
			if s, v := i.Get("system").Text(), i.Get("value").Text(); s != "" && v != "" && i.Get("use").Text() != "old" {
				fn(s + "|" + v)
			}
		}
	}
	found := false
	each(a, func(key string) { have[key] = true })
	each(b, func(key string) { found = found || have[key] })
	return found
}

// nameLikeness compares every name of one with every name of the other: 3 the same, 2 a slip apart, 1 similar.
func nameLikeness(a, b *fhirjson.Node) (best int) {
	for _, x := range a.Get("name").Items() {
		for _, y := range b.Get("name").Items() {
			best = max(best, likeNames(fold(x.Get("family").Text()), firstGiven(&x), fold(y.Get("family").Text()), firstGiven(&y)))
		}
	}
	return best
}

func firstGiven(n *fhirjson.Node) string {
	if g := n.Get("given").Items(); len(g) > 0 {
		return fold(g[0].Text())
	}
	return ""
}

func likeNames(f1, g1, f2, g2 string) int {
	if f1 == "" || f2 == "" {
		return 0
	}
	if g1 == "" || g2 == "" {
		if f1 == f2 {
			return 1
		}
		return 0
	}
	switch f, g := fhir.Edits(f1, f2, 2), fhir.Edits(g1, g2, 2); {
	case f == 0 && g == 0, f1 == g2 && g1 == f2:
		return 3
	case f <= 1 && g <= 1 && len(f1) > 3 && len(g1) > 3:
		return 2
	case f <= 2 && g <= 2 && len(f1) > 4, f == 0 && sameInitial(g1, g2), g == 0 && f <= 2:
		return 1
	}
	return 0
}

// swapped says whether two dates differ by having month and day the other way round.
func swapped(x, y string) bool {
	return len(x) == 10 && len(y) == 10 && x[:4] == y[:4] && x[5:7] == y[8:] && x[8:] == y[5:7]
}

func contacts(n *fhirjson.Node, system string) (out []string) {
	for _, t := range n.Get("telecom").Items() {
		if s := t.Get("system").Text(); s != system && (system != "phone" || s != "sms") {
			continue
		}
		v := strings.ToLower(strings.TrimSpace(t.Get("value").Text()))
		if system == "phone" {
			if v = onlyDigits(v); len(v) == 11 && v[0] == '1' {
				v = v[1:] // North American numbers with and without their country code
			}
			if len(v) < 7 {
				continue
			}
		}
		out = append(out, v)
	}
	return out
}

// places are the addresses as far as they tell people apart: first line and postal code.
func places(n *fhirjson.Node) (out []string) {
	for _, a := range n.Get("address").Items() {
		if lines := a.Get("line").Items(); len(lines) > 0 && a.Get("postalCode").Text() != "" {
			postal := onlyDigits(a.Get("postalCode").Text())
			out = append(out, fold(lines[0].Text())+" "+postal[:min(len(postal), 5)])
		}
	}
	return out
}

func shared(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x != "" && x == y {
				return true
			}
		}
	}
	return false
}
