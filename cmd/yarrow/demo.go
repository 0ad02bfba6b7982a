package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/simulate"
	"yarrow.health/internal/standards/fhir"
)

// demoSlug is the demonstration's place in addresses; `serve` refuses it.
const demoSlug = "demo"

type demo struct {
	Data     string `help:"Folder for the demonstration." default:"./yarrow-data/demo" placeholder:"DIR" env:"YARROW_DEMO_DATA"`
	Listen   string `help:"Address to listen on; loopback only." default:"127.0.0.1:8080"`
	Patients int    `help:"How many patients the practice has." default:"150"`
	Seed     uint64 `help:"Another seed, another practice." default:"1"`
}

// demoFile is demo.json: what a script needs to sign in, and what the next start needs to go on.
type demoFile struct {
	URL      string        `json:"url"`
	Practice string        `json:"practice"`
	Seed     uint64        `json:"seed"`
	Size     int           `json:"size"`
	Planned  time.Time     `json:"planned"` // the moment the world was planned for
	Day      string        `json:"day"`     // the day the waiting room was filled for
	Loaded   int           `json:"loaded"`  // bundles that are in
	Complete bool          `json:"complete"`
	Staff    []demoPerson  `json:"staff"`
	Patients []demoPatient `json:"patients"`
	Clients  []demoClient  `json:"clients"`
	Note     string        `json:"note"`
	path     string
}

type demoPerson struct {
	Login        string   `json:"login"`
	Name         string   `json:"name"`
	Roles        []string `json:"roles"`
	Practitioner string   `json:"practitioner"`
	Password     string   `json:"password"`
	TOTP         string   `json:"totp"`
}

type demoPatient struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Birth string `json:"birthDate"`
	MRN   string `json:"mrn"`
}

func (c *demo) Run(ctx context.Context, out *output) error {
	began := clock.System().Now()
	host, _, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fhir.Problem("security", "The demonstration speaks plain HTTP and listens on this machine only.", "Use --listen 127.0.0.1:PORT.")
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fhir.Problem("exception", "The folder for the demonstration cannot be made.", "Name another with --data.").Because(err)
	}
	l, err := listen(c.Listen)
	if err != nil {
		return err
	}
	base := fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	g, err := place{Data: c.Data}.open(ctx, out, who{Demo: true, RPID: "localhost", Origin: base})
	if err != nil {
		return err
	}
	defer g.close()
	h := g.build(out, true, false)
	if h.control, err = openControl(g, c.Data); err != nil {
		return err
	}
	f, w, sys, err := c.plan(ctx, g, base)
	if err != nil {
		return err
	}
	load := demoLoad{db: g.db, store: g.store, clock: clock.System(), scope: sys, file: f}
	for b := range w.First() {
		if err := load.put(ctx, b); err != nil {
			return err
		}
	}
	if f.Complete {
		if err := load.today(ctx, w); err != nil {
			return err
		}
	}
	if err := load.list(ctx, h); err != nil {
		return err
	}
	f.print(out, clock.System().Since(began))
	return h.run(ctx, l, func(ctx context.Context) error {
		if f.Complete {
			return nil
		}
		fmt.Fprintf(out.text, "The other charts come in now; work can begin.\n")
		for b := range w.Rest() {
			if err := load.put(ctx, b); err != nil {
				if ctx.Err() != nil {
					return nil // stopped by the person; the next start goes on here
				}
				return err
			}
			if n := f.Loaded; n%20 == 0 {
				fmt.Fprintf(out.text, "  %d parts of the practice are in, %d resources\n", n, load.resources)
			}
		}
		f.Complete = true
		if err := load.today(ctx, w); err != nil { // the first start was on an earlier day
			return err
		}
		load, w = demoLoad{}, nil
		debug.FreeOSMemory() // what filling took is not needed again, and an idle process would keep it for long
		fmt.Fprintf(out.text, "  All %d patients are in, after %.1f s.\n", f.Size, clock.System().Since(began).Seconds())
		return f.save()
	})
}

// plan makes the world, or the one that was begun here before, and its practice and people.
func (c *demo) plan(ctx context.Context, g *ground, base string) (*demoFile, *simulate.World, auth.System, error) {
	f := &demoFile{path: filepath.Join(c.Data, "demo.json"), Seed: c.Seed, Size: c.Patients, Planned: clock.System().Now()}
	if b, err := os.ReadFile(f.path); err == nil {
		var old demoFile
		if json.Unmarshal(b, &old) == nil && !old.Planned.IsZero() {
			f.Seed, f.Size, f.Planned, f.Loaded, f.Complete, f.Day, f.Clients = old.Seed, old.Size, old.Planned, old.Loaded, old.Complete, old.Day, old.Clients
		}
	}
	w := simulate.Plan(f.Seed, f.Planned, f.Size)
	if f.Day == "" {
		f.Day = w.Now.Format(time.DateOnly)
	}
	f.URL, f.Practice = base, demoSlug
	f.Note = "A demonstration: everybody here is invented. These sign-ins are public; a production server refuses them."
	p, err := g.auth.PracticeBySlug(ctx, demoSlug)
	if err != nil {
		id, err := g.auth.AddPractice(ctx, demoSlug, w.Practice)
		if err != nil {
			return nil, nil, auth.System{}, err
		}
		p.ID = id
	}
	sys := auth.SystemScope(p.ID, "simulation")
	there := map[string]bool{}
	users, err := g.auth.Users(ctx, sys)
	if err != nil {
		return nil, nil, auth.System{}, err
	}
	for _, u := range users {
		there[u.Login] = true
	}
	for _, s := range w.Staff {
		var roles []auth.Role
		for _, r := range s.Roles {
			roles = append(roles, auth.Role(r))
		}
		if !there[s.Login] {
			if _, err := g.auth.AddUser(ctx, sys, auth.User{Login: s.Login, Display: s.Display(), PractitionerID: s.ID, Roles: roles, Password: s.Password, TOTPSecret: s.TOTPSecret}); err != nil {
				return nil, nil, auth.System{}, err
			}
		}
		f.Staff = append(f.Staff, demoPerson{s.Login, s.Display(), s.Roles, s.Reference(), s.Password, s.TOTPSecret})
	}
	return f, w, sys, programs(ctx, g, f, sys)
}

