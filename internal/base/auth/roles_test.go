package auth

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

func TestMatrixIsThePractices(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx := t.Context()
		token, ann := c.signIn("ann.ash")
		_, zoe := c.signIn("zoe@example.org")
		if !ann.Can(NoteSign) || AccessOf(ann).Allows("Claim", CanRead) {
			t.Fatal("not the default")
		}
		cells := []RoleRule{
			{Clinician, RulePermission, string(NoteSign), 0},
			{Clinician, RuleType, "Claim", int64(canLook)},
			{Biller, RuleLabel, "substance-use", 1},
		}
		wantCode(t, c.a.ChangeMatrix(ctx, ann, cells), "forbidden")

		effects, err := c.a.PreviewMatrix(ctx, zoe, cells)
		if err != nil || len(effects) != 1 || effects[0].User.ID != c.ann ||
			strings.Join(effects[0].Gains, ",") != "Claim rs" || strings.Join(effects[0].Loses, ",") != "note.sign" {
			t.Fatalf("%+v %v", effects, err)
		}
		before := c.actions(audit.ActionPrivilege)
		if err := c.a.ChangeMatrix(ctx, zoe, cells); err != nil {
			t.Fatal(err)
		}
		if n := c.actions(audit.ActionPrivilege) - before; n != 3 {
			t.Errorf("%d entries for 3 cells", n)
		}
		// The session that was open before has it at once; so has another process.
		for name, a := range map[string]*Auth{"same": c.a, "other": c.restart()} {
			s, _, err := a.Resume(ctx, slug, token)
			if err != nil || s.Can(NoteSign) || !AccessOf(s).Allows("Claim", CanRead) || AccessOf(s).Allows("Claim", CanUpdate) {
				t.Errorf("%s process: %v %v", name, err, s.Can(NoteSign))
			}
		}
		view, err := c.a.ViewAs(ctx, zoe, nil, Biller)
		if err != nil || slices.Contains(view.Hidden, "substance-use") || !slices.Contains(view.Hidden, "hiv") {
			t.Errorf("%+v %v", view, err)
		}
		// Back to the default leaves no row.
		for i := range cells {
			cells[i].Value = standard().value(cells[i].Role, cells[i].Kind, cells[i].Name)
		}
		if err := c.a.ChangeMatrix(ctx, zoe, cells); err != nil {
			t.Fatal(err)
		}
		if r, err := c.restart().rulesOf(ctx, c.id); err != nil || len(r.cells) != 0 {
			t.Errorf("%v %v", r, err)
		}
		d.Clock.Advance(StepUpWithin + time.Second)
		wantCode(t, c.a.ChangeMatrix(ctx, zoe, cells), "login")
	})
}

// On PostgreSQL a process that did not make the change obeys it within a second.
func TestMatrixReachesOtherNodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		other := c.restart()
		token, _ := c.signIn("ann.ash")
		_, zoe := c.signIn("zoe@example.org")
		if s, _, err := other.Resume(t.Context(), slug, token); err != nil || !s.Can(NoteSign) {
			t.Fatal(err)
		}
		if err := c.a.ChangeMatrix(t.Context(), zoe, []RoleRule{{Clinician, RulePermission, string(NoteSign), 0}}); err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(time.Second)
		s, _, err := other.Resume(t.Context(), slug, token)
		if err != nil || s.Can(NoteSign) && d.Engine() != db.SQLite {
			t.Errorf("still may sign: %v", err)
		}
	})
}

func TestNobodyLocksThePracticeOut(t *testing.T) {
	for _, c := range []struct {
		rule RoleRule
		want string
	}{
		{RoleRule{Administrator, RulePermission, string(UserAdmin), 0}, "business-rule"},
		{RoleRule{Administrator, RulePermission, string(AuditRead), 0}, "business-rule"},
		{RoleRule{FrontDesk, RulePermission, string(AccountSecurity), 0}, "business-rule"},
		{RoleRule{FrontDesk, RulePermission, string(MedicationSign), 1}, "business-rule"},
		{RoleRule{Biller, RulePermission, string(BreakGlass), 1}, "business-rule"},
		{RoleRule{Clinician, RuleType, "Observation", int64(canAll)}, "business-rule"},
		{RoleRule{Administrator, RuleType, "AuditEvent", int64(canKeep)}, "business-rule"},
		{RoleRule{Clinician, RuleType, "Provenance", int64(canKeep)}, "business-rule"},
		{RoleRule{Nurse, RuleType, "Claim", int64(CanUpdate)}, "business-rule"},
		{RoleRule{Clinician, RuleType, "Subscription", int64(CanRead)}, "business-rule"},
		{RoleRule{Clinician, RuleLabel, "psychotherapy", 1}, "business-rule"},
		{RoleRule{Clinician, RuleLabel, "sud-counseling", 1}, "business-rule"},
		{RoleRule{"operator", RulePermission, string(ChartRead), 1}, "value"},
		{RoleRule{Clinician, RulePermission, "operator.console", 1}, "value"},
		{RoleRule{Clinician, RuleType, "Pirate", 1}, "value"},
		{RoleRule{Clinician, RuleLabel, "secret", 1}, "value"},
		{RoleRule{Clinician, "route", "x", 1}, "value"},
		{RoleRule{Nurse, RulePermission, string(OrderSign), 1}, ""},
		{RoleRule{Biller, RuleType, "Observation", int64(canLook)}, ""},
	} {
		got := ""
		if i := checkRule(c.rule); i != nil {
			got = i.Code
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.rule, got, c.want)
		}
	}
}

// Whatever cells are stored, also damaged ones, no role passes the guard rails.
func TestAnyMatrixKeepsTheRails(t *testing.T) {
	types := append(fhir.ResourceTypes(), "Pirate")
	rapid.Check(t, func(t *rapid.T) {
		var cells []RoleRule
		for range rapid.IntRange(0, 20).Draw(t, "cells") {
			c := RoleRule{Role: rapid.SampledFrom(append(Roles(), "operator")).Draw(t, "role"), Value: rapid.Int64Range(-1, 40).Draw(t, "value")}
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				c.Kind, c.Name = RulePermission, string(rapid.SampledFrom(Permissions()).Draw(t, "permission"))
			case 1:
				c.Kind, c.Name = RuleType, rapid.SampledFrom(types).Draw(t, "type")
			default:
				c.Kind, c.Name = RuleLabel, rapid.SampledFrom(LabelNames(-1)).Draw(t, "label")
			}
			cells = append(cells, c)
		}
		m := newMatrix(cells)
		for i, role := range roleOrder {
			if !m.permissions[i].has(AccountSecurity) || m.forbidden[i]&notesApart != notesApart {
				t.Fatalf("%s lost its own security or sees notes kept apart", role)
			}
			for typ, b := range m.types[i] {
				if b&^most(typ) != 0 {
					t.Fatalf("%s has %s of %s", role, b, typ)
				}
			}
		}
		if !m.permissions[4].has(UserAdmin) || !m.permissions[4].has(AuditRead) || m.permissions[2].has(MedicationSign) {
			t.Fatal("the administrator is locked out, or the desk prescribes")
		}
	})
}
