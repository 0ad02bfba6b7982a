package fhirpath

import "sort"

// runSort orders by one or more keys; a key written with a leading minus sorts down.
func runSort(c *evaluator, f *call, in Collection) (Collection, error) {
	type row struct {
		it   Item
		keys []Collection
	}
	rows := make([]row, len(in))
	for i, it := range in {
		rows[i].it = it
		if len(f.args) == 0 {
			rows[i].keys = []Collection{{it}}
		}
	}
	down := make([]bool, max(len(f.args), 1))
	for k, a := range f.args {
		key := a
		if s, ok := a.(*signOp); ok && s.negate {
			down[k], key = true, s.of
		}
		i := 0
		if err := c.each(in, key, func(_ Item, r Collection) (bool, error) {
			rows[i].keys = append(rows[i].keys, r)
			i++
			return true, nil
		}); err != nil {
			return nil, err
		}
	}
	var fault error
	sort.SliceStable(rows, func(i, j int) bool {
		for k := range rows[i].keys {
			cmp, err := compareKeys(rows[i].keys[k], rows[j].keys[k])
			if err == nil {
				err = c.spend(1)
			}
			if err != nil {
				fault = err
				return false
			}
			if cmp != 0 {
				return (cmp < 0) != down[k]
			}
		}
		return false
	})
	out := make(Collection, len(rows))
	for i := range rows {
		out[i] = rows[i].it
	}
	return out, fault
}

// compareKeys orders sort keys; empty comes first.
func compareKeys(a, b Collection) (int, error) {
	x, okX, err := one(a)
	if err != nil {
		return 0, err
	}
	y, okY, err := one(b)
	if err != nil {
		return 0, err
	}
	switch {
	case !okX && !okY:
		return 0, nil
	case !okX:
		return -1, nil
	case !okY:
		return 1, nil
	}
	cmp, _, err := compare(x, y)
	return cmp, err
}
