package simulate

import (
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const (
	practiceName = "Harbor Street Family Medicine"
)

// Person is someone who works in the practice.
type Person struct {
	ID         string // Practitioner id; every member of staff has one, for the record of who did what
	Login      string
	Given      string
	Family     string
	Credential string   // "MD"; "" for people without
	Title      string   // "Family physician"
	Roles      []string // names of auth roles: clinician, nurse, frontdesk, biller, administrator
	Password   string   // of the demo; marked as a demo's and refused by a production server
	TOTPSecret string   // base32, 20 bytes
	Bookable   bool     // sees patients by appointment
	site       int      // home site
	starts     int      // minute the day starts, where it differs from the site's
	specialty  string
	code       string // of the FHIR practitioner-role code system
}

// Display is how colleagues write the person: "Amara Osei, MD".
func (p Person) Display() string {
	n := p.Given + " " + p.Family
	if p.Credential != "" {
		n += ", " + p.Credential
	}
	return n
}

// Reference is "Practitioner/id".
func (p Person) Reference() string { return "Practitioner/" + p.ID }

// Places in Staff.
const (
	osei = iota
	whitfield
	natarajan
	lee
	alvarez
	moreau
	okoro
	lindgren
)

func (w *World) people() []Person {
	list := []Person{
		{Login: "aosei", Given: "Amara", Family: "Osei", Credential: "MD", Title: "Family physician", Roles: []string{"clinician"}, Bookable: true, specialty: "Family medicine", code: "doctor"},
		{Login: "dwhitfield", Given: "Daniel", Family: "Whitfield", Credential: "DO", Title: "Family physician", Roles: []string{"clinician"}, Bookable: true, site: 1, specialty: "Family medicine", code: "doctor"},
		{Login: "pnatarajan", Given: "Priya", Family: "Natarajan", Credential: "NP", Title: "Nurse practitioner", Roles: []string{"clinician"}, Bookable: true, specialty: "Women's health", starts: 30},
		{Login: "mlee", Given: "Marcus", Family: "Lee", Credential: "PA-C", Title: "Physician assistant", Roles: []string{"clinician"}, Bookable: true, specialty: "Same-day care"},
		{Login: "jalvarez", Given: "Joan", Family: "Alvarez", Credential: "RN", Title: "Nurse", Roles: []string{"nurse"}, Bookable: true, specialty: "Lab chair and injections", code: "nurse"},
		{Login: "tmoreau", Given: "Tess", Family: "Moreau", Title: "Front desk", Roles: []string{"frontdesk"}, code: "frontdesk"},
		{Login: "bokoro", Given: "Ben", Family: "Okoro", Title: "Biller", Roles: []string{"biller"}, code: "billing"},
		{Login: "rlindgren", Given: "Ruth", Family: "Lindgren", Title: "Practice administrator", Roles: []string{"administrator"}, code: "admin"},
	}
	for i := range list {
		p := &list[i]
		p.ID = w.id("staff", p.Login)
		p.TOTPSecret = w.secret(p.Login)
		d := w.dice("password "+p.Login, 0)
		p.Password = pick(d, passwordWords) + "-" + pick(d, passwordWords) + "-" + pick(d, passwordWords) + "-" + strconv.Itoa(d.whole(10, 99))
	}
	return list
}

// Published says whether a password is one that a demonstration of some seed shows: three of its words and a number.
func Published(password string) bool {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(password)), "-")
	if len(parts) != 4 {
		return false
	}
	for _, w := range parts[:3] {
		if !slices.Contains(passwordWords, w) {
			return false
		}
	}
	n, err := strconv.Atoi(parts[3])
	return err == nil && n >= 10 && n <= 99
}

var passwordWords = strings.Fields("amber anchor aspen barley basil birch bramble brook cedar clover copper coral cotton cricket dahlia ember fennel fern finch flint garnet ginger harbor hazel heron indigo iris ivory juniper kestrel lantern larch linen maple meadow mint moss nettle oak ochre olive otter pebble pepper pine plover poppy quartz quill raven reed river rowan saffron sage sorrel sparrow spruce thistle thyme tulip umber velvet violet walnut willow wren")

type site struct {
	name, line, city, state, postal, phone string
	rooms                                  int
}

var sites = []site{
	{"Harbor Street", "12 Harbor Street", "Alder Bay", "ME", "04999", "(207) 555-0110", 8},
	{"Mill Pond", "3 Mill Pond Road", "Wexley", "ME", "04998", "(207) 555-0120", 5},
}

func (w *World) siteID(i int) string { return w.id("site", i) }

func (w *World) siteRef(i int) fhirjson.Node {
	return fhir.RefTo("Location/"+w.siteID(i), sites[i].name)
}

func (w *World) organization() fhirjson.Node {
	return fhir.RefTo("Organization/"+w.id("practice"), practiceName)
}

func (w *World) zoneExtension() fhirjson.Node {
	return fhir.Array(fhir.Object("url", "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode", w.Zone.String()))
}

// payers are the plans patients have; the names are invented except for the public programs.
var payers = []struct{ key, name, plan, kind string }{
	{"ppo", "Blue Harbor Health", "Blue Harbor PPO", "PUBLICPOL"},
	{"hmo", "Lakeshore Mutual", "Lakeshore HMO Select", "EHCPOL"},
	{"hdhp", "Granite Peak Insurance", "Granite Peak HDHP 3000", "EHCPOL"},
	{"medicare", "Medicare", "Medicare Part B", "RETIRE"},
	{"medicaid", "State Medicaid", "Medicaid managed care", "SUBSIDIZ"},
}

const laboratory = "Tidewater Clinical Laboratory"

