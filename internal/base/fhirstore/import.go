package fhirstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Importer takes FHIR files in: Bundles (transaction, batch, collection), single resources and NDJSON, each
// plain or gzip. It checks structure and search values like any write, runs no workflow rules, keeps the ids
// it finds, and can be run again: a file that was taken in whole is skipped, an interrupted one goes on
// where its last commit ended, and a resource that would not change gets no new version.
type Importer struct {
	Store *Store
	Scope db.Scope
	// Progress, when set, is called after each commit, from one goroutine at a time.
	Progress func(Progress)
	// Workers prepare and write files side by side; 0 means one per processor.
	Workers int
	// Synthetic declares the files to be invented (see ApplyOptions.Synthetic).
	Synthetic bool
	// MaxFile bounds the unpacked bytes of one file; 0 means 1 GB.
	MaxFile int64
}

// Progress is how far an import has come.
type Progress struct {
	Files, FilesDone int
	Resources        int64 // written, unchanged ones included
}

// ImportReport is what an import did.
type ImportReport struct {
	Files, Skipped, Failed int // Skipped: taken in before
	Created, Updated, Same int64
	Refused                int64 // entries, lines and whole files with an error; each has an issue of severity error
	ByType                 map[string]int64
	Issues                 []ImportIssue // the first maxImportIssues, at most half of them warnings
	MoreIssues             int           // beyond those
	Dangling               int64         // references to resources that are not here
}

// ImportIssue is one fault in a file. Severity warning does not keep the entry out.
type ImportIssue struct {
	File  string
	Line  int // from 1; 0 when it concerns the whole file
	Entry int // of a Bundle, from 0; -1 for none
	fhir.Issue
}

const maxImportIssues = 1000

const defaultMaxFile = 1 << 30

// Run imports files and, of folders, the files in them. Its error means that the import could not go on
// (context, database); faults of files are in the report. What other files refer to (hospitals,
// practitioners) goes first.
func (im *Importer) Run(ctx context.Context, paths ...string) (*ImportReport, error) {
	files, err := importFiles(paths)
	if err != nil {
		return nil, err
	}
	run := &importRun{im: im, files: len(files), named: paths, conditions: &conditionCache{}, refs: map[int64]bool{}, written: map[int64]bool{},
		report: ImportReport{Files: len(files), ByType: map[string]int64{}}}
	split := 0
	for split < len(files) && goesFirst(files[split]) {
		split++
	}
	for _, part := range [][]string{files[:split], files[split:]} {
		if err := run.all(ctx, part); err != nil {
			return &run.report, err
		}
	}
	err = run.dangling(ctx)
	slices.SortStableFunc(run.report.Issues, func(a, b ImportIssue) int { return strings.Compare(a.File, b.File) })
	return &run.report, err
}

// importFiles lists the files to import, in their order.
func importFiles(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return fhir.Problem("not-found", "A file to import cannot be read.", "Check that it exists and that you may read it.").Because(err)
			}
			name := strings.ToLower(strings.TrimSuffix(path, ".gz"))
			named := path == p && !d.IsDir() // of a link that was named, what it leads to
			if named || d.Type().IsRegular() && (strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".ndjson")) {
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		switch x, y := goesFirst(a), goesFirst(b); {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out), nil
}

// goesFirst says by its name that a file holds what others refer to.
func goesFirst(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	for _, word := range []string{"hospital", "practitioner", "organization", "location"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// importRun is one run of an Importer.
type importRun struct {
	im         *Importer
	files      int
	named      []string // files asked for by name; others were found in folders
	conditions *conditionCache

	mu      sync.Mutex
	report  ImportReport
	done    int
	count   int64
	refs    map[int64]bool // what resources refer to, by idh
	written map[int64]bool
}

// all imports files side by side: while one waits for the writer, another is read and prepared.
func (run *importRun) all(ctx context.Context, files []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan string)
	var wg sync.WaitGroup
	workers := run.im.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	for range workers {
		wg.Go(func() {
			for f := range work {
				if err := run.file(ctx, f); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, f := range files {
		select {
		case work <- f:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// file imports one file. Faults of the file go to the report.
func (run *importRun) file(ctx context.Context, path string) error {
	err := run.take(ctx, path)
	var issues fhir.Issues
	var issue *fhir.Issue
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return err
	case errors.As(err, &issues):
		run.fault(path, 0, issues...)
	case errors.As(err, &issue) && !outage(err):
		run.fault(path, 0, *issue)
	default:
		return err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if err != nil {
		run.report.Failed++
	}
	run.done++
	run.progress()
	return nil
}

// progress reports; run.mu is held.
func (run *importRun) progress() {
	if run.im.Progress != nil {
		run.im.Progress(Progress{Files: run.files, FilesDone: run.done, Resources: run.count})
	}
}

// fault files what is wrong with one entry, line or file.
func (run *importRun) fault(path string, line int, issues ...fhir.Issue) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if fhir.Issues(issues).HasErrors() {
		run.report.Refused++
	}
	for _, i := range issues {
		n := len(run.report.Issues)
		if n >= maxImportIssues || i.Severity == "warning" && n >= maxImportIssues/2 {
			run.report.MoreIssues++
			continue
		}
		at := line
		if at == 0 {
			at = i.Line
		}
		run.report.Issues = append(run.report.Issues, ImportIssue{File: path, Line: at, Entry: entryOf(i.Path), Issue: i})
	}
}

// entryOf reads the entry number from a path such as Bundle.entry[3].resource; -1 without one.
func entryOf(path string) int {
	rest, ok := strings.CutPrefix(path, "Bundle.entry[")
	if !ok {
		return -1
	}
	n := 0
	for i := 0; i < len(rest) && rest[i] >= '0' && rest[i] <= '9'; i++ {
		n = n*10 + int(rest[i]-'0')
	}
	return n
}

// wrote counts what a commit wrote and remembers references.
func (run *importRun) wrote(k keyspace, entries []*entry) {
	run.mu.Lock()
	defer run.mu.Unlock()
	for _, e := range entries {
		r := e.result.Resource
		if r == nil {
			continue
		}
		run.count++
		run.report.ByType[r.Type]++
		switch {
		case e.result.Same:
			run.report.Same++
		case e.result.Created:
			run.report.Created++
		default:
			run.report.Updated++
		}
		run.written[k.id(r.Type, r.ID)] = true
		if e.p == nil {
			continue
		}
		for i := range e.p.values {
			if v := &e.p.values[i]; v.RefID != "" && v.Part == "" {
				run.refs[k.id(v.RefType, v.RefID)] = true
			}
		}
	}
	run.progress()
}
