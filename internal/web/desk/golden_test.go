package desk_test

import (
	"bytes"
	"encoding/hex"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldens are the screens whose look is held by a picture; set YARROW_GOLDEN=write to take them anew, and look at them first.
var goldens = []string{"sign-in-light", "schedule-light", "schedule-detail-dark", "palette-light", "chart-light", "chart-dark", "phone-patients-p0"}

// Cells of the golden picture, and how far it may differ: another release of the browser draws letters a little differently, which
// changes a cell by a few shades; a lost style sheet, a panel that moved or a wrong theme changes many of them by much.
const (
	across, down = 48, 30
	shades       = 24   // of 255, what a cell may differ
	share        = 0.04 // of the cells that may differ by more
)

// compareGolden compares a screenshot with its golden picture, a grid of mean brightness kept as text.
func compareGolden(t testing.TB, name string, shot []byte) {
	t.Helper()
	if !slices.Contains(goldens, name) {
		return
	}
	got := cells(t, shot)
	path := filepath.Join("testdata", "golden", name+".txt")
	if os.Getenv("YARROW_GOLDEN") == "write" {
		var b strings.Builder
		for row := range down {
			b.WriteString(hex.EncodeToString(got[row*across:(row+1)*across]) + "\n")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil || len(want) != len(got) {
		t.Fatalf("%s is not a golden picture: %v", path, err)
	}
	if n := differing(got, want); float64(n) > share*float64(len(want)) {
		t.Errorf("%s looks different in %d of %d cells; compare the picture with docs/screenshots, then take it anew with YARROW_GOLDEN=write", name, n, len(want))
	}
}

func differing(a, b []byte) (n int) {
	for i := range a {
		if max(a[i], b[i])-min(a[i], b[i]) > shades {
			n++
		}
	}
	return n
}

// cells is the mean brightness of each cell of a picture.
func cells(t testing.TB, shot []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	sum, count := make([]int, across*down), make([]int, across*down)
	for y := range b.Dy() {
		for x := range b.Dx() {
			r, g, bl, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			at := y*down/b.Dy()*across + x*across/b.Dx()
			sum[at] += int(299*r+587*g+114*bl) / 1000 >> 8
			count[at]++
		}
	}
	out := make([]byte, len(sum))
	for i := range out {
		out[i] = byte(sum[i] / max(count[i], 1))
	}
	return out
}

// The comparison must see what matters: a picture in the other theme is not the same one.
func TestGoldenTellsThemesApart(t *testing.T) {
	var grids [2][]byte
	for i, name := range []string{"chart-light", "chart-dark"} {
		text, err := os.ReadFile(filepath.Join("testdata", "golden", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if grids[i], err = hex.DecodeString(strings.ReplaceAll(string(text), "\n", "")); err != nil {
			t.Fatal(err)
		}
	}
	if n := differing(grids[0], grids[1]); n < across*down/2 {
		t.Errorf("light and dark differ in %d cells only", n)
	}
}
