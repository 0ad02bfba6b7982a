package auth

import (
	"fmt"
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
	permissions [len(roleOrder)]permissionSet
	types       [len(roleOrder)]map[string]Bits
	forbidden   [len(roleOrder)]int64

	bySet [everybody + 1]struct {
		once   sync.Once
		access Access
	}
}

// standard is the matrix of a practice that changed nothing.
var standard = sync.OnceValue(defaults)

// newMatrix is the default with a practice's rules applied. Rules that are not allowed change nothing.
func newMatrix(rules []RoleRule) *matrix {
	m := defaults()
	for _, r := range rules {
		if checkRule(r) == nil {
			m.set(r)
		}
	}
	return m
}

func defaults() *matrix {
	m := &matrix{}
	for i := range roleOrder {
		m.types[i] = map[string]Bits{}
		m.forbidden[i] = beyondCare
		if 1<<i&caring != 0 {
			m.forbidden[i] = notesApart
		}
		for p, row := range permissionTable {
			if row.roles&(1<<i) != 0 {
				m.permissions[i] |= 1 << p
			}
		}
	}
	for _, row := range typeTable {
		for i, bits := range []Bits{row.clinician, row.nurse, row.frontDesk, row.biller, row.administrator} {
			if bits == 0 {
				continue
			}
			for _, t := range strings.Fields(row.types) {
				m.types[i][t] = bits
			}
		}
	}
	return m
}

// set writes one cell.
func (m *matrix) set(r RoleRule) {
	i := slices.Index(roleOrder[:], r.Role)
	switch r.Kind {
	case RulePermission:
		for p := range permissionTable {
			if permissionTable[p].permission == Permission(r.Name) {
				m.permissions[i] &^= 1 << p
				m.permissions[i] |= permissionSet(r.Value) << p
			}
		}
	case RuleType:
		m.types[i][r.Name] = Bits(r.Value)
	case RuleLabel:
		l := labelNamed(r.Name)
		m.forbidden[i] |= l
		if r.Value == 1 {
			m.forbidden[i] &^= l
		}
	}
}

// value reads one cell.
func (m *matrix) value(role Role, kind RuleKind, name string) int64 {
	i := slices.Index(roleOrder[:], role)
	switch kind {
	case RulePermission:
		return oneIf(m.permissions[i].has(Permission(name)))
	case RuleType:
		return int64(m.types[i][name])
	}
	return oneIf(m.forbidden[i]&labelNamed(name) == 0)
}

// access is what any role of a set may reach.
func (m *matrix) access(s roleSet) *Access {
	s &= everybody
	c := &m.bySet[s]
	c.once.Do(func() {
		c.access = Access{Types: map[string]Bits{}, Forbidden: beyondCare | ruledLabels}
		for i := range roleOrder {
			if s&(1<<i) == 0 {
				continue
			}
			c.access.Forbidden &= m.forbidden[i]
			for t, b := range m.types[i] {
				if b != 0 {
					c.access.Types[t] |= b
				}
			}
		}
		if s == 0 {
			c.access = Access{}
		}
	})
	return &c.access
}

// may is what any role of a set may do.
func (m *matrix) may(s roleSet) (out permissionSet) {
	for i := range roleOrder {
		if s&(1<<i) != 0 {
			out |= m.permissions[i]
		}
	}
	return out
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
		b |= standard().types[i][resourceType]
	}
	return b
}

// checkRule says why a cell cannot have a value.
func checkRule(r RoleRule) *fhir.Issue {
	i := slices.Index(roleOrder[:], r.Role)
	if i < 0 {
		return fhir.Problem("value", "There is no such role.", fmt.Sprintf("Choose from %v.", Roles()))
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
		case r.Value == 1 && 1<<i&caring == 0 && slices.Contains(licensed, p):
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
