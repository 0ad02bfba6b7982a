package bulk

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
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
)

// An import takes NDJSON that a program uploads, or names by addresses, and writes it in the background, as the program: line by line through the owner of
// each type, with the practice's validation and the kernel, some lines in one transaction with the place to go on from. It is an
// order like an export, followed and ended at the same addresses; its error file says which lines were refused, and why.

const (
	ofImport   = "import"
	inputFile  = "input"
	uploadSize = 64 << 20
	lineSize   = 21 << 20
	atATime    = 100 // lines in a transaction
)

// ImportPath is where NDJSON is uploaded, below the practice's address.
const ImportPath = "import"

// upload answers POST /{practice}/bulk/import: 202 and the address where the import is followed.
func (e *Exports) upload(ctx context.Context, w http.ResponseWriter, r *http.Request, p auth.Practice, s db.Scope) error {
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); t != "application/fhir+ndjson" && t != "application/ndjson" && t != "application/x-ndjson" {
		return fhir.Problem("not-supported", "An import takes NDJSON only.", "Send one resource a line, as application/fhir+ndjson.")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return fhir.Problem("not-supported", "An upload is not compressed.", "Send it without Content-Encoding.")
	}
	held, err := e.o.Hold(ctx, p, r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	at := e.origin(r) + "/" + p.Slug + "/bulk/"
	o := &order{Level: ofImport, Owner: fhirapi.Asker(s), Held: held, Request: at + ImportPath, Name: s.Actor().Display}
	keep, err := o.take(http.MaxBytesReader(w, r.Body, uploadSize))
	if err != nil {
		return err
	}
	secret, err := e.startWith(ctx, s, o, keep)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Location", at+secret)
	write(w, r, http.StatusAccepted, "application/fhir+json", fhir.Outcome(importBegun))
	return nil
}

// refOf is "Type/id" of a line, "" when it has no id or cannot be read.
func refOf(text []byte) string {
	var head struct {
		Type string `json:"resourceType"`
		ID   string `json:"id"`
	}
	if json.Unmarshal(text, &head) != nil || head.ID == "" || !fhir.IsResourceType(head.Type) || strings.ContainsAny(head.ID, " /\n") {
		return ""
	}
	return head.Type + "/" + head.ID
}

// kin are the lines of an import as they refer to each other.
type kin struct {
	names map[string]string   // new references by those that stand in the lines; see related
	along *fhirstore.Together // what is still to be written
}

