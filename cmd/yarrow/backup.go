package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/db"
)

type backups struct {
	Write  backupWrite  `cmd:"" default:"withargs" help:"Write an encrypted backup and prove it by reading it back."`
	Verify backupVerify `cmd:"" help:"Read a whole backup, check it, and say what it holds."`
}

type backupWrite struct {
	place
	sealTo
	Out      string `required:"" help:"The new file." placeholder:"FILE"`
	Practice string `help:"This practice alone, with its people and how they sign in." placeholder:"SLUG"`
	JSON     bool   `name:"json" help:"Print the report as JSON."`
}

func systemScope(p db.PracticeID) db.Scope { return auth.SystemScope(p, "backup") }

func (c *backupWrite) Run(ctx context.Context, out *output) error {
	to, phrase, err := c.recipients()
	if err != nil {
		return err
	}
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	meter := newMeter(out)
	o := backup.Options{DB: g.db, Scope: systemScope, To: to, Passphrase: phrase, Progress: func(p db.PracticeID, table string, rows int64) {
		meter.show(func(time.Duration) string {
			return fmt.Sprintf("practice %d, %s: %s rows", p, table, grouped(rows))
		})
	}}
	o.Settle = func(ctx context.Context, p db.PracticeID) error { return g.audit.Settle(ctx, systemScope(p)) }
	o.Members = func(ctx context.Context, p db.PracticeID) ([]byte, error) {
		return g.auth.Members(ctx, auth.SystemScope(p, "backup"))
	}
	if c.Practice != "" {
		p, err := g.practiceNamed(ctx, c.Practice)
		if err != nil {
			return err
		}
		o.Practices = []db.PracticeID{p.ID}
	}
	r, err := backup.Write(ctx, c.Out, o)
	meter.end()
	if err != nil {
		return err
	}
	if c.JSON {
		return out.json(reportJSON(r))
	}
	fmt.Fprintf(out.text, "%s: %s bytes, read back and compared. It holds %s rows:\n", c.Out, grouped(r.Bytes), grouped(r.Rows()))
	printStores(out, r)
	fmt.Fprintln(out.text, "Keys are not in it. Keep a key export (`yarrow keys export`) elsewhere: without it nobody can read this backup.")
	return nil
}

type backupVerify struct {
	openWith
	In   string `required:"" help:"The backup." placeholder:"FILE"`
	JSON bool   `name:"json" help:"Print what it holds as JSON."`
}

func (c *backupVerify) Run(ctx context.Context, out *output) error {
	who, err := c.identities()
	if err != nil {
		return err
	}
	f, err := os.Open(c.In)
	if err != nil {
		return cannotRead("backup", c.In, err)
	}
	defer f.Close()
	r, err := backup.Verify(ctx, f, who...)
	if err != nil {
		return err
	}
	if c.JSON {
		return out.json(reportJSON(r))
	}
	fmt.Fprintf(out.text, "%s is whole. Made %s, it holds %s rows:\n", c.In, r.Created.Format(time.RFC3339), grouped(r.Rows()))
	printStores(out, r)
	return nil
}

func printStores(out *output, r backup.Report) {
	for _, s := range r.Stores {
		name := fmt.Sprintf("practice %d", s.Practice)
		if s.Practice == db.System {
			name = "sign-ins and practices"
		}
		fmt.Fprintf(out.text, "    %s: %s rows\n", name, grouped(rowsOf(s)))
	}
}

func rowsOf(s backup.StoreReport) (n int64) {
	for _, t := range s.Tables {
		n += t.Rows
	}
	return n
}

type backupJSON struct {
	Created time.Time   `json:"created"`
	Bytes   int64       `json:"bytes,omitempty"`
	Rows    int64       `json:"rows"`
	Stores  []storeJSON `json:"stores"`

	People []joinedJSON `json:"people,omitempty"` // who came along with a restored practice
}

type joinedJSON struct {
	Login    string `json:"login"`
	Name     string `json:"name"`
	Known    bool   `json:"known"`    // there was such a login; its credentials stay
	Disabled bool   `json:"disabled"` // until somebody has made sure that it is the same person
}

type storeJSON struct {
	Practice int64       `json:"practice"` // 0: sign-ins and practices
	Tables   []tableJSON `json:"tables"`
}

type tableJSON struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

func reportJSON(r backup.Report) backupJSON {
	j := backupJSON{Created: r.Created, Bytes: r.Bytes, Rows: r.Rows(), Stores: []storeJSON{}}
	for _, s := range r.Stores {
		t := storeJSON{Practice: int64(s.Practice)}
		for _, x := range s.Tables {
			t.Tables = append(t.Tables, tableJSON{x.Name, x.Rows, hex.EncodeToString(x.Hash)})
		}
		j.Stores = append(j.Stores, t)
	}
	return j
}
