package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func open(t interface{ Fatal(...any) }, dir string) *Journal {
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func part(owner int64, text string) Part {
	return Part{owner, func(dst []byte, number int64) ([]byte, error) {
		return fmt.Appendf(dst, "%d:%d:%s", owner, number, text), nil
	}}
}

func must(t *testing.T, j *Journal, owner int64, text string) {
	t.Helper()
	if err := j.Write(part(owner, text)); err != nil {
		t.Fatal(err)
	}
}

// copyOf is what a disk holds after a crash: a copy of the folder, to open while the first is still open.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func texts(j *Journal) (out []string) {
	for _, owner := range j.Owners() {
		for _, r := range j.Waiting(owner) {
			if r.Damaged {
				out = append(out, fmt.Sprintf("%d:%d:damaged", owner, r.Number))
			} else {
				out = append(out, string(r.Body))
			}
		}
	}
	return out
}

func TestWhatWasWrittenWaits(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, parts := range [][]Part{{part(1, "a")}, {part(1, "b"), part(2, "c")}, {part(2, "d")}} {
		if err := j.Write(parts...); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"1:1:a", "1:2:b", "2:2:c", "2:3:d"}
	if got := texts(j); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	j.Done(1, 1)
	j.Done(2, 2)
	if got := texts(j); !slices.Equal(got, []string{"1:2:b", "2:3:d"}) {
		t.Errorf("%q", got)
	}
	id := j.ID()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Write(part(1, "late")); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	j = open(t, dir)
	defer j.Close()
	if got := texts(j); !slices.Equal(got, want) || j.ID() != id || j.Damage() != nil {
		t.Errorf("%q, journal %d of %d, %v", got, j.ID(), id, j.Damage())
	}
	if err := j.Write(part(1, "e")); err != nil {
		t.Fatal(err)
	}
	j.Forget(2)
	if got := texts(j); !slices.Equal(got, []string{"1:1:a", "1:2:b", "1:4:e"}) {
		t.Errorf("%q", got)
	}
}

// Whatever is written, taken over and cut short, every acknowledged record that nobody took over is there after the next
// start, and nothing is called damage.
func TestACrashLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "j")
		if err != nil {
			rt.Fatal(err)
		}
		j := open(rt, dir)
		defer func() { j.Close() }()
		model := map[int64]map[int64]string{1: {}, 2: {}, 3: {}} // owner → number → text
		failing := false
		begin := func() {
			j.sync = func(*slot) error {
				if failing {
					return errors.New("the disk failed")
				}
				return nil
			}
		}
		begin()
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			default:
				var parts []Part
				made := map[int64]string{}
				var number int64
				for owner := range model {
					if rapid.Bool().Draw(rt, "owner") {
						body := bytes.Repeat([]byte{byte('a' + owner)}, rapid.SampledFrom([]int{1, 50, 50, 50, 5000, 400_000}).Draw(rt, "size"))
						made[owner] = string(body)
						parts = append(parts, Part{owner, func(dst []byte, n int64) ([]byte, error) {
							number = n
							return append(dst, body...), nil
						}})
					}
				}
				if len(parts) == 0 {
					continue
				}
				err := j.Write(parts...)
				if (err != nil) != failing {
					rt.Fatalf("failing %v, %v", failing, err)
				}
				for owner, text := range made {
					if err == nil {
						model[owner][number] = text
					}
				}
			case 5, 6:
				owner := rapid.Int64Range(1, 3).Draw(rt, "done")
				for n := range model[owner] {
					j.Done(owner, n)
					for m := range model[owner] {
						if m <= n {
							delete(model[owner], m)
						}
					}
					break
				}
			case 7:
				failing = !failing
			case 8, 9: // power cut: the last write that was under way is on the disk in part
				failing = false
				j.sync = func(*slot) error { return errors.New("power cut") }
				at := int64(0)
				if j.active != nil {
					at = j.active.at
				}
				err := j.Write(Part{1, func(dst []byte, _ int64) ([]byte, error) { return append(dst, make([]byte, 20000)...), nil }})
				if err == nil {
					rt.Fatal("acknowledged")
				}
				if s := j.active; s != nil && s.at >= at {
					f, err := os.OpenFile(s.file.Name(), os.O_RDWR, 0)
					if err != nil {
						rt.Fatal(err)
					}
					for b := s.at; b < s.at+5*block && b < s.size; b += 512 {
						if rapid.Bool().Draw(rt, "lost") {
							if _, err := f.WriteAt(make([]byte, 512), b); err != nil {
								rt.Fatal(err)
							}
						}
					}
					if err := f.Close(); err != nil {
						rt.Fatal(err)
					}
				}
				if err := j.Close(); err != nil {
					rt.Fatal(err)
				}
				j = open(rt, dir)
				begin()
				if d := j.Damage(); d != nil {
					rt.Fatalf("called damage: %v", d)
				}
			}
			for owner, records := range model {
				got := map[int64]string{}
				for _, r := range j.Waiting(owner) {
					if r.Damaged {
						rt.Fatalf("record %d of %d is damaged", r.Number, owner)
					}
					got[r.Number] = string(r.Body)
				}
				for n, text := range records {
					if got[n] != text {
						rt.Fatalf("record %d of %d is lost", n, owner)
					}
				}
			}
		}
	})
}

