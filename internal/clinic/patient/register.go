package patient

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Demographics is what registration asks for.
type Demographics struct {
	Family, Given, Middle, Preferred string
	BirthDate                        string // as typed; see ParseBirthDate
	Sex                              string // female, male, other, unknown
	Phone, Email                     string
	Line, City, State, Postal        string
	Language                         string // BCP 47 code, "" when not asked
	MRN                              string // "" lets the practice assign one
}

// errTaken says that a number belongs to somebody; the transaction is taken back.
var errTaken = errors.New("patient: the number is taken")

// Duplicates is the answer to a registration that looks like somebody who has a chart
// already. Show them; register again with confirmed set if none is the same person.
type Duplicates struct{ Hits []Hit }

// Error says how many there are.
func (d *Duplicates) Error() string {
	if len(d.Hits) == 1 {
		return "Someone like this already has a chart."
	}
	return fmt.Sprintf("%d people like this already have charts.", len(d.Hits))
}

// systemMRN is the identifier system of numbers a practice assigns.
const systemMRN = "https://yarrow.health/fhir/NamingSystem/mrn"

// check reads and normalises the fields; the issues name form fields as paths.
func (in *Demographics) check(today time.Time) fhir.Issues {
	for _, p := range []*string{&in.Family, &in.Given, &in.Middle, &in.Preferred, &in.Phone, &in.Email, &in.Line, &in.City, &in.State, &in.Postal, &in.MRN} {
		*p = strings.Join(strings.Fields(*p), " ")
	}
	var out fhir.Issues
	need := func(field, v, text, fix string) {
		if v == "" {
			out = append(out, *fhir.Problem("required", text, fix).At(field))
		}
	}
	need("family", in.Family, "The family name is missing.", "Write it as on the patient's papers.")
	need("given", in.Given, "The given name is missing.", "Write it as on the patient's papers.")
	need("birthDate", strings.TrimSpace(in.BirthDate), "The date of birth is missing.", "Write it as 3/14/1968 or 1968-03-14.")
	if strings.TrimSpace(in.BirthDate) != "" {
		if d, ok := ParseBirthDate(in.BirthDate, today); ok {
			in.BirthDate = d
		} else {
			out = append(out, *fhir.Problem("value", "The date of birth cannot be read or lies in the future.", "Write it as 3/14/1968 or 1968-03-14.").At("birthDate"))
		}
	}
	switch in.Sex {
	case "female", "male", "other", "unknown":
	default:
		out = append(out, *fhir.Problem("required", "The sex is missing.", "Choose one; “unknown” is an answer.").At("sex"))
	}
	if in.Phone != "" && len(onlyDigits(in.Phone)) < 7 {
		out = append(out, *fhir.Problem("value", "The phone number is too short.", "Write it with its area code.").At("phone"))
	}
	if in.Email != "" && !strings.Contains(in.Email, "@") {
		out = append(out, *fhir.Problem("value", "The e-mail address has no @.", "Check it, or leave it empty.").At("email"))
	}
	return out
}

// Register adds a patient and returns the new id. Fields that cannot be used come back as
// fhir.Issues with the field names as paths; likely duplicates as *Duplicates unless
// confirmed. An MRN in use is refused even then.
func (d *Directory) Register(ctx context.Context, s auth.Staff, in Demographics, confirmed bool) (string, error) {
	if !s.Can(auth.PatientRegister) {
		return "", fhir.Problem("forbidden", "Your role may not register patients.", "Ask a practice administrator for the right.")
	}
	if issues := in.check(d.db.Clock().Now()); issues.HasErrors() {
		return "", issues
	}
	twins, err := d.Duplicates(ctx, s, in)
	if err != nil {
		return "", err
	}
	for _, t := range twins {
		for _, w := range t.Why {
			if w == "mrn" {
				return "", fhir.Issues{*fhir.Problem("duplicate", "This MRN belongs to another patient.", "Leave it empty to have one assigned.").At("mrn")}
			}
		}
	}
	if len(twins) > 0 && !confirmed {
		return "", &Duplicates{Hits: twins}
	}
	for range 5 {
		number := in.MRN
		if number == "" {
			number = newMRN()
		}
		n := in.resource(number)
		p, err := d.store.PrepareNode(ctx, &n)
		if err != nil {
			return "", err
		}
		err = d.db.Do(ctx, s, func(tx *db.Tx) error {
			same, err := d.store.Find(ctx, tx, "Patient", "identifier", systemMRN+"|"+number)
			if err != nil {
				return err
			}
			if len(same) > 0 {
				return errTaken
			}
			jobs.Made(ctx, p.ID)
			_, err = d.store.Create(ctx, tx, p)
			return err
		})
		if err == nil {
			return p.ID, nil
		}
		if !errors.Is(err, errTaken) {
			return "", atFields(err, p.Node())
		}
		if in.MRN != "" {
			break
		}
	}
	return "", fhir.Issues{*fhir.Problem("duplicate", "This MRN belongs to another patient.", "Leave it empty to have one assigned.").At("mrn")}
}

