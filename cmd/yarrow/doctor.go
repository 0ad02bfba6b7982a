package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

type doctor struct {
	place
	Practice string `help:"Look at this practice alone." placeholder:"SLUG"`
	Repair   bool   `help:"Write index rows that are wrong anew. Damaged records can only come back from a backup."`
	JSON     bool   `name:"json" help:"Print the findings as JSON."`
}

// finding is what the doctor says about one practice.
type finding struct {
	Practice  string   `json:"practice"`
	Number    int64    `json:"number"`
	Sound     bool     `json:"sound"`
	Resources int      `json:"resources"`
	Versions  int      `json:"olderVersions"`
	Damaged   []harm   `json:"damaged"`
	Index     []string `json:"wrongIndex"` // the first thousand
	Wrong     int      `json:"wrongIndexCount"`
	Stray     int      `json:"strayIndexRows"`
	Repaired  int      `json:"repaired"`
	Audit     int64    `json:"auditEntries"`
	Problems  []string `json:"problems"`
	Remedy    string   `json:"remedy,omitempty"`
}

type harm struct {
	Type    string `json:"type"`
	Row     int64  `json:"row"`
	Version int64  `json:"version"`
}

func (c *doctor) Run(ctx context.Context, out *output) error {
	g, err := c.openExisting(ctx, out)
	if err != nil {
		if issue := (*fhir.Issue)(nil); errors.As(err, &issue) && issue.Code == "exception" {
			out.problem(err)
			return exitError(exitDamaged)
		}
		return err
	}
	defer g.close()
	all, err := g.auth.Practices(ctx)
	if err != nil {
		return err
	}
	if c.Practice != "" {
		p, err := g.practiceNamed(ctx, c.Practice)
		if err != nil {
			return err
		}
		all = []auth.Practice{p}
	}
	sound := true
	findings := []finding{}
	if c.Practice == "" {
		f := finding{Practice: "sign-ins and practices", Sound: true, Damaged: []harm{}, Index: []string{}, Problems: []string{}}
		g.structure(ctx, db.System, &f)
		if !f.Sound {
			sound = false
			findings = append(findings, f)
			if !c.JSON {
				f.print(out)
			}
		}
	}
	for _, p := range all {
		f, err := g.examine(ctx, p, c.Repair)
		if err != nil {
			return err
		}
		sound = sound && f.Sound
		findings = append(findings, f)
		if !c.JSON {
			f.print(out)
		}
	}
	if c.JSON {
		err = out.json(findings)
	} else if len(all) == 0 {
		fmt.Fprintln(out.text, "There is no practice here.")
	}
	if err == nil && !sound {
		return exitError(exitDamaged)
	}
	return err
}

// examine looks at one practice: every record, the index against the records, and the audit log. What keeps it from
// looking is a finding too, so that one damaged practice does not hide the next.
func (g *ground) examine(ctx context.Context, p auth.Practice, repair bool) (finding, error) {
	f := finding{Practice: p.Slug, Number: int64(p.ID), Sound: true, Damaged: []harm{}, Index: []string{}, Problems: []string{}}
	scope := auth.SystemScope(p.ID, "doctor")
	r, err := g.store.Check(ctx, scope, repair)
	switch {
	case ctx.Err() != nil:
		return f, ctx.Err()
	case err != nil:
		f.fault(err)
		return f, nil
	}
	f.Resources, f.Versions, f.Stray, f.Repaired = r.Resources, r.Versions, r.StrayRows, r.Repaired
	for _, d := range r.Damaged {
		f.Damaged = append(f.Damaged, harm{d.Type, d.Row, d.Version})
	}
	f.Index, f.Wrong = append(f.Index, r.WrongIndex...), r.WrongCount
	if !r.Sound() {
		f.Sound = false
	}
	switch {
	case len(r.Damaged) > 0:
		f.Remedy = restoreRemedy
	case !r.Sound():
		f.Remedy = "Run `yarrow doctor --repair`."
	}
	g.structure(ctx, p.ID, &f)
	log, err := g.audit.Verify(ctx, auth.SystemScope(p.ID, "doctor"))
	switch {
	case ctx.Err() != nil:
		return f, ctx.Err()
	case err != nil:
		f.fault(err)
	case log.Fault != nil:
		f.Sound = false
		f.Problems = append(f.Problems, fmt.Sprintf("audit log, position %d: %s", log.Fault.Position, log.Fault.What))
		f.Remedy = restoreRemedy
	}
	f.Audit = log.Entries + log.Waiting
	return f, nil
}

// structure looks at the file of a store as such.
func (g *ground) structure(ctx context.Context, p db.PracticeID, f *finding) {
	faults, err := g.db.CheckFile(ctx, auth.SystemScope(p, "doctor"))
	if err != nil && ctx.Err() == nil {
		f.fault(err)
	}
	if len(faults) > 0 {
		f.Sound = false
		f.Problems = append(f.Problems, faults...)
		f.Remedy = restoreRemedy
	}
}

const restoreRemedy = "Keep this folder or database as it is, and restore the practice from the latest backup into a new one with `yarrow restore`."

func (f *finding) fault(err error) {
	f.Sound = false
	f.Remedy = restoreRemedy
	var issue *fhir.Issue
	if errors.As(err, &issue) {
		f.Problems = append(f.Problems, issue.Text)
		if issue.Fix != "" {
			f.Remedy = issue.Fix
		}
		return
	}
	if db.IsDamaged(err) {
		f.Problems = append(f.Problems, "The database file is damaged.")
		return
	}
	f.Problems = append(f.Problems, "The check could not finish: "+err.Error())
}

func (f *finding) print(out *output) {
	state := "sound"
	if !f.Sound {
		state = "DAMAGED"
	}
	fmt.Fprintf(out.text, "%s: %s. %s resources, %s older versions, %s audit entries.\n", f.Practice, state,
		grouped(int64(f.Resources)), grouped(int64(f.Versions)), grouped(f.Audit))
	for _, p := range f.Problems {
		fmt.Fprintln(out.text, "   ", p)
	}
	for _, d := range f.Damaged {
		fmt.Fprintf(out.text, "    %s, row %d, version %d does not pass its integrity check and is not shown to anybody.\n", d.Type, d.Row, d.Version)
	}
	if f.Wrong > 0 {
		shown := f.Index[:min(len(f.Index), 10)]
		more := ""
		if f.Wrong > len(shown) {
			more = fmt.Sprintf(" and %s others", grouped(int64(f.Wrong-len(shown))))
		}
		fmt.Fprintf(out.text, "    The index was wrong for %s%s.\n", strings.Join(shown, ", "), more)
	}
	if f.Stray > 0 {
		fmt.Fprintf(out.text, "    %d index rows belong to no resource.\n", f.Stray)
	}
	if f.Repaired > 0 {
		fmt.Fprintf(out.text, "    %d resources have their index back.\n", f.Repaired)
	}
	if f.Remedy != "" {
		fmt.Fprintln(out.text, "   ", f.Remedy)
	}
}
