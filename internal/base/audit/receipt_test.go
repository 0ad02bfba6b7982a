package audit_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func TestReceipts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx, s := t.Context(), dbtest.ScopeOf(1)
		l := audit.New(d.DB)
		many(t, d, l)
		key, err := l.Key(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := l.Key(ctx, dbtest.ScopeOf(2))
		if err != nil {
			t.Fatal(err)
		}
		all := find(t, l, 1, audit.Filter{Limit: audit.MaxFound})
		if len(all) != 1040 {
			t.Fatalf("%d entries", len(all))
		}
		// Newest, oldest, and around the seams of packs and subtrees.
		for _, i := range []int{0, 1, 3, 14, 15, 16, 500, 527, 528, 783, 784, 1039} {
			r, err := l.Receipt(ctx, s, all[i].ID)
			if err != nil {
				t.Fatalf("entry %d: %v", i, err)
			}
			if _, err := r.Check(key); err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
			if _, err := r.Check(foreign); err == nil {
				t.Errorf("entry %d passes with another practice's key", i)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			again, err := audit.ReadReceipt(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := again.Check(key); err != nil {
				t.Errorf("entry %d, written and read: %v", i, err)
			}
			again.Entry.Says.Action = "update"
			if _, err := again.Check(key); err == nil {
				t.Errorf("entry %d: other words pass", i)
			}
			other, err := l.Receipt(ctx, s, all[(i+1)%len(all)].ID)
			if err != nil {
				t.Fatal(err)
			}
			r.Proof, other.Proof = other.Proof, r.Proof
			if _, err := r.Check(key); err == nil && !slices.Equal(r.Proof, other.Proof) {
				t.Errorf("entry %d passes with another's proof", i)
			}
		}
		signed, err := l.Checkpoints(ctx, s)
		if err != nil || len(signed) != 2 {
			t.Fatal(len(signed), err)
		}
		for _, older := range signed {
			r, err := l.Continues(ctx, s, older)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := r.Check(key); err != nil || c.Position != 1040 {
				t.Errorf("%d: %v", c.Position, err)
			}
			if older.Position < 1040 {
				r.Proof[0][0] ^= 1
				if _, err := r.Check(key); err == nil {
					t.Error("a changed proof passes")
				}
			}
		}
	})
}

func TestCheckpointsAreHourly(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		ctx, s := t.Context(), dbtest.ScopeOf(1)
		l := audit.New(d.DB)
		look := func(now bool) int64 {
			t.Helper()
			c, ok, err := l.Checkpoint(ctx, s, now)
			if err != nil || ok != (c.Position > 0) {
				t.Fatal(c, ok, err)
			}
			return c.Position
		}
		step := func(after time.Duration, want int64) {
			t.Helper()
			d.Clock.Advance(after)
			if got := look(false); got != want {
				t.Errorf("signed %d entries, want %d", got, want)
			}
		}
		step(0, 0)
		fill(t, l, 2, 0)
		step(0, 4)
		fill(t, l, 1, 0)
		step(59*time.Minute, 4)
		step(time.Minute, 6)
		step(5*time.Hour, 6)
		fill(t, l, 1, 0)
		step(0, 8)
		fill(t, l, 1, 0)
		if look(true) != 10 {
			t.Error("not signed when asked")
		}
		if r := verify(t, l); r.Fault != nil || r.Checkpoints != 4 {
			t.Errorf("%+v %+v", r, r.Fault)
		}
	})
}

