package terminology

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

//go:embed data/concepts.txt.gz
var packed []byte

// table is the starter set with its search index.
type table struct {
	concepts []Concept
	lists    []string // per concept: the system or list it is searched under
	editions []Edition
	byCode   map[string]int
	index    index
}

var load = sync.OnceValue(func() *table {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		var text []byte
		if text, err = io.ReadAll(r); err == nil {
			return read(string(text))
		}
	}
	panic("terminology: the embedded table is damaged: " + err.Error()) // built in, checked by the tests
})

// read decodes the compact form: a line "# system, name, release, licence" begins a list, every
// other line is "code, display, group, words, strengths, reactions, flags" with tabs between
// fields and semicolons inside them. A code may name another system as "system|code".
func read(text string) *table {
	t := &table{byCode: map[string]int{}}
	var at *Edition
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if f[0] == "#" && len(f) >= 5 {
			t.editions = append(t.editions, Edition{System: f[1], Name: f[2], Release: f[3], Licence: f[4]})
			at = &t.editions[len(t.editions)-1]
			continue
		}
		if at == nil || len(f) < 7 {
			continue
		}
		at.Concepts++
		c := Concept{System: at.System, Code: f[0], Display: f[1], Group: f[2], Words: list(f[3]), Reactions: list(f[5])}
		if s, code, ok := strings.Cut(f[0], "|"); ok {
			c.System, c.Code = s, code
		}
		for _, s := range list(f[4]) {
			text, code, _ := strings.Cut(s, "=")
			c.Strengths = append(c.Strengths, Strength{Text: text, Code: code})
		}
		if strings.Contains(f[6], "c") {
			c.common = 1
		}
		c.Retired = strings.Contains(f[6], "r")
		t.add(at.System, c)
	}
	for _, l := range labs() {
		t.add(LOINC, l)
	}
	for i := range t.editions {
		if t.editions[i].System == LOINC {
			t.editions[i].Concepts = len(labs())
		}
	}
	t.index = build(t.concepts, t.lists)
	return t
}

func (t *table) add(list string, c Concept) {
	i := len(t.concepts)
	t.concepts = append(t.concepts, c)
	t.lists = append(t.lists, list)
	for _, system := range []string{list, c.System} {
		key := system + "|" + normal(system, c.Code)
		if _, taken := t.byCode[key]; !taken {
			t.byCode[key] = i
		}
	}
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ";")
}
