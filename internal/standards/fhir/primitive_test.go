package fhir

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPrimitives(t *testing.T) {
	tests := []struct {
		typ       string
		good, bad []string
	}{
		{"date", []string{"2024", "2024-02", "2024-02-29", "0001-01-01", "9999-12-31", "2000-02-29"},
			[]string{"", "24", "2024-", "2024-2", "2024-13", "2024-00", "2024-02-30", "2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01", "2024-02-29T", "2024/02/29", "2024-02-2", "20240229", "2024-02-29Z", " 2024"}},
		{"dateTime", []string{"2024", "2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29T23:59:60.123456789+14:00", "2024-02-29T10:00:00-05:30"},
			[]string{"", "2024-02-29T10:00:00", "2024-02-29T10:00Z", "2024-02-29T24:00:00Z", "2024-02-29 10:00:00Z", "2024-02T10:00:00Z", "2024-02-29T10:00:00+14:30", "2024-02-29T10:00:00+15:00", "2024-02-29T10:00:00.Z", "2024-02-29T10:00:00+0500", "2024-02-29T10:60:00Z", "2024-02-29T10:00:61Z", "2024-02-29T10:00:00z", "2024-02-29T"}},
		{"instant", []string{"2024-02-29T10:00:00Z", "2024-02-29T10:00:00.5-05:00"}, []string{"", "2024", "2024-02-29", "2024-02-29T10:00:00", "2024-02-29T"}},
		{"time", []string{"00:00:00", "23:59:60", "10:00:00.001"}, []string{"", "24:00:00", "10:00", "10:00:00Z", "10:00:00.", "1:00:00", "10-00-00"}},
		{"id", []string{"a", "A-z.9", strings.Repeat("x", 64)}, []string{"", "a_b", "a b", "é", strings.Repeat("x", 65), "a/b"}},
		{"oid", []string{"urn:oid:1.2.3", "urn:oid:0.0"}, []string{"", "1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.", "urn:oid:1.02", "urn:oid:1..2", "urn:oid:1.a"}},
		{"uuid", []string{"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}, []string{"", "c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:C757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873dec9a4326a141556f43239520", "urn:uuid:c757873d-ec9a-4326-a141-556f4323952g"}},
		{"uri", []string{"a", "http://x.org/é?a=b#c", "urn:x:y"}, []string{"", "a b", "a\n", "\t"}},
		{"code", []string{"a", "a b", "<", "a/b c"}, []string{"", " a", "a ", "a  b", "a\u0001b", "\n"}},
		{"base64Binary", []string{"QQ==", "QUI=", "QUJD", "QUJD QUJD", "QUJD\nQUJD", strings.Repeat("QUJD", 5000)}, []string{"", "QQ", "QQ=", "Q===", "Q@==", "QUJD-QU_", strings.Repeat("QUJD", 5000) + "Q", strings.Repeat("QUJD", 1024) + "QQ==" + strings.Repeat("QUJD", 2000)}},
		{"decimal", []string{"0", "-0.00", "1e400", "1.5E-7"}, []string{"1e401", "1e-9999999999999999999", strings.Repeat("1", 101)}},
		{"integer", []string{"0", "-2147483648", "2147483647"}, []string{"2147483648", "-2147483649", "1.0", "1e2"}},
		{"unsignedInt", []string{"0", "2147483647"}, []string{"-1", "1.0"}},
		{"positiveInt", []string{"1", "2147483647"}, []string{"0", "-1", "2147483648"}},
		{"string", []string{"a", " a\t\r\n", strings.Repeat("é", maxText)}, []string{"", "\u0000", "\u001f", strings.Repeat("é", maxText+1)}},
		{"xhtml", []string{`<div xmlns="x">a</div>`, "<div>a</div>", `<div/>`, "\n<div>a</div>\n"}, []string{"", "a", "<p>a</p>", "<divx>a</divx>", "<div>a", "<div"}},
	}
	for _, tt := range tests {
		p := primitives[tt.typ]
		for _, s := range tt.good {
			if !p.valid(s) {
				t.Errorf("%s %q is refused", tt.typ, clipped(s))
			}
		}
		for _, s := range tt.bad {
			if p.valid(s) {
				t.Errorf("%s %q is accepted", tt.typ, clipped(s))
			}
		}
	}
	for name, p := range primitives {
		if p.remedy() == "" || Definition(name) == nil {
			t.Errorf("%s has no remedy or definition", name)
		}
	}
}

func clipped(s string) string { return s[:min(len(s), 40)] }

// TestPrimitivesFollowPublishedPatterns compares the hand-written checks with
// the regular expressions of http://hl7.org/fhir/R4/datatypes.html. Ours are
// stricter only about days that a month does not have.
func TestPrimitivesFollowPublishedPatterns(t *testing.T) {
	const date = `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1]))?)?`
	const clock = `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?`
	patterns := map[string]string{
		"date":     date,
		"dateTime": `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1])(T` + clock + `(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00)))?)?)?`,
		"instant":  `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])T` + clock + `(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))`,
		"time":     clock,
		"id":       `[A-Za-z0-9\-\.]{1,64}`,
		"oid":      `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`,
		"uuid":     `urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`,
		"code":     `[^\s]+(\s[^\s]+)*`,
	}
	for typ, pattern := range patterns {
		p, re := primitives[typ], regexp.MustCompile("^(?:"+pattern+")$")
		gen := rapid.StringMatching(pattern)
		rapid.Check(t, func(t *rapid.T) {
			s := gen.Draw(t, typ)
			if rapid.Bool().Draw(t, "spoil") && s != "" {
				i := rapid.IntRange(0, len(s)-1).Draw(t, "at")
				s = s[:i] + rapid.SampledFrom([]string{"", "0", "9", "-", "T", ":", "Z", "a", " ", "."}).Draw(t, "with") + s[i+1:]
			}
			want := re.MatchString(s) && !strings.ContainsAny(s, "\f\v") && !hasControl(s)
			if got := p.valid(s); got != want && !impossibleDay(s) {
				t.Fatalf("%s %q: %v, the pattern says %v", typ, s, got, want)
			}
		})
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && !strings.ContainsRune("\t\n\r", r) })
}

func impossibleDay(s string) bool {
	if len(s) < 10 {
		return false
	}
	_, err := time.Parse(time.DateOnly, s[:10])
	return err != nil
}

func TestDateTimePeriod(t *testing.T) {
	york := time.FixedZone("", -5*3600)
	tests := []struct{ text, low, high string }{
		{"2024", "2024-01-01T05:00:00Z", "2025-01-01T05:00:00Z"},
		{"2024-02", "2024-02-01T05:00:00Z", "2024-03-01T05:00:00Z"},
		{"2024-02-29", "2024-02-29T05:00:00Z", "2024-03-01T05:00:00Z"},
		{"2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z", "2024-02-29T10:00:01Z"},
		{"2024-02-29T10:00:00.25+02:00", "2024-02-29T08:00:00.25Z", "2024-02-29T08:00:00.26Z"},
		{"2024-02-29T10:00:00.1234567891-05:00", "2024-02-29T15:00:00.123456789Z", "2024-02-29T15:00:00.12345679Z"},
	}
	for _, tt := range tests {
		low, high, ok := DateTime(tt.text).Period(york)
		l, h := low.UTC().Format(time.RFC3339Nano), high.UTC().Format(time.RFC3339Nano)
		if !ok || l != tt.low || h != tt.high {
			t.Errorf("%s: [%s, %s) %v", tt.text, l, h, ok)
		}
	}
	if _, _, ok := DateTime("2024-13").Period(york); ok {
		t.Error("accepted a 13th month")
	}
	at := time.Date(2024, 5, 31, 9, 30, 0, 123456789, york)
	if i := InstantOf(at); i != "2024-05-31T14:30:00.123Z" {
		t.Error(i)
	} else if back, ok := i.Time(); !ok || !back.Equal(at.Truncate(time.Millisecond)) {
		t.Error(back)
	}
	if DateTimeOf(at) != "2024-05-31T09:30:00-05:00" || DateOf(at) != "2024-05-31" {
		t.Error("DateTimeOf, DateOf")
	}
}
