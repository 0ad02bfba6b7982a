package fhirstore

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/synthetic"
)

// ApplyOptions say how a bundle is taken.
type ApplyOptions struct {
	// KeepIDs has POST entries keep the id of their resource. A migration wants this: it makes a repeated
	// run find what it already wrote.
	KeepIDs bool
	// Loose turns a conditional reference that nothing answers into a logical reference (identifier) and
	// an issue of severity warning, where it is otherwise an error.
	Loose bool
	// Owners keep the rules of their types; the store owns the others.
	Owners map[string]Owner
	// Patch applies what a PATCH entry holds to a resource and returns another tree; nil refuses PATCH entries.
	Patch func(patch, resource *fhirjson.Node) (*fhirjson.Node, error)
	// Look answers the GET entry of that index after the writes, in their transaction; nil reads and searches plainly.
	Look func(ctx context.Context, tx *db.Tx, index int) (EntryResult, error)
	// Before runs first and Within last in the writing transaction, each time it is tried. Within gets the results in the
	// order of the entries.
	Before func(ctx context.Context, tx *db.Tx) error
	Within func(ctx context.Context, tx *db.Tx, entries []EntryResult) error
	// MustExist refuses to delete what never was there as what may not be seen.
	MustExist bool

	// Targets says what becomes of entries that refer to what is neither here nor in the bundle.
	Targets Targets

	// Synthetic declares everything in the bundle to be invented, which excuses identifiers that look real (see
	// Store.HoldsReal), and nothing else.
	Synthetic bool

	conditions *conditionCache
	audit      auditMode
	within     func(ctx context.Context, tx *db.Tx) error // runs in the writing transaction
}

// BundleResult is what became of a bundle.
type BundleResult struct {
	Kind     string // transaction, batch or collection
	Entries  []EntryResult
	Warnings fhir.Issues
}

// Apply carries out a Bundle of type transaction (all or nothing), batch (each entry on its own) or
// collection (as a transaction that puts every resource). Entries are processed in the order DELETE, POST,
// PUT, GET. References between entries by fullUrl are rewritten, conditional references resolved, and
// ifNoneExist honoured.
//
// The error of a transaction is fhir.Issues with places in the Bundle; nothing was written then. A batch
// has an error only when it cannot be read as a Bundle.
func (s *Store) Apply(ctx context.Context, scope db.Scope, raw []byte, opt ApplyOptions) (*BundleResult, error) {
	n, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: maxBundle})
	if err != nil {
		return nil, fhir.Issues{*fhir.SyntaxIssue(err)}
	}
	return s.ApplyNode(ctx, scope, n, opt)
}

// ApplyNode is Apply for a Bundle that is parsed already. It takes the tree over.
func (s *Store) ApplyNode(ctx context.Context, scope db.Scope, n *fhirjson.Node, opt ApplyOptions) (*BundleResult, error) {
	b, issue := parseBundle(n, opt.KeepIDs)
	if issue != nil {
		return nil, fhir.Issues{*issue}
	}
	return s.apply(ctx, scope, b, opt)
}

// maxBundle bounds the bytes of one bundle.
const maxBundle = 256 << 20

func (s *Store) apply(ctx context.Context, scope db.Scope, b *bundle, opt ApplyOptions) (*BundleResult, error) {
	check, err := s.checker(ctx, scope, opt.Loose)
	if err != nil {
		return nil, err
	}
	if opt.conditions == nil {
		opt.conditions = &conditionCache{}
	}
	a := applier{s: s, scope: scope, opt: opt, b: b, check: check}
	if b.kind == "batch" {
		return a.batch(ctx)
	}
	if err := a.together(ctx, b.entries); err != nil {
		return nil, err
	}
	return a.result(), nil
}

type applier struct {
	s        *Store
	check    Checker
	scope    db.Scope
	opt      ApplyOptions
	b        *bundle
	warnings fhir.Issues
	among    map[int64]bool // what the bundle writes, by idh

	loosened   int // entries with conditional references kept as identifiers
	firstLoose *entry
}

func (a *applier) result() *BundleResult {
	a.warn()
	out := &BundleResult{Kind: a.b.kind, Warnings: a.warnings}
	for _, e := range a.b.entries {
		out.Entries = append(out.Entries, e.result)
	}
	return out
}

// errMoved says that a condition has another answer than when the bundle was prepared.
var errMoved = errors.New("fhirstore: a condition changed its answer")

// together applies entries as one transaction.
func (a *applier) together(ctx context.Context, entries []*entry) error {
	for try := 0; ; try++ {
		if err := a.resolve(ctx, entries); err != nil {
			return err
		}
		a.prepareAll(entries)
		if issues := issuesOf(entries); issues.HasErrors() {
			return issues
		}
		if err := a.unique(entries); err != nil {
			return err
		}
		err := a.write(ctx, entries)
		if !errors.Is(err, errMoved) {
			return err
		}
		if try == 5 {
			return fhir.Issues{*fhir.Problem("conflict", "Others keep changing what a condition of the bundle finds.", "Send the bundle again.")}
		}
	}
}

