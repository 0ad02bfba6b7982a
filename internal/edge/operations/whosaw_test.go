package operations

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
)

// plainly speaks in keys, so that a test sees what is said and not how.
func plainly(accept string) (string, audit.Say) {
	return "en", func(key string, args ...any) string {
		return strings.TrimSpace(fmt.Sprint(key, " ", fmt.Sprint(args...)))
	}
}

func TestWhoSaw(t *testing.T) {
	eachArchive(t, func(t *testing.T, a *archive) {
		a.api.Register(WhoSaw(a.auth, a.log, plainly))
		look := auth.CanRead | auth.CanSearch
		own := func(patient string, forbidden int64) auth.App {
			return auth.AsPatientApp(a.id, patient, auth.Access{Types: map[string]auth.Bits{"Patient": look}, Forbidden: forbidden})
		}
		a.as["ann"], a.as["eve"] = own("Patient/ann", auth.LabelPsychotherapy), own("Patient/eve", 0)
		a.as["wide"] = auth.AsApp(a.id, auth.Access{Types: map[string]auth.Bits{"Patient": look}})
		a.as["blind"] = auth.AsApp(a.id, auth.Access{Types: map[string]auth.Bits{"Observation": look}, Compartment: "Patient/ann"})
		a.put(`{"resourceType":"Patient","id":"ann","name":[{"family":"Alder"}]}`, `{"resourceType":"Patient","id":"eve","name":[{"family":"Elm"}]}`)
		saw := func(who string, e ...audit.Event) {
			t.Helper()
			a.d.Clock.Advance(20 * time.Minute)
			if err := a.log.Seen(context.Background(), a.as[who], e...); err != nil {
				t.Fatal(err)
			}
		}
		saw("zoe", audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "secret-o", Patient: "Patient/ann", Categories: []string{"results"}, Purpose: "HPAYMT"},
			audit.Event{Action: audit.ActionPrint, Patient: "Patient/ann", Categories: []string{"vitals"}, Detail: "private words"})
		saw("bob", audit.Event{Action: audit.ActionSearch, Type: "Patient", Links: []string{"Patient/ann", "Patient/eve"}})
		saw("bob", audit.Event{Action: audit.ActionBreakGlass, Type: "Patient", Patient: "Patient/ann", Purpose: "BTG"})
		saw("zoe", audit.Event{Action: audit.ActionRead, Patient: "Patient/ann", Categories: []string{"notes"}, Labels: auth.LabelPsychotherapy})
		saw("zoe", audit.Event{Action: audit.ActionRead, Patient: "Patient/eve", Categories: []string{"allergies"}})
		saw("eve", audit.Event{Action: audit.ActionRead, Patient: "Patient/eve", Categories: []string{"billing"}})
		a.signIn("zoe")
		for _, c := range []struct {
			as, path    string
			code        int
			says, never []string
		}{
			{"ann", "Patient/ann/$who-saw", 200, []string{`"zoe"`, `"bob"`, "role.administrator", "audit.purpose.HPAYMT", "audit.purpose.BTG", "said.break-glass bob", `"emergency","valueBoolean":true`,
				"said.kind.results", "said.print zoe", "said.search bob", "said.kind.record"}, []string{"eve", "notes", "allergies", "billing", "secret-o", "private words"}},
			{"zoe", "Patient/ann/$who-saw", 200, []string{"said.break-glass bob", "said.kind.results"}, []string{"Patient/eve", "allergies", "notes"}},
			{"eve", "Patient/eve/$who-saw", 200, []string{"said.kind.allergies", "said.search bob"}, []string{"ann", "results"}},
			{"ann", "Patient/ann/$who-saw?end=2001", 200, []string{`"total","valueInteger":0`}, []string{"sitting"}},
			{"ann", "Patient/eve/$who-saw", 404, nil, []string{"allergies", "Elm"}},
			{"ann", "Patient/nobody/$who-saw", 404, nil, nil},
			{"bob", "Patient/ann/$who-saw", 403, nil, []string{"said."}},
			{"wide", "Patient/ann/$who-saw", 403, nil, []string{"said."}},
			{"blind", "Patient/ann/$who-saw", 0, nil, []string{"said."}},
			{"nobody", "Patient/ann/$who-saw", 401, nil, []string{"said."}},
			{"ann", "Patient/ann/$who-saw?_page=x", 400, nil, []string{"said."}},
			{"ann", "Patient/ann/$who-saw?_count=0", 400, nil, []string{"said."}},
		} {
			code, body := a.ask(c.as, "GET", c.path, "")
			if code != c.code && (c.code != 0 || code < 400) {
				t.Errorf("%s %s: %d %s", c.as, c.path, code, body)
			}
			for _, s := range c.says {
				if !strings.Contains(strings.NewReplacer(`"name":`, "", " :", ":").Replace(body), s) {
					t.Errorf("%s %s does not say %q: %s", c.as, c.path, s, body)
				}
			}
			for _, s := range c.never {
				if code == 200 && strings.Contains(body, s) || code != 200 && strings.Contains(body, s) && !strings.Contains(c.path, s) {
					t.Errorf("%s %s says %q: %s", c.as, c.path, s, body)
				}
			}
			if code == 200 {
				if issues := valid(body); issues != nil {
					t.Errorf("%s: %v", c.path, issues)
				}
				list, err := a.log.Find(context.Background(), a.as["system"], audit.Filter{Limit: 1})
				if err != nil || len(list) != 1 || list[0].Detail != "$who-saw" || list[0].Patient != strings.TrimSuffix(strings.SplitN(c.path, "?", 2)[0], "/$who-saw") {
					t.Errorf("%s is not on record: %+v %v", c.path, list, err)
				}
			}
		}
	})
}

