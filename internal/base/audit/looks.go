package audit

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/journal"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// looks gathers what Seen records on the embedded database. It goes to the journal of the node, where one write and one sync
// serve every request that waits, of all practices. Within a second Sequence takes it over into the practice's own file.
type looks struct {
	node *journal.Journal // nil on PostgreSQL

	mu      sync.Mutex
	next    *sheet // what gathers while another sheet is being written
	writing bool
	crowd   crowd

	begun sync.Map // db.PracticeID: what is written for it now has greater numbers than all it took over
}

// sheet is what is written together: a share of each practice.
type sheet struct {
	shares   []*share
	requests int
	done     chan struct{}
	err      error
}

type share struct {
	practice db.PracticeID
	keys     *keys.Practice
	records  []byte // as in a batch
	last     int64  // id of the last entry in records
}

// canonicals lends space for the canonical bytes of a request's entries.
var canonicals = sync.Pool{New: func() any { return new(canonical) }}

type canonical struct {
	bytes []byte
	ends  []int
	ids   []int64
}

// note records entries in the journal.
func (l *Log) note(ctx context.Context, s db.Scope, entries []Entry) error {
	if s.Practice() == db.System {
		return unrecorded(db.ErrNoScope)
	}
	k, err := l.db.KeysOf(ctx, s)
	if err != nil {
		return unrecorded(err)
	}
	if err := l.looks.begin(ctx, l.db, s); err != nil {
		return unrecorded(err)
	}
	c := canonicals.Get().(*canonical)
	c.bytes, c.ends, c.ids = c.bytes[:0], c.ends[:0], append(c.ids[:0], make([]int64, len(entries))...)
	l.ids.next(entries[0].At, c.ids)
	for i := range entries {
		entries[i].ID = c.ids[i]
		c.bytes = appendEntry(c.bytes, &entries[i])
		c.ends = append(c.ends, len(c.bytes))
	}
	sh, lead := l.looks.add(s.Practice(), k, c)
	clear(c.bytes) // it says who saw whom
	canonicals.Put(c)
	if lead {
		// The first to come writes at once, in its own goroutine; those who come meanwhile make the next sheet.
		l.looks.write(sh, &l.commits)
		l.looks.handOver(ctx, &l.commits)
		return sh.err
	}
	select {
	case <-sh.done:
		return sh.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func unrecorded(err error) error {
	return fhir.Problem("transient",
		"Who looks at charts cannot be recorded right now, so patient information is not shown.",
		"Try again in a minute. If it goes on, tell whoever looks after this server.").Because(err)
}

// add puts a request's entries on the sheet that gathers, and says whether the caller has to write it now.
func (l *looks) add(p db.PracticeID, k *keys.Practice, c *canonical) (sh *sheet, lead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = &sheet{done: make(chan struct{})}
	}
	sh = l.next
	sh.requests++
	var of *share
	for _, some := range sh.shares {
		if some.practice == p && some.keys == k {
			of = some
		}
	}
	if of == nil {
		of = &share{practice: p, keys: k}
		sh.shares = append(sh.shares, of)
	}
	start := 0
	for i, end := range c.ends {
		of.records = binary.AppendVarint(of.records, c.ids[i]-of.last)
		of.records = binary.AppendUvarint(of.records, uint64(end-start))
		of.records = append(of.records, c.bytes[start:end]...)
		of.last, start = c.ids[i], end
	}
	if l.writing {
		l.crowd.grew(sh.requests)
		return sh, false
	}
	l.writing, l.next = true, nil
	return sh, true
}

// handOver lets the sheets that gathered be written, so that the leader can answer its own request.
func (l *looks) handOver(ctx context.Context, commits *atomic.Int64) {
	sh := l.sheet()
	if sh == nil {
		return
	}
	go func() {
		for ; sh != nil; sh = l.sheet() {
			l.write(sh, commits)
			l.mu.Lock()
			have := 0
			if l.next != nil {
				have = l.next.requests
			}
			wait := l.crowd.expect(ctx, have, sh.requests)
			l.mu.Unlock()
			wait()
		}
	}()
}

// sheet takes what gathered, or ends the writing when there is none.
func (l *looks) sheet() *sheet {
	l.mu.Lock()
	defer l.mu.Unlock()
	sh := l.next
	l.next, l.writing = nil, sh != nil
	return sh
}

func (l *looks) write(sh *sheet, commits *atomic.Int64) {
	defer close(sh.done)
	parts := make([]journal.Part, len(sh.shares))
	for i, of := range sh.shares {
		parts[i] = journal.Part{Owner: int64(of.practice), Seal: func(_ []byte, number int64) ([]byte, error) {
			return sealRecords(of.keys, of.records, l.aad(int64(of.practice), number), false)
		}}
	}
	commits.Add(1)
	if err := l.node.Write(parts...); err != nil {
		sh.err = unrecorded(err)
	}
}

// aad is the additional data of a record in the journal: it opens for this write alone.
func (l *looks) aad(practice, number int64) []byte {
	return binary.BigEndian.AppendUint64(rowAAD(rowJournal, practice, number, l.node.ID()), 0)
}
