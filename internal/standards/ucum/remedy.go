package ucum

import (
	"regexp"
	"strings"
)

// meant lists what people write for units that UCUM writes otherwise.
var meant = map[string]string{
	"mcg": "ug", "µg": "ug", "μg": "ug", "gm": "g", "gr": "[gr]", "lb": "[lb_av]", "lbs": "[lb_av]", "oz": "[oz_av]", "kgs": "kg",
	"in": "[in_i]", "inch": "[in_i]", "inches": "[in_i]", "ft": "[ft_i]", "feet": "[ft_i]", "cc": "mL",
	"iu": "[IU]", "ui": "[IU]", "miu": "m[IU]", "uiu": "u[IU]", "kiu": "k[IU]", "eu": "[EU]", "cfu": "[CFU]",
	"mmhg": "mm[Hg]", "mm hg": "mm[Hg]", "cmh2o": "cm[H2O]", "cm h2o": "cm[H2O]",
	"f": "[degF]", "°f": "[degF]", "degf": "[degF]", "c": "Cel", "°c": "Cel", "degc": "Cel", "celsius": "Cel", "fahrenheit": "[degF]",
	"hr": "h", "hrs": "h", "hour": "h", "hours": "h", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min", "mins": "min",
	"day": "d", "days": "d", "week": "wk", "weeks": "wk", "month": "mo", "months": "mo", "yr": "a", "yrs": "a", "year": "a", "years": "a",
	"bpm": "/min", "beats/min": "/min", "beats/minute": "/min", "breaths/min": "/min", "per minute": "/min",
	"mg/dl": "mg/dL", "g/dl": "g/dL", "ng/ml": "ng/mL", "pg/ml": "pg/mL", "meq/l": "meq/L", "mmol/l": "mmol/L", "umol/l": "umol/L", "iu/l": "[IU]/L", "u/l": "U/L",
	"iu/ml": "[IU]/mL", "miu/l": "m[IU]/L", "miu/ml": "m[IU]/mL", "uiu/ml": "u[IU]/mL", "k/ul": "10*3/uL", "m/ul": "10*6/uL", "10^3/ul": "10*3/uL", "x10e3/ul": "10*3/uL",
	"percent": "%", "ph": "[pH]", "tablet": "{tbl}", "tablets": "{tbl}", "tab": "{tbl}", "capsule": "{capsule}", "puff": "{puff}", "drop": "[drp]", "drops": "[drp]", "score": "{score}", "ratio": "1", "mosm/kg": "mosm/kg",
}

var gluedNumber = regexp.MustCompile(`(^|[./(])(\d+)([A-Za-z\[%])`)

// remedy says what was probably meant.
func remedy(code string) string {
	try := func(s string) bool {
		if len(s) > longest || s == code {
			return false
		}
		_, err := parse(s)
		return err == nil
	}
	if s, ok := meant[strings.ToLower(strings.TrimSpace(code))]; ok && try(s) {
		return "Write " + s + "."
	}
	if s := gluedNumber.ReplaceAllString(code, "$1$2.$3"); try(s) {
		return "Write " + s + "."
	}
	if s := "[" + code + "]"; try(s) {
		return "Write " + s + "."
	}
	parts := strings.FieldsFunc(code, func(r rune) bool { return r == '/' })
	for i, p := range parts {
		if _, err := parse(p); err == nil {
			continue
		}
		if s, ok := meant[strings.ToLower(strings.TrimSpace(p))]; ok {
			parts[i] = s
		} else if s := strings.ToLower(p); try(s) {
			parts[i] = s
		}
	}
	if s := strings.Join(parts, "/"); len(parts) > 1 && try(s) {
		return "Write " + s + "."
	}
	if s := strings.ToLower(code); try(s) {
		return "Write " + s + "."
	}
	if !strings.ContainsAny(code, "{}") && len(code) < 40 && !strings.ContainsAny(code, "()./") {
		if s := "{" + strings.Join(strings.Fields(code), "_") + "}"; try(s) {
			return "A thing that is counted is written in curly brackets: " + s + "."
		}
	}
	return ""
}
