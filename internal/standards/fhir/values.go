package fhir

import (
	"strings"
	"time"
)

// Decimal is a number with the text it was written with: "1.50" is not "1.5".
// The empty Decimal is absent. It must follow the JSON grammar for numbers.
type Decimal string

// Date is a day, month or year: 2024-05-31, 2024-05 or 2024. Empty is absent.
type Date string

// DateTime is a Date or a date with time to the second and time zone. Empty is
// absent.
type DateTime string

// Instant is a moment, to the second at least, with time zone. Empty is absent.
type Instant string

// Time is a time of day, hh:mm:ss, without time zone. Empty is absent.
type Time string

// Raw is a resource inside another (contained, Bundle.entry.resource) as JSON.
// Decode it into the struct of its type.
type Raw []byte

// Resource is implemented by the generated struct of every resource type.
type Resource interface {
	ResourceType() string
}

// InstantOf writes a moment in UTC with milliseconds.
func InstantOf(t time.Time) Instant { return Instant(t.UTC().Format("2006-01-02T15:04:05.000Z")) }

// DateTimeOf writes a moment to the second with its own time zone.
func DateTimeOf(t time.Time) DateTime { return DateTime(t.Format(time.RFC3339)) }

// DateOf writes the day of t in its own time zone.
func DateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }

// Period returns the half-open interval [low, high) that the text covers: a
// whole year for "2024", one second for a time without fraction. Where the
// text has no time zone, zone applies. ok is false if the text is not valid.
func (d DateTime) Period(zone *time.Location) (low, high time.Time, ok bool) {
	s := string(d)
	if !validDateTime(s) {
		return low, high, false
	}
	year, _ := number(s, 0, 4)
	month, day := 1, 1
	if len(s) >= 7 {
		month, _ = number(s, 5, 2)
	}
	if len(s) >= 10 {
		day, _ = number(s, 8, 2)
	}
	low = time.Date(year, time.Month(month), day, 0, 0, 0, 0, zone)
	switch len(s) {
	case 4:
		return low, low.AddDate(1, 0, 0), true
	case 7:
		return low, low.AddDate(0, 1, 0), true
	case 10:
		return low, low.AddDate(0, 0, 1), true
	}
	return clockPeriod(s, year, month, day)
}

// clockPeriod reads a checked dateTime with a time.
func clockPeriod(s string, year, month, day int) (low, high time.Time, ok bool) {
	hour, _ := number(s, 11, 2)
	minute, _ := number(s, 14, 2)
	second, _ := number(s, 17, 2)
	rest := s[19:]
	nanos, width := 0, time.Second
	if rest[0] == '.' {
		rest = rest[1:]
		for rest[0] >= '0' && rest[0] <= '9' {
			if width > 1 {
				width /= 10
				nanos += int(rest[0]-'0') * int(width)
			}
			rest = rest[1:]
		}
	}
	zone := time.UTC
	if rest != "Z" {
		h, _ := number(rest, 1, 2)
		m, _ := number(rest, 4, 2)
		offset := h*3600 + m*60
		if rest[0] == '-' {
			offset = -offset
		}
		zone = time.FixedZone("", offset)
	}
	low = time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone)
	return low, low.Add(width), true
}

// Period is DateTime.Period of the date.
func (d Date) Period(zone *time.Location) (low, high time.Time, ok bool) {
	return DateTime(d).Period(zone)
}

// Time returns the moment, or false if the text is not a valid instant.
func (i Instant) Time() (time.Time, bool) {
	if !primInstant.valid(string(i)) {
		return time.Time{}, false
	}
	low, _, ok := DateTime(i).Period(time.UTC)
	return low, ok
}

// LocalID returns the id a reference names if it is to a resource of this type
// on this server ("Patient/123"), otherwise "".
func (r *Reference) LocalID(typ string) string {
	if r == nil || strings.Contains(r.Reference, "://") {
		return ""
	}
	t, id, ok := ParseReference(r.Reference)
	if !ok || t != typ {
		return ""
	}
	return id
}
