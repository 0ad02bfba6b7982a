package audit

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// An entry's id is its time in microseconds since 2020-01-01 UTC shifted by 12 bits, plus 12 random bits: ordered by
// time in every process, without a counter that writers would have to wait for. Within one process ids only grow, so
// a clock that stands still or is set back moves the id a little ahead of the entry's time. Two processes that
// record in the same microsecond take the same id once in 4096 times; nothing may fail for that, so no key of a row
// that somebody waits for is an entry's id.
const (
	idEpochMicro = 1577836800 * 1e6
	idShift      = 12
)

// idMicro is the Unix microsecond an id stands for.
func idMicro(id int64) int64 { return id>>idShift + idEpochMicro }

// idAt is the smallest id of a time; times outside what ids can hold give the nearest end.
func idAt(t time.Time) int64 {
	µ := t.UnixMicro() - idEpochMicro
	return min(max(µ, 0), 1<<(63-idShift)-1) << idShift
}

// idents hands out ids.
type idents struct {
	mu   sync.Mutex
	last int64 // microsecond of the last id, since the epoch
}

// next fills ids for entries made at now.
func (s *idents) next(now time.Time, ids []int64) {
	random := make([]byte, 2*len(ids))
	rand.Read(random)
	s.mu.Lock()
	defer s.mu.Unlock()
	µ := max(idAt(now)>>idShift, s.last+1)
	for i := range ids {
		ids[i] = µ<<idShift | int64(binary.LittleEndian.Uint16(random[2*i:])&(1<<idShift-1))
		s.last = µ
		µ++
	}
}

// waitID is the key of a row that waits for its position, for a second or so: 23 bits of milliseconds, which keep
// rows roughly in their order, and 40 random bits.
func waitID(now time.Time) int64 {
	var b [8]byte
	rand.Read(b[:])
	return now.UnixMilli()&(1<<23-1)<<40 | int64(binary.LittleEndian.Uint64(b[:])>>24)
}
