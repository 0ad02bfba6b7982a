package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Point is one value of a trend. Text is the value as reported: numbers on screen keep the digits they came with.
type Point struct {
	At    time.Time
	Value float64
	Text  string
	Flag  string // "", H, L, HH, LL
}

// Series is a test over time with its reference range; NaN where a side has no limit.
type Series struct {
	Name, Unit string
	Low, High  float64
	Points     []Point // oldest first
}

const sparkW, sparkH = 84.0, 24.0

// scale maps values to a height, with the range of the reference in view where it does not flatten the line.
func (s Series) scale(height, pad float64) (y func(float64) float64, lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, p := range s.Points {
		lo, hi = min(lo, p.Value), max(hi, p.Value)
	}
	span := hi - lo
	for _, limit := range []float64{s.Low, s.High} {
		if !math.IsNaN(limit) && limit > lo-2*span-1e-9 && limit < hi+2*span+1e-9 {
			lo, hi = min(lo, limit), max(hi, limit)
		}
	}
	if hi == lo {
		lo, hi = lo-1, hi+1
	}
	m := (hi - lo) * .12
	lo, hi = lo-m, hi+m
	return func(v float64) float64 { return pad + (hi-v)/(hi-lo)*(height-2*pad) }, lo, hi
}

// band is the reference range as a rectangle; one open side reaches to the edge.
func (s Series) band(y func(float64) float64, lo, hi float64) (top, height float64) {
	if math.IsNaN(s.Low) && math.IsNaN(s.High) {
		return 0, 0
	}
	h, l := hi, lo
	if !math.IsNaN(s.High) {
		h = max(lo, min(hi, s.High))
	}
	if !math.IsNaN(s.Low) {
		l = min(hi, max(lo, s.Low))
	}
	top = y(h)
	return top, max(0, y(l)-top)
}

// x places a moment between the first and the last one.
func (s Series) x(t time.Time, left, width float64) float64 {
	first, last := s.Points[0].At, s.Points[len(s.Points)-1].At
	if !last.After(first) {
		return left + width
	}
	return left + width*float64(t.Sub(first))/float64(last.Sub(first))
}

type spark struct{ line, x, y, bandY, bandH, flag string }

func (s Series) spark() spark {
	y, lo, hi := s.scale(sparkH, 3)
	top, height := s.band(y, lo, hi)
	var b strings.Builder
	for _, p := range s.Points {
		fmt.Fprintf(&b, "%s,%s ", num(s.x(p.At, 3, sparkW-6)), num(y(p.Value)))
	}
	last := s.Points[len(s.Points)-1]
	return spark{line: b.String(), x: num(sparkW - 3), y: num(y(last.Value)), bandY: num(top), bandH: num(height), flag: last.Flag}
}

type tick struct{ y, ty, text string }
type dot struct{ x, y, ty, text, flag, date string }
type plot struct {
	line, bandY, bandH string
	ticks              []tick
	dots               []dot
}

// plot draws the large trend; labels that would lie on each other are left out, the last one never.
func (s Series) plot(date func(time.Time) string) plot {
	const left, width, height = 60.0, 545.0, 170.0
	y, lo, hi := s.scale(height, 12)
	top, bh := s.band(y, lo, hi)
	out := plot{bandY: num(top), bandH: num(bh)}
	var b strings.Builder
	lastLabel := math.Inf(1)
	for i := len(s.Points) - 1; i >= 0; i-- {
		p := s.Points[i]
		x, py := s.x(p.At, left, width), y(p.Value)
		d := dot{x: num(x), y: num(py), ty: num(py - 9), flag: p.Flag}
		if lastLabel-x > 46 {
			d.text, d.date = p.Text, date(p.At)
			lastLabel = x
		}
		out.dots = append(out.dots, d)
	}
	for _, p := range s.Points {
		fmt.Fprintf(&b, "%s,%s ", num(s.x(p.At, left, width)), num(y(p.Value)))
	}
	out.line = b.String()
	step := roundStep((hi - lo) / 4)
	for v := math.Ceil(lo/step) * step; v <= hi; v += step {
		out.ticks = append(out.ticks, tick{num(y(v)), num(y(v) + 4), strconv.FormatFloat(v, 'f', max(0, int(math.Ceil(-math.Log10(step)))), 64)})
	}
	return out
}

// roundStep is the step of an axis: 1, 2 or 5 times a power of ten, at least as large as asked.
func roundStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*p >= v {
			return m * p
		}
	}
	return 10 * p
}

func num(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// Limit writes a side of a reference range for a script; an open side is empty.
func limit(f float64) string {
	if math.IsNaN(f) {
		return ""
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func (s Series) join(f func(Point) string) string { return s.joinWith(",", f) }

func (s Series) joinWith(by string, f func(Point) string) string {
	out := make([]string, len(s.Points))
	for i, p := range s.Points {
		out[i] = f(p)
	}
	return strings.Join(out, by)
}

// Say describes the series in words, for those who do not see the picture.
func (q *Request) Say(s Series) string {
	if len(s.Points) == 0 {
		return s.Name
	}
	a, b := s.Points[0], s.Points[len(s.Points)-1]
	return q.T("trend.say", s.Name, q.Date(a.At), q.Date(b.At), a.Text, b.Text, s.Unit)
}