// demoLoad puts bundles in, leaving out those that an earlier start put in.
type demoLoad struct {
	db        *db.DB
	store     *fhirstore.Store
	clock     *clock.Clock
	scope     auth.System
	file      *demoFile
	at        int
	resources int
}

func (d *demoLoad) put(ctx context.Context, b simulate.Bundle) error {
	d.at++
	if d.at <= d.file.Loaded {
		return nil
	}
	if _, err := d.store.Apply(ctx, d.scope, b.JSON, fhirstore.ApplyOptions{KeepIDs: true}); err != nil {
		return fmt.Errorf("the simulated part %q: %w", b.Name, err)
	}
	d.resources += b.Resources
	d.file.Loaded = d.at
	if d.at%20 == 0 {
		return d.file.save()
	}
	return nil
}

// today carries the practice on to the present day when it was filled for an earlier one.
func (d *demoLoad) today(ctx context.Context, w *simulate.World) error {
	now := d.clock.Now().In(w.Zone)
	today := now.Format(time.DateOnly)
	if today <= d.file.Day {
		return nil
	}
	book := simulate.Book{}
	fresh := map[string]bool{}
	err := d.db.View(ctx, d.scope, func(tx *db.Tx) error {
		midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, w.Zone)
		since, err := time.ParseInLocation(time.DateOnly, d.file.Day, w.Zone)
		if err != nil {
			return err
		}
		all, err := d.store.Find(ctx, tx, "Appointment", "date", "ge"+since.Format(time.RFC3339), "date", "lt"+midnight.AddDate(0, 0, 1).Format(time.RFC3339))
		if err != nil {
			return err
		}
		for _, r := range all {
			a, err := fhirstore.Get[fhir.Appointment](r)
			if err != nil {
				return err
			}
			fresh[a.Id] = r.Version == 1
			from, err := time.Parse(time.RFC3339, string(a.Start))
			if err != nil || from.Before(midnight) || a.Status == "cancelled" || a.Status == "noshow" {
				continue
			}
			for _, p := range a.Participant {
				if p.Actor == nil || a.MinutesDuration == nil {
					continue
				}
				if typ, id, ok := fhir.ParseReference(p.Actor.Reference); ok && typ == "Practitioner" {
					book.Taken = append(book.Taken, simulate.Taken{Practitioner: id, From: from, Minutes: *a.MinutesDuration})
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	book.Untouched = func(id string) bool { return fresh[id] }
	b := simulate.Plan(w.Seed, d.file.Planned, d.file.Size).Later(now, book) // on a plan of its own, which it uses up
	if _, err := d.store.Apply(ctx, d.scope, b.JSON, fhirstore.ApplyOptions{KeepIDs: true}); err != nil {
		return fmt.Errorf("the simulated part %q: %w", b.Name, err)
	}
	d.file.Day = today
	return d.file.save()
}

// list writes demo.json with the patients there are.
func (d *demoLoad) list(ctx context.Context, h *house) error {
	hits, err := h.patients.Search(ctx, d.scope, "", 100000)
	if err != nil {
		return err
	}
	d.file.Patients = nil
	for _, p := range hits {
		d.file.Patients = append(d.file.Patients, demoPatient{p.ID, p.Name.Display(), p.BirthDate, p.MRN})
	}
	return d.file.save()
}

// save replaces demo.json as a whole, so that a reader never meets half of it.
func (f *demoFile) save() error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(f.path+".new", f.path)
}

func (f *demoFile) print(out *output, took time.Duration) {
	fmt.Fprintf(out.text, "\nYarrow is open at %s/%s after %.1f s. Every patient is invented.\n", f.URL, f.Practice, took.Seconds())
	fmt.Fprintf(out.text, "Choose a person on the sign-in page, or sign in as one of them:\n\n")
	t := tabwriter.NewWriter(out.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  login\tpassword\twho\trole")
	for _, s := range f.Staff {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", s.Login, s.Password, s.Name, strings.Join(s.Roles, ", "))
	}
	t.Flush()
	fmt.Fprintf(out.text, "\nOne-time codes: the keys for an authenticator app are in %s.\nStop with Ctrl+C; what you did stays for the next start.\n\n", f.path)
}
