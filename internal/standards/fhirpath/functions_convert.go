package fhirpath

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// conversion turns one system value into another; ok is false where it cannot.
type conversion func(it Item) (Item, bool)

func runConvert(conv conversion) func(*evaluator, *call, Collection) (Collection, error) {
	return func(_ *evaluator, _ *call, in Collection) (Collection, error) {
		it, ok, err := one(in)
		if err != nil || !ok {
			return nil, err
		}
		if it, ok = conv(it); !ok {
			return nil, nil
		}
		return single(it), nil
	}
}

func runConverts(conv conversion) func(*evaluator, *call, Collection) (Collection, error) {
	return func(_ *evaluator, _ *call, in Collection) (Collection, error) {
		it, ok, err := one(in)
		if err != nil || !ok {
			return nil, err
		}
		_, ok = conv(it)
		return boolCol(ok), nil
	}
}

func toBoolean(it Item) (Item, bool) {
	switch it.sys {
	case sysBoolean:
		return it, true
	case sysString:
		switch strings.ToLower(it.text) {
		case "true", "t", "yes", "y", "1", "1.0":
			return boolItem(true), true
		case "false", "f", "no", "n", "0", "0.0":
			return boolItem(false), true
		}
	case sysInteger, sysDecimal:
		if it.num.Cmp(apd.New(1, 0)) == 0 {
			return boolItem(true), true
		}
		if it.num.IsZero() {
			return boolItem(false), true
		}
	}
	return it, false
}

func toInteger(it Item) (Item, bool) {
	switch it.sys {
	case sysInteger:
		return it, true
	case sysBoolean:
		if it.flag {
			return intItem(1), true
		}
		return intItem(0), true
	case sysString:
		s := strings.TrimLeft(it.text, "+-")
		if len(it.text)-len(s) > 1 || s == "" || strings.Trim(s, "0123456789") != "" {
			return it, false
		}
		d, ok := parseDecimal(it.text)
		if !ok {
			return it, false
		}
		n, err := d.Int64()
		if err != nil || n > 1<<31-1 || n < -1<<31 {
			return it, false
		}
		return intItem(n), true
	}
	return it, false
}

func toDecimal(it Item) (Item, bool) {
	switch it.sys {
	case sysInteger, sysDecimal:
		return decimalItem(it.num), true
	case sysBoolean:
		if it.flag {
			return decimalItem(apd.New(10, -1)), true
		}
		return decimalItem(apd.New(0, -1)), true
	case sysString:
		if d, ok := plainDecimal(it.text); ok {
			return decimalItem(d), true
		}
	}
	return it, false
}

// plainDecimal reads (+|-)?\d+(\.\d+)?.
func plainDecimal(s string) (*apd.Decimal, bool) {
	t := strings.TrimLeft(s, "+-")
	head, tail, dot := strings.Cut(t, ".")
	if len(s)-len(t) > 1 || head == "" || dot && tail == "" || strings.Trim(head+tail, "0123456789") != "" {
		return nil, false
	}
	return parseDecimal(s)
}

func toString(it Item) (Item, bool) {
	s, ok := it.asText()
	return stringItem(s), ok
}

// asText is toString(): numbers and dates as written, quantities with their unit.
func (it Item) asText() (string, bool) {
	if it.sys == sysNone && it.isPrimitive() && it.Node != nil {
		return it.Node.Text(), true
	}
	it = it.system()
	switch it.sys {
	case sysBoolean:
		return fmt.Sprint(it.flag), true
	case sysString:
		return it.text, true
	case sysInteger, sysDecimal:
		return numberText(it.num), true
	case sysDate, sysDateTime, sysTime:
		return it.when.String(), true
	case sysQuantity:
		if calendarUnit(it.text) != "" {
			return numberText(it.num) + " " + it.text, true
		}
		return numberText(it.num) + " '" + it.text + "'", true
	}
	return "", false
}

func toTemporal(k sysKind) conversion {
	return func(it Item) (Item, bool) {
		switch {
		case it.sys == k:
			return it, true
		case it.sys == sysString:
			s := it.text
			if k == sysTime {
				s = strings.TrimPrefix(s, "T")
			}
			t, ok := parseTemporal(s, k)
			if ok && k == sysDate && strings.HasSuffix(s, "T") {
				ok = false
			}
			if !ok {
				return it, false
			}
			return timeItem(t), true
		case k == sysDate && it.sys == sysDateTime:
			t := *it.when
			t.kind, t.prec, t.zoned = sysDate, min(t.prec, pDay), false
			t.hour, t.minute, t.second, t.nano, t.digits, t.offset, t.zulu = 0, 0, 0, 0, 0, 0, false
			return timeItem(&t), true
		case k == sysDateTime && it.sys == sysDate:
			t := *it.when
			t.kind = sysDateTime
			return timeItem(&t), true
		}
		return it, false
	}
}

func toQuantity(it Item) (Item, bool) {
	switch it.sys {
	case sysQuantity:
		return it, true
	case sysInteger, sysDecimal:
		return quantityItem(it.num, "1"), true
	case sysBoolean:
		d, _ := toDecimal(it)
		return quantityItem(d.num, "1"), true
	case sysString:
		if q, ok := parseQuantity(it.text); ok {
			return q, true
		}
	}
	return it, false
}

// parseQuantity reads (+|-)?\d+(\.\d+)?\s*('unit'|calendar word)? (N1, section toQuantity).
func parseQuantity(s string) (Item, bool) {
	end := 0
	for end < len(s) && (isDigit(s[end]) || s[end] == '.' || end == 0 && (s[end] == '+' || s[end] == '-')) {
		end++
	}
	d, ok := plainDecimal(s[:end])
	if !ok {
		return Item{}, false
	}
	unit := strings.TrimLeft(s[end:], " \t\r\n")
	switch {
	case unit == "":
		return quantityItem(d, "1"), end == len(s)
	case calendarUnit(unit) != "":
		return quantityItem(d, unit), true
	case len(unit) > 2 && unit[0] == '\'' && strings.IndexByte(unit[1:], '\'') == len(unit)-2:
		return quantityItem(d, unit[1:len(unit)-1]), true
	}
	return Item{}, false
}

// runQuantity is toQuantity([unit]): with a unit, the quantity is converted to it or there is none.
func runQuantity(c *evaluator, f *call, in Collection) (Collection, error) {
	it, ok, err := one(in)
	if err != nil || !ok {
		return nil, err
	}
	if it, ok = toQuantity(it); !ok {
		return nil, nil
	}
	if len(f.args) == 0 {
		return single(it), nil
	}
	unit, ok, err := c.textArg(f.args[0])
	if err != nil || !ok {
		return nil, err
	}
	if it, ok = inUnit(it, unit); !ok {
		return nil, nil
	}
	return single(it), nil
}

func runConvertsToQuantity(c *evaluator, f *call, in Collection) (Collection, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out, err := runQuantity(c, f, in)
	return boolCol(len(out) == 1), err
}
