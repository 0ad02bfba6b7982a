package prove

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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

func TestErasureHolds(t *testing.T) {
	report := carry(t, Erasure(), Options{Seed: 9})
	if report.Counts["strings readable before"] != planted || report.Counts["restores tried"] != 1 || report.Counts["bytes searched"] < 1<<17 {
		t.Errorf("%v", report.Counts)
	}
	carry(t, Erasure(), Options{Seed: 9, Control: true})
}

func TestErasureHoldsOnPostgreSQL(t *testing.T) {
	for _, control := range []bool{false, true} {
		urls := dbtest.Empty(t)
		carry(t, Erasure(), Options{Seed: 10, Control: control, Engine: Engine{App: urls.App, Owner: urls.Owner, Files: serverFiles(t, urls)}})
	}
}

// serverFiles is the folder of a database's own files; the write-ahead log lies in the same tree.
func serverFiles(t *testing.T, urls dbtest.URLs) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), urls.Super)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var data, oid string
	if err := conn.QueryRow(t.Context(), `SELECT current_setting('data_directory'), (SELECT oid::text FROM pg_database WHERE datname = current_database())`).Scan(&data, &oid); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(data, "base", oid)
}

// The search itself finds what lies in the open, in any of its forms, also across the seams of its pieces.
func TestTheSearchFinds(t *testing.T) {
	const mark = "zq1234canary"
	for _, form := range []string{mark, "ZQ1234CANARY", base64.StdEncoding.EncodeToString([]byte("a " + mark + "07 b")), base64.StdEncoding.EncodeToString([]byte("ab " + mark + "07 b")),
		base64.StdEncoding.EncodeToString([]byte("abc " + mark + "07 b")), hex.EncodeToString([]byte(mark)), strings.Join(strings.Split(mark, ""), "\x00") + "\x00"} {
		for _, at := range []int{0, 1<<20 - 5, 3<<20 + 7} {
			r := &Run{report: &Report{Counts: map[string]int64{}}}
			s := search{r: r, needles: needlesOf(mark)}
			body := strings.Repeat(".", at) + form + strings.Repeat(".", 300)
			if err := s.stream("here", strings.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			if !r.Failed() {
				t.Errorf("%q at %d: found %v", form, at, r.Failed())
			}
		}
	}
}
