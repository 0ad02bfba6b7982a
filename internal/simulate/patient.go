package simulate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// patient is a person with what decides the course of their chart. The chart itself is
// made when asked for, from the patient's own dice.
type patient struct {
	w      *World
	n      int
	id     string
	given  string
	middle string
	family string
	nick   string
	sex    string // female, male
	born   time.Time
	died   time.Time // zero while alive
	race   int       // into races
	hisp   bool
	tongue string // BCP 47 language
	second bool   // speaks English too
	interp bool   // needs an interpreter
	sealed bool   // restricted chart
	mrn    string
	phone  string
	street string
	town   [2]string
	payer  int
	pcp    int
	tall   float64 // height, standard deviations from the median
	heavy  float64 // weight likewise
	smoke  string  // never, former, current; "" for children
	since  time.Time
	flags  string // of the persona: words that steer the course
	ill    []string
	unasked,
	noneKnown bool
	allergies []reaction

	recent *slot // visit within the past two weeks
	today  *slot
	coming []*slot
}

type reaction struct {
	substance string // Display in the allergen list
	what      string
	severity  string
	high      bool
}

func (p *patient) number() string { return strconv.Itoa(p.n) }
func (p *patient) short() string  { return p.family + ", " + p.given }
func (p *patient) has(word string) bool {
	return strings.Contains(" "+p.flags+" ", " "+word+" ")
}
func (p *patient) suffers(key string) bool {
	for _, k := range p.ill {
		if k == key {
			return true
		}
	}
	return false
}
func (p *patient) age(t time.Time) float64 { return years(p.born, t) }
func (p *patient) self() fhirjson.Node {
	return fhir.RefTo("Patient/"+p.id, p.short())
}

// persona fixes what matters of one patient; what it leaves open is drawn.
type persona struct {
	given, middle, family, nick, sex string
	years, days                      int // age today
	ill                              string
	flags                            string
	tongue                           string
	race                             int
	pcp                              int
}

// featured are patients every practice of ours has, so that each feature has someone to
// show it. Flags: crit-k, crit-inr critical results of the last lab visit; unasked
// allergies not asked about; new a first visit today; see course.go for the others.
var featured = []persona{
	{given: "Maria", middle: "E", family: "Okafor-Reyes", nick: "Mari", sex: "female", years: 58, days: 253, ill: "dmckd ckd htn mixed depr oa osa", flags: "crit-k today tall-story penicillin sulfa", race: 1, pcp: osei},
	{given: "Maeve", family: "Donnelly", sex: "female", years: 81, days: 40, ill: "chf htn hld ckd osteoporosis", flags: "today chf-up", pcp: osei},
	{given: "José", middle: "L", family: "Peralta", sex: "male", years: 70, days: 122, ill: "afibw htn hld bph", flags: "crit-inr today interpreter", tongue: "es", race: 4, pcp: osei},
	{given: "Rowan", family: "Whitaker", sex: "male", years: 0, days: 9, flags: "today newborn unasked", pcp: natarajan},
	{given: "Anna", middle: "M", family: "Kowalczyk", sex: "female", years: 44, days: 201, ill: "hypothyroid migraine", flags: "today", pcp: whitfield},
	{given: "Ana", family: "Kowalczyk", sex: "female", years: 44, days: 192, ill: "asthma", flags: "today", pcp: whitfield},
	{given: "Zoe", family: "Webb", sex: "female", years: 16, days: 88, ill: "deprteen acne", flags: "today teen", pcp: lee},
	{given: "Noemi", family: "Alvarado", sex: "female", years: 29, days: 310, ill: "", flags: "today pregnant none", tongue: "es", race: 4, pcp: natarajan},
	{given: "Walter", middle: "J", family: "Blackwood", sex: "male", years: 84, days: 15, ill: "chf copd htn hld afib", flags: "dead", pcp: osei},
	{given: "Noah", family: "Fitzgerald", sex: "male", years: 62, days: 5, flags: "today new unasked", pcp: osei},
	{given: "Ines", family: "Cardoso", sex: "female", years: 1, days: 12, flags: "today none", tongue: "pt", race: 4, pcp: natarajan},
	{given: "Oliver", family: "Grady", sex: "male", years: 9, days: 140, ill: "asthmachild eczema", flags: "today peanut", pcp: lee},
	{given: "Harold", family: "Crane", sex: "male", years: 67, days: 77, ill: "copd htn hld tobacco", flags: "today", pcp: whitfield},
	{given: "James", middle: "R", family: "Foster", sex: "male", years: 52, days: 60, ill: "htn t2dm hld", flags: "today", race: 1, pcp: whitfield},
	{given: "James", middle: "T", family: "Foster", sex: "male", years: 47, days: 300, ill: "anx gerd", race: 1, pcp: osei},
	{given: "Wei", family: "Zhang", sex: "male", years: 60, days: 18, ill: "htn gout prediab", flags: "today interpreter", tongue: "zh", race: 2, pcp: whitfield},
	{given: "Joanna", family: "Reed", sex: "female", years: 36, days: 222, ill: "anx depr insomnia", flags: "today sealed", pcp: osei},
	{given: "Ruth", family: "Kaplan", sex: "female", years: 74, days: 9, ill: "htn hld osteoporosis oa gerd", flags: "awv today", pcp: osei},
	{given: "Divya", family: "Nair", sex: "female", years: 31, days: 100, ill: "ida contraception", flags: "today", race: 2, pcp: natarajan},
	{given: "Theo", family: "Nguyen", sex: "male", years: 6, days: 3, flags: "today none", tongue: "vi", race: 2, pcp: osei},
	{given: "Celia", family: "Rossi", sex: "female", years: 66, days: 180, ill: "hypothyroid hld vitd", flags: "", pcp: osei},
	{given: "Samuel", family: "Oduya", sex: "male", years: 68, days: 44, ill: "t2dm htn hld cad", flags: "statin-ache", race: 1, pcp: whitfield},
	{given: "Lena", family: "Ekström", sex: "female", years: 33, days: 12, ill: "migraine ar", flags: "none", pcp: natarajan},
	{given: "Desta", family: "Abara", sex: "female", years: 39, days: 71, ill: "obesity prediab", flags: "interpreter", tongue: "ase", race: 1, pcp: whitfield},
}

