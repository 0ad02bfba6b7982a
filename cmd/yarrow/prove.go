package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/prove"
	"yarrow.health/internal/standards/fhir"
)

// proofs show that a promise holds, on throw-away copies.
type proofs struct {
	Audit      proveAudit      `cmd:"" help:"Whatever is altered in the audit log is found, and the first bad entry is named."`
	Erasure    proveErasure    `cmd:"" help:"Nothing of a practice whose key was destroyed can be read again, in backups neither."`
	Isolation  proveIsolation  `cmd:"" help:"Nobody reads what is not theirs: another practice's, another patient's, or what is kept apart, by whatever way of asking."`
	Durability proveDurability `cmd:"" help:"What was acknowledged is never lost: the server is killed again and again while clients write."`
	Egress     proveEgress     `cmd:"" help:"Nothing leaves for a host that nobody listed, and nothing of patients but to whom a subscription tells whole records."`
	Leak       proveLeak       `cmd:"" hidden:"" help:"The control of egress: a demonstration that leaks, in a folder made for it."`
}

// proving is what every proof takes.
type proving struct {
	Control    bool   `help:"Break the property on purpose in a throw-away copy: the proof must fail."`
	JSON       bool   `name:"json" help:"Print the signed report as JSON."`
	Out        string `help:"Write the signed report to this file too." placeholder:"FILE"`
	Seed       uint64 `help:"Repeat an earlier run: everything random follows from it."`
	Cycles     int    `help:"How often to try, for proofs that repeat." placeholder:"N"`
	Scratch    string `help:"Folder for throw-away data." placeholder:"DIR" type:"existingdir"`
	Database   string `help:"Run on PostgreSQL: the application's URL of an empty database made for this." placeholder:"URL"`
	Owner      string `help:"The owner's URL of the same database." placeholder:"URL"`
	Files      string `help:"PostgreSQL's data folder, where it can be read: proofs that search look through it too." placeholder:"DIR" type:"existingdir"`
	SigningKey string `help:"Key that signs the report; made when there is none." placeholder:"FILE"`
}

// carry runs a proof and ends with 0 only when the property holds.
func (c *proving) carry(ctx context.Context, out *output, p prove.Proof) error {
	if (c.Database == "") != (c.Owner == "") {
		return fhir.Problem("required", "A proof on PostgreSQL needs two addresses.", "Give --database and --owner of an empty database made for this.")
	}
	path := c.SigningKey
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return fhir.Problem("required", "There is no place for the key that signs reports.", "Name one with --signing-key.").Because(err)
		}
		path = filepath.Join(dir, "yarrow", "prove.key")
	}
	key, err := prove.SigningKey(path)
	if err != nil {
		return fhir.Problem("value", "The key that signs reports cannot be used.", "Name another with --signing-key; it is made when there is none.").Because(err)
	}
	report, err := prove.Carry(ctx, p, prove.Options{Version: version, Control: c.Control, Seed: c.Seed, Cycles: c.Cycles, Dir: c.Scratch,
		Engine: prove.Engine{App: c.Database, Owner: c.Owner, Files: c.Files}, Say: func(format string, args ...any) { fmt.Fprintf(out.errs, format+"\n", args...) }}, key)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := os.WriteFile(c.Out, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if c.JSON {
		fmt.Fprintf(out.text, "%s\n", text)
	} else {
		report.Print(out.text)
	}
	if !report.Holds {
		return exitError(exitFailed)
	}
	return nil
}

type proveAudit struct {
	proving
	Tamper  bool     `help:"Alter copies in every known way: flip, delete, reorder, truncate, roll back. Each must be found."`
	Log     string   `help:"Check this log, which yarrow audit export wrote, instead of a copy. Nothing but --key is needed." placeholder:"FILE" type:"existingfile"`
	Key     string   `help:"The practice's public key, as yarrow audit key prints it." placeholder:"KEY"`
	Receipt []string `help:"Receipts and checkpoints that were kept elsewhere: the log must agree with each." placeholder:"FILE" type:"existingfile"`
	Witness string   `help:"The folder that yarrow serve --witness wrote: with --log, the log must go through each of its checkpoints." placeholder:"DIR" type:"existingdir"`
}

