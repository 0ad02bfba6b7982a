package audit

import (
	"context"
	"encoding/binary"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
)

var (
	insertEvent = db.InsertInto("audit_event", "practice_id", "id", "who", "patient", "action", "body")
	insertLink  = db.InsertInto("audit_link", "practice_id", "patient", "id").OrIgnore()
	insertNew   = db.InsertInto("audit_new", "practice_id", "first_id", "ids")
)

// write gives entries their ids and inserts them.
func (l *Log) write(tx *db.Tx, entries []Entry) {
	now := entries[0].At
	for _, e := range entries {
		if e.At.After(now) {
			now = e.At
		}
	}
	ids := make([]int64, len(entries))
	l.ids.next(now, ids)

	practice, k := int64(tx.Practice()), tx.Keys()
	rows := make([][]any, len(entries))
	var links [][]any
	var plain []byte
	for i := range entries {
		e := entries[i] // a copy: a transaction may run again and then takes new ids
		e.ID = ids[i]
		plain = appendEntry(plain[:0], &e)
		x := indexOf(k, &e)
		rows[i] = []any{practice, e.ID, x.who, x.patient, x.action, k.Audit().Seal(nil, plain, place(practice, e.ID))}
		for _, p := range e.patients() {
			links = append(links, []any{practice, patientKey(k, p), e.ID})
		}
	}
	tx.InsertMany(insertEvent, rows)
	if len(links) > 0 {
		tx.InsertMany(insertLink, links)
	}
	var list any
	if len(ids) > 1 {
		list = packIDs(ids)
	}
	tx.InsertMany(insertNew, [][]any{{practice, ids[0], list}})
}

// place is the additional data of an entry's seal: an entry moved to another practice or id does not open.
func place(practice, id int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(practice)), uint64(id))
}

// index is the searchable columns of an entry: keyed hashes cut to 32 bits, which keeps rows small. Whoever reads
// by them compares the opened entry. nil is stored as NULL and not indexed.
type index struct {
	who     int64
	patient any
	action  any // reads and searches have none: nearly every entry is one
}

func indexOf(k *keys.Practice, e *Entry) index {
	x := index{who: whoKey(k, e.Actor)}
	if e.Patient != "" {
		x.patient = patientKey(k, e.Patient)
	}
	if e.Action != ActionRead && e.Action != ActionSearch {
		x.action = actionKey(k, e.Action)
	}
	return x
}

func short(h int64) int64 { return int64(int32(h)) }

func patientKey(k *keys.Practice, ref string) int64   { return short(k.Hash("audit.patient", ref)) }
func actionKey(k *keys.Practice, action string) int64 { return short(k.Hash("audit.action", action)) }

func whoKey(k *keys.Practice, a db.Actor) int64 {
	if a.UserID != 0 {
		return userKey(k, a.UserID)
	}
	return short(k.Hash("audit.who", a.Kind, a.FHIR, a.Display))
}

func userKey(k *keys.Practice, id int64) int64 {
	return short(k.Hash("audit.user", string(binary.BigEndian.AppendUint64(nil, uint64(id)))))
}

// packIDs writes ids as differences: zigzag varints, the first from 0.
func packIDs(ids []int64) []byte {
	var out []byte
	last := int64(0)
	for _, id := range ids {
		out = binary.AppendVarint(out, id-last)
		last = id
	}
	return out
}

// unpackIDs reads packIDs; nil for damaged bytes.
func unpackIDs(b []byte) []int64 {
	var out []int64
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 {
			return nil
		}
		last += d
		out = append(out, last)
		b = b[n:]
	}
	return out
}

// Filter says which entries to find. Empty fields do not restrict.
type Filter struct {
	Patient string    // "Patient/x": entries about it or that link it
	UserID  int64     // what a person did
	Action  string    // one action
	From    time.Time // at or after
	To      time.Time // before
	Before  int64     // keyset: entries older than the one with this id; 0 starts at the newest
	Limit   int       // default 50, at most 1000
}

// ActionDamaged is the action of an entry whose bytes do not open or are not canonical; see [Log.Verify].
const ActionDamaged = "damaged"

// Find returns entries, newest first. The next page begins with Before set to the last ID. Damaged entries are
// shown, under every filter that reaches their row, and never left out in silence.
func (l *Log) Find(ctx context.Context, s db.Scope, f Filter) ([]Entry, error) {
	limit := min(max(f.Limit, 0), 1000)
	if limit == 0 {
		limit = 50
	}
	var out []Entry
	err := l.db.View(ctx, s, func(tx *db.Tx) error {
		var err error
		out, err = find(ctx, tx, f, limit)
		return err
	})
	return out, err
}

const entryColumns = "SELECT e.id, e.body FROM audit_event e "

