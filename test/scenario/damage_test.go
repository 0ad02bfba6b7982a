package scenario_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/keys"
)

// harm changes stored rows of practice 1 behind the store's back, as a fault of the disk or somebody with the keys could.
func (h *home) harm(fn func(ctx context.Context, tx *db.Tx) error) {
	h.t.Helper()
	o := keys.Options{}
	o.MasterFile, o.StoreDir = h.keyFiles()
	ring, _, err := keys.Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	d, err := db.Open(h.t.Context(), db.Options{DataDir: h.data, DatabaseURL: h.pg.App, Keys: ring, Clock: clock.System()})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx := h.t.Context()
	if err := d.Do(ctx, dbtest.ScopeOf(1), func(tx *db.Tx) error { return fn(ctx, tx) }); err != nil {
		h.t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// flip changes one bit of a body.
func (h *home) flip(table string, rid, version int64) {
	h.t.Helper()
	h.harm(func(ctx context.Context, tx *db.Tx) error {
		var body []byte
		if err := tx.QueryRow(ctx, db.SQL(`SELECT body FROM `+table+` WHERE practice_id = $1 AND rid = $2 AND version = $3`), 1, rid, version).Scan(&body); err != nil {
			return err
		}
		body = bytes.Clone(body)
		body[len(body)/2] ^= 1
		_, err := tx.Exec(ctx, db.SQL(`UPDATE `+table+` SET body = $4 WHERE practice_id = $1 AND rid = $2 AND version = $3`), 1, rid, version, body)
		return err
	})
}

func changing(text string) func(ctx context.Context, tx *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, db.SQL(text), 1)
		if err == nil && n == 0 {
			return db.ErrNoRows
		}
		return err
	}
}

// TestTheDoctorFindsDamage: each harm is found and named, and the exit code is 4; what can be repaired is.
func TestTheDoctorFindsDamage(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.filled()
		h.must("import", "fhir", "--practice", "willow", write(t, filepath.Join(t.TempDir(), "change.json"),
			`{"resourceType":"Patient","id":"town-l1","name":[{"family":"Testmoss"}],"birthDate":"1988-11-30"}`))
		h.sound()

		h.harm(changing(`DELETE FROM hkey WHERE practice_id = $1 AND rid = (SELECT min(rid) FROM hkey WHERE practice_id = $1)`))
		f, s := h.doctor()
		if s.code != 4 || f.Sound || len(f.WrongIndex) != 1 || f.Repaired != 0 {
			t.Errorf("a missing index row: %s", s.out)
		}
		h.run("doctor").refused(t, 4, "DAMAGED", "index was wrong for "+f.WrongIndex[0], "yarrow doctor --repair")
		if f, s := h.doctor("--repair"); s.code != 0 || f.Repaired != 1 || !f.Sound {
			t.Errorf("repaired: %s", s.out)
		}
		h.harm(changing(`UPDATE hkey SET h = h + 1 WHERE practice_id = $1 AND rid = (SELECT max(rid) FROM hkey WHERE practice_id = $1)`))
		if _, s := h.doctor(); s.code != 4 {
			t.Errorf("a wrong index row: %s", s.out)
		}
		h.must("doctor", "--repair")
		h.sound()

		var rid int64
		h.harm(func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, db.SQL(`SELECT rid FROM resource WHERE practice_id = $1 AND version = 2`), 1).Scan(&rid)
		})
		h.flip("history", rid, 1)
		f, s = h.doctor("--repair")
		if s.code != 4 || len(f.Damaged) != 1 || f.Damaged[0].Type != "Patient" || f.Damaged[0].Row != rid || f.Damaged[0].Version != 1 {
			t.Errorf("an older version: %s", s.out)
		}
		h.flip("resource", rid, 2)
		f, s = h.doctor()
		if s.code != 4 || len(f.Damaged) != 2 || !strings.Contains(f.Remedy, "restore") {
			t.Errorf("the current version: %s", s.out)
		}
		h.run("doctor").refused(t, 4, "DAMAGED", "is not shown to anybody", "restore the practice from the latest backup")
		// The resource may come again from where it came from. What was damaged stays named.
		h.must("import", "fhir", "--practice", "willow", write(t, filepath.Join(t.TempDir(), "again.json"),
			`{"resourceType":"Patient","id":"town-l1","birthDate":"1988-11-30"}`))
		if f, s := h.doctor(); s.code != 4 || len(f.Damaged) != 2 || f.OlderVersions != 2 {
			t.Errorf("after a new version: %s", s.out)
		}
	})
}

func TestTheDoctorReadsTheAudit(t *testing.T) {
	each(t, func(t *testing.T, h *home) {
		h.filled()
		h.harm(changing(`INSERT INTO audit_find (practice_id, key, high) VALUES ($1, 1, 2)`))
		f, s := h.doctor()
		if s.code != 4 || f.Sound || len(f.Problems) != 1 || !strings.Contains(f.Problems[0], "audit log") {
			t.Errorf("%s", s.out)
		}
	})
}

// TestAFlippedByteOfTheSystemFile: whatever byte of the file with the sign-ins changes, the doctor ends in order.
func TestAFlippedByteOfTheSystemFile(t *testing.T) {
	h := onSQLite(t).filled()
	path := filepath.Join(h.data, "system.db")
	whole := []byte(mustRead(t, path))
	found := 0
	const places = 24
	for i := range places {
		bad := bytes.Clone(whole)
		bad[4096+(2*i+1)*(len(bad)-4096)/(2*places)] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s := h.run("doctor")
		if s.code == 4 {
			found++
		}
		if s.code != 0 && s.code != 4 && s.code != 1 || strings.Contains(s.errs, "goroutine ") {
			t.Errorf("byte %d: exit code %d\n%s%s", i, s.code, s.out, s.errs)
		}
	}
	t.Logf("%d of %d flips of the system file hit something", found, places)
}

// TestAFlippedByteOfTheFile flips a byte at many places of the database file. The doctor finds it, unless nothing was
// stored there: then everything is as it was. No other answer is possible, and nothing crashes.
func TestAFlippedByteOfTheFile(t *testing.T) {
	h := onSQLite(t)
	h.must("practice", "add", "crowd", "Crowd")
	h.must("import", "fhir", "--practice", "crowd", crowd(t, 2, 300))
	want := h.sound()
	path := filepath.Join(h.data, "practices", "1", "practice.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	const places = 24
	for i := range places {
		bad := bytes.Clone(whole)
		bad[(2*i+1)*len(bad)/(2*places)] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, left := range []string{"-wal", "-shm"} {
			if err := os.RemoveAll(path + left); err != nil {
				t.Fatal(err)
			}
		}
		s := h.run("doctor", "--json")
		switch s.code {
		case 4:
			found++
		case 0:
			if got := decode[[]health](t, s)[0]; got.Resources != want.Resources || got.OlderVersions != want.OlderVersions {
				t.Errorf("byte %d: %s", i, s.out)
			}
		default:
			t.Errorf("byte %d: exit code %d\n%s%s", i, s.code, s.out, s.errs)
		}
		if strings.Contains(s.errs, "goroutine ") {
			t.Error(s.errs)
		}
	}
	t.Logf("%d of %d flips hit something", found, places)
	if found < places/4 {
		t.Error("too few flips hit anything")
	}
}
