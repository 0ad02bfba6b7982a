package fhir

import (
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

// ConceptText is what to show for a CodeableConcept: its text, else the first display,
// else the first code, else "". A nil node gives "".
func ConceptText(c *fhirjson.Node) string {
	if t := c.Get("text").Text(); t != "" {
		return t
	}
	for _, name := range [2]string{"display", "code"} {
		for _, k := range c.Get("coding").Items() {
			if d := k.Get(name).Text(); d != "" {
				return d
			}
		}
	}
	return ""
}

// ConceptCode returns the coding of a CodeableConcept in the first of the systems that
// it has; without systems named, or none of them present, its first coding.
func ConceptCode(c *fhirjson.Node, systems ...string) (system, code string) {
	codings := c.Get("coding").Items()
	for _, s := range systems {
		for i := range codings {
			if codings[i].Get("system").Text() == s {
				return s, codings[i].Get("code").Text()
			}
		}
	}
	if len(codings) == 0 {
		return "", ""
	}
	return codings[0].Get("system").Text(), codings[0].Get("code").Text()
}

// Moment reads a FHIR date, dateTime or instant (R4 datatypes, 2.24.0.1). Dates and
// times without an offset are taken on the clock of zone. precise is false when s has
// no time of day; the moment is then the first of the day, month or year.
func Moment(s string, zone *time.Location) (t time.Time, precise, ok bool) {
	if zone == nil {
		zone = time.UTC
	}
	if len(s) > 10 {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t, true, true
		}
		for _, layout := range [2]string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
			if t, err := time.ParseInLocation(layout, s, zone); err == nil {
				return t, true, true
			}
		}
		return time.Time{}, false, false
	}
	for _, layout := range [3]string{"2006-01-02", "2006-01", "2006"} {
		if len(layout) == len(s) {
			t, err := time.ParseInLocation(layout, s, zone)
			return t, false, err == nil
		}
	}
	return time.Time{}, false, false
}

// AddressLine writes an Address on one line: street, city, state and postal code, what there is of them.
func AddressLine(a *fhirjson.Node) string {
	var parts []string
	for _, l := range a.Get("line").Items() {
		parts = append(parts, l.Text())
	}
	parts = append(parts, a.Get("city").Text(), strings.TrimSpace(a.Get("state").Text()+" "+a.Get("postalCode").Text()))
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
