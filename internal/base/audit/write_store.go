package audit

import (
	"encoding/binary"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
)

var insertWait = db.InsertInto("audit_wait", "practice_id", "id", "body")

// write gives entries their ids and inserts them: one row for all.
func (l *Log) write(tx *db.Tx, entries []Entry) {
	now := entries[0].At
	for _, e := range entries {
		if e.At.After(now) {
			now = e.At
		}
	}
	ids := make([]int64, len(entries))
	l.ids.next(now, ids)
	var records, scratch []byte
	last := int64(0)
	for i := range entries {
		e := entries[i] // a copy: a transaction may run again and then takes new ids
		e.ID = ids[i]
		records, scratch = appendRecord(records, scratch, &e, last)
		last = e.ID
	}
	practice, k := tx.Practice(), tx.Keys()
	// Without compression there is nothing that can fail.
	id := waitID(now)
	body, _ := sealRecords(k, records, rowAAD(rowWait, int64(practice), id, 0), false)
	tx.InsertMany(insertWait, [][]any{{int64(practice), id, body}})
	tx.OnCommit(func() { l.fresh.Store(practice, true) })
}

// Keys of audit_find: keyed hashes cut to 32 bits, which keeps rows small. Whoever reads by them compares the opened
// entry.
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

// keysOf collects the keys an entry is found by. Reads and searches have no key of their own: nearly every entry is one.
func keysOf(k *keys.Practice, e *Entry, into map[int64]bool) {
	into[whoKey(k, e.Actor)] = true
	if e.Patient != "" {
		into[patientKey(k, e.Patient)] = true
	}
	for _, p := range e.patients() {
		into[patientKey(k, p)] = true
	}
	if common := e.Action == ActionRead || e.Action == ActionSearch; !common {
		into[actionKey(k, e.Action)] = true
	}
}
