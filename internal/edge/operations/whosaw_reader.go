package operations

import (
	"context"
	"slices"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// reader is who is told who saw a record, and how much of it.
//
// People who read the audit, and patients themselves, at the portal or by a program they let in, are told of every look; at what, only where
// they may see that. Anybody else who reads in the patient's record, somebody who stands for the patient, or a program of the practice's, is
// told of looks at the chart as a whole and at what they may see; that somebody looked at something hidden is as hidden as what it was.
type reader struct {
	patient string // "Patient/x"
	access  auth.Access
	whole   bool
	hidden  int64 // labels that the reader may not see in this record
}

func readerOf(s db.Scope, id string) reader {
	r := reader{patient: "Patient/" + id, access: auth.AccessOf(s)}
	r.hidden, _ = r.access.ForbiddenIn(id)
	_, staff := s.(auth.Staff) // who may read the audit, see mayAsk
	r.whole = staff || auth.Themself(s, r.patient)
	return r
}

// told is what of these entries the reader is told. The entries are changed.
func (r reader) told(ctx context.Context, c *fhirapi.Call, found []audit.Entry) ([]audit.Entry, error) {
	if r.whole {
		for i := range found {
			if e := &found[i]; e.Labels&r.hidden != 0 {
				e.Categories, e.Type = nil, ""
			}
		}
		return found, nil
	}
	var asked []string
	for i := range found {
		asked = append(asked, recordsOf(&found[i].Event)...)
	}
	slices.Sort(asked)
	var seen map[string]bool
	if err := c.View(ctx, func(tx *db.Tx) (err error) {
		seen, err = c.Store().Seen(ctx, tx, slices.Compact(asked))
		return err
	}); err != nil {
		return nil, err
	}
	told := found[:0]
	for i := range found {
		if r.tells(&found[i], seen) {
			told = append(told, found[i])
		}
	}
	return told, nil
}

// tells says whether the reader is told of an entry, and leaves in it what they may know. It is a look at the chart as a whole when it
// names no record of its own, or the patient's own resource; else the reader must see one of the records that it names.
func (r reader) tells(e *audit.Entry, seen map[string]bool) bool {
	records := recordsOf(&e.Event)
	kind, some := "", false
	for _, ref := range records {
		typ, _, _ := strings.Cut(ref, "/")
		if seen[ref] {
			some = true
			if typ == e.Type {
				kind = typ
			}
		}
	}
	switch {
	case len(records) == 0 && e.Labels&r.hidden != 0:
		return false
	case len(records) == 0:
		return !fhir.IsResourceType(e.Type) || e.Type == "AuditEvent" || r.access.Allows(e.Type, auth.CanRead)
	case some, e.Type == "Patient", e.Action == audit.ActionImport && slices.Contains(e.Links, r.patient):
	default:
		return false
	}
	e.Categories = nil // they speak of all that was seen
	if e.Type != "Patient" {
		e.Type = kind
	}
	return true
}

// recordsOf are the records an event names, as "Type/id": neither patients nor what is in nobody's record.
func recordsOf(e *audit.Event) (out []string) {
	add := func(ref string) {
		if typ, id, ok := strings.Cut(ref, "/"); ok && id != "" && typ != "Patient" && fhir.IsResourceType(typ) && !fhirstore.Shared(typ) {
			out = append(out, ref)
		}
	}
	add(e.Type + "/" + e.ID)
	for _, ref := range e.Links {
		add(ref)
	}
	return out
}