// cast makes the patients.
func (w *World) cast(n int) []*patient {
	var out []*patient
	taken := map[string]bool{}
	for i := range n {
		d := w.dice("person", i)
		p := &patient{w: w, n: i, id: w.id("patient", i), race: -1}
		if i < len(featured) {
			f := featured[i]
			p.given, p.middle, p.family, p.nick, p.sex, p.flags, p.tongue, p.race, p.pcp = f.given, f.middle, f.family, f.nick, f.sex, f.flags, f.tongue, f.race, f.pcp
			p.ill = strings.Fields(f.ill)
			p.born = at(w.Now, 0).AddDate(-f.years, 0, -f.days)
		} else {
			p.invent(d, taken)
		}
		taken[p.given+p.family] = true
		p.settle(d)
		out = append(out, p)
	}
	return out
}

// bands are the ages of a family practice: weight in percent, youngest and oldest in years.
var bands = [][3]float64{{5, 0.2, 2.9}, {12, 3, 11.9}, {8, 12, 17.9}, {26, 18, 39.9}, {29, 40, 64.9}, {20, 65, 93}}

func (p *patient) invent(d dice, taken map[string]bool) {
	p.sex = "female"
	if d.chance(0.46) {
		p.sex = "male"
	}
	for try := 0; ; try++ {
		p.given = pick(d, femaleNames)
		if p.sex == "male" {
			p.given = pick(d, maleNames)
		}
		p.family = pick(d, familyNames)
		if !taken[p.given+p.family] || try > 50 {
			break
		}
	}
	if d.chance(0.35) {
		p.middle = string(rune('A' + d.IntN(23)))
	}
	r := d.between(0, 100)
	for _, b := range bands {
		if r -= b[0]; r <= 0 {
			p.born = at(p.w.Now, 0).AddDate(0, 0, -int(d.between(b[1], b[2])*365.25))
			break
		}
	}
	if p.born.IsZero() {
		p.born = at(p.w.Now, 0).AddDate(-70, 0, -3)
	}
	p.pcp = pick(d, []int{osei, osei, osei, whitfield, whitfield, natarajan, lee})
	p.ill = p.sicken(d)
	switch {
	case d.chance(0.02) && p.age(p.w.Now) > 72:
		p.flags = "dead"
	case d.chance(0.08):
		p.flags = "unasked"
	}
	if d.chance(0.07) {
		p.tongue = pick(d, []string{"es", "es", "fr", "ar", "vi", "pt"})
		if d.chance(0.4) {
			p.flags += " interpreter"
		}
	}
}

