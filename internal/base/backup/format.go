package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"yarrow.health/internal/standards/fhir"
)

// A backup is age(zstd(frames)). A frame is a kind, a length and a payload:
//
//	H header   S store   ( T table  R rows…  E end of table )…   Z end of store   F footer
//
// Rows are values one after another, each with a byte for its type. The end of a table carries the number of its rows
// and their SHA-256; age and zstd notice changed and missing bytes, these notice a fault of ours.

const (
	formatNumber = 1
	frameLimit   = 256 << 20

	headerFrame = 'H'
	storeFrame  = 'S'
	tableFrame  = 'T'
	rowsFrame   = 'R'
	tableEnd    = 'E'
	storeEnd    = 'Z'
	footerFrame = 'F'
)

type header struct {
	Format  int     `json:"format"`
	Created string  `json:"created"` // RFC 3339
	Engine  string  `json:"engine"`  // it came from; of interest to people only
	Stores  []int64 `json:"stores"`
}

type store struct {
	Practice int64   `json:"practice"`
	Schema   []int64 `json:"schema"`            // applied migrations
	KeyCheck []byte  `json:"keyCheck"`          // tells whether a key store has the keys of these rows
	Members  []byte  `json:"members,omitempty"` // memberships and logins of the practice's people, sealed under its key
}

type table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

type tableSum struct {
	Rows int64  `json:"rows"`
	Hash []byte `json:"sha256"`
}

type footer struct {
	Stores int   `json:"stores"`
	Rows   int64 `json:"rows"`
}

// damaged is the answer for a file that is not a whole backup.
func damaged(what string, err error) error {
	return fhir.Problem("exception", "This backup cannot be used: "+what+". Nothing was restored from the damaged part.",
		"Use another copy of it. Run `yarrow backup verify` on copies you rely on.").Because(err)
}

type frameWriter struct{ w *bufio.Writer }

func (f frameWriter) frame(kind byte, payload []byte) error {
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = kind
	n := binary.PutUvarint(head[1:], uint64(len(payload)))
	if _, err := f.w.Write(head[:1+n]); err != nil {
		return err
	}
	_, err := f.w.Write(payload)
	return err
}

func (f frameWriter) json(kind byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.frame(kind, raw)
}

type frameReader struct {
	r   *bufio.Reader
	buf []byte
}

// next reads a frame; its payload is valid until the next call.
func (f *frameReader) next() (kind byte, payload []byte, err error) {
	if kind, err = f.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(f.r)
	if err != nil {
		return 0, nil, unexpected(err)
	}
	if n > frameLimit {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	// Grow with what arrives: a length alone must not take memory.
	f.buf = f.buf[:0]
	for uint64(len(f.buf)) < n {
		step := min(n-uint64(len(f.buf)), 1<<20)
		mark := len(f.buf)
		f.buf = append(f.buf, make([]byte, step)...)
		if _, err := io.ReadFull(f.r, f.buf[mark:]); err != nil {
			return 0, nil, unexpected(err)
		}
	}
	return kind, f.buf, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *frameReader) expect(kind byte, v any) error {
	got, payload, err := f.next()
	if err != nil {
		return unexpected(err)
	}
	if got != kind {
		return fmt.Errorf("a frame %q where %q is expected", got, kind)
	}
	return json.Unmarshal(payload, v)
}

// appendValue encodes nil, int64, float64, string or []byte.
func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, 'n'), nil
	case int64:
		return binary.AppendVarint(append(b, 'i'), v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(v)), nil
	case string:
		b = binary.AppendUvarint(append(b, 's'), uint64(len(v)))
		return append(b, v...), nil
	case []byte:
		b = binary.AppendUvarint(append(b, 'b'), uint64(len(v)))
		return append(b, v...), nil
	}
	return b, fmt.Errorf("backup: a column of type %T", v)
}

var errRow = errors.New("a row that ends early")

// readValue decodes one value; strings and bytes are copies.
func readValue(b []byte) (v any, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errRow
	}
	kind, b := b[0], b[1:]
	switch kind {
	case 'n':
		return nil, b, nil
	case 'i':
		i, n := binary.Varint(b)
		if n <= 0 {
			return nil, nil, errRow
		}
		return i, b[n:], nil
	case 'f':
		if len(b) < 8 {
			return nil, nil, errRow
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:], nil
	case 's', 'b':
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, nil, errRow
		}
		piece := b[n : n+int(size)]
		b = b[n+int(size):]
		if kind == 's' {
			return string(piece), b, nil
		}
		return append([]byte{}, piece...), b, nil
	}
	return nil, nil, fmt.Errorf("a value of unknown type %q", kind)
}

// summer counts and hashes the rows of a table.
type summer struct {
	rows int64
	hash hash.Hash
}

func newSummer() *summer { return &summer{hash: sha256.New()} }

func (s *summer) row(encoded []byte) {
	s.rows++
	s.hash.Write(encoded)
}

func (s *summer) sum() tableSum { return tableSum{Rows: s.rows, Hash: s.hash.Sum(nil)} }