// Who stands for a patient, and whose program reads in one record, are told of looks at the chart as a whole and at what they may see. A
// look at hidden records alone changes nothing of the answer; one at both is told as if it had been at what they see.
func TestWhoSawForOthers(t *testing.T) {
	eachArchive(t, func(t *testing.T, a *archive) {
		a.api.Register(WhoSaw(a.auth, a.log, plainly))
		look := auth.CanRead | auth.CanSearch
		types := map[string]auth.Bits{"Patient": look, "Observation": look}
		a.as["parent"] = auth.AsApp(a.id, auth.Access{Types: types, Compartment: "Patient/ann", Forbidden: auth.LabelAdolescent})
		a.as["ann"] = auth.AsPatientApp(a.id, "Patient/ann", auth.Access{Types: types})
		lab := func(id, more string) string {
			return `{"resourceType":"Observation","id":"` + id + `"` + more + `,"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"}}`
		}
		teen := `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"ADOL"}]}`
		const hidden = auth.LabelAdolescent
		a.put(`{"resourceType":"Patient","id":"ann"}`, lab("seen", ""), lab("was", ""), lab("hidden", teen), `{"resourceType":"Practitioner","id":"doc"}`,
			`{"resourceType":"Condition","id":"other","code":{"text":"x"},"subject":{"reference":"Patient/ann"}}`)
		if code, _ := a.ask("system", "DELETE", "Observation/was", ""); code != 204 {
			t.Fatal(code)
		}
		var begin string
		later := func() {
			a.d.Clock.Advance(time.Hour)
			begin = a.d.Clock.Now().Add(time.Second).UTC().Format("2006-01-02T15:04:05Z")
			a.d.Clock.Advance(time.Minute)
		}
		later()
		asked := func(as string) string {
			code, body := a.ask(as, "GET", "Patient/ann/$who-saw?start="+begin, "")
			if code != 200 {
				t.Fatalf("%d %s", code, body)
			}
			return body
		}
		saw := func(e audit.Event) {
			t.Helper()
			e.Patient = "Patient/ann"
			if err := a.log.Seen(context.Background(), a.as["zoe"], e); err != nil {
				t.Fatal(err)
			}
		}
		if code, _ := a.ask("parent", "GET", "Observation/hidden", ""); code != 404 {
			t.Fatal("nothing is hidden here")
		}
		for _, c := range []struct {
			name  string
			event audit.Event
			told  bool
			says  string
		}{
			{"the chart", audit.Event{Action: audit.ActionRead, Categories: []string{"notes"}}, true, "notes"},
			{"the patient", audit.Event{Action: audit.ActionRead, Type: "Patient", ID: "ann"}, true, "Patient"},
			{"a list of looks", audit.Event{Action: audit.ActionRead, Type: "AuditEvent", Categories: []string{"audit"}}, true, ""},
			{"what is seen", audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "seen"}, true, "Observation"},
			{"what was seen", audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "was"}, true, "Observation"},
			{"both", audit.Event{Action: audit.ActionSearch, Type: "Observation", Labels: hidden, Links: []string{"Patient/ann", "Observation/hidden", "Observation/seen"}}, true, "Observation"},
			{"the patient and what is hidden", audit.Event{Action: audit.ActionSearch, Type: "Patient", Labels: hidden, Links: []string{"Patient/ann", "Observation/hidden"}}, true, "Patient"},
			{"an import", audit.Event{Action: audit.ActionImport, Type: "Bundle", Labels: hidden, Links: []string{"Patient/ann", "Observation/hidden"}}, true, ""},
			{"what is hidden", audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "hidden", Labels: hidden}, false, ""},
			{"what is hidden, with who made it", audit.Event{Action: audit.ActionSearch, Type: "Observation", Labels: hidden, Links: []string{"Patient/ann", "Observation/hidden", "Practitioner/doc"}}, false, ""},
			{"a type that is hidden", audit.Event{Action: audit.ActionRead, Type: "Condition", ID: "other"}, false, ""},
			{"a list of a type that is hidden", audit.Event{Action: audit.ActionExport, Type: "Condition"}, false, ""},
			{"labels alone", audit.Event{Action: audit.ActionRead, Categories: []string{"notes"}, Labels: hidden}, false, ""},
			{"what never was", audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "none"}, false, ""},
		} {
			saw(c.event)
			own := strings.Count(asked("ann"), "said.")
			if own == 0 {
				t.Errorf("%s: the patient is not told", c.name)
			}
			// What is asked is on record too: only what others did counts here.
			got := asked("parent")
			if told := strings.Contains(got, `"zoe"`); told != c.told || c.says != "" && !strings.Contains(got, "said.kind."+c.says) {
				t.Errorf("%s: %s", c.name, got)
			}
			if strings.Contains(got, "hidden") {
				t.Errorf("%s: %s", c.name, got)
			}
			later()
		}
		// Counted, timed and paged alike: with looks at what is hidden in between, the answer is the same to the letter.
		saw(audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "seen"})
		a.d.Clock.Advance(time.Minute)
		before := asked("parent")
		for range 7 {
			a.d.Clock.Advance(20 * time.Minute)
			saw(audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "hidden", Labels: hidden})
		}
		after := asked("parent")
		cut := func(body string) string { // the first asking is told at the second
			at := strings.Index(body, `"zoe"`)
			return body[at:]
		}
		if cut(before) != cut(after) || strings.Count(after, `"sitting"`) != strings.Count(before, `"sitting"`)+1 {
			t.Errorf("looks at what is hidden show:\n%s\n%s", before, after)
		}
	})
}

