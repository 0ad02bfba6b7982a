package bulk

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
)

// A part is some lines of a file and, line by line, which resource each is and whose: "Observation/x Patient/y". It is compressed
// and sealed, bound to its place.

const partSize = 1 << 20 // bytes of lines after which a part is full

// line is one line of a file.
type line struct {
	ref     string // "Observation/x"; "" for the header of a block
	patient string // "Patient/y" or ""
	text    []byte // without the line's end
}

// codec compresses parts.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

var newCodec = sync.OnceValues(func() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(128<<20))
	return &codec{enc, dec}, err
})

// growing is a part that takes lines.
type growing struct {
	index []byte
	text  []byte
	lines int
	of    string // the patient of all lines, "" for several
}

func (g *growing) add(l line) {
	if g.lines == 0 {
		g.of = l.patient
	} else if g.of != l.patient {
		g.of = ""
	}
	g.index = append(append(append(append(g.index, l.ref...), ' '), l.patient...), '\n')
	g.text = append(append(g.text, l.text...), '\n')
	g.lines++
}

func partPlace(p db.PracticeID, h int64, file, part int) []byte {
	return place(p, "export_part", h, int64(file), int64(part))
}

// seal closes a part.
func (g *growing) seal(p db.PracticeID, k *keys.Practice, h int64, file, part int) (sealedPart, error) {
	c, err := newCodec()
	if err != nil {
		return sealedPart{}, err
	}
	plain := append(fmt.Appendf(make([]byte, 0, len(g.index)+len(g.text)+16), "%d\n", len(g.index)), g.index...)
	packed := c.enc.EncodeAll(append(plain, g.text...), nil)
	return sealedPart{file, part, k.Seal(nil, packed, partPlace(p, h, file, part))}, nil
}

// openPart reads the lines of a part.
func openPart(p db.PracticeID, k *keys.Practice, h int64, file, part int, sealed []byte) ([]line, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	packed, err := k.Open(nil, sealed, partPlace(p, h, file, part))
	if err != nil {
		return nil, err
	}
	plain, err := c.dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, err
	}
	size, rest, _ := bytes.Cut(plain, []byte("\n"))
	var n int
	if _, err := fmt.Sscan(string(size), &n); err != nil || n < 0 || n > len(rest) {
		return nil, fmt.Errorf("bulk: part %d of file %d has no index", part, file)
	}
	index, text := rest[:n], rest[n:]
	var out []line
	for len(index) > 0 {
		var of, l []byte
		of, index, _ = bytes.Cut(index, []byte("\n"))
		l, text, _ = bytes.Cut(text, []byte("\n"))
		ref, patient, _ := strings.Cut(string(of), " ")
		out = append(out, line{ref, patient, l})
	}
	return out, nil
}
