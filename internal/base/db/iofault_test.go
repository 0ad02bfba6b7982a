package db

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// faultyDisk fails every so often, in writing or in syncing, once it is switched on.
type faultyDisk struct {
	vfs.VFS
	every atomic.Int64 // 0: never
	calls atomic.Int64
	sync  atomic.Bool // fail Sync rather than WriteAt
}

var errFault = errors.New("the disk failed")

func (d *faultyDisk) fails() bool {
	every := d.every.Load()
	return every > 0 && d.calls.Add(1)%every == 0
}

func (d *faultyDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(d.VFS, name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &faultyFile{f, d}, flags, nil
}

type faultyFile struct {
	vfs.File
	disk *faultyDisk
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.disk.sync.Load() && f.disk.fails() {
		n, _ := f.File.WriteAt(p[:len(p)/2], off) // torn
		return n, errFault
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Sync(flags vfs.SyncFlag) error {
	if f.disk.sync.Load() && f.disk.fails() {
		return errFault
	}
	return f.File.Sync(flags)
}

func (f *faultyFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *faultyFile) Unwrap() vfs.File               { return f.File }

type testScope struct{ Seal }

// TestADiskThatFailsLosesNothingAcknowledged: each failure is told to whoever it concerns, and afterwards the file holds
// what was acknowledged and is sound.
func TestADiskThatFailsLosesNothingAcknowledged(t *testing.T) {
	schema := fstest.MapFS{"practice/0001_t.sql": {Data: []byte("-- +goose Up\n" +
		"CREATE TABLE t (practice_id BIGINT NOT NULL, id BIGINT NOT NULL, b BYTEA, PRIMARY KEY (practice_id, id));\n")},
		"system/.keep": {}}
	insert := InsertInto("t", "practice_id", "id", "b")
	for _, kind := range []string{"write", "sync"} {
		t.Run(kind, func(t *testing.T) {
			ctx := context.Background()
			dir := filepath.Join(t.TempDir(), "data")
			ko := keys.DefaultOptions(dir)
			ko.MasterText, ko.MayCreate = "", true
			ring, _, err := keys.Open(ko)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{DataDir: dir, Keys: ring, Clock: clock.System(), Migrations: schema}
			d, err := Open(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			pages := d.backend.(*sqliteBackend).vfs
			disk := &faultyDisk{VFS: pages.VFS}
			disk.sync.Store(kind == "sync")
			pages.VFS = disk
			if err := d.Create(ctx, 1); err != nil {
				t.Fatal(err)
			}
			scope := testScope{NewSeal(1, Actor{Kind: "system"})}
			disk.every.Store(7)
			var mu sync.Mutex
			acknowledged, failures := map[int64]bool{}, 0
			var wg sync.WaitGroup
			for w := range 6 {
				wg.Go(func() {
					for r := range 60 {
						id := int64(w*1000 + r)
						err := d.Do(ctx, scope, func(tx *Tx) error {
							tx.InsertMany(insert, [][]any{{1, id, make([]byte, 100+200*r)}})
							return nil
						})
						var issue *fhir.Issue
						mu.Lock()
						if err == nil {
							acknowledged[id] = true
						} else if failures++; !errors.As(err, &issue) {
							t.Errorf("a failed disk is reported as %v", err)
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			disk.every.Store(0)
			if failures == 0 || len(acknowledged) == 0 {
				t.Errorf("%d failures, %d acknowledged", failures, len(acknowledged))
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if d, err = Open(ctx, o); err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := d.View(ctx, scope, func(tx *Tx) error {
				for id := range acknowledged {
					var n int
					if err := tx.QueryRow(ctx, SQL(`SELECT 1 FROM t WHERE practice_id = $1 AND id = $2`), 1, id).Scan(&n); err != nil {
						return fmt.Errorf("%d was acknowledged: %w", id, err)
					}
				}
				var verdict string
				if err := tx.QueryRow(ctx, SQL(`SELECT integrity_check FROM pragma_integrity_check`)).Scan(&verdict); err != nil || verdict != "ok" {
					t.Errorf("integrity: %s, %v", verdict, err)
				}
				return nil
			}); err != nil {
				t.Error(err, errors.Unwrap(err))
			}
			t.Logf("%d acknowledged, %d refused", len(acknowledged), failures)
		})
	}
}
