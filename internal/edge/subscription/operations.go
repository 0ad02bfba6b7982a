package subscription

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const definitions = guide + "OperationDefinition/backport-subscription-"

// bindWithin is how long a token for a WebSocket is good for.
const bindWithin = time.Minute

// Operations are those of the guide: $status, $events and $get-ws-binding-token.
func (h *Hub) Operations() []fhirapi.Operation {
	return []fhirapi.Operation{
		{Name: "$status", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"Subscription"}, URL: definitions + "status",
			Doc: "Says how a subscription is and how many events it has had; for the type, of all that you may see.",
			Params: []fhirapi.Param{
				{Name: "id", Type: "id", Max: -1, Doc: "Only these subscriptions."},
				{Name: "status", Type: "code", Max: -1, Doc: "Only those in these states: requested, active, error, off."},
			}, Run: h.status},
		{Name: "$events", Levels: fhirapi.Instance, Types: []string{"Subscription"}, URL: definitions + "events",
			Doc: "Tells the events of your own subscription again, by number. They are kept for a week; what you may not see any more is left out.",
			Params: []fhirapi.Param{
				{Name: "eventsSinceNumber", Type: "string", Max: 1, Doc: "The first event; without it the oldest there is."},
				{Name: "eventsUntilNumber", Type: "string", Max: 1, Doc: "The last event; without it the newest. At most 50 are given at once."},
				{Name: "content", Type: "code", Max: 1, Doc: "empty, id-only or full-resource; without it what the subscription asks for."},
			}, Run: h.events},
		{Name: "$get-ws-binding-token", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"Subscription"}, URL: definitions + "get-ws-binding-token",
			Doc:    "Gives a token, good for a minute, with which a WebSocket is bound to your own subscriptions.",
			Params: []fhirapi.Param{{Name: "id", Type: "id", Max: -1, Doc: "Only these subscriptions; without it all of yours over WebSocket."}}, Run: h.token},
	}
}

