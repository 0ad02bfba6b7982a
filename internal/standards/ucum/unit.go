package ucum

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Unit is a unit that has been read. The zero Unit is the number one.
type Unit struct {
	code   string
	name   string
	factor *big.Rat // how many of the base units; for a special unit, the prefix before it
	dims   [len(bases)]int
	own    []power  // arbitrary units, which are dimensions of their own; sorted
	scale  *scale   // of a special unit
	inside *big.Rat // of a special unit: the unit inside its function, in base units
	mixed  bool     // a special unit is combined with others: it means nothing that could be converted
}

type power struct {
	code string
	n    int
}

func one() Unit { return Unit{factor: big.NewRat(1, 1), name: "(unity)"} }

func product(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

func (u Unit) ratio() *big.Rat {
	if u.factor == nil {
		return big.NewRat(1, 1)
	}
	return u.factor
}

// size is the number of bits of the larger half of the factor.
func (u Unit) size() int { return max(u.factor.Num().BitLen(), u.factor.Denom().BitLen()) }

func (u Unit) times(v Unit) Unit {
	r := Unit{factor: product(u.factor, v.factor), dims: u.dims, name: u.name, mixed: u.mixed || v.mixed || u.scale != nil || v.scale != nil}
	for i, n := range v.dims {
		r.dims[i] += n
	}
	r.own = slices.Clone(u.own)
	for _, p := range v.own {
		at, found := slices.BinarySearchFunc(r.own, p, func(a, b power) int { return strings.Compare(a.code, b.code) })
		if !found {
			r.own = slices.Insert(r.own, at, p)
		} else if r.own[at].n += p.n; r.own[at].n == 0 {
			r.own = slices.Delete(r.own, at, at+1)
		}
	}
	return r
}

// raise gives the unit to the power of n. A symbol's factor is never zero.
func (u Unit) raise(n int) Unit {
	r := Unit{factor: big.NewRat(1, 1), name: u.name, mixed: u.mixed || u.scale != nil && n != 1}
	if n == 1 {
		return u
	}
	f := u.factor
	if n < 0 {
		f = new(big.Rat).Inv(f)
	}
	e := big.NewInt(int64(max(n, -n)))
	if int64(max(f.Num().BitLen(), f.Denom().BitLen()))*e.Int64() <= 4*mostBits { // beyond that the caller refuses it
		r.factor.SetFrac(new(big.Int).Exp(f.Num(), e, nil), new(big.Int).Exp(f.Denom(), e, nil))
	} else {
		r.factor.SetInt(new(big.Int).Lsh(big.NewInt(1), 2*mostBits))
	}
	for i, d := range u.dims {
		r.dims[i] = d * n
	}
	if n != 0 {
		for _, p := range u.own {
			r.own = append(r.own, power{p.code, p.n * n})
		}
	}
	return r
}

// Code is the text that was parsed.
func (u Unit) Code() string {
	if u.code == "" {
		return "1"
	}
	return u.code
}

// Name is the unit in words, "(milligram) / (deciliter)".
func (u Unit) Name() string {
	if u.name == "" {
		return "(unity)"
	}
	return u.name
}

// Special reports whether amounts lie on a scale of their own (Cel, [pH], B …), so that no factor converts them.
func (u Unit) Special() bool { return u.scale != nil || u.mixed }

// Dimension is what the unit measures, in base units in a fixed order: "g.m-3"; "1" for a number. Arbitrary units are
// dimensions of their own. Two amounts can be compared exactly when their dimensions are equal and neither unit combines a
// special unit with others.
func (u Unit) Dimension() string {
	var b strings.Builder
	put := func(code string, n int) {
		if n == 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(code)
		if n != 1 {
			b.WriteString(strconv.Itoa(n))
		}
	}
	for _, i := range [...]int{2, 0, 1, 3, 4, 5, 6} { // g m s rad K C cd: as people read them
		put(bases[i], u.dims[i])
	}
	for _, p := range u.own {
		put(p.code, p.n)
	}
	if b.Len() == 0 {
		return "1"
	}
	return b.String()
}

// ComparableTo reports whether amounts in u and v can be converted into each other.
func (u Unit) ComparableTo(v Unit) bool {
	return !u.mixed && !v.mixed && u.dims == v.dims && slices.Equal(u.own, v.own)
}

// Comparable reports whether two codes are units of the same kind.
func Comparable(a, b string) bool {
	u, err := Parse(a)
	if err != nil {
		return false
	}
	v, err := Parse(b)
	return err == nil && u.ComparableTo(v)
}

// recent keeps units that were read lately: a record uses a few dozen of them over and over.
var recent cache

type cache struct {
	mu    sync.RWMutex
	units map[string]Unit
}

const mostRecent = 2000

func (c *cache) get(code string) (Unit, bool) {
	c.mu.RLock()
	u, ok := c.units[code]
	c.mu.RUnlock()
	return u, ok
}

func (c *cache) put(code string, u Unit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.units == nil || len(c.units) >= mostRecent {
		c.units = map[string]Unit{}
	}
	c.units[strings.Clone(code)] = u
}
