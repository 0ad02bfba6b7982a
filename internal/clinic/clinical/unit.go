package clinical

import "strconv"

// ucumOf finds the UCUM code behind a printed unit of a vital sign.
func ucumOf(unit string) string {
	switch unit {
	case "°F", "degF", "[degF]", "F":
		return "[degF]"
	case "°C", "Cel", "C", "degC":
		return "Cel"
	case "lb", "lbs", "[lb_av]":
		return "[lb_av]"
	case "kg":
		return "kg"
	case "g":
		return "g"
	case "in", "[in_i]":
		return "[in_i]"
	case "cm":
		return "cm"
	case "m":
		return "m"
	}
	return unit
}

// inUnit gives a vital sign's value in the unit the flowsheet prints. A value already in
// that unit keeps its text as reported.
func inUnit(p *observation, v Vital) (string, float64) {
	from := ucumOf(p.Unit)
	if from == v.Unit {
		return p.Value, p.Num
	}
	if n, ok := Convert(p.Num, from, v.Unit); ok {
		n = round(n, v.Decimals)
		return strconv.FormatFloat(n, 'f', v.Decimals, 64), n
	}
	if v.Decimals > 0 && p.Decimals > 2 {
		return strconv.FormatFloat(round(p.Num, v.Decimals), 'f', v.Decimals, 64), p.Num
	}
	return p.Value, p.Num
}
