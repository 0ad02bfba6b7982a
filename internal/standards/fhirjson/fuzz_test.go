package fhirjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// FuzzParse compares Parse with encoding/json: what Parse accepts, it accepts
// with the same tokens; what only Parse refuses has one of the reasons for
// which Parse is stricter.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0.50,1e+9,true,null,"x\u00e9\ud83d\ude00\n"],"b":{}}`, ` [ ] `, `"\ud83d"`, `{"a":1,"a":2}`, "\"\x00\"", `[1,]`, `01`,
		strings.Repeat("[", 70) + strings.Repeat("]", 70), "\ufeff{}", "\"\xff\"", `{"a":{"a":{"a":[{"a":"\/"}]}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data, Limits{})
		if err != nil {
			var e *SyntaxError
			if !errors.As(err, &e) || e.Msg == "" || e.Fix == "" || e.Line < 1 || e.Column < 1 || e.Offset > len(data) {
				t.Fatalf("poor error %#v", err)
			}
			if json.Valid(data) && !stricter(e.Msg) {
				t.Fatalf("refused what encoding/json accepts: %v", err)
			}
			return
		}
		out := n.AppendJSON(nil)
		want, err := decode(data)
		if err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		got, err := decode(out)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("wrote %s (%v)", out, err)
		}
		again, err := Parse(out, Limits{})
		if err != nil || !Equal(n, again) || !bytes.Equal(again.AppendJSON(nil), out) {
			t.Fatalf("a second round gives %s (%v)", again, err)
		}
		if indented, err := Parse(n.AppendIndent(nil), Limits{}); err != nil || !Equal(n, indented) {
			t.Fatalf("indented is different: %v", err)
		}
	})
}

func stricter(msg string) bool {
	for _, reason := range []string{"twice", "NUL", "UTF-8", "surrogate", "levels"} {
		if strings.Contains(msg, reason) {
			return true
		}
	}
	return false
}

// decode gives the token stream as encoding/json reads it.
func decode(data []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out []byte
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out, err = appendToken(out, tok)
		if err != nil {
			return nil, err
		}
	}
}

func appendToken(out []byte, tok json.Token) ([]byte, error) {
	if n, ok := tok.(json.Number); ok {
		return append(append(out, n...), '\n'), nil // the text, not the value
	}
	if d, ok := tok.(json.Delim); ok {
		return append(out, byte(d), '\n'), nil
	}
	text, err := json.Marshal(tok)
	return append(append(out, text...), '\n'), err
}

// drawNode draws any tree of limited size.
func drawNode(t *rapid.T, depth int) Node {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch Kind(rapid.IntRange(0, kinds-1).Draw(t, "kind")) {
	case Bool:
		return NewBool(rapid.Bool().Draw(t, "bool"))
	case Number:
		return NewNumber(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number"))
	case String:
		return NewString(drawText(t))
	case Array:
		n := NewArray()
		for range rapid.IntRange(0, 5).Draw(t, "items") {
			n.Append(drawNode(t, depth-1))
		}
		return n
	case Object:
		n := NewObject()
		for range rapid.IntRange(0, 40).Draw(t, "members") {
			n.Set(drawText(t), drawNode(t, depth-1))
		}
		return n
	}
	return NewNull()
}

func drawText(t *rapid.T) string {
	return strings.ReplaceAll(strings.ToValidUTF8(rapid.String().Draw(t, "text"), "?"), "\x00", "")
}

// TestRoundTrip: whatever tree there is, writing and parsing gives it back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t, 3)
		raw := n.AppendJSON(nil)
		again, err := Parse(raw, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if !Equal(&n, again) || string(again.AppendJSON(nil)) != string(raw) {
			t.Fatalf("%s became %s", raw, again)
		}
		if c := again.Clone(); !Equal(&c, &n) {
			t.Fatal("the clone differs")
		}
	})
}

func TestAppendStringRepairsBadUTF8(t *testing.T) {
	if got := string(AppendString(nil, "a\xffb\xed\xa0\x80")); got != "\"a\ufffdb\ufffd\ufffd\ufffd\"" {
		t.Errorf("got %q", got)
	}
}

// TestManyMembers: finding a repeated name stays linear.
func TestManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"x":0`)
	for i := range 20_000 {
		b.WriteString(`,"m`)
		b.WriteString(strings.Repeat("a", i%7))
		b.WriteString(string(rune(0x4e00 + i)))
		b.WriteString(`":{"a":1}`)
	}
	if _, err := Parse([]byte(b.String()+"}"), Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse([]byte(b.String()+`,"x":1}`), Limits{}); err == nil || !strings.Contains(err.Error(), `"x" is written twice`) {
		t.Fatalf("%v", err)
	}
}

func BenchmarkParse(b *testing.B) {
	doc := []byte(`{"resourceType":"Patient","name":[{"use":"official","family":"Lee","given":["Ann","B"]}],"birthDate":"1980-02-29","multipleBirthInteger":2,"text":{"div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Ann</div>"}}`)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
