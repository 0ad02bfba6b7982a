package prove

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func aDisk(t interface{ Fatal(...any) }, dir string, size int64, lying bool) (*disk, string) {
	image := filepath.Join(dir, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	d, err := newDisk(image, filepath.Join(dir, "socket"), lying)
	if err != nil {
		t.Fatal(err)
	}
	return d, image
}

// After a cut each sector holds what it held at the last flush, or what one of the writes since then gave it; with power everybody
// reads what was written last.
func TestWhatACutLeaves(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		const sectors = 24
		lying := rapid.IntRange(0, 9).Draw(t, "lying") == 0
		_ = os.Remove(filepath.Join(dir, "socket"))
		d, image := aDisk(t, dir, sectors*sector, lying)
		may := make([][]byte, sectors) // the marks a sector may hold; the last is what it holds
		for i := range may {
			may[i] = []byte{0}
		}
		for mark := byte(1); mark < byte(rapid.IntRange(1, 60).Draw(t, "steps")); mark++ {
			if rapid.IntRange(0, 4).Draw(t, "flush") == 0 {
				if err := d.flush(); err != nil {
					t.Fatal(err)
				}
				for i := range may {
					if !lying {
						may[i] = may[i][len(may[i])-1:]
					}
				}
				continue
			}
			at := rapid.IntRange(0, sectors-1).Draw(t, "at")
			n := rapid.IntRange(1, sectors-at).Draw(t, "n")
			if err := d.write(int64(at*sector), bytes.Repeat([]byte{mark}, n*sector)); err != nil {
				t.Fatal(err)
			}
			for i := at; i < at+n; i++ {
				may[i] = append(may[i], mark)
			}
		}
		b := make([]byte, sectors*sector)
		if err := d.read(0, b); err != nil {
			t.Fatal(err)
		}
		for i := range may {
			if b[i*sector] != may[i][len(may[i])-1] {
				t.Fatalf("sector %d reads as %d before the cut, not %v", i, b[i*sector], may[i])
			}
		}
		if _, _, err := d.cut(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), rapid.Float64Range(0, 1).Draw(t, "chance")); err != nil {
			t.Fatal(err)
		}
		if d.write(0, b[:sector]) == nil || d.flush() == nil || d.read(0, b[:sector]) == nil {
			t.Fatal("it works without power")
		}
		after, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		for i := range may {
			s := after[i*sector : (i+1)*sector]
			if !bytes.Equal(s, bytes.Repeat(s[:1], sector)) || !slices.Contains(may[i], s[0]) {
				t.Fatalf("sector %d holds %d after the cut, not one of %v", i, s[0], may[i])
			}
		}
	})
}

// The whole conversation of a client, as the protocol has it.
func TestADiskIsSpokenTo(t *testing.T) {
	d, image := aDisk(t, t.TempDir(), 1<<20, false)
	c, err := net.Dial("unix", d.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(fields ...any) {
		var b []byte
		for _, f := range fields {
			b, _ = binary.Append(b, binary.BigEndian, f)
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if b := get(18); binary.BigEndian.Uint64(b) != nbdMagic {
		t.Fatalf("%x", b)
	}
	put(uint32(3))
	put(uint64(nbdOption), uint32(8), uint32(0)) // structured replies, which it does not know
	if b := get(20); binary.BigEndian.Uint32(b[12:]) != nbdUnknown {
		t.Fatalf("%x", b)
	}
	put(uint64(nbdOption), uint32(nbdGo), uint32(6), uint32(0), uint16(0))
	if b := get(32); binary.BigEndian.Uint64(b[22:]) != 1<<20 {
		t.Fatalf("%x", b)
	}
	get(20)
	command := func(kind uint16, at, n int, data ...byte) []byte {
		put(uint32(nbdRequest), uint16(0), kind, uint64(7), uint64(at), uint32(n), data)
		b := get(16)
		if binary.BigEndian.Uint32(b) != nbdAnswer || binary.BigEndian.Uint32(b[4:]) != 0 || b[15] != 7 {
			t.Fatalf("command %d: %x", kind, b)
		}
		if kind == 0 {
			return get(n)
		}
		return nil
	}
	one, two := bytes.Repeat([]byte{1}, sector), bytes.Repeat([]byte{2}, sector)
	command(1, 0, sector, one...)
	command(3, 0, 0)
	command(1, 0, sector, two...)
	command(6, sector, sector)
	if got := command(0, 0, sector); !bytes.Equal(got, two) {
		t.Errorf("it reads %x", got[:4])
	}
	kept, lost, err := d.cut(rand.New(rand.NewPCG(1, 1)), 0)
	if b, _ := os.ReadFile(image); err != nil || kept != 0 || lost != 2 || !bytes.Equal(b[:sector], one) {
		t.Errorf("after the cut: %d kept, %d lost, %v, %x", kept, lost, err, b[:4])
	}
}
