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
		if i := standard().refusal(c.rule); i != nil {
			got = i.Code
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.rule, got, c.want)
		}
	}
}

// Whatever cells and own roles are stored, also damaged ones, no role passes the guard rails.
func TestAnyMatrixKeepsTheRails(t *testing.T) {
	types := append(fhir.ResourceTypes(), "Pirate")
	named := append(Roles(), "operator", "own-1", "own-2", "own-3", "own-41", "own-01")
	rapid.Check(t, func(t *rapid.T) {
		var own []OwnRole
		for n := range rapid.IntRange(0, 4).Draw(t, "own roles") {
			o := OwnRole{Role: rapid.SampledFrom(named[5:]).Draw(t, "own"), Like: rapid.SampledFrom(named).Draw(t, "like")}
			if o.Role == "own-3" {
				o.Retired = time.Unix(int64(n+1), 0)
			}
			own = append(own, o)
		}
		var cells []RoleRule
		for range rapid.IntRange(0, 20).Draw(t, "cells") {
			c := RoleRule{Role: rapid.SampledFrom(named).Draw(t, "role"), Value: rapid.Int64Range(-1, 40).Draw(t, "value")}
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
		m := newMatrix(cells, own)
		for i, c := range m.columns {
			if c == nil {
				continue
			}
			if i >= len(roleOrder) && i != firstOwn && i != firstOwn+1 {
				t.Fatalf("there is a role with the bit %d", i)
			}
			if !c.permissions.has(AccountSecurity) || c.forbidden&notesApart != notesApart {
				t.Fatalf("%d lost its own security or sees notes kept apart", i)
			}
			for typ, b := range c.types {
				if b&^most(typ) != 0 {
					t.Fatalf("%d has %s of %s", i, b, typ)
				}
			}
			if !c.caring() && slices.ContainsFunc(licensed, c.permissions.has) {
				t.Fatalf("%d, without care for patients, does what needs a licence", i)
			}
		}
		admin := m.columns[4]
		if !admin.permissions.has(UserAdmin) || !admin.permissions.has(AuditRead) {
			t.Fatal("the administrator is locked out")
		}
		// What a set of roles reaches is what its roles reach, and no bit of a role that is not there adds to it.
		set := roleSet(rapid.Uint64Range(0, 1<<(firstOwn+OwnRoles)-1).Draw(t, "set"))
		a, typ := m.access(set), rapid.SampledFrom(fhir.ResourceTypes()).Draw(t, "looked at")
		want, forbidden := Bits(0), int64(beyondCare|ruledLabels)
		for _, r := range m.known(set).list() {
			want |= Bits(m.value(r, RuleType, typ))
			forbidden &= m.column(r).forbidden
		}
		if a.Types[typ] != want || m.known(set) != 0 && a.Forbidden != forbidden {
			t.Fatalf("%v: %s of %s, want %s", set.list(), a.Types[typ], typ, want)
		}
	})
}
