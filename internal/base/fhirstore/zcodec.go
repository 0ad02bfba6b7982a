package fhirstore

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The dictionaries are raw zstd content, one per family of resource types, written by dictgen from
// resources we made up. They are data on disk: a dictionary that ever compressed a body stays for ever.
//
//go:embed dict/v1.zst
var dictV1 []byte

// dictNone marks a body compressed without a dictionary.
const dictNone = 0

// minCompress is the size below which a body is kept as it is.
const minCompress = 48

const dictRaw = 255 // a body too short to compress

// zcodec compresses bodies. One per process: encoders hold some 300 KB each and are made on first use.
type zcodec struct {
	once    sync.Once
	err     error
	byType  map[int16]uint8
	content map[uint8][]byte

	mu  sync.RWMutex
	enc map[uint8]*zstd.Encoder
	dec *zstd.Decoder
}

// dictFamilies reads the archive: for each dictionary a line "id types… length", then its bytes.
func dictFamilies(archive []byte) (byType map[int16]uint8, content map[uint8][]byte, err error) {
	d, err := zstd.NewReader(bytes.NewReader(archive), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20))
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	all, err := io.ReadAll(d)
	if err != nil {
		return nil, nil, err
	}
	byType, content = map[int16]uint8{}, map[uint8][]byte{}
	for len(all) > 0 {
		head, rest, ok := bytes.Cut(all, []byte("\n"))
		var id uint8
		var n int
		var types string
		if !ok {
			return nil, nil, fmt.Errorf("fhirstore: dictionary archive without a header line")
		}
		if _, err := fmt.Sscan(string(head), &id, &types, &n); err != nil || n > len(rest) {
			return nil, nil, fmt.Errorf("fhirstore: dictionary header %q: %v", head, err)
		}
		content[id] = rest[:n]
		for _, t := range strings.Split(types, ",") {
			code := typeCode(t)
			if t == "*" {
				byType[0] = id
			} else if code != 0 {
				byType[code] = id
			} else {
				return nil, nil, fmt.Errorf("fhirstore: dictionary for unknown type %q", t)
			}
		}
		all = rest[n:]
	}
	return byType, content, nil
}

func (z *zcodec) load() error {
	z.once.Do(func() {
		z.byType, z.content, z.err = dictFamilies(dictV1)
		if z.err != nil {
			return
		}
		z.enc = map[uint8]*zstd.Encoder{}
		opts := []zstd.DOption{zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderMaxMemory(64 << 20)}
		for id, b := range z.content {
			opts = append(opts, zstd.WithDecoderDictRaw(uint32(id), b))
		}
		z.dec, z.err = zstd.NewReader(nil, opts...)
	})
	return z.err
}

func (z *zcodec) encoder(id uint8) (*zstd.Encoder, error) {
	z.mu.RLock()
	e := z.enc[id]
	z.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if e := z.enc[id]; e != nil {
		return e, nil
	}
	opts := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
		zstd.WithWindowSize(128 << 10), zstd.WithEncoderConcurrency(encodersEach()), zstd.WithLowerEncoderMem(true)}
	if b := z.content[id]; b != nil {
		opts = append(opts, zstd.WithEncoderDictRaw(uint32(id), b))
	}
	e, err := zstd.NewWriter(nil, opts...)
	if err == nil {
		z.enc[id] = e
	}
	return e, err
}

// encodersEach is how many encoders a dictionary may have. There are a dozen dictionaries, each encoder holds 0.7 MB for as long
// as the process lives, and a body keeps one for some 20 µs only: on many processors, waiting for it costs less than the memory.
func encodersEach() int { return min(4, runtime.GOMAXPROCS(0)) }

// zstdMagic starts every frame; it is not stored.
const zstdMagic = "\x28\xb5\x2f\xfd"

// compress appends the dictionary id and the compressed form of plain to dst.
func (z *zcodec) compress(dst []byte, typ int16, plain []byte) ([]byte, error) {
	if err := z.load(); err != nil {
		return nil, err
	}
	if len(plain) < minCompress {
		return append(append(dst, dictRaw), plain...), nil
	}
	id, ok := z.byType[typ]
	if !ok {
		id = z.byType[0]
	}
	enc, err := z.encoder(id)
	if err != nil {
		return nil, err
	}
	at := len(dst) + 1
	out := enc.EncodeAll(plain, append(dst, id))
	// Drop the frame's magic number.
	copy(out[at:], out[at+len(zstdMagic):])
	return out[:len(out)-len(zstdMagic)], nil
}

// maxBody bounds what a stored body may expand to.
const maxBody = 32 << 20

// expand undoes compress.
func (z *zcodec) expand(dst, packed []byte) ([]byte, error) {
	if err := z.load(); err != nil {
		return nil, err
	}
	if len(packed) == 0 {
		return nil, fmt.Errorf("fhirstore: empty body")
	}
	id, packed := packed[0], packed[1:]
	if id == dictRaw {
		return append(dst, packed...), nil
	}
	if id != dictNone && z.content[id] == nil {
		return nil, fmt.Errorf("fhirstore: body needs dictionary %d, which this version of Yarrow does not carry", id)
	}
	frame := make([]byte, 0, len(packed)+len(zstdMagic))
	frame = append(append(frame, zstdMagic...), packed...)
	return z.dec.DecodeAll(frame, dst)
}
