package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/standards/fhir"
)

type importTerminology struct {
	place
	Practice string   `required:"" help:"The practice's slug." placeholder:"SLUG"`
	Kind     string   `help:"Which code set: icd10cm, hcpcs, rxnorm, ndc, cvx, mvx, loinc, snomed, cpt or nucc." placeholder:"KIND"`
	Release  string   `help:"The edition, when the files do not say it, such as 2026-01." placeholder:"EDITION"`
	From     string   `help:"First day the edition is in force." placeholder:"YYYY-MM-DD"`
	Until    string   `help:"Last day the edition is in force; people are warned from 60 days before." placeholder:"YYYY-MM-DD"`
	Licence  string   `help:"Your licence, such as its number: needed for SNOMED CT, CPT and NUCC." placeholder:"TEXT"`
	List     bool     `help:"List the editions the practice has imported."`
	Remove   string   `help:"Remove an edition, such as icd10cm@FY2025." placeholder:"KIND@EDITION"`
	JSON     bool     `name:"json" help:"Print the answer as JSON."`
	Files    []string `arg:"" optional:"" name:"file" help:"The owner's release files, plain, .gz or .zip, and folders with such."`
}

func (c *importTerminology) Run(ctx context.Context, out *output) error {
	if len(c.Files) == 0 && !c.List && c.Remove == "" {
		return fhir.Problem("required", "No file is named.", "Name the release files of a code set with --kind, or give --list or --remove.")
	}
	if len(c.Files) > 0 {
		if _, err := codes.KindOf(c.Kind); err != nil {
			return err
		}
	}
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Practice)
	if err != nil {
		return err
	}
	scope := auth.SystemScope(p.ID, "import")
	if c.Remove != "" {
		kind, version, ok := strings.Cut(c.Remove, "@")
		if !ok {
			return fhir.Problem("value", fmt.Sprintf("%q does not name an edition.", c.Remove), "Write it as icd10cm@FY2025; --list shows what is there.")
		}
		r, err := g.terms.Remove(ctx, scope, kind, version)
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintf(out.text, "%s %s was removed. Records keep their codes.\n", r.Name, r.Version)
		}
	}
	if len(c.Files) > 0 {
		if err := c.take(ctx, out, g, scope); err != nil {
			return err
		}
	}
	if c.List {
		return c.list(ctx, out, g, scope)
	}
	return nil
}

func (c *importTerminology) take(ctx context.Context, out *output, g *ground, scope auth.System) error {
	meter := newMeter(out)
	r, err := g.terms.Import(ctx, scope, codes.Import{Kind: c.Kind, Files: c.Files, Release: c.Release, From: c.From, Until: c.Until, Holder: c.Licence,
		Progress: func(now codes.Progress) {
			meter.show(func(d time.Duration) string {
				return fmt.Sprintf("%s %s: %s rows, %s/s", now.Stage, now.File, grouped(int64(now.Rows)), grouped(rate(int64(now.Rows), d)))
			})
		}})
	meter.end()
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(out.errs, "The import stopped; nothing of it is used. Run the same command again.")
			return exitError(exitFailed)
		}
		return err
	}
	if c.JSON {
		return json.NewEncoder(out.text).Encode(r)
	}
	rel := &r.Release
	if r.Same {
		fmt.Fprintf(out.text, "%s %s was taken in from these files before; nothing was done.\n", rel.Name, rel.Version)
	} else {
		word := "taken in"
		if r.Replaced {
			word = "replaced"
		}
		fmt.Fprintf(out.text, "%s %s %s: %s codes from %s rows, %s of them retired.\n", rel.Name, rel.Version, word, grouped(int64(rel.Concepts)), grouped(int64(r.Rows)), grouped(int64(rel.Retired)))
		if rel.Carried > 0 {
			fmt.Fprintf(out.text, "%s codes that only %s had go on showing their names, as retired ones.\n", grouped(int64(rel.Carried)), rel.Before)
		}
		for _, n := range r.Notes {
			fmt.Fprintln(out.text, n)
		}
		fmt.Fprintln(out.text, rel.Licence)
	}
	if r.Warning != "" {
		fmt.Fprintln(out.text, "warning:", r.Warning)
	}
	return nil
}

func (c *importTerminology) list(ctx context.Context, out *output, g *ground, scope auth.System) error {
	all, err := g.terms.Releases(ctx, scope)
	if err != nil {
		return err
	}
	if c.JSON {
		if all == nil {
			all = []codes.Release{}
		}
		return json.NewEncoder(out.text).Encode(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(out.text, "No edition was imported; pickers search the starter set.")
	}
	for i := range all {
		r := &all[i]
		force := ""
		if r.From != "" || r.Until != "" {
			force = fmt.Sprintf(", in force %s to %s", orDots(r.From), orDots(r.Until))
		}
		fmt.Fprintf(out.text, "%s@%s  %s: %s codes%s, %s, imported %s\n", r.Kind, r.Version, r.Name, grouped(int64(r.Concepts)), force, r.Tier, r.Imported.Format(time.DateOnly))
		if w := r.Warning(clock.System().Now()); w != "" {
			fmt.Fprintln(out.text, "  warning:", w)
		}
	}
	return nil
}

func orDots(s string) string {
	if s == "" {
		return "…"
	}
	return s
}
