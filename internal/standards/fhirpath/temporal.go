package fhirpath

import (
	"fmt"
	"strings"
	"time"
)

// Precision of a temporal value, coarsest first. Seconds and fractions are one precision in FHIRPath.
const (
	pYear = iota + 1
	pMonth
	pDay
	pHour
	pMinute
	pSecond
)

// temporal is a Date, DateTime or Time known to some precision. Unknown parts hold their lowest value.
type temporal struct {
	kind   sysKind
	prec   int
	year   int
	month  int
	day    int
	hour   int
	minute int
	second int
	nano   int
	digits int  // digits of the fraction as written
	zoned  bool // an offset is known
	offset int  // minutes east of UTC
	zulu   bool // the offset was written Z
}

// parseTemporal reads the FHIR and FHIRPath forms without the leading @ or T. A DateTime may end in T
// after its date part. Impossible dates are refused.
func parseTemporal(s string, k sysKind) (*temporal, bool) {
	t := &temporal{kind: k, year: 1, month: 1, day: 1}
	rest := s
	if k != sysTime {
		var ok bool
		if rest, ok = t.date(s); !ok {
			return nil, false
		}
		if k == sysDate || rest == "" {
			return t, rest == ""
		}
		if rest[0] != 'T' {
			return nil, false
		}
		rest = rest[1:]
		if rest == "" {
			return t, true
		}
		if t.prec != pDay {
			return nil, false
		}
	}
	return t, t.clock(rest)
}

// two reads two digits no greater than max.
func two(s string, max int) (int, bool) {
	if len(s) < 2 || !isDigit(s[0]) || !isDigit(s[1]) {
		return 0, false
	}
	n := int(s[0]-'0')*10 + int(s[1]-'0')
	return n, n <= max
}

func (t *temporal) date(s string) (rest string, ok bool) {
	if len(s) < 4 {
		return s, false
	}
	hi, ok1 := two(s, 99)
	lo, ok2 := two(s[2:], 99)
	if !ok1 || !ok2 || hi+lo == 0 {
		return s, false
	}
	t.year, t.prec, s = hi*100+lo, pYear, s[4:]
	if len(s) == 0 || s[0] != '-' {
		return s, true
	}
	if t.month, ok = two(s[1:], 12); !ok || t.month == 0 {
		return s, false
	}
	t.prec, s = pMonth, s[3:]
	if len(s) == 0 || s[0] != '-' {
		return s, true
	}
	if t.day, ok = two(s[1:], 31); !ok || t.day == 0 || t.day > daysIn(t.year, t.month) {
		return s, false
	}
	t.prec = pDay
	return s[3:], true
}

