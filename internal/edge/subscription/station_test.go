package subscription

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// station is an interface with subscriptions, those who may ask, and a receiver.
type station struct {
	t     *testing.T
	d     *dbtest.DB
	hub   *Hub
	api   *fhirapi.API
	queue *jobs.Queue
	store *fhirstore.Store
	audit *audit.Log
	mu    sync.Mutex
	as    map[string]db.Scope // change it with grant
	mux   *http.ServeMux
	rcv   *receiver
	admin auth.Staff
	home  auth.Practice
	oauth *oauth.Server // nil: tokens are the names in as
}

var secret = []byte("0123456789abcdef0123456789abcdef")

// receiver is a program's endpoint.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int // to answer with
	got    []taken

	meanwhile func() // happens after it got something and before it answers
}

type taken struct {
	header http.Header
	body   []byte
	node   *fhirjson.Node
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: 200}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		n, err := fhirjson.Parse(body, fhirjson.Limits{Bytes: 1 << 20})
		if err != nil {
			t.Errorf("the receiver got no JSON: %v", err)
		}
		r.mu.Lock()
		r.got = append(r.got, taken{q.Header.Clone(), body, n})
		status, meanwhile := r.status, r.meanwhile
		r.mu.Unlock()
		if meanwhile != nil {
			meanwhile()
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// take gives what came since the last call.
func (r *receiver) take() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.got
	r.got = nil
	return out
}

func everything() auth.Access { return auth.Access{All: true} }

func newStation(t *testing.T, d *dbtest.DB) *station {
	k := &station{t: t, d: d, rcv: newReceiver(t), home: auth.Practice{ID: 1, Slug: "north"}, admin: auth.AsStaff(1, 7, "Ruth", "", auth.Administrator), as: map[string]db.Scope{
		"system": auth.SystemScope(1, "test"),
		"hooks":  auth.AsApp(1, everything()),
		"few":    auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Subscription": auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate | auth.CanDelete, "Patient": auth.CanRead, "Observation": auth.CanRead}, Forbidden: auth.LabelPsychotherapy}),
		"other":  auth.AsStaff(1, 8, "Dr. Other", "Practitioner/other", "clinician"),
	}}
	k.stand()
	return k
}

// stand makes everything anew on the database, as a start of the program does.
func (k *station) stand() {
	u, _ := url.Parse(k.rcv.URL)
	_, port, _ := net.SplitHostPort(u.Host)
	number, _ := strconv.Atoi(port)
	outside, err := egress.New([]egress.Destination{{Host: "127.0.0.1", Ports: []int{number}, Purpose: "test", Agreement: "none: no patient data", Private: true, Plain: true}})
	if err != nil {
		k.t.Fatal(err)
	}
	k.audit = audit.New(k.d.DB)
	k.store = fhirstore.New(k.d.DB, k.audit)
	k.store.Labels = auth.Sensitivity
	k.queue = jobs.New(k.d.DB, jobs.Options{})
	practice := func(context.Context, string) (auth.Practice, error) {
		return k.home, nil
	}
	authenticate := func(r *http.Request, p auth.Practice) (db.Scope, error) {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if s := k.scope(bearer); s != nil {
			return s, nil
		}
		if k.oauth != nil {
			return k.oauth.Authenticate(r.Context(), p, bearer)
		}
		return nil, fhir.Problem("login", "No.", "Sign in.")
	}
	k.hub = New(Options{DB: k.d.DB, Store: k.store, Audit: k.audit, Queue: k.queue, Egress: outside, Origin: "https://ehr.example.org", Practice: practice, Authenticate: authenticate, Private: true,
		PracticeByID: func(context.Context, db.PracticeID) (auth.Practice, error) { return practice(nil, "") },
		Hold: func(ctx context.Context, p auth.Practice, header string) ([]byte, error) {
			if k.oauth != nil {
				return k.oauth.Hold(ctx, p, strings.TrimPrefix(header, "Bearer "))
			}
			if name := strings.TrimPrefix(header, "Bearer "); name != "other" {
				return []byte(name), nil
			}
			return nil, fhir.Problem("forbidden", "For programs.", "Register one.")
		},
		Resume: func(ctx context.Context, p auth.Practice, held []byte) (db.Scope, error) {
			if k.oauth != nil {
				return k.oauth.Resume(ctx, p, held)
			}
			if s := k.scope(string(held)); s != nil {
				return s, nil
			}
			return nil, fhir.Problem("login", "No more.", "Sign in.")
		},
	})
	k.api = fhirapi.New(fhirapi.Options{DB: k.d.DB, Store: k.store, Audit: k.audit, Origin: "https://ehr.example.org", Practice: practice, Authenticate: authenticate, Extension: Extension,
		Owners: map[string]fhirapi.Owner{"Subscription": k.hub.Owner()}})
	k.api.Register(k.hub.Operations()...)
	k.mux = http.NewServeMux()
	k.mux.Handle("/north/fhir/", k.hub.Holding(k.api))
	for _, pattern := range Routes() {
		k.mux.Handle(pattern, k.hub)
	}
}

func (k *station) scope(name string) db.Scope {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.as[name]
}

// grant gives a program another scope, nil to take it back.
func (k *station) grant(name string, s db.Scope) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.as[name] = s
}

func (k *station) ask(as, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/north/fhir/"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+as)
	if body != "" {
		r.Header.Set("Content-Type", "application/fhir+json")
	}
	w := httptest.NewRecorder()
	k.mux.ServeHTTP(w, r)
	return w
}

