package subscription

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Extensions of the Subscriptions R5 Backport guide, version 1.1.0.
const (
	guide     = "http://hl7.org/fhir/uv/subscriptions-backport/"
	Profile   = guide + "StructureDefinition/backport-subscription"
	extFilter = guide + "StructureDefinition/backport-filter-criteria"
	extBeat   = guide + "StructureDefinition/backport-heartbeat-period"
	extWithin = guide + "StructureDefinition/backport-timeout"
	extMax    = guide + "StructureDefinition/backport-max-count"
	extShows  = guide + "StructureDefinition/backport-payload-content"
)

// What notifications hold.
const (
	showNothing = "empty"
	showIDs     = "id-only"
	showAll     = "full-resource"
)

// Channels.
const (
	restHook  = "rest-hook"
	webSocket = "websocket" // also read as server-sent events
)

// Limits of what a subscription may ask for.
const (
	mostEvents  = 50 // in one notification
	usualEvents = 10
	mostFilter  = 20
	mostHeader  = 20
	longest     = 30 * time.Second // that a receiver may take
)

// terms is what a Subscription asks for.
type terms struct {
	Topic    string   `json:"topic"`
	Filters  []string `json:"filters,omitempty"` // Type?search
	Channel  string   `json:"channel"`
	Endpoint string   `json:"endpoint,omitempty"`
	Shows    string   `json:"shows"`
	Beat     int64    `json:"beat,omitempty"`   // seconds; 0 for none
	Within   int64    `json:"within,omitempty"` // seconds
	Max      int      `json:"max"`
	End      int64    `json:"end,omitempty"` // microseconds; 0 for none
	// Headers go with every request, as they were sent, and Secret signs it. Neither is shown again: see [hidden].
	Headers []string `json:"headers,omitempty"`
	Secret  []byte   `json:"secret,omitempty"`
}

// secretHeader is the header that is kept as the secret of signatures and never sent.
const secretHeader = "Webhook-Secret"

// hidden stands in the stored Subscription for the value of a header.
const hidden = "***"

// read takes the terms out of a Subscription. old are those it had before, nil for none: a header with a hidden value stays.
func read(n *fhirjson.Node, old *terms) (*terms, error) {
	t := &terms{Topic: n.Get("criteria").Text(), Channel: n.At("channel", "type").Text(), Endpoint: n.At("channel", "endpoint").Text(), Max: usualEvents, Shows: showIDs}
	topic := topicOf(t.Topic)
	if topic == nil {
		return nil, fhir.Problem("not-supported", "This is not a topic that can be subscribed to here.",
			"Give as criteria the canonical address of a topic that [base]/metadata lists, such as "+AnyTopic+", and searches as extensions "+extFilter+".").At("Subscription.criteria")
	}
	if err := t.filters(n, topic); err != nil {
		return nil, err
	}
	if err := t.channel(n); err != nil {
		return nil, err
	}
	if err := t.headers(n, old); err != nil {
		return nil, err
	}
	if end := n.Get("end").Text(); end != "" {
		at, err := time.Parse(time.RFC3339Nano, end)
		if err != nil {
			return nil, fhir.Problem("value", "The end is not an instant.", "Write date, time and zone.").At("Subscription.end")
		}
		t.End = at.UnixMicro()
	}
	return t, nil
}

// extension is the value of an extension of an element, nil when there is none.
func extension(n *fhirjson.Node, url string) *fhirjson.Node {
	items := n.Get("extension").Items()
	for i := range items {
		if items[i].Get("url").Text() != url {
			continue
		}
		for j := range items[i].Members() {
			if m := &items[i].Members()[j]; strings.HasPrefix(m.Name, "value") {
				return &m.Value
			}
		}
	}
	return nil
}

