package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/edge/bulk"
	"yarrow.health/internal/standards/fhir"
)

type export struct {
	place
	Practice string `required:"" help:"The practice's slug." placeholder:"SLUG"`
	Patient  string `help:"Only this patient's record: the id of the Patient." placeholder:"ID"`
	Out      string `required:"" help:"File to write, which must not exist yet: NDJSON, compressed when its name ends in .gz. It is not encrypted." placeholder:"FILE"`
}

func (c *export) Run(ctx context.Context, out *output) error {
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Practice)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Out); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return fhir.Problem("conflict", fmt.Sprintf("There is a file %s already.", c.Out), "Name another with --out, or move it away. Nothing was written.").Because(err)
	}
	// Written beside its place and put there whole, so that nobody takes half an export for one.
	part := c.Out + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fhir.Problem("exception", fmt.Sprintf("The file %s cannot be written.", part), "Check the folder and its permissions.").Because(err)
	}
	defer os.Remove(part)
	defer f.Close()
	var to io.Writer = f
	var packed *gzip.Writer
	if strings.HasSuffix(c.Out, ".gz") {
		packed = gzip.NewWriter(f)
		to = packed
	}
	meter := newMeter(out)
	began := clock.System().Now()
	scope, patient := auth.SystemScope(p.ID, "export"), strings.TrimPrefix(c.Patient, "Patient/")
	n, err := bulk.Dump(ctx, g.db, g.store, g.audit, scope, patient, to, func(n int64) {
		meter.show(func(d time.Duration) string {
			return fmt.Sprintf("%s resources, %s/s", grouped(n), grouped(rate(n, d)))
		})
	})
	meter.end()
	if err != nil {
		return err
	}
	unsigned, err := clinical.NewDrafts(g.db, g.store).Unsigned(ctx, scope, patient, func(raw []byte) error {
		_, err := to.Write(append(raw, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	if packed != nil {
		err = packed.Close()
	}
	if err = errors.Join(err, f.Sync(), f.Close(), os.Rename(part, c.Out)); err != nil {
		return fhir.Problem("exception", fmt.Sprintf("The file %s could not be written whole.", c.Out), "Check the space on the disk, and run the command again.").Because(err)
	}
	took := clock.System().Since(began)
	drafts := ""
	if unsigned > 0 {
		drafts = fmt.Sprintf(" and %s unsigned notes (Compositions with the status preliminary)", grouped(unsigned))
	}
	fmt.Fprintf(out.text, "%s resources%s of %s written to %s in %s. The file holds patients' data in the clear: keep it as you keep the records.\n",
		grouped(n), drafts, p.Slug, c.Out, took.Round(time.Millisecond))
	return nil
}
