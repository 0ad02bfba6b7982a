package db

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Pages of the embedded database are encrypted with AES-256-XTS (IEEE 1619-2018) over sectors of 512 bytes, numbered
// from the start of the file. The result is byte for byte what the `xts` VFS of ncruces/go-sqlite3 writes, so that
// module can open our files; it only makes one system call per request instead of one per sector.
//
// XTS hides pages but does not authenticate them. Bodies are sealed with AES-GCM before they get here.

const sectorSize = 512

type pageCipher struct{ data, tweak cipher.Block }

func newPageCipher(key []byte) (*pageCipher, error) {
	if len(key) != 64 {
		return nil, fmt.Errorf("db: a file key has 64 bytes, not %d", len(key))
	}
	data, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, err
	}
	tweak, err := aes.NewCipher(key[32:])
	return &pageCipher{data, tweak}, err
}

// crypt encrypts or decrypts whole sectors in place; the first is number sector. Blocks are taken four at a time: they do
// not depend on one another, so the processor works on several at once.
func (c *pageCipher) crypt(buf []byte, sector uint64, encrypt bool) {
	const lanes = 4
	var t [16]byte
	var tweak [2 * lanes]uint64
	le := binary.LittleEndian
	for ; len(buf) > 0; buf, sector = buf[sectorSize:], sector+1 {
		clear(t[8:])
		le.PutUint64(t[:8], sector)
		c.tweak.Encrypt(t[:], t[:])
		lo, hi := le.Uint64(t[:8]), le.Uint64(t[8:])
		for i := 0; i < sectorSize; i += 16 * lanes {
			group := buf[i : i+16*lanes : i+16*lanes]
			for j := range lanes {
				tweak[2*j], tweak[2*j+1] = lo, hi
				// Multiply the tweak by x in GF(2^128).
				carry := hi >> 63
				hi = hi<<1 | lo>>63
				lo = lo<<1 ^ carry*0x87
			}
			mix(group, &tweak)
			if encrypt {
				for j := 0; j < len(group); j += 16 {
					c.data.Encrypt(group[j:j+16], group[j:j+16])
				}
			} else {
				for j := 0; j < len(group); j += 16 {
					c.data.Decrypt(group[j:j+16], group[j:j+16])
				}
			}
			mix(group, &tweak)
		}
	}
}

// mix adds the tweaks to the blocks.
func mix(group []byte, tweak *[8]uint64) {
	for j, w := range tweak {
		at := group[8*j : 8*j+8]
		binary.LittleEndian.PutUint64(at, binary.LittleEndian.Uint64(at)^w)
	}
}

// sectors reads and writes any range of a file whose sectors are encrypted.
type sectors struct {
	file   readWriterAt
	cipher *pageCipher
}

type readWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

func roundUp(n int64) int64 { return (n + sectorSize - 1) &^ (sectorSize - 1) }

// scratch lends buffers for the time of a call: hundreds of practices may be open, and few are busy at once.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func lend(n int) (*[]byte, []byte) {
	p := scratch.Get().(*[]byte)
	if cap(*p) < n {
		*p = make([]byte, max(n, 2*4096))
	}
	return p, (*p)[:n]
}

// ReadAt fills p from off. At the end of the file it returns what there is and io.EOF.
func (s *sectors) ReadAt(p []byte, off int64) (int, error) {
	first := off &^ (sectorSize - 1)
	lead := int(off - first)
	lent, buf := lend(int(roundUp(int64(lead + len(p)))))
	defer scratch.Put(lent)
	n, err := s.file.ReadAt(buf, first)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	n &^= sectorSize - 1 // a part of a sector cannot be read and was never complete
	s.cipher.crypt(buf[:n], uint64(first/sectorSize), false)
	got := 0
	if n > lead {
		got = copy(p, buf[lead:n])
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

// WriteAt writes p at off, reading the first and last sector when p covers them in part. Beyond the end of the
// file the rest of a sector is zero.
func (s *sectors) WriteAt(p []byte, off int64) (int, error) {
	first := off &^ (sectorSize - 1)
	lead := int(off - first)
	lent, buf := lend(int(roundUp(int64(lead + len(p)))))
	defer scratch.Put(lent)
	last := len(buf) - sectorSize
	tailPartial := lead+len(p) < len(buf)
	if lead > 0 || (tailPartial && last == 0) {
		if err := s.readSector(buf[:sectorSize], first); err != nil {
			return 0, err
		}
	}
	if tailPartial && last > 0 {
		if err := s.readSector(buf[last:], first+int64(last)); err != nil {
			return 0, err
		}
	}
	copy(buf[lead:], p)
	s.cipher.crypt(buf, uint64(first/sectorSize), true)
	if n, err := s.file.WriteAt(buf, first); err != nil || n < len(buf) {
		if err == nil {
			err = io.ErrShortWrite
		}
		return max(0, min(n-lead, len(p))), err
	}
	return len(p), nil
}

func (s *sectors) readSector(buf []byte, off int64) error {
	n, err := s.file.ReadAt(buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n < sectorSize {
		clear(buf)
		return nil
	}
	s.cipher.crypt(buf, uint64(off/sectorSize), false)
	return nil
}
