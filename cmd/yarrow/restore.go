package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"

	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

type restore struct {
	place
	openWith
	In       string `required:"" help:"The backup." placeholder:"FILE"`
	Practice int64  `help:"Number of the one practice to restore; without it everything is restored, sign-ins included." placeholder:"NUMBER"`
	Slug     string `help:"With --practice, where this installation does not list it yet: its name in addresses." placeholder:"SLUG"`
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
	r, err := c.fill(ctx, g, f, ids)
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
		return out.json(reportJSON(r))
	}
	fmt.Fprintf(out.text, "Restored %s rows of the backup of %s, read back and compared:\n", grouped(r.Rows()), r.Created.Format("2006-01-02 15:04:05 UTC"))
	printStores(out, r)
	return nil
}

// fill restores, and lists a practice that came alone.
func (c *restore) fill(ctx context.Context, g *ground, f *os.File, ids []age.Identity) (backup.Report, error) {
	r, err := backup.Restore(ctx, f, backup.RestoreOptions{DB: g.db, Keys: g.ring, Scope: systemScope, Practice: db.PracticeID(c.Practice), Who: ids})
	if err != nil || c.Practice == 0 {
		return r, err
	}
	if c.Slug != "" {
		return r, g.auth.AdoptPractice(ctx, db.PracticeID(c.Practice), c.Slug, c.Name)
	}
	if _, err := g.auth.PracticeByID(ctx, db.PracticeID(c.Practice)); err != nil {
		return r, fhir.Problem("required", fmt.Sprintf("Practice %d is not listed in this installation.", c.Practice),
			"Give --slug and --name as well, under which it is listed from now on.").Because(err)
	}
	return r, nil
}

// sweep empties a data folder that held nothing before a restore that failed.
func (c *restore) sweep() {
	for _, name := range []string{"practices", "system.db", "system.db-wal", "system.db-shm"} {
		_ = os.RemoveAll(filepath.Join(c.Data, name))
	}
}