// settle draws everything a persona leaves open.
func (p *patient) settle(d dice) {
	w := p.w
	head := strconv.Itoa(1_000_000 + int((uint64(p.n)*7_368_787+w.Seed%1_000_003*13)%8_999_993))
	p.mrn = head + strconv.Itoa(fhir.CheckDigit(head))
	p.phone = fmt.Sprintf("(%s) 555-01%02d", pick(d, areaCodes), d.IntN(100))
	p.street = strconv.Itoa(d.whole(2, 240)) + " " + pick(d, streets) + " " + pick(d, streetKinds)
	p.town = pick(d, towns)
	if p.race < 0 {
		p.race = pick(d, []int{0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 5})
	}
	p.hisp = p.race == 4 || p.race == 0 && d.chance(0.08)
	if p.race == 4 {
		p.race = 5
	}
	p.second = !p.has("interpreter")
	p.interp = p.has("interpreter")
	p.sealed = p.has("sealed")
	p.tall, p.heavy = d.around(0, 0.85), d.around(0.3, 0.9)
	age := p.age(w.Now)
	if p.suffers("obesity") || p.suffers("t2dm") || p.suffers("dmckd") || p.suffers("osa") {
		p.heavy = d.between(1.2, 2.2)
	}
	switch {
	case age >= 66:
		p.payer = 3
	case age < 19 && d.chance(0.45), d.chance(0.14):
		p.payer = 4
	default:
		p.payer = d.whole(0, 2)
	}
	if age >= 13 {
		p.smoke = "never"
		switch {
		case p.suffers("tobacco"):
			p.smoke = "current"
		case p.suffers("copd"), age > 35 && d.chance(0.25):
			p.smoke = "former"
		}
	}
	p.since = at(w.Now, 0).AddDate(0, 0, -int(d.between(600, 1700)))
	if p.since.Before(p.born) {
		p.since = p.born.AddDate(0, 0, 3)
	}
	if p.has("new") {
		p.since = at(w.Now, 0)
	}
	if p.has("dead") {
		p.died = at(w.Now, 0).AddDate(0, 0, -d.whole(90, 300))
	}
	p.allergic(d)
}

func (p *patient) allergic(d dice) {
	if p.unasked = p.has("unasked"); p.unasked {
		return
	}
	add := func(s, what, severity string, high bool) {
		p.allergies = append(p.allergies, reaction{s, what, severity, high})
	}
	if p.has("penicillin") {
		add("Penicillins", "Anaphylaxis", "severe", true)
	}
	if p.has("sulfa") {
		add("Sulfonamide antibiotics", "Hives", "moderate", false)
		add("Lisinopril", "Cough", "mild", false)
	}
	if p.has("peanut") {
		add("Peanut", "Anaphylaxis", "severe", true)
		add("Cat dander", "Sneezing, Itching eyes", "mild", false)
	}
	if p.has("statin-ache") {
		add("Simvastatin", "Muscle pain", "moderate", false)
	}
	if len(p.allergies) == 0 && !p.has("none") {
		adult := p.age(p.w.Now) > 14
		switch {
		case adult && d.chance(0.12):
			add("Penicillins", pick(d, []string{"Rash", "Hives"}), "moderate", false)
		case adult && d.chance(0.08):
			add("Sulfonamide antibiotics", "Rash", "moderate", false)
		case adult && d.chance(0.05):
			add("Codeine", "Nausea, Vomiting", "mild", false)
		case !adult && d.chance(0.06):
			add("Amoxicillin", "Rash", "mild", false)
		}
		switch {
		case d.chance(0.06):
			add("Shellfish", "Hives, Swelling of lips or face", "moderate", false)
		case d.chance(0.05):
			add("Latex", "Rash", "mild", false)
		case d.chance(0.05):
			add("Bee and wasp venom", "Swelling", "moderate", false)
		}
	}
	p.noneKnown = len(p.allergies) == 0
}

// avoids reports whether the patient is allergic to any of these substances of the allergen list.
func (p *patient) avoids(substances ...string) bool {
	for _, a := range p.allergies {
		for _, s := range substances {
			if a.substance == s {
				return true
			}
		}
	}
	return false
}

var races = [][2]string{{"2106-3", "White"}, {"2054-5", "Black or African American"}, {"2028-9", "Asian"}, {"1002-5", "American Indian or Alaska Native"}, {"ASKU", "Asked but no answer"}, {"UNK", "Other race"}}

const nullFlavor = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"

var tongues = map[string]string{"en": "English", "es": "Spanish", "zh": "Chinese", "vi": "Vietnamese", "ar": "Arabic", "fr": "French", "pt": "Portuguese", "ase": "American Sign Language"}

