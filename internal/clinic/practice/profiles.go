package practice

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
	"yarrow.health/internal/standards/fhirjson"
)

// Profiles keeps the profile of each practice in memory, current by the change sequence.
type Profiles struct {
	db    *db.DB
	store *fhirstore.Store

	mu   sync.Mutex
	kept map[db.PracticeID]*kept
}

type kept struct {
	mu      sync.Mutex // held while one request reads; others of the practice wait for it
	profile *Profile
	seq     int64
}

// NewProfiles returns the profiles over the store.
func NewProfiles(d *db.DB, store *fhirstore.Store) *Profiles {
	return &Profiles{db: d, store: store, kept: map[db.PracticeID]*kept{}}
}

// catchUp bounds how many changes are looked through before the profile is read anew instead.
const catchUp = 1000

// Get returns the practice's profile. Anyone with a valid scope of the practice may know
// who works there and where: it holds nothing about patients.
func (p *Profiles) Get(ctx context.Context, s db.Scope) (*Profile, error) {
	if s == nil || !s.Valid() {
		return nil, db.ErrNoScope
	}
	p.mu.Lock()
	k := p.kept[s.Practice()]
	if k == nil {
		k = &kept{}
		p.kept[s.Practice()] = k
	}
	p.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	// The profile is the same for everyone, so it is read with the practice's own scope.
	own := auth.SystemScope(s.Practice(), "practice profile")
	err := p.db.View(ctx, own, func(tx *db.Tx) error {
		last, err := p.store.LastChange(ctx, tx)
		if err != nil || k.profile != nil && k.seq == last {
			return err
		}
		stale := k.profile == nil
		if !stale {
			changed, next, err := p.store.Changes(ctx, tx, k.seq, catchUp)
			if err != nil {
				return err
			}
			stale = next != last
			for _, r := range changed {
				stale = stale || owned[r.Type]
			}
		}
		if stale {
			if k.profile, err = p.read(ctx, tx); err != nil {
				return err
			}
		}
		k.seq = last
		return nil
	})
	return k.profile, err
}

var owned = map[string]bool{"Organization": true, "Location": true, "Practitioner": true, "PractitionerRole": true}

func (p *Profiles) read(ctx context.Context, tx *db.Tx) (*Profile, error) {
	byType := map[string][]*fhirstore.Resource{}
	for typ := range owned {
		list, err := p.store.Find(ctx, tx, typ)
		if err != nil {
			return nil, err
		}
		byType[typ] = list
	}
	out := &Profile{Zone: time.UTC}
	roles := byType["PractitionerRole"]
	out.organization(byType["Organization"], roles)
	out.sites(byType["Location"])
	out.staff(byType["Practitioner"], roles)
	return out, nil
}

// zoneExtension names the time zone of a place or organization (FHIR extension "timezone").
const zoneExtension = "http://hl7.org/fhir/StructureDefinition/timezone"

func zoneOf(n *fhirjson.Node) *time.Location {
	for _, e := range n.Get("extension").Items() {
		if e.Get("url").Text() != zoneExtension {
			continue
		}
		if z, err := time.LoadLocation(e.Get("valueCode").Text()); err == nil && e.Get("valueCode").Text() != "" {
			return z
		}
	}
	return nil
}

// organization picks the practice among the organizations on record (payers and
// laboratories are organizations too): the one its own staff work for, else the only provider.
func (p *Profile) organization(list, roles []*fhirstore.Resource) {
	votes := map[string]int{}
	for _, r := range roles {
		if _, id, ok := fhir.ParseReference(r.Node().At("organization", "reference").Text()); ok {
			votes[id]++
		}
	}
	var best *fhirstore.Resource
	score := -1
	for _, r := range list {
		n := r.Node()
		v := votes[r.ID] * 10
		for _, t := range n.Get("type").Items() {
			if _, code := fhir.ConceptCode(&t); code == "prov" {
				v++
			}
		}
		if v > score || v == score && r.ID < best.ID {
			best, score = r, v
		}
	}
	if best == nil {
		return
	}
	n := best.Node()
	p.ID, p.Name, p.Phone = best.ID, n.Get("name").Text(), phone(n)
	if z := zoneOf(n); z != nil {
		p.Zone = z
	}
}

func phone(n *fhirjson.Node) string {
	for _, t := range n.Get("telecom").Items() {
		if t.Get("system").Text() == "phone" {
			return t.Get("value").Text()
		}
	}
	return ""
}

