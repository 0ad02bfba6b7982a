package files_test

import (
	"bytes"
	"errors"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/files"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

func practiceKeys(t *testing.T, d *dbtest.DB, p db.PracticeID) (k *keys.Practice) {
	t.Helper()
	if err := d.View(t.Context(), d.Scope(p), func(tx *db.Tx) error { k = tx.Keys(); return nil }); err != nil {
		t.Fatal(err)
	}
	return k
}

func put(t *testing.T, d *dbtest.DB, p db.PracticeID, content []byte) files.Blob {
	t.Helper()
	prepared, err := files.Prepare(p, practiceKeys(t, d, p), content, "application/pdf")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Do(t.Context(), d.Scope(p), func(tx *db.Tx) error {
		_, err := files.Put(t.Context(), tx, prepared)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return prepared.Blob
}

func get(t *testing.T, d *dbtest.DB, p db.PracticeID, ref string) (b files.Blob, content []byte, err error) {
	t.Helper()
	err = d.View(t.Context(), d.Scope(p), func(tx *db.Tx) (err error) {
		b, content, err = files.Get(t.Context(), tx, ref)
		return err
	})
	return b, content, err
}

func codeOf(err error) string {
	var i *fhir.Issue
	if errors.As(err, &i) {
		return i.Code
	}
	return ""
}

func TestWhatIsStoredComesBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 3<<20 + 17} {
			content := bytes.Repeat([]byte("scan of a letter "), size/17+1)[:size]
			b := put(t, d, 1, content)
			if again := put(t, d, 1, content); again.Ref != b.Ref {
				t.Errorf("%d bytes: the same content has two names", size)
			}
			got, back, err := get(t, d, 1, b.Ref)
			if err != nil || !bytes.Equal(back, content) || got.Type != "application/pdf" || got.Size != int64(size) {
				t.Errorf("%d bytes: %+v, %d bytes back, %v", size, got, len(back), err)
			}
			if _, _, err := get(t, d, 2, b.Ref); codeOf(err) != "not-found" {
				t.Errorf("another practice reads it: %v", err)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := practiceKeys(t, d, 1)
		if _, err := files.Prepare(1, k, make([]byte, files.Largest+1), "text/plain"); codeOf(err) != "too-long" {
			t.Errorf("too large: %v", err)
		}
		for _, ref := range []string{"", "sha256-00", "../../etc/passwd"} {
			if _, _, err := get(t, d, 1, ref); codeOf(err) != "not-found" {
				t.Errorf("%q: %v", ref, err)
			}
		}
		p, err := files.Prepare(1, k, []byte("x"), "text/plain")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Do(t.Context(), d.Scope(2), func(tx *db.Tx) error {
			_, err := files.Put(t.Context(), tx, p)
			return err
		}); codeOf(err) != "security" {
			t.Errorf("content sealed for practice 1 went into practice 2: %v", err)
		}
	})
}

func TestDamageIsNeverServed(t *testing.T) {
	flip := db.SQL(`UPDATE blob SET body = $3 WHERE practice_id = $1 AND part = $2`)
	read := db.SQL(`SELECT body FROM blob WHERE practice_id = $1 AND part = $2`)
	drop := db.SQL(`DELETE FROM blob WHERE practice_id = $1 AND part = $2`)
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		content := bytes.Repeat([]byte("x"), 600<<10)
		b := put(t, d, 1, content)
		change := func(part int, with func([]byte) []byte) {
			if err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
				var body []byte
				if err := tx.QueryRow(t.Context(), read, 1, part).Scan(&body); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), flip, 1, part, with(body))
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		flipByte := func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c }
		for part := range 3 {
			change(part, flipByte)
			if _, content, err := get(t, d, 1, b.Ref); codeOf(err) != "exception" || content != nil {
				t.Errorf("a flipped byte in part %d: %v", part, err)
			}
			change(part, flipByte)
		}
		if _, _, err := get(t, d, 1, b.Ref); err != nil {
			t.Fatalf("whole again: %v", err)
		}
		if err := d.Do(t.Context(), d.Scope(1), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), drop, 1, 3)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := get(t, d, 1, b.Ref); codeOf(err) != "exception" {
			t.Errorf("a missing last part: %v", err)
		}
	})
}
