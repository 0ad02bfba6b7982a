package db_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// Some faults need a process of their own: it is this test binary, told by the environment what to do.

const childEnv = "YARROW_DB_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what, os.Getenv("DATA"), os.Getenv("URL")); err != nil {
			fmt.Println("ERROR", err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(what, dir, url string) error {
	o := keys.DefaultOptions(dir)
	o.MasterText = ""
	ring, _, err := keys.Open(o)
	if err != nil {
		return err
	}
	opt := db.Options{Keys: ring, Clock: clock.System(), Migrations: ours, DataDir: dir}
	if url != "" {
		opt.DataDir, opt.DatabaseURL = "", url
	}
	ctx := context.Background()
	d, err := db.Open(ctx, opt)
	if err != nil {
		return err
	}
	switch what {
	case "open":
		return d.Close()
	case "fill": // writes until the limit on file sizes stops it, then proves that the rest is intact
		limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		return fill(ctx, d)
	case "write":
		return writeForEver(ctx, d)
	}
	return errors.New("unknown child")
}

// writeForEver says each number on standard output once it is acknowledged.
func writeForEver(ctx context.Context, d *db.DB) error {
	start, err := strconv.ParseInt(os.Getenv("START"), 10, 64)
	if err != nil {
		return err
	}
	var next atomic.Int64
	next.Store(start)
	var out sync.Mutex
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				id := next.Add(1)
				err := d.Do(ctx, dbtest.ScopeOf(1), func(tx *db.Tx) error {
					tx.InsertMany(notes, [][]any{{1, id, "a" + strconv.FormatInt(id, 10), nil, nil, 0}, {1, -id, "b" + strconv.FormatInt(id, 10), nil, nil, 1}})
					return nil
				})
				if err != nil {
					failed <- err
					return
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	return <-failed
}

func fill(ctx context.Context, d *db.DB) error {
	acknowledged := map[int64]bool{}
	block := make([]byte, 3000)
	for id := int64(1); ; id++ {
		err := d.Do(ctx, dbtest.ScopeOf(1), func(tx *db.Tx) error {
			tx.InsertMany(notes, [][]any{{1, id, strconv.FormatInt(id, 10), block, nil, 0}})
			return nil
		})
		if err == nil {
			acknowledged[id] = true
			continue
		}
		var issue *fhir.Issue
		if !errors.As(err, &issue) || issue.Code != "no-store" {
			return fmt.Errorf("a full disk is reported as: %w (%v)", err, errors.Unwrap(err))
		}
		break
	}
	if len(acknowledged) < 20 {
		return fmt.Errorf("only %d writes before the disk was full", len(acknowledged))
	}
	return d.View(ctx, dbtest.ScopeOf(1), func(tx *db.Tx) error {
		rows, err := tx.Query(ctx, db.SQL(`SELECT id FROM note WHERE practice_id = $1`), 1)
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if !acknowledged[id] {
				return fmt.Errorf("%d is present although it was refused", id)
			}
			n++
		}
		if n != len(acknowledged) {
			return fmt.Errorf("%d of %d acknowledged rows are present", n, len(acknowledged))
		}
		return rows.Err()
	})
}

func childCommand(t *testing.T, what string, d *dbtest.DB, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what, "DATA="+d.Dir, "URL="+d.URL)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestASecondProcessIsKeptOut(t *testing.T) {
	d := dbtest.SQLite(t, ours)
	out, err := childCommand(t, "open", d).Output()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("the second process: %v, %s", err, out)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := childCommand(t, "open", d).Output(); err != nil {
		t.Errorf("after the first has closed: %v, %s", err, out)
	}
	d.Reopen(t)
}

func TestAFullDiskIsReportedAndLosesNothing(t *testing.T) {
	d := dbtest.SQLite(t, ours)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := childCommand(t, "fill", d).Output(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	d.Reopen(t)
	do(t, d, 1, func(tx *db.Tx) error { return add(t.Context(), tx, -1, "there is room again") })
}

// TestKilledWriters: what was acknowledged is there, what is there is whole.
func TestKilledWriters(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB) {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		acknowledged := map[int64]bool{}
		for cycle := range 4 {
			cmd := childCommand(t, "write", d, "START="+strconv.Itoa(cycle*1_000_000))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			said := 0
			for lines.Scan() {
				id, err := strconv.ParseInt(lines.Text(), 10, 64)
				if err != nil {
					t.Fatal(lines.Text())
				}
				acknowledged[id] = true
				if said++; said == 60+40*cycle {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = cmd.Wait() // killed
			if said < 60 {
				t.Fatalf("the child wrote %d", said)
			}
		}
		d.Reopen(t)
		present := map[int64]bool{}
		view(t, d, 1, func(tx *db.Tx) error {
			rows, err := tx.Query(t.Context(), db.SQL(`SELECT id FROM note WHERE practice_id = $1`), 1)
			if err != nil {
				return err
			}
			for rows.Next() {
				var id int64
				if err := rows.Scan(&id); err != nil {
					return err
				}
				present[id] = true
			}
			return rows.Err()
		})
		for id := range acknowledged {
			if !present[id] {
				t.Errorf("%d was acknowledged and is lost", id)
			}
		}
		for id := range present {
			if !present[-id] {
				t.Errorf("%d is there without its other half", id)
			}
		}
		t.Logf("%d acknowledged, %d present", len(acknowledged), len(present)/2)
	})
}
