package terminology

import (
	mathbits "math/bits"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode"
)

// wordIndex finds the concepts of a code system by the words of their names. It is built once, when a system is first searched.
type wordIndex struct {
	words []string // every word once, sorted
	masks []uint32 // which letters and digits a word has
	end   []uint32 // postings of word i: posts[end[i-1]:end[i]]
	posts []uint32 // concept<<2 | postOwn | postFirst
	base  []int16  // of each concept: what it is worth whatever was typed
	pool  sync.Pool

	mu    sync.Mutex
	short map[shortQuery][]Hit // what Pick found for beginnings of words, which everybody types and most concepts have
}

type shortQuery struct {
	text string
	n    int
}

// Limits of what is kept of short queries.
const (
	shortText = 3 // bytes
	shortKept = 2000
	shortHits = 50
)

const (
	postFirst = 1 << iota // the first word of a name
	postOwn               // stands in the system's own name, not among the everyday words
)

func indexWords(s *CodeSystem) *wordIndex {
	at := make(map[string]uint32, 1<<12)
	var words []string
	type pair struct{ word, post uint32 }
	pairs := make([]pair, 0, s.Len()*6)
	put := func(i Ref, text string, own uint32) {
		for k, w := range split(text) {
			n, ok := at[w]
			if !ok {
				n = uint32(len(words))
				w = strings.Clone(w)
				at[w] = n
				words = append(words, w)
			}
			p := uint32(i)<<2 | own
			if k == 0 {
				p |= postFirst
			}
			pairs = append(pairs, pair{n, p})
		}
	}
	for i := range Ref(s.Len()) {
		put(i, s.Display(i), postOwn)
		if s.everyday != nil && s.everyday[i] != "" {
			for _, w := range strings.Split(s.everyday[i], ";") {
				put(i, w, 0)
			}
		}
		if from, to := span(s.moreEnd, i); from < to {
			var e Entry
			unpackMore(s.more[from:to], &e)
			for _, d := range e.Designations {
				put(i, d.Value, 0)
			}
		}
	}
	order := make([]uint32, len(words))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(words[a], words[b]) })
	x := &wordIndex{words: make([]string, len(words)), masks: make([]uint32, len(words)), end: make([]uint32, len(words)), posts: make([]uint32, len(pairs))}
	rank := make([]uint32, len(words))
	for to, from := range order {
		x.words[to], x.masks[to], rank[from] = words[from], mask(words[from]), uint32(to)
	}
	for _, p := range pairs {
		x.end[rank[p.word]]++
	}
	for i := 1; i < len(x.end); i++ {
		x.end[i] += x.end[i-1]
	}
	next := make([]uint32, len(words))
	copy(next[min(1, len(next)):], x.end)
	for _, p := range pairs {
		r := rank[p.word]
		x.posts[next[r]] = p.post
		next[r]++
	}
	n := s.Len()
	x.base = make([]int16, n)
	for i := range Ref(n) {
		x.base[i] = int16(s.base(i))
	}
	x.pool.New = func() any { return &scratch{total: make([]int32, n), once: make([]int32, n), found: make([]uint8, n)} }
	return x
}

// scratch is the working space of one search.
type scratch struct {
	total, once []int32
	found       []uint8
	seen        []Ref
	touched     []Ref
}

// Hit is a found concept; hits come best first.
type Hit struct {
	Ref   Ref
	Score int
}

// shorthand is what people type for long words. It is tried beside what they typed.
var shorthand = map[string]string{
	"abd": "abdominal", "abn": "abnormal", "adhd": "attention deficit hyperactivity", "afib": "atrial fibrillation", "aki": "acute kidney failure", "bph": "benign prostatic hyperplasia",
	"bilat": "bilateral", "ca": "malignant neoplasm", "cad": "coronary artery disease", "chf": "heart failure", "ckd": "chronic kidney disease", "copd": "chronic obstructive pulmonary disease",
	"cva": "cerebral infarction", "dm": "diabetes mellitus", "dm1": "type 1 diabetes", "dm2": "type 2 diabetes", "dvt": "deep vein thrombosis", "dz": "disease", "esrd": "end stage renal disease",
	"fb": "foreign body", "fx": "fracture", "gerd": "gastro esophageal reflux", "gi": "gastrointestinal", "htn": "hypertension", "hx": "history", "ibs": "irritable bowel", "lbp": "low back pain",
	"lt": "left", "mdd": "major depressive disorder", "mi": "myocardial infarction", "ms": "multiple sclerosis", "oa": "osteoarthritis", "osa": "obstructive sleep apnea", "pna": "pneumonia",
	"ptsd": "post traumatic stress", "pvd": "peripheral vascular disease", "ra": "rheumatoid arthritis", "rt": "right", "sob": "shortness of breath", "t1dm": "type 1 diabetes", "t2dm": "type 2 diabetes",
	"tb": "tuberculosis", "tia": "transient ischemic", "unsp": "unspecified", "unspec": "unspecified", "uri": "upper respiratory infection", "uti": "urinary tract infection", "w": "with", "wo": "without",
	"er": "extended release", "xr": "extended release", "inj": "injection", "susp": "suspension", "tab": "tablet", "cap": "capsule", "asa": "aspirin", "apap": "acetaminophen", "hctz": "hydrochlorothiazide",
	"wbc": "leukocytes", "rbc": "erythrocytes", "hgb": "hemoglobin", "hct": "hematocrit", "plt": "platelets", "cr": "creatinine", "gluc": "glucose", "chol": "cholesterol", "trig": "triglyceride",
	"tumour": "tumor", "oedema": "edema", "anaemia": "anemia", "haemorrhage": "hemorrhage", "diarrhoea": "diarrhea", "oesophagus": "esophagus", "paediatric": "pediatric", "fibre": "fiber",
}

// Search finds up to n concepts (n < 0: all) for what a person typed, best first: words in any order, cut short, misspelled or in
// shorthand, or the beginning of a code. keep, when not nil, says which concepts count. When no concept has every word, those
// with all but one are given.
func (s *CodeSystem) Search(text string, n int, keep func(Ref) bool) []Hit {
	if n == 0 || s.Len() == 0 {
		return nil
	}
	if len(text) > longestQuery {
		text = strings.ToValidUTF8(text[:longestQuery], "")
	}
	if hits := s.byCodeStart(text, n, keep); len(hits) > 0 {
		return hits
	}
	words := split(text)
	if len(words) > mostWords {
		words = words[:mostWords]
	}
	top := topList{n: n}
	if len(words) == 0 {
		if strings.TrimSpace(text) == "" {
			for i := range Ref(s.Len()) {
				if s.Common(i) && (keep == nil || keep(i)) {
					top.put(Hit{i, 0})
				}
			}
		}
		return top.hits()
	}
	x := s.words()
	w := x.pool.Get().(*scratch)
	defer x.pool.Put(w)
	whole := strings.Join(words, " ")
	variants := [][]string{words}
	for i, word := range words {
		if long, ok := shorthand[word]; ok && len(variants) < 4 {
			v := slices.Concat(words[:i], split(long), words[i+1:])
			variants = append(variants, v[:min(len(v), mostWords)])
		}
	}
	// With every word first; then, when nothing has them all, with all but one.
	for miss := range 2 {
		for k, v := range variants {
			if len(v) <= miss {
				continue
			}
			x.collect(v, w, miss == 0)
			for _, i := range w.seen {
				if int(w.found[i]) < len(v)-miss {
					continue
				}
				score := int(w.total[i])*2/len(v) - 10*min(k, 1) + int(x.base[i])
				if top.full && score+itself < top.floor || keep != nil && !keep(i) {
					continue
				}
				top.put(Hit{i, score + s.isItself(i, whole)})
			}
			w.reset()
		}
		if len(top.list) > 0 {
			break
		}
	}
	return top.hits()
}

