package fhirstore

import (
	"cmp"
	"encoding/binary"
	"math"

	"yarrow.health/internal/standards/fhirsearch"
)

// sorted is what stands for a resource while a search sorts: a resource's smallest value when ascending, its largest when
// descending, as R4 says; resources without a value come last, and equals by id.
type sorted struct {
	keys []sortKey
	id   string
}

func sortedOf(r *Resource, by []fhirsearch.Sort) sorted {
	out := sorted{id: r.ID, keys: make([]sortKey, len(by))}
	for i, s := range by {
		out.keys[i] = keyFor(r, s)
	}
	return out
}

func compareSorted(by []fhirsearch.Sort, a, b *sorted) int {
	for i, s := range by {
		x, y := a.keys[i], b.keys[i]
		if x.has != y.has {
			if x.has {
				return -1
			}
			return 1
		}
		c := cmp.Or(cmp.Compare(x.num, y.num), cmp.Compare(x.text, y.text))
		if s.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(a.id, b.id)
}

// pack writes the keys for a cursor.
func (s *sorted) pack() []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.id)))
	b = append(b, s.id...)
	for _, k := range s.keys {
		if !k.has {
			b = append(b, 0)
			continue
		}
		b = binary.BigEndian.AppendUint64(append(b, 1), math.Float64bits(k.num))
		b = binary.AppendUvarint(b, uint64(len(k.text)))
		b = append(b, k.text...)
	}
	return b
}

func unpackSorted(b []byte, n int) *sorted {
	text := func() (string, bool) {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > uint64(len(b)-used) {
			return "", false
		}
		s := string(b[used : used+int(size)])
		b = b[used+int(size):]
		return s, true
	}
	s := &sorted{keys: make([]sortKey, n)}
	var ok bool
	if s.id, ok = text(); !ok {
		return nil
	}
	for i := range s.keys {
		if len(b) == 0 {
			return nil
		}
		has := b[0]
		if b = b[1:]; has == 0 {
			continue
		}
		if len(b) < 8 {
			return nil
		}
		s.keys[i].has, s.keys[i].num = true, math.Float64frombits(binary.BigEndian.Uint64(b))
		b = b[8:]
		if s.keys[i].text, ok = text(); !ok {
			return nil
		}
	}
	return s
}

type sortKey struct {
	has  bool
	num  float64
	text string
}

func keyFor(r *Resource, s fhirsearch.Sort) (best sortKey) {
	switch s.Param {
	case "_id":
		return sortKey{has: true, text: r.ID}
	case "_lastUpdated":
		return sortKey{has: true, num: float64(r.Updated.UnixMicro())}
	}
	values := fhirsearch.Values(r.Type, s.Param, r.Node())
	for i := range values {
		v := &values[i]
		if v.Modifier != "" || v.Part != "" {
			continue
		}
		k := sortKey{has: true}
		switch v.Kind {
		case fhirsearch.Date:
			k.num = float64(v.Low)
			if s.Desc {
				k.num = float64(v.High)
			}
		case fhirsearch.Number, fhirsearch.Quantity:
			if k.num = v.Num; v.Base.Dim != "" {
				k.num, k.text = v.Base.Num, v.Base.Dim
			}
		case fhirsearch.Reference:
			k.text = v.RefType + "/" + v.RefID + v.RefURL
		case fhirsearch.Token:
			k.text = v.Code
		default:
			k.text = fhirsearch.Fold(v.Text)
		}
		c := cmp.Or(cmp.Compare(k.num, best.num), cmp.Compare(k.text, best.text))
		if !best.has || (c < 0) != s.Desc && c != 0 {
			best = k
		}
	}
	return best
}
