package fhir

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhirjson"
)

// primitive is a primitive type of R4 (http://hl7.org/fhir/R4/datatypes.html).
type primitive uint8

const (
	primBase64 primitive = iota + 1
	primBoolean
	primCanonical
	primCode
	primDate
	primDateTime
	primDecimal
	primID
	primInstant
	primInteger
	primMarkdown
	primOID
	primPositiveInt
	primString
	primTime
	primUnsignedInt
	primURI
	primURL
	primUUID
	primXHTML
)

var primitives = map[string]primitive{
	"base64Binary": primBase64, "boolean": primBoolean, "canonical": primCanonical, "code": primCode,
	"date": primDate, "dateTime": primDateTime, "decimal": primDecimal, "id": primID, "instant": primInstant,
	"integer": primInteger, "markdown": primMarkdown, "oid": primOID, "positiveInt": primPositiveInt,
	"string": primString, "time": primTime, "unsignedInt": primUnsignedInt, "uri": primURI, "url": primURL,
	"uuid": primUUID, "xhtml": primXHTML,
}

// json returns the JSON kind in which a primitive is written.
func (p primitive) json() fhirjson.Kind {
	switch p {
	case primBoolean:
		return fhirjson.Bool
	case primDecimal, primInteger, primPositiveInt, primUnsignedInt:
		return fhirjson.Number
	}
	return fhirjson.String
}

// maxText is the longest string R4 allows, in characters.
const maxText = 1 << 20

// valid reports whether text, the decoded JSON value, has the format of the
// primitive type.
func (p primitive) valid(text string) bool {
	switch p {
	case primBoolean:
		return true
	case primString, primMarkdown:
		return validText(text)
	case primCode:
		return validCode(text)
	case primURI, primURL, primCanonical:
		return validURI(text)
	case primDateTime:
		return validDateTime(text)
	case primDate:
		n := dateLen(text)
		return n > 0 && n == len(text)
	case primInstant:
		return len(text) > 10 && dateLen(text) == 10 && validClock(text[10:])
	case primTime:
		n := timeLen(text)
		return n > 0 && n == len(text)
	case primID:
		return isID(text)
	case primDecimal:
		return validDecimal(text)
	case primInteger:
		return inRange(text, -1<<31)
	case primUnsignedInt:
		return inRange(text, 0)
	case primPositiveInt:
		return inRange(text, 1)
	case primBase64:
		return validBase64(text)
	case primOID:
		return validOID(text)
	case primUUID:
		return validUUID(text)
	case primXHTML:
		return validDiv(text)
	}
	return false
}

// remedy says how the primitive is written.
func (p primitive) remedy() string {
	switch p {
	case primBoolean:
		return "Write true or false, without quotes."
	case primString, primMarkdown:
		return "Write some text without control characters, at most 1,048,576 characters, or leave the element out."
	case primCode:
		return "Write the code without spaces around it or doubled inside it."
	case primURI, primURL, primCanonical:
		return "Write a URI without spaces, such as http://example.org/x or urn:oid:1.2.3."
	case primDateTime:
		return "Write 2024, 2024-05, 2024-05-31 or, with a time zone, 2024-05-31T09:30:00Z or 2024-05-31T09:30:00-05:00."
	case primDate:
		return "Write 2024, 2024-05 or 2024-05-31."
	case primInstant:
		return "Write date, time to the second and time zone, such as 2024-05-31T09:30:00.000Z."
	case primTime:
		return "Write 09:30:00, without a time zone."
	case primID:
		return "Use 1 to 64 letters (A-Z, a-z), digits, hyphens and points."
	case primDecimal:
		return "Write a number such as 1.50, without quotes, with at most 100 digits."
	case primInteger:
		return "Write a whole number between -2147483648 and 2147483647, without quotes or decimal point."
	case primUnsignedInt:
		return "Write a whole number between 0 and 2147483647, without quotes or decimal point."
	case primPositiveInt:
		return "Write a whole number between 1 and 2147483647, without quotes or decimal point."
	case primBase64:
		return "Encode the bytes with standard base64 (A-Z, a-z, 0-9, + and /, padded with =)."
	case primOID:
		return "Write urn:oid: and numbers with points, such as urn:oid:1.2.3."
	case primUUID:
		return "Write urn:uuid: and a lower-case UUID."
	case primXHTML:
		return "Write one <div> element of XHTML."
	}
	return ""
}

