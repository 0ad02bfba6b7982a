package watch

import (
	"context"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// Watch reviews the days of practices. It is safe for concurrent use.
type Watch struct {
	db    *db.DB
	log   *audit.Log
	auth  *auth.Auth
	store *fhirstore.Store
}

// New returns the Watch over what log holds.
func New(d *db.DB, log *audit.Log, a *auth.Auth, store *fhirstore.Store) *Watch {
	return &Watch{db: d, log: log, auth: a, store: store}
}

// facts gathers what the entries of a day are compared with.
func (w *Watch) facts(ctx context.Context, s auth.System, day time.Time, zone *time.Location, entries []audit.Entry) (Facts, error) {
	f := Facts{People: map[int64]Person{}, Charts: map[string]Chart{}, Zone: zone, Taken: map[int64]int{}}
	users, err := w.auth.Users(ctx, s)
	if err != nil {
		return f, err
	}
	var refs []string
	for i := range entries {
		e := &entries[i]
		if e.Patient != "" && f.Charts[e.Patient].Ref == "" {
			f.Charts[e.Patient] = Chart{Ref: e.Patient}
			refs = append(refs, e.Patient)
		}
		if e.Action == audit.ActionPrivilege && e.Detail == "disabled" {
			if id, ok := userOf(e.Event.ID); ok {
				if f.Taken[id], err = w.taken(ctx, s, id, day.AddDate(0, 0, 1)); err != nil {
					return f, err
				}
			}
		}
	}
	err = w.db.View(ctx, s, func(tx *db.Tx) error {
		self, err := w.people(ctx, tx, users, f)
		if err != nil {
			return err
		}
		for start := 0; start < len(refs); start += 200 {
			some := refs[start:min(start+200, len(refs))]
			found, err := w.store.ReadMany(ctx, tx, some)
			if err != nil {
				return err
			}
			for ref, r := range found {
				c, err := chartOf(r)
				if err != nil {
					return err
				}
				if id, works := self[identity(c.Family, c.given, c.born)]; works && c.born != "" {
					c.Staff = id
					p := f.People[id]
					p.Self = ref
					f.People[id] = p
				}
				f.Charts[ref] = c.Chart
			}
		}
		for _, ref := range refs {
			if err := w.visits(ctx, tx, ref, day, f); err != nil {
				return err
			}
		}
		return nil
	})
	return f, err
}

// taken counts the charts that a person exported or printed before a moment.
func (w *Watch) taken(ctx context.Context, s auth.System, user int64, before time.Time) (int, error) {
	charts := map[string]bool{}
	for _, action := range []string{audit.ActionExport, audit.ActionPrint} {
		found, err := w.log.Find(ctx, s, audit.Filter{UserID: user, Action: action, From: before.AddDate(0, 0, -leftDays), To: before, Limit: audit.MaxFound})
		if err != nil {
			return 0, err
		}
		for _, e := range found {
			if e.Patient != "" {
				charts[e.Patient] = true
			}
			for _, l := range e.Links {
				if strings.HasPrefix(l, "Patient/") {
					charts[l] = true
				}
			}
		}
	}
	return len(charts), nil
}

// people reads who works here; the result finds a person by name and birth date.
func (w *Watch) people(ctx context.Context, tx *db.Tx, users []auth.User, f Facts) (map[string]int64, error) {
	var refs []string
	for _, u := range users {
		f.People[u.ID] = Person{ID: u.ID, Family: familyOf(u.Display)}
		if u.PractitionerID != "" {
			refs = append(refs, "Practitioner/"+u.PractitionerID)
		}
	}
	found, err := w.store.ReadMany(ctx, tx, refs)
	if err != nil {
		return nil, err
	}
	self := map[string]int64{}
	for _, u := range users {
		r := found["Practitioner/"+u.PractitionerID]
		if r == nil {
			continue
		}
		p, err := fhirstore.Get[fhir.Practitioner](r)
		if err != nil {
			return nil, err
		}
		person := f.People[u.ID]
		family, given := nameOf(p.Name)
		if family != "" {
			person.Family = family
		}
		person.Street, person.Postal = placeOf(p.Address)
		f.People[u.ID] = person
		if p.BirthDate != "" {
			self[identity(family, given, string(p.BirthDate))] = u.ID
		}
	}
	return self, nil
}

type chartFacts struct {
	Chart
	given, born string
}

func chartOf(r *fhirstore.Resource) (chartFacts, error) {
	p, err := fhirstore.Get[fhir.Patient](r)
	if err != nil {
		return chartFacts{}, err
	}
	c := chartFacts{Chart: Chart{Ref: "Patient/" + r.ID}, born: string(p.BirthDate)}
	c.Family, c.given = nameOf(p.Name)
	c.Street, c.Postal = placeOf(p.Address)
	if p.Meta != nil {
		for _, s := range p.Meta.Security {
			if auth.LabelOf(s.System, s.Code)&auth.LabelVIP != 0 {
				c.VIP = true
			}
		}
	}
	if d := string(p.DeceasedDateTime); len(d) >= len(time.DateOnly) {
		c.Died, _ = time.Parse(time.DateOnly, d[:len(time.DateOnly)]) // a partial date says too little
	}
	return c, nil
}

// visits reads the appointments of a chart around a day.
func (w *Watch) visits(ctx context.Context, tx *db.Tx, ref string, day time.Time, f Facts) error {
	from, to := day.AddDate(0, 0, -reasonDays-1).Format(time.DateOnly), day.AddDate(0, 0, reasonDays+2).Format(time.DateOnly)
	c := f.Charts[ref]
	for _, typ := range []string{"Appointment", "Encounter"} {
		list, err := w.store.Find(ctx, tx, typ, "patient", ref, "date", "ge"+from, "date", "le"+to)
		if err != nil {
			return err
		}
		for _, r := range list {
			start := r.Node().Get("start").Text()
			if typ == "Encounter" {
				start = r.Node().At("period", "start").Text()
			}
			if at, err := time.Parse(time.RFC3339, start); err == nil {
				c.Visits = append(c.Visits, at)
			}
		}
	}
	f.Charts[ref] = c
	return nil
}

func nameOf(names []fhir.HumanName) (family, given string) {
	for _, n := range names {
		if n.Use == "old" || n.Use == "maiden" || n.Family == "" {
			continue
		}
		if len(n.Given) > 0 {
			given = fold(string(n.Given[0]))
		}
		return fold(string(n.Family)), given
	}
	return "", ""
}

func placeOf(addresses []fhir.Address) (line, postal string) {
	for _, a := range addresses {
		if a.Use != "old" && len(a.Line) > 0 {
			return street(string(a.Line[0])), fold(string(a.PostalCode))
		}
	}
	return "", ""
}

func identity(family, given, born string) string { return family + "|" + given + "|" + born }

// familyOf is the last name in "Amara Quill, MD".
func familyOf(display string) string {
	name, _, _ := strings.Cut(display, ",")
	words := strings.Fields(fold(name))
	if len(words) < 2 {
		return ""
	}
	return words[len(words)-1]
}
