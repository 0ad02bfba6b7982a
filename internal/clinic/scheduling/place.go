package scheduling

import "sort"

// place gives every block a lane so that none covers another: blocks that overlap, and
// those that overlap them in turn, share the width equally.
func place(blocks []Block) {
	sort.SliceStable(blocks, func(a, b int) bool {
		if blocks[a].From != blocks[b].From {
			return blocks[a].From < blocks[b].From
		}
		if blocks[a].To != blocks[b].To {
			return blocks[a].To > blocks[b].To
		}
		return blocks[a].ID < blocks[b].ID
	})
	for start := 0; start < len(blocks); {
		// The cluster [start, end): each block overlaps the union of those before it.
		end, until := start, blocks[start].To
		var lanes []int // end of the last block in each lane
		for ; end < len(blocks) && (end == start || blocks[end].From < until); end++ {
			b := &blocks[end]
			until = max(until, b.To)
			b.Lane = -1
			for l, free := range lanes {
				if free <= b.From {
					b.Lane, lanes[l] = l, b.To
					break
				}
			}
			if b.Lane < 0 {
				b.Lane = len(lanes)
				lanes = append(lanes, b.To)
			}
		}
		for i := start; i < end; i++ {
			blocks[i].Lanes = len(lanes)
			blocks[i].Double = len(lanes) > 1 && blocks[i].Status != Cancelled && blocks[i].Status != NoShow
		}
		start = end
	}
}

// frame is the whole-hour frame that holds the opening hours and every block.
func frame(opens, closes int, columns []Column) (int, int) {
	for _, c := range columns {
		for _, s := range c.Hours {
			opens, closes = min(opens, s.From), max(closes, s.To)
		}
		for _, b := range c.Blocks {
			opens, closes = min(opens, b.From), max(closes, b.To)
		}
	}
	return opens / 60 * 60, (closes + 59) / 60 * 60
}
