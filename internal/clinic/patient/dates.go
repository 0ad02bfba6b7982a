package patient

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseBirthDate reads a date of birth as people type it: 1968-03-14, 3/14/68,
// 03/14/1968, 3-14-1968, 14 Mar 1968, Mar 14 1968, 03141968. A two-digit year is the
// latest one that is not after today. ok is false when s is not a whole, real, past date.
func ParseBirthDate(s string, today time.Time) (date string, ok bool) {
	s = strings.TrimSpace(strings.ToLower(s))
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '-' || r == '.' || r == ' ' || r == ',' })
	if len(parts) == 1 && len(s) == 8 && digits(s) {
		if s[:2] == "19" || s[:2] == "20" {
			if d, ok := civil(atoi(s[:4]), atoi(s[4:6]), atoi(s[6:]), today); ok {
				return d, true
			}
		}
		parts = []string{s[:2], s[2:4], s[4:]}
	}
	if len(parts) != 3 {
		return "", false
	}
	if m := month(parts[0]); m > 0 && digits(parts[1]) && digits(parts[2]) {
		return civil(year(parts[2], today), m, atoi(parts[1]), today)
	}
	if m := month(parts[1]); m > 0 && digits(parts[0]) && digits(parts[2]) {
		return civil(year(parts[2], today), m, atoi(parts[0]), today)
	}
	for _, p := range parts {
		if !digits(p) {
			return "", false
		}
	}
	if len(parts[0]) == 4 {
		return civil(atoi(parts[0]), atoi(parts[1]), atoi(parts[2]), today)
	}
	if len(parts[2]) == 3 || len(parts[2]) > 4 {
		return "", false
	}
	return civil(year(parts[2], today), atoi(parts[0]), atoi(parts[1]), today)
}

func year(s string, today time.Time) int {
	y := atoi(s)
	if len(s) > 2 {
		return y
	}
	century := today.Year() / 100 * 100
	if century+y > today.Year() {
		century -= 100
	}
	return century + y
}

func civil(y, m, d int, today time.Time) (string, bool) {
	if y < 1870 || m < 1 || m > 12 || d < 1 {
		return "", false
	}
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	if t.Day() != d || t.After(today) {
		return "", false
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, m, d), true
}

func month(s string) int {
	if len(s) < 3 {
		return 0
	}
	for i, m := range []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"} {
		if strings.HasPrefix(m, s) {
			return i + 1
		}
	}
	return 0
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func atoi(s string) int { n, _ := strconv.Atoi(s); return n }

// Age is the age on a day in the words of the clinic: "3 d", "5 wk", "14 mo" below
// two years, then "58 y". A birth date known only to the year or month gives years
// marked as approximate ("about 58 y"); an unknown one gives "".
func Age(birth string, on time.Time) string {
	var y, m, d int
	switch len(birth) {
	case 4:
		y = atoi(birth)
		return fmt.Sprintf("about %d y", on.Year()-y)
	case 7:
		y, m = atoi(birth[:4]), atoi(birth[5:])
		n := on.Year() - y
		if int(on.Month()) < m {
			n--
		}
		return fmt.Sprintf("about %d y", n)
	case 10:
		y, m, d = atoi(birth[:4]), atoi(birth[5:7]), atoi(birth[8:])
	default:
		return ""
	}
	born := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	day := time.Date(on.Year(), on.Month(), on.Day(), 0, 0, 0, 0, time.UTC)
	if day.Before(born) {
		return ""
	}
	months := (day.Year()-y)*12 + int(day.Month()) - m
	if day.Day() < d {
		months--
	}
	switch days := int(day.Sub(born).Hours() / 24); {
	case days < 14:
		return fmt.Sprintf("%d d", days)
	case months < 3:
		return fmt.Sprintf("%d wk", days/7)
	case months < 24:
		return fmt.Sprintf("%d mo", months)
	}
	return fmt.Sprintf("%d y", months/12)
}
