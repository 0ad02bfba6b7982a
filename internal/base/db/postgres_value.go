package db

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// Parameters are sent in PostgreSQL's binary format with their types declared, so that a statement means the same
// whatever the server would have guessed. A NULL has no type; the server infers it.

func paramOID(kind byte) uint32 {
	switch kind {
	case 'i':
		return pgtype.Int8OID
	case 'f':
		return pgtype.Float8OID
	case 's':
		return pgtype.TextOID
	case 'b':
		return pgtype.ByteaOID
	case 'I':
		return pgtype.Int8ArrayOID
	case 'F':
		return pgtype.Float8ArrayOID
	case 'S':
		return pgtype.TextArrayOID
	case 'B':
		return pgtype.ByteaArrayOID
	}
	return 0
}

// column is one column of many rows, for InsertMany.
type column struct {
	kind   byte // i f s b
	values []any
}

// encodeParam encodes one argument. Small ones go into scratch, which grows; values keep their own piece of it.
func encodeParam(scratch []byte, a any) (value, rest []byte, kind byte, err error) {
	mark := len(scratch)
	switch v := a.(type) {
	case nil:
		return nil, scratch, 'n', nil
	case int64:
		scratch = binary.BigEndian.AppendUint64(scratch, uint64(v))
		return scratch[mark:len(scratch):len(scratch)], scratch, 'i', nil
	case float64:
		scratch = binary.BigEndian.AppendUint64(scratch, math.Float64bits(v))
		return scratch[mark:len(scratch):len(scratch)], scratch, 'f', nil
	case string:
		if v == "" {
			return []byte{}, scratch, 's', nil
		}
		scratch = append(scratch, v...)
		return scratch[mark:len(scratch):len(scratch)], scratch, 's', nil
	case []byte:
		return v, scratch, 'b', nil
	case []int64:
		b := arrayHead(make([]byte, 0, 20+12*len(v)), len(v), pgtype.Int8OID)
		for _, n := range v {
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(n))
		}
		return b, scratch, 'I', nil
	case []string:
		b := arrayHead(nil, len(v), pgtype.TextOID)
		for _, s := range v {
			b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
		return b, scratch, 'S', nil
	case column:
		b, err := encodeColumn(v)
		return b, scratch, v.kind - 'a' + 'A', err
	}
	return nil, scratch, 0, fmt.Errorf("db: %T cannot be a parameter", a)
}

func arrayHead(b []byte, n int, elem uint32) []byte {
	dims := uint32(1)
	if n == 0 {
		dims = 0
	}
	b = binary.BigEndian.AppendUint32(b, dims)
	b = binary.BigEndian.AppendUint32(b, 1) // may hold NULLs
	b = binary.BigEndian.AppendUint32(b, elem)
	if n == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return binary.BigEndian.AppendUint32(b, 1) // lower bound
}

func encodeColumn(c column) ([]byte, error) {
	b := arrayHead(make([]byte, 0, 20+16*len(c.values)), len(c.values), paramOID(c.kind))
	for _, a := range c.values {
		switch v := a.(type) {
		case nil:
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32) // length -1: NULL
		case int64:
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		case float64:
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
		case []byte:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
		}
	}
	return b, nil
}

// columnsOf turns rows into columns. nulls has an 'n' for each column that holds nothing, and those are left out.
func columnsOf(width int, rows [][]any) (cols []any, nulls string, err error) {
	marks := make([]byte, width)
	for i := range width {
		c := column{values: make([]any, len(rows))}
		for j, row := range rows {
			var kind byte
			switch row[i].(type) {
			case nil:
			case int64:
				kind = 'i'
			case float64:
				kind = 'f'
			case string:
				kind = 's'
			case []byte:
				kind = 'b'
			default:
				return nil, "", fmt.Errorf("column %d: %T cannot be stored", i+1, row[i])
			}
			if kind != 0 {
				if c.kind != 0 && c.kind != kind {
					return nil, "", fmt.Errorf("column %d has values of two types", i+1)
				}
				c.kind = kind
			}
			c.values[j] = row[i]
		}
		marks[i] = 'v'
		if c.kind == 0 {
			marks[i] = 'n'
			continue
		}
		cols = append(cols, c)
	}
	if len(cols) == 0 {
		return nil, "", errors.New("rows of NULLs only")
	}
	return cols, string(marks), nil
}

// pgCursor reads the rows of a query as they arrive. When another statement is to run first, detach takes the rest
// into memory.
type pgCursor struct {
	s      *pgSession
	r      *pgconn.ResultReader // nil once detached or ended
	fields []pgconn.FieldDescription
	row    [][]byte
	rest   [][][]byte
	kept   *rowKeeper // what they lie in
	err    error
}

func (c *pgCursor) next() (bool, error) {
	if c.r == nil {
		if len(c.rest) == 0 {
			return false, c.err
		}
		c.row, c.rest = c.rest[0], c.rest[1:]
		return true, nil
	}
	if c.r.NextRow() {
		c.row = c.r.Values()
		return true, nil
	}
	return false, c.end()
}