var (
	byPatient = db.SQL(entryColumns + `WHERE e.practice_id = $1 AND e.id >= $2 AND e.id < $3 AND e.patient = $5
		ORDER BY e.id DESC LIMIT $4`)
	byLink = db.SQL(`SELECT e.id, e.body FROM audit_link k JOIN audit_event e ON e.practice_id = $1 AND e.id = k.id
		WHERE k.practice_id = $1 AND k.id >= $2 AND k.id < $3 AND k.patient = $5 ORDER BY k.id DESC LIMIT $4`)
	byWho = db.SQL(entryColumns + `WHERE e.practice_id = $1 AND e.id >= $2 AND e.id < $3 AND e.who = $5
		ORDER BY e.id DESC LIMIT $4`)
	byAction = db.SQL(entryColumns + `WHERE e.practice_id = $1 AND e.id >= $2 AND e.id < $3 AND e.action = $5
		ORDER BY e.id DESC LIMIT $4`)
	byTime = db.SQL(entryColumns + `WHERE e.practice_id = $1 AND e.id >= $2 AND e.id < $3
		ORDER BY e.id DESC LIMIT $4`)
)

// delaySlack is how much later than its time an entry's id may be: Seen's longest wait and then some.
const delaySlack = time.Minute

func find(ctx context.Context, tx *db.Tx, f Filter, limit int) ([]Entry, error) {
	k := tx.Keys()
	low, high := int64(0), int64(1<<63-1)
	if !f.From.IsZero() {
		low = idAt(f.From)
	}
	if !f.To.IsZero() {
		high = idAt(f.To.Add(delaySlack))
	}
	if f.Before > 0 && f.Before < high {
		high = f.Before
	}
	walk := func(st *db.Stmt, args ...any) ([]Entry, error) {
		return findBy(ctx, tx, st, f, low, high, limit, args...)
	}
	switch {
	case f.Patient != "":
		direct, err := walk(byPatient, patientKey(k, f.Patient))
		if err != nil {
			return nil, err
		}
		linked, err := walk(byLink, patientKey(k, f.Patient))
		if err != nil {
			return nil, err
		}
		return merge(direct, linked, limit), nil
	case f.UserID != 0:
		return walk(byWho, userKey(k, f.UserID))
	case f.Action != "" && f.Action != ActionRead && f.Action != ActionSearch:
		return walk(byAction, actionKey(k, f.Action))
	}
	return walk(byTime)
}

// findBy pages through one statement until limit entries satisfy the whole filter.
func findBy(ctx context.Context, tx *db.Tx, st *db.Stmt, f Filter, low, high int64, limit int, key ...any) ([]Entry, error) {
	var out []Entry
	page := limit
	for {
		args := append([]any{int64(tx.Practice()), low, high, page}, key...)
		rows, err := tx.Query(ctx, st, args...)
		if err != nil {
			return nil, err
		}
		n := 0
		for rows.Next() {
			var id int64
			var body []byte
			if err := rows.Scan(&id, &body); err != nil {
				rows.Close()
				return nil, err
			}
			n, high = n+1, id
			if e := open(tx.Keys(), int64(tx.Practice()), id, body); e.Action == ActionDamaged || f.admits(&e) {
				if out = append(out, e); len(out) == limit {
					break
				}
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, err
		}
		if len(out) == limit || n < page {
			return out, nil
		}
		page = 500 // the filter is narrower than its index: read on in larger steps
	}
}

// open decodes a stored entry.
func open(k *keys.Practice, practice, id int64, body []byte) Entry {
	if plain, err := k.Audit().Open(nil, body, place(practice, id)); err == nil {
		if e, err := decodeEntry(id, plain); err == nil {
			return e
		}
	}
	return Entry{ID: id, At: time.UnixMicro(idMicro(id)).UTC(), Event: Event{Action: ActionDamaged}}
}

// admits says whether an entry satisfies the filter, apart from its keyset.
func (f Filter) admits(e *Entry) bool {
	if !f.From.IsZero() && e.At.Before(f.From) || !f.To.IsZero() && !e.At.Before(f.To) {
		return false
	}
	if f.UserID != 0 && f.UserID != e.Actor.UserID || f.Action != "" && f.Action != e.Action {
		return false
	}
	if f.Patient == "" || f.Patient == e.Patient {
		return true
	}
	for _, p := range e.patients() {
		if p == f.Patient {
			return true
		}
	}
	return false
}

// merge joins two lists that run from new to old, without repeating an entry.
func merge(a, b []Entry, limit int) []Entry {
	out := make([]Entry, 0, min(limit, len(a)+len(b)))
	for len(out) < limit && (len(a) > 0 || len(b) > 0) {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].ID > b[0].ID:
			out, a = append(out, a[0]), a[1:]
		case len(a) > 0 && a[0].ID == b[0].ID:
			a = a[1:]
		default:
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}
