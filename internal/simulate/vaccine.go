package simulate

import (
	"fmt"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

// dose is one vaccination of the usual schedule: CVX code and the age it is given at.
type dose struct {
	cvx    string
	months float64
	site   string
}

// childhood is a plain form of the CDC schedule for children.
var childhood = []dose{
	{"08", 0, "Right thigh"},
	{"110", 2, "Left thigh"}, {"49", 2, "Right thigh"}, {"133", 2, "Right thigh"}, {"119", 2, "Oral"},
	{"110", 4, "Left thigh"}, {"49", 4, "Right thigh"}, {"133", 4, "Right thigh"}, {"119", 4, "Oral"},
	{"110", 6, "Left thigh"}, {"133", 6, "Right thigh"},
	{"03", 12, "Left thigh"}, {"21", 12, "Right thigh"}, {"83", 12, "Left thigh"}, {"133", 12, "Right thigh"},
	{"20", 15, "Left thigh"}, {"49", 15, "Right thigh"},
	{"83", 18, "Left thigh"},
	{"130", 48, "Left deltoid"}, {"94", 48, "Right deltoid"},
	{"115", 132, "Left deltoid"}, {"165", 132, "Right deltoid"}, {"203", 132, "Left deltoid"},
	{"165", 138, "Right deltoid"},
	{"203", 192, "Left deltoid"},
}

// vaccines gives everything due up to a day: childhood doses for those still young, the
// adult ones for others, and the season's influenza vaccine in most years.
func (p *patient) vaccines(d dice, until time.Time) []dosing {
	var out []dosing
	give := func(cvx string, t time.Time, site string) {
		if t = workday(t); !t.Before(p.born) && t.Before(until) {
			out = append(out, dosing{cvx, t, site})
		}
	}
	if p.age(until) < 19 {
		for _, v := range childhood {
			if v.cvx == "133" && p.born.AddDate(0, int(v.months), 0).Year() >= 2024 {
				v.cvx = "216" // the 20-valent vaccine took the place of the 13-valent
			}
			give(v.cvx, p.born.AddDate(0, int(v.months), d.whole(0, 9)), v.site)
		}
	} else {
		give("115", until.AddDate(-d.whole(1, 8), -d.whole(0, 11), 0), "Left deltoid")
		birthday := func(n int) time.Time { return p.born.AddDate(n, d.whole(1, 9), d.whole(0, 20)) }
		if p.age(until) > 51 && d.chance(0.65) {
			t := birthday(50)
			if floor := time.Date(2018, 3, 1, 0, 0, 0, 0, p.w.Zone); t.Before(floor) {
				t = floor.AddDate(0, d.whole(0, 60), d.whole(0, 27))
			}
			give("187", t, "Left deltoid")
			give("187", t.AddDate(0, 3, 0), "Left deltoid")
		}
		if p.age(until) > 65.9 && d.chance(0.8) {
			t := birthday(65)
			if floor := time.Date(2022, 2, 1, 0, 0, 0, 0, p.w.Zone); t.Before(floor) {
				t = floor.AddDate(0, d.whole(0, 30), d.whole(0, 27))
			}
			give("216", t, "Right deltoid")
		}
		if p.age(until) > 75 && d.chance(0.5) {
			give("305", time.Date(2023, 9, 1, 0, 0, 0, 0, p.w.Zone).AddDate(0, d.whole(0, 20), d.whole(0, 20)), "Left deltoid")
		}
	}
	for back := 3; back >= 0; back-- {
		y := until.Year() - back
		if d.chance(0.6) && p.age(time.Date(y, 10, 1, 0, 0, 0, 0, p.w.Zone)) > 0.6 {
			cvx := "150"
			if y >= 2024 {
				cvx = "140"
			}
			site := "Left deltoid"
			if p.age(until) < 4 {
				site = "Left thigh"
			}
			give(cvx, time.Date(y, 9, 20+d.IntN(40), 0, 0, 0, 0, p.w.Zone), site)
		}
	}
	return out
}

type dosing struct {
	cvx  string
	on   time.Time
	site string
}

// immunize gives the vaccines of the usual schedule: at a visit near the day, at one of
// their own, or as a record from before.
func (c *chart) immunize() {
	p, w := c.p, c.w
	for _, x := range p.vaccines(c.d, p.end().AddDate(0, 0, -20)) {
		var at *visit
		for _, v := range c.visits {
			if gap := v.start.Sub(x.on).Hours() / 24; v.done && v.who != alvarez && gap > -6 && gap < 26 && (at == nil || v.start.Before(at.start)) {
				at = v
			}
		}
		name, ok := terminology.Lookup(terminology.CVX, x.cvx)
		if !ok {
			panic("simulate: no vaccine " + x.cvx)
		}
		when, primary := fhirjson.NewString(dated(x.on)), true
		var during, given, lot, site, route fhirjson.Node
		switch {
		case at != nil:
			during, when = at.ref(), fhirjson.NewString(stamp(at.start.Add(18*time.Minute)))
		case x.on.Before(p.since) || len(c.visits) == 0 || p.age(x.on) < 0.02:
			primary = false
		default:
			made := visit{minutes: 10, who: alvarez, kind: "Nurse visit", reason: "Vaccine"}
			made.start, made.site = c.clockOf(x.on), p.home()
			c.begin(&made)
			c.end(&made)
			during, when = made.ref(), fhirjson.NewString(stamp(made.start.Add(5*time.Minute)))
		}
		if primary {
			given = fhir.Array(fhir.Object("function", fhir.Concept("http://terminology.hl7.org/CodeSystem/v2-0443", "AP", "Administering Provider", ""), "actor", c.staff(alvarez)))
			lot = fhirjson.NewString(fmt.Sprintf("%c%c%04d", 'A'+rune(c.d.IntN(26)), 'A'+rune(c.d.IntN(26)), c.d.IntN(10000)))
			site = fhir.Object("text", x.site)
			if x.site == "Oral" {
				site, route = fhirjson.NewNull(), fhir.Object("text", "By mouth")
			} else {
				route = fhir.Object("text", "Intramuscular")
			}
		}
		c.put(fhir.Object("resourceType", "Immunization", "id", c.id("immunization"), "status", "completed", "vaccineCode", fhir.Concept(terminology.CVX, x.cvx, name.Display, name.Display),
			"patient", p.self(), "encounter", during, "occurrenceDateTime", when, "primarySource", primary, "location", locationWhen(primary, w.siteRef(p.home())),
			"lotNumber", lot, "site", site, "route", route, "performer", given))
	}
}

func locationWhen(ok bool, n fhirjson.Node) fhirjson.Node {
	if ok {
		return n
	}
	return fhirjson.NewNull()
}