func (t *terms) filters(n *fhirjson.Node, topic *Topic) error {
	const at = "Subscription.criteria.extension"
	items := n.At("_criteria", "extension").Items()
	for i := range items {
		if items[i].Get("url").Text() != extFilter {
			continue
		}
		text := items[i].Get("valueString").Text()
		typ, query, _ := strings.Cut(text, "?")
		if !fhir.IsResourceType(typ) {
			return fhir.Problem("value", "A filter does not begin with a resource type.", "Write it as Observation?category=laboratory.").At(at)
		}
		if unwatched[typ] {
			return fhir.Problem("not-supported", typ+" cannot be subscribed to.", "Name a type of patients' records or of the practice.").At(at)
		}
		if len(topic.Triggers) > 0 && !slices.ContainsFunc(topic.Triggers, func(g trigger) bool { return g.Type == typ }) {
			return fhir.Problem("value", "A filter is about "+typ+", of which the topic tells nothing.", "Filter what the topic is about, or use "+AnyTopic+".").At(at)
		}
		if _, err := clausesOf(typ, query); err != nil {
			return err
		}
		t.Filters = append(t.Filters, text)
	}
	switch {
	case len(t.Filters) > mostFilter:
		return fhir.Problem("too-costly", fmt.Sprintf("A subscription has at most %d filters.", mostFilter), "Make several subscriptions.").At(at)
	case len(t.Filters) == 0 && len(topic.Triggers) == 0:
		return fhir.Problem("required", "This topic needs a filter that names a type.", "Add the extension "+extFilter+" to _criteria, with a value such as Observation?category=laboratory.").At(at)
	}
	return nil
}

// unwatched are types whose changes nobody is told of: a subscription's own state, and what is kept for looking back.
var unwatched = map[string]bool{"Subscription": true, "AuditEvent": true, "Provenance": true, "Bundle": true, "Parameters": true}

// clausesOf reads a search that one resource alone decides.
func clausesOf(typ, query string) ([]fhirsearch.Clause, error) {
	const at = "Subscription.criteria.extension"
	clauses, err := fhirsearch.ParseLone(typ, query)
	switch err {
	case fhirsearch.ErrForm:
		return nil, fhir.Problem("value", "A filter is not well formed.", "Write it as Type?parameter=value.").At(at)
	case fhirsearch.ErrJoin:
		return nil, fhir.Problem("not-supported", "A filter asks for more than one resource can tell.", "Use search parameters of the type without chains, _has, _include, _sort or value sets.").At(at)
	}
	return clauses, err
}

func (t *terms) channel(n *fhirjson.Node) error {
	c := n.Get("channel")
	switch t.Channel {
	case restHook:
		u, err := url.Parse(t.Endpoint)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
			return fhir.Problem("value", "The endpoint is not an address that can be sent to.", "Write it as https://host/path, without user or password.").At("Subscription.channel.endpoint")
		}
	case webSocket:
		if t.Endpoint != "" {
			return fhir.Problem("value", "A subscription over WebSocket has no endpoint.", "Leave it out: $get-ws-binding-token tells where to connect.").At("Subscription.channel.endpoint")
		}
	default:
		return fhir.Problem("not-supported", "Notifications go by rest-hook or websocket only.", "Use one of them; what is meant for websocket can be read as server-sent events too.").At("Subscription.channel.type")
	}
	if media := c.Get("payload").Text(); media != "" && media != "application/fhir+json" && media != "application/json" {
		return fhir.Problem("not-supported", "Notifications are sent as JSON only.", "Use application/fhir+json.").At("Subscription.channel.payload")
	}
	if v := extension(c.Get("_payload"), extShows); v != nil {
		t.Shows = v.Text()
		if t.Shows != showNothing && t.Shows != showIDs && t.Shows != showAll {
			return fhir.Problem("value", "The content of notifications is not one there is.", "Use empty, id-only or full-resource.").At("Subscription.channel.payload.extension")
		}
	}
	for _, e := range []struct {
		url       string
		low, high int64
		to        *int64
	}{{extBeat, 10, 86400, &t.Beat}, {extWithin, 1, int64(longest / time.Second), &t.Within}, {extMax, 1, 1 << 31, nil}} {
		v := extension(c, e.url)
		if v == nil {
			continue
		}
		number, err := strconv.ParseInt(v.Text(), 10, 64)
		if err != nil || number < e.low || number > e.high {
			return fhir.Problem("value", "A number of the channel is too small or too large.", fmt.Sprintf("Use %d to %d for %s.", e.low, e.high, e.url)).At("Subscription.channel.extension")
		}
		if e.to == nil {
			t.Max = int(min(number, mostEvents))
		} else {
			*e.to = number
		}
	}
	return nil
}

