package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

type imports struct {
	Terminology importTerminology `cmd:"" name:"terminology" help:"Take in an edition of a code set from its owner's release files, such as ICD-10-CM. --list names what is there."`
	Guide       importGuide       `cmd:"" name:"guide" help:"Take in an implementation guide (package.tgz), so that its profiles are checked. --list names what is there."`
	FHIR        importFHIR        `cmd:"" name:"fhir" help:"Take in FHIR R4 bundles, resources and NDJSON, plain or gzip. It can be interrupted and run again."`
}

type importFHIR struct {
	place
	Practice    string   `required:"" help:"The practice's slug." placeholder:"SLUG"`
	JSON        bool     `name:"json" help:"Print the report as JSON."`
	Synthetic   bool     `help:"Declare that the files hold invented people. A practice without an agreement then takes their identifiers; real-looking telephone numbers, mail addresses and social security numbers stay refused."`
	MaxResource int      `help:"Largest resource, in MB; at most 31." default:"20" placeholder:"MB"`
	MaxFile     int      `help:"Largest file, in MB unpacked." default:"1024" placeholder:"MB"`
	Files       []string `arg:"" name:"file" help:"Files, and folders with .json and .ndjson files, each plain or .gz."`
}

func (c *importFHIR) Run(ctx context.Context, out *output) error {
	for _, f := range c.Files {
		if _, err := os.Stat(f); errors.Is(err, fs.ErrNotExist) {
			return fhir.Problem("not-found", fmt.Sprintf("There is no file %s.", f), "Check the name. Nothing was imported.").Because(err)
		} else if err != nil {
			return fhir.Problem("forbidden", fmt.Sprintf("The file %s cannot be read.", f), "Check that you may read it. Nothing was imported.").Because(err)
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
	g.store.MaxResource = c.MaxResource << 20
	meter := newMeter(out)
	im := fhirstore.Importer{Store: g.store, Scope: auth.SystemScope(p.ID, "import"), Synthetic: c.Synthetic, MaxFile: int64(c.MaxFile) << 20,
		Progress: func(now fhirstore.Progress) {
			meter.show(func(d time.Duration) string {
				return fmt.Sprintf("%s resources, %s/s, file %d of %d", grouped(now.Resources), grouped(rate(now.Resources, d)), now.FilesDone, now.Files)
			})
		}}
	began := clock.System().Now()
	r, err := im.Run(ctx, c.Files...)
	meter.end()
	took := clock.System().Since(began)
	if err != nil {
		return c.stopped(ctx, out, r, err)
	}
	if r.Files == 0 {
		return fhir.Problem("not-found", fmt.Sprintf("There is nothing to import in %s.", strings.Join(c.Files, ", ")),
			"Name files, or folders that hold .json or .ndjson files, each plain or .gz.")
	}
	if c.JSON {
		err = c.printJSON(out, r, took)
	} else {
		c.print(out, r, took)
	}
	if err == nil && r.Refused > 0 {
		return exitError(exitInput)
	}
	return err
}

// stopped tells what was kept when an import could not go on.
func (c *importFHIR) stopped(ctx context.Context, out *output, r *fhirstore.ImportReport, err error) error {
	if r != nil {
		fmt.Fprintf(out.errs, "The import stopped. %s new and %s changed resources are kept; run the same command again to go on.\n", grouped(r.Created), grouped(r.Updated))
	}
	if ctx.Err() != nil {
		return exitError(exitFailed)
	}
	return err
}

func (c *importFHIR) print(out *output, r *fhirstore.ImportReport, took time.Duration) {
	all := r.Created + r.Updated + r.Same
	fmt.Fprintf(out.text, "%s: %s resources from %d files in %.1f s (%s/s): %s new, %s changed, %s as they were.\n", c.Practice,
		grouped(all), r.Files, took.Seconds(), grouped(rate(all, took)), grouped(r.Created), grouped(r.Updated), grouped(r.Same))
	if r.Skipped > 0 {
		fmt.Fprintf(out.text, "%d files had been taken in before and were left alone.\n", r.Skipped)
	}
	for _, i := range r.Issues {
		fmt.Fprintln(out.text, issueLine(i))
		if i.Fix != "" {
			fmt.Fprintln(out.text, "        ", i.Fix)
		}
	}
	if r.MoreIssues > 0 {
		fmt.Fprintf(out.text, "and %d more.\n", r.MoreIssues)
	}
	if r.Refused > 0 {
		fmt.Fprintf(out.text, "%s refused; what was accepted is kept. Correct the rest and run the command again.\n", counted(r.Refused, "entry was", "entries were"))
	}
}

// issueLine is one fault as a person finds it: file, line, entry, path, words.
func issueLine(i fhirstore.ImportIssue) string {
	var b strings.Builder
	word := "refused"
	if i.Severity == "warning" || i.Severity == "information" {
		word = "warning"
	}
	b.WriteString(word + ": ")
	if i.File != "" {
		b.WriteString(i.File)
		if i.Line > 0 {
			fmt.Fprintf(&b, ", line %d", i.Line)
		}
		if i.Entry >= 0 {
			fmt.Fprintf(&b, ", entry %d", i.Entry)
		}
		b.WriteString(": ")
	}
	if i.Path != "" {
		b.WriteString(i.Path + ": ")
	}
	b.WriteString(i.Text)
	return b.String()
}

type importJSON struct {
	Practice   string           `json:"practice"`
	Files      int              `json:"files"`
	Skipped    int              `json:"skippedFiles"`
	Failed     int              `json:"failedFiles"`
	Created    int64            `json:"created"`
	Updated    int64            `json:"updated"`
	Same       int64            `json:"same"`
	Refused    int64            `json:"refused"`
	Dangling   int64            `json:"danglingReferences"`
	Seconds    float64          `json:"seconds"`
	ByType     map[string]int64 `json:"byType"`
	Issues     []importFault    `json:"issues"`
	MoreIssues int              `json:"moreIssues"`
}

type importFault struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Entry    *int   `json:"entry,omitempty"`
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Path     string `json:"path,omitempty"`
	Text     string `json:"text"`
	Fix      string `json:"fix,omitempty"`
}

func (c *importFHIR) printJSON(out *output, r *fhirstore.ImportReport, took time.Duration) error {
	j := importJSON{Practice: c.Practice, Files: r.Files, Skipped: r.Skipped, Failed: r.Failed, Created: r.Created, Updated: r.Updated,
		Same: r.Same, Refused: r.Refused, Dangling: r.Dangling, Seconds: took.Seconds(), ByType: r.ByType, MoreIssues: r.MoreIssues, Issues: []importFault{}}
	for _, i := range r.Issues {
		f := importFault{File: i.File, Line: i.Line, Severity: i.Severity, Code: i.Code, Path: i.Path, Text: i.Text, Fix: i.Fix}
		if f.Severity == "" {
			f.Severity = "error"
		}
		if i.Entry >= 0 {
			f.Entry = &i.Entry
		}
		j.Issues = append(j.Issues, f)
	}
	return out.json(j)
}

// json prints a value for scripts.
func (o *output) json(v any) error {
	enc := json.NewEncoder(o.text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// meter shows how far long work is: in place on a terminal, as a line now and then elsewhere.
type meter struct {
	out      *output
	terminal bool
	every    time.Duration
	began    time.Time
	last     time.Time
}

func newMeter(out *output) *meter {
	now := clock.System().Now()
	m := &meter{out: out, every: 5 * time.Second, began: now, last: now}
	if out.terminal {
		m.terminal, m.every = true, 200*time.Millisecond
	}
	return m
}

func (m *meter) show(text func(since time.Duration) string) {
	c := clock.System()
	if c.Since(m.last) < m.every {
		return
	}
	m.last = c.Now()
	line := text(c.Since(m.began))
	if m.terminal {
		fmt.Fprintf(m.out.errs, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(m.out.errs, line)
}

func (m *meter) end() {
	if m.terminal {
		fmt.Fprint(m.out.errs, "\r\x1b[K")
	}
}

func rate(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}

// grouped writes 12,345.
func grouped(n int64) string {
	text := []byte(fmt.Sprint(n))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = slices.Insert(text, i, ',')
	}
	return string(text)
}

func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}
