package auth

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; if the change is meant, run go test -update and review it.\n%s", path, got)
	}
}

func TestPermissionMatrix(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s", "")
	for _, r := range Roles() {
		fmt.Fprintf(&b, " %-13s", r)
	}
	for _, p := range Permissions() {
		fmt.Fprintf(&b, "\n%-20s", p)
		for _, r := range Roles() {
			mark := "-"
			if AsStaff(1, 1, "x", "", r).Can(p) {
				mark = "yes"
			}
			fmt.Fprintf(&b, " %-13s", mark)
		}
	}
	golden(t, "matrix.golden", trimLines(b.String()))
}

func TestAccessMatrix(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s", "")
	for _, r := range Roles() {
		fmt.Fprintf(&b, " %-13s", r)
	}
	types := fhir.ResourceTypes()
	for _, typ := range types {
		fmt.Fprintf(&b, "\n%-34s", typ)
		for _, r := range Roles() {
			bits := AccessOf(AsStaff(1, 1, "x", "", r)).Types[typ].String()
			if bits == "" {
				bits = "-"
			}
			fmt.Fprintf(&b, " %-13s", bits)
		}
	}
	golden(t, "access.golden", trimLines(b.String()))

	rows := map[string]int{}
	for _, row := range typeTable {
		for _, typ := range strings.Fields(row.types) {
			rows[typ]++
		}
	}
	for _, typ := range types {
		if rows[typ] != 1 {
			t.Errorf("%s stands in %d rows of the table; every resource type stands in one", typ, rows[typ])
		}
		delete(rows, typ)
	}
	for typ := range rows {
		t.Errorf("%s is no R4 resource type", typ)
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// Nobody deletes clinical records, and no role reaches what no row gives it.
func TestAccessRules(t *testing.T) {
	everyone := AccessOf(AsStaff(1, 1, "x", "", Roles()...))
	for _, typ := range []string{"Patient", "Observation", "Encounter", "MedicationRequest", "Claim", "Consent", "Composition"} {
		if everyone.Allows(typ, CanDelete) {
			t.Errorf("%s can be deleted", typ)
		}
	}
	for _, typ := range []string{"Provenance", "AuditEvent"} {
		if everyone.Types[typ]&(CanCreate|CanUpdate|CanDelete) != 0 {
			t.Errorf("%s can be written", typ)
		}
	}
	if everyone.Allows("Bundle", CanRead) || everyone.Allows("Nothing", CanRead) || everyone.Allows("Patient", 0) {
		t.Error("too much is allowed")
	}
	if everyone.Forbidden != notesApart {
		t.Error("notes kept apart are open")
	}
	desk := AccessOf(AsStaff(1, 1, "x", "", FrontDesk))
	if desk.Forbidden&LabelSubstanceUse == 0 || desk.Allows("Observation", CanRead) || !desk.Allows("Appointment", CanUpdate) {
		t.Errorf("front desk: %+v", desk)
	}
	both := AccessOf(AsStaff(1, 1, "x", "", FrontDesk, Biller))
	if !both.Allows("Claim", CanUpdate) || !both.Allows("Appointment", CanUpdate) || both.Allows("Observation", CanRead) {
		t.Error("two roles are not the sum of both")
	}
}

func TestAccessOfScopes(t *testing.T) {
	compartment := &Access{Types: map[string]Bits{"Observation": CanRead}, Compartment: "Patient/x"}
	seal := db.NewSeal(1, db.Actor{Kind: "x"})
	for _, c := range []struct {
		name  string
		scope db.Scope
		want  bool // reaches Observation
	}{
		{"nil", nil, false},
		{"zero staff", Staff{}, false},
		{"zero patient", Patient{}, false},
		{"zero app", App{}, false},
		{"zero system", System{}, false},
		{"zero operator", Operator{}, false},
		{"staff without roles", AsStaff(1, 1, "x", ""), false},
		{"unknown role", AsStaff(1, 1, "x", "", "owner"), false},
		{"clinician", AsStaff(1, 1, "x", "", Clinician), true},
		{"biller", AsStaff(1, 1, "x", "", Biller), false},
		{"system", SystemScope(1, "test"), true},
		{"operator without a grant", Operator{Seal: seal}, false},
		{"app without scopes", App{Seal: seal}, false},
		{"patient", Patient{Seal: seal, access: compartment}, true},
		{"patient without a compartment", Patient{Seal: seal, access: &Access{All: true}}, false},
		{"patient with everything", Patient{Seal: seal, access: &Access{All: true, Compartment: "Patient/x"}}, false},
		{"somebody else's scope type", struct{ db.Seal }{seal}, false},
	} {
		if got := AccessOf(c.scope).Allows("Observation", CanRead); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestReadOnlyKeepsLabels(t *testing.T) {
	full := rolesOf([]Role{FrontDesk}).access()
	r := AccessState{Contract: ContractReadOnly}.apply(full)
	if r.Allows("Appointment", CanCreate) || !r.Allows("Appointment", CanSearch) || r.Forbidden != full.Forbidden {
		t.Errorf("%+v", r)
	}
	if c := (AccessState{Contract: ContractClosed}).apply(full); c.Allows("Appointment", CanRead) {
		t.Error("a closed practice can be read")
	}
	if c := (AccessState{}).apply(full); c.Allows("Appointment", CanRead) {
		t.Error("an unknown contract state opens everything")
	}
}

func TestLabels(t *testing.T) {
	seen := map[int64]bool{}
	for _, l := range sensitivity {
		if l == 0 || l&(l-1) != 0 {
			t.Errorf("label %b is not one bit", l)
		}
		seen[l] = true
	}
	if LabelOf(systemConfidentiality, "R") != LabelRestricted || LabelOf(systemConfidentiality, "N") != 0 ||
		LabelOf(systemActCode, "PSYTHPN") != LabelPsychotherapy || LabelOf("urn:x", "R") != 0 {
		t.Error("labels of codings are wrong")
	}
}

func TestRoleSets(t *testing.T) {
	for s := roleSet(0); s <= everybody; s++ {
		if got := rolesOf(s.list()); got != s {
			t.Errorf("%b becomes %b", s, got)
		}
	}
	for n := range OwnRoles {
		r := ownRole(n + 1)
		if s := rolesOf([]Role{r, Nurse}); !slices.Equal(s.list(), []Role{Nurse, r}) || !r.Own() {
			t.Errorf("%s becomes %v", r, s.list())
		}
	}
	for _, r := range []Role{"own-0", "own-41", "own-01", "own-+1", "own-", "own", "own-1 ", "OWN-1", "operator", ""} {
		if rolesOf([]Role{r}) != 0 || r.Own() {
			t.Errorf("%q is a role", r)
		}
	}
	if !slices.Equal(Roles(), []Role{Clinician, Nurse, FrontDesk, Biller, Administrator}) {
		t.Error("the order of roles is stored and must not change")
	}
}
