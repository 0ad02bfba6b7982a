package bulk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Kinds of files.
const (
	outputFile  = "output"
	deletedFile = "deleted"
	errorFile   = "error"
	blockFile   = "blocks"
	bucketFile  = "bucket"
)

// lost says that the export was removed or that another worker goes on with it.
var errLost = errors.New("bulk: somebody else has changed this export")

// work does one slice of an export: it reads pages of what was at the export's moment, from the newest back, and stores parts and
// its place in one transaction, so that a worker that is killed is followed by one that goes on where the last commit was.
func (e *Exports) work(ctx context.Context, j *jobs.Job) error {
	var h int64
	if err := j.Decode(&h); err != nil {
		return jobs.Permanent(err)
	}
	self := auth.SystemScope(j.Practice, "bulk")
	var o *order
	if err := e.o.DB.View(ctx, self, func(tx *db.Tx) (err error) {
		o, err = loadExport(ctx, tx, h)
		return err
	}); err != nil {
		return err
	}
	if o == nil || o.state != atWork {
		return nil // deleted or expired
	}
	work, what, verb, action := e.slice, "export", "read", audit.ActionExport
	if o.Level == ofImport {
		work, what, verb, action = e.takeIn, "import", "write", audit.ActionImport
	}
	err := work(ctx, j, o)
	if err == nil || errors.Is(err, errLost) || errors.Is(err, jobs.ErrLeaseLost) || ctx.Err() != nil {
		if errors.Is(err, errLost) {
			return nil
		}
		return err
	}
	var i *fhir.Issue
	refused := errors.As(err, &i) && (i.Code == "login" || i.Code == "forbidden" || i.Code == "unknown" || i.Code == "expired")
	if !refused && j.Attempt < tries {
		return err
	}
	why := "The " + what + " could not be finished. Start it again; if it fails again, tell whoever looks after this server."
	if refused {
		why = "The program that asked for the " + what + " may not " + verb + " this any more."
	}
	e.o.Log.Error("an "+what+" failed", "practice", j.Practice, "error", err)
	return e.o.DB.Do(ctx, self, func(tx *db.Tx) error {
		o, err := loadExport(ctx, tx, h)
		if err != nil || o == nil || o.state != atWork {
			return err
		}
		if err := deleteParts(ctx, tx, h); err != nil {
			return err
		}
		o.state, o.Failed, o.Files = failed, why, nil
		e.o.Audit.Record(tx, audit.Event{Action: action, Outcome: audit.OutcomeFailed, Detail: "bulk " + what + " failed"})
		_, err = storeExport(ctx, tx, o)
		return err
	})
}

func (e *Exports) slice(ctx context.Context, j *jobs.Job, o *order) error {
	p, err := e.o.PracticeByID(ctx, j.Practice)
	if err != nil {
		return err
	}
	began := e.clock.Now()
	for {
		// Asked anew before every commit: what is taken from the one who asked is taken from the work within moments.
		s, err := e.o.Resume(ctx, p, o.Held)
		if err != nil {
			return err
		}
		o.Mixed = o.Mixed || accessOf(s) != o.Access
		w, err := newWriter(e, o)
		if err != nil {
			return err
		}
		step := w.fill
		if o.Sorting {
			step = w.arrange
		}
		over, err := step(ctx, s)
		if err != nil {
			return err
		}
		if over && o.Blocks && !o.Sorting {
			over, o.Sorting = false, true
		}
		last := over || e.clock.Since(began) >= e.sliceFor
		if err := e.commit(ctx, s, j, w, over, last); err != nil || last {
			return err
		}
		if e.afterCommit != nil {
			e.afterCommit()
		}
	}
}

