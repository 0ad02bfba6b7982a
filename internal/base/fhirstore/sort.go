package fhirstore

import (
	"cmp"
	"slices"

	"yarrow.health/internal/standards/fhirsearch"
)

// sortResources sorts by the keys of _sort: a resource's smallest value when ascending, its largest when
// descending, as R4 says; resources without a value come last.
func sortResources(all []*Resource, q fhirsearch.Query) {
	type keyed struct {
		r    *Resource
		keys []sortKey
	}
	rows := make([]keyed, len(all))
	for i, r := range all {
		values, _ := fhirsearch.Extract(r.Type, r.Node())
		rows[i].r = r
		for _, s := range q.Sort {
			rows[i].keys = append(rows[i].keys, keyFor(r, s, values))
		}
	}
	slices.SortStableFunc(rows, func(a, b keyed) int {
		for i, s := range q.Sort {
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
		return 0
	})
	for i := range rows {
		all[i] = rows[i].r
	}
}

type sortKey struct {
	has  bool
	num  float64
	text string
}

func keyFor(r *Resource, s fhirsearch.Sort, values []fhirsearch.Value) (best sortKey) {
	switch s.Param {
	case "_id":
		return sortKey{has: true, text: r.ID}
	case "_lastUpdated":
		return sortKey{has: true, num: float64(r.Updated.UnixMicro())}
	}
	for i := range values {
		v := &values[i]
		if v.Param != s.Param || v.Modifier != "" || v.Part != "" {
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
			k.num = v.Num
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
