package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"yarrow.health/internal/base/keys"
)

// Journal is an open journal. One process has it open at a time; the folder's owner sees to that. It is safe for
// concurrent use.
type Journal struct {
	dir string
	id  int64

	mu      sync.Mutex
	waiting map[int64][]held // by owner, in order
	bytes   int64            // of the bodies that wait
	damage  []string

	writing sync.Mutex // held by Write; guards what follows
	slots   []*slot
	active  *slot
	next    int64 // number of the next write
	acked   int64 // number of the last one acknowledged
	floor   int64 // as the last acknowledged write has it
	tried   int64 // how full the active file was when rescue last looked
	buf     []byte
	closed  bool
	sync    func(*slot) error         // waits until what was written is on the disk
	write   func(*slot, []byte) error // at the end of what it holds
}

// held is a record that waits, and where it lies.
type held struct {
	Record
	slot *slot
}

// slot is one file. It is written from its beginning to its end and again from its beginning when nobody wants what it holds.
type slot struct {
	file   *os.File
	direct bool  // a write returns when it is on the disk
	at     int64 // where the next frame goes
	size   int64 // bytes that are there already: writing into them changes nothing but them
	first  int64 // the number of the first write in it that counts, and
	last   int64 // the greatest
	failed bool  // a write or sync failed: what the disk holds is not known
	wanted int   // records in it that wait; under Journal.mu
}

// Sizes.
const (
	firstSize = 256 << 10 // of a new file
	moreSize  = 1 << 20   // what a file grows by
	turnAt    = 1 << 20   // a file this full gives way to one that is free
	maxHeld   = 64 << 20  // bytes of bodies that wait. More means that nobody takes them over
	maxWrite  = 16 << 20  // bytes of bodies of one write
)

// Errors of Write.
var (
	ErrFull   = errors.New("journal: what was recorded is not taken over")
	ErrSize   = errors.New("journal: too much for one write")
	ErrTwice  = errors.New("journal: an owner gives two records to one write")
	ErrClosed = errors.New("journal: it is closed")
)

// Open reads the journal in a folder, which it makes when it is missing. Nothing is written before the first Write.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, waiting: map[int64][]held{}, sync: (*slot).sync, write: (*slot).write}
	if err := j.load(); err != nil {
		_ = j.Close()
		return nil, err
	}
	return j, nil
}

// ID names the journal. With the number of a write it names that write for ever: a journal that is made anew has another id.
func (j *Journal) ID() int64 { return j.id }

// Part is what one owner adds to a write. Seal appends the record to dst, given the number of the write.
type Part struct {
	Owner int64
	Seal  func(dst []byte, number int64) ([]byte, error)
}

// Write makes records durable, all or none; each owner gives at most one. When it fails, some of them may be found all the
// same after a restart. From then on they wait for Done.
func (j *Journal) Write(parts ...Part) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case j.Held() > maxHeld:
		return ErrFull
	}
	if err := j.turn(); err != nil {
		return err
	}
	var f frame
	size := 0
	for i, p := range parts {
		// Owner and number name a record: of two, one would pass for the other.
		if slices.ContainsFunc(parts[:i], func(q Part) bool { return q.Owner == p.Owner }) {
			return ErrTwice
		}
		body, err := p.Seal(nil, j.next)
		if err != nil {
			return err
		}
		if size += len(body); size > maxWrite {
			return ErrSize
		}
		f.records = append(f.records, Record{Owner: p.Owner, Number: j.next, Body: body})
	}
	if err := j.put(&f); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range f.records {
		j.hold(r, j.active)
	}
	return nil
}

// put appends a frame to the active file and waits until it is on the disk.
func (j *Journal) put(f *frame) (err error) {
	f.journal, f.number, f.previous, f.floor = j.id, j.next, j.acked, j.lowest()
	size := int64(headSize + 4 + block)
	for _, r := range f.records {
		size += perRecord + int64(len(r.Body))
	}
	if int64(cap(j.buf)) < size {
		lessMemory(j.buf)
		if j.buf, err = moreMemory(int(max(roundUp(size), 64<<10))); err != nil {
			return err
		}
	}
	j.buf = appendFrame(j.buf[:0], f)
	s := j.active
	if err := s.room(int64(len(j.buf))); err != nil {
		return err
	}
	j.next++ // also when it fails: the number may be on the disk
	err = j.write(s, j.buf)
	if errors.Is(err, syscall.EINVAL) && s.direct { // direct writing was only promised
		if err = s.indirect(); err == nil {
			err = j.write(s, j.buf)
		}
	}
	if err == nil {
		err = j.sync(s)
	}
	if err != nil {
		s.failed = true
		return err
	}
	if s.at == 0 {
		s.first = f.number
	}
	s.at, s.last = s.at+int64(len(j.buf)), f.number
	j.acked, j.floor = f.number, f.floor
	if cap(j.buf) > moreSize {
		lessMemory(j.buf)
		j.buf = nil
	}
	return nil
}

// hold notes a record that waits. The caller has mu.
func (j *Journal) hold(r Record, s *slot) {
	j.waiting[r.Owner] = append(j.waiting[r.Owner], held{r, s})
	j.bytes += int64(len(r.Body))
	s.wanted++
}

// lowest is the first write of the files somebody wants something in. From there on every write is on the disk.
func (j *Journal) lowest() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	low := j.next
	for _, s := range j.slots {
		if s.wanted > 0 {
			low = min(low, s.first)
		}
	}
	return low
}