// commit stores what was read and the place to go on from.
func (e *Exports) commit(ctx context.Context, s db.Scope, j *jobs.Job, w *writer, over, last bool) error {
	if err := e.o.DB.View(ctx, s, func(tx *db.Tx) error { return w.closeAll(tx, over) }); err != nil {
		return err
	}
	o := w.o
	step := o.step
	err := e.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		o.step, o.state = step, atWork
		if over {
			var err error
			if o.Change, err = e.o.Store.LastChange(ctx, tx); err != nil {
				return err
			}
			o.state, o.expires = done, tx.Now().Add(kept).UnixMicro()
		}
		if err := advance(ctx, tx, o, w.sealed); err != nil {
			return err
		}
		for _, n := range w.spent {
			if err := deleteFile(ctx, tx, o.h, n); err != nil {
				return err
			}
		}
		switch {
		case over:
			e.o.Audit.Record(tx, audit.Event{Action: audit.ActionExport, Detail: fmt.Sprintf("bulk export ready, %d files", len(o.Files))})
			if _, err := e.o.Queue.Add(ctx, tx, jobs.Spec{Kind: expireKind, Key: fmt.Sprint(o.h), RunAt: time.UnixMicro(o.expires)}); err != nil {
				return err
			}
		case last:
			if err := e.plan(ctx, tx, o); err != nil {
				return err
			}
		}
		if last {
			return j.Complete(ctx, tx)
		}
		return nil
	})
	return err
}

// writer takes lines and makes parts of them, between two commits.
type writer struct {
	e       *Exports
	o       *order
	filters map[string][][]fhirsearch.Clause
	of      map[string]bool     // patients, by id
	open    map[string]*growing // by kind and type
	sealed  []sealedPart
	spent   []int // buckets that were put together
	tx      *db.Tx
}

func newWriter(e *Exports, o *order) (*writer, error) {
	w := &writer{e: e, o: o, open: map[string]*growing{}, filters: map[string][][]fhirsearch.Clause{}}
	for typ, queries := range o.Filters {
		for _, q := range queries {
			clauses, err := filterOf(typ, q)
			if err != nil {
				return nil, err
			}
			w.filters[typ] = append(w.filters[typ], clauses)
		}
	}
	if o.Patients != nil {
		w.of = make(map[string]bool, len(o.Patients))
		for _, id := range o.Patients {
			w.of[id] = true
		}
	}
	return w, nil
}

