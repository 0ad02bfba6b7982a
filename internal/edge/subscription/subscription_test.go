package subscription

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

func TestTopics(t *testing.T) {
	seen := map[string]bool{}
	for _, topic := range Topics() {
		if seen[topic.URL] || topic.Title == "" {
			t.Errorf("topic %q is there twice, or has no title", topic.URL)
		}
		seen[topic.URL] = true
		for _, g := range topic.Triggers {
			for _, query := range []string{g.Before, g.Now} {
				if _, err := clausesOf(g.Type, query); err != nil || !fhir.IsResourceType(g.Type) {
					t.Errorf("%s: %s?%s: %v", topic.URL, g.Type, query, err)
				}
			}
		}
	}
	if !seen[AnyTopic] || !contains(Extension("Subscription"), AnyTopic) || Extension("Patient") != nil {
		t.Error("the capability statement does not list the topics")
	}
}

// What a program is told by REST hook: in order, with numbers without gaps, signed, on record.
func TestRESTHook(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		k.result("before", "ann", "1")
		id := k.subscribed("hooks", k.asked(AnyTopic, "Observation?category=laboratory", showIDs))
		k.result("one", "ann", "2")
		k.put("Observation/vital", `,"status":"final","code":{"text":"Weight"},"subject":{"reference":"Patient/ann"}`)
		k.result("two", "ann", "3")
		k.result("one", "ann", "4")
		k.must(204, "system", "DELETE", "Observation/two", "")
		k.work()
		got := k.rcv.take()
		if len(got) != 1 {
			t.Fatalf("%d notifications, not one", len(got))
		}
		if want := []string{"1 Observation/one", "2 Observation/two", "3 Observation/one", "4 Observation/two"}; !slices.Equal(eventsIn(got[0].node), want) {
			t.Errorf("events %v, not %v", eventsIn(got[0].node), want)
		}
		h, body := got[0].header, got[0].body
		if h.Get("Authorization") != "Bearer of-the-receiver" || h.Get("Webhook-Secret") != "" || h.Get("Content-Type") != "application/fhir+json" {
			t.Errorf("headers %v", h)
		}
		if want := "v1," + Signature(secret, h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), body); h.Get("Webhook-Signature") != want {
			t.Errorf("signature %q, not %q", h.Get("Webhook-Signature"), want)
		}
		if contains(body, "Sodium") || contains(body, "vital") || contains(body, "before") {
			t.Errorf("more than was asked for is told: %s", body)
		}
		if n := len(k.accesses(audit.ActionDisclose)); n != 4 {
			t.Errorf("%d entries of the audit about what was told, not 4", n)
		}
		// The stored resource shows no secret, and neither does the answer.
		shown := k.ask("system", "GET", "Subscription/"+id, "").Body.String()
		if strings.Contains(shown, "of-the-receiver") || strings.Contains(shown, base64.StdEncoding.EncodeToString(secret)) || !strings.Contains(shown, "Authorization: "+hidden) {
			t.Errorf("the headers show: %s", shown)
		}
		// Written back as it was read, it keeps them; the numbers go on.
		k.must(200, "hooks", "PUT", "Subscription/"+id, shown)
		k.result("three", "ann", "5")
		k.work()
		got = k.rcv.take()
		if len(got) != 2 || kindOf(got[0].node) != handshake || !slices.Equal(eventsIn(got[1].node), []string{"5 Observation/three"}) || got[1].header.Get("Authorization") != "Bearer of-the-receiver" {
			t.Errorf("after the update came %d notifications", len(got))
		}
		k.work()
		if got := k.rcv.take(); len(got) != 0 {
			t.Errorf("nothing happened, and %d notifications came", len(got))
		}
		status := k.must(200, "hooks", "GET", "Subscription/"+id+"/$status", "")
		if n := status.Get("entry").Items()[0].Get("resource"); parameter(n, "events-since-subscription-start") != "5" || parameter(n, "status") != "active" || parameter(n, "type") != askStatus {
			t.Errorf("$status says %s", status)
		}
		// Events are told again by number.
		again := k.must(200, "hooks", "GET", "Subscription/"+id+"/$events?eventsSinceNumber=3&eventsUntilNumber=5&content=full-resource", "")
		if want := []string{"3 Observation/one", "4 Observation/two", "5 Observation/three"}; !slices.Equal(eventsIn(again), want) || !strings.Contains(again.String(), "Sodium") {
			t.Errorf("$events says %s", again)
		}
		k.must(404, "system", "GET", "Subscription/"+id+"/$events", "")
		k.must(403, "system", "PUT", "Subscription/"+id, shown)
		k.must(204, "hooks", "DELETE", "Subscription/"+id, "")
		k.result("four", "ann", "6")
		k.work()
		if got := k.told(); len(got) != 0 {
			t.Errorf("a deleted subscription tells %v", got)
		}
	})
}

