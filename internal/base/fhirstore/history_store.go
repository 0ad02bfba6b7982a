package fhirstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// HistoryQuery asks for versions of one resource (Type and ID), of a type, or of everything (both empty); R4 http,
// section 3.1.0.15.
type HistoryQuery struct {
	Type, ID string
	Types    []string  // of everything: only these types; nil: all
	Since    time.Time // only versions written at or after this instant (_since); zero: all
	// AtFrom and AtTo, half-open, ask for the versions that were current at some moment of the time (_at); zero: no limit
	AtFrom, AtTo time.Time
	Count        int    // versions per page: 0 means 50, at most 1,000
	Page         string // HistoryPage.Next of the page before
}

// HistoryPage is one page of a history, newest first. Deletions are among the versions with Deleted set.
type HistoryPage struct {
	Versions []*Resource
	Next     string // "" on the last page
}

// Versions returns a history. Versions of resources that the scope may not see now, and versions that it may not
// see because of their own labels or content, are left out. A page that finds little among much may come back short
// with a cursor that goes on. Of types the scope may not read a history of everything shows nothing.
func (s *Store) Versions(ctx context.Context, tx *db.Tx, hq HistoryQuery) (*HistoryPage, error) {
	a := s.kernel(tx)
	w := walker{s: s, tx: tx, a: &a, q: hq, want: hq.Count}
	if w.want <= 0 {
		w.want = pageSize
	}
	w.want = min(w.want, maxPage)
	if hq.Type != "" {
		if err := a.may(hq.Type, auth.CanRead); err != nil {
			return nil, err
		}
	} else if a.closed {
		return &HistoryPage{}, nil
	}
	if hq.ID != "" {
		r, err := s.visible(ctx, tx, hq.Type, hq.ID)
		if err != nil {
			return nil, err
		}
		w.rid = r.rid
	}
	if err := w.start(); err != nil {
		return nil, err
	}
	return w.page(ctx)
}

// walker goes through versions from the newest to the oldest.
type walker struct {
	s      *Store
	tx     *db.Tx
	a      *kernel
	q      HistoryQuery
	want   int
	rid    int64 // of one resource only; 0 for more
	before int64 // seq to go on below
	low    int64 // seq of the oldest that is asked for
}

func (w *walker) start() error {
	w.before, w.low = maxDate, minDate
	if !w.q.Since.IsZero() {
		w.low = w.q.Since.UnixMicro()
	}
	if !w.q.AtTo.IsZero() {
		w.before = w.q.AtTo.UnixMicro()
	}
	if w.q.Page == "" {
		return nil
	}
	wrong := fhir.Problem("value", "The page link does not belong to this history.", "Start the history again without _page.")
	sealed, err := base64.RawURLEncoding.DecodeString(w.q.Page)
	if err != nil {
		return wrong
	}
	plain, err := w.tx.Keys().Open(nil, sealed, w.aad())
	if err != nil {
		return wrong
	}
	before, n := binary.Varint(plain)
	if n <= 0 {
		return wrong
	}
	w.before = before
	return nil
}

// aad binds a cursor to its history.
func (w *walker) aad() []byte {
	at := binary.BigEndian.AppendUint64(nil, uint64(w.q.Since.UnixMicro()))
	at = binary.BigEndian.AppendUint64(at, uint64(w.q.AtFrom.UnixMicro()))
	at = binary.BigEndian.AppendUint64(at, uint64(w.q.AtTo.UnixMicro()))
	sum := keyspaceOf(w.tx.Keys()).sum("history", w.q.Type, w.q.ID, string(at))
	return binary.BigEndian.AppendUint64([]byte("history"), uint64(sum))
}

func (w *walker) page(ctx context.Context) (*HistoryPage, error) {
	page := &HistoryPage{}
	last := w.before
	for batch, looked := w.want+1, 0; ; batch = min(batch*4, 4000) {
		rows, err := w.batch(ctx, batch)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			v := &rows[i]
			if len(page.Versions) == w.want {
				page.Next = w.cursor(last)
				return page, nil
			}
			last, w.before = v.seq, v.seq
			r, err := w.show(ctx, v)
			if err != nil {
				return nil, err
			}
			if r != nil {
				page.Versions = append(page.Versions, r)
			}
		}
		if len(rows) < batch {
			return page, nil
		}
		if looked += len(rows); looked >= scanPage {
			page.Next = w.cursor(last)
			return page, nil
		}
	}
}

func (w *walker) cursor(before int64) string {
	return base64.RawURLEncoding.EncodeToString(w.tx.Keys().Seal(nil, binary.AppendVarint(nil, before), w.aad()))
}

// aVersion is a version with what its resource's current row says; current.sealed is not read.
type aVersion struct {
	row
	current row
}

const versionColumns = `r.rid, r.idh, r.type, r.date, r.span, r.patient, r.labels AS current_labels, r.version AS current_version,
	r.seq AS current_seq, r.deleted AS current_deleted, `

