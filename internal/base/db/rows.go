package db

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Rows are the rows of a Query, read one at a time.
type Rows struct {
	tx     *Tx
	cur    cursor
	err    error
	closed bool
}

// cursor is an engine's row reader. Bytes are valid until the next call of next.
type cursor interface {
	next() (bool, error)
	width() int
	kind(col int) valueKind
	int(col int) (int64, error)
	float(col int) (float64, error)
	bytes(col int) ([]byte, error)
	close() error
}

type valueKind uint8

const (
	nullValue valueKind = iota
	intValue
	floatValue
	textValue
	bytesValue
)

// Next moves to the next row and says whether there is one. After false, look at Err.
func (r *Rows) Next() bool {
	if r.closed || r.err != nil {
		return false
	}
	if r.tx.done {
		r.err = ErrDone
		return false
	}
	ok, err := r.cur.next()
	if err != nil {
		r.err = r.tx.fail(err)
	}
	if !ok || err != nil {
		r.Close()
		return false
	}
	return true
}

// Scan copies the row's columns into dest: *int64, *int, *float64, *string, *[]byte, *bool (0 or 1), *any, pointers
// to named integer or string types as *T through Scan of their base type. NULL fits only *[]byte, *any, and a
// pointer to a pointer, such as **int64. A column whose dest is nil is left out.
func (r *Rows) Scan(dest ...any) error {
	if r.closed {
		return ErrDone
	}
	if len(dest) != r.cur.width() {
		return fmt.Errorf("db: %d destinations for %d columns", len(dest), r.cur.width())
	}
	for i, d := range dest {
		if d == nil {
			continue
		}
		if err := scan(r.cur, i, d); err != nil {
			return fmt.Errorf("db: column %d: %w", i+1, err)
		}
	}
	return nil
}

// Peek gives the bytes of a column without copying them: they are good until the next call of Next, and until another statement runs.
func (r *Rows) Peek(col int) ([]byte, error) {
	if r.closed {
		return nil, ErrDone
	}
	if r.cur.kind(col) == nullValue {
		return nil, nil
	}
	return r.cur.bytes(col)
}

// Err is the error that ended Next, if any.
func (r *Rows) Err() error { return r.err }

// Close ends reading. It may be called twice.
func (r *Rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.cur.close()
}

// Row is the answer of QueryRow.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the first row's columns into dest, as Rows.Scan does, or returns ErrNoRows.
func (r Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	return r.rows.Scan(dest...)
}

var errNull = errors.New("NULL; scan into a pointer to a pointer, or use COALESCE")

func scan(c cursor, col int, dest any) error {
	null := c.kind(col) == nullValue
	switch d := dest.(type) {
	case *[]byte:
		if null {
			*d = nil
			return nil
		}
		b, err := c.bytes(col)
		*d = append(make([]byte, 0, len(b)), b...)
		return err
	case *any:
		return scanAny(c, col, d)
	case **int64:
		return scanNull(c, col, d)
	case **int:
		return scanNull(c, col, d)
	case **float64:
		return scanNull(c, col, d)
	case **string:
		return scanNull(c, col, d)
	}
	if null {
		return errNull
	}
	switch d := dest.(type) {
	case *int64:
		n, err := c.int(col)
		*d = n
		return err
	case *int:
		n, err := c.int(col)
		*d = int(n)
		return err
	case *PracticeID:
		n, err := c.int(col)
		*d = PracticeID(n)
		return err
	case *bool:
		n, err := c.int(col)
		*d = n != 0
		return err
	case *float64:
		f, err := c.float(col)
		*d = f
		return err
	case *string:
		b, err := c.bytes(col)
		*d = string(b)
		return err
	}
	return fmt.Errorf("cannot scan into %T", dest)
}

func scanNull[T any](c cursor, col int, dest **T) error {
	if c.kind(col) == nullValue {
		*dest = nil
		return nil
	}
	v := new(T)
	*dest = v
	return scan(c, col, v)
}

func scanAny(c cursor, col int, dest *any) (err error) {
	switch c.kind(col) {
	case intValue:
		*dest, err = c.int(col)
	case floatValue:
		*dest, err = c.float(col)
	case textValue:
		var b []byte
		b, err = c.bytes(col)
		*dest = string(b)
	case bytesValue:
		var b []byte
		err = scan(c, col, &b)
		*dest = b
	default:
		*dest = nil
	}
	return err
}

// wholeNumber reads a number that SQL may have made of integers, such as the numeric of PostgreSQL's sum(bigint).
func wholeNumber(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, errors.New("not a whole number of 64 bits")
	}
	return int64(f), nil
}