func (k *station) must(status int, as, method, path, body string) *fhirjson.Node {
	k.t.Helper()
	w := k.ask(as, method, path, body)
	if w.Code != status {
		k.t.Fatalf("%s %s as %s: %d, not %d\n%.800s", method, path, as, w.Code, status, w.Body)
	}
	if w.Body.Len() == 0 {
		return nil
	}
	n, err := fhirjson.Parse(w.Body.Bytes(), fhirjson.Limits{Bytes: 8 << 20})
	if err != nil {
		k.t.Fatalf("%s %s: %v\n%.400s", method, path, err, w.Body)
	}
	return n
}

// put stores a resource as the practice's own people do.
func (k *station) put(ref, more string) {
	k.t.Helper()
	typ, id, _ := strings.Cut(ref, "/")
	k.must(map[bool]int{true: 201, false: 200}[k.ask("system", "GET", ref, "").Code != 200], "system", "PUT", ref, fmt.Sprintf(`{"resourceType":%q,"id":%q%s}`, typ, id, more))
}

func (k *station) patient(id string) { k.put("Patient/"+id, `,"name":[{"family":"Ash"}]`) }

func (k *station) result(id, patient, value string) {
	k.put("Observation/"+id, `,"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],
		"code":{"text":"Sodium"},"subject":{"reference":"Patient/`+patient+`"},"valueString":"`+value+`"`)
}

// asked is a Subscription to a topic with REST hook.
func (k *station) asked(topic, filter, shows string, more ...string) string {
	criteria, channel := "", ""
	if filter != "" {
		criteria = fmt.Sprintf(`,"_criteria":{"extension":[{"url":%q,"valueString":%q}]}`, extFilter, filter)
	}
	for _, m := range more {
		channel += "," + m
	}
	header, _ := json.Marshal([]string{"Authorization: Bearer of-the-receiver", "Webhook-Secret: whsec_" + base64.StdEncoding.EncodeToString(secret)})
	return fmt.Sprintf(`{"resourceType":"Subscription","status":"requested","reason":"test","criteria":%q%s,"channel":{"type":"rest-hook","endpoint":%q,"payload":"application/fhir+json",
		"_payload":{"extension":[{"url":%q,"valueCode":%q}]},"header":%s%s}}`, topic, criteria, k.rcv.URL+"/hook", extShows, shows, header, channel)
}

func (k *station) allow() {
	k.t.Helper()
	u, _ := url.Parse(k.rcv.URL)
	if err := k.hub.Allow(k.t.Context(), k.admin, u.Host, "test agreement"); err != nil {
		k.t.Fatal(err)
	}
}

// subscribed makes a subscription that has had its handshake.
func (k *station) subscribed(as, body string) (id string) {
	k.t.Helper()
	k.allow()
	id = k.must(201, as, "POST", "Subscription", body).Get("id").Text()
	k.work()
	if got := k.rcv.take(); len(got) != 1 || kindOf(got[0].node) != handshake {
		k.t.Fatalf("no handshake: %d notifications", len(got))
	}
	if s := k.state(id); s != "active" {
		k.t.Fatalf("after the handshake the state is %s", s)
	}
	return id
}

func (k *station) state(id string) string {
	k.t.Helper()
	return k.must(200, "system", "GET", "Subscription/"+id, "").Get("status").Text()
}

// work does what a node would do now, one thing after the other.
func (k *station) work() {
	k.t.Helper()
	ctx := k.t.Context()
	if _, err := k.hub.round(ctx, k.hub.post(k.home.ID), func(p auth.Practice, s *sub) {
		defer k.hub.free(k.hub.post(k.home.ID), s)
		k.hub.deliverAll(ctx, p, s.ID)
	}); err != nil {
		k.t.Fatal(err)
	}
}

// status is the Parameters at the head of a notification.
func statusIn(bundle *fhirjson.Node) *fhirjson.Node {
	items := bundle.Get("entry").Items()
	if len(items) == 0 {
		return nil
	}
	return items[0].Get("resource")
}

func parameter(n *fhirjson.Node, name string) string {
	items := n.Get("parameter").Items()
	for i := range items {
		if items[i].Get("name").Text() != name {
			continue
		}
		for j := range items[i].Members() {
			if m := &items[i].Members()[j]; strings.HasPrefix(m.Name, "value") {
				if m.Value.Kind() == fhirjson.Object {
					return m.Value.Get("reference").Text()
				}
				return m.Value.Text()
			}
		}
	}
	return ""
}

func kindOf(bundle *fhirjson.Node) string { return parameter(statusIn(bundle), "type") }

// eventsIn gives "number focus" of each event.
func eventsIn(bundle *fhirjson.Node) (out []string) {
	items := statusIn(bundle).Get("parameter").Items()
	for i := range items {
		if items[i].Get("name").Text() == "notification-event" {
			parts := object("parameter", *items[i].Get("part"))
			out = append(out, strings.TrimSpace(parameter(&parts, "event-number")+" "+strings.TrimPrefix(parameter(&parts, "focus"), "https://ehr.example.org/north/fhir/")))
		}
	}
	return out
}

// told gives the events of everything that came, and fails for what does not look like a notification.
func (k *station) told() (out []string) {
	k.t.Helper()
	for _, g := range k.rcv.take() {
		if kindOf(g.node) != happened || g.node.Get("type").Text() != "history" {
			k.t.Errorf("not a notification: %s", g.body)
		}
		if issues := fhir.Validate(g.node); issues.Err() != nil {
			k.t.Errorf("the Bundle is not valid: %v\n%s", issues, g.body)
		}
		out = append(out, eventsIn(g.node)...)
	}
	return out
}

func (k *station) accesses(action string) (out []audit.Entry) {
	k.t.Helper()
	out, err := k.audit.Find(k.t.Context(), auth.SystemScope(k.home.ID, "test"), audit.Filter{Action: action, Limit: 1000})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 400 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within four seconds: %s", what)
}

func contains(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }
