package db

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/ncruces/go-sqlite3"
)

// liteConn is one connection to a practice's file with its prepared statements. One goroutine uses it at a time.
type liteConn struct {
	c        *sqlite3.Conn
	prepared map[*Stmt]*litePrepared
	byText   map[string]*sqlite3.Stmt // transaction control
	open     []*liteCursor
	watched  context.Context // of a reader: what ends its statement
}

type litePrepared struct {
	st   *sqlite3.Stmt
	busy bool
}

// preparedLimit bounds the statements a connection keeps; searches make new ones all the time.
const preparedLimit = 400

func (lc *liteConn) close() error {
	// Conn.Close refuses while a statement lives.
	lc.endRows()
	for _, p := range lc.prepared {
		p.st.Close()
	}
	for _, st := range lc.byText {
		st.Close()
	}
	lc.prepared, lc.byText = nil, nil
	return lc.c.Close()
}

// control runs BEGIN, COMMIT and the like, kept prepared.
func (lc *liteConn) control(text string) error {
	st := lc.byText[text]
	if st == nil {
		var err error
		if st, _, err = lc.c.Prepare(text); err != nil {
			return err
		}
		if lc.byText == nil {
			lc.byText = make(map[string]*sqlite3.Stmt)
		}
		lc.byText[text] = st
	}
	return st.Exec()
}

// take returns s prepared. One that is still being read gets a twin, which release closes.
func (lc *liteConn) take(s *Stmt) (p *litePrepared, twin bool, err error) {
	if p := lc.prepared[s]; p != nil && !p.busy {
		p.busy = true
		return p, false, nil
	}
	twin = lc.prepared[s] != nil
	if !twin && len(lc.prepared) >= preparedLimit {
		for key, p := range lc.prepared {
			if !p.busy {
				p.st.Close()
				delete(lc.prepared, key)
			}
		}
	}
	st, tail, err := lc.c.PrepareFlags(s.sqlite, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, false, err
	}
	if st == nil || tail != "" {
		st.Close()
		return nil, false, errors.New("db: one statement at a time")
	}
	p = &litePrepared{st: st, busy: true}
	if !twin {
		if lc.prepared == nil {
			lc.prepared = make(map[*Stmt]*litePrepared)
		}
		lc.prepared[s] = p
	}
	return p, twin, nil
}

func (lc *liteConn) release(p *litePrepared, twin bool) error {
	if twin {
		return p.st.Close()
	}
	p.busy = false
	err := p.st.Reset()
	if e := p.st.ClearBindings(); err == nil { // bound text must not linger in the connection's memory
		err = e
	}
	return err
}

func bind(st *sqlite3.Stmt, args []any) (err error) {
	for i, a := range args {
		switch v := a.(type) {
		case nil:
			err = st.BindNull(i + 1)
		case int64:
			err = st.BindInt64(i+1, v)
		case string:
			err = st.BindText(i+1, v)
		case []byte:
			err = st.BindBlob(i+1, v)
		case float64:
			err = st.BindFloat(i+1, v)
		case []int64:
			err = st.BindText(i+1, intList(v))
		case []string:
			var list []byte
			if list, err = json.Marshal(v); err == nil {
				err = st.BindRawText(i+1, list)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func intList(v []int64) string {
	b := make([]byte, 0, 2+len(v)*20)
	b = append(b, '[')
	for i, n := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, ']'))
}

func (lc *liteConn) exec(_ context.Context, s *Stmt, args []any) (int64, error) {
	p, twin, err := lc.take(s)
	if err != nil {
		return 0, err
	}
	before := lc.c.TotalChanges()
	if err = bind(p.st, args); err == nil {
		for p.st.Step() {
		}
		err = p.st.Err()
	}
	changed := lc.c.TotalChanges() - before
	if e := lc.release(p, twin); err == nil {
		err = e
	}
	return changed, err
}

func (lc *liteConn) queue(ctx context.Context, s *Stmt, args []any) error {
	_, err := lc.exec(ctx, s, args)
	return err
}

func (lc *liteConn) insertMany(_ context.Context, ins *Insert, rows [][]any) error {
	p, twin, err := lc.take(ins.row)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err = bind(p.st, row); err != nil {
			break
		}
		if err = p.st.Exec(); err != nil { // Exec resets
			break
		}
	}
	if e := lc.release(p, twin); err == nil {
		err = e
	}
	return err
}

func (lc *liteConn) query(ctx context.Context, s *Stmt, args []any) (cursor, error) {
	if lc.watched != nil && lc.watched != ctx { // a reader whose statement ends before the transaction would
		lc.c.SetInterrupt(ctx)
		lc.watched = ctx
	}
	p, twin, err := lc.take(s)
	if err != nil {
		return nil, err
	}
	if err = bind(p.st, args); err != nil {
		lc.release(p, twin)
		return nil, err
	}
	cur := &liteCursor{conn: lc, p: p, twin: twin}
	lc.open = append(lc.open, cur)
	return cur, nil
}

// endRows closes rows that fn left open: a statement still running would keep the transaction from ending.
func (lc *liteConn) endRows() {
	for len(lc.open) > 0 {
		lc.open[len(lc.open)-1].close()
	}
}

type liteCursor struct {
	conn *liteConn
	p    *litePrepared
	twin bool
	done bool
}

func (cur *liteCursor) next() (bool, error) {
	if cur.done {
		return false, nil
	}
	if cur.p.st.Step() {
		return true, nil
	}
	return false, cur.p.st.Err()
}

func (cur *liteCursor) close() error {
	if cur.done {
		return nil
	}
	cur.done = true
	open := cur.conn.open
	for i := len(open) - 1; i >= 0; i-- {
		if open[i] == cur {
			cur.conn.open = append(open[:i], open[i+1:]...)
			break
		}
	}
	return cur.conn.release(cur.p, cur.twin)
}

func (cur *liteCursor) width() int { return cur.p.st.ColumnCount() }

func (cur *liteCursor) kind(col int) valueKind {
	switch cur.p.st.ColumnType(col) {
	case sqlite3.INTEGER:
		return intValue
	case sqlite3.FLOAT:
		return floatValue
	case sqlite3.TEXT:
		return textValue
	case sqlite3.BLOB:
		return bytesValue
	}
	return nullValue
}

func (cur *liteCursor) int(col int) (int64, error) {
	switch cur.p.st.ColumnType(col) {
	case sqlite3.INTEGER:
		return cur.p.st.ColumnInt64(col), nil
	case sqlite3.FLOAT:
		return wholeNumber(strconv.FormatFloat(cur.p.st.ColumnFloat(col), 'f', -1, 64))
	}
	return 0, errors.New("not a number")
}

func (cur *liteCursor) float(col int) (float64, error) {
	switch cur.p.st.ColumnType(col) {
	case sqlite3.INTEGER, sqlite3.FLOAT:
		return cur.p.st.ColumnFloat(col), nil
	}
	return 0, errors.New("not a number")
}

func (cur *liteCursor) bytes(col int) ([]byte, error) {
	switch cur.p.st.ColumnType(col) {
	case sqlite3.TEXT:
		return cur.p.st.ColumnRawText(col), nil
	case sqlite3.BLOB:
		return cur.p.st.ColumnRawBlob(col), nil
	}
	return nil, errors.New("not text or bytes")
}
