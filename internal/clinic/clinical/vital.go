package clinical

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/standards/terminology"
)

// Vital is one kind of vital sign: how it is coded (US Core Vital Signs names these LOINC
// codes), in which unit it is stored, and which values are believable.
type Vital struct {
	Key      string // field name in forms: "hr"
	LOINC    string
	Name     string // English name; screens translate by Key
	Unit     string // UCUM code as stored
	Show     string // unit as printed
	Decimals int
	// Bounds: outside [Min, Max] is refused as impossible; outside [Doubt.From, Doubt.To]
	// the person is asked to confirm.
	Min, Max            float64
	DoubtLow, DoubtHigh float64
	// Adult limits for flags when no reference range came with the value; 0 means none.
	Low, High, CritLow, CritHigh float64
}

// Vitals lists the vital signs in the order of the form. Limits are those in everyday
// clinical use for adults at rest; children get no flag from them except for
// temperature and oxygen saturation.
func Vitals() []Vital { return vitals }

var vitals = []Vital{
	known(Vital{Key: "systolic", LOINC: "8480-6", Name: "Systolic blood pressure", DoubtLow: 60, DoubtHigh: 240}),
	known(Vital{Key: "diastolic", LOINC: "8462-4", Name: "Diastolic blood pressure", DoubtLow: 30, DoubtHigh: 140}),
	known(Vital{Key: "hr", LOINC: "8867-4", Name: "Heart rate", DoubtLow: 35, DoubtHigh: 200}),
	known(Vital{Key: "rr", LOINC: "9279-1", Name: "Respiratory rate", DoubtLow: 6, DoubtHigh: 60}),
	known(Vital{Key: "temp", LOINC: "8310-5", Name: "Body temperature", DoubtLow: 92, DoubtHigh: 106}),
	known(Vital{Key: "spo2", LOINC: "59408-5", Name: "Oxygen saturation", DoubtLow: 70, DoubtHigh: 100}),
	known(Vital{Key: "weight", LOINC: "29463-7", Name: "Body weight", DoubtLow: 3, DoubtHigh: 700}),
	known(Vital{Key: "height", LOINC: "8302-2", Name: "Body height", DoubtLow: 15, DoubtHigh: 90}),
	known(Vital{Key: "bmi", LOINC: "39156-5", Name: "Body mass index", DoubtLow: 8, DoubtHigh: 90}),
	{Key: "pain", LOINC: "72514-3", Name: "Pain, 0 to 10", Unit: "{score}", Show: "of 10", Min: 0, Max: 10, DoubtLow: 0, DoubtHigh: 10},
}

// adultAge is an age, in years, whose usual intervals are the adult limits.
const adultAge = 40

// known fills in what the table of tests knows of a vital sign: unit, what is possible, and the limits for adults.
func known(v Vital) Vital {
	t, ok := terminology.TestOf(v.LOINC)
	if !ok {
		return v // its test fails: a vital sign without a unit
	}
	v.Unit, v.Show, v.Decimals, v.Min, v.Max, v.CritLow, v.CritHigh = t.Unit, t.Show, t.Decimals, t.Min, t.Max, t.CritLow, t.CritHigh
	if r, ok := t.RangeFor("", adultAge); ok {
		v.Low, v.High = r.Low, r.High
	}
	return v
}

// VitalByKey finds a vital sign by form field.
func VitalByKey(key string) (Vital, bool) {
	for _, v := range vitals {
		if v.Key == key {
			return v, true
		}
	}
	return Vital{}, false
}

// LOINC codes of the panel and of older codes that records from elsewhere use.
const (
	loincBP        = "85354-9"
	loincPanel     = "85353-1"
	loincSpO2Plain = "2708-6"
)

func vitalByLOINC(code string) (Vital, bool) {
	if code == loincSpO2Plain {
		code = "59408-5"
	}
	for _, v := range vitals {
		if v.LOINC == code {
			return v, true
		}
	}
	return Vital{}, false
}

// Convert changes a number between the units vital signs are entered and stored in.
// ok is false when it knows no such conversion.
func Convert(v float64, from, to string) (float64, bool) {
	if from == to {
		return v, true
	}
	switch from + ">" + to {
	case "Cel>[degF]":
		return v*9/5 + 32, true
	case "[degF]>Cel":
		return (v - 32) * 5 / 9, true
	case "kg>[lb_av]":
		return v / 0.45359237, true
	case "[lb_av]>kg":
		return v * 0.45359237, true
	case "g>[lb_av]":
		return v / 453.59237, true
	case "g>kg":
		return v / 1000, true
	case "cm>[in_i]":
		return v / 2.54, true
	case "[in_i]>cm":
		return v * 2.54, true
	case "m>[in_i]":
		return v / 0.0254, true
	}
	return 0, false
}

// BMI is weight over height squared, in kg/m².
func BMI(pounds, inches float64) float64 {
	if pounds <= 0 || inches <= 0 {
		return 0
	}
	m := inches * 0.0254
	return pounds * 0.45359237 / (m * m)
}

// flag is the adult limit's verdict on a number in the vital's stored unit.
func (v Vital) flag(n float64, adult bool) Flag {
	if !adult && v.Key != "temp" && v.Key != "spo2" {
		return Normal
	}
	switch {
	case v.CritHigh != 0 && n > v.CritHigh:
		return CriticalHigh
	case v.CritLow != 0 && n < v.CritLow:
		return CriticalLow
	case v.High != 0 && n > v.High:
		return High
	case v.Low != 0 && n < v.Low:
		return Low
	}
	return Normal
}

// Reading is one set of vital signs as typed. Values holds the text of each field by
// Key; Units the unit chosen for temp, weight and height where it is not the stored one.
type Reading struct {
	When      time.Time
	Values    map[string]string
	Units     map[string]string
	Encounter string
	// Confirmed lists fields whose unlikely value the person has confirmed, as "key=value".
	Confirmed []string
}

