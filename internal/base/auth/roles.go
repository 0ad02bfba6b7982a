package auth

import (
	"context"
	"slices"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// RoleTable is the matrix of roles of a practice as a screen shows it.
type RoleTable struct{ m *matrix }

// Matrix reads the matrix of roles of the caller's practice. Whoever works there may know it.
func (a *Auth) Matrix(ctx context.Context, by db.Scope) (RoleTable, error) {
	if by == nil || !by.Valid() {
		return RoleTable{}, db.ErrNoScope
	}
	r, err := a.rulesOf(ctx, by.Practice())
	if err != nil {
		return RoleTable{}, err
	}
	return RoleTable{r.matrix}, nil
}

// Roles lists the roles of the practice: those every practice has, then its own in the order they were made.
func (t RoleTable) Roles() []Role { return t.m.roles() }

// Own lists the practice's own roles that are in use.
func (t RoleTable) Own() []OwnRole { return slices.Clone(t.m.own) }

// Value reads a cell: 1 or 0, or the Bits of a resource type.
func (t RoleTable) Value(role Role, kind RuleKind, name string) int64 {
	return t.m.value(role, kind, name)
}

// Changed says whether the practice decided a cell otherwise than the default.
func (t RoleTable) Changed(role Role, kind RuleKind, name string) bool {
	return t.m.value(role, kind, name) != t.m.original(role, kind, name)
}

// Most is the widest a resource type can be opened for any role.
func (t RoleTable) Most(resourceType string) Bits { return most(resourceType) }

// Refusal says why a cell cannot have a value; nil when it can.
func (t RoleTable) Refusal(c RoleRule) *fhir.Issue { return t.m.refusal(c) }

// TypeGroups are the resource types in the groups of the default matrix: types of a group belong together.
func TypeGroups() (out [][]string) {
	for _, row := range typeTable {
		out = append(out, strings.Fields(row.types))
	}
	return out
}

// Outlook is what somebody with certain roles may do and see.
type Outlook struct {
	Permissions []Permission
	Types       map[string]Bits
	Hidden      []string // names of labels whose records do not exist for them
}

func (m *matrix) outlook(s roleSet) Outlook {
	a, may := m.access(s), m.may(s)
	o := Outlook{Types: a.Types, Hidden: LabelNames(a.Forbidden)}
	for _, p := range Permissions() {
		if may.has(p) {
			o.Permissions = append(o.Permissions, p)
		}
	}
	return o
}

// ViewAs says what somebody with these roles would see in the caller's practice if the cells in with were saved.
func (a *Auth) ViewAs(ctx context.Context, by db.Scope, with []RoleRule, roles ...Role) (Outlook, error) {
	if err := may(by, UserAdmin); err != nil {
		return Outlook{}, err
	}
	r, err := a.rulesOf(ctx, by.Practice())
	if err != nil {
		return Outlook{}, err
	}
	return r.with(with).outlook(rolesOf(roles)), nil
}

// with is the matrix after further cells.
func (r *rules) with(cells []RoleRule) *matrix {
	return newMatrix(append(slices.Clone(r.cells), cells...), r.own)
}

// Effect is what a change of the matrix means for one person.
type Effect struct {
	User         User
	Gains, Loses []string // permissions, "Type letters" and "label name"
}

// PreviewMatrix says who would gain and who would lose what if cells were saved, by name. Nothing is changed.
func (a *Auth) PreviewMatrix(ctx context.Context, by db.Scope, cells []RoleRule) ([]Effect, error) {
	if err := may(by, UserAdmin); err != nil {
		return nil, err
	}
	r, err := a.rulesOf(ctx, by.Practice())
	if err != nil {
		return nil, err
	}
	if err := r.matrix.check(cells); err != nil {
		return nil, err
	}
	people, err := a.users(ctx, by.Practice())
	if err != nil {
		return nil, err
	}
	after := r.with(cells)
	var out []Effect
	for _, u := range people {
		if !u.Active {
			continue
		}
		e := Effect{User: u}
		was, is := r.matrix.outlook(rolesOf(u.Roles)), after.outlook(rolesOf(u.Roles))
		for _, p := range Permissions() {
			e.note(slices.Contains(was.Permissions, p), slices.Contains(is.Permissions, p), string(p))
		}
		for _, t := range fhir.ResourceTypes() {
			if more := is.Types[t] &^ was.Types[t]; more != 0 {
				e.Gains = append(e.Gains, t+" "+more.String())
			}
			if less := was.Types[t] &^ is.Types[t]; less != 0 {
				e.Loses = append(e.Loses, t+" "+less.String())
			}
		}
		for _, l := range LabelNames(-1) {
			e.note(!slices.Contains(was.Hidden, l), !slices.Contains(is.Hidden, l), "label "+l)
		}
		if len(e.Gains)+len(e.Loses) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

func (e *Effect) note(had, has bool, what string) {
	if has && !had {
		e.Gains = append(e.Gains, what)
	}
	if had && !has {
		e.Loses = append(e.Loses, what)
	}
}

func (m *matrix) check(cells []RoleRule) error {
	for _, c := range cells {
		if i := m.refusal(c); i != nil {
			return i.At(string(c.Role) + " " + c.Name)
		}
	}
	return nil
}

// ChangeMatrix saves cells of the matrix of roles of the caller's practice. It needs a recent proof, is on record
// cell by cell, and holds on every node within a second, for sessions and tokens that are in use too.
func (a *Auth) ChangeMatrix(ctx context.Context, by db.Scope, cells []RoleRule) error {
	return a.changeRules(ctx, by, func(tx *db.Tx, now *rules) (changed bool, err error) {
		if err := now.matrix.check(cells); err != nil {
			return false, err
		}
		for _, c := range cells {
			was := now.matrix.value(c.Role, c.Kind, c.Name)
			if was == c.Value {
				continue
			}
			changed = true
			writeCell(tx, now.matrix, c, by.Actor().UserID)
			a.log.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Role", ID: string(c.Role),
				Detail: string(c.Kind) + " " + c.Name + " from " + c.words(was) + " to " + c.words(c.Value)})
		}
		return changed, nil
	})
}

// changeRules changes what roles may do, or the roles of the practice's own, with its rules as they are in the same transaction.
func (a *Auth) changeRules(ctx context.Context, by db.Scope, change func(tx *db.Tx, now *rules) (changed bool, err error)) error {
	if err := may(by, UserAdmin); err != nil {
		return err
	}
	if err := a.RecentIfStaff(by); err != nil {
		return err
	}
	err := a.db.Do(ctx, by, func(tx *db.Tx) error {
		epoch, err := kernelEpoch(ctx, tx)
		if err != nil {
			return err
		}
		now, err := loadRules(ctx, tx, epoch)
		if err != nil {
			return err
		}
		if changed, err := change(tx, now); err != nil || !changed {
			return err
		}
		return a.changed(ctx, tx)
	})
	return onlyIssue(err)
}

// words is how the audit writes a value of the cell.
func (c RoleRule) words(v int64) string {
	switch {
	case c.Kind == RuleType && v == 0:
		return "nothing"
	case c.Kind == RuleType:
		return Bits(v).String()
	case v == 1:
		return "yes"
	}
	return "no"
}
