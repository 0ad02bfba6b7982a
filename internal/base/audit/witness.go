package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
)

// Witness keeps every signed checkpoint in a folder outside the data, such as another machine's: one file each, written once. A log
// that was rolled back or rewritten does not continue what is there, and nothing of it is added.
type Witness struct {
	log *Log
	dir string
}

// ErrForked is what Keep answers when a log does not continue what was witnessed.
var ErrForked = errors.New("the audit log does not continue a checkpoint that was witnessed")

// NewWitness returns the witness that keeps what it sees in a folder, which must be there: a mount that is missing is no witness.
func NewWitness(l *Log, dir string) (*Witness, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("the folder of the witness %s is not there: %w", dir, errors.Join(err, fs.ErrNotExist))
	}
	return &Witness{l, dir}, nil
}

// Keep compares the practice's log with the newest checkpoint that was witnessed, and adds those signed since. The error is
// ErrForked when the log was rolled back or rewritten, and another when the folder or the log cannot be used.
func (w *Witness) Keep(ctx context.Context, s db.Scope) error {
	key, err := w.log.Key(ctx, s)
	if err != nil {
		return err
	}
	start := fmt.Sprintf("practice-%d-", s.Practice())
	files, err := w.files(start)
	if err != nil {
		return err
	}
	var last Signed
	if n := len(files); n > 0 {
		text, err := os.ReadFile(filepath.Join(w.dir, files[n-1]))
		if err != nil {
			return err
		}
		if last, err = OpenCheckpoint(string(text), key); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrForked, files[n-1], err)
		}
		if err := w.continues(ctx, s, key, last); err != nil {
			return fmt.Errorf("%s: %w", files[n-1], err)
		}
	}
	all, err := w.log.Checkpoints(ctx, s)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Position > last.Position {
			if err := w.add(fmt.Sprintf("%s%019d.note", start, c.Position), c.Note); err != nil {
				return err
			}
		}
	}
	return nil
}

// continues checks that the log goes on from a checkpoint.
func (w *Witness) continues(ctx context.Context, s db.Scope, key string, last Signed) error {
	newest, ok, err := w.log.Checkpoint(ctx, s, false)
	if err != nil {
		return err
	}
	if !ok || newest.Position < last.Position {
		return fmt.Errorf("%w: %d entries were signed then, the newest signature has %d", ErrForked, last.Position, newest.Position)
	}
	r, err := w.log.Continues(ctx, s, last)
	if err != nil {
		return err
	}
	if _, err := r.Check(key); err != nil {
		return fmt.Errorf("%w: %w", ErrForked, err)
	}
	return nil
}

// files lists the notes of a practice, oldest first.
func (w *Witness) files(start string) (out []string, err error) {
	list, err := os.ReadDir(w.dir)
	for _, f := range list {
		if strings.HasPrefix(f.Name(), start) && strings.HasSuffix(f.Name(), ".note") {
			out = append(out, f.Name())
		}
	}
	slices.Sort(out)
	return out, err
}

// add writes a note whole and durably; what is there already is never replaced.
func (w *Witness) add(name, text string) error {
	f, err := os.CreateTemp(w.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	path := filepath.Join(w.dir, name)
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil // another process witnessed the same; the next comparison reads it
	} else if err != nil { // a file system without links
		if _, there := os.Lstat(path); !errors.Is(there, fs.ErrNotExist) {
			return there
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	d, err := os.Open(w.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
