package auth

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"yarrow.health/internal/standards/fhir"
)

// RuleKind says what a cell of the matrix of roles is about.
type RuleKind string

// The kinds of cells.
const (
	RulePermission RuleKind = "permission" // Name is a Permission, Value 1 or 0
	RuleType       RuleKind = "type"       // Name is a resource type, Value its Bits
	RuleLabel      RuleKind = "label"      // Name is a name of [LabelNames], Value 1 when the role sees what bears the label
)

// RoleRule is one cell of the matrix of roles: what a practice decided otherwise than the default.
type RoleRule struct {
	Role  Role
	Kind  RuleKind
	Name  string
	Value int64
}

// matrix is what the roles of a practice may do. It is not changed once it is in use.
type matrix struct {
	columns [firstOwn + OwnRoles]*column // by the role's bit; nil: there is no such role, or it was retired
	own     []OwnRole                    // those in use, by number
	bySet   sync.Map                     // roleSet → *Access: as many as people have combinations
}

// column is what one role may do.
type column struct {
	like        int // the built-in role it is like, by its bit: itself, or what an own role was made from
	permissions permissionSet
	types       map[string]Bits
	forbidden   int64
}

func (c *column) caring() bool { return 1<<c.like&caring != 0 }

// standard is the matrix of a practice that changed nothing.
var standard = sync.OnceValue(defaults)

// newMatrix is the default with a practice's own roles and rules applied. Rules that are not allowed change nothing.
func newMatrix(rules []RoleRule, own []OwnRole) *matrix {
	m := defaults()
	for _, o := range own {
		like, known := o.Like.bit()
		if i, ok := o.Role.bit(); ok && known && o.Retired.IsZero() && i >= firstOwn && like < len(roleOrder) {
			c := *m.columns[like]
			c.types = maps.Clone(c.types)
			m.columns[i], m.own = &c, append(m.own, o)
		}
	}
	for _, r := range rules {
		if m.refusal(r) == nil {
			m.set(r)
		}
	}
	return m
}

func defaults() *matrix {
	m := &matrix{}
	for i := range roleOrder {
		c := &column{like: i, types: map[string]Bits{}, forbidden: beyondCare}
		if c.caring() {
			c.forbidden = notesApart
		}
		for p, row := range permissionTable {
			if row.roles&(1<<i) != 0 {
				c.permissions |= 1 << p
			}
		}
		m.columns[i] = c
	}
	for _, row := range typeTable {
		for i, bits := range []Bits{row.clinician, row.nurse, row.frontDesk, row.biller, row.administrator} {
			if bits == 0 {
				continue
			}
			for _, t := range strings.Fields(row.types) {
				m.columns[i].types[t] = bits
			}
		}
	}
	return m
}

// column finds a role; nil when the practice does not have it.
func (m *matrix) column(r Role) *column {
	i, ok := r.bit()
	if !ok {
		return nil
	}
	return m.columns[i]
}

// roles lists the roles of the practice: those every practice has, then its own.
func (m *matrix) roles() []Role {
	out := Roles()
	for _, o := range m.own {
		out = append(out, o.Role)
	}
	return out
}

// set writes one cell.
func (m *matrix) set(r RoleRule) {
	c := m.column(r.Role)
	switch r.Kind {
	case RulePermission:
		for p := range permissionTable {
			if permissionTable[p].permission == Permission(r.Name) {
				c.permissions &^= 1 << p
				c.permissions |= permissionSet(r.Value) << p
			}
		}
	case RuleType:
		c.types[r.Name] = Bits(r.Value)
	case RuleLabel:
		l := labelNamed(r.Name)
		c.forbidden |= l
		if r.Value == 1 {
			c.forbidden &^= l
		}
	}
}

// value reads one cell; of a role that the practice does not have it is 0.
func (m *matrix) value(role Role, kind RuleKind, name string) int64 {
	c := m.column(role)
	if c == nil {
		return 0
	}
	switch kind {
	case RulePermission:
		return oneIf(c.permissions.has(Permission(name)))
	case RuleType:
		return int64(c.types[name])
	}
	return oneIf(c.forbidden&labelNamed(name) == 0)
}

// original is what a cell is when the practice decides nothing: of a role of its own, what the role it was made from has by default.
func (m *matrix) original(role Role, kind RuleKind, name string) int64 {
	c := m.column(role)
	if c == nil {
		return 0
	}
	return standard().value(roleOrder[c.like], kind, name)
}

