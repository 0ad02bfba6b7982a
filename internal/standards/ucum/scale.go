package ucum

import (
	"errors"
	"math"
	"math/big"

	"github.com/cockroachdb/apd/v3"
)

// scale is the function of a special unit (UCUM §21). linear gives the amount in the unit inside the function for an amount
// on the scale; special is its inverse. Temperatures are exact; logarithms have 30 digits, the tangents 15.
type scale struct {
	linear, special func(*big.Rat) (*big.Rat, error)
}

var errOffScale = errors.New("the amount lies outside the scale")

var scales = map[string]*scale{
	"Cel":         offset(big.NewRat(27315, 100)),
	"degF":        offset(big.NewRat(45967, 100)),
	"degRe":       offset(big.NewRat(21852, 100)),
	"ln":          logarithm("1", nil),
	"lg":          logarithm("1", apd.New(10, 0)),
	"ld":          logarithm("1", apd.New(2, 0)),
	"lgTimes2":    logarithm("2", apd.New(10, 0)),
	"pH":          logarithm("-1", apd.New(10, 0)),
	"hpX":         logarithm("-1", apd.New(10, 0)),
	"hpC":         logarithm("-1", apd.New(100, 0)),
	"hpM":         logarithm("-1", apd.New(1000, 0)),
	"hpQ":         logarithm("-1", apd.New(50000, 0)),
	"tanTimes100": tangent(1),
	"100tan":      tangent(180 / math.Pi),
	"sqrt": {
		linear: func(r *big.Rat) (*big.Rat, error) {
			if r.Sign() < 0 {
				return nil, errOffScale
			}
			return new(big.Rat).Mul(r, r), nil
		},
		special: func(r *big.Rat) (*big.Rat, error) {
			d := decimal(r, kept)
			if d == nil || d.Negative {
				return nil, errOffScale
			}
			x := new(apd.Decimal)
			if _, err := decimals.Sqrt(x, d); err != nil {
				return nil, errOffScale
			}
			return exactly(x), nil
		},
	},
}

func offset(zero *big.Rat) *scale {
	return &scale{
		linear:  func(r *big.Rat) (*big.Rat, error) { return new(big.Rat).Add(r, zero), nil },
		special: func(r *big.Rat) (*big.Rat, error) { return new(big.Rat).Sub(r, zero), nil },
	}
}

// logs is narrower than decimals: logarithms of 40 digits cost more than they tell.
var logs = func() apd.Context { c := decimals; c.Precision = 30; return c }()

// mostLog bounds what is raised to a power: nothing measured is 10^400.
var mostLog = apd.New(400, 0)

// logarithm is times × log_base(x); a nil base is e.
func logarithm(times string, base *apd.Decimal) *scale {
	k, _, _ := apd.NewFromString(times)
	return &scale{
		linear: func(r *big.Rat) (*big.Rat, error) {
			d := decimal(r, 30)
			if d == nil {
				return nil, errOffScale
			}
			x := new(apd.Decimal)
			if _, err := logs.Quo(x, d, k); err != nil || new(apd.Decimal).Abs(x).Cmp(mostLog) > 0 {
				return nil, errOffScale
			}
			y := new(apd.Decimal)
			var err error
			if base == nil {
				_, err = logs.Exp(y, x)
			} else {
				_, err = logs.Pow(y, base, x)
			}
			if err != nil {
				return nil, errOffScale
			}
			return exactly(y), nil
		},
		special: func(r *big.Rat) (*big.Rat, error) {
			d := decimal(r, 30)
			if d == nil || d.Sign() <= 0 {
				return nil, errOffScale
			}
			x, b := new(apd.Decimal), new(apd.Decimal)
			var err error
			switch {
			case base == nil:
				_, err = logs.Ln(x, d)
			case base.Cmp(apd.New(10, 0)) == 0:
				_, err = logs.Log10(x, d)
			default:
				if _, err = logs.Ln(x, d); err == nil {
					if _, err = logs.Ln(b, base); err == nil {
						_, err = logs.Quo(x, x, b)
					}
				}
			}
			if err != nil {
				return nil, errOffScale
			}
			if _, err := logs.Mul(x, x, k); err != nil {
				return nil, errOffScale
			}
			return exactly(x), nil
		},
	}
}

// tangent is 100 × tan of an angle; turn is the size of a radian in the unit inside.
func tangent(turn float64) *scale {
	real := func(f float64) (*big.Rat, error) {
		r := new(big.Rat)
		if math.IsNaN(f) || math.IsInf(f, 0) || r.SetFloat64(f) == nil {
			return nil, errOffScale
		}
		return r, nil
	}
	return &scale{
		linear: func(r *big.Rat) (*big.Rat, error) {
			f, _ := r.Float64()
			return real(math.Atan(f/100) * turn)
		},
		special: func(r *big.Rat) (*big.Rat, error) {
			f, _ := r.Float64()
			if math.Abs(f/turn) >= math.Pi/2 {
				return nil, errOffScale
			}
			return real(math.Tan(f/turn) * 100)
		},
	}
}