// furniture is the practice itself: organizations, sites, rooms, staff, their hours.
func (w *World) furniture() []fhirjson.Node {
	phone := func(n string) fhirjson.Node {
		return fhir.Array(fhir.Object("system", "phone", "value", n, "use", "work"))
	}
	kind := func(code, display string) fhirjson.Node {
		return fhir.Array(fhir.Concept("http://terminology.hl7.org/CodeSystem/organization-type", code, display, ""))
	}
	out := []fhirjson.Node{fhir.Object("resourceType", "Organization", "id", w.id("practice"), "extension", w.zoneExtension(), "active", true,
		"type", kind("prov", "Healthcare Provider"), "name", practiceName, "telecom", phone(sites[0].phone),
		"address", fhir.Array(address(sites[0].line, sites[0].city, sites[0].state, sites[0].postal)))}
	for _, p := range payers {
		out = append(out, fhir.Object("resourceType", "Organization", "id", w.id("payer", p.key), "active", true, "type", kind("pay", "Payer"), "name", p.name))
	}
	out = append(out, fhir.Object("resourceType", "Organization", "id", w.id("laboratory"), "active", true, "type", kind("other", "Other"), "name", laboratory))
	for i, s := range sites {
		out = append(out, fhir.Object("resourceType", "Location", "id", w.siteID(i), "extension", w.zoneExtension(), "status", "active", "name", s.name, "mode", "instance",
			"telecom", phone(s.phone), "address", address(s.line, s.city, s.state, s.postal), "managingOrganization", w.organization(),
			"hoursOfOperation", fhir.Array(fhir.Object("daysOfWeek", w.openDays(), "openingTime", "08:00:00", "closingTime", "17:00:00"))))
		for r := 1; r <= s.rooms; r++ {
			out = append(out, fhir.Object("resourceType", "Location", "id", w.id("room", i, r), "status", "active", "name", "Room "+strconv.Itoa(r), "mode", "instance",
				"managingOrganization", w.organization(), "partOf", w.siteRef(i)))
		}
	}
	for i := range w.Staff {
		out = append(out, w.member(i)...)
	}
	return out
}

func address(line, city, state, postal string) fhirjson.Node {
	return fhir.Object("use", "work", "line", fhir.Array(fhirjson.NewString(line)), "city", city, "state", state, "postalCode", postal, "country", "US")
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// openDays are Monday to Friday, and today: a demo started on a Sunday shows a working day.
func (w *World) openDays() fhirjson.Node {
	var out []fhirjson.Node
	for i, d := range weekdays {
		if i > 0 && i < 6 || i == int(w.Now.Weekday()) {
			out = append(out, fhirjson.NewString(d))
		}
	}
	return fhir.Array(out...)
}

// member is one person: Practitioner, PractitionerRole, and a Schedule for those who see patients.
func (w *World) member(i int) []fhirjson.Node {
	p := w.Staff[i]
	var suffix, npi, code fhirjson.Node
	if p.Credential != "" {
		suffix = fhir.Array(fhirjson.NewString(p.Credential))
	}
	if i <= alvarez {
		npi = fhir.Array(fhir.Object("system", "http://hl7.org/fhir/sid/us-npi", "value", npiOf(i)))
	}
	if p.code == "doctor" || p.code == "nurse" {
		code = fhir.Array(fhir.Concept("http://terminology.hl7.org/CodeSystem/practitioner-role", p.code, "", p.Title))
	} else {
		code = fhir.Array(fhir.Object("text", p.Title))
	}
	at := []fhirjson.Node{w.siteRef(p.site)}
	if i == natarajan || i >= moreau {
		at = append(at, w.siteRef(1-p.site))
	}
	starts := 8*60 + p.starts
	out := []fhirjson.Node{
		fhir.Object("resourceType", "Practitioner", "id", p.ID, "identifier", npi, "active", true,
			"name", fhir.Array(fhir.Object("use", "official", "family", p.Family, "given", fhir.Array(fhirjson.NewString(p.Given)), "suffix", suffix)),
			"telecom", fhir.Array(fhir.Object("system", "email", "value", p.Login+"@example.org", "use", "work"))),
		fhir.Object("resourceType", "PractitionerRole", "id", w.id("role", p.Login), "active", true,
			"practitioner", fhir.RefTo(p.Reference(), p.Display()), "organization", w.organization(), "code", code,
			"specialty", words(p.specialty), "location", at,
			"telecom", fhir.Array(fhir.Object("system", "phone", "value", sites[p.site].phone, "use", "work")),
			"availableTime", fhir.Array(fhir.Object("daysOfWeek", w.openDays(), "availableStartTime", clockText(starts), "availableEndTime", "17:00:00"))),
	}
	if p.Bookable {
		first, last := w.span()
		out = append(out, fhir.Object("resourceType", "Schedule", "id", w.id("schedule", p.Login), "active", true,
			"serviceType", words(p.specialty), "actor", fhir.Array(fhir.RefTo(p.Reference(), p.Display()), w.siteRef(p.site)),
			"planningHorizon", fhir.Object("start", stamp(first), "end", stamp(last))))
	}
	return out
}

func words(s string) fhirjson.Node {
	if s == "" {
		return fhirjson.NewNull()
	}
	return fhir.Array(fhir.Object("text", s))
}

func clockText(minutes int) string {
	return string([]byte{byte('0' + minutes/600), byte('0' + minutes/60%10), ':', byte('0' + minutes%60/10), byte('0' + minutes%10), ':', '0', '0'})
}

// npiOf is an invented National Provider Identifier with a right check digit (Luhn over 80840 and the number).
func npiOf(i int) string {
	head := "199999" + strconv.Itoa(900+i)
	return head + strconv.Itoa(fhir.CheckDigit("80840"+head))
}