func (c *proveAudit) Run(ctx context.Context, out *output) error {
	if c.Witness != "" && c.Log == "" {
		return fhir.Problem("required", "What a witness keeps is compared with a log.", "Give --log with a file that `yarrow audit export` wrote, and --key. `yarrow audit verify --witness` compares what is stored.")
	}
	if c.Log == "" && len(c.Receipt) == 0 {
		return c.carry(ctx, out, prove.Audit(c.Tamper))
	}
	if c.Key == "" {
		return fhir.Problem("required", "A log is checked with the practice's public key.", "Give --key. `yarrow audit key` prints it; keep it elsewhere.")
	}
	receipts, err := readReceipts(c.Receipt)
	if err != nil {
		return err
	}
	p := prove.Log(c.Key, receipts)
	if c.Log != "" {
		f, err := os.Open(c.Log)
		if err != nil {
			return err
		}
		defer f.Close()
		p = prove.LogIn(f, c.Key, receipts)
		if c.Witness != "" {
			p = prove.Witnessed(f, c.Key, c.Witness, receipts)
		}
	}
	return c.carry(ctx, out, p)
}

type proveDurability struct {
	proving
	Power    bool   `help:"Cut the power of the disk instead of killing the server: needs root and libnbd-bin."`
	Postgres string `help:"With --power: run a PostgreSQL server of its own on that disk, from this folder of programs." placeholder:"DIR" type:"existingdir"`
}

func (c *proveDurability) Run(ctx context.Context, out *output) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var power *prove.Power
	switch {
	case c.Power && c.Database != "":
		return fhir.Problem("value", "A power cut would harm the database at this address.", "Leave out --database and --owner; --postgres runs a server of the proof's own.")
	case c.Power:
		power = &prove.Power{Postgres: c.Postgres}
	case c.Postgres != "":
		return fhir.Problem("value", "--postgres belongs to --power.", "Add --power, or give --database and --owner.")
	}
	err = c.carry(ctx, out, prove.Durability(program, power))
	if errors.Is(err, prove.ErrNoDevice) {
		out.problem(fhir.Problem("not-supported", "The power cannot be cut on this machine.", "It takes root, /dev/fuse, loop devices, and the Debian package libnbd-bin.").Because(err))
		return exitError(exitUnable)
	}
	return err
}

type proveEgress struct {
	proving
	Apart bool `hidden:"" help:"This process is in a network of its own."`
}

func (c *proveEgress) Run(ctx context.Context, out *output) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Database != "" {
		return fhir.Problem("value", "This proof runs on the embedded database.", "Leave out --database and --owner: on PostgreSQL the database is one more host that the operator names.")
	}
	if !c.Apart {
		if code, ok := prove.Apart(ctx, program, append(os.Args[1:], "--apart"), out.text, out.errs); ok {
			if code != 0 {
				return exitError(code)
			}
			return nil
		}
	}
	return c.carry(ctx, out, prove.Egress(program, c.Apart))
}

// proveLeak is a demonstration that sends what it may not, past its own list.
type proveLeak struct{ demo }

func (c *proveLeak) Run(ctx context.Context, out *output) error {
	if _, err := os.Stat(filepath.Join(c.Data, prove.ThrowAway)); err != nil {
		return fhir.Problem("forbidden", "This command leaks on purpose, and only in a folder that the proof made.", "Run `yarrow prove egress --control`.")
	}
	go prove.Leak(ctx)
	return c.demo.Run(ctx, out)
}

type proveIsolation struct{ proving }

func (c *proveIsolation) Run(ctx context.Context, out *output) error {
	return c.carry(ctx, out, prove.Isolation(standOn))
}

