package simulate

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// dice is a stream of chance of its own for every patient, so that one patient's course
// never depends on another's.
type dice struct{ *rand.Rand }

func (w *World) dice(what string, n int) dice {
	h := sha256.Sum256(fmt.Appendf(nil, "%d|%s|%d", w.Seed, what, n))
	return dice{rand.New(rand.NewPCG(binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])))}
}

// between draws evenly from [low, high].
func (d dice) between(low, high float64) float64 { return low + d.Float64()*(high-low) }

// around draws a value near the middle; spread is about two thirds of the draws.
func (d dice) around(middle, spread float64) float64 {
	n := d.NormFloat64()
	return middle + max(-2.5, min(2.5, n))*spread
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

func (d dice) whole(low, high int) int { return low + d.IntN(high-low+1) }

func pick[T any](d dice, list []T) T { return list[d.IntN(len(list))] }

// id is the fixed id of a thing: the same for the same seed.
func (w *World) id(parts ...any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "yarrow|%d", w.Seed)
	for _, p := range parts {
		fmt.Fprintf(&b, "|%v", p)
	}
	h := sha256.Sum256([]byte(b.String()))
	h[6] = h[6]&0x0f | 0x80 // UUID version 8: made by rule, not drawn
	h[8] = h[8]&0x3f | 0x80
	s := hex.EncodeToString(h[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:32]
}

// secret is a fixed TOTP secret of 20 bytes in base32.
func (w *World) secret(login string) string {
	h := sha256.Sum256(fmt.Appendf(nil, "totp|%d|%s", w.Seed, login))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h[:20])
}

func fixed(v float64, decimals int) string {
	p := math.Pow(10, float64(decimals))
	v = math.Round(v*p) / p
	if v == 0 {
		v = 0 // no minus before a rounded zero
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func rounded(v float64, decimals int) float64 {
	f, _ := strconv.ParseFloat(fixed(v, decimals), 64)
	return f
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05Z07:00") }

func dated(t time.Time) string { return t.Format("2006-01-02") }

// years is the age in years at a time.
func years(born, at time.Time) float64 { return at.Sub(born).Hours() / 24 / 365.25 }

// workday moves a time to the Monday after when it falls on a weekend.
func workday(t time.Time) time.Time {
	switch t.Weekday() {
	case time.Saturday:
		return t.AddDate(0, 0, 2)
	case time.Sunday:
		return t.AddDate(0, 0, 1)
	}
	return t
}

// before is the last weekday before the day of t.
func before(t time.Time) time.Time {
	t = t.AddDate(0, 0, -1)
	for t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		t = t.AddDate(0, 0, -1)
	}
	return t
}

// at is a time of the day of t on the practice's clock.
func at(t time.Time, minutes int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, minutes, 0, 0, t.Location())
}
