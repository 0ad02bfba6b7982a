package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A frame is one write: its head, then the bodies of its records, then zeros up to the next block. Numbers are big endian.
//
//	magic    4  "YJ\x00\x01"
//	journal  8  the journal's id
//	number   8  of this write; they only grow
//	previous 8  number of the last write acknowledged before this one
//	floor    8  nobody wanted a write with a smaller number when this was written
//	bodies   4  bytes of all bodies
//	records  4  how many; then for each: owner 8, number 8, length 4, CRC-32C of the body 4
//	crc      4  CRC-32C of the head up to here
//
// Frames begin at blocks and cover whole ones, so that writing a frame never touches what an earlier one acknowledged.
const (
	block     = 4096
	headSize  = 44
	perRecord = 24
	maxFrame  = 64 << 20
)

var (
	magic      = []byte("YJ\x00\x01")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      [block]byte
)

type frame struct {
	journal, number, previous, floor int64
	size, end                        int64 // bytes in the file, and where it ends there
	records                          []Record
	torn                             bool // a body is not what was written
}

// Record is what one owner gave to one write.
type Record struct {
	Owner   int64
	Number  int64 // of the write it was given to; with Owner it names the record
	Body    []byte
	Damaged bool // Body is not what was written
}

func roundUp(n int64) int64 { return (n + block - 1) &^ (block - 1) }

// appendFrame appends the frame, padded.
func appendFrame(dst []byte, f *frame) []byte {
	start := len(dst)
	be := binary.BigEndian
	total := 0
	for _, r := range f.records {
		total += len(r.Body)
	}
	dst = append(dst, magic...)
	for _, n := range [...]int64{f.journal, f.number, f.previous, f.floor} {
		dst = be.AppendUint64(dst, uint64(n))
	}
	dst = be.AppendUint32(dst, uint32(total))
	dst = be.AppendUint32(dst, uint32(len(f.records)))
	for _, r := range f.records {
		dst = be.AppendUint64(dst, uint64(r.Owner))
		dst = be.AppendUint64(dst, uint64(r.Number))
		dst = be.AppendUint32(dst, uint32(len(r.Body)))
		dst = be.AppendUint32(dst, crc32.Checksum(r.Body, castagnoli))
	}
	dst = be.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	for _, r := range f.records {
		dst = append(dst, r.Body...)
	}
	size := int64(len(dst) - start)
	return append(dst, zeros[:roundUp(size)-size]...)
}

// parseFrame reads the frame that b begins with; ok is false when there is none whose head is whole.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < headSize+4 || !bytes.Equal(b[:4], magic) {
		return f, false
	}
	be := binary.BigEndian
	for i, to := range [...]*int64{&f.journal, &f.number, &f.previous, &f.floor} {
		*to = int64(be.Uint64(b[4+8*i:]))
	}
	total, n := int64(be.Uint32(b[36:])), int64(be.Uint32(b[40:]))
	head := headSize + n*perRecord
	if total > maxFrame || head+4 > int64(len(b)) || be.Uint32(b[head:]) != crc32.Checksum(b[:head], castagnoli) {
		return f, false
	}
	f.size = roundUp(head + 4 + total)
	at := head + 4
	for i := range n {
		row := b[headSize+i*perRecord:]
		length := int64(be.Uint32(row[16:]))
		if total -= length; total < 0 {
			return f, false
		}
		r := Record{Owner: int64(be.Uint64(row)), Number: int64(be.Uint64(row[8:]))}
		if end := min(at+length, int64(len(b))); end > at {
			r.Body = bytes.Clone(b[at:end])
		}
		r.Damaged = int64(len(r.Body)) != length || crc32.Checksum(r.Body, castagnoli) != be.Uint32(row[20:])
		f.torn = f.torn || r.Damaged
		f.records = append(f.records, r)
		at += length
	}
	return f, total == 0 && f.number > 0
}

// framesIn finds every frame of a file, wherever it begins: damage to one does not hide those after it.
func framesIn(b []byte) (out []frame) {
	for at := int64(0); at+block <= int64(len(b)); {
		f, ok := parseFrame(b[at:])
		step := int64(block)
		if ok {
			f.end = at + f.size
			out = append(out, f)
			if !f.torn { // the blocks of a torn one may hold a frame that was written over it
				step = f.size
			}
		}
		at += step
	}
	return out
}