// fill reads until there is enough for a commit. over says that there is nothing more to read.
func (w *writer) fill(ctx context.Context, s db.Scope) (over bool, err error) {
	at := time.UnixMicro(w.o.At)
	for read, size := 0, int64(0); read < w.e.flushAt && size < w.e.flushBytes; {
		q := fhirstore.HistoryQuery{Types: w.o.Types, AtFrom: at, AtTo: at.Add(time.Microsecond), Count: w.e.pageSize, Page: w.o.Cursor}
		if w.o.Since != 0 {
			q.Since = time.UnixMicro(w.o.Since + 1)
		}
		err := w.e.o.DB.View(ctx, s, func(tx *db.Tx) error {
			page, err := w.e.o.Store.Versions(ctx, tx, q)
			if err != nil {
				return err
			}
			w.tx = tx
			defer func() { w.tx = nil }()
			for _, r := range page.Versions {
				n, err := w.take(ctx, tx, r)
				if err != nil {
					return err
				}
				size += int64(n)
			}
			read += len(page.Versions)
			w.o.Cursor, w.o.Read = page.Next, w.o.Read+int64(len(page.Versions))
			return nil
		})
		if err != nil || w.o.Cursor == "" {
			return true, err
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return false, nil
}

// take adds a version to its file if it belongs into the export.
func (w *writer) take(ctx context.Context, tx *db.Tx, r *fhirstore.Resource) (size int, err error) {
	if r.Deleted {
		return w.takeDeleted(ctx, tx, r)
	}
	in, patient, err := w.belongs(ctx, tx, r)
	if err != nil || !in || !w.answers(r) {
		return 0, err
	}
	text := r.Raw
	if names := elementsOf(r.Type, w.o.Elements); len(names) > 0 {
		if text, err = fhirapi.Elements(r.Type, text, names); err != nil {
			return 0, err
		}
	}
	if w.o.Blocks {
		return w.sort(ctx, tx, r, patient, text)
	}
	return len(text), w.add(outputFile, r.Type, line{r.Reference(), patient, text})
}

// takeDeleted tells of a resource that was deleted since the time asked for; an export without one knows of none.
func (w *writer) takeDeleted(ctx context.Context, tx *db.Tx, r *fhirstore.Resource) (int, error) {
	if w.o.Since == 0 || r.Version < 2 {
		return 0, nil
	}
	before, err := w.e.o.Store.ReadVersion(ctx, tx, r.Type, r.ID, r.Version-1)
	var i *fhir.Issue
	if errors.As(err, &i) && (i.Code == "not-found" || i.Code == "deleted") {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	in, patient, err := w.belongs(ctx, tx, before)
	if err != nil || !in {
		return 0, err
	}
	request := fhirjson.NewObject(fhirjson.Member{Name: "method", Value: fhirjson.NewString("DELETE")}, fhirjson.Member{Name: "url", Value: fhirjson.NewString(r.Reference())})
	n := fhirjson.NewObject(fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString("Bundle")}, fhirjson.Member{Name: "type", Value: fhirjson.NewString("transaction")},
		fhirjson.Member{Name: "entry", Value: fhirjson.NewArray(fhirjson.NewObject(fhirjson.Member{Name: "request", Value: request}))})
	text := n.AppendJSON(nil)
	return len(text), w.add(deletedFile, "Bundle", line{r.Reference(), patient, text})
}

func (w *writer) add(kind, typ string, l line) error {
	key := kind + " " + typ
	g := w.open[key]
	if g == nil {
		g = &growing{}
		w.open[key] = g
	}
	g.add(l)
	if len(g.text) < partSize {
		return nil
	}
	delete(w.open, key)
	return w.close(w.tx, kind, typ, g)
}

// closeAll ends the parts that are open. The last ones include what is to be said about the export itself.
func (w *writer) closeAll(tx *db.Tx, over bool) error {
	if over && len(w.o.Passed) > 0 {
		var issues fhir.Issues
		for _, text := range w.o.Passed {
			i := fhir.Problem("not-supported", text, "Leave it out.")
			i.Severity = "warning"
			issues = append(issues, *i)
		}
		g := &growing{}
		g.add(line{text: fhir.Outcome(issues...)})
		w.open[errorFile+" OperationOutcome"] = g
	}
	for _, key := range slices.Sorted(maps.Keys(w.open)) {
		kind, typ, _ := strings.Cut(key, " ")
		if err := w.close(tx, kind, typ, w.open[key]); err != nil {
			return err
		}
	}
	clear(w.open)
	return nil
}

// close seals a part and counts it to the last file of its kind and type, or to a new one.
func (w *writer) close(tx *db.Tx, kind, typ string, g *growing) error {
	at := -1
	for i, f := range w.o.Files {
		if f.Kind == kind && f.Type == typ {
			at = i
		}
	}
	if at < 0 || kind != blockFile && kind != bucketFile && w.o.Files[at].Bytes > w.e.fileSize {
		w.o.Files = append(w.o.Files, file{Kind: kind, Type: typ})
		at = len(w.o.Files) - 1
	}
	f := &w.o.Files[at]
	p, err := g.seal(tx.Practice(), tx.Keys(), w.o.h, at, f.Parts)
	if err != nil {
		return err
	}
	w.sealed = append(w.sealed, p)
	if kind == bucketFile && f.Parts == 0 {
		f.Of = g.of
	} else if f.Of != g.of {
		f.Of = ""
	}
	f.Parts++
	f.Lines += g.lines
	f.Bytes += int64(len(g.text))
	return nil
}

// answers says whether a resource answers one of its type's filters.
func (w *writer) answers(r *fhirstore.Resource) bool {
	ways := w.filters[r.Type]
	if len(ways) == 0 {
		return true
	}
	return slices.ContainsFunc(ways, func(way []fhirsearch.Clause) bool {
		return !slices.ContainsFunc(way, func(c fhirsearch.Clause) bool { return !fhirsearch.Match(r.Node(), c) })
	})
}

// filterOf reads one query of _typeFilter. One resource alone has to decide it.
func filterOf(typ, query string) ([]fhirsearch.Clause, error) {
	clauses, err := fhirsearch.ParseLone(typ, query)
	switch err {
	case fhirsearch.ErrForm:
		return nil, fhir.Problem("value", "A _typeFilter is not well formed.", "Write it as Type?parameter=value, and encode the characters ? and & of it.").At("http._typeFilter")
	case fhirsearch.ErrJoin:
		return nil, fhir.Problem("not-supported", "A _typeFilter asks for more than one resource can tell.", "Use search parameters of the type without chains, _has, _include, _sort or value sets.").At("http._typeFilter")
	}
	return clauses, err
}
