package clinical

import (
	"context"
	"fmt"
	"hash/fnv"
	"sort"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// What a chart reads: the lists whole, as far as a life fills them, and of what happened
// only the newest. Ten thousand results are never loaded to show eight.
var (
	listTypes   = []string{"Condition", "MedicationRequest", "MedicationStatement", "AllergyIntolerance", "Observation", "Task", "Coverage", "CareTeam"}
	recentTypes = []string{"Encounter", "DiagnosticReport", "Procedure", "Immunization", "DocumentReference"}
)

const (
	listLimit   = 300
	recentLimit = 12
	recentShown = 10
	chartsKept  = 400 // charts kept in memory over all practices
	catchUp     = 500 // changes looked through to keep them current before starting over
)

func (r *Record) zone(ctx context.Context, s db.Scope) *time.Location {
	p, err := r.people.Get(ctx, s)
	if err != nil || p == nil {
		return time.UTC
	}
	return p.Zone
}

// Chart reads the chart of a patient for a scope. Whether the scope may see the patient is
// asked each time; what the chart says is computed once per change of the patient's record.
func (r *Record) Chart(ctx context.Context, s db.Scope, patientID string) (*Chart, error) {
	zone := r.zone(ctx, s)
	var last int64
	err := r.db.View(ctx, s, func(tx *db.Tx) (err error) {
		if _, err = r.store.Read(ctx, tx, "Patient", patientID); err != nil {
			return err
		}
		last, err = r.store.LastChange(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := chartKey{s.Practice(), patientID, fingerprint(auth.AccessOf(s))}
	today := r.db.Clock().Now().In(zone).Format("2006-01-02")
	if err := r.follow(ctx, s.Practice(), last); err != nil {
		return nil, err
	}
	if c := r.charts.get(key, today); c != nil {
		return c, nil
	}
	var c *Chart
	err = r.db.View(ctx, s, func(tx *db.Tx) (err error) {
		c, err = r.load(ctx, tx, patientID, zone)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.day = today
	r.charts.put(key, c)
	return c, nil
}

// fingerprint tells apart accesses that would read different charts.
func fingerprint(a auth.Access) uint64 {
	h := uint64(a.Forbidden) << 16
	if a.All {
		h |= 1 << 15
	}
	for i, t := range append(append([]string{}, listTypes...), recentTypes...) {
		if a.Allows(t, auth.CanRead) {
			h |= 1 << i
		}
	}
	if a.Compartment != "" {
		h ^= 0xa5a5 << 40 // one patient's own access: never shared with staff
	}
	// Rules about single patients and queries count in any order, since maps have none.
	for id, rule := range a.Charts {
		h ^= mixed(fmt.Sprintf("%s %v %d", id, rule.Closed, rule.Forbidden))
	}
	for typ, ways := range a.Narrow {
		h ^= mixed(fmt.Sprint(typ, ways))
	}
	return h
}

func mixed(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func (r *Record) load(ctx context.Context, tx *db.Tx, patientID string, zone *time.Location) (*Chart, error) {
	seq, err := r.store.LastChange(ctx, tx)
	if err != nil {
		return nil, err
	}
	lists, err := r.store.Compartment(ctx, tx, patientID, listTypes, listLimit)
	if err != nil {
		return nil, err
	}
	recent, err := r.store.Compartment(ctx, tx, patientID, recentTypes, recentLimit)
	if err != nil {
		return nil, err
	}
	now := tx.Now()
	c := &Chart{Patient: patient.Identify(lists.Patient.ID, lists.Patient.Version, lists.Patient.Node(), now.In(zone)), Seq: seq, Cut: lists.Cut}
	c.lists(lists.ByType)
	c.observe(lists.ByType["Observation"], zone)
	c.markReviews(reviewsOf(lists.ByType["Task"], zone), now)
	c.visits(recent.ByType["Encounter"], zone, now)
	c.events(recent.ByType, lists.ByType, zone)
	return c, nil
}

func (c *Chart) lists(byType map[string][]*fhirstore.Resource) {
	for _, res := range byType["Condition"] {
		if p, ok := readProblem(res.ID, res.Version, res.Node()); ok {
			c.Problems = append(c.Problems, p)
		}
	}
	c.Problems = oncePerProblem(c.Problems)
	for _, typ := range [...]string{"MedicationRequest", "MedicationStatement"} {
		for _, res := range byType[typ] {
			if m, ok := readMedication(typ, res.ID, res.Version, res.Node()); ok {
				c.Medications = append(c.Medications, m)
			}
		}
	}
	c.Medications = oncePerMedicine(c.Medications)
	c.Allergies = allergiesOf(byType["AllergyIntolerance"])
	for _, res := range byType["CareTeam"] {
		if s := res.Node().Get("status").Text(); s != "active" && s != "" {
			continue
		}
		for _, p := range res.Node().Get("participant").Items() {
			name := person(p.Get("member"))
			ref := p.At("member", "reference").Text()
			if name == "" || strings.HasPrefix(ref, "Patient/") || strings.HasPrefix(ref, "Organization/") {
				continue
			}
			role := ""
			for _, x := range p.Get("role").Items() {
				role = fhir.ConceptText(&x)
				break
			}
			c.Team = append(c.Team, TeamMember{Role: role, Name: name})
		}
	}
	for _, res := range byType["Coverage"] {
		n := res.Node()
		plan := ""
		for _, k := range n.Get("class").Items() {
			if plan = k.Get("name").Text(); plan != "" {
				break
			}
		}
		for _, p := range n.Get("payor").Items() {
			if plan == "" {
				plan = person(&p)
			}
		}
		if plan == "" {
			plan = fhir.ConceptText(n.Get("type"))
		}
		if plan != "" {
			c.Coverage = append(c.Coverage, Coverage{Plan: plan, Active: n.Get("status").Text() == "active"})
		}
	}
}

// oncePerProblem keeps, of several records of the same active problem, the oldest onset's
// entry: records from elsewhere repeat a problem at each encounter.
func oncePerProblem(list []Problem) []Problem {
	at := map[string]int{}
	out := list[:0]
	for _, p := range list {
		k := strings.ToLower(p.Name)
		if p.Code != "" {
			k = p.System + "|" + p.Code
		}
		if !p.Active() {
			k += "|" + p.ID
		}
		if i, seen := at[k]; seen {
			if p.Onset != "" && (out[i].Onset == "" || p.Onset < out[i].Onset) {
				out[i] = p
			}
			continue
		}
		at[k] = len(out)
		out = append(out, p)
	}
	sort.SliceStable(out, func(i, j int) bool {
		if a, b := out[i].Active(), out[j].Active(); a != b {
			return a
		}
		return strings.ToLower(out[i].Name) < strings.ToLower(out[j].Name)
	})
	return out
}

// oncePerMedicine keeps the newest active line of each medicine; what has ended stays as it is.
func oncePerMedicine(list []Medication) []Medication {
	sort.SliceStable(list, func(i, j int) bool {
		if a, b := list[i].Active(), list[j].Active(); a != b {
			return a
		}
		if a, b := strings.ToLower(list[i].Name), strings.ToLower(list[j].Name); a != b {
			return a < b
		}
		return list[i].Start > list[j].Start
	})
	seen := map[string]bool{}
	out := list[:0]
	for _, m := range list {
		k := strings.ToLower(m.Name)
		if m.Code != "" {
			k = m.System + "|" + m.Code
		}
		if m.Active() && seen[k] {
			continue
		}
		seen[k] = true
		out = append(out, m)
	}
	return out
}

// observe reads results and vital signs from the newest observations.
func (c *Chart) observe(list []*fhirstore.Resource, zone *time.Location) {
	var results, vital []observation
	for _, res := range list {
		n := res.Node()
		when := c.Patient.BirthDate
		o := readObservation(res.ID, res.Version, n, zone, isAdult(when, effective(n, zone)))
		switch {
		case o.category == "vital-signs":
			vital = append(vital, o)
		case isResult(o.category):
			results = append(results, o)
		}
	}
	c.Results = newestOfEach(results)
	c.Vitals = flowsheetOf(vital, 5)
	c.heights = map[string]float64{}
	for _, o := range vital {
		if v, ok := vitalByLOINC(o.Code); ok && counts(o.Status) && o.Numeric {
			if _, seen := c.heights[v.Key]; !seen {
				_, c.heights[v.Key] = inUnit(&o, v)
			}
		}
	}
}

func effective(n *fhirjson.Node, zone *time.Location) time.Time {
	t, _, _ := fhir.Moment(firstOf(n, "effectiveDateTime", "effectiveInstant", "issued"), zone)
	return t
}

// visits finds the visit going on and the last one that ended.
func (c *Chart) visits(list []*fhirstore.Resource, zone *time.Location, now time.Time) {
	for _, res := range list {
		v := readVisit(res.ID, res.Version, res.Node(), zone)
		switch v.Status {
		case "arrived", "triaged", "in-progress", "onleave":
			if c.Visit == nil && now.Sub(v.Start) < 36*time.Hour {
				c.Visit = &v
			}
		case "finished":
			if c.LastVisit == nil {
				c.LastVisit = &v
			}
		}
	}
}

func (c *Chart) events(recent, lists map[string][]*fhirstore.Resource, zone *time.Location) {
	for _, byType := range []map[string][]*fhirstore.Resource{recent, lists} {
		for _, typ := range typesOf("") {
			for i, res := range byType[typ] {
				if i == recentLimit {
					break
				}
				if e, ok := readEvent(typ, res.ID, res.Node(), zone); ok {
					c.Recent = append(c.Recent, e)
				}
			}
		}
	}
	newestEvents(c.Recent)
	if len(c.Recent) > recentShown {
		c.Recent = c.Recent[:recentShown]
	}
}

// chartKey names a chart as one kind of access sees it.
type chartKey struct {
	practice db.PracticeID
	patient  string
	access   uint64
}

// chartCache keeps charts computed at a change sequence. A change of a patient's record
// drops that patient's charts.
type chartCache struct {
	limit int

	mu    sync.Mutex
	kept  map[chartKey]*Chart
	order []chartKey // oldest first
	seqs  map[db.PracticeID]int64
}

func (k *chartCache) get(key chartKey, day string) *Chart {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.kept[key]
	if c == nil || c.day != day {
		return nil
	}
	return c
}

func (k *chartCache) put(key chartKey, c *Chart) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil {
		k.kept, k.seqs = map[chartKey]*Chart{}, map[db.PracticeID]int64{}
	}
	if k.seqs[key.practice] > c.Seq {
		return // the record may have changed since it was read, and nobody would notice
	}
	if _, again := k.kept[key]; !again {
		k.order = append(k.order, key)
	}
	k.kept[key] = c
	for len(k.kept) > k.limit && len(k.order) > 0 {
		delete(k.kept, k.order[0])
		k.order = k.order[1:]
	}
}

// follow looks through what changed in a practice up to last and drops the charts it touches.
func (r *Record) follow(ctx context.Context, practice db.PracticeID, last int64) error {
	k := &r.charts
	k.mu.Lock()
	at, known := k.seqs[practice]
	k.mu.Unlock()
	if known && at >= last {
		return nil
	}
	touched := map[string]bool{}
	all := !known
	next := last
	if known {
		err := r.db.View(ctx, auth.SystemScope(practice, "chart cache"), func(tx *db.Tx) error {
			changed, to, err := r.store.Changes(ctx, tx, at, catchUp)
			if err != nil {
				return err
			}
			all = to < last
			next = max(to, last)
			for _, res := range changed {
				if id := patientOf(res); id != "" {
					touched[id] = true
				} else if res.Deleted {
					all = true // whose it was is gone with its body
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil {
		k.kept, k.seqs = map[chartKey]*Chart{}, map[db.PracticeID]int64{}
	}
	if k.seqs[practice] > next {
		return nil // another request has gone further
	}
	for key := range k.kept {
		if key.practice == practice && (all || touched[key.patient]) {
			delete(k.kept, key)
		}
	}
	live := k.order[:0]
	for _, key := range k.order {
		if k.kept[key] != nil {
			live = append(live, key)
		}
	}
	k.order = live
	k.seqs[practice] = next
	return nil
}

// patientOf names the patient a resource is about, "" when it is about none.
func patientOf(res *fhirstore.Resource) string {
	if res.Type == "Patient" {
		return res.ID
	}
	n := res.Node()
	for _, name := range [...]string{"subject", "patient", "for", "beneficiary"} {
		if typ, id, ok := fhir.ParseReference(n.At(name, "reference").Text()); ok && typ == "Patient" {
			return id
		}
	}
	return ""
}
