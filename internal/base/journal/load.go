package journal

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yarrow.health/internal/base/keys"
)

const (
	suffix = ".journal"
	aside  = ".damaged" // added to the names of files that are kept because they lack something
)

// found is a frame and where it is.
type found struct {
	frame
	slot *slot
}

// load reads every file and finds out what waits.
func (j *Journal) load() error {
	names, err := filepath.Glob(filepath.Join(j.dir, "*"+suffix+"*"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	var frames []found
	for _, name := range names {
		kept := strings.HasSuffix(name, aside)
		if !kept && !strings.HasSuffix(name, suffix) {
			continue
		}
		s, some, err := read(name)
		if err != nil {
			return err
		}
		if kept {
			j.damage = append(j.damage, fmt.Sprintf("the file %s lacks recordings that were acknowledged", filepath.Base(name)))
			s.failed = true // never written to again
		}
		j.slots = append(j.slots, s)
		for _, f := range some {
			frames = append(frames, found{f, s})
		}
	}
	slices.SortFunc(frames, func(a, b found) int { return cmp.Compare(a.number, b.number) })
	var cut frame // the last write, when it was cut short: nobody was told of it, but what it says of earlier ones holds
	for n := len(frames); n > 0 && frames[n-1].torn && frames[n-1].number > cut.previous; n-- {
		if cut.number == 0 {
			cut = frames[n-1].frame
		}
		frames = frames[:n-1]
	}
	if len(frames) == 0 && cut.previous == 0 {
		j.id, j.next = cmp.Or(cut.journal, randomID()), cut.number+1
		return nil
	}
	newest := found{frame: frame{journal: cut.journal}}
	if len(frames) > 0 {
		newest = frames[len(frames)-1]
	}
	j.id, j.floor = newest.journal, max(newest.floor, cut.floor)
	j.acked, j.next = max(newest.number, cut.previous), max(newest.number, cut.number)+1
	missing := j.keep(frames)
	if other := j.others(frames); other != 0 {
		missing = append(missing, fmt.Sprintf("files of journal %016x lie among those of %016x", uint64(other), uint64(j.id)))
	}
	if len(missing) > 0 {
		j.damage = append(j.damage, fmt.Sprintf("recordings that were acknowledged are missing (%s)", strings.Join(missing, ", ")))
		return j.setAside()
	}
	// The newest write may have been read from memory. Before another names it, it must be on the disk; and the next goes
	// behind it, so that nothing is written over that it names.
	if newest.slot == nil || newest.slot.failed {
		return nil
	}
	j.active, newest.slot.at = newest.slot, newest.end
	return syncData(newest.slot.file)
}

// others finds writes of another journal: files of two folders were put into one. Which of them belong here is not known.
func (j *Journal) others(frames []found) int64 {
	for _, f := range frames {
		if f.journal != j.id {
			return f.journal
		}
	}
	return 0
}

func randomID() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>1) | 1
}

// read opens a file and finds its frames.
func read(name string) (*slot, []frame, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	f, direct, err := openFile(name, os.O_RDWR)
	if err != nil {
		return nil, nil, err
	}
	frames := framesIn(b)
	s := &slot{file: f, direct: direct, size: int64(len(b)) &^ (block - 1)}
	for _, fr := range frames {
		s.last = max(s.last, fr.number)
	}
	return s, frames, nil
}

// keep holds the records from the floor on, and follows the writes back from the last acknowledged one to it: each names
// the one before. It returns which are missing.
func (j *Journal) keep(frames []found) (missing []string) {
	byNumber := map[int64]found{}
	for _, f := range frames {
		if f.journal == j.id {
			byNumber[f.number] = f
		}
	}
	acknowledged := map[int64]bool{}
	for n := j.acked; n >= j.floor && n > 0; {
		f, ok := byNumber[n]
		if ok {
			acknowledged[n] = true
			n = f.previous
			continue
		}
		// What the missing one named before itself is not known: go on with the next that is there.
		from := n
		for n--; n >= j.floor; n-- {
			if _, ok := byNumber[n]; ok {
				break
			}
		}
		missing = append(missing, fmt.Sprintf("writes %d to %d of journal %016x", n+1, from, uint64(j.id)))
	}
	// A record may be there twice, since it was rescued: one that is whole is enough.
	type name struct{ owner, number int64 }
	have := map[name]bool{}
	for _, damaged := range []bool{false, true} {
		for _, f := range frames {
			if f.journal != j.id || f.number < j.floor || f.torn && !acknowledged[f.number] {
				continue
			}
			if f.slot.first == 0 || f.number < f.slot.first {
				f.slot.first = f.number
			}
			for _, r := range f.records {
				if n := (name{r.Owner, r.Number}); r.Damaged == damaged && !have[n] {
					have[n] = true
					j.hold(r, f.slot)
				}
			}
		}
	}
	for owner := range j.waiting {
		slices.SortStableFunc(j.waiting[owner], func(a, b held) int { return cmp.Compare(a.Number, b.Number) })
	}
	return missing
}

// setAside gives the files names that say they lack something, so that they are kept.
func (j *Journal) setAside() error {
	for _, s := range j.slots {
		if s.failed {
			continue
		}
		s.failed = true
		name := s.file.Name()
		if err := os.Rename(name, fmt.Sprintf("%s.%d%s", name, j.acked, aside)); err != nil {
			return err
		}
	}
	return keys.SyncFolder(j.dir)
}