// batch reads the next versions below w.before. Current and superseded ones are two lists in one order.
func (w *walker) batch(ctx context.Context, limit int) ([]aVersion, error) {
	q := newSQL(w.tx.Practice())
	before, low, n := q.arg(w.before), q.arg(w.low), q.arg(int64(limit))
	seqOf := func(alias string) string {
		if w.tx.Engine() == db.SQLite && w.rid != 0 {
			return "+" + alias + ".seq" // one resource's versions are found by its number
		}
		return alias + ".seq"
	}
	which := func() {
		switch {
		case w.rid != 0:
			q.add(" AND r.rid = ", q.arg(w.rid))
		case w.q.Type != "":
			plus := ""
			if w.tx.Engine() == db.SQLite {
				plus = "+"
			}
			q.add(" AND ", plus, "r.type = ", q.arg(int64(typeCode(w.q.Type))))
		case !w.a.All || w.q.Types != nil:
			of := slices.Values(w.q.Types)
			if w.q.Types == nil {
				of = maps.Keys(w.a.Types)
			}
			types := []int64{}
			for typ := range of {
				if w.a.Allows(typ, auth.CanRead) {
					types = append(types, int64(typeCode(typ)))
				}
			}
			slices.Sort(types)
			q.add(" AND r.type {in ", q.arg(types), "}")
		}
	}
	at := func() {}
	if !w.q.AtFrom.IsZero() {
		from := q.arg(w.q.AtFrom.UnixMicro())
		at = func() {
			q.add(" AND (v.seq >= ", from, " OR (v.version = r.version - 1 AND r.seq > ", from, ") OR EXISTS (SELECT 1 FROM history x",
				" WHERE x.practice_id = $1 AND x.rid = v.rid AND x.version = v.version + 1 AND x.seq > ", from, "))")
		}
	}
	q.add("SELECT * FROM (SELECT * FROM (SELECT ", versionColumns, "r.version, r.seq, r.labels, r.deleted, r.body FROM resource r",
		" WHERE r.practice_id = $1 AND ", seqOf("r"), " < ", before, " AND ", seqOf("r"), " >= ", low)
	which()
	q.add(" ORDER BY r.seq DESC LIMIT ", n, ") a UNION ALL SELECT * FROM (SELECT ", versionColumns,
		"v.version, v.seq, v.labels, v.deleted, v.body FROM history v CROSS JOIN resource r WHERE v.practice_id = $1 AND ",
		seqOf("v"), " < ", before, " AND ", seqOf("v"), " >= ", low, " AND r.practice_id = $1 AND r.rid = v.rid")
	if w.rid != 0 {
		q.add(" AND v.rid = ", q.arg(w.rid))
	}
	which()
	at()
	q.add(" ORDER BY v.seq DESC LIMIT ", n, ") b) c ORDER BY seq DESC LIMIT ", n)
	rows, err := w.tx.Query(ctx, w.tx.Compile(q.b.String()), q.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []aVersion
	for rows.Next() {
		var v aVersion
		var typ, deleted, wasDeleted int64
		if err := rows.Scan(&v.rid, &v.idh, &typ, &v.date, &v.span, &v.patient, &v.current.labels, &v.current.version, &v.current.seq,
			&deleted, &v.version, &v.seq, &v.labels, &wasDeleted, &v.sealed); err != nil {
			return nil, err
		}
		v.typ, v.deleted = int16(typ), wasDeleted != 0
		now := v.row
		now.labels, now.version, now.seq, now.deleted = v.current.labels, v.current.version, v.current.seq, deleted != 0
		v.current = now
		out = append(out, v)
	}
	return out, rows.Err()
}

// show returns a version if the scope sees it; nil otherwise.
func (w *walker) show(ctx context.Context, v *aVersion) (*Resource, error) {
	if w.a.may(typeName(v.typ), auth.CanRead) != nil || v.span == spanExpunged {
		return nil, nil
	}
	if v.version == v.current.version {
		v.current = v.row
	} else if w.a.narrow(typeName(v.typ), auth.CanRead) != nil {
		rows, err := scanRows(w.tx.Query(ctx, selectByRow, int64(w.tx.Practice()), v.rid))
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		v.current = *rows[0]
	}
	if seen, err := w.a.sees(ctx, w.tx, &v.current, auth.CanRead); err != nil || !seen {
		return nil, err
	}
	if v.version != v.current.version {
		if seen, err := w.s.seesVersion(w.a, w.tx, &v.row, auth.CanRead); err != nil || !seen {
			return nil, err
		}
	}
	d, err := w.s.openOnce(w.tx, &v.row)
	if err != nil {
		return nil, damagedIssue(typeName(v.typ), err)
	}
	r := v.showing(d)
	r.read()
	return r, nil
}
