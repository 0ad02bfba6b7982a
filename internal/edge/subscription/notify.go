package subscription

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhirjson"
)

// Kinds of notifications.
const (
	handshake = "handshake"
	heartbeat = "heartbeat"
	happened  = "event-notification"
	askStatus = "query-status"
	askEvents = "query-event"
)

// note is what is sent or answered, before it is written down.
type note struct {
	kind   string
	events []event
	shown  []*fhirstore.Resource // beside events; nil where there is nothing to show
	shows  string
	last   int64 // number of the last event that was looked at, shown or not
}

// gather reads the events of a note from the database as somebody sees them now. What may not be seen any more is left out.
func (h *Hub) gather(ctx context.Context, scope db.Scope, s *sub, n *note, from, to int64, most int) error {
	return h.o.DB.View(ctx, scope, func(tx *db.Tx) error {
		all, err := loadEvents(ctx, tx, s.h, from, to, most)
		if err != nil {
			return err
		}
		n.last = from - 1
		for _, e := range all {
			n.last = e.n
			r, seen, err := h.show(ctx, tx, &e)
			if err != nil {
				return err
			}
			if seen {
				n.events, n.shown = append(n.events, e), append(n.shown, r)
			}
		}
		return nil
	})
}

// record puts on record what a note tells, and to whom.
func (h *Hub) record(ctx context.Context, scope db.Scope, s *sub, n *note, to string) error {
	var out []audit.Event
	for i, e := range n.events {
		a := audit.Event{Action: audit.ActionDisclose, Detail: "subscription, " + n.shows + ", " + to, Links: []string{"Subscription/" + s.ID}}
		if r := n.shown[i]; r != nil {
			a.Type, a.ID, a.Version, a.Patient, a.Labels = r.Type, r.ID, r.Version, fhirapi.PatientOf(r), r.Labels
		} else {
			a.Links = append(a.Links, e.Ref)
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return nil
	}
	return h.o.Audit.Seen(ctx, scope, out...)
}

func text(s string) fhirjson.Node { return fhirjson.NewString(s) }

func object(pairs ...any) fhirjson.Node {
	n := fhirjson.NewObject()
	for i := 0; i+1 < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case string:
			n.Set(pairs[i].(string), text(v))
		case fhirjson.Node:
			n.Set(pairs[i].(string), v)
		}
	}
	return n
}

// statusOf is the state of a subscription as Parameters, with the events of a note (backport-subscription-status-r4).
func (h *Hub) statusOf(p auth.Practice, s *sub, n *note) fhirjson.Node {
	reference := h.base(p) + "/Subscription/" + s.ID
	list := fhirjson.NewArray(
		object("name", "subscription", "valueReference", object("reference", reference)),
		object("name", "topic", "valueCanonical", s.Terms.Topic),
		object("name", "status", "valueCode", s.state.code()),
		object("name", "type", "valueCode", n.kind),
		object("name", "events-since-subscription-start", "valueString", strconv.FormatInt(s.n, 10)))
	for _, e := range n.events {
		parts := fhirjson.NewArray(object("name", "event-number", "valueString", strconv.FormatInt(e.n, 10)),
			object("name", "timestamp", "valueInstant", time.UnixMicro(e.at).UTC().Format("2006-01-02T15:04:05.000000Z")))
		if n.shows != showNothing {
			parts.Append(object("name", "focus", "valueReference", object("reference", h.base(p)+"/"+e.Ref)))
		}
		list.Append(object("name", "notification-event", "part", parts))
	}
	if s.Problem != "" && (s.state == failing || s.state == off) {
		list.Append(object("name", "error", "valueCodeableConcept", object("text", s.Problem)))
	}
	return object("resourceType", "Parameters", "id", newID(), "meta",
		object("profile", fhirjson.NewArray(text(guide+"StructureDefinition/backport-subscription-status-r4"))), "parameter", list)
}

// bundle writes a note (backport-subscription-notification-r4).
func (h *Hub) bundle(p auth.Practice, s *sub, n *note) []byte {
	status := h.statusOf(p, s, n)
	entries := fhirjson.NewArray(object("fullUrl", "urn:uuid:"+status.Get("id").Text(), "resource", status,
		"request", object("method", "GET", "url", h.base(p)+"/Subscription/"+s.ID+"/$status"), "response", object("status", "200")))
	told := map[string]bool{}
	for i, e := range n.events {
		// A resource that several events are about is there once for each version.
		if key := fmt.Sprint(e.Ref, e.Version); n.shows == showNothing || told[key] {
			continue
		} else {
			told[key] = true
		}
		method, code, at := "PUT", "200", h.base(p)+"/"+e.Ref
		url := e.Ref
		switch e.Change {
		case created:
			method, code, url = "POST", "201", n.typeOf(i)
		case deleted:
			method, code = "DELETE", "204"
		}
		entry := object("fullUrl", at)
		if r := n.shown[i]; r != nil && n.shows == showAll {
			entry.Set("resource", r.Node().Clone())
		}
		entry.Set("request", object("method", method, "url", url))
		entry.Set("response", object("status", code))
		entries.Append(entry)
	}
	b := object("resourceType", "Bundle", "id", newID(), "meta",
		object("profile", fhirjson.NewArray(text(guide+"StructureDefinition/backport-subscription-notification-r4"))),
		"type", "history", "timestamp", h.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "entry", entries)
	return b.AppendJSON(nil)
}

func (n *note) typeOf(i int) string {
	if r := n.shown[i]; r != nil {
		return r.Type
	}
	return n.events[i].Ref
}

// newID is a random UUID (RFC 9562, version 4).
func newID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
