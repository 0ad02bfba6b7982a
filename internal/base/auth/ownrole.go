package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// OwnRole is a role of a practice's own, such as a scribe or an intern. It begins as a copy of another role, and the matrix decides about
// it as about any other. The code stays; the name is for people.
type OwnRole struct {
	Role    Role // "own-1" and so on
	Name    string
	Like    Role // the built-in role that it was made from, itself or through another own role: whether it may be given what needs a licence
	Created time.Time
	By      int64     // who made it; 0: the operator
	Retired time.Time // zero: in use
}

// mostRoleName is the most characters of a name.
const mostRoleName = 60

// RoleName is what a practice calls a role of its own, also after it was retired; "" for every other.
func (a *Auth) RoleName(ctx context.Context, p db.PracticeID, r Role) (string, error) {
	if !r.Own() {
		return "", nil
	}
	rules, err := a.rulesOf(ctx, p)
	if err != nil {
		return "", err
	}
	for _, o := range rules.own {
		if o.Role == r {
			return o.Name, nil
		}
	}
	return "", nil
}

// OwnRolesOf lists the own roles of the caller's practice, those that were retired too.
func (a *Auth) OwnRolesOf(ctx context.Context, by db.Scope) ([]OwnRole, error) {
	if by == nil || !by.Valid() {
		return nil, db.ErrNoScope
	}
	r, err := a.rulesOf(ctx, by.Practice())
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.own), nil
}

// RolesIn lists the roles that people of a practice can be given: those every practice has, then its own.
func (a *Auth) RolesIn(ctx context.Context, p db.PracticeID) ([]Role, error) {
	r, err := a.rulesOf(ctx, p)
	if err != nil {
		return nil, err
	}
	return r.matrix.roles(), nil
}

// AddRole makes a role of the practice's own that may do and see what another may now. Nobody has it yet, so nobody gains or loses.
func (a *Auth) AddRole(ctx context.Context, by db.Scope, name string, like Role) (OwnRole, error) {
	var made OwnRole
	err := a.changeRole(ctx, by, func(tx *db.Tx, r *rules) error {
		name, err := r.roleName(name, "")
		if err != nil {
			return err
		}
		c := r.matrix.column(like)
		switch {
		case c == nil:
			return noSuchRole(r.matrix.roles()).At("like")
		case len(r.own) >= OwnRoles:
			return fhir.Problem("business-rule", fmt.Sprintf("A practice has at most %d roles of its own, those that were retired included.", OwnRoles), "Rename one that nobody has and change what it may do.")
		}
		made = OwnRole{Role: ownRole(len(r.own) + 1), Name: name, Like: roleOrder[c.like], Created: tx.Now(), By: by.Actor().UserID}
		if err := addOwnRole(tx, made); err != nil {
			return err
		}
		for _, cell := range r.cells {
			if cell.Role == like {
				cell.Role = made.Role
				tx.Queue(upsertCell, int64(tx.Practice()), string(cell.Role), string(cell.Kind), cell.Name, cell.Value, tx.NowMicro(), made.By)
			}
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Role", ID: string(made.Role), Detail: "role made, a copy of " + string(like) + ", named " + name})
		return nil
	})
	return made, err
}

// RenameRole changes what a role of the practice's own is called.
func (a *Auth) RenameRole(ctx context.Context, by db.Scope, role Role, name string) error {
	return a.changeRole(ctx, by, func(tx *db.Tx, r *rules) error {
		o, err := r.ownRole(role)
		if err != nil {
			return err
		}
		name, err := r.roleName(name, role)
		if err != nil || name == o.Name {
			return err
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Role", ID: string(role), Detail: "role renamed from " + o.Name + " to " + name})
		o.Name = name
		return nameOwnRole(ctx, tx, o)
	})
}

// RetireRole ends a role of the practice's own for good. It is refused while somebody who works here has it, so nobody loses by it; who is
// enabled again later, or comes from a directory with it, gets nothing from it.
func (a *Auth) RetireRole(ctx context.Context, by db.Scope, role Role) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	people, err := a.users(ctx, by.Practice())
	if err != nil {
		return err
	}
	return a.changeRole(ctx, by, func(tx *db.Tx, r *rules) error {
		o, err := r.ownRole(role)
		if err != nil {
			return err
		}
		var have []string
		for _, u := range people {
			if u.Active && slices.Contains(u.Roles, role) {
				have = append(have, u.Display)
			}
		}
		if len(have) > 0 {
			return fhir.Problem("business-rule", "People still have this role: "+strings.Join(have[:min(len(have), 5)], ", ")+".", "Give them another role first.")
		}
		a.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Role", ID: string(role), Detail: "role retired, named " + o.Name})
		return endOwnRole(ctx, tx, o)
	})
}

// changeRole changes the practice's own roles.
func (a *Auth) changeRole(ctx context.Context, by db.Scope, change func(tx *db.Tx, r *rules) error) error {
	err := a.changeRules(ctx, by, func(tx *db.Tx, now *rules) (bool, error) { return true, change(tx, now) })
	if db.IsUnique(err) {
		return fhir.Problem("conflict", "Somebody else made a role at the same moment.", "Look at the roles, and try again.")
	}
	return err
}

// ownRole finds a role of the practice's own that is in use.
func (r *rules) ownRole(role Role) (OwnRole, error) {
	for _, o := range r.matrix.own {
		if o.Role == role {
			return o, nil
		}
	}
	return OwnRole{}, fhir.Problem("not-found", "The practice has no such role of its own.", "Choose from the list of roles.")
}

// roleName checks a name for a role of the practice's own, which is not to be taken for another.
func (r *rules) roleName(name string, of Role) (string, error) {
	name = strings.Join(strings.Fields(norm.NFC.String(name)), " ")
	if name == "" || utf8.RuneCountInString(name) > mostRoleName || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) || c == '|' }) {
		return "", fhir.Problem("value", fmt.Sprintf("A role needs a name of at most %d letters.", mostRoleName), "Write what people call it, such as Scribe.").At("name")
	}
	fold := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(foldLogin(s), " ", ""), "-", "") }
	taken := slices.ContainsFunc(roleOrder[:], func(x Role) bool { return fold(string(x)) == fold(name) })
	for _, o := range r.matrix.own {
		taken = taken || o.Role != of && fold(o.Name) == fold(name)
	}
	if taken {
		return "", fhir.Problem("conflict", "Another role has this name.", "Choose a name that nobody takes for the other.").At("name")
	}
	return name, nil
}

// checkRoles says whether somebody may be given roles in a practice: it has them, and each is named once.
func (a *Auth) checkRoles(ctx context.Context, p db.PracticeID, roles []Role) error {
	set := rolesOf(roles)
	if set == 0 || len(set.list()) != len(roles) {
		return fhir.Problem("value", "A person needs at least one role, each named once.", fmt.Sprintf("Choose from %v.", Roles()))
	}
	if set < 1<<firstOwn {
		return nil
	}
	r, err := a.rulesOf(ctx, p)
	if err != nil {
		return err
	}
	if r.matrix.known(set) != set {
		return noSuchRole(r.matrix.roles())
	}
	return nil
}
