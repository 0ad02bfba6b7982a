package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/standards/fhir"
)

type importGuide struct {
	place
	Practice string   `required:"" help:"The practice's slug." placeholder:"SLUG"`
	List     bool     `help:"List the guides the practice has imported."`
	Policy   string   `help:"What becomes of a resource that breaks a profile it declares: reject (the default) or warn. Breaking R4 itself is always refused." enum:",reject,warn" default:""`
	Refs     string   `name:"references" help:"What becomes of a resource that refers to what is not there: reject, warn (the default) or off." enum:",reject,warn,off" default:""`
	JSON     bool     `name:"json" help:"Print the answer as JSON."`
	Packages []string `arg:"" optional:"" name:"package" help:"Files package.tgz, in the order in which they build on each other."`
}

func (c *importGuide) Run(ctx context.Context, out *output) error {
	if len(c.Packages) == 0 && !c.List && c.Policy == "" && c.Refs == "" {
		return fhir.Problem("required", "No package is named.", "Name the package.tgz of a guide, or give --list, --policy or --references.")
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
	if c.Policy != "" {
		if err := g.guide.SetPolicy(ctx, scope, guides.Policy(c.Policy)); err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintf(out.text, "What breaks a profile it declares: %s, from now on.\n", map[string]string{"reject": "refused", "warn": "taken with a warning"}[c.Policy])
		}
	}
	if c.Refs != "" {
		if err := g.guide.SetTargets(ctx, scope, c.Refs); err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintf(out.text, "What refers to what is not there: %s, from now on.\n", map[string]string{"reject": "refused", "warn": "taken with a warning", "off": "taken"}[c.Refs])
		}
	}
	reports := []guides.Report{}
	for _, file := range c.Packages {
		r, err := importPackage(ctx, g, scope, file)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	if c.List {
		return c.list(ctx, out, g, scope)
	}
	if c.JSON {
		return json.NewEncoder(out.text).Encode(reports)
	}
	for _, r := range reports {
		c.print(out, r)
	}
	return nil
}

func importPackage(ctx context.Context, g *ground, scope auth.System, file string) (guides.Report, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return guides.Report{}, fhir.Problem("not-found", fmt.Sprintf("There is no file %s.", file), "Check the name.").Because(err)
	}
	if err != nil {
		return guides.Report{}, fhir.Problem("forbidden", fmt.Sprintf("The file %s cannot be read.", file), "Check that you may read it.").Because(err)
	}
	defer f.Close()
	return g.guide.Import(ctx, scope, f)
}

func (c *importGuide) print(out *output, r guides.Report) {
	fmt.Fprintf(out.text, "%s %s: %d definitions\n", r.Package, r.Version, r.Resources)
	for _, typ := range slices.Sorted(maps.Keys(r.ByType)) {
		fmt.Fprintf(out.text, "  %6d %s\n", r.ByType[typ], typ)
	}
	for _, x := range r.Refused {
		fmt.Fprintf(out.text, "  left out, not valid R4: %s\n", x)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(out.text, "  builds on %s, which is not imported: what it says there is not checked\n", m)
	}
}

func (c *importGuide) list(ctx context.Context, out *output, g *ground, scope auth.System) error {
	all, err := g.guide.List(ctx, scope)
	if err != nil {
		return err
	}
	if c.JSON {
		if all == nil {
			all = []guides.Guide{}
		}
		return json.NewEncoder(out.text).Encode(all)
	}
	fmt.Fprintf(out.text, "hl7.fhir.us.core 6.1.0 (built in)\n")
	for _, x := range all {
		fmt.Fprintf(out.text, "%s %s: %d definitions, imported %s\n", x.Package, x.Version, x.Resources, x.Imported.Format("2006-01-02"))
	}
	return nil
}
