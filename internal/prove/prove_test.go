package prove

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"path/filepath"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
)

var testKey = ed25519.NewKeyFromSeed(make([]byte, 32))

// carry runs a proof, which must hold, and its control, which must not.
func carry(t *testing.T, p Proof, o Options) *Report {
	t.Helper()
	o.Dir, o.Version = t.TempDir(), "test"
	report, err := Carry(t.Context(), p, o, testKey)
	if err != nil {
		t.Fatal(err)
	}
	if report.Holds == o.Control {
		t.Errorf("control %v, holds %v: %v", o.Control, report.Holds, report.Failures)
	}
	if err := report.Check(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(o.Dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	return report
}

func TestAuditHolds(t *testing.T) {
	report := carry(t, Audit(true), Options{Seed: 7, Cycles: 150})
	if report.Counts["found"] != report.Counts["alterations of an exported log"]+report.Counts["alterations of the tables"] || report.Counts["alterations of the tables"] != int64(len(tableHarms)) {
		t.Errorf("%v", report.Counts)
	}
	carry(t, Audit(false), Options{Seed: 7, Control: true})
}

func TestAuditHoldsOnPostgreSQL(t *testing.T) {
	for _, control := range []bool{false, true} {
		urls := dbtest.Empty(t)
		carry(t, Audit(true), Options{Seed: 8, Cycles: 20, Control: control, Engine: Engine{App: urls.App, Owner: urls.Owner}})
	}
}

func TestReportsAreSigned(t *testing.T) {
	p := Proof{Name: "x", Try: func(_ context.Context, r *Run) error { r.Count("n", 3); r.Fail("because"); return nil }}
	report, err := Carry(t.Context(), p, Options{}, testKey)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if err := again.Check(); err != nil || again.Holds || again.Counts["n"] != 3 {
		t.Errorf("%v %+v", err, again)
	}
	again.Holds = true
	if again.Check() == nil {
		t.Error("a changed report passes")
	}
}

func TestSigningKeyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "key")
	one, err := SigningKey(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := SigningKey(path)
	if err != nil || !one.Equal(two) {
		t.Errorf("%v", err)
	}
}
