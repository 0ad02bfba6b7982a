package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/edge/subscription"
)

// streamed are the types whose changes are followed: as many as one subscription may name.
var streamed = strings.Fields("Patient Observation Condition Encounter DocumentReference DiagnosticReport MedicationRequest AllergyIntolerance Immunization Procedure CarePlan Goal " +
	"Task Communication ServiceRequest Consent Claim Coverage QuestionnaireResponse Flag")

// streamWithin is how long the last of what is to be told may take on a busy machine.
const streamWithin = 60 * time.Second

// flow is a stream that is being read.
type flow struct {
	mu     sync.Mutex
	header http.Header
	status int
	text   bytes.Buffer
	ended  chan struct{}
}

func (f *flow) Header() http.Header { return f.header }

func (f *flow) WriteHeader(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status == 0 {
		f.status = status
	}
}

func (f *flow) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status == 0 {
		f.status = http.StatusOK
	}
	return f.text.Write(b)
}

func (f *flow) Flush() {}

// so far is what came.
func (f *flow) soFar() said {
	f.mu.Lock()
	defer f.mu.Unlock()
	return said{f.status, f.header, bytes.Clone(f.text.Bytes())}
}

// open reads a stream until ctx ends.
func (j *judge) open(ctx context.Context, path string, k key) *flow {
	f := &flow{header: http.Header{}, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		if r, err := request(ctx, probe{method: "GET", path: path}, k.header); err == nil {
			j.p.Handler.ServeHTTP(f, r)
		}
	}()
	return f
}

// until waits for what a stream is to bring.
func (f *flow) until(ctx context.Context, so func(said) bool) bool {
	began := clock.System().Now()
	for !so(f.soFar()) {
		if clock.System().Since(began) > streamWithin || clock.System().Sleep(ctx, 5*time.Millisecond) != nil {
			return false
		}
	}
	return true
}

// streams reads everything that does not end while things happen: here, in the twin and in another practice.
func (j *judge) streams(ctx context.Context, b auth.Practice) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	work, working := errgroup.WithContext(working)
	work.Go(func() error { return j.p.Work(working) })
	err := j.news(working, b)
	if err == nil {
		err = j.events(working, b)
	}
	stop()
	if done := work.Wait(); err == nil && !errors.Is(done, context.Canceled) {
		err = done
	}
	return err
}

// elsewhere is the type that changes in another practice alone while screens are listened to.
const elsewhere = "HealthcareService"

var newsLine = regexp.MustCompile(`^(retry: 3000|: still here|id: \d+|event: [A-Za-z]+|data: \d+|)$`)

// news are the screens' own: they say that something of a kind happened, never what.
func (j *judge) news(ctx context.Context, b auth.Practice) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var flows []*flow
	for _, k := range []key{j.in, j.twin} {
		flows = append(flows, j.open(ctx, "/"+k.practice.Slug+"/live", k))
	}
	foreign := j.open(ctx, "/"+b.Slug+"/live", j.in)
	if !flows[0].until(ctx, func(s said) bool { return s.status != 0 }) || !flows[1].until(ctx, func(s said) bool { return s.status != 0 }) {
		return fmt.Errorf("prove: %s gets no answer from the news of screens", j.who)
	}
	hears := flows[0].soFar().status == http.StatusOK
	for _, e := range []struct {
		p   auth.Practice
		typ string
	}{{b, elsewhere}, {j.in.practice, "Location"}, {j.twin.practice, "Location"}, {j.in.practice, "Organization"}, {j.twin.practice, "Organization"}} {
		if err := j.sow(ctx, e.p.ID, letterOf(e.p), func(x plant) bool { return x.typ == e.typ }); err != nil {
			return err
		}
	}
	for i, f := range flows {
		if hears && !f.until(ctx, func(s said) bool { return bytes.Contains(s.body, []byte("event: Organization")) }) {
			j.fail(streamsIt, "%s: the screens of practice %d are told nothing, so that nothing was tried", j.who, i)
		}
	}
	cancel()
	for i, f := range append(flows, foreign) {
		<-f.ended
		s := f.soFar()
		j.r.Count("streams read", 1)
		j.clean(probe{method: "GET", path: "the news of screens"}, said{status: s.status, header: http.Header{}, body: s.body}, "")
		if s.status == http.StatusOK && (i == 2 || bytes.Contains(s.body, []byte(elsewhere))) {
			j.fail(streamsIt, "%s hears the news of another practice", j.who)
		}
		for _, line := range strings.Split(string(s.body), "\n") {
			if s.status == http.StatusOK && !newsLine.MatchString(line) {
				j.fail(streamsIt, "%s: the news of screens say %q", j.who, line)
			}
		}
	}
	return nil
}