// Pick is Search among the concepts that can be chosen: neither retired nor headings.
func (s *CodeSystem) Pick(text string, n int) []Hit {
	can := func(i Ref) bool { return !s.Inactive(i) && !s.Abstract(i) }
	if n < 1 || n > shortHits || len(text) > shortText || s.Len() == 0 {
		return s.Search(text, n, can)
	}
	x, q := s.words(), shortQuery{strings.Clone(text), n}
	x.mu.Lock()
	hits, ok := x.short[q]
	x.mu.Unlock()
	if ok {
		return slices.Clone(hits)
	}
	hits = s.Search(text, n, can)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.short == nil || len(x.short) >= shortKept {
		x.short = map[shortQuery][]Hit{}
	}
	x.short[q] = slices.Clone(hits)
	return hits
}

// weigh puts the common before the rare, the current before the retired, what can be chosen before headings, and short names first.
func (s *CodeSystem) weigh(i Ref, score int, typed string) int {
	return score + s.base(i) + s.isItself(i, typed)
}

// base is the part of weigh that does not depend on what was typed.
func (s *CodeSystem) base(i Ref) (score int) {
	f := s.flags[i]
	if f&flagCommon != 0 {
		score += 40
	}
	if f&flagInactive != 0 {
		score -= 120
	}
	if f&(flagAbstract|flagHeading) != 0 {
		score -= 30
	}
	return score - min(len(s.Display(i)), 160)/5
}

// itself is what a concept is worth more whose name is just what was typed.
const itself = 30

func (s *CodeSystem) isItself(i Ref, typed string) int {
	if typed == "" {
		return 0
	}
	d := s.Display(i)
	if n := len(d) - len(typed); n >= 0 && n <= 4 && strings.Join(split(d), " ") == typed {
		return itself
	}
	if s.everyday != nil && s.everyday[i] != "" && alone(s.everyday[i], typed) {
		return itself
	}
	return 0
}

// alone reports whether one of the everyday names is just what was typed, in any order of words.
func alone(everyday, typed string) bool {
	for name := range strings.SplitSeq(everyday, ";") {
		if len(name) != len(typed) {
			continue
		}
		if strings.EqualFold(name, typed) {
			return true
		}
		a, b := split(name), strings.Fields(typed)
		slices.Sort(a)
		slices.Sort(b)
		if slices.Equal(a, b) {
			return true
		}
	}
	return false
}

func (w *scratch) reset() {
	for _, i := range w.seen {
		w.total[i], w.found[i] = 0, 0
	}
	w.seen = w.seen[:0]
}

// collect sums the scores of the words. With all set, only of concepts that have every word: the rarest is looked up first, and
// of the others only what is left counts.
func (x *wordIndex) collect(words []string, w *scratch, all bool) {
	if all && len(words) > 1 {
		words = slices.Clone(words)
		slices.SortStableFunc(words, func(a, b string) int { return x.weight(a) - x.weight(b) })
	}
	for n, word := range words {
		w.touched = w.touched[:0]
		x.match(word, func(k, score int) {
			from, to := span(x.end, Ref(k))
			for _, p := range x.posts[from:to] {
				i := Ref(p >> 2)
				if all && int(w.found[i]) != n {
					continue
				}
				v := int32(score)
				if p&postOwn != 0 {
					v += inName
				}
				if p&postFirst != 0 {
					v += leads
				}
				if w.once[i] == 0 {
					w.touched = append(w.touched, i)
				}
				w.once[i] = max(w.once[i], v)
			}
		})
		for _, i := range w.touched {
			if w.found[i] == 0 {
				w.seen = append(w.seen, i)
			}
			w.total[i] += w.once[i]
			w.found[i]++
			w.once[i] = 0
		}
	}
}

// beginning is the range of the words that begin with w.
func (x *wordIndex) beginning(w string) (from, to int) {
	from = sort.SearchStrings(x.words, w)
	to = from + sort.Search(len(x.words)-from, func(i int) bool { return !strings.HasPrefix(x.words[from+i], w) })
	return from, to
}

