package fhirstore

import (
	"math"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// indexed is everything a resource row and its index rows say about a body.
type indexed struct {
	keys      rowKeys
	span      int64
	facet     int64
	patient   int64 // idh of the first patient whose compartment it is in
	patientID string
	encounter int64
	labels    int64
}

// Values of the column span that are not a length.
const (
	spanOpen    = -1 // no end
	spanSeveral = -2 // several dates: the earliest is in date
	spanOther   = -3 // no value of the date parameter: date comes from another element, if any
)

// The widest dates that are stored; open ends are cut to them so that sums stay within int64.
const (
	minDate = math.MinInt64 / 4
	maxDate = math.MaxInt64 / 4
)

// wordLengths are the lengths in characters at which the beginning of a word gets a row, and nameLengths those of names, which are
// looked for most. What a search knows beyond the longest of them is decided on the body; what is shorter than the first is a facet
// where that is worth one, see shortWords.
var (
	wordLengths = []int{3, 5}
	nameLengths = []int{3, 5, 8}
)

func lengthsOf(param string) []int {
	if param == "name" {
		return nameLengths
	}
	return wordLengths
}

// shortLength is how many characters of a word the facets of shortWords say.
const shortLength = 2

// index computes the rows of a resource from its search values.
// sortDate is where it stands in lists if the date parameter of its type has no value.
func index(k keyspace, typ, id string, values []fhirsearch.Value, labels, sortDate int64) indexed {
	p := planOf(typ)
	out := indexed{labels: labels}
	x := indexer{k: k, p: p, out: &out}
	if typ == "Patient" {
		x.addPatient(id)
	}
	// Whom a resource is about comes before who took part in it: it belongs to the first patient's record.
	for i := range values {
		if v := &values[i]; v.Param == p.subject && v.Kind == fhirsearch.Reference && v.Part == "" {
			x.add(v)
		}
	}
	for i := range values {
		x.add(&values[i])
	}
	x.pairs(values)
	x.numbersByCode(values)
	out.keys.date, out.span = min(max(sortDate, minDate), maxDate), spanOther
	if x.dates > 0 {
		out.keys.date = x.low
		switch {
		case x.dates > 1:
			out.span = spanSeveral
		case x.high >= maxDate:
			out.span = spanOpen
		default:
			out.span = x.high - x.low
		}
	}
	out.keys.normal()
	return out
}

type indexer struct {
	k         keyspace
	p         *plan
	out       *indexed
	patients  []string
	known     map[string]bool // patients as a set
	dates     int
	low, high int64
}

func (x *indexer) key(h int64) { x.out.keys.hashes = append(x.out.keys.hashes, h) }

func (x *indexer) add(v *fhirsearch.Value) {
	if v.Part != "" {
		return // see numbersByCode
	}
	pp, ok := x.p.params[v.Param]
	if !ok && v.Param != "_tag" && v.Param != "_security" && v.Param != "_source" && v.Param != "_profile" {
		return
	}
	switch v.Kind {
	case fhirsearch.Token:
		x.token(v, pp)
	case fhirsearch.Reference:
		x.reference(v, pp)
	case fhirsearch.URI:
		x.text(v.Param, v.Text, pp)
	case fhirsearch.String:
		if v.Modifier == "" {
			x.words(v.Param, v.Text, pp)
		}
	case fhirsearch.Date:
		x.date(v, pp)
	case fhirsearch.Number, fhirsearch.Quantity:
		if pp.mode == byKey {
			x.out.keys.spans = append(x.out.keys.spans, spanKey{x.k.span(x.p.typ, v.Param), ordered(v.NumLow), ordered(v.NumHigh)})
			if uncommon(v) {
				x.out.keys.spans = append(x.out.keys.spans, spanKey{x.k.base(x.p.typ, v.Param, v.Base.Dim), ordered(v.Base.Low), ordered(v.Base.High)})
			}
		}
	}
}

func (x *indexer) token(v *fhirsearch.Value, pp paramPlan) {
	if v.Modifier == "" && v.Code != "" {
		x.text(v.Param, v.Code, pp)
	}
}

// text adds a value compared for equality in the parameter's mode.
func (x *indexer) text(param, value string, pp paramPlan) {
	if param == "_profile" {
		pp.mode = byFacet
	}
	switch pp.mode {
	case byFacet, byRare:
		x.out.facet |= x.k.facetBits(x.p.typ, param, value)
		if pp.mode == byFacet || pp.everyday[value] {
			return
		}
		x.key(x.k.token(x.p.typ, param, value))
	case byKey:
		if pp.kind == "uri" || param == "_source" {
			x.key(x.k.uri(x.p.typ, param, value))
		} else {
			x.key(x.k.token(x.p.typ, param, value))
		}
	}
}

func (x *indexer) reference(v *fhirsearch.Value, pp paramPlan) {
	if v.Modifier != "" {
		return
	}
	if v.RefID == "" {
		if v.RefURL != "" && !strings.HasPrefix(v.RefURL, "#") && pp.mode == byKey {
			x.key(x.k.reference(x.p.typ, v.Param, v.RefURL))
		}
		return
	}
	if v.RefType == "Patient" && x.p.inPatient[v.Param] {
		x.addPatient(v.RefID)
		return
	}
	if v.Param == x.p.encounter && v.RefType == "Encounter" && x.out.encounter == 0 {
		x.out.encounter = x.k.id("Encounter", v.RefID)
	}
	if pp.mode == byKey {
		x.key(x.k.reference(x.p.typ, v.Param, v.RefType+"/"+v.RefID))
	}
}

func (x *indexer) addPatient(id string) {
	if x.known[id] {
		return
	}
	if x.known == nil {
		x.known = map[string]bool{}
	}
	x.known[id] = true
	x.patients = append(x.patients, id)
	if len(x.patients) == 1 {
		x.out.patient, x.out.patientID = x.k.id("Patient", id), id
	}
	if x.p.typ != "Patient" || len(x.patients) > 1 {
		x.key(x.k.patient(x.p.typ, id))
	}
}

func (x *indexer) words(param, text string, pp paramPlan) {
	short := shortWords[param]
	if pp.mode != byKey && !short {
		return
	}
	for _, w := range fhirsearch.Words(text) {
		if begin := shortKey(w); short && begin != "" {
			x.out.facet |= x.k.facetBits(x.p.typ, param, begin)
		}
		if pp.mode == byKey {
			eachPrefix(w, lengthsOf(param), func(prefix string) { x.key(x.k.word(x.p.typ, param, prefix)) })
		}
	}
}

// shortKey is the beginning of a folded word that facets say, "" when the word is shorter.
func shortKey(w string) string {
	n := 0
	for i := range w {
		if n == shortLength {
			return w[:i]
		}
		n++
	}
	if n == shortLength {
		return w
	}
	return ""
}

// eachPrefix calls fn with the beginnings of a folded word that have rows.
func eachPrefix(w string, lengths []int, fn func(string)) {
	n, next := 0, 0
	for i := range w {
		if next < len(lengths) && n == lengths[next] {
			fn(w[:i])
			next++
		}
		n++
	}
	if next < len(lengths) && n == lengths[next] {
		fn(w)
	}
}

// wordKey returns the longest beginning of a searched word that has a row, "" when the word is too short.
func wordKey(w string, lengths []int) (prefix string) {
	eachPrefix(w, lengths, func(p string) { prefix = p })
	return prefix
}

func (x *indexer) date(v *fhirsearch.Value, pp paramPlan) {
	low, high := max(v.Low, minDate), min(v.High, maxDate)
	switch pp.mode {
	case byDate:
		if x.dates == 0 || low < x.low {
			x.low = low
		}
		if x.dates == 0 || high > x.high {
			x.high = high
		}
		x.dates++
	case byKey:
		x.out.keys.spans = append(x.out.keys.spans, spanKey{x.k.span(x.p.typ, v.Param), low, high})
	}
}

// pairs adds the rows of patient and code.
func (x *indexer) pairs(values []fhirsearch.Value) {
	param := pairTypes[x.p.typ]
	if param == "" {
		return
	}
	for i := range values {
		v := &values[i]
		if v.Param != param || v.Kind != fhirsearch.Token || v.Modifier != "" || v.Part != "" || v.Code == "" {
			continue
		}
		for _, patient := range x.patients {
			x.key(x.k.patientCode(x.p.typ, patient, v.Code))
		}
	}
}

// numbersByCode adds the numbers of an Observation under the codes they belong to.
func (x *indexer) numbersByCode(values []fhirsearch.Value) {
	if x.p.typ != "Observation" {
		return
	}
	for len(values) > 0 {
		// The values of a component stand together.
		n := 1
		for n < len(values) && values[n].Param == values[0].Param && values[n].Group == values[0].Group {
			n++
		}
		if values[0].Param == "code-value-quantity" || values[0].Param == "component-code-value-quantity" {
			x.numbersOf(values[:n])
		}
		values = values[n:]
	}
}

func (x *indexer) numbersOf(component []fhirsearch.Value) {
	for i := range component {
		q := &component[i]
		if q.Part == "" || q.Kind != fhirsearch.Quantity {
			continue
		}
		for j := range component {
			c := &component[j]
			if c.Kind == fhirsearch.Token && c.Modifier == "" && c.Code != "" {
				x.out.keys.spans = append(x.out.keys.spans, spanKey{x.k.codeValue(x.p.typ, c.Code), ordered(q.NumLow), ordered(q.NumHigh)})
				if uncommon(q) {
					x.out.keys.spans = append(x.out.keys.spans, spanKey{x.k.baseValue(x.p.typ, c.Code, q.Base.Dim), ordered(q.Base.Low), ordered(q.Base.High)})
				}
			}
		}
	}
}

// maxValues bounds what the index holds of one resource. Each value is up to three rows, and a write with more than this takes longer
// than anyone waits.
const maxValues = 100_000

// manyValues refuses a resource that would fill the index.
func manyValues(typ string, values []fhirsearch.Value) *fhir.Issue {
	rows := len(values)
	if param := pairTypes[typ]; param != "" {
		codes, patients := 0, 0
		for i := range values {
			switch v := &values[i]; {
			case v.Kind == fhirsearch.Token && v.Param == param && v.Part == "":
				codes++
			case v.Kind == fhirsearch.Reference && v.RefType == "Patient" && v.Part == "":
				patients++
			}
		}
		rows = max(rows, codes*patients)
	}
	if rows <= maxValues {
		return nil
	}
	return fhir.Problem("too-costly", "This "+typ+" has more than 100,000 values that can be searched for.", "Split it into several resources.")
}

// uncommon says that an amount is in a UCUM unit that searches do not look in one by one.
func uncommon(v *fhirsearch.Value) bool {
	return v.Base.Dim != "" && !slices.Contains(fhirsearch.CommonUnits(v.Base.Dim), v.Code)
}

// labelsOf is the label mask of meta.security.
func labelsOf(n *fhirjson.Node) (mask int64) {
	for _, c := range n.Get("meta").Get("security").Items() {
		mask |= auth.LabelOf(c.Get("system").Text(), c.Get("code").Text())
	}
	return mask
}
