// Package patient answers "who is this?": the identity shown beside every chart, the
// list of the practice's patients, how to find one of them, and how to add a new one
// without making a second chart for somebody who already has one.
//
// It owns the resource types Patient, Person and RelatedPerson. It never holds anything
// clinical.
package patient

import (
	"context"
	"sort"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// Hit is one patient as a list shows them: enough to tell two people apart.
type Hit struct {
	ID         string
	Name       Name
	BirthDate  string // as recorded
	Age        string
	Sex        string // F, M, X, U
	MRN        string
	Phone      string
	Deceased   bool
	Inactive   bool
	Restricted bool
	// Closed marks a patient of whose record this person sees nothing: only ID and Name are there, so that a colleague
	// who must see it in an emergency can ask for it. Only people get such hits, programs never.
	Closed bool
	// Alike is set when another patient's name could be taken for this one; Twins is how
	// many there are.
	Alike bool
	Twins int
	// Why tells what a possible duplicate has in common: "name", "birth date", "mrn", "phone".
	Why []string
}

// Directory is the list of each practice's patients, held in memory because the database
// keeps names only sealed and hashed: ordered lists, prefixes and typos need the words.
// It is built when first asked for and kept current by the change sequence.
type Directory struct {
	db    *db.DB
	store *fhirstore.Store

	mu   sync.Mutex
	kept map[db.PracticeID]*memory
	used []db.PracticeID // least recently used first
}

// memory is one practice's patients.
type memory struct {
	mu  sync.RWMutex
	idx *index
	seq int64
}

// practicesKept bounds how many practices' patients are in memory at once.
const practicesKept = 100

// NewDirectory returns the directory over the store.
func NewDirectory(d *db.DB, store *fhirstore.Store) *Directory {
	return &Directory{db: d, store: store, kept: map[db.PracticeID]*memory{}}
}

// Search finds up to n patients by what people type: parts of names in any order, with a
// slip or two; a date of birth in any usual spelling; an MRN; a telephone number; or
// several of these. An empty text lists by name. The best match comes first.
func (d *Directory) Search(ctx context.Context, s db.Scope, text string, n int) ([]Hit, error) {
	m, a, err := d.current(ctx, s)
	if err != nil {
		return nil, err
	}
	today := d.db.Clock().Now()
	m.mu.Lock() // a search may have to put new words in order first
	defer m.mu.Unlock()
	var found []int32
	if strings.TrimSpace(text) == "" {
		found = m.idx.all()
	} else {
		found = m.idx.find(text, today, 0)
	}
	out := make([]Hit, 0, min(len(found), max(n, 0)))
	for _, i := range found {
		if len(out) == n {
			break
		}
		if h, ok := m.idx.show(i, a, today); ok {
			out = append(out, h)
		} else if h, ok := m.idx.stub(s, i); ok && byName(text) {
			out = append(out, h)
		}
	}
	return out, nil
}

// Closed returns the stub of a patient whose record exists but is closed to this person; ok is false when the person
// sees it, or when there is none.
func (d *Directory) Closed(ctx context.Context, s db.Scope, id string) (Hit, bool, error) {
	m, a, err := d.current(ctx, s)
	if err != nil {
		return Hit{}, false, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	i, ok := m.idx.byID[id]
	if !ok || m.idx.entries[i].seenBy(a) {
		return Hit{}, false, nil
	}
	h, ok := m.idx.stub(s, i)
	return h, ok, nil
}

// Get returns the named patients that exist and that the scope may see.
func (d *Directory) Get(ctx context.Context, s db.Scope, ids ...string) (map[string]Hit, error) {
	m, a, err := d.current(ctx, s)
	if err != nil {
		return nil, err
	}
	today := d.db.Clock().Now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make(map[string]Hit, len(ids))
	for _, id := range ids {
		if i, ok := m.idx.byID[id]; ok {
			if h, ok := m.idx.show(i, a, today); ok {
				out[id] = h
			}
		}
	}
	return out, nil
}

// Count is the number of patients the scope may see.
func (d *Directory) Count(ctx context.Context, s db.Scope) (int, error) {
	m, a, err := d.current(ctx, s)
	if err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := 0
	for i := range m.idx.entries {
		if e := &m.idx.entries[i]; e.live && e.seenBy(a) {
			n++
		}
	}
	return n, nil
}

// current brings the practice's memory up to the latest change and says what the scope may see of it.
func (d *Directory) current(ctx context.Context, s db.Scope) (*memory, auth.Access, error) {
	a := auth.AccessOf(s)
	if !a.Allows("Patient", auth.CanSearch) || a.Compartment != "" {
		return nil, a, fhir.Problem("forbidden", "You may not search for patients.", "Ask a practice administrator for the right.")
	}
	m := d.memory(s.Practice())
	// The list is the same for everyone and filtered when shown, so the practice's own scope reads it.
	own := auth.SystemScope(s.Practice(), "patient directory")
	for round := 0; ; round++ {
		var more bool
		err := d.db.View(ctx, own, func(tx *db.Tx) error {
			last, err := d.store.LastChange(ctx, tx)
			if err != nil {
				return err
			}
			m.mu.RLock()
			fresh := m.idx != nil && m.seq >= last
			m.mu.RUnlock()
			if fresh {
				return nil
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.idx == nil || m.seq == 0 || round > roundsBeforeRebuild {
				return d.build(ctx, tx, m, last) // reading the patients beats reading an import's every change
			}
			more, err = d.advance(ctx, tx, m, last)
			return err
		})
		if err != nil || !more {
			return m, a, err
		}
	}
}

func (d *Directory) memory(p db.PracticeID) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.kept[p]
	if m == nil {
		m = &memory{}
		d.kept[p] = m
	}
	for i, q := range d.used {
		if q == p {
			d.used = append(d.used[:i], d.used[i+1:]...)
			break
		}
	}
	d.used = append(d.used, p)
	if len(d.used) > practicesKept {
		delete(d.kept, d.used[0])
		d.used = d.used[1:]
	}
	return m
}

// build reads every patient once.
func (d *Directory) build(ctx context.Context, tx *db.Tx, m *memory, last int64) error {
	q, issues := fhirsearch.ParseQuery("Patient", map[string][]string{"_count": {"1000"}})
	if err := issues.Err(); err != nil {
		return err
	}
	idx := newIndex()
	for {
		page, err := d.store.Search(ctx, tx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Resources {
			idx.put(entryOf(r))
		}
		if page.Next == "" {
			break
		}
		q.Page = page.Next
	}
	m.idx, m.seq = idx, last
	return nil
}

// step bounds the changes taken in per transaction; an import of more than a few steps is
// caught up with by building anew.
const (
	step                = 2000
	roundsBeforeRebuild = 3
)

// advance takes in what changed since the memory was current.
func (d *Directory) advance(ctx context.Context, tx *db.Tx, m *memory, last int64) (more bool, err error) {
	changed, next, err := d.store.Changes(ctx, tx, m.seq, step)
	if err != nil {
		return false, err
	}
	for _, r := range changed {
		if r.Type != "Patient" {
			continue
		}
		if r.Deleted {
			m.idx.remove(r.ID)
		} else {
			m.idx.put(entryOf(r))
		}
	}
	stuck := next == m.seq
	m.seq = next
	return next < last && !stuck, nil
}

// entryOf reads what the directory keeps of a Patient.
func entryOf(r *fhirstore.Resource) entry {
	n := r.Node()
	who := Identify(r.ID, r.Version, n, time.Time{})
	_, all := names(n)
	e := entry{
		Hit: Hit{ID: r.ID, Name: who.Name, BirthDate: who.BirthDate, Sex: SexLetter(who.Sex), MRN: who.MRN, Phone: who.Phone,
			Deceased: who.Deceased, Inactive: who.Inactive, Restricted: who.Restricted},
		died: who.DiedOn, labels: r.Labels,
		family: fold(who.Name.Family), given: fold(who.Name.Given),
	}
	seen := map[string]bool{}
	for _, part := range all {
		for _, w := range fhirsearch.Words(part) {
			if !seen[w] {
				seen[w] = true
				e.words = append(e.words, w)
			}
		}
	}
	if who.MRN != "" {
		e.numbers += "|" + onlyDigits(who.MRN)
	}
	for _, t := range n.Get("telecom").Items() {
		if t.Get("system").Text() == "phone" {
			if num := onlyDigits(t.Get("value").Text()); num != "" {
				e.numbers += "|" + num
			}
		}
	}
	return e
}

func fold(s string) string { return strings.Join(fhirsearch.Words(s), " ") }

// seenBy says whether an access may know of the patient at all.
func (e *entry) seenBy(a auth.Access) bool {
	forbidden, closed := a.ForbiddenIn(e.ID)
	return !closed && e.labels&forbidden == 0
}

// byName says whether a search is by name alone: what else was typed must not be confirmed for a closed record.
func byName(text string) bool {
	return strings.TrimSpace(text) != "" && !strings.ContainsAny(text, "0123456789")
}

// stub is what a person learns of a patient whose record is closed to them: that there is one of this name.
func (x *index) stub(s db.Scope, i int32) (Hit, bool) {
	e := &x.entries[i]
	if _, person := s.(auth.Staff); !person || !e.live {
		return Hit{}, false
	}
	return Hit{ID: e.ID, Name: e.Name, Closed: true}, true
}

// show makes the hit of an entry for an access; ok is false when the access may not see it.
func (x *index) show(i int32, a auth.Access, today time.Time) (Hit, bool) {
	e := &x.entries[i]
	if !e.live || !e.seenBy(a) {
		return Hit{}, false
	}
	h := e.Hit
	on := today
	if len(e.died) >= 10 {
		if t, err := time.Parse("2006-01-02", e.died[:10]); err == nil {
			on = t
		}
	}
	if !h.Deceased || e.died != "" {
		h.Age = Age(h.BirthDate, on)
	}
	for _, j := range x.lookalikes(i) {
		if x.entries[j].seenBy(a) {
			h.Twins++
		}
	}
	h.Alike = h.Twins > 0
	return h, true
}

// all lists every entry by name.
func (x *index) all() []int32 {
	out := make([]int32, 0, len(x.byID))
	for i := range x.entries {
		if x.entries[i].live {
			out = append(out, int32(i))
		}
	}
	sort.Slice(out, func(a, b int) bool { return less(&x.entries[out[a]], &x.entries[out[b]]) })
	return out
}