// atFields names the form's fields where the store refused parts of the resource that was made from them.
func atFields(err error, n *fhirjson.Node) error {
	var issues fhir.Issues
	if !errors.As(err, &issues) {
		return err
	}
	out := slices.Clone(issues)
	for i := range out {
		rest, ok := strings.CutPrefix(out[i].Path, "Patient.")
		if !ok {
			continue
		}
		part, _, _ := strings.Cut(rest, "[")
		switch part, _, _ = strings.Cut(part, "."); part {
		case "telecom":
			out[i].Path = "phone"
			var at int
			fmt.Sscanf(rest, "telecom[%d]", &at)
			if list := n.Get("telecom").Items(); at < len(list) && list[at].Get("system").Text() == "email" {
				out[i].Path = "email"
			}
		case "identifier":
			out[i].Path = "mrn"
		case "name":
			out[i].Path = "family"
		case "address":
			out[i].Path = "line"
		}
	}
	return out
}

// Duplicates lists the patients who might be the person described, likeliest first.
func (d *Directory) Duplicates(ctx context.Context, s db.Scope, in Demographics) ([]Hit, error) {
	m, a, err := d.current(ctx, s)
	if err != nil {
		return nil, err
	}
	today := d.db.Clock().Now()
	if b, ok := ParseBirthDate(in.BirthDate, today); ok {
		in.BirthDate = b
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Hit
	for _, c := range m.idx.duplicates(in) {
		if h, ok := m.idx.show(c.at, a, today); ok {
			h.Why = c.why
			out = append(out, h)
		}
		if len(out) == 5 {
			break
		}
	}
	return out, nil
}

func (in Demographics) resource(number string) fhirjson.Node {
	var names, telecom, address, talk []fhirjson.Node
	names = append(names, fhir.Object("use", "official", "family", in.Family, "given", strs(in.Given, in.Middle)))
	if in.Preferred != "" {
		names = append(names, fhir.Object("use", "nickname", "given", strs(in.Preferred)))
	}
	if in.Phone != "" {
		telecom = append(telecom, fhir.Object("system", "phone", "value", in.Phone, "use", "mobile"))
	}
	if in.Email != "" {
		telecom = append(telecom, fhir.Object("system", "email", "value", in.Email))
	}
	address = append(address, fhir.Object("use", "home", "line", strs(in.Line), "city", in.City, "state", in.State, "postalCode", in.Postal))
	if address[0].Len() == 1 {
		address = nil
	}
	if in.Language != "" {
		talk = append(talk, communication(in.Language))
	}
	return fhir.Object(
		"resourceType", "Patient",
		"identifier", fhir.Array(fhir.Object(
			"use", "usual",
			"type", fhir.Concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number", ""),
			"system", systemMRN,
			"value", number,
		)),
		"active", true,
		"name", names,
		"telecom", telecom,
		"gender", in.Sex,
		"birthDate", in.BirthDate,
		"address", address,
		"communication", talk,
	)
}

func strs(list ...string) []fhirjson.Node {
	var out []fhirjson.Node
	for _, s := range list {
		if s != "" {
			out = append(out, fhirjson.NewString(s))
		}
	}
	return out
}

// Languages lists what registration offers, most common in the US first.
func Languages() [][2]string {
	return [][2]string{{"en", "English"}, {"es", "Spanish"}, {"zh", "Chinese"}, {"vi", "Vietnamese"}, {"tl", "Tagalog"},
		{"ar", "Arabic"}, {"fr", "French"}, {"ko", "Korean"}, {"ru", "Russian"}, {"pt", "Portuguese"}, {"ht", "Haitian Creole"}, {"hi", "Hindi"}, {"ase", "American Sign Language"}}
}

// communication says that a language is the one to speak with the patient.
func communication(code string) fhirjson.Node {
	return fhir.Object("language", fhir.Object("coding", fhir.Array(fhir.Object("system", "urn:ietf:bcp:47", "code", code)), "text", languageName(code)), "preferred", true)
}

func languageName(code string) string {
	for _, l := range Languages() {
		if l[0] == code {
			return l[1]
		}
	}
	return code
}

// newMRN draws eight digits, the last a Luhn check digit that catches any single wrong
// digit and most swaps. Drawn, not counted: a number tells nothing about the practice's size.
func newMRN() string {
	n, err := rand.Int(rand.Reader, big.NewInt(9_000_000))
	if err != nil { // crypto/rand does not fail (Go 1.24)
		panic(err)
	}
	head := fmt.Sprintf("%07d", n.Int64()+1_000_000)
	return head + string(rune('0'+fhir.CheckDigit(head)))
}

type candidate struct {
	at    int32
	score int
	why   []string
}

// duplicates compares a description with everyone born the same day, of the same name, or
// reached by the same number.
func (x *index) duplicates(in Demographics) []candidate {
	me := entry{family: fold(in.Family), given: fold(in.Given)}
	me.BirthDate = in.BirthDate
	phone, number := onlyDigits(in.Phone), onlyDigits(in.MRN)
	pool := map[int32]bool{}
	for _, i := range x.births[in.BirthDate] {
		pool[i] = true
	}
	x.order()
	for _, part := range strings.Fields(me.family + " " + me.given) {
		for i := range x.word(part) {
			pool[i] = true
		}
	}
	if phone != "" || number != "" {
		for i := range x.entries {
			e := &x.entries[i]
			if e.live && (phone != "" && strings.Contains(e.numbers+"|", "|"+phone+"|") || number != "" && strings.Contains(e.numbers+"|", "|"+number+"|")) {
				pool[int32(i)] = true
			}
		}
	}
	var out []candidate
	for i := range pool {
		if c := x.compare(&me, i, phone, number); c.score >= likely {
			out = append(out, c)
		}
	}
	sortCandidates(out)
	return out
}

// likely is the score from which two descriptions may be of one person.
const likely = 5

func (x *index) compare(me *entry, i int32, phone, number string) candidate {
	e := &x.entries[i]
	c := candidate{at: i}
	if !e.live {
		return c
	}
	sameDay := me.BirthDate != "" && me.BirthDate == e.BirthDate
	name := 0
	switch f, g := fhir.Edits(me.family, e.family, 2), fhir.Edits(me.given, e.given, 2); {
	case f == 0 && g == 0:
		name = 4
	case f <= 1 && g <= 1:
		name = 3
	case f <= 2 && g <= 2, f == 0 && sameInitial(me.given, e.given), g == 0 && sameDay:
		name = 2
	case me.family == e.given && me.given == e.family:
		name = 4
	}
	if name > 0 {
		c.score += name
		c.why = append(c.why, "name")
	}
	if sameDay {
		c.score += 3
		c.why = append(c.why, "birth date")
	} else if name >= 3 && len(me.BirthDate) == 10 && len(e.BirthDate) == 10 && fhir.Edits(me.BirthDate, e.BirthDate, 2) <= 2 {
		c.score++ // a digit slipped, or day and month were swapped
	}
	if phone != "" && strings.Contains(e.numbers+"|", "|"+phone+"|") {
		c.score += 2
		c.why = append(c.why, "phone")
	}
	if number != "" && onlyDigits(e.MRN) == number {
		c.score += 10
		c.why = append(c.why, "mrn")
	}
	return c
}

func sameInitial(a, b string) bool { return a != "" && b != "" && a[0] == b[0] }

func sortCandidates(list []candidate) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && (list[j].score > list[j-1].score || list[j].score == list[j-1].score && list[j].at < list[j-1].at); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}
