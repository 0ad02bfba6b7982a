package chart

import (
	"math"
	"strconv"
	"strings"

	"yarrow.health/internal/clinic/clinical"
)

// sparkline is the geometry of a small course, 84 by 24.
type sparkline struct {
	Line, X, Y   string
	Band         bool
	BandY, BandH string
	Flag         clinical.Flag // of the newest value
}

func sparkOf(points []clinical.Point, low, high *float64) sparkline {
	lo, hi := extent(points)
	span := hi - lo
	if span == 0 {
		span = math.Max(math.Abs(hi)*0.1, 1)
	}
	y := func(v float64) float64 { return 21 - (v-lo)/span*18 }
	var g sparkline
	var b strings.Builder
	for i, p := range points {
		px := 4 + float64(i)*76/float64(len(points)-1)
		g.X, g.Y = num(px), num(y(p.Num))
		b.WriteString(g.X + "," + g.Y + " ")
	}
	g.Line, g.Flag = strings.TrimSpace(b.String()), points[len(points)-1].Flag
	g.Band, g.BandY, g.BandH = band(low, high, y, 0, 24)
	return g
}

// band is the reference range as a stripe between top and bottom.
func band(low, high *float64, y func(float64) float64, top, bottom float64) (ok bool, at, height string) {
	if low == nil && high == nil {
		return false, "", ""
	}
	from, to := top, bottom
	if high != nil {
		from = math.Min(math.Max(y(*high), top), bottom)
	}
	if low != nil {
		to = math.Min(math.Max(y(*low), top), bottom)
	}
	if to-from < 0.5 {
		return false, "", ""
	}
	return true, num(from), num(to - from)
}

func extent(points []clinical.Point) (lo, hi float64) {
	lo, hi = points[0].Num, points[0].Num
	for _, p := range points {
		lo, hi = math.Min(lo, p.Num), math.Max(hi, p.Num)
	}
	return lo, hi
}

func num(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// trend is the geometry of a large course, 640 by 196.
type trend struct {
	Line         string
	Band         bool
	BandY, BandH string
	Ticks        []tick
	Dots         []dot
}

type tick struct{ Y, TextY, Text string }

// dot is one value: its text is the value as reported, left out where it would cover another.
type dot struct {
	X, Y, TextY, Text, Date string
	Flag                    clinical.Flag
}

func trendOf(points []clinical.Point, low, high *float64, x *page) trend {
	lo, hi := extent(points)
	span := hi - lo
	if span == 0 {
		span = math.Max(math.Abs(hi)*0.2, 1)
	}
	// The range is shown as far as it lies near the values, not at the price of flattening them.
	if high != nil && *high > hi && *high < hi+span {
		hi = *high
	}
	if low != nil && *low < lo && *low > lo-span {
		lo = *low
	}
	step := niceStep((hi - lo + span*0.1) / 3)
	lo, hi = math.Floor(lo/step)*step, math.Ceil(hi/step)*step
	if hi == lo {
		hi = lo + step
	}
	y := func(v float64) float64 { return 164 - (v-lo)/(hi-lo)*144 }
	first, last := points[0].When, points[len(points)-1].When
	length := last.Sub(first).Seconds()
	var g trend
	for v := lo; v <= hi+step/2; v += step {
		g.Ticks = append(g.Ticks, tick{num(y(v)), num(y(v) + 4), strconv.FormatFloat(v, 'f', decimals(step), 64)})
	}
	var b strings.Builder
	textEnd, dateEnd := -100.0, -100.0
	for i, p := range points {
		px := 62 + 548*float64(i)/math.Max(float64(len(points)-1), 1)
		if length > 0 {
			px = 62 + 548*p.When.Sub(first).Seconds()/length
		}
		py := y(p.Num)
		b.WriteString(num(px) + "," + num(py) + " ")
		d := dot{X: num(px), Y: num(py), TextY: num(py - 9), Flag: p.Flag}
		newest := i == len(points)-1
		if px-textEnd > 30 || newest || p.Flag.Critical() {
			d.Text = p.Value
			textEnd = px
		}
		if px-dateEnd > 58 {
			d.Date = x.month(p.When.In(x.Zone), "", " 06")
			dateEnd = px
		}
		g.Dots = append(g.Dots, d)
	}
	g.Line = strings.TrimSpace(b.String())
	g.Band, g.BandY, g.BandH = band(low, high, y, 20, 164)
	return g
}

// niceStep rounds a step of an axis up to 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*p >= v {
			return m * p
		}
	}
	return 10 * p
}

func decimals(step float64) int {
	if step >= 1 {
		return 0
	}
	return int(math.Ceil(-math.Log10(step)))
}
