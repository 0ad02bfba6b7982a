package fhirsearch

import (
	"math"
	"time"
)

const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// The ends of an open Period.
const (
	always = math.MinInt64
	never  = math.MaxInt64
)

// moment reads a FHIR date, dateTime or instant of any precision, and the forms search allows beside
// them (2013-01-14T10:00, hours alone, no offset), as [low, high) in UTC microseconds. Without an offset
// the time is taken as UTC.
func moment(s string) (low, high int64, ok bool) {
	year, ok := digits(s, 0, 4)
	if !ok || year == 0 {
		return 0, 0, false
	}
	month, dayOf := 1, 1
	at := 4
	switch {
	case at == len(s):
		return midnight(year, 1, 1), midnight(year+1, 1, 1), true
	case s[at] != '-':
		return 0, 0, false
	}
	if month, ok = digits(s, 5, 2); !ok || month < 1 || month > 12 {
		return 0, 0, false
	}
	at = 7
	switch {
	case at == len(s):
		return midnight(year, month, 1), midnight(year, month+1, 1), true
	case s[at] != '-':
		return 0, 0, false
	}
	if dayOf, ok = digits(s, 8, 2); !ok || dayOf < 1 || dayOf > 31 {
		return 0, 0, false
	}
	low = midnight(year, month, dayOf)
	if dayOf > 28 && low >= midnight(year, month+1, 1) {
		return 0, 0, false
	}
	at = 10
	switch {
	case at == len(s):
		return low, low + day, true
	case s[at] != 'T':
		return 0, 0, false
	}
	return clock(s[11:], low)
}

// clock reads the time of day after T.
func clock(s string, low int64) (int64, int64, bool) {
	h, ok := digits(s, 0, 2)
	if !ok || h > 24 {
		return 0, 0, false
	}
	low += int64(h) * hour
	width := hour
	s = s[2:]
	if len(s) > 0 && s[0] == ':' {
		m, ok := digits(s, 1, 2)
		if !ok || m > 59 {
			return 0, 0, false
		}
		low += int64(m) * minute
		width, s = minute, s[3:]
		if len(s) > 0 && s[0] == ':' {
			sec, ok := digits(s, 1, 2)
			if !ok || sec > 60 {
				return 0, 0, false
			}
			low += int64(sec) * second
			width, s = second, s[3:]
			if len(s) > 1 && s[0] == '.' {
				i := 1
				for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
					if width > 1 {
						width /= 10
						low += int64(s[i]-'0') * width
					}
				}
				if i == 1 {
					return 0, 0, false
				}
				s = s[i:]
			}
		}
	}
	switch {
	case s == "" || s == "Z":
		return low, low + width, true
	case len(s) == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':':
		oh, ok1 := digits(s, 1, 2)
		om, ok2 := digits(s, 4, 2)
		if !ok1 || !ok2 || oh > 14 || om > 59 {
			return 0, 0, false
		}
		offset := int64(oh)*hour + int64(om)*minute
		if s[0] == '+' {
			offset = -offset
		}
		return low + offset, low + offset + width, true
	}
	return 0, 0, false
}

func digits(s string, at, n int) (int, bool) {
	if len(s) < at+n {
		return 0, false
	}
	v := 0
	for i := at; i < at+n; i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = v*10 + int(s[i]-'0')
	}
	return v, true
}

func midnight(year, month, dayOf int) int64 {
	return time.Date(year, time.Month(month), dayOf, 0, 0, 0, 0, time.UTC).Unix() * second
}