// weight is how many postings the words have that begin with w.
func (x *wordIndex) weight(w string) int {
	from, to := x.beginning(w)
	if from == to {
		return 0
	}
	first, _ := span(x.end, Ref(from))
	_, last := span(x.end, Ref(to-1))
	return int(last - first)
}

// match calls visit for every known word that is, begins with, or nearly is w. Misspellings are looked for only when few words
// begin that way, so that a short prefix stays fast.
func (x *wordIndex) match(w string, visit func(word, score int)) {
	from, to := x.beginning(w)
	exact := false
	for i := from; i < to; i++ {
		if x.words[i] == w {
			exact = true
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
	}
	if exact {
		limit = min(limit, 1)
	}
	if limit == 0 {
		return
	}
	m := mask(w)
	for i := 0; i < len(x.words); i++ {
		if i == from {
			if i = to; i == len(x.words) {
				break
			}
		}
		k := x.words[i]
		if mathbits.OnesCount32(m&^x.masks[i]) > limit || len(k) < len(w)-limit {
			continue
		}
		head := k[:min(len(k), len(w)+limit)]
		if d := nearly(w, head, limit); d == 2 {
			visit(i, close2-min(abs(len(k)-len(w)), 10))
		} else if d < 2 && d <= limit {
			visit(i, close1-min(abs(len(k)-len(w)), 10))
		}
	}
}

// byCodeStart finds codes that begin with what was typed, if it looks like a code at all.
func (s *CodeSystem) byCodeStart(text string, n int, keep func(Ref) bool) []Hit {
	code := strings.TrimSpace(text)
	if len(code) < 2 || strings.IndexFunc(code, unicode.IsDigit) < 0 || strings.ContainsAny(code, " ") {
		return nil
	}
	if s.URL == ICD10CM && len(code) > 3 && !strings.Contains(code, ".") {
		code = code[:3] + "." + code[3:]
	}
	code = s.key(code)
	if s.CaseSensitive && s.URL != "" {
		code = s.key(strings.ToUpper(code))
	}
	at := sort.Search(len(s.byCode), func(i int) bool { return s.key(s.Code(Ref(s.byCode[i]))) >= code })
	top := topList{n: n}
	for ; at < len(s.byCode); at++ {
		i := Ref(s.byCode[at])
		c := s.key(s.Code(i))
		if !strings.HasPrefix(c, code) {
			break
		}
		if keep == nil || keep(i) {
			score := 600 - 10*len(c)
			if c == code {
				score += 1000
			}
			top.put(Hit{i, s.weigh(i, score, "")})
		}
	}
	return top.hits()
}

// topList keeps the n best hits; n < 0 keeps all.
type topList struct {
	n     int
	list  []Hit
	seen  map[Ref]bool
	floor int // what is worth less cannot be among the best
	full  bool
}

func better(a, b Hit) int {
	if a.Score != b.Score {
		return b.Score - a.Score
	}
	return int(a.Ref - b.Ref)
}

func (t *topList) put(h Hit) {
	if t.full && h.Score < t.floor {
		return
	}
	if t.n < 0 || len(t.list) < 4*t.n+64 {
		t.list = append(t.list, h)
		return
	}
	t.trim()
	t.list = append(t.list, h)
}

// trim sorts, drops what was found twice, and keeps the best.
func (t *topList) trim() {
	slices.SortFunc(t.list, better)
	if t.seen == nil {
		t.seen = map[Ref]bool{}
	}
	clear(t.seen)
	out := t.list[:0]
	for _, h := range t.list {
		if !t.seen[h.Ref] && (t.n < 0 || len(out) < t.n) {
			t.seen[h.Ref] = true
			out = append(out, h)
		}
	}
	t.list = out
	if t.n >= 0 && len(out) == t.n {
		t.full, t.floor = true, out[len(out)-1].Score
	}
}

func (t *topList) hits() []Hit {
	t.trim()
	return t.list
}
