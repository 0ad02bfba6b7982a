package scheduling

import (
	"context"
	"sort"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Book is the practice's appointment book.
type Book struct {
	db       *db.DB
	store    *fhirstore.Store
	people   *practice.Profiles
	patients *patient.Directory
}

// New returns the book kept in the store. Names come from the practice and its patients.
func New(d *db.DB, store *fhirstore.Store, people *practice.Profiles, patients *patient.Directory) *Book {
	return &Book{db: d, store: store, people: people, patients: patients}
}

// lateAfter is how long after its start a visit whose patient has not come is late.
const lateAfter = 15 * time.Minute

// Day reads one day (yyyy-mm-dd on the practice's clock) at a site ("" for all) for the
// named people, or for everyone who sees patients there when none is named. A person with
// visits that day gets a column even when no longer bookable.
func (b *Book) Day(ctx context.Context, s db.Scope, date, site string, staff ...string) (*Day, error) {
	prof, err := b.people.Get(ctx, s)
	if err != nil {
		return nil, err
	}
	start, err := time.ParseInLocation("2006-01-02", date, prof.Zone)
	if err != nil {
		return nil, fhir.Problem("value", "The date cannot be read.", "Write it as 2026-03-14.").At("date")
	}
	end := start.AddDate(0, 0, 1)
	var appointments, encounters []*fhirstore.Resource
	err = b.db.View(ctx, s, func(tx *db.Tx) (err error) {
		appointments, encounters, err = b.between(ctx, tx, start, end)
		return err
	})
	if err != nil {
		return nil, err
	}
	now := b.db.Clock().Now()
	blocks, err := b.blocks(ctx, s, prof, appointments, encounters, now)
	if err != nil {
		return nil, err
	}
	taken, err := b.taken(ctx, s, prof, start, end, now)
	if err != nil {
		return nil, err
	}
	blocks = append(blocks, taken...)
	d := &Day{Date: date, Site: site, Zone: prof.Zone, Now: -1, Flow: Flow{ByStep: map[Status]int{}}}
	if !now.Before(start) && now.Before(end) {
		d.Now = minuteOf(now, start)
	}
	d.columns(prof, blocks, staff, start.Weekday())
	return d, nil
}

// taken are the times of visits of patients whose charts are closed to this person: that somebody comes then, and
// nothing else, so that the time is not promised twice.
func (b *Book) taken(ctx context.Context, s db.Scope, prof *practice.Profile, start, end, now time.Time) ([]Block, error) {
	closed := map[string]bool{}
	for id, rule := range auth.AccessOf(s).Charts {
		if rule.Closed {
			closed[id] = true
		}
	}
	if _, person := s.(auth.Staff); !person || len(closed) == 0 {
		return nil, nil
	}
	var all []*fhirstore.Resource
	err := b.db.View(ctx, auth.SystemScope(s.Practice(), "schedule"), func(tx *db.Tx) (err error) {
		all, _, err = b.between(ctx, tx, start, end)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Block
	for _, a := range all {
		blk, ok := readBlock(a, nil, prof.Zone, now)
		if !ok || !closed[blk.PatientID] || blk.Status == Cancelled {
			continue
		}
		out = append(out, Block{ID: blk.ID, From: blk.From, To: blk.To, Name: "–", Short: "–", Restricted: true, Status: Booked, StaffID: blk.StaffID, SiteID: blk.SiteID})
	}
	return out, nil
}

// between reads the appointments that start within [start, end) with their encounters.
func (b *Book) between(ctx context.Context, tx *db.Tx, start, end time.Time) (appointments, encounters []*fhirstore.Resource, err error) {
	q, issues := fhirsearch.ParseQuery("Appointment", map[string][]string{
		"date":        {"ge" + start.Format(time.RFC3339), "lt" + end.Format(time.RFC3339)},
		"_revinclude": {"Encounter:appointment"},
		"_count":      {"1000"},
	})
	if err := issues.Err(); err != nil {
		return nil, nil, err
	}
	page, err := b.store.Search(ctx, tx, q)
	if err != nil {
		return nil, nil, err
	}
	return page.Resources, page.Included, nil
}

// blocks turns appointments into blocks with the patients' names as the directory has them.
func (b *Book) blocks(ctx context.Context, s db.Scope, prof *practice.Profile, appointments, encounters []*fhirstore.Resource, now time.Time) ([]Block, error) {
	visits := map[string]*fhirstore.Resource{}
	for _, e := range encounters {
		for _, a := range e.Node().Get("appointment").Items() {
			if typ, id, ok := fhir.ParseReference(a.Get("reference").Text()); ok && typ == "Appointment" {
				visits[id] = e
			}
		}
	}
	out := make([]Block, 0, len(appointments))
	var ids []string
	for _, a := range appointments {
		blk, ok := readBlock(a, visits[a.ID], prof.Zone, now)
		if !ok {
			continue
		}
		out = append(out, blk)
		if blk.PatientID != "" {
			ids = append(ids, blk.PatientID)
		}
	}
	who, err := b.patients.Get(ctx, s, ids...)
	if err != nil {
		return nil, err
	}
	for i := range out {
		blk := &out[i]
		if h, ok := who[blk.PatientID]; ok {
			blk.Name, blk.Age, blk.Sex, blk.Restricted = h.Name.Short(), h.Age, h.Sex, h.Restricted
			blk.Short = h.Name.Initials()
			if blk.Restricted {
				blk.Name, blk.Reason = blk.Short, ""
			}
		} else if blk.PatientID != "" {
			// The record is closed to this person, or gone; the name that the appointment carries is closed with it.
			blk.Short = shortOf(blk.Name)
			blk.Name, blk.Reason, blk.Restricted = blk.Short, "", true
		}
	}
	return out, nil
}

// shortOf gives the initials of a name written "Family, Given".
func shortOf(display string) string {
	family, given, _ := strings.Cut(display, ",")
	return patient.Name{Family: strings.TrimSpace(family), Given: strings.TrimSpace(given)}.Initials()
}

// readBlock reads an Appointment with the Encounter that came of it, if any.
func readBlock(a, e *fhirstore.Resource, zone *time.Location, now time.Time) (Block, bool) {
	n := a.Node()
	from, _, ok := fhir.Moment(n.Get("start").Text(), zone)
	if !ok || n.Get("status").Text() == "entered-in-error" {
		return Block{}, false
	}
	to, _, ok := fhir.Moment(n.Get("end").Text(), zone)
	if !ok || !to.After(from) {
		to = from.Add(defaultMinutes * time.Minute)
	}
	local := from.In(zone)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	b := Block{ID: a.ID, Version: a.Version, From: minuteOf(from, midnight), To: min(minuteOf(to, midnight), 24*60), Lanes: 1}
	confirmed := false
	for _, p := range n.Get("participant").Items() {
		typ, id, ok := fhir.ParseReference(p.At("actor", "reference").Text())
		if !ok {
			continue
		}
		switch typ {
		case "Patient":
			b.PatientID, b.Name = id, p.At("actor", "display").Text()
			confirmed = p.Get("status").Text() == "accepted"
		case "Practitioner":
			if b.StaffID == "" {
				b.StaffID = id
			}
		case "Location":
			b.SiteID = id
		}
	}
	b.Type = fhir.ConceptText(n.Get("appointmentType"))
	for _, t := range n.Get("serviceType").Items() {
		_, code := fhir.ConceptCode(&t, systemVisitKind)
		b.Video = b.Video || code == videoVisit
		if b.Type == "" {
			b.Type = fhir.ConceptText(&t)
		}
	}
	for _, r := range n.Get("reasonCode").Items() {
		if b.Reason = fhir.ConceptText(&r); b.Reason != "" {
			break
		}
	}
	if b.Reason == "" {
		b.Reason = n.Get("description").Text()
	}
	var en *fhirjson.Node
	if e != nil {
		en, b.EncounterID = e.Node(), e.ID
		for _, l := range en.Get("location").Items() {
			b.Room = l.At("location", "display").Text()
		}
	}
	b.Status = statusOf(n, en, confirmed)
	if !b.Status.Here() && b.Status != Done {
		b.Room = ""
	}
	var arrived time.Time
	b.Since, arrived = times(en, zone)
	switch {
	case b.Status == Arrived && !arrived.IsZero():
		b.Waiting = max(0, now.Sub(arrived))
		b.Late = now.After(from) && b.Waiting > lateAfter
	case b.Status == Roomed && !b.Since.IsZero():
		b.Waiting = max(0, now.Sub(b.Since))
	case b.Status == Booked || b.Status == Confirmed:
		b.Late = now.After(from.Add(lateAfter)) && now.Before(to.Add(12*time.Hour))
	}
	return b, true
}

func minuteOf(t, midnight time.Time) int { return int(t.Sub(midnight) / time.Minute) }

// columns distributes blocks over people, places them, and counts the flow.
func (d *Day) columns(prof *practice.Profile, blocks []Block, only []string, day time.Weekday) {
	wanted := func(id string) bool {
		if len(only) == 0 {
			return true
		}
		for _, o := range only {
			if o == id {
				return true
			}
		}
		return false
	}
	at := map[string]int{}
	for _, m := range prof.Bookable(d.Site) {
		if wanted(m.ID) {
			at[m.ID] = len(d.Columns)
			d.Columns = append(d.Columns, Column{Staff: m, Hours: m.Hours[day]})
		}
	}
	rooms := map[string]bool{}
	if d.Site != "" {
		rooms[d.Site] = true
		if s, ok := prof.Site(d.Site); ok {
			for _, r := range s.RoomIDs {
				rooms[r] = true
			}
		}
	}
	for _, b := range blocks {
		if !wanted(b.StaffID) || d.Site != "" && b.SiteID != "" && !rooms[b.SiteID] {
			continue
		}
		i, ok := at[b.StaffID]
		if !ok {
			m, known := prof.Member(b.StaffID)
			if !known {
				m = practice.Member{ID: b.StaffID, Family: "Unassigned"}
			}
			i = len(d.Columns)
			at[b.StaffID] = i
			d.Columns = append(d.Columns, Column{Staff: m, Hours: m.Hours[day]})
		}
		if b.Status == Cancelled {
			d.Flow.ByStep[Cancelled]++
			continue
		}
		d.Columns[i].Blocks = append(d.Columns[i].Blocks, b)
		d.Flow.Total++
		d.Flow.ByStep[b.Status]++
		if b.Status == Arrived {
			d.Flow.Longest = max(d.Flow.Longest, b.Waiting)
		}
	}
	for i := range d.Columns {
		place(d.Columns[i].Blocks)
	}
	d.Opens, d.Closes = frame(8*60, 17*60, d.Columns)
}

// Appointment reads one appointment as a block.
func (b *Book) Appointment(ctx context.Context, s db.Scope, id string) (Block, error) {
	prof, err := b.people.Get(ctx, s)
	if err != nil {
		return Block{}, err
	}
	var a *fhirstore.Resource
	var visits []*fhirstore.Resource
	err = b.db.View(ctx, s, func(tx *db.Tx) (err error) {
		if a, err = b.store.Read(ctx, tx, "Appointment", id); err != nil {
			return err
		}
		visits, err = b.store.Find(ctx, tx, "Encounter", "appointment", "Appointment/"+id)
		return err
	})
	if err != nil {
		return Block{}, err
	}
	blocks, err := b.blocks(ctx, s, prof, []*fhirstore.Resource{a}, visits, b.db.Clock().Now())
	if err != nil {
		return Block{}, err
	}
	if len(blocks) == 0 {
		return Block{}, fhir.Problem("not-found", "There is no such appointment.", "Reload the day.")
	}
	return blocks[0], nil
}

// Coming lists a patient's appointments from now on, and those of today at which the patient has not arrived yet, earliest first,
// cancelled ones left out.
func (b *Book) Coming(ctx context.Context, s db.Scope, patientID string) ([]Upcoming, error) {
	prof, err := b.people.Get(ctx, s)
	if err != nil {
		return nil, err
	}
	now := b.db.Clock().Now()
	y, m, d := now.In(prof.Zone).Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, prof.Zone)
	var list []*fhirstore.Resource
	err = b.db.View(ctx, s, func(tx *db.Tx) (err error) {
		list, err = b.store.Find(ctx, tx, "Appointment", "patient", "Patient/"+patientID, "date", "ge"+midnight.Format(time.RFC3339))
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Upcoming
	for _, a := range list {
		blk, ok := readBlock(a, nil, prof.Zone, now)
		if !ok || blk.Status == Cancelled {
			continue
		}
		at, _, _ := fhir.Moment(a.Node().Get("start").Text(), prof.Zone)
		if at.Before(now) && blk.Status != Booked && blk.Status != Confirmed {
			continue
		}
		m, _ := prof.Member(blk.StaffID)
		out = append(out, Upcoming{Block: blk, Start: at.In(prof.Zone), With: m.Name()})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Start.Before(out[j].Start) })
	return out, nil
}

// Upcoming is an appointment of a patient with its date.
type Upcoming struct {
	Block
	Start time.Time
	With  string
}
