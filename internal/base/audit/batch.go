package audit

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/keys"
)

// A batch is many entries in one sealed body.
//
//	plain = 0x00 records | 0x01 zstd(records)
//	record = varint id difference (zigzag, the first from 0), uvarint length, canonical bytes
//
// The additional data of its seal is the kind of row, the practice and two numbers that say which row: a body put
// into another row does not open.
const (
	codecPlain = 0
	codecZstd  = 1

	maxPlain = 64 << 20 // bytes of a decompressed batch

	packWindow = 512 << 10 // an encoder holds twice as much for as long as the process lives
)

// Kinds of rows.
const (
	rowWait  = 'w' // numbers: id, 0
	rowFresh = 'f' // first and last position
	rowPack  = 'p' // first and last position

	rowJournal = 'j' // number of the write, the journal's id
)

var errBatch = errors.New("audit: a batch of entries is damaged")

// compressor is shared: encoders are large and EncodeAll is safe for concurrent use.
var compressor = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(packWindow))
})

var decompressor = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPlain))
})

func rowAAD(kind byte, practice, a, b int64) []byte {
	aad := append(make([]byte, 0, 25), kind)
	for _, n := range [...]int64{practice, a, b} {
		aad = binary.BigEndian.AppendUint64(aad, uint64(n))
	}
	return aad
}

// appendRecord appends one entry; last is the id of the one before.
func appendRecord(dst, scratch []byte, e *Entry, last int64) (out, kept []byte) {
	scratch = appendEntry(scratch[:0], e)
	dst = binary.AppendVarint(dst, e.ID-last)
	dst = binary.AppendUvarint(dst, uint64(len(scratch)))
	return append(dst, scratch...), scratch
}

// sealRecords seals records, compressed when that is worth it.
func sealRecords(k *keys.Practice, records, aad []byte, compress bool) ([]byte, error) {
	plain := append(make([]byte, 0, len(records)+1), codecPlain)
	if compress {
		z, err := compressor()
		if err != nil {
			return nil, err
		}
		plain[0] = codecZstd
		plain = z.EncodeAll(records, plain)
	} else {
		plain = append(plain, records...)
	}
	return k.Audit().Seal(make([]byte, 0, len(plain)+keys.Overhead), plain, aad), nil
}

// item is an entry as it lies in a batch.
type item struct {
	id    int64
	bytes []byte // canonical
}

func (i item) entry() (Entry, error) { return decodeEntry(i.id, i.bytes) }

// openItems opens a sealed batch. Each item's bytes are canonical: an entry that cannot be read is an error.
func openItems(k *keys.Practice, sealed, aad []byte) ([]item, error) {
	plain, err := k.Audit().Open(nil, sealed, aad)
	if err != nil {
		return nil, errBatch
	}
	if len(plain) == 0 {
		return nil, errBatch
	}
	records := plain[1:]
	switch plain[0] {
	case codecPlain:
	case codecZstd:
		z, err := decompressor()
		if err != nil {
			return nil, err
		}
		if records, err = z.DecodeAll(records, nil); err != nil {
			return nil, errBatch
		}
	default:
		return nil, errBatch
	}
	return itemsOf(records)
}

func itemsOf(records []byte) ([]item, error) {
	var out []item
	id := int64(0)
	for len(records) > 0 {
		d, n := binary.Varint(records)
		if n <= 0 {
			return nil, errBatch
		}
		size, m := binary.Uvarint(records[n:])
		if m <= 0 || size > uint64(len(records)-n-m) {
			return nil, errBatch
		}
		id += d
		start := n + m
		out = append(out, item{id, records[start : start+int(size)]})
		records = records[start+int(size):]
	}
	return out, nil
}

// recordsOf is the inverse of itemsOf.
func recordsOf(items []item) []byte {
	var out []byte
	last := int64(0)
	for _, i := range items {
		out = binary.AppendVarint(out, i.id-last)
		out = binary.AppendUvarint(out, uint64(len(i.bytes)))
		out = append(out, i.bytes...)
		last = i.id
	}
	return out
}
