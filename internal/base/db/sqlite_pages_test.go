package db

import (
	"bytes"
	"crypto/aes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/xts"
	"pgregory.net/rapid"
)

func testKey() []byte {
	key := make([]byte, 64)
	for i := range key {
		key[i] = byte(i * 7)
	}
	return key
}

// The pages are plain AES-XTS: what x/crypto's implementation makes of them.
func TestPageCipherIsXTS(t *testing.T) {
	ours, err := newPageCipher(testKey())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := xts.NewCipher(aes.NewCipher, testKey())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(rt, "sectors")
		first := rapid.Uint64Range(0, 1<<50).Draw(rt, "first")
		plain := rapid.SliceOfN(rapid.Byte(), n*sectorSize, n*sectorSize).Draw(rt, "plain")
		want := make([]byte, len(plain))
		for i := range n {
			theirs.Encrypt(want[i*sectorSize:][:sectorSize], plain[i*sectorSize:][:sectorSize], first+uint64(i))
		}
		got := bytes.Clone(plain)
		ours.crypt(got, first, true)
		if !bytes.Equal(got, want) {
			rt.Fatal("encryption differs")
		}
		ours.crypt(got, first, false)
		if !bytes.Equal(got, plain) {
			rt.Fatal("decryption differs")
		}
	})
}

// Whatever is written where, reading gives what a plain file would give, up to the zeros that fill a last sector.
func TestSectorsBehaveLikeAFile(t *testing.T) {
	c, err := newPageCipher(testKey())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close()
		s := &sectors{file: f, cipher: c}
		var model []byte
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			off := rapid.IntRange(0, len(model)).Draw(rt, "off")
			p := rapid.SliceOfN(rapid.Byte(), 1, 1500).Draw(rt, "p")
			if rapid.Bool().Draw(rt, "write") {
				if n, err := s.WriteAt(p, int64(off)); n != len(p) || err != nil {
					rt.Fatal(n, err)
				}
				if grow := int(roundUp(int64(off+len(p)))) - len(model); grow > 0 {
					model = append(model, make([]byte, grow)...)
				}
				copy(model[off:], p)
				continue
			}
			n, err := s.ReadAt(p, int64(off))
			want := copy(make([]byte, len(p)), model[off:])
			if n != want || !bytes.Equal(p[:n], model[off:off+n]) || (n < len(p)) != (err == io.EOF) {
				rt.Fatalf("read %d of %d at %d: %v", n, want, off, err)
			}
		}
		raw, err := os.ReadFile(f.Name())
		if err != nil {
			rt.Fatal(err)
		}
		if len(raw) != len(model) {
			rt.Fatalf("the file has %d bytes, want %d", len(raw), len(model))
		}
	})
}

func TestAFileKeyHas64Bytes(t *testing.T) {
	if _, err := newPageCipher(make([]byte, 32)); err == nil {
		t.Error("a short key was accepted")
	}
}

func BenchmarkPageCipher(b *testing.B) {
	c, err := newPageCipher(testKey())
	if err != nil {
		b.Fatal(err)
	}
	page := make([]byte, 4096)
	b.SetBytes(4096)
	for b.Loop() {
		c.crypt(page, 7, true)
	}
}
