package auth

import (
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// Somebody of the hosting company gets in by a grant of the practice only, for its time, and can be put out.
func TestOperatorsNeedAGrant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx := t.Context()
		_, zoe := c.signIn("zoe@example.org")
		_, ann := c.signIn("ann.ash")
		_, err := c.a.GrantSupport(ctx, ann, "ops", "ticket 4711", false, time.Hour)
		wantCode(t, err, "forbidden")
		_, err = c.a.GrantSupport(ctx, zoe, "ops", "ticket 4711", false, SupportFor+time.Second)
		wantCode(t, err, "value")
		_, err = c.a.OperatorScope(ctx, c.id, "ops", 1)
		wantCode(t, err, "forbidden")
		g, err := c.a.GrantSupport(ctx, zoe, "Ops", "ticket 4711", false, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for name, who := range map[string]struct {
			practice db.PracticeID
			operator string
		}{"another person": {c.id, "mallory"}, "another practice": {1, "ops"}, "no practice": {999, "ops"}} {
			_, err := c.a.OperatorScope(ctx, who.practice, who.operator, g.ID)
			if codeOf(err) != "forbidden" {
				t.Errorf("%s: %v", name, err)
			}
		}
		before := c.actions(audit.ActionAdmin)
		o, err := c.a.OperatorScope(ctx, c.id, "ops", g.ID)
		if err != nil {
			t.Fatal(err)
		}
		if a := AccessOf(o); !a.Allows("Location", CanRead) || a.Allows("Location", CanUpdate) || a.Allows("Patient", CanRead) || a.Allows("Observation", CanRead) {
			t.Errorf("%+v", a)
		}
		if c.actions(audit.ActionAdmin) != before+1 || c.lastOf(audit.ActionAdmin).Actor.Kind != kindOperator {
			t.Error("the use is not on record")
		}
		if l, err := c.a.Supports(ctx, zoe); err != nil || len(l) != 1 || l[0].Uses != 1 || l[0].Operator != "ops" || !l[0].Open(d.Clock.Now()) {
			t.Errorf("%+v %v", l, err)
		}
		if err := c.a.EndSupport(ctx, zoe, g.ID); err != nil {
			t.Fatal(err)
		}
		_, err = c.a.OperatorScope(ctx, c.id, "ops", g.ID)
		wantCode(t, err, "forbidden")
		g, err = c.a.GrantSupport(ctx, zoe, "ops", "ticket 4712", true, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		o, err = c.a.OperatorScope(ctx, c.id, "ops", g.ID)
		if a := AccessOf(o); err != nil || !a.Allows("Patient", CanRead) || a.Allows("Patient", CanUpdate) || a.Forbidden != beyondCare {
			t.Errorf("%+v %v", a, err)
		}
		d.Clock.Advance(time.Hour)
		_, err = c.a.OperatorScope(ctx, c.id, "ops", g.ID)
		wantCode(t, err, "forbidden")
	})
}

// A program that acts for somebody loses what they lose, at once, and reaches no more than either.
func TestProgramsFollowTheirPerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx := t.Context()
		_, zoe := c.signIn("zoe@example.org")
		g := AppGrant{Practice: c.id, ClientID: "growth", ClientName: "Growth Chart", TokenID: "t1", User: c.ann,
			Access: Access{Types: map[string]Bits{"Observation": canLook, "Claim": canLook}, Compartment: "Patient/x"}}
		app, err := c.a.AppScope(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		a := AccessOf(app)
		if !a.Allows("Observation", CanRead) || a.Allows("Observation", CanUpdate) || a.Allows("Claim", CanRead) || a.Compartment != "Patient/x" || a.Forbidden != notesApart {
			t.Errorf("%+v", a)
		}
		if by := app.Actor(); by.Client != "growth" || by.UserID != c.ann || by.FHIR != "Practitioner/p-ann" || by.OnBehalf != "Practitioner/p-ann" || by.Role != "clinician" {
			t.Errorf("%+v", by)
		}
		if err := c.a.ChangeMatrix(ctx, zoe, []RoleRule{{Clinician, RuleType, "Observation", 0}}); err != nil {
			t.Fatal(err)
		}
		if app, err = c.a.AppScope(ctx, g); err != nil || AccessOf(app).Allows("Observation", CanRead) {
			t.Errorf("the role lost it, the program has it: %v", err)
		}
		other := c.restart()
		if _, err := other.AppScope(ctx, g); err != nil {
			t.Fatal(err)
		}
		if err := c.a.Disable(ctx, zoe, c.ann); err != nil {
			t.Fatal(err)
		}
		_, err = c.a.AppScope(ctx, g)
		wantCode(t, err, "login")
		if d.Engine() != db.SQLite { // another node
			d.Clock.Advance(time.Second)
			_, err = other.AppScope(ctx, g)
			wantCode(t, err, "login")
		}
		own := AppGrant{Practice: c.id, ClientID: "diary", Patient: "Patient/x", Access: Access{All: true}}
		app, err = c.a.AppScope(ctx, own)
		if a := AccessOf(app); err != nil || a.Compartment != "Patient/x" || a.All || a.Forbidden&(notesApart|LabelPatientHidden) != notesApart|LabelPatientHidden || a.Allows("AuditEvent", CanRead) {
			t.Errorf("%+v %v", a, err)
		}
		if app.Actor().OnBehalf != "Patient/x" {
			t.Errorf("%+v", app.Actor())
		}
		own.Access.Compartment = "Patient/y"
		if app, err = c.a.AppScope(ctx, own); err != nil || AccessOf(app).Allows("Observation", CanRead) {
			t.Errorf("another's compartment: %+v %v", AccessOf(app), err)
		}
		backend := AppGrant{Practice: c.id, ClientID: "backend", Open: LabelPart2 | LabelPsychotherapy, Access: Access{All: true}}
		if app, err = c.a.AppScope(ctx, backend); err != nil || AccessOf(app).Forbidden != beyondCare&^LabelPart2 {
			t.Errorf("%+v %v", AccessOf(app), err)
		}
		if err := c.a.ChangeAccessState(ctx, SystemScope(c.id, "test"), func(s *AccessState) { s.Contract = ContractReadOnly }); err != nil {
			t.Fatal(err)
		}
		if app, err = c.a.AppScope(ctx, backend); err != nil || !AccessOf(app).Allows("Patient", CanRead) || AccessOf(app).Allows("Patient", CanCreate) {
			t.Errorf("read-only: %+v %v", AccessOf(app), err)
		}
		p, err := c.a.PatientScope(ctx, PatientGrant{Practice: c.id, Patient: "Patient/x", User: 77, Proxy: true, Access: Access{All: true}})
		if a := AccessOf(p); err != nil || a.Forbidden&LabelAdolescent == 0 || a.Compartment != "Patient/x" || p.Actor().OnBehalf != "Patient/x" {
			t.Errorf("%+v %v", a, err)
		}
		if err := c.a.ChangeAccessState(ctx, SystemScope(c.id, "test"), func(s *AccessState) { s.Contract = ContractClosed }); err != nil {
			t.Fatal(err)
		}
		_, err = c.a.AppScope(ctx, backend)
		wantCode(t, err, "login")
	})
}
