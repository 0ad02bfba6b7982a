package keys

import (
	"testing"
)

// The test vectors of the SipHash paper and its reference code: key 00..0f, input 00..n-1.
func TestSipHashVectors(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		7:  0xab0200f58b01d137,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5,
	} {
		in := make([]byte, n)
		for i := range in {
			in[i] = byte(i)
		}
		for split := 0; split <= n; split++ {
			h := newHasher(key)
			write(&h, in[:split])
			write(&h, string(in[split:]))
			if got := uint64(h.Sum()); got != want {
				t.Errorf("%d bytes split at %d: %016x, want %016x", n, split, got, want)
			}
		}
	}
}
