package auth

import (
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db/dbtest"
)

// A role of the practice's own begins as a copy, is decided about like any other, and gives nothing once it is retired.
func TestOwnRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx := t.Context()
		_, ann := c.signIn("ann.ash")
		_, zoe := c.signIn("zoe@example.org")
		if err := c.a.ChangeMatrix(ctx, zoe, []RoleRule{{Nurse, RuleType, "Claim", int64(canLook)}}); err != nil {
			t.Fatal(err)
		}
		_, err := c.a.AddRole(ctx, ann, "Scribe", Nurse)
		wantCode(t, err, "forbidden")
		for _, bad := range []string{"", " ", "Front-Desk", "CLINICIAN", "a|b", "a\u0007", strings.Repeat("x", 61)} {
			if _, err := c.a.AddRole(ctx, zoe, bad, Nurse); err == nil {
				t.Errorf("a role may be called %q", bad)
			}
		}
		for _, like := range []Role{"", "operator", "own-1", "own-41"} {
			_, err := c.a.AddRole(ctx, zoe, "Scribe", like)
			wantCode(t, err, "value")
		}
		before := c.actions(audit.ActionPrivilege)
		scribe, err := c.a.AddRole(ctx, zoe, "  Scribe  ", Nurse)
		if err != nil || scribe.Role != "own-1" || scribe.Name != "Scribe" || scribe.Like != Nurse {
			t.Fatal(scribe, err)
		}
		_, err = c.a.AddRole(ctx, zoe, "scribe", Biller)
		wantCode(t, err, "conflict")
		clerk, err := c.a.AddRole(ctx, zoe, "Night clerk", Biller)
		if err != nil || clerk.Role != "own-2" {
			t.Fatal(clerk, err)
		}
		if n := c.actions(audit.ActionPrivilege) - before; n != 2 {
			t.Errorf("%d entries for 2 roles", n)
		}
		m, err := c.a.Matrix(ctx, zoe)
		if err != nil || !slices.Equal(m.Roles()[5:], []Role{"own-1", "own-2"}) {
			t.Fatal(m.Roles(), err)
		}
		for _, p := range Permissions() {
			if m.Value("own-1", RulePermission, string(p)) != m.Value(Nurse, RulePermission, string(p)) {
				t.Errorf("%s was not copied", p)
			}
		}
		if m.Value("own-1", RuleType, "Claim") != int64(canLook) || !m.Changed("own-1", RuleType, "Claim") || m.Changed("own-1", RuleType, "Observation") {
			t.Error("what the practice decided of the nurse was not copied")
		}

		// Given to somebody, changed, and taken into account at once, on another node too.
		if err := c.a.SetRoles(ctx, zoe, c.ann, "own-1"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c.a.SetRoles(ctx, zoe, c.ann, "own-9"), "value")
		token, ann := c.signIn("ann.ash")
		if !ann.Can(ChartRead) || ann.Can(NoteSign) || !AccessOf(ann).Allows("Claim", CanRead) || !slices.Equal(ann.Roles(), []Role{"own-1"}) || ann.Actor().Role != "own-1" {
			t.Errorf("%v may %v", ann.Roles(), AccessOf(ann).Types["Claim"])
		}
		cells := []RoleRule{{"own-1", RulePermission, string(NoteSign), 1}, {"own-1", RuleType, "Claim", 0}, {"own-1", RuleLabel, "hiv", 0}}
		effects, err := c.a.PreviewMatrix(ctx, zoe, cells)
		if err != nil || len(effects) != 1 || strings.Join(effects[0].Gains, ",") != "note.sign" || strings.Join(effects[0].Loses, ",") != "Claim rs,label hiv" {
			t.Fatalf("%+v %v", effects, err)
		}
		wantCode(t, c.a.ChangeMatrix(ctx, zoe, []RoleRule{{"own-2", RulePermission, string(OrderSign), 1}}), "business-rule") // a copy of the biller
		wantCode(t, c.a.ChangeMatrix(ctx, zoe, []RoleRule{{"own-2", RulePermission, string(AccountSecurity), 0}}), "business-rule")
		wantCode(t, c.a.ChangeMatrix(ctx, zoe, []RoleRule{{"own-3", RulePermission, string(ChartRead), 1}}), "value")
		if err := c.a.ChangeMatrix(ctx, zoe, cells); err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]*Auth{"same": c.a, "other": c.restart()} {
			s, _, err := a.Resume(ctx, slug, token)
			if err != nil || !s.Can(NoteSign) || AccessOf(s).Allows("Claim", CanRead) || AccessOf(s).Forbidden&labelNamed("hiv") == 0 {
				t.Errorf("%s process: %v", name, err)
			}
		}
		if view, err := c.a.ViewAs(ctx, zoe, nil, "own-1"); err != nil || !slices.Contains(view.Hidden, "hiv") {
			t.Errorf("%+v %v", view, err)
		}

		// The nurse's own cells stay hers.
		if m, err = c.a.Matrix(ctx, zoe); err != nil || m.Value(Nurse, RulePermission, string(NoteSign)) != 0 || m.Value(Nurse, RuleType, "Claim") == 0 {
			t.Error("the role it was made from changed", err)
		}

		if err := c.a.RenameRole(ctx, zoe, "own-1", "Écrivain"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c.a.RenameRole(ctx, zoe, "own-1", "night CLERK"), "conflict")
		wantCode(t, c.a.RenameRole(ctx, zoe, Nurse, "Sister"), "not-found")
		for _, a := range []*Auth{c.a, c.restart()} {
			if name, err := a.RoleName(ctx, c.id, "own-1"); err != nil || name != "Écrivain" {
				t.Error(name, err)
			}
		}

		// Retired: not while somebody has it; afterwards it gives nothing, to whoever comes with it.
		wantCode(t, c.a.RetireRole(ctx, zoe, "own-1"), "business-rule")
		wantCode(t, c.a.RetireRole(ctx, zoe, Nurse), "not-found")
		if err := c.a.Disable(ctx, zoe, c.ann); err != nil {
			t.Fatal(err)
		}
		if err := c.a.RetireRole(ctx, zoe, "own-1"); err != nil {
			t.Fatal(err)
		}
		if err := c.a.Enable(ctx, zoe, c.ann); err != nil {
			t.Fatal(err)
		}
		if _, ann = c.signIn("ann.ash"); ann.Can(ChartRead) || ann.Can(AccountSecurity) || len(AccessOf(ann).Types) != 0 {
			t.Errorf("a retired role opens %v", AccessOf(ann).Types)
		}
		wantCode(t, c.a.SetRoles(ctx, zoe, c.ann, "own-1", Nurse), "value")
		if third, err := c.a.AddRole(ctx, zoe, "Scribe", "own-2"); err != nil || third.Role != "own-3" || third.Like != Biller {
			t.Error("a number was given again, or a copy of a copy lost its origin", third, err)
		}
		if name, err := c.a.RoleName(ctx, c.id, "own-1"); err != nil || name != "Écrivain" {
			t.Error("the audit lost what a role was called", name, err)
		}
	})
}

