package oauth

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// S-06, S-08, S-10: a patient lets a program into their own record and no other, for longer than staff, and takes it back at once.
func TestPatientGrants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		who := func(patient string) auth.Patient {
			p, err := w.auth.PatientScope(t.Context(), auth.PatientGrant{Practice: w.alder.ID, User: 77, Name: "Pat Pine", Patient: "Patient/" + patient, Session: "s", Access: auth.Access{All: true}})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		b, err := w.s.Begin(t.Context(), w.alder, w.request(w.public, "launch/patient openid fhirUser offline_access patient/*.rs user/Practitioner.rs"))
		if err != nil {
			t.Fatal(err)
		}
		q, err := w.s.Question(t.Context(), w.alder, who("pat-1"), b.ID, b.Browser)
		if err != nil || q.PickPatient || q.Patient != "pat-1" {
			t.Fatalf("a patient is asked whose record: %+v, %v", q, err)
		}
		back := w.authorize(who("pat-1"), w.request(w.public, "launch/patient openid fhirUser offline_access patient/*.rs user/Practitioner.rs"), "pat-2")
		r := w.token(w.redeemForm(w.public, back.Get("code")))
		if r.str("patient") != "pat-1" || r.body["expires_in"] != 3600.0 {
			t.Fatalf("%v", r.body)
		}
		app, err := w.s.Authenticate(t.Context(), w.alder, r.str("access_token"))
		if err != nil {
			t.Fatal(err)
		}
		if a := auth.AccessOf(app); a.Compartment != "Patient/pat-1" || !a.Allows("Observation", auth.CanRead) || a.Allows("AuditEvent", auth.CanRead) {
			t.Errorf("%+v", a)
		}
		if err := w.log.Seen(t.Context(), app, audit.Event{Action: audit.ActionRead, Type: "Observation", ID: "o", Patient: "Patient/pat-1"}); err != nil {
			t.Fatal(err)
		}
		said, err := w.log.Find(t.Context(), dbtest.ScopeOf(w.alder.ID), audit.Filter{Kind: "app", Type: "Observation"})
		if err != nil || len(said) != 1 {
			t.Fatalf("%+v, %v", said, err)
		}
		if by := said[0].Actor; by.FHIR != "Patient/pat-1" || by.OnBehalf != "Patient/pat-1" || by.Client != w.public.ID || by.Display != "Growth Chart" {
			t.Errorf("the audit names %+v", by)
		}
		mine, err := w.s.Grants(t.Context(), w.alder, who("pat-1"))
		if err != nil || len(mine) != 1 || mine[0].Expires.Sub(mine[0].Created) < 90*24*time.Hour {
			t.Fatalf("%v, %v", mine, err)
		}
		if others, err := w.s.Grants(t.Context(), w.alder, who("pat-2")); err != nil || len(others) != 0 {
			t.Errorf("somebody else sees the connection: %v, %v", others, err)
		}
		if err := w.s.Revoke(t.Context(), w.alder, who("pat-2"), mine[0].ID); err == nil {
			t.Error("somebody else ended the connection")
		}
		if staff, err := w.s.Grants(t.Context(), w.alder, w.ann); err != nil || len(staff) != 0 {
			t.Errorf("staff see it as theirs: %v, %v", staff, err)
		}
		d.Clock.Advance(59 * time.Minute)
		if !w.opens(w.alder, r.str("access_token")) {
			t.Error("a patient's token ends early")
		}
		if err := w.s.Revoke(t.Context(), w.alder, who("pat-1"), mine[0].ID); err != nil {
			t.Fatal(err)
		}
		again := w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}, "client_id": {w.public.ID}})
		if w.opens(w.alder, r.str("access_token")) || again.status != 400 {
			t.Error("the connection outlives its end")
		}
	})
}

