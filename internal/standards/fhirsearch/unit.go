package fhirsearch

import (
	"math"
	"strconv"
	"strings"
	"sync"

	"yarrow.health/internal/standards/ucum"
)

// Amounts in UCUM units compare in base units, so that 1 g is 1000 mg (R4 search, section 3.1.1.4.12). Amounts in
// other units, and on scales that run the other way ([pH]), compare by number and unit as they stand.

const systemUCUM = "http://unitsofmeasure.org"

// Canonical is an amount in base units. Dim says of what ("g.m-3"); it is "" when there is no such form.
type Canonical struct {
	Dim            string
	Num, Low, High float64
}

// upward holds by unit code whether greater amounts are greater in base units. It is bounded: codes come from outside.
var upward struct {
	sync.Mutex
	by map[string]bool
}

func runsUp(code string) bool {
	upward.Lock()
	up, known := upward.by[code]
	upward.Unlock()
	if known {
		return up
	}
	one, _, err := baseOf("1", code)
	two, _, err2 := baseOf("2", code)
	up = err == nil && err2 == nil && one < two
	upward.Lock()
	defer upward.Unlock()
	if upward.by == nil || len(upward.by) > 2000 {
		upward.by = map[string]bool{}
	}
	upward.by[code] = up
	return up
}

func baseOf(value, code string) (f float64, dim string, err error) {
	text, dim, err := ucum.Canonical(value, code)
	if err != nil {
		return 0, "", err
	}
	f, err = strconv.ParseFloat(text, 64)
	return f, dim, err
}

// canonical brings decimals to base units; "" is an open end.
func canonical(system, code, num, low, high string) (c Canonical) {
	if system != systemUCUM || code == "" || len(code) > 100 || !runsUp(code) {
		return c
	}
	convert := func(s string, open float64) (float64, bool) {
		if s == "" {
			return open, true
		}
		f, dim, err := baseOf(s, code)
		c.Dim = dim
		return f, err == nil
	}
	var ok1, ok2, ok3 bool
	c.Low, ok1 = convert(low, math.Inf(-1))
	c.High, ok2 = convert(high, math.Inf(1))
	c.Num, ok3 = convert(num, 0)
	if !ok1 || !ok2 || !ok3 {
		return Canonical{}
	}
	return c
}

// plainDecimal writes a float so that it can be read as a decimal; "" for an infinite one.
func plainDecimal(f float64) string {
	if math.IsInf(f, 0) {
		return ""
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// commonUnits are those that most results come in. A store that keeps the number as written needs no second row for
// them: it looks in each unit of the kind.
var commonUnits = sync.OnceValue(func() map[string][]string {
	by := map[string][]string{}
	for code := range strings.FieldsSeq(`kg g mg ug ng pg [lb_av] [oz_av] m cm mm [in_i] [ft_i] mm[Hg] kPa cm[H2O] Cel [degF] /min % 1 {score}
		mg/dL g/dL g/L mg/L ug/L ng/L ug/mL ng/mL pg/mL ug/dL ng/dL mmol/L umol/L nmol/L pmol/L meq/L 10*3/uL 10*9/L 10*6/uL 10*12/L /uL
		fL uL mL dL L U/L [iU]/L u[iU]/mL m[iU]/mL m[iU]/L [iU]/mL s min h d wk mo a kg/m2 mL/min mL/min/{1.73_m2} L/min mmol/mol mm/h mg/g mg/mmol`) {
		if _, dim, err := baseOf("1", code); err == nil && runsUp(code) {
			by[dim] = append(by[dim], code)
		}
	}
	return by
})

// CommonUnits are the usual UCUM units of a kind; an index may hold amounts in them as written.
func CommonUnits(dim string) []string { return commonUnits()[dim] }

// InUnit gives the ends of a term in another unit of its kind.
func (t *ValueTerm) InUnit(code string) (low, high float64, ok bool) {
	ends := [2]float64{t.NumLow, t.NumHigh}
	for i, end := range ends {
		if math.IsInf(end, 0) {
			continue
		}
		text, err := ucum.ConvertExact(plainDecimal(end), t.Code, code)
		if err != nil {
			return 0, 0, false
		}
		if ends[i], err = strconv.ParseFloat(text, 64); err != nil {
			return 0, 0, false
		}
	}
	return ends[0], ends[1], true
}