func (t *temporal) clock(s string) bool {
	var ok bool
	if t.hour, ok = two(s, 23); !ok {
		return false
	}
	t.prec, s = pHour, s[2:]
	if len(s) > 0 && s[0] == ':' {
		if t.minute, ok = two(s[1:], 59); !ok {
			return false
		}
		t.prec, s = pMinute, s[3:]
		if len(s) > 0 && s[0] == ':' {
			if t.second, ok = two(s[1:], 60); !ok {
				return false
			}
			t.prec, s = pSecond, s[3:]
			if len(s) > 1 && s[0] == '.' {
				i := 1
				for i < len(s) && isDigit(s[i]) {
					if i <= 9 {
						t.nano = t.nano*10 + int(s[i]-'0')
					}
					i++
				}
				t.digits = i - 1
				if t.digits == 0 {
					return false
				}
				for n := t.digits; n < 9; n++ {
					t.nano *= 10
				}
				s = s[i:]
			}
		}
	}
	switch {
	case s == "":
		return true
	case s == "Z":
		t.zoned, t.zulu = true, true
		return true
	case len(s) == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':':
		h, ok1 := two(s[1:], 14)
		m, ok2 := two(s[4:], 59)
		if !ok1 || !ok2 {
			return false
		}
		t.zoned, t.offset = true, h*60+m
		if s[0] == '-' {
			t.offset = -t.offset
		}
		return true
	}
	return false
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// time returns the earliest instant meant, in the value's own offset (UTC when it has none).
func (t *temporal) time() time.Time {
	loc := time.UTC
	if t.offset != 0 {
		loc = time.FixedZone("", t.offset*60)
	}
	return time.Date(t.year, time.Month(t.month), t.day, t.hour, t.minute, t.second, t.nano, loc)
}

// set takes the fields of an instant expressed in the value's own offset.
func (t *temporal) set(x time.Time) {
	t.year, t.month, t.day = x.Year(), int(x.Month()), x.Day()
	t.hour, t.minute, t.second, t.nano = x.Hour(), x.Minute(), x.Second(), x.Nanosecond()
}

func (t *temporal) String() string {
	var b strings.Builder
	if t.kind != sysTime {
		fmt.Fprintf(&b, "%04d", t.year)
		if t.prec >= pMonth {
			fmt.Fprintf(&b, "-%02d", t.month)
		}
		if t.prec >= pDay {
			fmt.Fprintf(&b, "-%02d", t.day)
		}
		if t.kind == sysDate || t.prec < pHour {
			return b.String()
		}
		b.WriteByte('T')
	}
	fmt.Fprintf(&b, "%02d", t.hour)
	if t.prec >= pMinute {
		fmt.Fprintf(&b, ":%02d", t.minute)
	}
	if t.prec >= pSecond {
		fmt.Fprintf(&b, ":%02d", t.second)
		if t.digits > 0 {
			frac := fmt.Sprintf("%09d", t.nano)
			for len(frac) < t.digits && len(frac) < 28 {
				frac += "0"
			}
			b.WriteString("." + frac[:min(t.digits, len(frac))])
		}
	}
	switch {
	case t.zulu:
		b.WriteByte('Z')
	case t.zoned:
		sign, o := '+', t.offset
		if o < 0 {
			sign, o = '-', -o
		}
		fmt.Fprintf(&b, "%c%02d:%02d", sign, o/60, o%60)
	}
	return b.String()
}

// fields lists the parts that are known, in the order they compare.
func (t *temporal) fields() (f [6]int64, n int) {
	f = [6]int64{int64(t.year), int64(t.month), int64(t.day), int64(t.hour), int64(t.minute), int64(t.second)*1e9 + int64(t.nano)}
	return f, t.prec
}

// compareTemporal orders a and b; ok is false when their precisions leave it open. Times of day compare
// with times only. When just one side has an offset the answer is open unless they are more than a day
// apart, since the other side's offset may be anything.
func compareTemporal(a, b *temporal) (cmp int, ok bool) {
	if (a.kind == sysTime) != (b.kind == sysTime) {
		return 0, false
	}
	if a.kind != sysTime && a.zoned != b.zoned && a.prec >= pHour && b.prec >= pHour {
		if d := a.time().Sub(b.time()); d > 26*time.Hour || d < -26*time.Hour {
			return int(d / d.Abs()), true
		}
		return 0, false
	}
	x, y := *a, *b
	if a.zoned && b.zoned && a.offset != b.offset {
		x.set(a.time().UTC())
		y.set(b.time().UTC())
	}
	fx, nx := x.fields()
	fy, ny := y.fields()
	from := 0
	if a.kind == sysTime {
		from = pHour - 1
	}
	for i := from; i < min(nx, ny); i++ {
		if fx[i] != fy[i] {
			if fx[i] < fy[i] {
				return -1, true
			}
			return 1, true
		}
	}
	return 0, nx == ny
}

// add moves the value by n whole units, saturating day 31 → 30 and the like as the specification says.
// Units finer than the value's precision are rounded down to it. ok is false beyond the years 1 to 9999.
func (t *temporal) add(n int64, unit string) (*temporal, bool) {
	r := *t
	if n > 400_000_000_000_000 || n < -400_000_000_000_000 {
		return nil, false
	}
	months := func(m int64) bool {
		total := int64(r.year)*12 + int64(r.month-1) + m
		if total < 12 || total >= 10000*12 {
			return false
		}
		r.year, r.month = int(total/12), int(total%12)+1
		if r.prec >= pDay {
			r.day = min(r.day, daysIn(r.year, r.month))
		}
		return true
	}
	if t.kind == sysTime && (unit == "year" || unit == "month") {
		return nil, false
	}
	switch unit {
	case "year":
		if n > 10000 || n < -10000 {
			return nil, false
		}
		return &r, months(n * 12)
	case "month":
		if n > 120000 || n < -120000 {
			return nil, false
		}
		if r.prec < pMonth {
			return &r, months(n / 12 * 12)
		}
		return &r, months(n)
	}
	millis, known := map[string]int64{"week": 7 * 86400_000, "day": 86400_000, "hour": 3600_000, "minute": 60_000, "second": 1000, "millisecond": 1}[unit]
	if !known || n > 400_000_000_000_000/millis || n < -400_000_000_000_000/millis {
		return nil, false
	}
	total := n * millis
	if t.kind == sysTime {
		const day = 86400_000
		total %= day
		d := time.Date(1, 1, 2, r.hour, r.minute, r.second, r.nano, time.UTC).Add(time.Duration(total) * time.Millisecond)
		r.hour, r.minute, r.second, r.nano = d.Hour(), d.Minute(), d.Second(), d.Nanosecond()
		return &r, true
	}
	switch r.prec {
	case pYear:
		return &r, months(total / (365 * 86400_000) * 12)
	case pMonth:
		return &r, months(total / (30 * 86400_000))
	}
	if step := map[int]int64{pDay: 86400_000, pHour: 3600_000, pMinute: 60_000}[r.prec]; step > 0 {
		total = total / step * step
	}
	d := r.time().AddDate(0, 0, int(total/86400_000)).Add(time.Duration(total%86400_000) * time.Millisecond)
	if d.Year() < 1 || d.Year() > 9999 {
		return nil, false
	}
	r.set(d)
	if r.nano != 0 && r.digits < 3 {
		r.digits = 3
	}
	return &r, true
}

// now makes the values of now(), today() and timeOfDay().
func temporalOf(x time.Time, k sysKind) *temporal {
	t := &temporal{kind: k, prec: pSecond, digits: 3}
	t.set(x)
	t.nano = t.nano / 1e6 * 1e6
	switch k {
	case sysDate:
		return &temporal{kind: k, prec: pDay, year: t.year, month: t.month, day: t.day}
	case sysDateTime:
		_, secs := x.Zone()
		t.zoned, t.offset, t.zulu = true, secs/60, secs == 0
	case sysTime:
		t.year, t.month, t.day = 1, 1, 1
	}
	return t
}
