package codes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/terminology"
)

// Import says what to take in.
type Import struct {
	Kind    string
	Files   []string // files, .gz, .zip, and folders with such
	Release string   // edition, when the files do not say it
	From    string   // first and last day in force, YYYY-MM-DD, when the kind does not tell them
	Until   string
	Holder  string // licence number or statement; needed for Licensed and Own
	// Progress is called now and then; nil is silent.
	Progress func(Progress)
}

// Report tells what an import did.
type Report struct {
	Release  Release
	Same     bool // this edition was imported from the same files before: nothing was done
	Replaced bool // the edition was there, from other files
	Rows     int
	Notes    []string
	Warning  string
}

var isoDay = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$`)

// Import takes an edition of a code system in for the practice of a scope. It is not used before it is whole; an import that was
// interrupted is begun again by the same call, and one that was done before does nothing.
func (s *Server) Import(ctx context.Context, scope db.Scope, im Import) (*Report, error) {
	kind, err := KindOf(im.Kind)
	if err != nil {
		return nil, err
	}
	if kind.Tier != Open && strings.TrimSpace(im.Holder) == "" {
		return nil, problem("required", fmt.Sprintf("%s may only be used under a licence.", kind.Title), "Say which one with --licence, such as its number. "+kind.Licence)
	}
	for _, d := range []string{im.From, im.Until} {
		if d != "" && !isoDay.MatchString(d) {
			return nil, problem("value", fmt.Sprintf("%q is not a day.", d), "Write it as 2026-09-30.")
		}
	}
	in, err := openFiles(ctx, im.Files)
	if err != nil {
		return nil, err
	}
	defer in.close()
	in.progress, in.release = im.Progress, im.Release

	var have []Release
	if err := s.db.View(ctx, scope, func(tx *db.Tx) error { have, err = selectReleases(ctx, tx); return err }); err != nil {
		return nil, err
	}
	for _, r := range have {
		if r.Kind == kind.Name && r.Source == in.sum && (im.Release == "" || im.Release == r.Version) &&
			(im.From == "" || im.From == r.From) && (im.Until == "" || im.Until == r.Until) && (im.Holder == "" || im.Holder == r.Holder) {
			return &Report{Release: r, Same: true, Warning: r.Warning(s.clock.Now())}, nil
		}
	}
	d, err := kind.load(in)
	if err != nil {
		return nil, err
	}
	if len(d.entries) == 0 {
		return nil, problem("structure", fmt.Sprintf("The files hold no codes of %s: given was %s.", kind.Title, in.said()), "Give "+kind.Files+".")
	}
	if im.Release != "" {
		d.version = im.Release
	}
	if d.version == "" {
		return nil, problem("required", "The files do not say which edition they are.", "Say it with --release, such as --release 2026-01.")
	}
	now := s.clock.Now()
	r := Release{Kind: kind.Name, System: kind.System, Name: kind.Title, Version: d.version, Tier: kind.Tier, Licence: kind.Licence, Holder: im.Holder,
		From: first(im.From, d.from), Until: first(im.Until, d.until), Imported: now, Source: in.sum}
	for _, f := range im.Files {
		r.Files = append(r.Files, filepath.Base(f))
	}
	replaced := slices.ContainsFunc(have, func(o Release) bool { return o.System == r.System && o.Version == r.Version })
	if kind.retires {
		if err := s.carryOver(ctx, scope, d, &r, have); err != nil {
			return nil, err
		}
	}
	cs, err := d.system(kind, &r)
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx, scope, &r, cs, im.Progress); err != nil {
		return nil, err
	}
	return &Report{Release: r, Replaced: replaced, Rows: in.rows, Notes: d.notes, Warning: r.Warning(now)}, nil
}

// carryOver keeps codes that the edition before had, retired, so that records go on showing their names.
func (s *Server) carryOver(ctx context.Context, scope db.Scope, d *draft, r *Release, have []Release) error {
	var before *Release
	for i := range have {
		o := &have[i]
		if o.System == r.System && o.Version != r.Version && (o.From < r.From || o.From == r.From && compareVersions(o.Version, r.Version) < 0) &&
			(before == nil || compareVersions(o.Version, before.Version) > 0) {
			before = o
		}
	}
	if before == nil {
		return nil
	}
	return s.db.View(ctx, scope, func(tx *db.Tx) error {
		old, err := s.open(ctx, tx, before)
		if err != nil {
			return err
		}
		for i := range terminology.Ref(old.Len()) {
			if d.has(old.Code(i)) {
				continue
			}
			e := old.Entry(i)
			if e.Heading || e.Abstract { // groups come and go with the files that name them
				continue
			}
			if !e.Inactive {
				e.Properties = append(e.Properties, terminology.Property{Code: "lastEdition", Type: "string", Value: before.Version})
			}
			e.Inactive, e.Common = true, false
			e.Parents = slices.DeleteFunc(e.Parents, func(p string) bool { return !d.has(p) })
			d.put(e)
			r.Carried++
		}
		r.Before = before.Version
		return nil
	})
}

// system makes the packed form, with our everyday words and ranking of the starter set.
func (d *draft) system(kind Kind, r *Release) (*terminology.CodeSystem, error) {
	for _, s := range terminology.Starter(kind.System) {
		if i, ok := d.at[s.Code]; ok {
			e := &d.entries[i]
			e.Common = e.Common || s.Common
			e.Words = append(e.Words, s.Words...)
		}
	}
	d.sorted()
	d.clean()
	cs, err := terminology.NewCodeSystem(terminology.Head{URL: kind.System, Version: r.Version, Name: kind.Title, CaseSensitive: kind.caseSensitive, Content: "complete", Hierarchy: "is-a", Licence: kind.Licence}, d.entries)
	if err != nil {
		return nil, problem("value", "The codes do not hold together: "+err.Error()+".", "Give the owner's files unchanged.")
	}
	for i := range terminology.Ref(cs.Len()) {
		if cs.Inactive(i) {
			r.Retired++
		}
	}
	r.Concepts = cs.Len()
	return cs, nil
}

// write stores the edition: pieces first, a few per transaction, then the line that makes it count.
func (s *Server) write(ctx context.Context, scope db.Scope, r *Release, cs *terminology.CodeSystem, progress func(Progress)) error {
	plain := cs.Pack()
	sum := sha256.Sum256(plain)
	r.Sum, r.Bytes = hex.EncodeToString(sum[:]), int64(len(plain))
	packed, err := squeeze(plain)
	if err != nil {
		return err
	}
	r.Parts = (len(packed) + pieceSize - 1) / pieceSize
	// An edition that is already used is replaced in one transaction, so that no reader meets half of it.
	defer s.forget(scope.Practice())
	return s.db.Do(ctx, scope, func(tx *db.Tx) error {
		for part := range r.Parts {
			if err := putPart(ctx, tx, r, part, packed[part*pieceSize:min(len(packed), (part+1)*pieceSize)]); err != nil {
				return err
			}
			if progress != nil {
				progress(Progress{"writing", r.Name, part + 1})
			}
		}
		if err := trimParts(ctx, tx, r, r.Parts); err != nil {
			return err
		}
		return putRelease(ctx, tx, r)
	})
}

// Releases lists the practice's editions, by name and then newest first.
func (s *Server) Releases(ctx context.Context, scope db.Scope) (list []Release, err error) {
	err = s.db.View(ctx, scope, func(tx *db.Tx) error {
		list, err = selectReleases(ctx, tx)
		return err
	})
	slices.SortFunc(list, func(a, b Release) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return compareVersions(b.Version, a.Version)
	})
	return list, err
}

// Remove takes an edition out. Records keep the codes; names that no other edition has are not shown by pickers any more.
func (s *Server) Remove(ctx context.Context, scope db.Scope, kind, version string) (*Release, error) {
	list, err := s.Releases(ctx, scope)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list {
		if list[i].Kind == kind {
			if list[i].Version == version {
				defer s.forget(scope.Practice())
				return &list[i], s.db.Do(ctx, scope, func(tx *db.Tx) error { return deleteRelease(ctx, tx, &list[i]) })
			}
			names = append(names, list[i].Version)
		}
	}
	if len(names) == 0 {
		return nil, problem("not-found", fmt.Sprintf("No edition of %s was imported.", kind), "See what is there: yarrow terminology list.")
	}
	return nil, problem("not-found", fmt.Sprintf("The edition %s of %s is not here.", version, kind), "Here is: "+strings.Join(names, ", ")+".")
}
