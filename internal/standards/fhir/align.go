package fhir

import "yarrow.health/internal/standards/fhirjson"

// align finds for each item of after the item of before that it was, or -1 if
// it is new. Equal items are found first, in order and then wherever they
// moved; what is left is paired by its id and then by how much it has in
// common. No item of before is used twice.
func align(before, after []fhirjson.Node) []int {
	from := make([]int, len(after))
	used := make([]bool, len(before))
	for i := range from {
		from[i] = -1
	}
	take := func(i, j int) { from[i], used[j] = j, true }

	// The unchanged head and tail, which is nearly always most of the list.
	head := 0
	for head < len(before) && head < len(after) && same(&before[head], &after[head]) {
		take(head, head)
		head++
	}
	b, a := len(before), len(after)
	for b > head && a > head && same(&before[b-1], &after[a-1]) {
		b, a = b-1, a-1
		take(a, b)
	}
	for i := head; i < a; i++ {
		for j := head; j < b; j++ {
			if !used[j] && same(&before[j], &after[i]) {
				take(i, j)
				break
			}
		}
	}
	for i := head; i < a; i++ {
		if from[i] < 0 {
			if j := mostAlike(before, used, head, b, &after[i]); j >= 0 {
				take(i, j)
			}
		}
	}
	return from
}

// mostAlike returns the unused item of before[low:high] that has most in
// common with n, the first of equals, or -1 if none has anything.
func mostAlike(before []fhirjson.Node, used []bool, low, high int, n *fhirjson.Node) int {
	best, most := -1, 0
	for j := low; j < high; j++ {
		if used[j] {
			continue
		}
		if score := alike(&before[j], n); score > most {
			best, most = j, score
		}
	}
	return best
}

// alike counts equal values of two trees. Objects with different ids have
// nothing in common, with the same id everything.
func alike(a, b *fhirjson.Node) int {
	switch {
	case a.Kind() != b.Kind():
		return 0
	case a.Kind() == fhirjson.Object:
		idA, idB := a.Get("id"), b.Get("id")
		if idA != nil && idB != nil {
			if idA.Text() != idB.Text() {
				return 0
			}
			return 1 << 20
		}
		score := 0
		for i := range a.Members() {
			m := &a.Members()[i]
			if other := b.Get(m.Name); other != nil {
				score += alike(&m.Value, other)
			}
		}
		return score
	case a.Kind() == fhirjson.Array:
		score := 0
		for i := range min(a.Len(), b.Len()) {
			score += alike(&a.Items()[i], &b.Items()[i])
		}
		return score
	case same(a, b):
		return 1
	}
	return 0
}
