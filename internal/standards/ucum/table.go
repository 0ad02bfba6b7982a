package ucum

import (
	_ "embed"
	"math/big"
	"strings"
	"sync"
)

//go:embed data/units.txt
var rows string

// atom is one symbol of the table.
type atom struct {
	code, name, property string
	metric, special      bool
	arbitrary            bool
	base                 int // index of the base dimension, -1 for derived units
	value                *big.Rat
	unit, function       string

	once  sync.Once
	inner Unit // what one of it is in base units; for special units, the unit inside the function
	err   error
}

type prefix struct {
	code, name string
	value      *big.Rat
}

type table struct {
	version  string
	atoms    map[string]*atom
	codes    []string // of atoms, as in the table
	prefixes map[string]prefix
}

// bases are the base units in the order of Unit.dims.
var bases = [...]string{"m", "s", "g", "rad", "K", "C", "cd"}

var load = sync.OnceValue(func() *table {
	t := &table{atoms: map[string]*atom{}, prefixes: map[string]prefix{}}
	for line := range strings.Lines(rows) {
		cell := append(strings.Split(strings.TrimSuffix(line, "\n"), "\t"), make([]string, 8)...)
		switch cell[0] {
		case "V":
			t.version = cell[1]
		case "P":
			t.prefixes[cell[1]] = prefix{cell[1], cell[2], rational(cell[3])}
		case "B":
			a := &atom{code: cell[1], name: cell[2], property: cell[3], metric: true, value: big.NewRat(1, 1), base: -1}
			for i, b := range bases {
				if b == a.code {
					a.base = i
				}
			}
			t.add(a)
		case "U":
			t.add(&atom{
				code: cell[1], name: cell[2], property: cell[7], base: -1,
				metric: strings.Contains(cell[3], "m"), special: strings.Contains(cell[3], "s"), arbitrary: strings.Contains(cell[3], "a"),
				value: rational(cell[4]), unit: cell[5], function: cell[6],
			})
		}
	}
	return t
})

func (t *table) add(a *atom) {
	t.atoms[a.code] = a
	t.codes = append(t.codes, a.code)
}

// rational reads a number of the table, such as 6.67430e-11.
func rational(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return new(big.Rat)
	}
	return r
}

// Version is the edition of the UCUM table ("2.2").
func Version() string { return load().version }

// resolve gives what one of the atom is. Definitions refer to earlier atoms only, so the recursion ends; a test resolves all.
func (a *atom) resolve() (Unit, error) {
	a.once.Do(func() {
		switch {
		case a.base >= 0:
			a.inner = Unit{factor: a.value}
			a.inner.dims[a.base] = 1
			return
		case a.arbitrary && a.unit == "1":
			a.inner = Unit{factor: a.value, own: []power{{a.code, 1}}}
			return
		}
		u, err := parse(a.unit)
		if err != nil {
			a.err = err
			return
		}
		u.factor = new(big.Rat).Mul(u.factor, a.value)
		if a.special {
			inner := u
			u = Unit{factor: big.NewRat(1, 1), dims: inner.dims, own: inner.own, scale: scales[a.function], inside: inner.factor}
			if u.scale == nil {
				a.err = &Error{Code: a.code, Text: "the scale " + a.function + " is not known"}
			}
		}
		a.inner = u
	})
	return a.inner, a.err
}