func TestStates(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	if err := l.Seen(t.Context(), person(1, 1), audit.Event{Action: audit.ActionRead}); err != nil {
		t.Fatal(err)
	}
	if got := l.Unsealed(); !slices.Equal(got, []db.PracticeID{1}) {
		t.Errorf("unsealed: %v", got)
	}
	id := find(t, l, 1, audit.Filter{})[0].ID
	state := func() audit.State {
		t.Helper()
		st, err := l.StateOf(t.Context(), dbtest.ScopeOf(1), id)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if st := state(); st.Position != 0 {
		t.Errorf("%+v", st)
	}
	sequenceAll(t, l, 1)
	if got := l.Unsealed(); len(got) != 0 {
		t.Errorf("unsealed: %v", got)
	}
	if st := state(); st.Position != 1 || st.Checkpoint.Position != 0 {
		t.Errorf("%+v", st)
	}
	if _, _, err := l.Checkpoint(t.Context(), dbtest.ScopeOf(1), true); err != nil {
		t.Fatal(err)
	}
	if st := state(); st.Position != 1 || st.Checkpoint.Position != 1 || st.Checkpoint.At.IsZero() {
		t.Errorf("%+v", st)
	}
	// A day later the lonely entry is packed and still found.
	d.Clock.Advance(25 * time.Hour)
	sequenceAll(t, l, 1)
	if st := state(); st.Position != 1 {
		t.Errorf("%+v", st)
	}
	if n := len(find(t, l, 1, audit.Filter{UserID: 1})); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func exported(t *testing.T, l *audit.Log) (log []byte, key string, end audit.Signed) {
	t.Helper()
	var out bytes.Buffer
	end, err := l.Export(t.Context(), dbtest.ScopeOf(1), &out)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = l.Key(t.Context(), dbtest.ScopeOf(1)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), key, end
}

func TestAnExportProvesItself(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		l := audit.New(d.DB)
		many(t, d, l)
		log, key, end := exported(t, l)
		r, err := audit.VerifyExport(bytes.NewReader(log), key)
		if err != nil || r.Fault != nil || r.Entries != 1040 || r.End != end.Checkpoint {
			t.Fatalf("%+v %+v %v", r, r.Fault, err)
		}
		if n := bytes.Count(log, []byte("\n")); n != 1+1040+2 {
			t.Errorf("%d lines", n)
		}
		kept := audit.Receipt{Format: audit.ReceiptFormat, Checkpoint: end.Note}
		lines := bytes.SplitAfter(log, []byte("\n"))
		join := func(l ...[][]byte) []byte { return bytes.Join(slices.Concat(l...), nil) }
		for _, c := range []struct {
			name string
			log  []byte
			at   int64
			what string
		}{
			{"delete", join(lines[:101], lines[102:]), 101, "missing"},
			{"reorder", join(lines[:101], lines[102:103], lines[101:102], lines[103:]), 101, "missing or were moved"},
			{"repeat", join(lines[:102], lines[101:]), 102, "missing or were moved"},
			{"truncate", join(lines[:901]), 1, "a receipt"},
			{"truncate at a checkpoint", join(lines[:1038]), 1037, "a receipt"},
			{"truncate in a line", log[:len(log)-700], 0, ""},
			{"nothing", nil, 1, "a receipt"},
			{"no checkpoint", join(lines[:1037], lines[1038:1042]), 0, "nothing signed"},
			{"rename", bytes.Replace(log, []byte(`"user":1`), []byte(`"user":7`), 1), 1, "words"},
			{"white space", bytes.Replace(log, []byte(`{"position":300`), []byte(`{ "position":300`), 1), 300, "changed"},
		} {
			r, err := audit.VerifyExport(bytes.NewReader(c.log), key, kept)
			if err != nil || r.Fault == nil {
				t.Errorf("%s: not found (%v)", c.name, err)
				continue
			}
			if c.at > 0 && r.Fault.Position != c.at && c.name != "truncate" || !strings.Contains(r.Fault.What, c.what) {
				t.Errorf("%s: found as %+v", c.name, *r.Fault)
			}
		}
	})
}

// Every byte of an exported log counts.
func TestEveryByteOfAnExportCounts(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	l := audit.New(d.DB)
	fill(t, l, 12, 0)
	log, key, _ := exported(t, l)
	step := 1
	if len(log) > 3000 {
		step = len(log) / 3000
	}
	offset := rand.IntN(step)
	line := func(at int) int64 { return int64(bytes.Count(log[:at], []byte("\n"))) }
	for i := offset; i < len(log); i += step {
		bad := bytes.Clone(log)
		bad[i] ^= 1 << rand.IntN(7)
		r, err := audit.VerifyExport(bytes.NewReader(bad), key)
		if err != nil || r.Fault == nil {
			t.Fatalf("byte %d flipped from %q to %q: not found (%v)", i, log[i], bad[i], err)
		}
		// Within the entries (lines 2 to 25), the one named is the one that was hit, or the next when its end was.
		if n := line(i); n >= 1 && n <= 24 && r.Fault.Position != n && r.Fault.Position != n+1 {
			t.Fatalf("byte %d flipped in entry %d: named as %+v", i, n, *r.Fault)
		}
	}
}

func FuzzVerifyExport(f *testing.F) {
	d := dbtest.SQLite(f, nil)
	l := audit.New(d.DB)
	if err := l.Seen(f.Context(), person(1, 1), audit.Event{Action: audit.ActionRead, Patient: "Patient/a"}); err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := l.Export(f.Context(), dbtest.ScopeOf(1), &out); err != nil {
		f.Fatal(err)
	}
	key, err := l.Key(f.Context(), dbtest.ScopeOf(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := audit.VerifyExport(bytes.NewReader(b), key)
		if err == nil && r.Fault == nil && !bytes.Equal(b, out.Bytes()) {
			t.Errorf("passes: %q", b)
		}
	})
}
