package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

type audits struct {
	Key        auditKey        `cmd:"" help:"Print the public key that the practice's audit is signed with."`
	Checkpoint auditCheckpoint `cmd:"" help:"Sign where the audit ends now, and print the checkpoint, to be kept elsewhere."`
	Verify     auditVerify     `cmd:"" help:"Read a practice's whole audit, check it, and name the first bad entry."`
	Export     auditExport     `cmd:"" help:"Write a practice's whole audit as NDJSON that proves itself: see yarrow prove audit --log."`
}

type ofPractice struct {
	place
	Practice string `required:"" help:"The practice's slug." placeholder:"SLUG"`
}

// with opens the data and finds the practice.
func (c *ofPractice) with(ctx context.Context, out *output, fn func(g *ground, s auth.System) error) error {
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Practice)
	if err != nil {
		return err
	}
	return fn(g, auth.SystemScope(p.ID, "yarrow audit"))
}

type auditKey struct{ ofPractice }

func (c *auditKey) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, func(g *ground, s auth.System) error {
		key, err := g.audit.Key(ctx, s)
		if err == nil {
			fmt.Fprintln(out.text, key)
		}
		return err
	})
}

type auditCheckpoint struct{ ofPractice }

func (c *auditCheckpoint) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, func(g *ground, s auth.System) error {
		if err := g.audit.Settle(ctx, s); err != nil {
			return err
		}
		signed, ok, err := g.audit.Checkpoint(ctx, s, true)
		if err == nil && !ok {
			return fhir.Problem("not-found", "Nothing is on record yet.", "Try again when the practice has been used.")
		}
		fmt.Fprint(out.text, signed.Note)
		return err
	})
}

type auditVerify struct {
	ofPractice
	Receipt []string `help:"Receipts and checkpoints that were kept elsewhere." placeholder:"FILE" type:"existingfile"`
	Witness string   `help:"The folder that yarrow serve --witness wrote: the audit must go through each of its checkpoints." placeholder:"DIR" type:"existingdir"`
	JSON    bool     `name:"json" help:"Print the report as JSON."`
}

func (c *auditVerify) Run(ctx context.Context, out *output) error {
	receipts, err := readReceipts(c.Receipt)
	if err != nil {
		return err
	}
	return c.with(ctx, out, func(g *ground, s auth.System) error {
		key, err := g.audit.Key(ctx, s)
		if err != nil {
			return err
		}
		var known []audit.Checkpoint
		for n, r := range receipts {
			signed, err := r.Check(key)
			if err != nil {
				return fhir.Problem("value", fmt.Sprintf("%s proves nothing about this practice: %v.", c.Receipt[n], err), "Check that it belongs to this practice and is as it was written.")
			}
			known = append(known, signed.Checkpoint)
		}
		var notes int
		if c.Witness != "" {
			all, err := audit.WitnessNotes(c.Witness, key)
			if err != nil {
				return err
			}
			for _, n := range all {
				if n.Fault != "" {
					return fhir.Problem("value", fmt.Sprintf("%s is not as it was witnessed: %s.", n.File, n.Fault), "Find out who changed it; the audit itself was not looked at.")
				}
				known = append(known, n.Checkpoint)
			}
			if notes = len(all); notes == 0 {
				return fhir.Problem("not-found", fmt.Sprintf("%s holds no note of this practice.", c.Witness), "Name the folder that `yarrow serve --witness` writes to.")
			}
		}
		report, err := g.audit.Verify(ctx, s, known...)
		if err != nil {
			return err
		}
		if c.JSON {
			err = out.json(report)
		} else {
			fmt.Fprintf(out.text, "%d entries, %d waiting, %d signed checkpoints, %d receipts, %d notes of the witness\n", report.Entries, report.Waiting, report.Checkpoints, len(receipts), notes)
			if f := report.Fault; f != nil {
				fmt.Fprintf(out.text, "FIRST BAD ENTRY: position %d: %s\n", f.Position, f.What)
			} else {
				fmt.Fprintln(out.text, "Everything is as it was written.")
			}
		}
		if err == nil && report.Fault != nil {
			return exitError(exitDamaged)
		}
		return err
	})
}

type auditExport struct {
	ofPractice
	Out string `required:"" help:"The new file." placeholder:"FILE"`
}

func (c *auditExport) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, func(g *ground, s auth.System) error {
		f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return fhir.Problem("conflict", fmt.Sprintf("%s is there already. Nothing was written.", c.Out), "Name a new file.")
		}
		if err != nil {
			return err
		}
		// The export is on record before its first line, and is itself in it.
		err = g.audit.Seen(ctx, s, audit.Event{Action: audit.ActionExport, Type: "AuditEvent", Categories: []string{"audit"}})
		var end audit.Signed
		if err == nil {
			end, err = g.audit.Export(ctx, s, f)
		}
		if err == nil {
			err = f.Sync()
		}
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			_ = os.Remove(c.Out)
			return err
		}
		fmt.Fprintf(out.text, "%d entries written, signed %s\n", end.Position, end.At.Format("2006-01-02 15:04:05 UTC"))
		return nil
	})
}
