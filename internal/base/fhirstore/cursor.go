package fhirstore

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// A cursor is a place in the order of one search, sealed under the practice's key and bound to the search:
// it tells its holder nothing and fits no other search and no other practice.

func cursorAAD(tx *db.Tx, q fhirsearch.Query) []byte {
	sum := keyspaceOf(tx.Keys()).sum("cursor", q.Type, fmt.Sprintf("%+v", q.Sort), clausesText(q.Clauses))
	return binary.BigEndian.AppendUint64([]byte("cursor"), uint64(sum))
}

// clausesText tells clauses apart.
func clausesText(clauses []fhirsearch.Clause) string {
	var b []byte
	for i := range clauses {
		c := &clauses[i]
		b = fmt.Appendf(b, "%q:%q:%q=%+v;", c.Param, c.Modifier, c.OnlyType, c.Values)
		if c.Filter != nil {
			b = append(b, filterText(c.Filter)...)
		}
		for _, l := range c.Chain {
			b = fmt.Appendf(b, ".%q(%s)", l.Target, clausesText([]fhirsearch.Clause{*l.Clause}))
		}
		if c.Has != nil {
			b = fmt.Appendf(b, "^%q%q(%s)", c.Has.Type, c.Has.Param, clausesText([]fhirsearch.Clause{*c.Has.Clause}))
		}
	}
	return string(b)
}

func filterText(f *fhirsearch.Filter) string {
	if f.Clause != nil {
		return clausesText([]fhirsearch.Clause{*f.Clause})
	}
	var b []byte
	for _, a := range f.Args {
		b = fmt.Appendf(b, "%s(%s)", f.Op, filterText(a))
	}
	return string(b)
}

// sealBytes and openBytes are sealCursor and openCursor for a place that is not two numbers.
func sealBytes(tx *db.Tx, q fhirsearch.Query, plain []byte) string {
	return base64.RawURLEncoding.EncodeToString(tx.Keys().Seal(nil, plain, cursorAAD(tx, q)))
}

func openBytes(tx *db.Tx, q fhirsearch.Query) ([]byte, error) {
	wrong := fhir.Problem("value", "The page link does not belong to this search.", "Start the search again without _page.")
	sealed, err := base64.RawURLEncoding.DecodeString(q.Page)
	if err != nil {
		return nil, wrong
	}
	plain, err := tx.Keys().Open(nil, sealed, cursorAAD(tx, q))
	if err != nil {
		return nil, wrong
	}
	return plain, nil
}

func sealCursor(tx *db.Tx, q fhirsearch.Query, at place) string {
	plain := binary.AppendVarint(binary.AppendVarint(nil, at.key), at.rid)
	return base64.RawURLEncoding.EncodeToString(tx.Keys().Seal(nil, plain, cursorAAD(tx, q)))
}

func openCursor(tx *db.Tx, q fhirsearch.Query) (*place, error) {
	if q.Page == "" {
		return nil, nil
	}
	wrong := fhir.Problem("value", "The page link does not belong to this search.", "Start the search again without _page.")
	sealed, err := base64.RawURLEncoding.DecodeString(q.Page)
	if err != nil {
		return nil, wrong
	}
	plain, err := tx.Keys().Open(nil, sealed, cursorAAD(tx, q))
	if err != nil {
		return nil, wrong
	}
	key, n := binary.Varint(plain)
	if n <= 0 {
		return nil, wrong
	}
	rid, m := binary.Varint(plain[n:])
	if m <= 0 {
		return nil, wrong
	}
	return &place{key, rid}, nil
}