// end reads the rest of the round trip.
func (c *pgCursor) end() error {
	_, err := c.r.Close()
	c.r = nil
	c.s.rows = nil
	if err != nil {
		c.err = c.s.fail(err)
		return c.err
	}
	c.s.drain()
	return nil
}

func (c *pgCursor) detach() error {
	// The row being looked at points into the connection's buffer, and the columns are described in one that is used again.
	c.kept = rowKeepers.Get().(*rowKeeper)
	c.kept.add(c.row)
	c.fields = slices.Clone(c.fields)
	for c.r.NextRow() {
		c.kept.add(c.r.Values())
	}
	c.row, c.rest = c.kept.rows[0], c.kept.rows[1:]
	return c.end()
}

// rowKeeper holds the copies of an answer's rows. Its room is used again once the answer is closed.
type rowKeeper struct {
	bytes []byte
	cells [][]byte
	rows  [][][]byte
}

var rowKeepers = sync.Pool{New: func() any { return new(rowKeeper) }}

// keptRoom bounds the room that waits to be used again.
const keptRoom = 256 << 10

func (k *rowKeeper) add(values [][]byte) {
	first := len(k.cells)
	for _, v := range values {
		if len(v) > 0 { // empty is not NULL, and needs no room
			at := len(k.bytes)
			k.bytes = append(k.bytes, v...)
			v = k.bytes[at:len(k.bytes):len(k.bytes)]
		}
		k.cells = append(k.cells, v)
	}
	k.rows = append(k.rows, k.cells[first:len(k.cells):len(k.cells)])
}

func (k *rowKeeper) release() {
	if cap(k.bytes) > keptRoom {
		return
	}
	clear(k.bytes) // nobody's record lies about
	clear(k.cells)
	clear(k.rows)
	k.bytes, k.cells, k.rows = k.bytes[:0], k.cells[:0], k.rows[:0]
	rowKeepers.Put(k)
}

func (c *pgCursor) discard() {
	if c.r != nil {
		_ = c.end()
	}
	c.rest = nil
	if c.kept != nil {
		c.row = nil
		c.kept.release()
		c.kept = nil
	}
}

func (c *pgCursor) close() error {
	c.discard()
	return nil
}

func (c *pgCursor) width() int { return len(c.fields) }

func (c *pgCursor) kind(col int) valueKind {
	if c.row[col] == nil {
		return nullValue
	}
	switch c.fields[col].DataTypeOID {
	case pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID, pgtype.BoolOID:
		return intValue
	case pgtype.Float8OID, pgtype.Float4OID, pgtype.NumericOID:
		return floatValue
	case pgtype.ByteaOID:
		return bytesValue
	}
	return textValue
}

func (c *pgCursor) int(col int) (int64, error) {
	v := c.row[col]
	switch c.fields[col].DataTypeOID {
	case pgtype.Int8OID:
		return int64(binary.BigEndian.Uint64(v)), nil
	case pgtype.Int4OID:
		return int64(int32(binary.BigEndian.Uint32(v))), nil
	case pgtype.Int2OID:
		return int64(int16(binary.BigEndian.Uint16(v))), nil
	case pgtype.BoolOID:
		return int64(v[0]), nil
	case pgtype.NumericOID: // sum(bigint)
		var n pgtype.Int8
		text, err := numericText(v)
		if err != nil {
			return 0, err
		}
		n.Int64, err = wholeNumber(text)
		return n.Int64, err
	}
	return 0, errors.New("not a whole number")
}

func numericText(v []byte) (string, error) {
	var n pgtype.Numeric
	if err := pgtype.NewMap().Scan(pgtype.NumericOID, pgtype.BinaryFormatCode, v, &n); err != nil {
		return "", err
	}
	text, err := n.Value()
	s, ok := text.(string)
	if err != nil || !ok {
		return "", errors.New("not a finite number")
	}
	return s, nil
}

func (c *pgCursor) float(col int) (float64, error) {
	v := c.row[col]
	switch c.fields[col].DataTypeOID {
	case pgtype.Float8OID:
		return math.Float64frombits(binary.BigEndian.Uint64(v)), nil
	case pgtype.Float4OID:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v))), nil
	case pgtype.NumericOID:
		var f pgtype.Float8
		err := pgtype.NewMap().Scan(pgtype.NumericOID, pgtype.BinaryFormatCode, v, &f)
		return f.Float64, err
	}
	n, err := c.int(col)
	return float64(n), err
}

func (c *pgCursor) bytes(col int) ([]byte, error) {
	switch c.fields[col].DataTypeOID {
	case pgtype.TextOID, pgtype.ByteaOID, pgtype.VarcharOID, pgtype.UnknownOID, pgtype.NameOID, pgtype.BPCharOID:
		return c.row[col], nil
	}
	return nil, errors.New("not text or bytes")
}