// mine finds a subscription of the one who asks. What is another program's looks like what is not there.
func (h *Hub) mine(ctx context.Context, tx *db.Tx, id string) (*sub, error) {
	s, err := loadSub(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if s == nil || s.Asker != fhirapi.Asker(tx.Scope()) {
		return nil, fhir.Problem("not-found", "There is no such Subscription, or it is not yours.", "Check the id.")
	}
	return s, nil
}

// listed are the values of a parameter that may be there several times, with commas between values.
func listed(ps fhirapi.Parameters, name string) (out []string) {
	for _, p := range ps.All(name) {
		out = append(out, strings.Split(p.Text(), ",")...)
	}
	return out
}

func (h *Hub) status(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	ids, states := listed(c.Parameters, "id"), listed(c.Parameters, "status")
	if c.ID != "" {
		ids, states = []string{c.ID}, nil
	}
	var found []*sub
	if err := c.View(ctx, func(tx *db.Tx) error {
		all, err := loadSubs(ctx, tx)
		if err != nil {
			return err
		}
		// Who may read none is told so; one that is not there, or not for them, is not found.
		if c.ID != "" || !auth.AccessOf(c.Scope).Allows("Subscription", auth.CanRead) {
			if _, err := c.Store().Read(ctx, tx, "Subscription", c.ID); err != nil {
				return err
			}
		}
		found = nil
		for _, s := range all {
			if len(ids) > 0 && !slices.Contains(ids, s.ID) || len(states) > 0 && !slices.Contains(states, s.state.code()) {
				continue
			}
			r, err := c.Store().Read(ctx, tx, "Subscription", s.ID)
			if absent(err) {
				continue
			}
			if err != nil {
				return err
			}
			c.SeeResource("read", r)
			found = append(found, s)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	entries := fhirjson.NewArray()
	for _, s := range found {
		status := h.statusOf(c.Practice, s, &note{kind: askStatus})
		entries.Append(object("fullUrl", "urn:uuid:"+status.Get("id").Text(), "resource", status, "search", object("mode", "match")))
	}
	b := object("resourceType", "Bundle", "type", "searchset")
	b.Set("total", fhirjson.NewNumber(strconv.Itoa(len(found))))
	if len(found) > 0 {
		b.Set("entry", entries)
	}
	return &fhirapi.Answer{Resource: b.AppendJSON(nil)}, nil
}

func (h *Hub) events(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	number := func(name string, otherwise int64) (int64, error) {
		t := c.Parameters.Text(name)
		if t == "" {
			return otherwise, nil
		}
		n, err := strconv.ParseInt(t, 10, 64)
		if err != nil || n < 0 {
			return 0, fhir.Problem("value", name+" is not the number of an event.", "Events are numbered from 1.").At("http." + name)
		}
		return n, nil
	}
	from, err := number("eventsSinceNumber", 1)
	if err != nil {
		return nil, err
	}
	to, err := number("eventsUntilNumber", never)
	if err != nil {
		return nil, err
	}
	var s *sub
	if err := c.View(ctx, func(tx *db.Tx) (err error) {
		s, err = h.mine(ctx, tx, c.ID)
		return err
	}); err != nil {
		return nil, err
	}
	n := &note{kind: askEvents, shows: s.Terms.Shows}
	switch v := c.Parameters.Text("content"); v {
	case "":
	case showNothing, showIDs, showAll:
		n.shows = v
	default:
		return nil, fhir.Problem("value", "content is not one there is.", "Use empty, id-only or full-resource.").At("http.content")
	}
	if err := h.gather(ctx, c.Scope, s, n, max(from, 1), min(to, s.n), mostEvents); err != nil {
		return nil, err
	}
	if err := h.record(ctx, c.Scope, s, n, "asked for again"); err != nil {
		return nil, err
	}
	return &fhirapi.Answer{Resource: h.bundle(c.Practice, s, n)}, nil
}

// binding is what a token for a WebSocket holds. It is sealed: nobody else can make one.
type binding struct {
	IDs     []string `json:"ids"`
	Asker   string   `json:"asker"`
	Expires int64    `json:"expires"` // microseconds
}

func (h *Hub) token(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	ids := listed(c.Parameters, "id")
	if c.ID != "" {
		ids = []string{c.ID}
	}
	until := h.clock.Now().Add(bindWithin)
	b := binding{Asker: fhirapi.Asker(c.Scope), Expires: until.UnixMicro()}
	var sealed string
	if err := c.View(ctx, func(tx *db.Tx) error {
		b.IDs = nil
		if len(ids) == 0 {
			all, err := loadSubs(ctx, tx)
			if err != nil {
				return err
			}
			for _, s := range all {
				if s.Asker == b.Asker && s.Terms.Channel == webSocket && s.state != off {
					b.IDs = append(b.IDs, s.ID)
				}
			}
		}
		for _, id := range ids {
			s, err := h.mine(ctx, tx, id)
			if err != nil {
				return err
			}
			if s.Terms.Channel != webSocket || s.state == off {
				return fhir.Problem("business-rule", "This Subscription does not go over WebSocket, or is off.", "Name one with the channel websocket that is active.")
			}
			b.IDs = append(b.IDs, id)
		}
		if len(b.IDs) == 0 {
			return fhir.Problem("not-found", "You have no Subscription over WebSocket.", "Make one with the channel websocket first.")
		}
		plain, err := json.Marshal(b)
		sealed = base64.RawURLEncoding.EncodeToString(tx.Keys().Seal(nil, plain, place(tx.Practice(), "subscription binding")))
		return err
	}); err != nil {
		return nil, err
	}
	list := fhirjson.NewArray(object("name", "token", "valueString", sealed), object("name", "expiration", "valueDateTime", until.UTC().Format(time.RFC3339)))
	for _, id := range b.IDs {
		list.Append(object("name", "subscription", "valueString", id))
	}
	at := "ws" + strings.TrimPrefix(strings.TrimSuffix(c.Base, "/fhir"), "http") + "/subscriptions/ws"
	list.Append(object("name", "websocket-url", "valueUrl", at))
	header := http.Header{"Cache-Control": {"no-store"}}
	answer := object("resourceType", "Parameters", "parameter", list)
	return &fhirapi.Answer{Resource: answer.AppendJSON(nil), Header: header}, nil
}