// demographics are the Patient, in US Core's shape, and the Coverage.
func (p *patient) demographics() []fhirjson.Node {
	w := p.w
	names := []fhirjson.Node{fhir.Object("use", "official", "family", p.family, "given", texts(p.given, p.middle))}
	if p.nick != "" {
		names = append(names, fhir.Object("use", "nickname", "given", texts(p.nick)))
	}
	mail := strings.ToLower(ascii(p.given)) + "." + strings.ToLower(ascii(p.family)) + strconv.Itoa(p.n) + "@example.org"
	telecom := []fhirjson.Node{fhir.Object("system", "phone", "value", p.phone, "use", "mobile")}
	if p.age(w.Now) >= 14 {
		telecom = append(telecom, fhir.Object("system", "email", "value", mail))
	}
	omb := func(url, code, name string) fhirjson.Node {
		system, display := "urn:oid:2.16.840.1.113883.6.238", name
		switch code { // the categories know no other race; what stands for an answer is a null flavor then
		case "ASKU":
			system, display = nullFlavor, "asked but unknown"
		case "UNK":
			system, display = nullFlavor, "unknown"
		}
		return fhir.Object("extension", fhir.Array(
			fhir.Object("url", "ombCategory", "valueCoding", fhir.Object("system", system, "code", code, "display", display)),
			fhir.Object("url", "text", "valueString", name)), "url", url)
	}
	race := omb("http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", races[p.race][0], races[p.race][1])
	eth := omb("http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity", "2186-5", "Not Hispanic or Latino")
	if p.hisp {
		eth = omb("http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity", "2135-2", "Hispanic or Latino")
	}
	born := "F"
	if p.sex == "male" {
		born = "M"
	}
	ext := []fhirjson.Node{race, eth, fhir.Object("url", "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode", born)}
	if p.interp {
		ext = append(ext, fhir.Object("url", "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired", "valueBoolean", true))
	}
	var talk []fhirjson.Node
	if p.tongue != "" {
		talk = append(talk, speaks(p.tongue, true))
	}
	if p.tongue == "" || p.second {
		talk = append(talk, speaks("en", p.tongue == ""))
	}
	var meta, died fhirjson.Node
	if p.sealed {
		meta = fhir.Object("security", fhir.Array(fhir.Object("system", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code", "R", "display", "restricted")))
	}
	if !p.died.IsZero() {
		died = fhirjson.NewString(dated(p.died))
	}
	doctor := w.Staff[p.pcp]
	n := fhir.Object("resourceType", "Patient", "id", p.id, "meta", meta, "extension", ext,
		"identifier", fhir.Array(fhir.Object("use", "usual", "type", fhir.Concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number", ""),
			"system", "https://yarrow.health/fhir/NamingSystem/mrn", "value", p.mrn)),
		"active", true, "name", names, "telecom", telecom, "gender", p.sex, "birthDate", dated(p.born), "deceasedDateTime", died,
		"address", fhir.Array(fhir.Object("use", "home", "line", texts(p.street), "city", p.town[0], "state", "ME", "postalCode", p.town[1], "country", "US")),
		"communication", talk, "generalPractitioner", fhir.Array(fhir.RefTo(doctor.Reference(), doctor.Display())), "managingOrganization", w.organization())
	return []fhirjson.Node{n, p.coverage()}
}

func (p *patient) coverage() fhirjson.Node {
	w, plan := p.w, payers[p.payer]
	relation, name := "self", "Self"
	var holder fhirjson.Node
	if p.age(w.Now) < 19 && p.payer != 4 {
		relation, name = "child", "Child"
	} else {
		holder = fhir.RefTo("Patient/"+p.id, "")
	}
	start := p.since
	if y := at(w.Now, 0).AddDate(-1, 0, 0); start.Before(y) {
		start = time.Date(y.Year(), 1, 1, 0, 0, 0, 0, w.Zone)
	}
	if start.Before(p.born) {
		start = p.born
	}
	var ended fhirjson.Node
	status := "active"
	if !p.died.IsZero() {
		status, ended = "cancelled", fhirjson.NewString(dated(p.died))
		if start.After(p.died) {
			start = p.died.AddDate(-1, 0, 0)
		}
	}
	number := strings.ToUpper(plan.key[:2]) + p.mrn[:7]
	return fhir.Object("resourceType", "Coverage", "id", w.id("coverage", p.n), "status", status,
		"type", fhir.Concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", plan.kind, "", plan.plan),
		"subscriber", holder, "subscriberId", number, "beneficiary", fhir.RefTo("Patient/"+p.id, p.short()),
		"relationship", fhir.Concept("http://terminology.hl7.org/CodeSystem/subscriber-relationship", relation, name, ""),
		"period", fhir.Object("start", dated(start), "end", ended),
		"payor", fhir.Array(fhir.RefTo("Organization/"+w.id("payer", plan.key), plan.name)),
		"class", fhir.Array(fhir.Object("type", fhir.Concept("http://terminology.hl7.org/CodeSystem/coverage-class", "plan", "Plan", ""), "value", plan.key, "name", plan.plan)))
}

func speaks(code string, preferred bool) fhirjson.Node {
	return fhir.Object("language", fhir.Object("coding", fhir.Array(fhir.Object("system", "urn:ietf:bcp:47", "code", code)), "text", tongues[code]), "preferred", preferred)
}

func texts(list ...string) fhirjson.Node {
	var out []fhirjson.Node
	for _, s := range list {
		if s != "" {
			out = append(out, fhirjson.NewString(s))
		}
	}
	return fhir.Array(out...)
}

func ascii(s string) string {
	return strings.NewReplacer("é", "e", "ö", "o", "-", "", " ", "", "'", "").Replace(s)
}
