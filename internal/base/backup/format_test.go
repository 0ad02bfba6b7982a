package backup

import (
	"bufio"
	"bytes"
	"context"
	"testing"

	"pgregory.net/rapid"
)

// frames is a small whole backup, before compression and encryption.
func frames(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	f := frameWriter{bufio.NewWriter(&buf)}
	sum := newSummer()
	var row []byte
	for _, v := range []any{int64(-5), "text", []byte{0, 1}, 1.5, nil} {
		var err error
		if row, err = appendValue(row, v); err != nil {
			t.Fatal(err)
		}
	}
	sum.row(row)
	for _, err := range []error{
		f.json(headerFrame, header{Format: formatNumber, Created: "2026-03-01T00:00:00Z", Stores: []int64{1}}),
		f.json(storeFrame, store{Practice: 1}),
		f.json(tableFrame, table{Name: "t", Columns: []string{"a", "b", "c", "d", "e"}}),
		f.frame(rowsFrame, row), f.json(tableEnd, sum.sum()), f.frame(storeEnd, nil),
		f.json(footerFrame, footer{Stores: 1, Rows: 1}), f.w.Flush(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func FuzzWalk(f *testing.F) {
	whole := frames(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte("H\x02{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, err := walkFrames(context.Background(), &frameReader{r: bufio.NewReader(bytes.NewReader(in))}, visitor{})
		if bytes.Equal(in, whole) != (err == nil) && bytes.HasPrefix(whole, in) {
			t.Fatalf("a part of a backup passes for a whole one: %v", err)
		}
	})
}

func TestEveryCutIsNoticed(t *testing.T) {
	whole := frames(t)
	for cut := range whole {
		if _, err := walkFrames(t.Context(), &frameReader{r: bufio.NewReader(bytes.NewReader(whole[:cut]))}, visitor{}); err == nil {
			t.Errorf("cut at %d of %d", cut, len(whole))
		}
	}
	r, err := walkFrames(t.Context(), &frameReader{r: bufio.NewReader(bytes.NewReader(whole))}, visitor{})
	if err != nil || r.Rows() != 1 {
		t.Errorf("the whole: %v, %v", r, err)
	}
}

func TestValuesKeepTheirTypes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		for _, v := range []any{rapid.Int64().Draw(rt, "int"), rapid.Float64().Draw(rt, "float"), rapid.String().Draw(rt, "text"), nil} {
			b, err := appendValue(nil, v)
			if err != nil {
				rt.Fatal(err)
			}
			got, rest, err := readValue(append(b, "rest"...))
			if err != nil || got != v || string(rest) != "rest" {
				rt.Fatalf("%v became %v, %q, %v", v, got, rest, err)
			}
		}
	})
}