// A file that nobody wants is written over, so that a journal whose records are taken over stays small.
func TestSpaceIsUsedAgain(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	defer j.Close()
	j.sync = func(*slot) error { return nil }
	for range 3000 {
		var number int64
		if err := j.Write(Part{1, func(dst []byte, n int64) ([]byte, error) { number = n; return append(dst, make([]byte, 3000)...), nil }}); err != nil {
			t.Fatal(err)
		}
		j.Done(1, number-100)
	}
	size := int64(0)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if len(files) != 2 || size > 4<<20 {
		t.Errorf("%d files of %d bytes", len(files), size)
	}
	for range 30 {
		if err := j.Write(Part{2, func(dst []byte, n int64) ([]byte, error) { return append(dst, make([]byte, 4<<20)...), nil }}); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("nobody takes over, and it goes on")
}

// A byte of any acknowledged write that is not the last: either its owner gets a damaged record, or the journal says that
// something is missing, now and at every later start, and what is sound still waits.
func TestDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for i := range 5 {
		if err := j.Write(part(1, fmt.Sprint("text ", i)), part(2, "other")); err != nil {
			t.Fatal(err)
		}
	}
	whole := texts(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	f, ok := parseFrame(read0(t, dir)[2*block:])
	if !ok {
		t.Fatal("no third frame")
	}
	used := headSize + 2*perRecord + 4 + len(f.records[0].Body) + len(f.records[1].Body)
	for at := 0; at < used; at += 3 {
		bad := copyOf(t, dir)
		b := read0(t, bad)
		b[2*block+at] ^= 0x40
		if err := os.WriteFile(filepath.Join(bad, "0"+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
		for again := range 2 {
			j := open(t, bad)
			got := texts(j)
			if inBody := at >= headSize+2*perRecord+4; inBody {
				if j.Damage() != nil || len(got) != len(whole) || !slices.Contains(got, "1:3:damaged") && !slices.Contains(got, "2:3:damaged") {
					t.Errorf("byte %d of a body: %v, %q", at, j.Damage(), got)
				}
			} else if len(j.Damage()) == 0 || len(got) != len(whole)-2+again {
				t.Errorf("byte %d of a head, start %d: %v, %q", at, again, j.Damage(), got)
			}
			if again == 0 {
				if err := j.Write(part(3, "more")); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if inBody := at >= headSize+2*perRecord+4; inBody {
				break
			}
		}
	}
}

func read0(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "0"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An owner who never comes keeps its records, and the files stay small.
func TestWhoNeverComesDoesNotMakeFilesGrow(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	j.sync = func(*slot) error { return nil }
	if err := j.Write(part(7, "here")); err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		var number int64
		if err := j.Write(Part{1, func(dst []byte, n int64) ([]byte, error) { number = n; return append(dst, make([]byte, 5000)...), nil }}); err != nil {
			t.Fatal(err)
		}
		j.Done(1, number)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Size() > 6<<20 {
			t.Errorf("%s has %d bytes, %v", f, st.Size(), err)
		}
	}
	j = open(t, dir)
	defer j.Close()
	if got := j.Waiting(7); len(files) > 3 || len(got) != 1 || string(got[0].Body) != "7:1:here" || j.Damage() != nil {
		t.Errorf("%d files, %+v, %v", len(files), got, j.Damage())
	}
}

func TestAFileTakenAwayIsMissed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for range 3 {
		if err := j.Write(Part{1, func(dst []byte, n int64) ([]byte, error) { return append(dst, make([]byte, turnAt)...), nil }}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "0"+suffix)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		j = open(t, dir)
		if len(j.Damage()) == 0 || len(texts(j)) != 2 {
			t.Errorf("%v, %d records", j.Damage(), len(texts(j)))
		}
		j.Close()
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, &frame{journal: 1, number: 2, previous: 1, floor: 1, records: []Record{{Owner: 3, Body: []byte("body")}}}))
	f.Add(appendFrame(nil, &frame{journal: 1, number: 1, floor: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, fr := range framesIn(b) {
			if fr.torn {
				continue
			}
			if got := appendFrame(nil, &fr); !bytes.Equal(got[:fr.size-block], b[fr.end-fr.size:][:fr.size-block]) {
				t.Error("what was read is written otherwise")
			}
		}
	})
}

// BenchmarkWrite is one write of the size a look takes.
func BenchmarkWrite(b *testing.B) {
	j := open(b, b.TempDir())
	defer j.Close()
	body := make([]byte, 120)
	for b.Loop() {
		var number int64
		if err := j.Write(Part{1, func(dst []byte, n int64) ([]byte, error) { number = n; return append(dst, body...), nil }}); err != nil {
			b.Fatal(err)
		}
		j.Done(1, number)
	}
}

// Owner and number name a record: two of one owner in a write would pass for one.
func TestAnOwnerGivesOneRecordToAWrite(t *testing.T) {
	j := open(t, t.TempDir())
	defer j.Close()
	if err := j.Write(part(1, "a"), part(2, "b"), part(1, "c")); !errors.Is(err, ErrTwice) {
		t.Errorf("got %v", err)
	}
	if got := texts(j); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestNumbersGoOnAfterAnother(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, text := range []string{"a", "b"} {
		if err := j.Write(part(1, text)); err != nil {
			t.Fatal(err)
		}
		j.After(1000)
		j.After(5)
	}
	j.Close()
	j = open(t, dir)
	defer j.Close()
	if got := texts(j); !slices.Equal(got, []string{"1:1:a", "1:1001:b"}) || j.Damage() != nil {
		t.Errorf("%q %v", got, j.Damage())
	}
}

// Files of two folders in one: those that do not belong are not passed over, and not written over.
func TestFilesOfTwoJournalsAreNoticed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		j := open(t, d)
		if err := j.Write(part(1, "a")); err != nil {
			t.Fatal(err)
		}
		j.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "1"+suffix), read0(t, other), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		j := open(t, dir)
		if len(j.Damage()) == 0 {
			t.Error("not noticed")
		}
		if err := j.Write(part(1, "b")); err != nil {
			t.Fatal(err)
		}
		j.Close()
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "*"+aside)); len(kept) < 2 {
		t.Errorf("kept are %v", kept)
	}
}

