package fhirstore

import (
	"bytes"
	"context"
	"testing"

	"yarrow.health/internal/base/db"
)

// change runs raw statements as the test of a broken disk or a hostile hand would.
func (b *bench) tamper(sql string, args ...any) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, tx.Compile(sql), append([]any{int64(1)}, args...)...)
		if err == nil && n == 0 {
			b.t.Errorf("nothing to tamper with: %s", sql)
		}
		return err
	})
}

func (b *bench) check(repair bool) *CheckReport {
	b.t.Helper()
	r, err := b.Check(b.t.Context(), system(1), repair)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestDoctorRepairsTheIndex(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		// The first write reserves row numbers, from which the others get 2, 3 …
		b.put(fixtures()[0])
		b.put(fixtures()[1:]...)
		b.put(fixtures()[4]) // a second version
		b.do(func(ctx context.Context, tx *db.Tx) error { return b.Delete(ctx, tx, "Observation", "a5", 0) })
		if r := b.check(false); !r.Sound() || r.Resources != len(fixtures()) || r.Versions != 2 {
			t.Fatalf("a sound practice: %+v", r)
		}
		for name, harm := range map[string]string{
			"a key is lost":     `DELETE FROM hkey WHERE practice_id = $1 AND rid = 9`,
			"a key points away": `UPDATE hkey SET rid = 10 WHERE practice_id = $1 AND rid = 11`,
			"a range is lost":   `DELETE FROM rkey WHERE practice_id = $1 AND rid = 10`,
			"a date is wrong":   `UPDATE resource SET date = 5 WHERE practice_id = $1 AND rid = 9`,
			"a patient is lost": `UPDATE resource SET patient = 0 WHERE practice_id = $1 AND rid = 10`,
			"a facet is lost":   `UPDATE resource SET facet = 0 WHERE practice_id = $1 AND rid = 10`,
			"the list is cut":   `UPDATE resource SET idx_keys = idx_keys || idx_keys WHERE practice_id = $1 AND rid = 9`,
		} {
			if name == "the list is cut" && b.d.Engine() == db.SQLite {
				harm = `UPDATE resource SET idx_keys = zeroblob(3) WHERE practice_id = $1 AND rid = 9`
			}
			b.tamper(harm)
			if r := b.check(false); r.Sound() || r.WrongCount == 0 || len(r.WrongIndex) == 0 {
				t.Errorf("%s: not found: %+v", name, r)
			}
			if r := b.check(true); !r.Sound() {
				t.Errorf("%s: not repaired: %+v", name, r)
			}
			if r := b.check(false); !r.Sound() || r.WrongCount != 0 {
				t.Errorf("%s: still there: %+v", name, r)
			}
		}
		b.tamper(`INSERT INTO hkey (practice_id, h, d, rid) VALUES ($1, 1, 2, 999)`)
		if r := b.check(false); r.Sound() || r.StrayRows != 1 {
			t.Errorf("a stray row: %+v", r)
		}
		b.check(true)
		if r := b.check(false); !r.Sound() {
			t.Errorf("a stray row stays: %+v", r)
		}
		all := b.everything(1)
		for _, r := range requests {
			b.agree(system(1), all, r.request)
		}
	})
}

// TestChangedByteIsNeverServed flips a bit at every place of a stored body, and changes each column that
// the body is bound to.
func TestChangedByteIsNeverServed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.put(`{"resourceType":"Patient","id":"ann","name":[{"family":"Ash"}]}`)
		b.put(`{"resourceType":"Patient","id":"bob","name":[{"family":"Birch"}]}`)
		b.put(`{"resourceType":"Patient","id":"ann","name":[{"family":"Asher"}]}`)
		body := func(rid int64) (sealed []byte) {
			b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
				var got []byte
				err := tx.QueryRow(ctx, tx.Compile(`SELECT body FROM resource WHERE practice_id = $1 AND rid = $2`), int64(1), rid).Scan(&got)
				sealed = bytes.Clone(got)
				return err
			})
			return sealed
		}
		whole := body(1)
		refused := func(what string) {
			t.Helper()
			b.cache.forget(1)
			err := b.d.View(t.Context(), system(1), func(tx *db.Tx) error {
				if _, err := b.Read(t.Context(), tx, "Patient", "ann"); code(err) != "exception" {
					t.Errorf("%s: read gives %v", what, err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		for i := 0; i < len(whole); i += 7 {
			bad := bytes.Clone(whole)
			bad[i] ^= 1 << (i % 8)
			b.tamper(`UPDATE resource SET body = $2 WHERE practice_id = $1 AND rid = 1`, bad)
			refused("a flipped bit")
		}
		if r := b.check(true); len(r.Damaged) != 1 || r.Damaged[0].Type != "Patient" || r.Sound() {
			t.Errorf("the doctor: %+v", r)
		}
		b.tamper(`UPDATE resource SET body = $2 WHERE practice_id = $1 AND rid = 1`, body(2))
		refused("the body of another")
		b.tamper(`UPDATE resource SET body = $2 WHERE practice_id = $1 AND rid = 1`, whole[:20])
		refused("a cut body")
		for _, column := range []string{"version", "seq", "labels", "deleted"} {
			b.tamper(`UPDATE resource SET body = $2 WHERE practice_id = $1 AND rid = 1`, whole)
			b.tamper(`UPDATE resource SET ` + column + ` = ` + column + ` + 1 WHERE practice_id = $1 AND rid = 1`)
			b.cache.forget(1)
			err := b.d.View(t.Context(), system(1), func(tx *db.Tx) error {
				r, err := b.Read(t.Context(), tx, "Patient", "ann")
				if c := code(err); c != "exception" && !(column == "deleted" && c == "deleted") {
					t.Errorf("%s changed: %v %v", column, r, err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			b.tamper(`UPDATE resource SET ` + column + ` = ` + column + ` - 1 WHERE practice_id = $1 AND rid = 1`)
		}
		if r := b.check(false); !r.Sound() {
			t.Errorf("put back: %+v", r)
		}
	})
}
