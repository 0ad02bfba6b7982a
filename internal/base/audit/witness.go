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
	"sync"
	"time"

	"yarrow.health/internal/base/db"
)

// Witness keeps every signed checkpoint in a folder outside the data, such as another machine's: one file each, written once. A log
// that was rolled back or rewritten does not continue what is there, and nothing of it is added.
type Witness struct {
	log *Log
	dir string

	mu      sync.Mutex
	failing map[db.PracticeID]Lapse
	round   time.Time // when every practice had its turn last, or the witness was made
}

// WitnessLate is how long checkpoints may wait for their witness before people are told; a round is made each minute.
const WitnessLate = 5 * time.Minute

// Lapse says that a practice's log is not witnessed at present.
type Lapse struct {
	Since  time.Time // when it was found, or the last round ended
	Forked bool      // the log does not continue what was witnessed; otherwise the folder cannot be used, or nobody looks
}

// ErrForked is what Keep answers when a log does not continue what was witnessed.
var ErrForked = errors.New("the audit log does not continue a checkpoint that was witnessed")

// NewWitness returns the witness that keeps what it sees in a folder, which must be there: a mount that is missing is no witness.
func NewWitness(l *Log, dir string) (*Witness, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("the folder of the witness %s is not there: %w", dir, errors.Join(err, fs.ErrNotExist))
	}
	return &Witness{log: l, dir: dir, failing: map[db.PracticeID]Lapse{}, round: l.db.Clock().Now()}, nil
}

// Rounded notes that every practice had its turn. A round that hangs, such as on a mount that went away, makes every practice late.
func (w *Witness) Rounded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.round = w.log.db.Clock().Now()
}

// Lapse says whether a practice's log goes unwitnessed: at once when it is forked, and after [WitnessLate] otherwise.
func (w *Witness) Lapse(p db.PracticeID) (Lapse, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lapse(p)
}

func (w *Witness) lapse(p db.PracticeID) (Lapse, bool) {
	late := func(since time.Time) bool { return w.log.db.Clock().Since(since) >= WitnessLate }
	if l, ok := w.failing[p]; ok && (l.Forked || late(l.Since)) {
		return l, true
	}
	return Lapse{Since: w.round}, late(w.round)
}

// Lapses counts the practices that go unwitnessed, and those of them whose log is forked. late says that no round was ended in time,
// which leaves no practice out.
func (w *Witness) Lapses() (unwitnessed, forked int, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.failing {
		if l, ok := w.lapse(p); ok {
			unwitnessed++
			if l.Forked {
				forked++
			}
		}
	}
	return unwitnessed, forked, w.log.db.Clock().Since(w.round) >= WitnessLate
}

// Keep compares the practice's log with the newest checkpoint that was witnessed, and adds those signed since. The error is
// ErrForked when the log was rolled back or rewritten, and another when the folder or the log cannot be used. What came of it is what
// [Witness.Lapse] tells.
func (w *Witness) Keep(ctx context.Context, s db.Scope) error {
	err := w.keep(ctx, s)
	if err != nil && ctx.Err() != nil {
		return err // the program ends; nothing is known of the witness
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := s.Practice()
	switch was, ok := w.failing[p]; {
	case err == nil:
		delete(w.failing, p)
	case ok:
		was.Forked = errors.Is(err, ErrForked)
		w.failing[p] = was
	default:
		w.failing[p] = Lapse{Since: w.log.db.Clock().Now(), Forked: errors.Is(err, ErrForked)}
	}
	return err
}

func (w *Witness) keep(ctx context.Context, s db.Scope) error {
	key, err := w.log.Key(ctx, s)
	if err != nil {
		return err
	}
	start := notesOf(int64(s.Practice()))
	files, err := witnessed(w.dir, start)
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
			if err := w.add(noteName(start, c.Position), c.Note); err != nil {
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

// notesOf is what the names of a practice's notes begin with.
func notesOf(practice int64) string { return fmt.Sprintf("practice-%d-", practice) }

func noteName(start string, position int64) string {
	return fmt.Sprintf("%s%019d.note", start, position)
}

// WitnessNote is one note of a witness's folder.
type WitnessNote struct {
	File  string
	Fault string // what is wrong with it, when it is not what the practice signed
	Signed
}

// WitnessNotes reads a practice's notes in a witness's folder, oldest first, with nothing but its public key.
func WitnessNotes(dir, vkey string) (out []WitnessNote, err error) {
	practice, ok := practiceOf(vkey)
	if !ok {
		return nil, errors.New("the public key cannot be read")
	}
	start := notesOf(practice)
	files, err := witnessed(dir, start)
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		n := WitnessNote{File: name}
		switch n.Signed, err = OpenCheckpoint(string(text), vkey); {
		case err != nil:
			n.Fault = err.Error()
		case name != noteName(start, n.Position):
			n.Fault = fmt.Sprintf("it signs %d entries, which its name does not say", n.Position)
		}
		out = append(out, n)
	}
	return out, err
}

// witnessed lists the files of a folder that hold notes of a practice, oldest first.
func witnessed(dir, start string) (out []string, err error) {
	list, err := os.ReadDir(dir)
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
