package patient

import (
	"math/bits"
	"sort"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// entry is one patient in memory: what a list shows and what a search looks at.
// Folded words are shared with the index, so an entry costs some 300 bytes.
type entry struct {
	Hit
	family, given string   // folded
	words         []string // folded parts of every name ever recorded
	numbers       string   // digits of MRN and telephone numbers, each behind a '|'
	died          string   // date of death as recorded
	labels        int64    // auth.Label bits
	live          bool
}

// index is the searchable memory of one practice's patients. Not safe for concurrent use.
type index struct {
	byID    map[string]int32
	entries []entry
	words   map[string][]int32 // folded word → entries
	births  map[string][]int32
	sorted  []string // keys of words in order; nil when stale
	masks   []uint32 // letter set of sorted[i], to reject typo candidates cheaply
}

func newIndex() *index {
	return &index{byID: map[string]int32{}, words: map[string][]int32{}, births: map[string][]int32{}}
}

func (x *index) put(e entry) {
	e.live = true
	i, ok := x.byID[e.ID]
	if ok {
		x.unlink(i)
		x.entries[i] = e
	} else {
		i = int32(len(x.entries))
		x.entries = append(x.entries, e)
		x.byID[e.ID] = i
	}
	for _, w := range e.words {
		p, known := x.words[w]
		if !known {
			x.sorted = nil
		}
		x.words[w] = append(p, i)
	}
	if e.BirthDate != "" {
		x.births[e.BirthDate] = append(x.births[e.BirthDate], i)
	}
}

func (x *index) remove(id string) {
	if i, ok := x.byID[id]; ok {
		x.unlink(i)
		x.entries[i] = entry{}
		delete(x.byID, id)
	}
}

func (x *index) unlink(i int32) {
	e := &x.entries[i]
	for _, w := range e.words {
		if p := without(x.words[w], i); len(p) == 0 {
			delete(x.words, w)
			x.sorted = nil
		} else {
			x.words[w] = p
		}
	}
	if p := without(x.births[e.BirthDate], i); len(p) == 0 {
		delete(x.births, e.BirthDate)
	} else {
		x.births[e.BirthDate] = p
	}
	e.live = false
}

func without(p []int32, i int32) []int32 {
	out := make([]int32, 0, len(p))
	for _, v := range p {
		if v != i {
			out = append(out, v)
		}
	}
	return out
}

func (x *index) order() {
	if x.sorted != nil {
		return
	}
	x.sorted = make([]string, 0, len(x.words))
	for w := range x.words {
		x.sorted = append(x.sorted, w)
	}
	sort.Strings(x.sorted)
	x.masks = make([]uint32, len(x.sorted))
	for i, w := range x.sorted {
		x.masks[i] = letters(w)
	}
}

func letters(w string) uint32 {
	var m uint32
	for i := 0; i < len(w); i++ {
		m |= 1 << (w[i] & 31)
	}
	return m
}

// Strength of a word's match; the sum over the query's words orders the hits.
const (
	strengthTypo2  = 1
	strengthTypo1  = 2
	strengthPrefix = 4
	strengthExact  = 5
)

// find returns the entries that match every part of the query, strongest first.
func (x *index) find(query string, today time.Time, n int) []int32 {
	names, birth, number := parts(query, today)
	scores := map[int32]int{}
	started := false
	narrow := func(found map[int32]int) {
		if !started {
			scores, started = found, true
			return
		}
		for i, s := range scores {
			if f, ok := found[i]; ok {
				scores[i] = s + f
			} else {
				delete(scores, i)
			}
		}
	}
	if birth != "" {
		found := map[int32]int{}
		for _, i := range x.births[birth] {
			found[i] = strengthExact
		}
		narrow(found)
	}
	if number != "" {
		found := map[int32]int{}
		for i := range x.entries {
			e := &x.entries[i]
			if !e.live {
				continue
			}
			if strings.Contains(e.numbers, "|"+number) {
				found[int32(i)] = strengthExact
			} else if len(number) >= 4 && strings.Contains(e.numbers, number) {
				found[int32(i)] = strengthPrefix
			}
		}
		narrow(found)
	}
	for _, w := range names {
		narrow(x.word(w))
	}
	out := make([]int32, 0, len(scores))
	for i := range scores {
		out = append(out, i)
	}
	sort.Slice(out, func(a, b int) bool {
		ea, eb := &x.entries[out[a]], &x.entries[out[b]]
		if sa, sb := scores[out[a]], scores[out[b]]; sa != sb {
			return sa > sb
		}
		return less(ea, eb)
	})
	if n > 0 && len(out) > n {
		out = out[:n]
	}
	return out
}

func less(a, b *entry) bool {
	if a.family != b.family {
		return a.family < b.family
	}
	if a.given != b.given {
		return a.given < b.given
	}
	if a.BirthDate != b.BirthDate {
		return a.BirthDate < b.BirthDate
	}
	return a.ID < b.ID
}

// word finds the entries with a name part equal to w, starting with w, or, when there
// is none of either, spelled nearly like w.
func (x *index) word(w string) map[int32]int {
	x.order()
	found := map[int32]int{}
	at := sort.SearchStrings(x.sorted, w)
	for ; at < len(x.sorted) && strings.HasPrefix(x.sorted[at], w); at++ {
		s := strengthPrefix
		if x.sorted[at] == w {
			s = strengthExact
		}
		for _, i := range x.words[x.sorted[at]] {
			found[i] = max(found[i], s)
		}
	}
	if len(found) > 0 || len(w) < 4 {
		return found
	}
	limit := 1
	if len(w) >= 7 {
		limit = 2
	}
	mask := letters(w)
	for k, s := range x.sorted {
		if d := len(s) - len(w); d > limit || d < -limit || bits.OnesCount32(mask&^x.masks[k]) > limit || bits.OnesCount32(x.masks[k]&^mask) > limit {
			continue
		}
		d := fhir.Edits(w, s, limit)
		if d > limit {
			continue
		}
		strength := strengthTypo1
		if d == 2 {
			strength = strengthTypo2
		}
		for _, i := range x.words[s] {
			found[i] = max(found[i], strength)
		}
	}
	return found
}

// parts splits what was typed into name words, a date of birth and a run of digits.
func parts(query string, today time.Time) (names []string, birth, number string) {
	if d, ok := ParseBirthDate(query, today); ok && !digits(strings.TrimSpace(query)) {
		return nil, d, ""
	}
	var rest []string
	var digitsRun strings.Builder
	for _, f := range strings.Fields(strings.ReplaceAll(query, ",", " ")) {
		if d, ok := ParseBirthDate(f, today); ok && !digits(f) {
			birth = d
			continue
		}
		if n := onlyDigits(f); n != "" && len(n)*2 >= len(f) {
			digitsRun.WriteString(n)
			continue
		}
		rest = append(rest, f)
	}
	return fhirsearch.Words(strings.Join(rest, " ")), birth, digitsRun.String()
}

func onlyDigits(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// alike reports whether two different people could be taken for one another by name.
func alike(a, b *entry) bool {
	if a.family == "" || b.family == "" || a.given == "" || b.given == "" {
		return false
	}
	f, g := fhir.Edits(a.family, b.family, 2), fhir.Edits(a.given, b.given, 2)
	if f == 0 && g <= 2 && (g <= 1 || len(a.given) > 5) {
		return true
	}
	return g == 0 && f <= 1 && len(a.family) > 3 || a.family == b.given && a.given == b.family
}

// lookalikes finds the other patients whose name could be taken for that of entry i.
func (x *index) lookalikes(i int32) []int32 {
	e := &x.entries[i]
	seen := map[int32]bool{i: true}
	var out []int32
	for _, w := range e.words {
		for _, j := range x.words[w] {
			if !seen[j] {
				seen[j] = true
				if alike(e, &x.entries[j]) {
					out = append(out, j)
				}
			}
		}
	}
	return out
}
