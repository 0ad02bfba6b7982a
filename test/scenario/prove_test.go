package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/prove"
)

// Each proof ends with 0 when the property holds, and its control does not.
func TestProofs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		cycles string
		counts string // what must have been counted
	}{
		{"audit", "40", "receipts checked"},
		{"erasure", "1", "strings readable before"},
		{"durability", "50", "acknowledged: transaction"},
		{"isolation", "1", "canaries"},
		{"egress", "30", "forms"},
	} {
		for _, engine := range []string{"SQLite", "PostgreSQL"} {
			if c.name == "egress" && engine == "PostgreSQL" {
				continue // the database is one more host there; what speaks to others is the same
			}
			for _, control := range []bool{false, true} {
				name := c.name + "/" + engine
				if control {
					name += "/control"
				}
				t.Run(name, func(t *testing.T) {
					args := []string{"prove", c.name, "--json", "--cycles", c.cycles, "--scratch", t.TempDir(), "--signing-key", filepath.Join(t.TempDir(), "key")}
					if engine == "PostgreSQL" {
						urls := dbtest.Empty(t)
						args = append(args, "--database", urls.App, "--owner", urls.Owner)
					}
					if control {
						args = append(args, "--control")
					}
					s := yarrow(t, args...)
					r := decode[prove.Report](t, s)
					if r.Holds == control || (s.code == 0) == control || r.Engine == "embedded" != (engine == "SQLite") {
						t.Errorf("exit code %d\n%s%s", s.code, s.out, s.errs)
					}
					if !control && r.Counts[c.counts] == 0 {
						t.Errorf("%s: %v", c.counts, r.Counts)
					}
					if c.name == "egress" && r.Counts["network apart"] == 0 {
						t.Log("no network apart is to be had here: only the sockets were looked at")
					}
					if err := r.Check(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// A practice exports its audit, keeps its key and a checkpoint, and checks the log anywhere.
func TestAnExportedAuditIsCheckedElsewhere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *home) {
		h.filled()
		log, note := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "note")
		key := h.must("audit", "key", "--practice", "willow").out
		if err := os.WriteFile(note, []byte(h.must("audit", "checkpoint", "--practice", "willow").out), 0o600); err != nil {
			t.Fatal(err)
		}
		h.must("audit", "export", "--practice", "willow", "--out", log)
		h.run("audit", "export", "--practice", "willow", "--out", log).refused(t, 1, "there already")
		h.must("audit", "verify", "--practice", "willow", "--receipt", note)
		check := func(extra ...string) said {
			return yarrow(t, append([]string{"prove", "audit", "--log", log, "--key", key, "--receipt", note, "--signing-key", filepath.Join(t.TempDir(), "key")}, extra...)...)
		}
		if s := check(); s.code != 0 {
			t.Errorf("%d: %s%s", s.code, s.out, s.errs)
		}
		if s := check("--control"); s.code == 0 {
			t.Errorf("a log without its first entry passes: %s", s.out)
		}
		witness := t.TempDir()
		h.run("audit", "verify", "--practice", "willow", "--witness", witness).refused(t, 1, "holds no note")
		signed := mustRead(t, note)
		write(t, filepath.Join(witness, fmt.Sprintf("practice-1-%019s.note", strings.Split(signed, "\n")[1])), signed)
		h.must("audit", "verify", "--practice", "willow", "--witness", witness)
		if s := check("--witness", witness); s.code != 0 || !strings.Contains(s.out, "notes of the witness") {
			t.Errorf("%d: %s%s", s.code, s.out, s.errs)
		}
		if s := check("--witness", witness, "--control"); s.code == 0 {
			t.Errorf("a log without its first entry goes on from its witness: %s", s.out)
		}
		yarrow(t, "prove", "audit", "--witness", witness).refused(t, 1, "compared with a log")
		forged := write(t, filepath.Join(witness, "practice-1-0000000000000009999.note"), signed)
		h.run("audit", "verify", "--practice", "willow", "--witness", witness).refused(t, 1, "not as it was witnessed")
		if s := check("--witness", witness); s.code == 0 || !strings.Contains(s.out, filepath.Base(forged)) {
			t.Errorf("a note under another name passes: %s", s.out)
		}
		if s := check("--witness", t.TempDir()); s.code == 0 {
			t.Errorf("a witness that saw nothing passes: %s", s.out)
		}
		text := mustRead(t, log)
		if err := os.WriteFile(log, []byte(text[:len(text)/2]), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := check(); s.code == 0 {
			t.Errorf("half a log passes: %s", s.out)
		}
	})
}