// Who has the handshake misses nothing from then on, though its answer is not stored yet; of the time until it is taken nothing is told.
func TestNothingIsMissedBehindTheHandshake(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		k.allow()
		for _, other := range []bool{false, true} { // is another subscription's mark there already?
			id := k.must(201, "hooks", "POST", "Subscription", k.asked(AnyTopic, "Observation?category=laboratory", showIDs)).Get("id").Text()
			k.rcv.answer(503)
			k.work()
			k.result("between", "ann", fmt.Sprint("1", other))
			k.d.Clock.Advance(time.Hour)
			k.rcv.answer(200)
			k.rcv.meanwhile = func() {
				k.rcv.meanwhile = nil
				k.result("at-once", "ann", fmt.Sprint("2", other))
			}
			k.rcv.take()
			k.work()
			k.work()
			got := k.rcv.take()
			if len(got) < 2 || kindOf(got[0].node) != handshake {
				t.Fatalf("other %v: %d notifications", other, len(got))
			}
			if told := eventsIn(got[1].node); !slices.Equal(told, []string{"1 Observation/at-once"}) {
				t.Errorf("other %v: told %v", other, told)
			}
			if s := k.state(id); s != "active" {
				t.Errorf("other %v: it is %s", other, s)
			}
			k.must(204, "hooks", "DELETE", "Subscription/"+id, "")
			k.subscribed("few", k.asked(AnyTopic, "Patient?gender=male", showIDs))
		}
	})
}

// Each topic tells what its name says and nothing else.
func TestTopicsTell(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		visit := func(status string) {
			k.put("Encounter/v", fmt.Sprintf(`,"status":%q,"class":{"code":"AMB"},"subject":{"reference":"Patient/ann"}`, status))
		}
		booked := func(status string) {
			k.put("Appointment/a", fmt.Sprintf(`,"status":%q,"participant":[{"actor":{"reference":"Patient/ann"},"status":"accepted"}]`, status))
		}
		document := func(status string) {
			k.put("DocumentReference/d", fmt.Sprintf(`,"status":"current","docStatus":%q,"subject":{"reference":"Patient/ann"},"content":[{"attachment":{"title":"x"}}]`, status))
		}
		for _, c := range []struct {
			topic string
			do    func()
			want  []string
		}{
			{"encounter-start", func() { visit("planned"); visit("in-progress"); visit("in-progress"); visit("finished") }, []string{"1 Encounter/v"}},
			{"encounter-end", func() { visit("in-progress"); visit("finished"); visit("finished") }, []string{"1 Encounter/v"}},
			{"appointment-booked", func() { booked("proposed"); booked("booked"); booked("arrived") }, []string{"1 Appointment/a"}},
			{"appointment-changed", func() { booked("fulfilled"); k.must(204, "system", "DELETE", "Appointment/a", "") }, []string{"1 Appointment/a", "2 Appointment/a"}},
			{"document-signed", func() { document("preliminary"); document("final"); document("final"); document("amended") }, []string{"1 DocumentReference/d"}},
			{"result", func() { k.result("r", "ann", "1") }, []string{"1 Observation/r"}},
			{"patient-changed", func() { k.patient("ann"); visit("planned") }, []string{"1 Patient/ann"}},
			{"task", func() { k.put("Task/t", `,"status":"requested","intent":"order"`) }, []string{"1 Task/t"}},
		} {
			id := k.subscribed("hooks", k.asked(topicBase+c.topic, "", showIDs))
			c.do()
			k.work()
			if got := k.told(); !slices.Equal(got, c.want) {
				t.Errorf("%s tells %v, not %v", c.topic, got, c.want)
			}
			k.must(204, "hooks", "DELETE", "Subscription/"+id, "")
		}
	})
}