// subscribe asks to be told of changes, whole, and gives the Subscription's id; "" when that is refused.
func (j *judge) subscribe(ctx context.Context, k key) string {
	var filters []string
	for _, typ := range streamed {
		filters = append(filters, fmt.Sprintf(`{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria","valueString":%q}`, typ+"?"))
	}
	s := send(ctx, j.p.Handler, probe{method: "POST", path: "/" + k.practice.Slug + "/fhir/Subscription", body: `{"resourceType":"Subscription","status":"requested","reason":"A proof",` +
		`"criteria":"` + subscription.AnyTopic + `","_criteria":{"extension":[` + strings.Join(filters, ",") + `]},"channel":{"type":"websocket","payload":"application/fhir+json",` +
		`"_payload":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content","valueCode":"full-resource"}]}}}`}, k.header)
	var made struct{ ID string }
	if json.Unmarshal(s.body, &made) != nil || s.status != http.StatusCreated {
		return ""
	}
	return made.ID
}

var toldForm = regexp.MustCompile(`"event-number","valueString":"(\d+)"|"focus","valueReference":\{"reference":"[^"]*/fhir/([^"]+)"`)

// told is what was told, in its order, whatever the notifications it came in.
func told(body []byte) string {
	var b strings.Builder
	for _, m := range toldForm.FindAllSubmatch(body, -1) {
		fmt.Fprintf(&b, "%s%s ", m[1], m[2])
	}
	return b.String()
}

// events are those of subscriptions, as server-sent events, over a WebSocket, and asked for afterwards.
func (j *judge) events(ctx context.Context, b auth.Practice) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := []key{j.in, j.twin}
	var ids [2]string
	for i, k := range keys {
		ids[i] = j.subscribe(ctx, k)
	}
	if ids[0] == "" || ids[1] == "" {
		if ids[0] != ids[1] {
			j.fail(tellsOfIt, "%s may subscribe in one practice and not in its twin", j.who)
		}
		j.r.Count("principals who may not subscribe", 1)
		// Whoever may not make one reads nobody's either.
		for _, path := range []string{"/subscriptions/subscription-0/events", "/subscriptions/ws"} {
			p := probe{method: "GET", path: "/" + j.in.practice.Slug + path}
			j.clean(p, send(ctx, j.p.Handler, p, j.in.header), "")
		}
		return nil
	}
	var flows [2][]*flow
	for i, k := range keys {
		flows[i] = append(flows[i], j.open(ctx, "/"+k.practice.Slug+"/subscriptions/"+ids[i]+"/events", k))
		socket, err := j.socket(ctx, k, ids[i])
		if err != nil {
			return err
		}
		flows[i] = append(flows[i], socket)
		for _, f := range flows[i] {
			if !f.until(ctx, func(s said) bool { return bytes.Contains(s.body, []byte(`"handshake"`)) }) {
				return fmt.Errorf("prove: %s: a stream does not begin: %.300s", j.who, f.soFar().body)
			}
		}
	}
	followed := func(x plant) bool { return slices.Contains(streamed, x.typ) }
	last := plant{typ: "Patient", patient: 1}
	for _, w := range []struct {
		p    auth.Practice
		want func(plant) bool
	}{{b, followed}, {j.in.practice, followed}, {j.twin.practice, func(x plant) bool { return followed(x) && j.in.sees(x) }},
		{j.in.practice, func(x plant) bool { return x == last }}, {j.twin.practice, func(x plant) bool { return x == last }}} {
		if err := j.sow(ctx, w.p.ID, letterOf(w.p), w.want); err != nil {
			return err
		}
	}
	for i := range flows {
		for _, f := range flows[i] {
			if !f.until(ctx, func(s said) bool { return strings.Count(told(s.body), last.ref(home)+" ") >= 2 }) {
				j.fail(streamsIt, "%s: a stream does not tell what it should, so that nothing was tried: %.300s", j.who, told(f.soFar().body))
			}
		}
	}
	for i, k := range keys {
		at := "/" + k.practice.Slug + "/fhir/Subscription/" + ids[i]
		f := &flow{header: http.Header{}, ended: make(chan struct{})}
		for _, path := range []string{"/$status", "/$events?eventsSinceNumber=1&content=full-resource"} {
			s := send(ctx, j.p.Handler, probe{method: "GET", path: at + path}, k.header)
			f.status = s.status
			_, _ = f.Write(s.body)
		}
		close(f.ended)
		flows[i] = append(flows[i], f)
	}
	cancel()
	want := ""
	for i := range flows {
		for n, f := range flows[i] {
			<-f.ended
			s := f.soFar()
			j.r.Count("streams read", 1)
			j.r.Count("events in streams", int64(strings.Count(told(s.body), "/")))
			for _, c := range canaryForm.FindAll(s.body, -1) {
				if !j.allowed[strings.ToLower(string(c))] {
					j.fail(streamsIt, "%s: a stream shows %s", j.who, c)
					break
				}
			}
			if i == 0 && n == 0 {
				want = told(s.body)
			}
			if got := told(s.body); n < 2 && got != want {
				j.fail(streamsIt, "%s: streams tell of what is hidden: %.200q, and %.200q", j.who, want, got)
			}
		}
		send(context.WithoutCancel(ctx), j.p.Handler, probe{method: "DELETE", path: "/" + keys[i].practice.Slug + "/fhir/Subscription/" + ids[i]}, keys[i].header)
	}
	if a, b := told(flows[0][2].soFar().body), told(flows[1][2].soFar().body); a != b {
		j.fail(streamsIt, "%s: $events tells of what is hidden: %.200q, and %.200q", j.who, a, b)
	}
	return nil
}