func (p *Profile) sites(list []*fhirstore.Resource) {
	rooms := map[string][]Site{}
	zoned := p.Zone != time.UTC
	for _, r := range list {
		n := r.Node()
		if n.Get("status").Text() == "inactive" {
			continue
		}
		s := Site{ID: r.ID, Name: n.Get("name").Text(), Phone: phone(n), Address: fhir.AddressLine(n.Get("address")), Hours: openingHours(n.Get("hoursOfOperation"), "daysOfWeek", "openingTime", "closingTime")}
		if z := zoneOf(n); z != nil && !zoned {
			p.Zone, zoned = z, true
		}
		if _, parent, ok := fhir.ParseReference(n.At("partOf", "reference").Text()); ok {
			rooms[parent] = append(rooms[parent], s)
			continue
		}
		p.Sites = append(p.Sites, s)
	}
	for i := range p.Sites {
		s := &p.Sites[i]
		in := rooms[s.ID]
		sort.Slice(in, func(a, b int) bool { return in[a].Name < in[b].Name })
		for _, r := range in {
			s.Rooms = append(s.Rooms, r.Name)
			s.RoomIDs = append(s.RoomIDs, r.ID)
		}
	}
	sort.Slice(p.Sites, func(a, b int) bool { return p.Sites[a].Name < p.Sites[b].Name })
}

var days = map[string]time.Weekday{"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}

// openingHours reads Location.hoursOfOperation or PractitionerRole.availableTime.
func openingHours(list *fhirjson.Node, dayField, from, to string) Week {
	var w Week
	for _, h := range list.Items() {
		span := Span{0, 24 * 60}
		if h.Get("allDay").Text() != "true" {
			span = Span{clockMinutes(h.Get(from).Text()), clockMinutes(h.Get(to).Text())}
		}
		if span.To <= span.From {
			continue
		}
		for _, d := range h.Get(dayField).Items() {
			if i, ok := days[d.Text()]; ok {
				w[i] = append(w[i], span)
			}
		}
	}
	for i := range w {
		sort.Slice(w[i], func(a, b int) bool { return w[i][a].From < w[i][b].From })
	}
	return w
}

func clockMinutes(s string) int {
	t, err := time.Parse("15:04:05", s)
	if err != nil {
		if t, err = time.Parse("15:04", s); err != nil {
			return 0
		}
	}
	return t.Hour()*60 + t.Minute()
}

func (p *Profile) staff(people, roles []*fhirstore.Resource) {
	at := map[string]int{}
	for _, r := range people {
		n := r.Node()
		m := Member{ID: r.ID, Active: n.Get("active").Text() != "false"}
		for i, name := range n.Get("name").Items() {
			if i > 0 && name.Get("use").Text() != "official" {
				continue
			}
			m.Family = name.Get("family").Text()
			m.Given, m.Credential = "", ""
			for _, g := range name.Get("given").Items() {
				m.Given = strings.TrimSpace(m.Given + " " + g.Text())
				break
			}
			for _, s := range name.Get("suffix").Items() {
				m.Credential = strings.TrimSpace(m.Credential + " " + s.Text())
			}
		}
		at[r.ID] = len(p.Staff)
		p.Staff = append(p.Staff, m)
	}
	for _, r := range roles {
		n := r.Node()
		_, id, ok := fhir.ParseReference(n.At("practitioner", "reference").Text())
		if !ok {
			continue
		}
		i, ok := at[id]
		if !ok || n.Get("active").Text() == "false" {
			continue
		}
		m := &p.Staff[i]
		for _, c := range n.Get("code").Items() {
			if m.Role == "" {
				m.Role = fhir.ConceptText(&c)
			}
			m.Bookable = m.Bookable || seesPatients(&c)
		}
		for _, c := range n.Get("specialty").Items() {
			if m.Specialty == "" {
				m.Specialty = fhir.ConceptText(&c)
			}
		}
		for _, l := range n.Get("location").Items() {
			if _, site, ok := fhir.ParseReference(l.Get("reference").Text()); ok {
				m.Sites = append(m.Sites, site)
			}
		}
		w := openingHours(n.Get("availableTime"), "daysOfWeek", "availableStartTime", "availableEndTime")
		for d := range w {
			m.Hours[d] = append(m.Hours[d], w[d]...)
		}
	}
	sort.SliceStable(p.Staff, func(a, b int) bool {
		x, y := p.Staff[a], p.Staff[b]
		if x.Active != y.Active {
			return x.Active
		}
		if x.Family != y.Family {
			return x.Family < y.Family
		}
		return x.Given < y.Given
	})
}

// seesPatients reports whether a role is one patients make appointments with. Codes are
// those of the FHIR practitioner-role code system; a role coded otherwise is judged by its words.
func seesPatients(c *fhirjson.Node) bool {
	for _, k := range c.Get("coding").Items() {
		switch k.Get("code").Text() {
		case "doctor", "nurse", "physician", "np", "pa":
			return true
		case "researcher", "teacher", "ict", "pharmacist", "billing", "frontdesk", "admin":
			return false
		}
	}
	t := strings.ToLower(fhir.ConceptText(c))
	for _, w := range []string{"physician", "doctor", "practitioner", "nurse", "therapist", "clinician", "psycholog", "dietitian", "midwife"} {
		if strings.Contains(t, w) {
			return true
		}
	}
	return false
}
