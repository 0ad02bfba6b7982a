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
			return auth.AsApp(a.id, auth.Access{Types: map[string]auth.Bits{"Patient": look}, Compartment: patient, Forbidden: forbidden})
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
