package fhirstore

import (
	"encoding/binary"
	"slices"
)

// rowKeys are the index rows of one resource as they stand in hkey and rkey: packed into
// resource.idx_keys, they are deleted by primary key without reading the old body.
type rowKeys struct {
	date   int64 // the d of every hkey row
	hashes []int64
	spans  []spanKey
}

// spanKey is one row of rkey.
type spanKey struct{ p, lo, hi int64 }

func (k *rowKeys) normal() {
	slices.Sort(k.hashes)
	k.hashes = slices.Compact(k.hashes)
	slices.SortFunc(k.spans, func(a, b spanKey) int {
		for _, c := range [3][2]int64{{a.p, b.p}, {a.lo, b.lo}, {a.hi, b.hi}} {
			if c[0] != c[1] {
				if c[0] < c[1] {
					return -1
				}
				return 1
			}
		}
		return 0
	})
	k.spans = slices.Compact(k.spans)
}

const rowKeysForm = 1

// pack writes the keys in the form of resource.idx_keys.
func (k *rowKeys) pack() []byte {
	b := make([]byte, 0, 12+8*len(k.hashes)+20*len(k.spans))
	b = append(b, rowKeysForm)
	b = binary.AppendVarint(b, k.date)
	b = binary.AppendUvarint(b, uint64(len(k.hashes)))
	for _, h := range k.hashes {
		b = binary.BigEndian.AppendUint64(b, uint64(h))
	}
	for _, s := range k.spans {
		b = binary.BigEndian.AppendUint64(b, uint64(s.p))
		b = binary.BigEndian.AppendUint64(b, uint64(s.lo))
		b = binary.AppendVarint(b, s.hi-s.lo)
	}
	return b
}

// unpackKeys reads what pack wrote; ok is false when the bytes are not of that form.
func unpackKeys(b []byte) (k rowKeys, ok bool) {
	if len(b) == 0 {
		return k, true
	}
	if b[0] != rowKeysForm {
		return k, false
	}
	b = b[1:]
	date, n := binary.Varint(b)
	if n <= 0 {
		return k, false
	}
	k.date, b = date, b[n:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b))/8 {
		return k, false
	}
	b = b[n:]
	k.hashes = make([]int64, count)
	for i := range k.hashes {
		k.hashes[i] = int64(binary.BigEndian.Uint64(b))
		b = b[8:]
	}
	for len(b) > 0 {
		if len(b) < 17 {
			return k, false
		}
		s := spanKey{p: int64(binary.BigEndian.Uint64(b)), lo: int64(binary.BigEndian.Uint64(b[8:]))}
		width, n := binary.Varint(b[16:])
		if n <= 0 {
			return k, false
		}
		s.hi = s.lo + width
		k.spans = append(k.spans, s)
		b = b[16+n:]
	}
	return k, true
}
