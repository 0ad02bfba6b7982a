package fhirjson

import (
	"strings"
	"testing"
)

func parse(t testing.TB, doc string) *Node {
	t.Helper()
	n, err := Parse([]byte(doc), Limits{})
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return n
}

func TestNodeReads(t *testing.T) {
	n := parse(t, `{"name":[{"given":["Ann","B"],"family":"Lee"},{"family":"Old"}],"active":true,"rank":1.50}`)
	if got := n.At("name", "family").Text(); got != "Lee" {
		t.Errorf("At = %q", got)
	}
	if got := n.At("name", "given").Len(); got != 2 {
		t.Errorf("At to an array gives %d items", got)
	}
	if n.At("name", "period", "start") != nil || n.Get("Active") != nil {
		t.Error("found what is not there")
	}
	if n.Get("active").Text() != "true" || n.Get("rank").Text() != "1.50" {
		t.Error("literals are not as written")
	}
	if n.Get("rank").Offset() != strings.Index(n.String(), "1.50") {
		t.Error("offset is not where the value starts")
	}
}

func TestNilNode(t *testing.T) {
	var n *Node
	if n.Kind() != Null || n.Text() != "" || n.Items() != nil || n.Members() != nil || n.Get("x") != nil || n.At("x", "y") != nil || n.Len() != 0 {
		t.Error("a nil node is not like null")
	}
	n.Set("a", NewNull())
	n.Delete("a")
	n.Append(NewNull())
	if c := n.Clone(); c.Kind() != Null {
		t.Error("clone of nil")
	}
}

func TestNodeEdits(t *testing.T) {
	n := parse(t, `{"a":1,"b":[1],"c":3}`)
	c := n.Clone()
	n.Set("a", NewString("x"))
	n.Set("d", NewBool(true))
	n.Get("b").Append(NewNumber("2.0"))
	n.Delete("c")
	n.SetFirst("z", NewNull())
	if got, want := n.String(), `{"z":null,"a":"x","b":[1,2.0],"d":true}`; got != want {
		t.Errorf("edited to %s, want %s", got, want)
	}
	if got, want := c.String(), `{"a":1,"b":[1],"c":3}`; got != want {
		t.Errorf("the clone became %s", got)
	}
}

// TestAppendLeavesNeighbours: containers of one document share a slab.
func TestAppendLeavesNeighbours(t *testing.T) {
	n := parse(t, `{"a":[1],"b":[2],"c":{"x":1},"d":{"y":2}}`)
	n.Get("a").Append(NewNumber("9"))
	n.Get("c").Set("z", NewNumber("9"))
	if got, want := n.String(), `{"a":[1,9],"b":[2],"c":{"x":1,"z":9},"d":{"y":2}}`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2]}`, `{"b":[2],"a":1}`, true},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`"1"`, `1`, false},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
	}
	for _, tt := range tests {
		if got := Equal(parse(t, tt.a), parse(t, tt.b)); got != tt.want {
			t.Errorf("Equal(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}

func TestAppendIndent(t *testing.T) {
	n := parse(t, `{"a":[1,{"b":"c"}],"d":{},"e":[]}`)
	want := "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"c\"\n    }\n  ],\n  \"d\": {},\n  \"e\": []\n}"
	if got := string(n.AppendIndent(nil)); got != want {
		t.Errorf("got %s", got)
	}
}