// What the creator may not see (any more) is not told: not at the event, and not when it is sent.
func TestNothingIsToldAfterARightEnds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		k.patient("bea")
		labelled := `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},"status":"final","code":{"text":"Talk"},"subject":{"reference":"Patient/ann"}`
		id := k.subscribed("few", k.asked(AnyTopic, "Observation?status=final", showAll))

		k.put("Observation/secret", labelled)
		k.result("open", "ann", "1")
		k.work()
		got := k.rcv.take()
		if len(got) != 1 || !slices.Equal(eventsIn(got[0].node), []string{"1 Observation/open"}) || contains(got[0].body, "Talk") {
			t.Fatalf("a labelled resource: %d notifications", len(got))
		}
		// It is labelled between the event and the sending.
		k.rcv.answer(503)
		k.result("later", "ann", "2")
		k.work()
		k.rcv.take()
		k.put("Observation/later", labelled)
		k.rcv.answer(200)
		k.d.Clock.Advance(time.Hour)
		k.work()
		if got := k.told(); len(got) != 0 {
			t.Errorf("what was labelled meanwhile is told: %v", got)
		}
		// The access is narrowed to another patient's record.
		few := k.scope("few")
		k.grant("few", auth.AsApp(1, auth.Access{Types: map[string]auth.Bits{"Observation": auth.CanRead}, Compartment: "Patient/bea"}))
		k.result("of-ann", "ann", "3")
		k.result("of-bea", "bea", "3")
		k.work()
		if got := k.told(); !slices.Equal(got, []string{"3 Observation/of-bea"}) {
			t.Errorf("told %v", got)
		}
		k.grant("few", few)
		// The authority ends with events waiting: nothing more, and the reason is there to be read.
		k.rcv.answer(503)
		k.result("waiting", "ann", "4")
		k.work()
		k.rcv.take()
		k.rcv.answer(200)
		k.grant("few", nil)
		k.result("after", "ann", "5")
		k.d.Clock.Advance(time.Hour)
		k.work()
		if got := k.rcv.take(); len(got) != 0 {
			t.Errorf("%d notifications after the program's access was taken back", len(got))
		}
		r := k.must(200, "system", "GET", "Subscription/"+id, "")
		if r.Get("status").Text() != "off" || r.Get("error").Text() != overAuthority().Text {
			t.Errorf("the subscription says %s", r)
		}
		k.grant("few", few)
		k.result("after-all", "ann", "6")
		k.work()
		if got := k.rcv.take(); len(got) != 0 {
			t.Errorf("%d notifications of a subscription that is off", len(got))
		}
	})
}

// A program whose access ends is cut off even when nothing happens.
func TestAuthorityIsLookedAtByItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		id := k.subscribed("hooks", k.asked(AnyTopic, "Patient?active=true", showIDs))
		k.grant("hooks", nil)
		k.d.Clock.Advance(time.Minute)
		if _, err := k.queue.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := k.state(id); s != "off" {
			t.Errorf("the state is %s", s)
		}
	})
}

// A receiver that fails: retried with ever longer waits, shown as error, then off; nothing is lost, and the order is kept.
func TestFailures(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		id := k.subscribed("hooks", k.asked(AnyTopic, "Observation?status=final", showIDs))
		k.rcv.answer(500)
		k.result("one", "ann", "1")
		for i := range errorAfter {
			if s := k.state(id); s != "active" {
				t.Fatalf("after %d failures the state is %s", i, s)
			}
			k.work()
			k.work() // it waits
			if n := len(k.rcv.take()); n != 1 {
				t.Fatalf("failure %d: %d tries", i, n)
			}
			k.d.Clock.Advance(time.Hour)
		}
		if r := k.must(200, "system", "GET", "Subscription/"+id, ""); r.Get("status").Text() != "error" || r.Get("error").Text() != "The receiver answered 500." {
			t.Errorf("the subscription says %s", r)
		}
		k.stand() // a restart changes nothing
		k.allow()
		k.result("two", "ann", "2")
		k.rcv.answer(204)
		k.work()
		if got := k.told(); !slices.Equal(got, []string{"1 Observation/one", "2 Observation/two"}) || k.state(id) != "active" {
			t.Errorf("told %v", got)
		}
		k.rcv.answer(500)
		k.result("three", "ann", "3")
		for range offAfter {
			k.work()
			k.d.Clock.Advance(2 * time.Hour)
		}
		k.rcv.take()
		if s := k.state(id); s != "off" {
			t.Errorf("after %d failures the state is %s", offAfter, s)
		}
		// An administrator has it tried again: with a handshake, and what was not taken.
		views, hosts, err := k.hub.List(t.Context(), k.admin)
		if err != nil || len(views) != 1 || views[0].Waiting != 1 || views[0].State != "off" || views[0].Problem == nil || !views[0].Allowed || !views[0].Signed || len(hosts) != 1 {
			t.Fatalf("the list: %+v %+v %v", views, hosts, err)
		}
		k.rcv.answer(200)
		if err := k.hub.Retry(t.Context(), k.admin, id); err != nil {
			t.Fatal(err)
		}
		k.work()
		got := k.rcv.take()
		if len(got) != 2 || kindOf(got[0].node) != handshake || !slices.Equal(eventsIn(got[1].node), []string{"3 Observation/three"}) {
			t.Errorf("after the retry: %d notifications", len(got))
		}
		// 410 ends it at once.
		k.rcv.answer(410)
		k.result("four", "ann", "4")
		k.work()
		if s := k.state(id); s != "off" {
			t.Errorf("after 410 the state is %s", s)
		}
	})
}