// What somebody who stands for a patient lets in sees no more than they do: not the confidential care of a minor. Later uses of the grant
// neither.
func TestGrantsOfProxies(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		for _, proxy := range []bool{false, true} {
			who, err := w.auth.PatientScope(t.Context(), auth.PatientGrant{Practice: w.alder.ID, User: 78, Name: "Pat's parent", Patient: "Patient/pat-1", Session: "s", Proxy: proxy, Access: auth.Access{All: true}})
			if err != nil {
				t.Fatal(err)
			}
			r := w.token(w.redeemForm(w.public, w.authorize(who, w.request(w.public, "launch/patient offline_access patient/*.rs"), "pat-1").Get("code")))
			again := w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}, "client_id": {w.public.ID}})
			app, err := w.s.Authenticate(t.Context(), w.alder, again.str("access_token"))
			if err != nil {
				t.Fatal(err)
			}
			held, err := w.s.Hold(t.Context(), w.alder, again.str("access_token"))
			if err != nil {
				t.Fatal(err)
			}
			resumed, err := w.s.Resume(t.Context(), w.alder, held)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []auth.App{app, resumed} {
				if hidden := auth.AccessOf(s).Forbidden&auth.LabelAdolescent != 0; hidden != proxy || auth.Themself(s, "Patient/pat-1") == proxy || auth.Themself(s, "Patient/pat-2") {
					t.Errorf("proxy %v: %+v", proxy, auth.AccessOf(s))
				}
			}
		}
	})
}

// Requests that anybody can send do not pile up, and a flood of them is turned away with words.
func TestFlood(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t, nil))
	turned := 0
	for range asksAtOnce + 5 {
		if _, err := w.s.Begin(t.Context(), w.alder, w.request(w.public, "launch/patient patient/Patient.rs")); err != nil {
			i, ok := err.(*fhir.Issue)
			if !ok || i.Code != "throttled" {
				t.Fatal(err)
			}
			turned++
		}
	}
	if turned != 5 {
		t.Errorf("%d were turned away", turned)
	}
	if _, err := w.s.Begin(t.Context(), w.elm, url.Values{}); err == nil || strings.Contains(err.Error(), "Too many") {
		t.Errorf("another practice suffers: %v", err)
	}
	w.d.Clock.Advance(time.Second)
	if _, err := w.s.Begin(t.Context(), w.alder, w.request(w.public, "launch/patient patient/Patient.rs")); err != nil {
		t.Error(err)
	}
}

// What the command line gives out: system scopes alone, for an hour at most, under a program that can be stopped.
func TestMint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		by := auth.SystemScope(w.alder.ID, "yarrow token")
		other := New(Options{DB: d.DB, Auth: w.auth, Audit: w.log, Base: base}) // the process of the command line
		if _, err := w.s.Clients(t.Context(), w.alder.ID); err != nil {
			t.Fatal(err)
		}
		// The first token registers the command line as a program, which the server has not heard of yet.
		text, err := other.Mint(t.Context(), by, w.alder, "system/*.cruds", time.Minute)
		if err != nil || !w.opens(w.alder, text) || w.opens(w.elm, text) {
			t.Fatalf("%q, %v", text, err)
		}
		for _, bad := range []struct {
			scope string
			ttl   time.Duration
		}{{"user/*.rs", time.Minute}, {"patient/*.rs", time.Minute}, {"openid", time.Minute}, {"", time.Minute}, {"x", time.Minute}, {"system/*.rs", 2 * time.Hour}, {"system/*.rs", 0}} {
			if _, err := w.s.Mint(t.Context(), by, w.alder, bad.scope, bad.ttl); err == nil {
				t.Errorf("%+v was given out", bad)
			}
		}
		d.Clock.Advance(time.Minute)
		if w.opens(w.alder, text) {
			t.Error("the token outlives its time")
		}
		text, err = w.s.Mint(t.Context(), by, w.alder, "system/Patient.rs", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.s.Suspend(t.Context(), w.zoe, "command-line", "no scripts here"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.s.Mint(t.Context(), by, w.alder, "system/Patient.rs", time.Hour); err == nil || w.opens(w.alder, text) {
			t.Error("a practice cannot stop the command line")
		}
	})
}
