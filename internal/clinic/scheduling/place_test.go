package scheduling

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// No two visits side by side share a lane, and every lane of a cluster is used.
func TestPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		blocks := make([]Block, n)
		for i := range blocks {
			from := rapid.IntRange(0, 40).Draw(t, "from") * 5
			blocks[i] = Block{ID: fmt.Sprint(i), From: from, To: from + rapid.IntRange(1, 12).Draw(t, "len")*5, Status: Booked}
		}
		place(blocks)
		for i, a := range blocks {
			if a.Lane < 0 || a.Lane >= a.Lanes {
				t.Fatalf("lane %d of %d", a.Lane, a.Lanes)
			}
			alone := true
			for j, b := range blocks {
				if i == j || a.To <= b.From || b.To <= a.From {
					continue
				}
				alone = false
				if a.Lane == b.Lane || a.Lanes != b.Lanes {
					t.Fatalf("%+v and %+v", a, b)
				}
			}
			if alone == a.Double && a.Lanes == 1 {
				t.Fatalf("%+v", a)
			}
		}
	})
}

func TestNextStep(t *testing.T) {
	s, steps := Booked, ""
	for s != "" {
		steps += string(s) + " "
		s = s.Next()
	}
	if steps != "booked arrived roomed in-visit done " {
		t.Error(steps)
	}
}
