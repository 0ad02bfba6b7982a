package ui

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func potassium() Series {
	s := Series{Name: "Potassium", Unit: "mmol/L", Low: 3.5, High: 5.1}
	start := time.Date(2025, 5, 20, 0, 0, 0, 0, time.UTC)
	for i, v := range []struct {
		value float64
		text  string
		flag  string
		days  int
	}{{4.6, "4.6", "", 0}, {4.8, "4.8", "", 90}, {4.9, "4.90", "", 175}, {5.2, "5.2", "H", 265}, {5, "5.0", "", 455}, {6.1, "6.1", "HH", 549}} {
		_ = i
		s.Points = append(s.Points, Point{At: start.AddDate(0, 0, v.days), Value: v.value, Text: v.text, Flag: v.flag})
	}
	return s
}

func render(t *testing.T, s Series) string {
	t.Helper()
	// The clock of a year ago would leave the year out of the labels; the zero router has the system's, so dates carry years.
	q := &Request{router: NewRouter(nil, nil, Options{}), locale: "en"}
	var b strings.Builder
	if err := Spark(s).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	if err := trendPicture(q, s, q.Date).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "><", ">\n<") + "\n"
}

func TestPicturesStayAsTheyAre(t *testing.T) {
	open := potassium()
	open.High, open.Points = math.NaN(), open.Points[:2]
	single := potassium()
	single.Points = single.Points[5:]
	for name, s := range map[string]Series{"potassium": potassium(), "open": open, "single": single} {
		got, file := render(t, s), filepath.Join("testdata", name+".svg.golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s; run with -update and look at it\n%s", name, file, got)
		}
	}
}

func TestPicturesKeepInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Series{Name: "x", Low: math.NaN(), High: math.NaN()}
		if rapid.Bool().Draw(t, "low") {
			s.Low = rapid.Float64Range(-1e3, 1e3).Draw(t, "l")
		}
		if rapid.Bool().Draw(t, "high") {
			s.High = rapid.Float64Range(-1e3, 1e3).Draw(t, "h")
		}
		at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			at = at.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "gap")) * time.Second)
			v := rapid.Float64Range(-1e3, 1e3).Draw(t, "v")
			s.Points = append(s.Points, Point{At: at, Value: v, Text: num(v)})
		}
		y, lo, hi := s.scale(170, 12)
		top, height := s.band(y, lo, hi)
		if math.IsNaN(top) || math.IsNaN(height) || height < 0 || top < -1 || top+height > 171 {
			t.Fatalf("band %v + %v", top, height)
		}
		for _, p := range s.Points {
			if v := y(p.Value); math.IsNaN(v) || v < 11.9 || v > 158.1 {
				t.Fatalf("%v drawn at %v", p.Value, v)
			}
			if x := s.x(p.At, 60, 545); x < 59.9 || x > 605.1 {
				t.Fatalf("x %v", x)
			}
		}
		if p := s.plot(func(time.Time) string { return "d" }); p.dots[0].text == "" {
			t.Fatal("the last value has no label")
		}
	})
}
