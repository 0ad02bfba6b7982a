package fhirstore

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// ranks give the order of a transaction (http://hl7.org/fhir/R4/http.html#trules).
var ranks = map[string]int{"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3}

// write carries the prepared entries out in one transaction.
func (a *applier) write(ctx context.Context, entries []*entry) error {
	for i, e := range entries {
		e.nth = i
	}
	todo := slices.Clone(entries)
	slices.SortStableFunc(todo, func(x, y *entry) int { return ranks[x.method] - ranks[y.method] })
	results := make([]EntryResult, len(todo))
	err := a.s.db.Do(ctx, a.scope, func(tx *db.Tx) error {
		clear(results)
		a.seek(tx, todo)
		if a.opt.Before != nil {
			if err := a.opt.Before(ctx, tx); err != nil {
				return err
			}
		}
		if err := a.hold(ctx, tx, todo); err != nil {
			return err
		}
		changes, at, err := a.changes(ctx, tx, todo, results)
		if err != nil {
			return err
		}
		for start := 0; start < len(changes); {
			if run := changes[start].run; run != nil {
				w, err := run(ctx, tx)
				if err != nil {
					return todo[at[start]].place(err)
				}
				results[at[start]] = resultOf(w, changes[start].kind)
				start++
				continue
			}
			end := wave(changes, start)
			done, err := a.s.write(ctx, tx, changes[start:end], a.opt.audit)
			if err != nil {
				for i := start; i < end; i++ {
					if changes[i].failed {
						return todo[at[i]].place(err)
					}
				}
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
		for i, e := range todo {
			results[i].Method = e.method
			if e.p != nil {
				for _, w := range e.p.unmet {
					results[i].Warnings = append(results[i].Warnings, *e.at(&w))
				}
			}
		}
		if a.opt.Within != nil {
			ordered := make([]EntryResult, len(entries))
			for i, e := range todo {
				ordered[e.nth] = results[i]
			}
			if err := a.opt.Within(ctx, tx, ordered); err != nil {
				return err
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

// seek has the writes look for what their resources refer to; what the bundle itself writes is here. What stands under an id of the
// client's choice because a condition found nothing is not: it may be taken by what is hidden.
func (a *applier) seek(tx *db.Tx, todo []*entry) {
	k := keyspaceOf(tx.Keys())
	among := map[int64]bool{}
	for _, e := range todo {
		if e.p != nil {
			if e.p.fresh || e.query == "" || e.exists != "" {
				among[k.id(e.typ, e.id)] = true
			}
			e.p.targets, e.p.among = a.opt.Targets, among
		}
	}
	a.among = among
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
	if err := lock(ctx, tx, slots...); err != nil {
		return err
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
		c := change{typ: e.typ, id: e.id, p: e.p, ifVersion: e.ifMatch, skipSame: a.opt.KeepIDs || a.b.kind == "collection", must: a.opt.MustExist}
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
		case "PATCH":
			c.kind = updating
			if e.query != "" {
				if e.exists == "" {
					return nil, nil, e.place(notFound(e.typ))
				}
				c.id = strings.TrimPrefix(e.exists, e.typ+"/")
			}
			c.run = a.patching(e, c.id)
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
		if o := a.opt.Owners[e.typ]; o != nil && c.run == nil {
			c.run = owned(o, c)
		}
		out, at = append(out, c), append(at, i)
	}
	return out, at, nil
}

// place puts an error at the entry, as Issues; what is no Issue stays what it is.
func (e *entry) place(err error) error {
	var many fhir.Issues
	var one *fhir.Issue
	if !errors.As(err, &many) && !errors.As(err, &one) {
		return err
	}
	var out fhir.Issues
	for _, i := range issuesFrom(err) {
		out = append(out, *e.at(&i))
	}
	return out
}

// owned has a change done by the owner of its type.
func owned(o Owner, c change) func(ctx context.Context, tx *db.Tx) (written, error) {
	return func(ctx context.Context, tx *db.Tx) (written, error) {
		var r *Resource
		var err error
		switch c.kind {
		case deleting:
			return written{}, o.Delete(ctx, tx, c.typ, c.id, c.ifVersion)
		case creating:
			r, err = o.Create(ctx, tx, c.p)
		default:
			r, err = o.Update(ctx, tx, c.p, c.ifVersion)
		}
		if err != nil {
			return written{}, err
		}
		return written{resource: r, created: r.Created}, nil
	}
}

// patching reads a resource as the writes before it left it, applies the patch and has its owner store it.
func (a *applier) patching(e *entry, id string) func(ctx context.Context, tx *db.Tx) (written, error) {
	return func(ctx context.Context, tx *db.Tx) (written, error) {
		if a.opt.Patch == nil {
			return written{}, fhir.Problem("not-supported", "PATCH entries are not taken here.", "Send the whole resource with PUT.")
		}
		r, err := a.s.Read(ctx, tx, e.typ, id)
		if err != nil {
			return written{}, err
		}
		if e.ifMatch != 0 && e.ifMatch != r.Version {
			return written{}, Conflict(e.typ, e.ifMatch, r.Version)
		}
		n, err := a.opt.Patch(e.patch, r.Node())
		if err != nil {
			return written{}, err
		}
		p, err := a.s.PrepareNode(ctx, n)
		if err != nil {
			return written{}, err
		}
		p.targets, p.among = a.opt.Targets, a.among
		if p.Type != e.typ || p.ID != id {
			return written{}, fhir.Problem("processing", "The patch changes which resource this is.", "Leave resourceType and id as they are.")
		}
		var o Owner = a.s
		if own := a.opt.Owners[e.typ]; own != nil {
			o = own
		}
		out, err := o.Update(ctx, tx, p, r.Version)
		if err != nil {
			return written{}, err
		}
		return written{resource: out}, nil
	}
}

// wave returns the end of the longest run of changes that are about different resources.
func wave(changes []change, start int) int {
	seen := map[[2]string]bool{}
	for i := start; i < len(changes); i++ {
		if changes[i].run != nil {
			return i
		}
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
	if a.opt.Look != nil {
		r, err := a.opt.Look(ctx, tx, e.index)
		if err != nil {
			return EntryResult{}, e.place(err)
		}
		return r, nil
	}
	if typeCode(e.typ) == 0 || strings.Contains(e.id, "/") {
		return EntryResult{}, fhir.Issues{*e.at(fhir.Problem("value", "The request URL of a GET entry is not understood.", "Write Type/id or Type?search."))}
	}
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