// A directory neither makes nor unmakes those who decide about rights, whatever their role is called.
func TestDirectoriesDoNotGovern(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx, sys := t.Context(), SystemScope(c.id, "directory")
		_, zoe := c.signIn("zoe@example.org")
		boss, err := c.a.AddRole(ctx, zoe, "Office manager", Administrator)
		if err != nil {
			t.Fatal(err)
		}
		scribe, err := c.a.AddRole(ctx, zoe, "Scribe", Nurse)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, c.a.ProvisionRoles(ctx, sys, c.ann, Clinician, boss.Role), "forbidden")
		wantCode(t, c.a.ProvisionRoles(ctx, sys, c.ann, Administrator), "forbidden")
		if err := c.a.ProvisionRoles(ctx, sys, c.ann, scribe.Role, "own-9"); err != nil {
			t.Error(err)
		}
		if _, ann := c.signIn("ann.ash"); !slices.Equal(ann.Roles(), []Role{scribe.Role}) {
			t.Errorf("%v", ann.Roles())
		}
		// The practice lets scribes look after people: from then on the directory leaves the role alone.
		if err := c.a.ChangeMatrix(ctx, zoe, []RoleRule{{scribe.Role, RulePermission, string(UserAdmin), 1}}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c.a.ProvisionRoles(ctx, sys, c.ann, Clinician), "forbidden")
	})
}
