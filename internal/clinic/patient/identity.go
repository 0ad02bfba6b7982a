package patient

import (
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Identity is what must be in view whenever a chart is open: who this is, beyond doubt.
type Identity struct {
	ID         string
	Version    int64
	Name       Name
	BirthDate  string // as recorded: yyyy, yyyy-mm or yyyy-mm-dd; "" when not known
	Age        string // on the day of reading, or at death
	Sex        string // administrative gender code: male, female, other, unknown, "" when not recorded
	Pronouns   string
	MRN        string
	Phone      string
	Email      string
	Address    string   // one line
	Languages  []string // as named in the record, preferred first
	Deceased   bool
	DiedOn     string // as recorded, "" when only the fact is known
	Inactive   bool
	Restricted bool   // confidentiality above normal (meta.security R or V)
	PCP        string // reference of the general practitioner
	PCPName    string
}

// Identify reads the identity from a Patient resource. today decides the age.
func Identify(id string, version int64, p *fhirjson.Node, today time.Time) Identity {
	n, _ := names(p)
	out := Identity{ID: id, Version: version, Name: n, BirthDate: p.Get("birthDate").Text(), Sex: p.Get("gender").Text(), MRN: mrn(p)}
	out.Pronouns = pronouns(p)
	if t := contact(p, "phone"); t != nil {
		out.Phone = t.Get("value").Text()
	}
	if t := contact(p, "email"); t != nil {
		out.Email = t.Get("value").Text()
	}
	if a := home(p); a != nil {
		out.Address = fhir.AddressLine(a)
	}
	out.Languages = languages(p)
	out.DiedOn = p.Get("deceasedDateTime").Text()
	out.Deceased = out.DiedOn != "" || p.Get("deceasedBoolean").Text() == "true"
	on := today
	if len(out.DiedOn) >= 10 {
		if t, err := time.Parse("2006-01-02", out.DiedOn[:10]); err == nil {
			on = t
		}
	}
	if !out.Deceased || out.DiedOn != "" {
		out.Age = Age(out.BirthDate, on)
	}
	out.Inactive = p.Get("active").Text() == "false"
	out.Restricted = restricted(p)
	if gp := p.Get("generalPractitioner").Items(); len(gp) > 0 {
		out.PCP, out.PCPName = gp[0].Get("reference").Text(), gp[0].Get("display").Text()
	}
	return out
}

// SexLetter is the one-letter form used in lists: F, M, X (other), U (unknown or not recorded).
func SexLetter(gender string) string {
	switch gender {
	case "female":
		return "F"
	case "male":
		return "M"
	case "other":
		return "X"
	}
	return "U"
}

// mrn is the identifier typed MR (HL7 table 0203); without one, none is shown rather than a guess.
func mrn(p *fhirjson.Node) string {
	for _, id := range p.Get("identifier").Items() {
		if id.Get("use").Text() == "old" {
			continue
		}
		for _, c := range id.Get("type").Get("coding").Items() {
			if c.Get("code").Text() == "MR" {
				return id.Get("value").Text()
			}
		}
	}
	return ""
}

func languages(p *fhirjson.Node) []string {
	var out []string
	for _, c := range p.Get("communication").Items() {
		name := fhir.ConceptText(c.Get("language"))
		if name == "" {
			continue
		}
		if c.Get("preferred").Text() == "true" {
			out = append([]string{name}, out...)
		} else {
			out = append(out, name)
		}
	}
	return out
}

// pronouns reads the patient's pronouns extension (individual-pronouns of the R5 extensions pack).
func pronouns(p *fhirjson.Node) string {
	for _, e := range p.Get("extension").Items() {
		if strings.HasSuffix(e.Get("url").Text(), "individual-pronouns") {
			for _, in := range e.Get("extension").Items() {
				if in.Get("url").Text() == "value" {
					return fhir.ConceptText(in.Get("valueCodeableConcept"))
				}
			}
		}
	}
	return ""
}

func restricted(p *fhirjson.Node) bool {
	for _, s := range p.Get("meta").Get("security").Items() {
		if strings.HasSuffix(s.Get("system").Text(), "v3-Confidentiality") {
			if c := s.Get("code").Text(); c == "R" || c == "V" {
				return true
			}
		}
	}
	return false
}
