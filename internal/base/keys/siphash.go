package keys

import (
	"encoding/binary"
	"math/bits"
)

// Hasher is a keyed 64-bit pseudo-random function over a list of parts: SipHash-2-4 (Aumasson and Bernstein,
// "SipHash: a fast short-input PRF", 2012). Each part is followed by its length, so ("ab","c") and ("a","bc")
// differ. Without the practice's index key nobody can tell which code or name a value stands for.
//
// A Hasher is a plain value: copy it to fork a common prefix, for instance type and parameter. It allocates
// nothing and is not safe for concurrent use.
type Hasher struct {
	v0, v1, v2, v3 uint64
	k0, k1         uint64
	pending        uint64 // bytes not yet mixed, little end first
	n              uint64 // bytes taken in all
}

func newHasher(key [16]byte) Hasher {
	h := Hasher{k0: binary.LittleEndian.Uint64(key[:8]), k1: binary.LittleEndian.Uint64(key[8:])}
	h.Reset()
	return h
}

// Reset forgets every part.
func (h *Hasher) Reset() {
	h.v0 = h.k0 ^ 0x736f6d6570736575
	h.v1 = h.k1 ^ 0x646f72616e646f6d
	h.v2 = h.k0 ^ 0x6c7967656e657261
	h.v3 = h.k1 ^ 0x7465646279746573
	h.pending, h.n = 0, 0
}

func (h *Hasher) rounds(n int) {
	v0, v1, v2, v3 := h.v0, h.v1, h.v2, h.v3
	for ; n > 0; n-- {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	h.v0, h.v1, h.v2, h.v3 = v0, v1, v2, v3
}

func (h *Hasher) word(m uint64) {
	h.v3 ^= m
	h.rounds(2)
	h.v0 ^= m
}

func (h *Hasher) octet(b byte) {
	h.pending |= uint64(b) << (8 * (h.n & 7))
	h.n++
	if h.n&7 == 0 {
		h.word(h.pending)
		h.pending = 0
	}
}

func write[T string | []byte](h *Hasher, s T) {
	i := 0
	for ; h.n&7 != 0 && i < len(s); i++ {
		h.octet(s[i])
	}
	for ; i+8 <= len(s); i += 8 {
		h.word(uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56)
		h.n += 8
	}
	for ; i < len(s); i++ {
		h.octet(s[i])
	}
}

func (h *Hasher) length(n int) {
	for n >= 0x80 {
		h.octet(byte(n) | 0x80)
		n >>= 7
	}
	h.octet(byte(n))
}

// Part takes in one part.
func (h *Hasher) Part(s string) {
	write(h, s)
	h.length(len(s))
}

// PartBytes takes in one part; it equals Part(string(b)).
func (h *Hasher) PartBytes(b []byte) {
	write(h, b)
	h.length(len(b))
}

// Sum returns the value for the parts taken so far. More parts may follow.
func (h *Hasher) Sum() int64 {
	f := *h
	f.word(f.pending | f.n<<56)
	f.v2 ^= 0xff
	f.rounds(4)
	return int64(f.v0 ^ f.v1 ^ f.v2 ^ f.v3)
}