func (t *terms) headers(n *fhirjson.Node, old *terms) error {
	const at = "Subscription.channel.header"
	items := n.At("channel", "header").Items()
	if len(items) > mostHeader || len(items) > 0 && t.Channel != restHook {
		return fhir.Problem("value", "These headers cannot be sent.", fmt.Sprintf("Give at most %d, with rest-hook only.", mostHeader)).At(at)
	}
	for i := range items {
		name, value, ok := strings.Cut(items[i].Text(), ":")
		name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !token(name) || len(value) > 4096 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fhir.Problem("value", "A header is not well formed.", "Write it as Name: value, in ASCII.").At(at)
		}
		if reserved[name] {
			return fhir.Problem("value", "The header "+name+" is the server's own.", "Leave it out.").At(at)
		}
		if value == hidden {
			if name == secretHeader && old != nil {
				t.Secret = old.Secret
				continue
			}
			value = old.header(name)
			if value == "" {
				return fhir.Problem("value", "The value of a header is missing.", "Send the value itself: only what is kept already is written as "+hidden+".").At(at)
			}
		}
		if name == secretHeader {
			var err error
			if t.Secret, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(value, "whsec_")); err != nil || len(t.Secret) < 24 || len(t.Secret) > 64 {
				return fhir.Problem("value", "The secret for signatures is not one.", "Write "+secretHeader+": whsec_ and 24 to 64 random bytes in base64.").At(at)
			}
			continue
		}
		t.Headers = append(t.Headers, name+": "+value)
	}
	return nil
}

// header is the value of a header that is kept.
func (t *terms) header(name string) string {
	if t == nil {
		return ""
	}
	for _, h := range t.Headers {
		if v, ok := strings.CutPrefix(h, name+": "); ok {
			return v
		}
	}
	return ""
}

// reserved headers cannot be chosen: they say how the request is made, or sign it.
var reserved = map[string]bool{"Host": true, "Content-Length": true, "Content-Type": true, "Transfer-Encoding": true, "Connection": true, "Upgrade": true,
	"Te": true, "Trailer": true, "Expect": true, "Proxy-Authorization": true, "Webhook-Id": true, "Webhook-Timestamp": true, "Webhook-Signature": true}

// token is a name of a header (RFC 9110, section 5.6.2).
func token(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// httpHeader is what goes with a request.
func (t *terms) httpHeader() http.Header {
	h := http.Header{}
	for _, line := range t.Headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// masked is the Subscription as it is stored: without the values of its headers.
func masked(n *fhirjson.Node) {
	c := n.Get("channel")
	items := c.Get("header").Items()
	if len(items) == 0 {
		return
	}
	var out []fhirjson.Node
	for i := range items {
		name, _, _ := strings.Cut(items[i].Text(), ":")
		out = append(out, fhirjson.NewString(textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))+": "+hidden))
	}
	channel := c.Clone()
	channel.Set("header", fhirjson.NewArray(out...))
	n.Set("channel", channel)
}

// types are the types whose changes matter to the subscription.
func (t *terms) types() (out []string) {
	if topic := topicOf(t.Topic); topic != nil {
		for _, g := range topic.Triggers {
			out = append(out, g.Type)
		}
		if len(topic.Triggers) == 0 {
			for _, f := range t.Filters {
				typ, _, _ := strings.Cut(f, "?")
				out = append(out, typ)
			}
		}
	}
	return out
}

// tells says whether a change is an event of the subscription: one of the topic, which answers every filter about its type.
func (t *terms) tells(typ string, on what, before, now *fhirjson.Node) bool {
	topic := topicOf(t.Topic)
	if topic == nil {
		return false
	}
	if len(topic.Triggers) == 0 && !slices.Contains(t.types(), typ) {
		return false
	}
	if len(topic.Triggers) > 0 && !slices.ContainsFunc(topic.Triggers, func(g trigger) bool { return g.Type == typ && g.fires(on, before, now) }) {
		return false
	}
	shown := cmp.Or(now, before)
	for _, f := range t.Filters {
		of, query, _ := strings.Cut(f, "?")
		if of != typ {
			continue
		}
		clauses, err := clausesOf(of, query)
		if err != nil || shown == nil || !answers(shown, clauses) {
			return false
		}
	}
	return true
}

// host is where notifications go, "" for nowhere: its name and, unless it is the usual one, its port.
func (t *terms) host() string {
	if t.Channel != restHook {
		return ""
	}
	return hostOf(t.Endpoint)
}
