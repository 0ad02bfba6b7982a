package terminology

import (
	mathbits "math/bits"
	"sort"
	"strings"
	"unicode"
)

// index finds concepts by the words of their names.
type index struct {
	words []string  // every word once, sorted
	masks []uint32  // per word: which letters and digits it has
	posts [][]entry // per word: where it stands
}

type entry struct {
	concept int32
	own     bool // stands in the name itself, not among the everyday words
	first   bool // is the first word of the name or of an everyday word
}

// Weights of a match of one typed word. A whole word is worth more than its beginning,
// that more than a misspelling.
const (
	whole  = 100
	begins = 70
	close1 = 45
	close2 = 30
	inName = 6 // the word stands in the name itself
	leads  = 8 // it leads the name or the everyday word
)

func build(concepts []Concept, lists []string) index {
	at := map[string]int32{}
	var x index
	put := func(i int, text string, own bool) {
		for k, w := range split(text) {
			n, ok := at[w]
			if !ok {
				n = int32(len(x.words))
				at[w] = n
				x.words = append(x.words, w)
				x.posts = append(x.posts, nil)
			}
			p := x.posts[n]
			if len(p) == 0 || p[len(p)-1].concept != int32(i) {
				x.posts[n] = append(p, entry{int32(i), own, k == 0})
			} else if k == 0 {
				p[len(p)-1].first = true
			}
		}
	}
	for i := range concepts {
		put(i, concepts[i].Display, true)
		for _, w := range concepts[i].Words {
			put(i, w, false)
		}
	}
	order := make([]int, len(x.words))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return x.words[order[a]] < x.words[order[b]] })
	sorted := index{words: make([]string, len(order)), masks: make([]uint32, len(order)), posts: make([][]entry, len(order))}
	for to, from := range order {
		sorted.words[to], sorted.posts[to], sorted.masks[to] = x.words[from], x.posts[from], mask(x.words[from])
	}
	return sorted
}

// split cuts a text into lower-case words of letters and digits, marks stripped.
func split(s string) []string {
	return strings.FieldsFunc(fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\'', '’':
			return -1
		case 'é', 'è', 'ê', 'É':
			return 'e'
		case 'á', 'à', 'ä', 'Á':
			return 'a'
		case 'ó', 'ö', 'ô', 'Ó':
			return 'o'
		case 'í', 'ï', 'Í':
			return 'i'
		case 'ú', 'ü', 'Ú':
			return 'u'
		case 'ñ', 'Ñ':
			return 'n'
		case 'ç':
			return 'c'
		}
		return unicode.ToLower(r)
	}, s)
}

func mask(w string) uint32 {
	var m uint32
	for i := 0; i < len(w); i++ {
		switch c := w[i]; {
		case c >= 'a' && c <= 'z':
			m |= 1 << (c - 'a')
		case c >= '0' && c <= '9':
			m |= 1 << (26 + (c-'0')%6)
		}
	}
	return m
}

const (
	longestQuery = 200 // bytes; what is typed beyond that is not looked at
	mostWords    = 8
)

// Search finds up to n concepts of a system or list ("" for all) for what a person typed,
// best first. Words may stand in any order, be cut short or misspelled, and be a name, an
// everyday word, an abbreviation or the beginning of a code. When no concept has every
// word, those with all but one are given. An empty text gives the very common concepts.
func Search(system, text string, n int) []Concept {
	if n <= 0 {
		return nil
	}
	t := load()
	if len(text) > longestQuery {
		text = strings.ToValidUTF8(text[:longestQuery], "")
	}
	words := split(text)
	if len(words) > mostWords {
		words = words[:mostWords]
	}
	here := func(i int32) bool { return system == "" || t.lists[i] == system }
	var hits []hit
	if len(words) == 0 {
		if strings.TrimSpace(text) != "" {
			return nil
		}
		for i := range t.concepts {
			if t.concepts[i].common > 0 && here(int32(i)) {
				hits = append(hits, hit{int32(i), 0})
			}
		}
		return t.best(hits, n)
	}
	hits = t.byCodeStart(text, here)
	if len(hits) == 0 {
		hits = t.byWords(words, here)
	}
	return t.best(hits, n)
}

type hit struct {
	concept int32
	score   int
}