// access is what any role of a set may reach.
func (m *matrix) access(s roleSet) *Access {
	if a, ok := m.bySet.Load(s); ok {
		return a.(*Access)
	}
	a := &Access{}
	for i, c := range m.columns {
		if c == nil || s&(1<<i) == 0 {
			continue
		}
		if a.Types == nil {
			a.Types, a.Forbidden = map[string]Bits{}, beyondCare|ruledLabels
		}
		a.Forbidden &= c.forbidden
		for t, b := range c.types {
			if b != 0 {
				a.Types[t] |= b
			}
		}
	}
	held, _ := m.bySet.LoadOrStore(s, a)
	return held.(*Access)
}

// may is what any role of a set may do.
func (m *matrix) may(s roleSet) (out permissionSet) {
	for i, c := range m.columns {
		if c != nil && s&(1<<i) != 0 {
			out |= c.permissions
		}
	}
	return out
}

// known is the part of a set that the practice has.
func (m *matrix) known(s roleSet) (out roleSet) {
	for i, c := range m.columns {
		if c != nil {
			out |= s & (1 << i)
		}
	}
	return out
}

// governing are the roles whose people decide about rights: administrators, and whoever the practice lets do the same.
func (m *matrix) governing() (out roleSet) {
	for i, c := range m.columns {
		if c != nil && (c.permissions.has(UserAdmin) || c.permissions.has(PracticeAdmin)) {
			out |= 1 << i
		}
	}
	return out | isAdministrator
}

// access and permissions of a set of roles where a practice changed nothing.
func (s roleSet) access() *Access            { return standard().access(s) }
func (s roleSet) permissions() permissionSet { return standard().may(s) }

// fixed are the cells nobody can change: everybody looks after their own credentials, and an administrator can
// always give rights back and look into the audit, so that no practice locks itself out.
func fixed(role Role, p Permission) bool {
	return p == AccountSecurity || role == Administrator && (p == UserAdmin || p == PracticeAdmin || p == AuditRead)
}

// licensed are the permissions that need a licence to practise; no role without care for patients gets them.
var licensed = []Permission{NoteSign, MedicationSign, OrderSign, ResultSign, BreakGlass}

// most is the widest a type can be opened: what some role has by default. Nobody deletes what no role may delete,
// and nobody writes the audit or Provenance.
func most(resourceType string) (b Bits) {
	for i := range roleOrder {
		b |= standard().columns[i].types[resourceType]
	}
	return b
}

func noSuchRole(roles []Role) *fhir.Issue {
	return fhir.Problem("value", "There is no such role.", fmt.Sprintf("Choose from %v.", roles))
}

// refusal says why a cell cannot have a value.
func (m *matrix) refusal(r RoleRule) *fhir.Issue {
	c := m.column(r.Role)
	if c == nil {
		return noSuchRole(m.roles())
	}
	no := func(text, fix string) *fhir.Issue { return fhir.Problem("business-rule", text, fix) }
	switch r.Kind {
	case RulePermission:
		p := Permission(r.Name)
		switch {
		case !slices.Contains(Permissions(), p) || r.Value != 0 && r.Value != 1:
			return fhir.Problem("value", "There is no such permission.", "Choose a permission of the table.")
		case fixed(r.Role, p) && r.Value == 0:
			return no("This right cannot be taken away.", "A practice always keeps an administrator who can change rights, and everybody their own credentials.")
		case r.Value == 1 && !c.caring() && slices.Contains(licensed, p):
			return no("This needs a licence to practise.", "Give it to clinicians or nurses only.")
		}
	case RuleType:
		switch {
		case !fhir.IsResourceType(r.Name) || r.Value < 0 || r.Value > int64(canAll):
			return fhir.Problem("value", "There is no such resource type or interaction.", "Choose a type of FHIR R4.")
		case Bits(r.Value)&^most(r.Name) != 0:
			return no("No role may do this with "+r.Name+".", "Clinical records are not deleted but marked as entered in error; the audit and Provenance are written by Yarrow alone.")
		case Bits(r.Value)&canWrite != 0 && Bits(r.Value)&CanRead == 0:
			return no("Who writes a record must be able to read it.", "Give reading too.")
		}
	case RuleLabel:
		switch l := labelNamed(r.Name); {
		case l == 0 || r.Value != 0 && r.Value != 1:
			return fhir.Problem("value", "There is no such label.", "Choose a label of the table.")
		case l&notesApart != 0 && r.Value == 1:
			return no("Notes kept apart are opened by no role.", "The patient's own authorization opens them for one person (45 CFR 164.508(a)(2), 42 CFR 2.31(b)).")
		}
	default:
		return fhir.Problem("value", "This is no cell of the matrix.", "Choose permission, type or label.")
	}
	return nil
}
