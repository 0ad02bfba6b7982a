package audit

import (
	"context"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/db"
)

// Filter says which entries to find. Empty fields do not restrict.
type Filter struct {
	Patient    string    // "Patient/x": entries about it or that link it
	UserID     int64     // what a person did
	Kind       string    // staff, patient, app, system or operator
	Action     string    // one action
	Type       string    // one resource type
	Outcome    string    // one outcome
	BreakGlass bool      // emergency access alone
	From       time.Time // at or after
	To         time.Time // before
	Before     int64     // keyset: entries older than the one with this id; 0 starts at the newest
	Limit      int       // default 50, at most [MaxFound]
}

// MaxFound is the most entries that one Find returns.
const MaxFound = 10000

// ActionDamaged is the action of an entry whose bytes do not open or are not canonical; see [Log.Verify].
const ActionDamaged = "damaged"

// Find returns entries, newest first. The next page begins with Before set to the last ID. Rows that are damaged
// are shown as one entry each, under every filter that reaches them, and never left out in silence.
func (l *Log) Find(ctx context.Context, s db.Scope, f Filter) ([]Entry, error) {
	if f.Limit = min(max(f.Limit, 0), MaxFound); f.Limit == 0 {
		f.Limit = 50
	}
	if s == nil || !s.Valid() {
		return nil, db.ErrNoScope
	}
	var out []Entry
	journal := l.looks.waiting(s.Practice())
	err := l.db.View(ctx, s, func(tx *db.Tx) error {
		looks, _, err := l.looks.open(ctx, tx, journal, 1<<40)
		if err != nil {
			return err
		}
		g := gatherer{ctx: ctx, tx: tx, f: f, high: 1<<63 - 1, looks: looks}
		err = g.run()
		out = g.out
		return err
	})
	return out, err
}

// Each calls fn with every entry that satisfies the filter, newest first, in pages that do not hold up writers.
func (l *Log) Each(ctx context.Context, s db.Scope, f Filter, fn func(Entry) error) error {
	f.Limit = 2000
	for {
		page, err := l.Find(ctx, s, f)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := fn(e); err != nil {
				return err
			}
		}
		if len(page) < f.Limit {
			return nil
		}
		f.Before = page[len(page)-1].ID
	}
}

var (
	packsByTime = db.SQL(`SELECT position, first, high, body FROM audit_pack
		WHERE practice_id = $1 AND high >= $2 AND low < $3 AND high < $4 ORDER BY high DESC LIMIT $5`)
	packsByKey = db.SQL(`SELECT p.position, p.first, p.high, p.body FROM audit_find k
		JOIN audit_pack p ON p.practice_id = $1 AND p.high = k.high
		WHERE k.practice_id = $1 AND k.key = $6 AND k.high >= $2 AND p.low < $3 AND k.high < $4 ORDER BY k.high DESC LIMIT $5`)
)

// delaySlack is how much later than its time an entry's id may be: Seen's longest wait and then some.
const delaySlack = time.Minute

// gatherer collects what satisfies a filter: first from the rows that are not packed, then pack by pack. Packs
// overlap in time by as much as a transaction lasts, so it goes on until no older pack can hold a newer entry.
type gatherer struct {
	ctx       context.Context
	tx        *db.Tx
	f         Filter
	low, high int64  // ids: from low, before high
	looks     []look // what the journal holds
	out       []Entry
}

func (g *gatherer) run() error {
	if !g.f.From.IsZero() {
		g.low = idAt(g.f.From)
	}
	if !g.f.To.IsZero() {
		g.high = idAt(g.f.To.Add(delaySlack))
	}
	if g.f.Before > 0 && g.f.Before < g.high {
		g.high = g.f.Before
	}
	if err := g.loose(); err != nil {
		return err
	}
	if err := g.packs(); err != nil {
		return err
	}
	g.cut()
	return nil
}

// cut keeps the newest of what was found.
func (g *gatherer) cut() {
	slices.SortFunc(g.out, func(a, b Entry) int {
		switch {
		case a.ID > b.ID:
			return -1
		case a.ID < b.ID:
			return 1
		}
		return 0
	})
	if len(g.out) > g.f.Limit {
		g.out = g.out[:g.f.Limit]
	}
}