// standOn stands the whole program on a throw-away installation, as serve would.
func standOn(b prove.Base) prove.Program {
	log := slog.New(slog.DiscardHandler)
	g := &ground{log: log, ring: b.Keys, db: b.DB, audit: b.Audit, auth: b.Auth, store: b.Store, origin: prove.Origin}
	g.terms = codes.New(g.db, g.store, codes.Options{Log: log})
	g.guide = guides.New(g.db, g.store, g.terms)
	g.rule(g.store)
	g.oauth = oauth.New(oauth.Options{DB: g.db, Auth: g.auth, Audit: g.audit, Base: g.origin, Log: log})
	g.signOn = signon.New(signon.Options{DB: g.db, Auth: g.auth, Audit: g.audit, Base: g.origin, Log: log})
	g.budget = &fhirapi.Budget{Requests: 1 << 30, Window: time.Hour}
	h := g.build(&output{text: io.Discard, errs: io.Discard, log: log}, false, true)
	p := prove.Program{Handler: h.handler(), OAuth: g.oauth, Operations: h.api.Operations(), Furnish: h.furnish,
		Work: func(ctx context.Context) error {
			both, ctx := errgroup.WithContext(ctx)
			both.Go(func() error { return h.queue.Run(ctx) })
			both.Go(func() error { return h.hub.Run(ctx) })
			return both.Wait()
		},
		RunDue: func(ctx context.Context) error {
			_, err := h.queue.RunDue(ctx)
			return err
		},
	}
	for _, r := range h.router.Routes() {
		p.Screens = append(p.Screens, prove.Screen{Method: r.Method, Pattern: r.Pattern})
	}
	for _, w := range h.ways() {
		if w.Handler != h.router && !strings.HasSuffix(strings.TrimSuffix(w.pattern, "/"), "/fhir") {
			p.Routes = append(p.Routes, w.pattern)
		}
	}
	return p
}

// furnish gives a practice what it has beside records: a hold on a patient, where the word is one that shows (a practice under attack
// has none, since a hold changes what can be deleted), and always a sign-on, a host that is allowed, a program and a directory.
func (h *house) furnish(ctx context.Context, p auth.Practice, admin auth.Staff, word string) (f prove.Furniture, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return f, err
	}
	now := h.db.Clock().Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return f, err
	}
	f.IDs = map[string]string{"{user}": strconv.FormatInt(admin.UserID(), 10)}
	if f.IDs["{connection}"], err = h.signOn.Save(ctx, admin, signon.Connection{Kind: signon.SAML, Name: word, Enabled: true, Domains: []string{"example.org"}, Entity: "https://idp.example.org/" + word,
		Address: "https://idp.example.org/" + word, Certificates: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}); err != nil {
		return f, err
	}
	if err := h.hub.Allow(ctx, admin, "hooks.example.org", word); err != nil {
		return f, err
	}
	program, _, err := h.oauth.Register(ctx, admin, oauth.Client{Kind: oauth.Public, Name: word, Redirects: []string{"https://app.example.org/back"}, Scopes: "patient/*.rs"})
	if err != nil {
		return f, err
	}
	f.IDs["{program}"] = program.ID
	if !strings.Contains(word, " ") {
		hold, err := h.keeper.Place(ctx, admin, "", "a case about "+word)
		if err != nil {
			return f, err
		}
		f.IDs["{hold}"] = strconv.FormatInt(hold.ID, 10)
	}
	f.Directory, err = h.scim.NewKey(ctx, admin, word)
	return f, err
}

type proveErasure struct{ proving }

func (c *proveErasure) Run(ctx context.Context, out *output) error {
	return c.carry(ctx, out, prove.Erasure())
}

func readReceipts(files []string) (out []audit.Receipt, err error) {
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r, err := audit.ReadReceipt(b)
		if err != nil {
			return nil, fhir.Problem("value", fmt.Sprintf("%s is not a receipt or a checkpoint.", path), "Give the file as it was written.").Because(err)
		}
		out = append(out, r)
	}
	return out, nil
}