// related tells under which ids an import writes what has an id of which the program may not learn whether it is taken: under one made
// of the import and the id, the same at every line and after a restart. References inside the import follow. What is still to be
// written may be referred to already.
func (e *Exports) related(ctx context.Context, s db.Scope, o *order) (*kin, error) {
	out := &kin{names: map[string]string{}}
	for part := range o.Files[0].Parts {
		at := *o
		at.Part = part
		lines, err := e.uploaded(ctx, s, &at)
		if err != nil {
			return nil, err
		}
		if err := e.o.DB.View(ctx, s, func(tx *db.Tx) error {
			if out.along == nil {
				out.along = e.o.Store.Together(tx)
			}
			for i, l := range lines {
				toCome := part > o.Part || part == o.Part && i >= o.Line
				typ, id, ok := strings.Cut(l.ref, "/")
				if !ok {
					continue
				}
				if now := out.names[l.ref]; now != "" || fhirapi.MayChooseID(s, typ) {
					if toCome {
						out.along.Add(cmp.Or(now, l.ref))
					}
					continue
				}
				there, err := e.o.Store.Reaches(ctx, tx, typ, id, auth.CanUpdate)
				if _, refused := refusal(err); refused {
					continue // as the line will be
				}
				if err != nil {
					return err
				}
				if there { // it is the program's to change
					if toCome {
						out.along.Add(l.ref)
					}
					continue
				}
				m := hmac.New(sha256.New, tx.Keys().Derive("bulk import", 32))
				fmt.Fprintf(m, "%d %s", o.h, l.ref)
				out.names[l.ref] = typ + "/" + hex.EncodeToString(m.Sum(nil)[:16])
				if toCome {
					out.along.Add(out.names[l.ref])
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rename gives a resource and what it refers to their new ids.
func rename(n *fhirjson.Node, names map[string]string) {
	if now := names[n.Get("resourceType").Text()+"/"+n.Get("id").Text()]; now != "" {
		_, id, _ := strings.Cut(now, "/")
		n.Set("id", fhirjson.NewString(id))
	}
	follow(n, names)
}

func follow(n *fhirjson.Node, names map[string]string) {
	for i := range n.Members() {
		m := &n.Members()[i]
		if now := names[m.Value.Text()]; m.Name == "reference" && now != "" {
			m.Value = fhirjson.NewString(now)
			continue
		}
		follow(&m.Value, names)
	}
	items := n.Items()
	for i := range items {
		follow(&items[i], names)
	}
}

// entered is one line of an import, ready to be written, or refused.
type entered struct {
	number int64
	ref    string // under which it is written; "" when its id is made here
	p      *fhirstore.Prepared
	issues fhir.Issues
}

// takeIn writes the next lines of an import until the slice is over.
func (e *Exports) takeIn(ctx context.Context, j *jobs.Job, o *order) error {
	p, err := e.o.PracticeByID(ctx, j.Practice)
	if err != nil {
		return err
	}
	began := e.clock.Now()
	var lines []line
	var among *kin
	for at := -1; ; {
		if err := e.sayWhoseItWas(ctx, j.Practice, o); err != nil {
			return err
		}
		// Asked anew before every transaction: what is taken from the one who asked is taken from the work within moments.
		s, err := e.o.Resume(ctx, p, o.Held)
		if err != nil {
			return err
		}
		fetching := o.Fetched < len(o.Sources)
		over := !fetching && o.Part >= o.Files[0].Parts
		if over || e.clock.Since(began) >= e.sliceFor {
			return e.rest(ctx, s, j, o, over)
		}
		if fetching {
			if err := e.fetch(ctx, s, j, o); err != nil {
				return err
			}
			if e.afterCommit != nil {
				e.afterCommit()
			}
			continue
		}
		if among == nil {
			if among, err = e.related(ctx, s, o); err != nil {
				return err
			}
		}
		if at != o.Part {
			if lines, err = e.uploaded(ctx, s, o); err != nil {
				return err
			}
			at = o.Part
		}
		if o.Line >= len(lines) {
			o.Part, o.Line = o.Part+1, 0
			continue
		}
		checked, err := e.o.Store.Checking(ctx, s)
		if err != nil {
			return err
		}
		some := e.ready(checked, o, among, lines[o.Line:min(o.Line+atATime, len(lines))])
		for i := range some {
			if some[i].p == nil {
				among.along.Drop(some[i].ref)
			}
		}
		err = e.enterAll(ctx, s, o, some)
		if _, refused := refusal(err); refused {
			// One of them is refused by what is stored: each by itself then, so that the others are taken.
			for i := range some {
				err = e.enterAll(ctx, s, o, some[i:i+1])
				if issues, refused := refusal(err); refused {
					among.along.Drop(some[i].ref)
					some[i].p, some[i].issues = nil, issues
					err = e.enterAll(ctx, s, o, some[i:i+1])
				}
				if err != nil {
					break
				}
			}
		}
		if err != nil {
			return err
		}
		for i := range some {
			among.along.Drop(some[i].ref)
		}
		if e.afterCommit != nil {
			e.afterCommit()
		}
	}
}

// uploaded reads the part of the upload that the import is at.
func (e *Exports) uploaded(ctx context.Context, s db.Scope, o *order) (lines []line, err error) {
	err = e.o.DB.View(ctx, s, func(tx *db.Tx) error {
		sealed, err := loadPart(ctx, tx, o.h, 0, o.Part)
		if err != nil {
			return err
		}
		if sealed == nil {
			return errLost // deleted meanwhile
		}
		lines, err = openPart(tx.Practice(), tx.Keys(), o.h, 0, o.Part, sealed)
		return err
	})
	return lines, err
}

// ready checks lines as the practice wants it, outside any transaction.
func (e *Exports) ready(checked context.Context, o *order, among *kin, lines []line) []entered {
	out := make([]entered, len(lines))
	at, before := o.source()
	want := o.Sources[at].Type
	for i, l := range lines {
		out[i].number = o.Read - before + int64(i) + 1
		out[i].ref = cmp.Or(among.names[l.ref], l.ref)
		if len(l.text) == 0 {
			continue
		}
		p, err := e.prepare(checked, among.names, l.text)
		if issues, refused := refusal(err); refused {
			out[i].issues = issues
		} else if err != nil {
			out[i].issues = fhir.Issues{*fhir.Problem("exception", "The line could not be read.", "Check it, and send it again.").Because(err)}
		} else if want != "" && p.Type != want {
			out[i].issues = fhir.Issues{*fhir.Problem("invariant", fmt.Sprintf("The line is a %s, and the input was said to hold %s.", p.Type, want), "Name each type's file by itself, with its type.")}
		} else {
			p.Seek(fhirstore.WarnTarget) // they are counted
			p.Along(among.along)
			out[i].p = p
		}
	}
	return out
}

func (e *Exports) prepare(checked context.Context, names map[string]string, text []byte) (*fhirstore.Prepared, error) {
	if len(names) == 0 {
		return e.o.Store.Prepare(checked, text)
	}
	n, issues := fhir.Parse(text)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	rename(n, names)
	return e.o.Store.PrepareNode(checked, n)
}

// refusal gives the issues of an error that lies in what was sent, or in what may be done with it; trying again changes nothing.
func refusal(err error) (fhir.Issues, bool) {
	var all fhir.Issues
	var one *fhir.Issue
	switch {
	case err == nil || errors.Is(err, errLost):
		return nil, false
	case errors.As(err, &all) && len(all) > 0:
	case errors.As(err, &one):
		all = fhir.Issues{*one}
	default:
		return nil, false
	}
	switch all[0].Code {
	case "exception", "transient", "timeout", "lock-error", "throttled", "login":
		return nil, false
	}
	return all, true
}

// enterAll writes lines and the place to go on from in one transaction.
func (e *Exports) enterAll(ctx context.Context, s db.Scope, o *order, some []entered) error {
	var now order
	err := e.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		now = *o
		now.Files, now.Sources, now.Told = slices.Clone(o.Files), slices.Clone(o.Sources), nil
		at, _ := o.source()
		counts, dangling := maps.Clone(o.Sources[at].Counts), maps.Clone(o.Sources[at].Dangling)
		if counts == nil {
			counts = map[string]int{}
		}
		g := &growing{}
		for _, x := range some {
			if x.p != nil {
				r, err := e.enter(ctx, tx, x.p)
				if err != nil {
					return err
				}
				now.Told = append(now.Told, r.Reference())
				counts[r.Type]++
				if n := len(x.p.Unmet()); n > 0 {
					if dangling == nil {
						dangling = map[string]int{}
					}
					dangling[r.Type] += n
				}
			} else if len(x.issues) > 0 {
				for i := range x.issues {
					x.issues[i].Line, x.issues[i].Column = int(x.number), max(x.issues[i].Column, 1)
				}
				g.add(line{text: fhir.Outcome(x.issues...)})
			}
		}
		now.Sources[at].Counts, now.Sources[at].Dangling = counts, dangling
		now.Line, now.Read = now.Line+len(some), now.Read+int64(len(some))
		var sealed []sealedPart
		if g.lines > 0 {
			p, err := now.refused(tx, at, g)
			if err != nil {
				return err
			}
			sealed = []sealedPart{p}
		}
		return advance(ctx, tx, &now, sealed)
	})
	if err == nil {
		*o = now
	}
	return err
}

// enter writes one resource under its id, which is the program's to choose, one it may change, or made here.
func (e *Exports) enter(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared) (*fhirstore.Resource, error) {
	var owner fhirapi.Owner = e.o.Store
	if o := e.o.Owners[p.Type]; o != nil {
		owner = o
	}
	if p.Fresh() {
		return owner.Create(ctx, tx, p)
	}
	return owner.Update(ctx, tx, p, 0)
}

// sayWhoseItWas writes the Provenance of what was taken in the last transaction: the program brought it. It is Yarrow's own to say.
func (e *Exports) sayWhoseItWas(ctx context.Context, p db.PracticeID, o *order) error {
	if len(o.Told) == 0 {
		return nil
	}
	targets := fhirjson.NewArray()
	for _, ref := range o.Told {
		targets.Append(fhirjson.NewObject(fhirjson.Member{Name: "reference", Value: fhirjson.NewString(ref)}))
	}
	agent := fhirjson.NewObject(fhirjson.Member{Name: "who", Value: fhirjson.NewObject(fhirjson.Member{Name: "display", Value: fhirjson.NewString(o.Name)})})
	code := fhirjson.NewObject(fhirjson.Member{Name: "text", Value: fhirjson.NewString("Bulk import")})
	now := *o
	err := e.o.DB.Do(ctx, auth.SystemScope(p, "bulk"), func(tx *db.Tx) error {
		n := fhirjson.NewObject(fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString("Provenance")}, fhirjson.Member{Name: "target", Value: targets.Clone()},
			fhirjson.Member{Name: "recorded", Value: fhirjson.NewString(tx.Now().UTC().Format(instant))}, fhirjson.Member{Name: "activity", Value: code},
			fhirjson.Member{Name: "agent", Value: fhirjson.NewArray(agent)})
		if o.From != "" {
			what := fhirjson.NewObject(fhirjson.Member{Name: "identifier", Value: fhirjson.NewObject(fhirjson.Member{Name: "system", Value: fhirjson.NewString("urn:ietf:rfc:3986")},
				fhirjson.Member{Name: "value", Value: fhirjson.NewString(o.From)})})
			n.Set("entity", fhirjson.NewArray(fhirjson.NewObject(fhirjson.Member{Name: "role", Value: fhirjson.NewString("source")}, fhirjson.Member{Name: "what", Value: what})))
		}
		ready, err := e.o.Store.PrepareNode(ctx, &n)
		if err != nil {
			return err
		}
		if _, err := e.o.Store.Create(ctx, tx, ready); err != nil {
			return err
		}
		now = *o
		now.Told = nil
		return advance(ctx, tx, &now, nil)
	})
	if err == nil {
		*o = now
	}
	return err
}

// rest ends a slice: with the import done, or with the next slice planned.
func (e *Exports) rest(ctx context.Context, s db.Scope, j *jobs.Job, o *order, over bool) error {
	return e.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		now := *o
		if over {
			now.state, now.expires = done, tx.Now().Add(kept).UnixMicro()
			if err := deleteUpload(ctx, tx, now.h); err != nil {
				return err
			}
			detail := fmt.Sprintf("bulk import done, %d resources of %d lines", now.all(source.taken), now.Read)
			if n := now.all(source.dangling); n > 0 {
				detail += fmt.Sprintf(", %d references lead nowhere", n)
			}
			e.o.Audit.Record(tx, audit.Event{Action: audit.ActionImport, Detail: detail})
			if _, err := e.o.Queue.Add(ctx, tx, jobs.Spec{Kind: expireKind, Key: fmt.Sprint(now.h), RunAt: time.UnixMicro(now.expires)}); err != nil {
				return err
			}
		}
		if err := advance(ctx, tx, &now, nil); err != nil {
			return err
		}
		if !over {
			if err := e.plan(ctx, tx, &now); err != nil {
				return err
			}
		}
		return j.Complete(ctx, tx)
	})
}