func TestWhoSawPages(t *testing.T) {
	eachArchive(t, func(t *testing.T, a *archive) {
		a.api.Register(WhoSaw(a.auth, a.log, plainly))
		a.as["ann"] = auth.AsApp(a.id, auth.Access{Types: map[string]auth.Bits{"Patient": auth.CanRead}, Compartment: "Patient/ann"})
		a.put(`{"resourceType":"Patient","id":"ann"}`)
		for n := range 24 { // two people by turns, so that their sittings overlap
			a.d.Clock.Advance([]time.Duration{7 * time.Minute, time.Hour}[n/4%2])
			if err := a.log.Seen(context.Background(), a.as[[]string{"zoe", "bob"}[n%2]], audit.Event{Action: audit.ActionRead, Patient: "Patient/ann", Categories: []string{"results"}}); err != nil {
				t.Fatal(err)
			}
		}
		_, whole := a.ask("ann", "GET", "Patient/ann/$who-saw?_count=200", "")
		a.d.Clock.Advance(time.Hour)
		sittings := func(body string) (out []string) {
			for _, s := range strings.Split(body, `"name":"sitting"`)[1:] {
				out = append(out, strings.TrimRight(s, ",{}]"))
			}
			return out
		}
		want, pages := sittings(whole), 0
		var got []string
		for path := "Patient/ann/$who-saw?_count=3"; path != ""; pages++ {
			code, body := a.ask("ann", "GET", path, "")
			if code != 200 || pages > 20 {
				t.Fatal(pages, code, body)
			}
			got = append(got, sittings(body)...)
			path = ""
			if _, after, ok := strings.Cut(body, `"valueUrl":"`); ok {
				path, _, _ = strings.Cut(after, `"`)
			}
		}
		// The first page has one sitting more: that somebody asked before.
		if len(want) < 8 || len(got) != len(want)+1 || strings.Join(got[1:], "\n") != strings.Join(want, "\n") || pages != (len(got)+2)/3 {
			t.Errorf("%d sittings on %d pages, whole %d", len(got), pages, len(want))
		}
	})
}