// turn sees to it that there is a file to write to.
func (j *Journal) turn() error {
	sound := j.active != nil && !j.active.failed
	if sound && j.active.at < turnAt {
		return nil
	}
	if sound {
		if err := j.rescue(); err != nil {
			return err
		}
	}
	// What is in a free file will be written over. The newest write on the disk must not name any of it as wanted, or a crash
	// on the way would look like damage.
	if free := j.free(); free != nil {
		if sound && j.floor <= free.last && j.lowest() > free.last {
			if err := j.put(&frame{}); err != nil {
				return err
			}
		}
		if j.floor > free.last || j.acked == 0 {
			free.at, free.last = 0, 0
			j.active, j.tried = free, 0
			return nil
		}
	}
	if sound && len(j.slots) > 1 {
		return nil // it goes on growing until the others are free
	}
	s, err := j.create()
	if err == nil {
		j.slots, j.active = append(j.slots, s), s
	}
	return err
}

// rescue writes what waits in other files again, into the active one, when that has grown a lot for want of a free one: some
// owner does not come to take its records, and must not make the files grow for ever.
func (j *Journal) rescue() error {
	if j.active.at < max(4*turnAt, j.tried+moreSize) {
		return nil
	}
	j.tried = j.active.at
	j.mu.Lock()
	var f frame
	size := int64(0)
	for _, h := range j.waiting {
		for _, r := range h {
			if r.slot != j.active {
				f.records = append(f.records, r.Record)
				size += int64(len(r.Body))
			}
		}
	}
	j.mu.Unlock()
	if len(f.records) == 0 || size > maxWrite || j.active.at < 4*size {
		return nil
	}
	if err := j.put(&f); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range j.waiting {
		for i := range h {
			if h[i].slot != j.active {
				h[i].slot.wanted--
				h[i].slot = j.active
				j.active.wanted++
			}
		}
	}
	return nil
}

// free is a file in which nobody wants anything.
func (j *Journal) free() *slot {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.slots {
		if s != j.active && !s.failed && s.wanted == 0 {
			return s
		}
	}
	return nil
}

// create makes a file of zeros, so that later writes change neither its length nor where it lies.
func (j *Journal) create() (s *slot, err error) {
	for n := len(j.slots); ; n++ {
		path := filepath.Join(j.dir, fmt.Sprintf("%d%s", n, suffix))
		f, direct, err := openFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s = &slot{file: f, direct: direct}
		err = s.room(firstSize)
		if err == nil {
			err = j.sync(s)
		}
		if err == nil {
			err = keys.SyncFolder(j.dir)
		}
		if err != nil {
			s.file.Close()
			os.Remove(path)
			return nil, err
		}
		return s, nil
	}
}

func (s *slot) write(b []byte) error {
	_, err := s.file.WriteAt(b, s.at)
	return err
}

// indirect opens the file anew, so that it is written through the cache of the operating system.
func (s *slot) indirect() error {
	f, err := os.OpenFile(s.file.Name(), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	s.file.Close() // nothing of it is wanted any more
	s.file, s.direct = f, false
	return nil
}

// sync waits until what was written to the file is on the disk.
func (s *slot) sync() error {
	if s.direct {
		return nil
	}
	return syncData(s.file)
}

// room makes the file long enough for n more bytes.
func (s *slot) room(n int64) error {
	for s.at+n > s.size {
		by := moreSize
		if s.size == 0 {
			by = firstSize
		}
		zeros, err := moreMemory(by)
		if err == nil {
			_, err = s.file.WriteAt(zeros, s.size)
			if errors.Is(err, syscall.EINVAL) && s.direct {
				if err = s.indirect(); err == nil {
					_, err = s.file.WriteAt(zeros, s.size)
				}
			}
			lessMemory(zeros)
		}
		if err != nil {
			return err
		}
		s.size += int64(by)
	}
	return nil
}

// Waiting lists what an owner recorded and nobody has taken over, in order.
func (j *Journal) Waiting(owner int64) []Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Record, len(j.waiting[owner]))
	for i, h := range j.waiting[owner] {
		out[i] = h.Record
	}
	return out
}

// Owners lists whose records wait.
func (j *Journal) Owners() []int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]int64, 0, len(j.waiting))
	for owner := range j.waiting {
		out = append(out, owner)
	}
	slices.Sort(out)
	return out
}

// Held is how many bytes wait.
func (j *Journal) Held() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes
}

// Done says that an owner's records up to the one of a write are durable elsewhere. They are forgotten.
func (j *Journal) Done(owner, number int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	h := j.waiting[owner]
	n := 0
	for n < len(h) && h[n].Number <= number {
		j.bytes -= int64(len(h[n].Body))
		h[n].slot.wanted--
		h[n] = held{}
		n++
	}
	if j.waiting[owner] = h[n:]; n == len(h) {
		delete(j.waiting, owner)
	}
}

// Forget drops everything of an owner who will never take it over: one whose keys were destroyed.
func (j *Journal) Forget(owner int64) { j.Done(owner, 1<<63-1) }

// After makes the numbers of later writes greater than number. An owner may come from where this journal was further, such
// as from a backup of the node of which this one is an earlier copy: what it gives must not have a number it has done with.
func (j *Journal) After(number int64) {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.next = max(j.next, number+1)
}

// Damage says, in plain words, what acknowledged writes could not be read when the journal was opened, now or earlier: the
// files are kept until somebody takes them away. It names no owner, since that is what cannot be read.
func (j *Journal) Damage() []string { return slices.Clone(j.damage) }

// Close closes the files. What waits is found again by Open.
func (j *Journal) Close() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.closed = true
	var err error
	for _, s := range j.slots {
		if e := s.file.Close(); err == nil {
			err = e
		}
	}
	lessMemory(j.buf)
	j.slots, j.active, j.buf = nil, nil, nil
	return err
}