// A host is told nothing before the practice has allowed it, nor after it was taken off the list; a pause keeps events.
func TestHostsAndPauses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		id := k.must(201, "hooks", "POST", "Subscription", k.asked(AnyTopic, "Observation?status=final", showIDs)).Get("id").Text()
		k.work()
		if n := len(k.rcv.take()); n != 0 || k.state(id) != "error" {
			t.Fatalf("%d notifications to a host nobody allowed; the state is %s", n, k.state(id))
		}
		if err := k.hub.Allow(t.Context(), k.scope("other").(auth.Staff), "hooks.example.org", "x"); err == nil {
			t.Error("somebody who is no administrator allows a host")
		}
		for _, bad := range []string{"", "https://hooks.example.org", "hooks.example.org/x", "*.example.org", "a@example.org"} {
			if err := k.hub.Allow(t.Context(), k.admin, bad, "x"); err == nil {
				t.Errorf("%q is taken for a host", bad)
			}
		}
		k.allow()
		k.work()
		if got := k.rcv.take(); len(got) != 1 || k.state(id) != "active" {
			t.Fatalf("after it was allowed: %d notifications, %s", len(got), k.state(id))
		}
		if err := k.hub.Pause(t.Context(), k.admin, id); err != nil {
			t.Fatal(err)
		}
		k.result("one", "ann", "1")
		k.work()
		if n := len(k.rcv.take()); n != 0 {
			t.Errorf("%d notifications in a pause", n)
		}
		if err := k.hub.Resume(t.Context(), k.admin, id); err != nil {
			t.Fatal(err)
		}
		k.work()
		if got := k.told(); !slices.Equal(got, []string{"1 Observation/one"}) {
			t.Errorf("after the pause: %v", got)
		}
		_, hosts, _ := k.hub.List(t.Context(), k.admin)
		if err := k.hub.Forbid(t.Context(), k.admin, hosts[0].Name); err != nil {
			t.Fatal(err)
		}
		k.result("two", "ann", "2")
		k.work()
		if n := len(k.rcv.take()); n != 0 {
			t.Errorf("%d notifications to a host that was taken off the list", n)
		}
		if err := k.hub.End(t.Context(), k.admin, id); err != nil || k.state(id) != "off" {
			t.Errorf("ended: %v, %s", err, k.state(id))
		}
	})
}

func TestHeartbeatAndEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		beat := fmt.Sprintf(`"extension":[{"url":%q,"valueUnsignedInt":60},{"url":%q,"valuePositiveInt":2}]`, extBeat, extMax)
		id := k.subscribed("hooks", strings.Replace(k.asked(AnyTopic, "Observation?status=final", showNothing, beat), `"reason"`, `"end":"`+k.d.Clock.Now().Add(time.Hour).Format(time.RFC3339)+`","reason"`, 1))
		k.work()
		if n := len(k.rcv.take()); n != 0 {
			t.Errorf("%d notifications too early", n)
		}
		k.d.Clock.Advance(61 * time.Second)
		k.work()
		if got := k.rcv.take(); len(got) != 1 || kindOf(got[0].node) != heartbeat {
			t.Errorf("%d notifications, not a heartbeat", len(got))
		}
		for _, id := range []string{"a", "b", "c"} {
			k.result(id, "ann", "1")
		}
		k.work()
		got := k.rcv.take()
		if len(got) != 2 || !slices.Equal(eventsIn(got[0].node), []string{"1", "2"}) || !slices.Equal(eventsIn(got[1].node), []string{"3"}) || contains(got[0].body, "Observation") {
			t.Errorf("three events, at most two at once and without what they are about: %d notifications", len(got))
		}
		k.d.Clock.Advance(2 * time.Hour)
		if _, err := k.queue.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := k.state(id); s != "off" {
			t.Errorf("after its end the state is %s", s)
		}
	})
}

