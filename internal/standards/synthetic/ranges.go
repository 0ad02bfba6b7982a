package synthetic

import "strings"

// digits are the digits of a text, in order.
func digits(s string) string {
	n := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	if n == len(s) {
		return s
	}
	b := make([]byte, 0, n)
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// UnissuedSSN says that a number is no social security number that was ever issued: its area is 000, 666 or 900 and above, its
// group 00 or its serial 0000 (20 CFR 422.103, SSA on randomization), or it has not nine digits at all.
func UnissuedSSN(s string) bool {
	d := digits(s)
	if len(d) != 9 {
		return true
	}
	return d[:3] == "000" || d[:3] == "666" || d[0] == '9' || d[3:5] == "00" || d[5:] == "0000"
}

// FictionalPhone says that a telephone number is one of fiction: of the North American plan those with 555 as area or exchange and
// those that the plan cannot hold; elsewhere those with a group of digits that begins with 555. What has fewer than seven digits rings nowhere.
func FictionalPhone(s string) bool {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "tel:")
	if i := strings.IndexAny(s, "x;"); i > 0 { // an extension
		s = s[:i]
	}
	d := digits(s)
	switch {
	case len(d) < 7:
		return true
	case len(d) == 7:
		return d[:3] == "555"
	case len(d) == 11 && d[0] == '1':
		d = d[1:]
	case strings.HasPrefix(s, "+") || len(d) != 10:
		return groupOf555(s)
	}
	return unplanned(d)
}

// unplanned says that ten digits are no number of the North American plan, or one with 555.
func unplanned(d string) bool {
	return d[:3] == "555" || d[3:6] == "555" || d[0] < '2' || d[3] < '2' || d[1:3] == "11"
}

func groupOf555(s string) bool {
	for i := 0; i+3 <= len(s); i++ {
		if s[i:i+3] == "555" && (i == 0 || s[i-1] < '0' || s[i-1] > '9') {
			return true
		}
	}
	return false
}

// ExampleMail says that an address leads nowhere: its domain is reserved for examples and tests (RFC 2606, RFC 6761).
func ExampleMail(s string) bool {
	s = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
	s = strings.TrimPrefix(s, "mailto:")
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return true
	}
	domain := s[at+1:]
	for _, top := range []string{"example", "test", "invalid", "localhost"} {
		if domain == top || strings.HasSuffix(domain, "."+top) {
			return true
		}
	}
	for _, name := range []string{"example.com", "example.org", "example.net", "example.edu"} {
		if domain == name || strings.HasSuffix(domain, "."+name) {
			return true
		}
	}
	return !strings.Contains(domain, ".")
}

// scan finds the first social security number (123-45-6789), telephone number (NNN-NNN-NNNN with separators) or mail address in
// words that looks real; a social security number before anything else. Digits without separators are not taken for numbers of
// people: results, codes and ids look the same.
func scan(s string) (kind Kind) {
	if len(s) < 6 {
		return 0
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '@':
			if kind == 0 && mailAt(s, i) {
				kind = Mail
			}
		case c >= '0' && c <= '9' && (i == 0 || !joins(s[i-1])):
			if shape(s[i:], 3, 2, 4, "-") && !UnissuedSSN(s[i:i+11]) {
				return SSN
			}
			if kind == 0 && phoneAt(s, i) {
				kind = Phone
			}
			for i+1 < len(s) && (joins(s[i+1]) || s[i+1] == '.') {
				i++
			}
		}
	}
	return kind
}

// joins says that a character beside digits makes them part of something longer.
func joins(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '/' || c == '#' || c == '%'
}

// shape says that s begins with three groups of digits with the same separator between them and ends or stops there.
func shape(s string, a, b, c int, seps string) bool {
	n := a + 1 + b + 1 + c
	if len(s) < n || !allDigits(s[:a]) || !allDigits(s[a+1:a+1+b]) || !allDigits(s[a+2+b:n]) ||
		strings.IndexByte(seps, s[a]) < 0 || s[a] != s[a+1+b] {
		return false
	}
	return len(s) == n || !joins(s[n]) && !(s[n] == '.' && len(s) > n+1 && s[n+1] >= '0' && s[n+1] <= '9')
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// phoneAt says that a real telephone number of the North American plan stands at i: 617-482-1234, 617.482.1234, (617) 482-1234.
func phoneAt(s string, i int) bool {
	if i > 0 && s[i-1] == '.' {
		return false
	}
	rest := s[i:]
	if i > 0 && s[i-1] == '(' && len(rest) >= 13 && rest[3] == ')' {
		after := strings.TrimPrefix(rest[4:], " ")
		if len(after) >= 8 && allDigits(rest[:3]) && allDigits(after[:3]) && (after[3] == '-' || after[3] == ' ' || after[3] == '.') && allDigits(after[4:8]) &&
			(len(after) == 8 || !joins(after[8])) {
			return !unplanned(rest[:3] + after[:3] + after[4:8])
		}
		return false
	}
	if rest[0] == '1' && len(rest) > 2 && (rest[1] == '-' || rest[1] == '.') {
		rest = rest[2:]
	}
	return shape(rest, 3, 3, 4, "-.") && !unplanned(rest[:3]+rest[4:7]+rest[8:12])
}

// mailAt says that a mail address at a real domain surrounds the @ at i.
func mailAt(s string, i int) bool {
	from, to := i, i+1
	for from > 0 && mailChar(s[from-1]) {
		from--
	}
	for to < len(s) && mailChar(s[to]) {
		to++
	}
	if from == i {
		return false
	}
	address := strings.TrimRight(s[from:to], ".-_+%")
	domain := address[min(len(address), i-from+1):]
	dot := strings.LastIndexByte(domain, '.')
	return dot > 0 && len(domain)-dot > 2 && !strings.ContainsAny(domain[dot:], "0123456789") && !ExampleMail(address)
}

func mailChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '_' || c == '+' || c == '%'
}
