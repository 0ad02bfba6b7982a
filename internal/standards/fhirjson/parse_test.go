package fhirjson

import (
	"errors"
	"strings"
	"testing"
)

func TestParseKeepsEverything(t *testing.T) {
	for _, doc := range []string{
		`{}`, `[]`, `null`, `true`, `"x"`, `0`, `-0.10`, `1.50e+09`,
		`{"b":1.00,"a":[null,{"c":"d"},[]],"e":{}}`,
		`{"text":"a\"b\\c\n\té\u0001"}`,
		`["😀","é"]`,
	} {
		n, err := Parse([]byte(doc), Limits{})
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if got := n.String(); got != doc {
			t.Errorf("wrote %s as %s", doc, got)
		}
	}
}

func TestParseDecodesEscapes(t *testing.T) {
	n, err := Parse([]byte(" [ \"\\u00e9\\ud83d\\ude00\\/\\b\\f\\r\" , 1 ]\r\n\t"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Items()[0].Text(); got != "é😀/\b\f\r" {
		t.Errorf("decoded %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("{")
		for i := range n {
			b.WriteString(`"m` + strings.Repeat("x", i) + `":1,`)
		}
		return b.String() + `"mx":2}`
	}
	tests := []struct {
		name, doc string
		line, col int
		path, msg string // msg: a part of the message
		fix       string // a part of the remedy
	}{
		{"empty", "", 1, 1, "", "empty", "Send"},
		{"only space", " \n ", 2, 2, "", "empty", "Send"},
		{"byte order mark", "\ufeff{}", 1, 1, "", "byte order mark", "without"},
		{"bad UTF-8", "{\"a\":\"é\xff\"}", 1, 8, "", "0xFF", "UTF-8"},
		{"encoded surrogate", "\"\xed\xa0\x80\"", 1, 2, "", "0xED", "UTF-8"},
		{"overlong", "\"\xc0\xaf\"", 1, 2, "", "0xC0", "UTF-8"},
		{"duplicate", "{\"name\":[{\"given\":1,\n \"x\":2, \"given\":3}]}", 2, 9, "name[0].given", "twice in one object; its first value is at line 1, column 19", "Keep one"},
		{"duplicate by escape", `{"a":1,"\u0061":2}`, 1, 8, "a", `"a" is written twice`, "Keep one"},
		{"duplicate among many", many(60), 1, 0, "mx", `"mx" is written twice`, "Keep one"},
		{"trailing value", `{} {}`, 1, 4, "", "after the end", "exactly one"},
		{"trailing bracket", `[]]`, 1, 3, "", "after the end", "exactly one"},
		{"cut off object", `{"a":{"b":1`, 1, 12, "a", "ends too early", "cut off"},
		{"cut off array", `{"a":[1,`, 1, 9, "a[1]", "ends too early", "cut off"},
		{"cut off string", `{"a":"xyz`, 1, 6, "a", "no end", "Close it"},
		{"cut off escape", `"\`, 1, 3, "", "too early", "cut off"},
		{"NUL escape", `{"a":"x\u0000"}`, 1, 8, "a", "NUL", "Remove"},
		{"NUL byte", "{\"a\":\"x\x00\"}", 1, 8, "a", "NUL", "Remove"},
		{"NUL outside", "\x00{}", 1, 1, "", "NUL", "Remove"},
		{"raw line feed", "\"a\nb\"", 1, 3, "", "U+000A", `\n`},
		{"lone high surrogate", `["\ud83d"]`, 1, 3, "[0]", `\ud83d is half`, "both halves"},
		{"lone low surrogate", `["\ude00"]`, 1, 3, "[0]", "half", "both halves"},
		{"two high surrogates", `"\ud83d\ud83d"`, 1, 2, "", "half", "both halves"},
		{"bad hex", `"\u12g4"`, 1, 2, "", "hexadecimal", `\u00e9`},
		{"bad escape", `"\x41"`, 1, 2, "", "backslash", `\\`},
		{"trailing comma in object", `{"a":1,}`, 1, 8, "", "comma before }", "Remove"},
		{"trailing comma in array", `[1,]`, 1, 4, "[1]", "missing before ']'", "comma"},
		{"no colon", `{"a" 1}`, 1, 6, "a", "colon", `"name": value`},
		{"no comma", `{"a":1 "b":2}`, 1, 8, "a", "comma or }", "commas"},
		{"no comma in array", `[1 2]`, 1, 4, "", "comma or ]", "commas"},
		{"unquoted name", `{a:1}`, 1, 2, "", "double quotes", `"name"`},
		{"single quotes", `{"a":'x'}`, 1, 6, "a", "Single quotes", "double quotes"},
		{"comment", `[/* x */1]`, 1, 2, "[0]", "comments", "Remove"},
		{"word", `[True]`, 1, 2, "[0]", "not the start", "true, false"},
		{"half word", `[tru]`, 1, 2, "[0]", "not a JSON value", "true, false"},
		{"long word", `[nullx]`, 1, 2, "[0]", "not a JSON value", "true, false"},
		{"leading zero", `[007]`, 1, 2, "[0]", "needless zero", "1.50"},
		{"plus", `[+1]`, 1, 2, "[0]", "cannot start", "digit"},
		{"point first", `[.5]`, 1, 2, "[0]", "cannot start", "0.5"},
		{"point last", `[5.]`, 1, 2, "[0]", "no digit", "1.50"},
		{"minus", `[-]`, 1, 2, "[0]", "no digit", "1.50"},
		{"exponent", `[1e]`, 1, 2, "[0]", "exponent", "1.50"},
		{"hexadecimal", `[0x1F]`, 1, 2, "[0]", "not a JSON number", "1.50"},
		{"two points", `[1.2.3]`, 1, 2, "[0]", "not a JSON number", "1.50"},
		{"not a number", `[NaN]`, 1, 2, "[0]", "not the start", "number"},
		{"too deep", strings.Repeat("[", 65), 1, 65, strings.Repeat("[0]", 64), "64 levels", "Flatten"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Parse([]byte(tt.doc), Limits{})
			var e *SyntaxError
			if !errors.As(err, &e) {
				t.Fatalf("accepted as %s", n)
			}
			if e.Line != tt.line || (tt.col != 0 && e.Column != tt.col) || strings.ReplaceAll(e.Path, ".", "") != strings.ReplaceAll(tt.path, ".", "") {
				t.Errorf("place is %d:%d %q, want %d:%d %q", e.Line, e.Column, e.Path, tt.line, tt.col, tt.path)
			}
			if !strings.Contains(e.Msg, tt.msg) || !strings.Contains(e.Fix, tt.fix) {
				t.Errorf("says %q %q, want %q %q", e.Msg, e.Fix, tt.msg, tt.fix)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	if _, err := Parse([]byte(`"1234"`), Limits{Bytes: 5}); err == nil || !strings.Contains(err.Error(), "6 bytes; at most 5") {
		t.Errorf("size limit: %v", err)
	}
	if _, err := Parse([]byte(`[[1]]`), Limits{Depth: 1}); err == nil || !strings.Contains(err.Error(), "1 levels") {
		t.Errorf("depth limit: %v", err)
	}
	deep := strings.Repeat("[", 64) + strings.Repeat("]", 64)
	if _, err := Parse([]byte(deep), Limits{}); err != nil {
		t.Errorf("64 levels: %v", err)
	}
	// Siblings do not add up to depth.
	wide := "[" + strings.Repeat("[[]],", 200) + "[]]"
	if _, err := Parse([]byte(wide), Limits{Depth: 3}); err != nil {
		t.Errorf("siblings: %v", err)
	}
}

// TestErrorsHideText: what a document says may be about a patient.
func TestErrorsHideText(t *testing.T) {
	for _, doc := range []string{
		`{"family":"Canary\q"}`, `{"family":Canary}`, `{"family":"Canary" "x"}`, `{"family":"Canary","family":"Canary"}`, `["Canary`,
	} {
		if _, err := Parse([]byte(doc), Limits{}); err == nil || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