// byCodeStart finds codes that begin with what was typed, if it looks like a code at all.
func (t *table) byCodeStart(text string, here func(int32) bool) []hit {
	code := strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(text), ".", ""))
	if len(code) < 3 || strings.IndexFunc(code, unicode.IsDigit) < 0 || strings.ContainsAny(code, " ") {
		return nil
	}
	var hits []hit
	for i := range t.concepts {
		c := t.concepts[i].Code
		if t.concepts[i].System == ICD10CM {
			c = strings.ReplaceAll(c, ".", "")
		}
		if strings.HasPrefix(c, code) && here(int32(i)) {
			s := 300
			if c == code {
				s = 1000
			}
			hits = append(hits, hit{int32(i), s - len(c)})
		}
	}
	return hits
}

func (t *table) byWords(words []string, here func(int32) bool) []hit {
	total := make([]int32, len(t.concepts))
	found := make([]uint8, len(t.concepts))
	once := make([]int32, len(t.concepts)) // best score of the present word
	var touched []int32
	for _, w := range words {
		touched = touched[:0]
		t.index.match(w, func(word, score int) {
			for _, p := range t.index.posts[word] {
				s := int32(score)
				if p.own {
					s += inName
				}
				if p.first {
					s += leads
				}
				if once[p.concept] == 0 {
					touched = append(touched, p.concept)
				}
				once[p.concept] = max(once[p.concept], s)
			}
		})
		for _, c := range touched {
			total[c] += once[c]
			found[c]++
			once[c] = 0
		}
	}
	for need := len(words); need > 0 && need >= len(words)-1; need-- {
		var hits []hit
		for i := range total {
			if int(found[i]) >= need && here(int32(i)) {
				hits = append(hits, hit{int32(i), int(total[i])})
			}
		}
		if len(hits) > 0 {
			return hits
		}
	}
	return nil
}

// match calls visit for every known word that is, begins with, or nearly is w.
func (x *index) match(w string, visit func(word, score int)) {
	from := sort.SearchStrings(x.words, w)
	for i := from; i < len(x.words) && strings.HasPrefix(x.words[i], w); i++ {
		if x.words[i] == w {
			visit(i, whole)
		} else {
			visit(i, begins-min(len(x.words[i])-len(w), 10))
		}
	}
	limit := 0
	switch {
	case len(w) >= 8:
		limit = 2
	case len(w) >= 4:
		limit = 1
	default:
		return
	}
	m := mask(w)
	for i, k := range x.words {
		if strings.HasPrefix(k, w) || len(k) < len(w)-limit || mathbits.OnesCount32(m&^x.masks[i]) > limit {
			continue
		}
		// The beginning of a longer word may be misspelled too.
		head := k
		if len(head) > len(w)+limit {
			head = head[:len(w)+limit]
		}
		d := nearly(w, head, limit)
		if d > limit {
			continue
		}
		switch d {
		case 0, 1:
			visit(i, close1-min(abs(len(k)-len(w)), 10))
		case 2:
			visit(i, close2-min(abs(len(k)-len(w)), 10))
		}
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// nearly is the least number of changed, missing, added or swapped bytes that makes w some
// beginning of k, or limit+1 when there are more.
func nearly(w, k string, limit int) int {
	const widest = 48
	if len(w) > widest-2 || len(k) > widest-2 {
		return limit + 1
	}
	var rows [3][widest]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := 0; j <= len(k); j++ {
		last[j] = j
	}
	for i := 1; i <= len(w); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(k); j++ {
			cost := 1
			if w[i-1] == k[j-1] {
				cost = 0
			}
			d := min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && w[i-1] == k[j-2] && w[i-2] == k[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	best := limit + 1
	for j := max(0, len(w)-limit); j <= len(k); j++ {
		best = min(best, last[j])
	}
	return best
}

// best orders hits: score, then common before rare, current before retired, short names first.
func (t *table) best(hits []hit, n int) []Concept {
	weigh := func(h hit) int {
		c := &t.concepts[h.concept]
		s := h.score + 12*int(c.common)
		if c.Retired {
			s -= 40
		}
		return s - min(len(c.Display), 80)/8
	}
	sort.SliceStable(hits, func(a, b int) bool {
		x, y := weigh(hits[a]), weigh(hits[b])
		if x != y {
			return x > y
		}
		return hits[a].concept < hits[b].concept
	})
	out := make([]Concept, 0, min(n, len(hits)))
	for _, h := range hits {
		if len(out) == n {
			break
		}
		out = append(out, t.concepts[h.concept])
	}
	return out
}