func issuesOf(entries []*entry) (out fhir.Issues) {
	for _, e := range entries {
		if e.issue != nil {
			out = append(out, *e.issue)
		}
		for i := range e.issues {
			if s := e.issues[i].Severity; s == "error" || s == "fatal" || s == "" {
				out = append(out, *e.at(&e.issues[i]))
			}
		}
	}
	return out
}

// batch applies entries on their own. Those that write go through one transaction as long as nothing fails,
// which a batch does not forbid and which is much cheaper; otherwise each gets its own.
func (a *applier) batch(ctx context.Context) (*BundleResult, error) {
	if err := a.resolve(ctx, a.b.entries); err != nil {
		return nil, err
	}
	a.prepareAll(a.b.entries)
	var good []*entry
	for _, e := range a.b.entries {
		if issues := issuesOf([]*entry{e}); issues.HasErrors() {
			e.refuse(issues)
		} else {
			good = append(good, e)
		}
	}
	if a.unique(good) == nil {
		err := a.write(ctx, good)
		if err == nil {
			return a.result(), nil
		}
		if ctx.Err() != nil || outage(err) {
			return nil, err
		}
	}
	within := a.opt.within
	a.opt.within = nil
	for _, e := range good {
		if err := a.together(ctx, []*entry{e}); err != nil {
			if ctx.Err() != nil || outage(err) {
				return nil, err
			}
			e.refuse(issuesFrom(err))
		}
	}
	if within != nil {
		if err := a.s.db.Do(ctx, a.scope, func(tx *db.Tx) error { return within(ctx, tx) }); err != nil {
			return nil, err
		}
	}
	return a.result(), nil
}

// outage says whether err comes from the disk or the database, so that no entry is at fault and the next would fail too.
func outage(err error) bool {
	var issue *fhir.Issue
	return errors.As(err, &issue) && (issue.Code == "no-store" || issue.Code == "transient" || issue.Code == "exception")
}

// issuesFrom is any error as issues.
func issuesFrom(err error) fhir.Issues {
	var many fhir.Issues
	var one *fhir.Issue
	switch {
	case errors.As(err, &many):
		return many
	case errors.As(err, &one):
		return fhir.Issues{*one}
	}
	return fhir.Issues{*fhir.Problem("exception", "The entry could not be stored.", "Try again; if it happens again, report it.").Because(err)}
}

func (e *entry) refuse(issues fhir.Issues) {
	e.result = EntryResult{Issues: issues, Status: statusText(fhir.HTTPStatus(issues[0].Code))}
}

// unique refuses two entries that write the same resource, which a transaction forbids. Collections may
// hold several versions; the last one counts.
func (a *applier) unique(entries []*entry) error {
	if a.b.kind == "collection" {
		return nil
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if e.method == "GET" || e.id == "" || e.exists != "" {
			continue
		}
		ref := e.typ + "/" + e.id
		if seen[ref] {
			return fhir.Issues{*e.at(fhir.Problem("invalid", "Two entries write the same resource.", "Keep one of them."))}
		}
		seen[ref] = true
	}
	return nil
}

// prepareAll validates and prepares the entries' resources on all processors.
func (a *applier) prepareAll(entries []*entry) {
	work := make(chan *entry)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(entries)) {
		wg.Go(func() {
			for e := range work {
				a.prepareEntry(e)
			}
		})
	}
	for _, e := range entries {
		work <- e
	}
	close(work)
	wg.Wait()
}

func (a *applier) prepareEntry(e *entry) {
	if e.issue != nil || e.node == nil || e.method == "POST" && e.exists != "" {
		return
	}
	fresh := e.node.Get("id").Text() != e.id
	withID(e.node, e.id)
	if e.issues = fhir.Validate(e.node); e.issues.HasErrors() {
		return
	}
	if a.check != nil {
		if e.issues = append(e.issues, a.check(e.node)...); e.issues.HasErrors() {
			return
		}
	}
	var err error
	if e.p, err = a.s.prepare(e.node); err != nil {
		e.fail(&issuesFrom(err)[0])
		return
	}
	e.p.fresh = fresh
	if a.opt.Synthetic {
		e.p.real = synthetic.WithoutIdentifiers(e.p.real)
	}
	if len(e.p.real) > 0 && !a.s.HoldsReal(a.scope.Practice()) {
		e.issues, e.p = append(e.issues, synthetic.Issues(e.p.real)...), nil
	}
}