// A journal that was written to has the same name after every start; one that never was has nothing that bears its name.
func TestAJournalKeepsItsName(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("a start wrote %v, %v", files, err)
	}
	j = open(t, dir)
	must(t, j, 1, "a")
	id := j.ID()
	for range 3 {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if j = open(t, dir); j.ID() != id {
			t.Errorf("it is called %x after %x", j.ID(), id)
		}
		for _, r := range j.Waiting(1) { // also when nothing waits
			j.Done(1, r.Number)
		}
		must(t, j, 1, "b")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file system may take a file for direct writing and refuse the first write, also to a file of an earlier start.
func TestRefusedDirectWritesGoThroughTheCache(t *testing.T) {
	dir := t.TempDir()
	for start := range 2 {
		j := open(t, dir)
		refused := 0
		j.write = func(s *slot, b []byte) error {
			if s.direct {
				refused++
				return &os.PathError{Op: "write", Path: s.file.Name(), Err: syscall.EINVAL}
			}
			return s.write(b)
		}
		for n := range 3 {
			must(t, j, int64(1+start), string(rune('a'+n)))
		}
		if j.active.direct || refused > 1 {
			t.Errorf("start %d: direct %v after %d refusals", start, j.active.direct, refused)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, dir)
	defer j.Close()
	if n, damage := len(j.Waiting(1))+len(j.Waiting(2)), j.Damage(); n != 6 || len(damage) != 0 {
		t.Errorf("%d records, %v", n, damage)
	}
}