// loose takes what waits, in the tables and in the journal, and what is fresh.
func (g *gatherer) loose() error {
	rows, err := g.tx.Query(g.ctx, allWaits, int64(g.tx.Practice()))
	if err != nil {
		return err
	}
	w, err := waiting(g.tx, rows, 1<<40)
	if err != nil {
		return err
	}
	g.admit(w.items)
	for range w.damaged {
		g.broken(idAt(g.tx.Now()))
	}
	for _, k := range g.looks {
		if g.admit(k.items); k.items == nil {
			g.broken(idAt(g.tx.Now()))
		}
	}
	fresh, err := freshOf(g.ctx, g.tx, 1<<31)
	if err != nil {
		return err
	}
	for _, r := range fresh {
		items, err := openItems(g.tx.Keys(), r.body, rowAAD(rowFresh, int64(g.tx.Practice()), r.first, r.position))
		if err != nil {
			g.broken(idAt(g.tx.Now()))
			continue
		}
		g.admit(items)
	}
	return nil
}

func (g *gatherer) admit(items []item) {
	for _, i := range items {
		if i.id < g.low || i.id >= g.high {
			continue
		}
		e, err := i.entry()
		if err != nil {
			g.broken(i.id)
		} else if g.f.admits(&e) {
			g.out = append(g.out, e)
		}
	}
}

// broken shows a row that does not open.
func (g *gatherer) broken(id int64) {
	if id >= g.low && id < g.high {
		g.out = append(g.out, Entry{ID: id, At: time.UnixMicro(idMicro(id)).UTC(), Event: Event{Action: ActionDamaged}})
	}
}

func (g *gatherer) packs() error {
	k := g.tx.Keys()
	st := packsByKey
	var key []any
	switch {
	case g.f.Patient != "":
		key = []any{patientKey(k, g.f.Patient)}
	case g.f.UserID != 0:
		key = []any{userKey(k, g.f.UserID)}
	case g.f.Action != "" && g.f.Action != ActionRead && g.f.Action != ActionSearch:
		key = []any{actionKey(k, g.f.Action)}
	default:
		st = packsByTime
	}
	below := int64(1<<63 - 1)
	for {
		const page = 16
		args := append([]any{int64(g.tx.Practice()), g.low, g.high, below, page}, key...)
		rows, err := g.tx.Query(g.ctx, st, args...)
		if err != nil {
			return err
		}
		n, enough := 0, false
		for rows.Next() && !enough {
			var s segment
			if err := rows.Scan(&s.position, &s.first, &below, &s.body); err != nil {
				rows.Close()
				return err
			}
			n++
			if len(g.out) >= g.f.Limit {
				g.cut()
				enough = g.out[len(g.out)-1].ID > below
			}
			if enough {
				break
			}
			items, err := openItems(k, s.body, rowAAD(rowPack, int64(g.tx.Practice()), s.first, s.position))
			if err != nil {
				g.broken(below)
				continue
			}
			g.admit(items)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		if enough || n < page {
			return nil
		}
	}
}

// admits says whether an entry satisfies the filter, apart from its keyset.
func (f Filter) admits(e *Entry) bool {
	switch {
	case !f.From.IsZero() && e.At.Before(f.From), !f.To.IsZero() && !e.At.Before(f.To):
		return false
	case f.UserID != 0 && f.UserID != e.Actor.UserID, f.Kind != "" && f.Kind != e.Actor.Kind:
		return false
	case f.Action != "" && f.Action != e.Action, f.Type != "" && f.Type != e.Type:
		return false
	case f.Outcome == OutcomeSuccess && e.Outcome != "", f.Outcome != "" && f.Outcome != OutcomeSuccess && f.Outcome != e.Outcome:
		return false
	case f.BreakGlass && !e.BreakGlass():
		return false
	}
	return f.Patient == "" || f.Patient == e.Patient ||
		strings.HasPrefix(f.Patient, "Patient/") && slices.Contains(e.Links, f.Patient)
}

// BreakGlass says whether an entry is emergency access.
func (e *Event) BreakGlass() bool { return e.Action == ActionBreakGlass || e.Purpose == "BTG" }