// Entry is one accepted value. It is stored as it was typed, in the unit it was typed in.
type Entry struct {
	Vital Vital
	Value string  // decimal as typed
	Unit  string  // UCUM code
	Num   float64 // in the vital's own unit
}

// Doubt is a value that is possible but unlikely: ask, then accept if confirmed.
type Doubt struct {
	Key   string
	Token string // put into Reading.Confirmed to accept
	Text  string
}

// Check reads the fields of a reading. refused explains impossible or unreadable values
// by field; doubts lists unlikely ones not yet confirmed. last gives the previous number
// of a vital in its stored unit, to notice a weight in the wrong unit.
func (r Reading) Check(last func(key string) (float64, bool)) (entries []Entry, doubts []Doubt, refused map[string]string) {
	refused = map[string]string{}
	got := map[string]float64{}
	for _, v := range vitals {
		t := strings.TrimSpace(r.Values[v.Key])
		if t == "" || v.Key == "bmi" {
			continue
		}
		n, err := plainNumber(t)
		if err != nil {
			refused[v.Key] = "Write a number, such as " + example(v) + "."
			continue
		}
		typed, unit, text := strings.Replace(t, ",", ".", 1), v.Unit, t
		if u := r.Units[v.Key]; u != "" && u != v.Unit {
			c, ok := Convert(n, u, v.Unit)
			if !ok {
				refused[v.Key] = "This unit cannot be used here."
				continue
			}
			n, unit = c, u
			text = strconv.FormatFloat(round(c, v.Decimals), 'f', v.Decimals, 64)
		}
		if n < v.Min || n > v.Max {
			refused[v.Key] = fmt.Sprintf("%s cannot be %s %s. Check the number and its unit.", v.Name, text, v.Show)
			continue
		}
		doubt := ""
		if n < v.DoubtLow || n > v.DoubtHigh {
			doubt = fmt.Sprintf("%s %s %s is very unusual.", v.Name, text, v.Show)
		} else if before, ok := last(v.Key); ok && v.Key == "weight" && before > 0 && math.Abs(n-before)/before > 0.2 {
			doubt = fmt.Sprintf("Weight %s lb differs by more than a fifth from the last one, %s lb.", text, strconv.FormatFloat(round(before, 1), 'f', -1, 64))
		} else if ok && v.Key == "height" && before > 40 && math.Abs(n-before) > 4 {
			doubt = fmt.Sprintf("Height %s in differs by more than 4 in from the last one, %s in.", text, strconv.FormatFloat(round(before, 1), 'f', -1, 64))
		}
		if doubt != "" {
			token := v.Key + "=" + text
			if !contains(r.Confirmed, token) {
				doubts = append(doubts, Doubt{Key: v.Key, Token: token, Text: doubt})
			}
		}
		got[v.Key] = n
		entries = append(entries, Entry{Vital: v, Value: typed, Unit: unit, Num: n})
	}
	s, hasS := got["systolic"]
	d, hasD := got["diastolic"]
	if hasS != hasD && refused["systolic"] == "" && refused["diastolic"] == "" {
		if hasS {
			refused["diastolic"] = "Enter both numbers of the blood pressure."
		} else {
			refused["systolic"] = "Enter both numbers of the blood pressure."
		}
	}
	if hasS && hasD && d >= s {
		refused["diastolic"] = "The lower number must be below the upper one."
	}
	height, hasH := got["height"]
	if !hasH {
		height, hasH = last("height")
	}
	if w, ok := got["weight"]; ok && hasH {
		if b := BMI(w, height); b > 0 {
			v, _ := VitalByKey("bmi")
			b = round(b, 1)
			entries = append(entries, Entry{Vital: v, Value: strconv.FormatFloat(b, 'f', 1, 64), Unit: v.Unit, Num: b})
		}
	}
	return entries, doubts, refused
}

func example(v Vital) string {
	switch v.Key {
	case "temp":
		return "98.6"
	case "systolic":
		return "120"
	case "diastolic":
		return "80"
	case "spo2":
		return "97"
	case "weight":
		return "182.5"
	case "height":
		return "66"
	case "pain":
		return "3"
	}
	return "72"
}

// plainNumber accepts digits with at most one decimal point (or comma), nothing else: what
// it accepts is a FHIR decimal once the comma is a point.
func plainNumber(t string) (float64, error) {
	t = strings.Replace(t, ",", ".", 1)
	point := -1
	for i := 0; i < len(t); i++ {
		switch {
		case t[i] == '.' && point < 0 && i > 0 && i < len(t)-1 && len(t)-i <= 4:
			point = i
		case t[i] < '0' || t[i] > '9', i == 1 && t[0] == '0' && point < 0:
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseFloat(t, 64)
}

func round(v float64, decimals int) float64 {
	p := math.Pow(10, float64(decimals))
	return math.Round(v*p) / p
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// Flowsheet is a table of vital signs: rows by kind, columns by time, newest first.
type Flowsheet struct {
	Columns []Column
	Rows    []Row
	More    string // cursor for older columns, "" at the start of the record
}

// Column is one moment of measurement.
type Column struct {
	When    time.Time
	Precise bool
	By      string
}

// Row is one kind of vital sign over the columns.
type Row struct {
	Key   string // "bp" for the two blood pressures together
	Name  string
	Unit  string
	Cells []Cell // one per column; Text "" where nothing was measured
}

// Cell is one value of the flowsheet.
type Cell struct {
	ID      string // Observation
	Version int64
	Text    string
	Num     float64
	Numeric bool
	Flag    Flag
	Wrong   bool // entered in error: shown struck through, never counted
}