func validText(s string) bool {
	if s == "" || len(s) > maxText && utf8.RuneCountInString(s) > maxText {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}

// validCode: [^\s]+(\s[^\s]+)*
func validCode(s string) bool {
	if s == "" || space(s[0]) || space(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if i > 0 && space(s[i]) && space(s[i-1]) || s[i] < 0x20 && !space(s[i]) {
			return false
		}
	}
	return true
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func validURI(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' {
			return false
		}
	}
	return s != ""
}

// isID: [A-Za-z0-9\-\.]{1,64}
func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

func validDateTime(s string) bool {
	n := dateLen(s)
	return n > 0 && (n == len(s) || n == 10 && validClock(s[10:]))
}

// dateLen returns the length of the date (4, 7 or 10) that s starts with, or 0.
func dateLen(s string) int {
	year, ok := number(s, 0, 4)
	if !ok || year == 0 {
		return 0
	}
	if len(s) == 4 || s[4] != '-' {
		return 4
	}
	month, ok := number(s, 5, 2)
	if !ok || month < 1 || month > 12 {
		return 0
	}
	if len(s) == 7 || s[7] != '-' {
		return 7
	}
	day, ok := number(s, 8, 2)
	if !ok || day < 1 || day > daysIn(year, month) {
		return 0
	}
	return 10
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// validClock: Thh:mm:ss[.f]Z or with an offset up to 14:00.
func validClock(s string) bool {
	if s[0] != 'T' {
		return false
	}
	n := timeLen(s[1:])
	if n == 0 {
		return false
	}
	zone := s[1+n:]
	if zone == "Z" {
		return true
	}
	if len(zone) != 6 || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' {
		return false
	}
	hour, ok1 := number(zone, 1, 2)
	minute, ok2 := number(zone, 4, 2)
	return ok1 && ok2 && minute < 60 && (hour < 14 || hour == 14 && minute == 0)
}

// timeLen returns the length of the time hh:mm:ss[.f] that s starts with, or 0.
func timeLen(s string) int {
	hour, ok1 := number(s, 0, 2)
	minute, ok2 := number(s, 3, 2)
	second, ok3 := number(s, 6, 2)
	if !ok1 || !ok2 || !ok3 || s[2] != ':' || s[5] != ':' || hour > 23 || minute > 59 || second > 60 {
		return 0
	}
	if len(s) == 8 || s[8] != '.' {
		return 8
	}
	n := 9
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n == 9 {
		return 0
	}
	return n
}

func number(s string, at, digits int) (int, bool) {
	if len(s) < at+digits {
		return 0, false
	}
	n := 0
	for i := at; i < at+digits; i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// validDecimal accepts every JSON number of a size that can be computed with:
// at most 100 characters, exponent within ±400.
func validDecimal(s string) bool {
	if len(s) > 100 {
		return false
	}
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	e, err := strconv.Atoi(s[i+1:])
	return err == nil && e >= -400 && e <= 400
}

func inRange(s string, low int64) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	return err == nil && n >= low
}

func validBase64(s string) bool {
	if s == "" {
		return false
	}
	if strings.ContainsAny(s, " \t") {
		s = strings.NewReplacer(" ", "", "\t", "").Replace(s)
	}
	// Decoding in pieces keeps a large attachment from being held twice.
	var buf [3 * 1024]byte
	if !strings.ContainsAny(s, "\r\n") {
		for len(s) > 4*1024 {
			if n, err := base64.StdEncoding.Decode(buf[:], []byte(s[:4*1024])); err != nil || n != len(buf) {
				return false
			}
			s = s[4*1024:]
		}
		_, err := base64.StdEncoding.Decode(buf[:], []byte(s))
		return err == nil
	}
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}

// validOID: urn:oid:[0-2](\.(0|[1-9][0-9]*))+
func validOID(s string) bool {
	s, ok := strings.CutPrefix(s, "urn:oid:")
	if !ok || len(s) < 3 || s[0] < '0' || s[0] > '2' || s[1] != '.' {
		return false
	}
	for arc := range strings.SplitSeq(s[2:], ".") {
		if arc == "" || len(arc) > 1 && arc[0] == '0' {
			return false
		}
		for i := range len(arc) {
			if arc[i] < '0' || arc[i] > '9' {
				return false
			}
		}
	}
	return true
}

func validUUID(s string) bool {
	s, ok := strings.CutPrefix(s, "urn:uuid:")
	if !ok || len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// validDiv checks only the frame of a narrative. What may be shown is decided
// where it is shown.
func validDiv(s string) bool {
	s = strings.TrimSpace(s)
	if len(s) < 6 || !strings.HasPrefix(s, "<div") {
		return false
	}
	if c := s[4]; c != '>' && c != '/' && !space(c) {
		return false
	}
	return strings.HasSuffix(s, "</div>") || strings.HasSuffix(s, "/>")
}
