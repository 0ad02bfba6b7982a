package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

type restore struct {
	place
	openWith
	In       string `required:"" help:"The backup." placeholder:"FILE"`
	Practice int64  `help:"Number of the one practice to restore; without it everything is restored, sign-ins included." placeholder:"NUMBER"`
	Slug     string `help:"With --practice, where this installation does not list it yet: another name in addresses than it had." placeholder:"SLUG"`
	Name     string `help:"With --slug: its name for people."`
	JSON     bool   `name:"json" help:"Print what was restored as JSON."`
}

func (c *restore) Run(ctx context.Context, out *output) error {
	ids, err := c.identities()
	if err != nil {
		return err
	}
	if (c.Slug != "") != (c.Name != "") || c.Slug != "" && c.Practice == 0 {
		return fhir.Problem("required", "--slug and --name belong together, and to --practice.", "Give all three, or --practice alone.")
	}
	f, err := os.Open(c.In)
	if err != nil {
		return cannotRead("backup", c.In, err)
	}
	defer f.Close()
	fresh := c.Database == "" && !db.HasData(c.Data)
	g, err := c.open(ctx, out, who{KeysExist: true})
	if err != nil {
		return err
	}
	r, people, err := c.fill(ctx, g, f, ids)
	if e := g.close(); err == nil {
		err = e
	}
	if err != nil {
		if fresh { // what a failed restore began would be in the way of the next
			c.sweep()
		}
		return err
	}
	if c.JSON {
		j := reportJSON(r)
		for _, p := range people {
			j.People = append(j.People, joinedJSON{p.Login, p.Display, p.Known, p.Disabled})
		}
		return out.json(j)
	}
	fmt.Fprintf(out.text, "Restored %s rows of the backup of %s, read back and compared:\n", grouped(r.Rows()), r.Created.Format("2006-01-02 15:04:05 UTC"))
	printStores(out, r)
	printPeople(out, people)
	return nil
}

// printPeople says who can sign in again, and with what.
func printPeople(out *output, people []auth.Joined) {
	if len(people) == 0 {
		return
	}
	fmt.Fprintf(out.text, "%s came along and sign in as before; recovery codes do not come along and are made anew under Account.\n", counted(int64(len(people)), "person", "people"))
	for _, p := range people {
		switch {
		case p.Disabled:
			fmt.Fprintf(out.text, "    %s (%s): there is such a login here already. The membership is disabled until you have made sure that it is the same person: `yarrow user enable --practice … %s`.\n", p.Login, p.Display, p.Login)
		case p.Known:
			fmt.Fprintf(out.text, "    %s (%s): has this account here already, and keeps its password and second factors.\n", p.Login, p.Display)
		}
	}
}

// fill restores, and lists a practice that came alone.
func (c *restore) fill(ctx context.Context, g *ground, f *os.File, ids []age.Identity) (backup.Report, []auth.Joined, error) {
	r, err := backup.Restore(ctx, f, backup.RestoreOptions{DB: g.db, Keys: g.ring, Scope: systemScope, Practice: db.PracticeID(c.Practice), Who: ids})
	if err != nil || c.Practice == 0 {
		return r, nil, err
	}
	p := db.PracticeID(c.Practice)
	if _, err := g.auth.PracticeByID(ctx, p); err == nil { // its people are here
		return r, nil, nil
	}
	if members := r.Stores[0].Members; members != nil {
		people, err := g.auth.Adopt(ctx, p, members, c.Slug, c.Name)
		if err != nil {
			return r, nil, err
		}
		numbers := map[int64]int64{}
		for _, j := range people {
			if j.ID != j.Was {
				numbers[j.Was] = j.ID
			}
		}
		return r, people, backup.Renumber(ctx, g.db, systemScope(p), numbers)
	}
	if c.Slug == "" {
		return r, nil, fhir.Problem("required", fmt.Sprintf("Practice %d is not listed in this installation, and the backup does not say what it is called.", c.Practice),
			"Give --slug and --name as well, under which it is listed from now on.")
	}
	return r, nil, g.auth.AdoptPractice(ctx, p, c.Slug, c.Name)
}

// sweep empties a data folder that held nothing before a restore that failed.
func (c *restore) sweep() {
	for _, name := range []string{"practices", "system.db", "system.db-wal", "system.db-shm"} {
		_ = os.RemoveAll(filepath.Join(c.Data, name))
	}
	_ = os.Remove(filepath.Join(c.Data, "journal")) // when it is empty: what an earlier one holds may be wanted
}
