package db_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// Practices that were busy keep one connection each, and a few more between them; what they say and take stays the same, and closing
// leaves their files whole.
func TestSpareConnectionsAreFew(t *testing.T) {
	const practices, spare = 12, 5
	d := dbtest.SQLite(t, ours)
	db.KeepSpare(d.DB, spare)
	ctx := context.Background()
	for i := range practices {
		if err := d.Create(ctx, db.PracticeID(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	var lost sync.Map
	for round := range 3 {
		var all sync.WaitGroup
		for i := range practices {
			p := db.PracticeID(i + 1)
			all.Go(func() {
				err := d.Do(ctx, dbtest.ScopeOf(p), func(tx *db.Tx) error {
					return add(ctx, tx, int64(100+round), fmt.Sprintf("round %d", round))
				})
				if err != nil {
					lost.Store(p, err)
				}
				// Two who read at once need two connections.
				var here, ready sync.WaitGroup
				ready.Add(2)
				for range 2 {
					here.Go(func() {
						if err := d.View(ctx, dbtest.ScopeOf(p), func(*db.Tx) error { ready.Done(); ready.Wait(); return nil }); err != nil {
							lost.Store(p, err)
						}
					})
				}
				here.Wait()
			})
		}
		all.Wait()
		stores, conns := db.Connections(d.DB)
		if stores != practices+1 || conns < stores || conns > stores+spare {
			t.Errorf("round %d: %d connections for %d open files, and %d may be spare", round, conns, stores, spare)
		}
	}
	lost.Range(func(p, err any) bool { t.Errorf("practice %v: %v", p, err); return true })
	for i := range practices {
		if n := count(t, d, db.PracticeID(i+1)); n != 3 {
			t.Errorf("practice %d has %d notes, not 3", i+1, n)
		}
	}
	if err := d.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.Dir, "practices", "*", "*-wal")); len(left) > 0 {
		t.Error("closing left", left)
	}
	d.Reopen(t)
	if n := count(t, d, practices); n != 3 {
		t.Errorf("%d notes are there after closing, not 3", n)
	}
}

// What an open practice takes, with the schema as it is: SQLite's own memory is not in Go's heap, so it is what the kernel counts.
// The limit is three times what was measured.
func TestAnOpenPracticeTakesLittleMemory(t *testing.T) {
	const practices, most = 20, 1200 << 10
	if resident(t) == 0 {
		t.Log("not run: only Linux tells how much memory a process has")
		return
	}
	d := dbtest.SQLite(t, nil)
	ctx := context.Background()
	open := func(from, to int) {
		for i := from; i <= to; i++ {
			p := db.PracticeID(i)
			if err := d.Create(ctx, p); err != nil {
				t.Fatal(err)
			}
			var both, ready sync.WaitGroup
			ready.Add(2)
			for range 2 {
				both.Go(func() {
					_ = d.View(ctx, dbtest.ScopeOf(p), func(*db.Tx) error { ready.Done(); ready.Wait(); return nil })
				})
			}
			both.Wait()
		}
	}
	db.KeepSpare(d.DB, 8)
	open(1, 10)
	before := resident(t)
	open(11, 10+practices)
	each := (resident(t) - before) / practices
	t.Logf("%d KB each", each>>10)
	if each > most {
		t.Errorf("an open practice takes %d KB, and not %d at most", each>>10, most>>10)
	}
}

// resident is the memory of this process that no file lies behind, in bytes.
func resident(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	return 0
}
