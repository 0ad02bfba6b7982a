package fhirstore

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// ranks give the order of a transaction (http://hl7.org/fhir/R4/http.html#trules).
var ranks = map[string]int{"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3}

// write carries the prepared entries out in one transaction.
func (a *applier) write(ctx context.Context, entries []*entry) error {
	todo := slices.Clone(entries)
	slices.SortStableFunc(todo, func(x, y *entry) int { return ranks[x.method] - ranks[y.method] })
	results := make([]EntryResult, len(todo))
	err := a.s.db.Do(ctx, a.scope, func(tx *db.Tx) error {
		clear(results)
		if err := a.hold(ctx, tx, todo); err != nil {
			return err
		}
		changes, at, err := a.changes(ctx, tx, todo, results)
		if err != nil {
			return err
		}
		for start := 0; start < len(changes); {
			end := wave(changes, start)
			done, err := a.s.write(ctx, tx, changes[start:end], a.opt.audit)
			if err != nil {
				return err
			}
			for i, w := range done {
				results[at[start+i]] = resultOf(w, changes[start+i].kind)
			}
			start = end
		}
		for i, e := range todo {
			if e.method == "GET" {
				if results[i], err = a.look(ctx, tx, e); err != nil {
					return err
				}
			}
		}
		if a.opt.within != nil {
			return a.opt.within(ctx, tx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, e := range todo {
		e.result = results[i]
	}
	return nil
}

// hold locks the conditions and looks whether their answers still hold.
func (a *applier) hold(ctx context.Context, tx *db.Tx, todo []*entry) error {
	k := keyspaceOf(tx.Keys())
	var slots []int64
	for _, e := range todo {
		if c := e.condition(); c != "" {
			slots = append(slots, k.lock(c))
		}
	}
	// In one order everywhere, so that two bundles do not wait for each other.
	slices.Sort(slots)
	for _, slot := range slices.Compact(slots) {
		if err := lock(ctx, tx, slot); err != nil {
			return err
		}
	}
	moved := false
	for _, e := range todo {
		c := e.condition()
		if c == "" {
			continue
		}
		typ, query, _ := strings.Cut(c, "?")
		r, err := a.s.matchOne(ctx, tx, typ, query)
		if err != nil {
			return err
		}
		found := ""
		if r != nil {
			found = r.Reference()
		}
		if found != e.exists {
			// The next try goes by what was seen here: on SQLite the other write may share this commit, so
			// that a View would not see it yet.
			a.opt.conditions.set(c, answer{ref: found})
			moved = true
		}
	}
	if moved {
		return errMoved
	}
	return nil
}

// changes lists the writes; entries whose condition found their resource need none.
func (a *applier) changes(ctx context.Context, tx *db.Tx, todo []*entry, results []EntryResult) (out []change, at []int, err error) {
	for i, e := range todo {
		c := change{typ: e.typ, id: e.id, p: e.p, ifVersion: e.ifMatch, skipSame: a.opt.KeepIDs || a.b.kind == "collection"}
		switch e.method {
		case "GET":
			continue
		case "POST":
			if e.exists != "" {
				typ, id, _ := strings.Cut(e.exists, "/")
				r, err := a.s.Read(ctx, tx, typ, id)
				if err != nil {
					return nil, nil, err
				}
				results[i] = EntryResult{Status: "200 OK", Resource: r, Same: true}
				continue
			}
			c.kind = creating
			if !c.p.fresh {
				c.kind = updating
			}
		case "PUT":
			c.kind = updating
		case "DELETE":
			c.kind, c.p = deleting, nil
			if e.query != "" {
				if e.exists == "" {
					results[i] = EntryResult{Status: "204 No Content", Same: true}
					continue
				}
				c.id = strings.TrimPrefix(e.exists, e.typ+"/")
			}
		}
		out, at = append(out, c), append(at, i)
	}
	return out, at, nil
}

// wave returns the end of the longest run of changes that are about different resources.
func wave(changes []change, start int) int {
	seen := map[[2]string]bool{}
	for i := start; i < len(changes); i++ {
		ref := [2]string{changes[i].typ, changes[i].id}
		if seen[ref] {
			return i
		}
		seen[ref] = true
	}
	return len(changes)
}

func resultOf(w written, kind changeKind) EntryResult {
	r := EntryResult{Resource: w.resource, Created: w.created, Same: w.same, Status: "200 OK"}
	switch {
	case kind == deleting:
		r.Status, r.Resource = "204 No Content", nil
	case w.created:
		r.Status = "201 Created"
	}
	return r
}

// look answers a GET entry.
func (a *applier) look(ctx context.Context, tx *db.Tx, e *entry) (EntryResult, error) {
	if e.id != "" {
		r, err := a.s.Read(ctx, tx, e.typ, e.id)
		if err != nil {
			return EntryResult{}, fhir.Issues{*e.at(&issuesFrom(err)[0])}
		}
		return EntryResult{Status: "200 OK", Resource: r}, nil
	}
	values, err := url.ParseQuery(e.query)
	if err != nil {
		return EntryResult{}, fhir.Issues{*e.at(fhir.Problem("value", "The search of a GET entry is not understood.", "Write Type?parameter=value."))}
	}
	q, issues := fhirsearch.ParseQuery(e.typ, values)
	if issues.HasErrors() {
		return EntryResult{}, fhir.Issues{*e.at(&issues[0])}
	}
	page, err := a.s.Search(ctx, tx, q)
	return EntryResult{Status: "200 OK", Page: page}, err
}