// A full resource is told as it was, with its audit before it.
func TestFullResources(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := newStation(t, d)
		k.patient("ann")
		k.subscribed("hooks", k.asked(AnyTopic, "Observation?patient=Patient/ann", showAll))
		k.patient("bea")
		k.result("other", "bea", "9")
		k.result("one", "ann", "first")
		k.result("one", "ann", "second")
		k.work()
		got := k.rcv.take()
		if len(got) != 1 || !contains(got[0].body, "first") || !contains(got[0].body, "second") || contains(got[0].body, `"9"`) {
			t.Fatalf("%d notifications", len(got))
		}
		about := 0
		for _, e := range k.accesses(audit.ActionDisclose) {
			if e.Patient == "Patient/ann" && e.Event.ID == "one" {
				about++
			}
		}
		if about != 2 {
			t.Errorf("%d entries of the audit about the patient, not 2", about)
		}
	})
}

func TestRefusals(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	k := newStation(t, d)
	good := k.asked(AnyTopic, "Observation?status=final", showIDs)
	for _, c := range []struct{ name, as, old, new, says string }{
		{"a person", "other", "", "", "For programs"},
		{"a plain R4 subscription", "hooks", AnyTopic, "Observation?status=final", "not a topic"},
		{"no filter", "hooks", extFilter, "http://example.org/x", "needs a filter"},
		{"no type", "hooks", "Observation?status=final", "status=final", "does not begin with a resource type"},
		{"an unknown parameter", "hooks", "Observation?status=final", "Observation?colour=red", "colour"},
		{"a chain", "hooks", "Observation?status=final", "Observation?patient.name=Ash", "more than one resource"},
		{"its own type", "hooks", "Observation?status=final", "Subscription?status=active", "cannot be subscribed"},
		{"e-mail", "hooks", `"rest-hook"`, `"email"`, "rest-hook or websocket"},
		{"XML", "hooks", "application/fhir+json", "application/fhir+xml", "JSON only"},
		{"a file", "hooks", k.rcv.URL, "file:///etc", "not an address"},
		{"a password in the address", "hooks", "http://127", "http://a:b@127", "not an address"},
		{"another content", "hooks", `"id-only"`, `"everything"`, "content"},
		{"a short secret", "hooks", base64.StdEncoding.EncodeToString(secret), "YWJj", "secret"},
		{"a header of the server's own", "hooks", "Authorization", "Content-Length", "server's own"},
		{"a header with a line's end", "hooks", "Bearer of-the", `x\r\nHost: y`, "not well formed"},
		{"a hidden value that nobody knows", "hooks", "Bearer of-the-receiver", hidden, "value of a header is missing"},
	} {
		body := good
		if c.old != "" {
			if body = strings.Replace(good, c.old, c.new, 1); body == good {
				t.Fatalf("%s changes nothing", c.name)
			}
		}
		w := k.ask(c.as, "POST", "Subscription", body)
		if w.Code < 400 || w.Code > 499 || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	bundle := `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + good + `,"request":{"method":"POST","url":"Subscription"}}]}`
	if w := k.ask("hooks", "POST", "", bundle); w.Code != 422 && w.Code != 400 && w.Code != 404 && w.Code != 501 || !strings.Contains(w.Body.String(), "inside a Bundle") {
		t.Errorf("in a Bundle: %d %s", w.Code, w.Body)
	}
}

func TestAskersAreToldApart(t *testing.T) {
	a, b := auth.AsStaff(1, 1, "A", "", auth.Clinician), auth.AsStaff(1, 2, "A", "", auth.Clinician)
	if fhirapi.Asker(a) == fhirapi.Asker(b) {
		t.Error("two people are one")
	}
}
