package clinical

import (
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

func TestBlanks(t *testing.T) {
	text := Text{Sections: []Section{{Title: "A", Text: "Knee [___ side], pain ____ of 10, *** and __ and [x]"}, {Title: "B", Text: "done"}}}
	var got []string
	for _, b := range text.Blanks() {
		got = append(got, b.Text)
	}
	if strings.Join(got, "|") != "[___ side]|____|***" {
		t.Errorf("%q", got)
	}
}

func TestTemplatesKeepTheirBlanks(t *testing.T) {
	c := &Chart{day: "2026-03-02"}
	for _, tpl := range Templates() {
		out := tpl.Fill(c)
		for _, s := range out.Sections {
			if strings.Contains(s.Text, "{") {
				t.Errorf("%s: %q is not filled in", tpl.ID, s.Text)
			}
			if s.Code == "" || s.Title == "" {
				t.Errorf("%s: a section without code or title", tpl.ID)
			}
		}
	}
	office, _ := TemplateByID("office")
	if b := office.Fill(c).Blanks(); len(b) != 1 || b[0].Text != "[___ vital signs]" {
		t.Errorf("a visit without vital signs: %+v", b)
	}
}

func TestVitalRules(t *testing.T) {
	none := func(string) (float64, bool) { return 0, false }
	last := func(key string) (float64, bool) {
		v, ok := map[string]float64{"weight": 188.4, "height": 65}[key]
		return v, ok
	}
	for _, c := range []struct {
		name    string
		values  map[string]string
		units   map[string]string
		last    func(string) (float64, bool)
		refused string // a field
		doubt   string
		bmi     string
	}{
		{"plain", map[string]string{"systolic": "120", "diastolic": "80"}, nil, none, "", "", ""},
		{"half a blood pressure", map[string]string{"systolic": "120"}, nil, none, "diastolic", "", ""},
		{"upside down", map[string]string{"systolic": "80", "diastolic": "120"}, nil, none, "diastolic", "", ""},
		{"fever without its point", map[string]string{"temp": "986"}, nil, none, "temp", "", ""},
		{"37 taken for Fahrenheit", map[string]string{"temp": "37"}, nil, none, "temp", "", ""},
		{"37 Celsius", map[string]string{"temp": "37"}, map[string]string{"temp": "Cel"}, none, "", "", ""},
		{"words", map[string]string{"hr": "fast"}, nil, none, "hr", "", ""},
		{"a sign", map[string]string{"hr": "-70"}, nil, none, "hr", "", ""},
		{"a leading zero", map[string]string{"hr": "070"}, nil, none, "hr", "", ""},
		{"more than all oxygen", map[string]string{"spo2": "101"}, nil, none, "spo2", "", ""},
		{"kilograms as pounds", map[string]string{"weight": "85.5"}, nil, last, "", "weight", "14.2"},
		{"kilograms", map[string]string{"weight": "85.5"}, map[string]string{"weight": "kg"}, last, "", "", "31.4"},
		{"shrunk", map[string]string{"height": "56"}, nil, last, "", "height", ""},
		{"a comma", map[string]string{"weight": "188,4"}, nil, last, "", "", "31.4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, doubts, refused := Reading{Values: c.values, Units: c.units}.Check(c.last)
			if c.refused == "" && len(refused) > 0 || c.refused != "" && refused[c.refused] == "" {
				t.Errorf("refused: %v", refused)
			}
			if c.doubt == "" && len(doubts) > 0 || c.doubt != "" && (len(doubts) != 1 || doubts[0].Key != c.doubt) {
				t.Errorf("doubts: %v", doubts)
			}
			for _, e := range entries {
				if e.Vital.Key == "bmi" && e.Value != c.bmi {
					t.Errorf("BMI %s, want %s", e.Value, c.bmi)
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		name, json string
		adult      bool
		want       Flag
	}{
		{"what the laboratory said wins", `{"interpretation":[{"coding":[{"code":"N"}]}],"valueQuantity":{"value":9},"referenceRange":[{"high":{"value":5}}]}`, true, Normal},
		{"critical", `{"interpretation":[{"coding":[{"code":"LL"}]}],"valueQuantity":{"value":9}}`, true, CriticalLow},
		{"above the range", `{"valueQuantity":{"value":5.2},"referenceRange":[{"low":{"value":3.5},"high":{"value":5.1}}]}`, true, High},
		{"at the limit", `{"valueQuantity":{"value":5.1},"referenceRange":[{"low":{"value":3.5},"high":{"value":5.1}}]}`, true, Normal},
		{"below the range", `{"valueQuantity":{"value":3.4},"referenceRange":[{"low":{"value":3.5},"high":{"value":5.1}}]}`, true, Low},
		{"a range for something else", `{"valueQuantity":{"value":9},"referenceRange":[{"type":{"coding":[{"code":"treatment"}]},"high":{"value":5}}]}`, true, Normal},
		{"adult heart rate", `{"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"valueQuantity":{"value":130,"code":"/min"}}`, true, High},
		{"a child's heart rate", `{"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"valueQuantity":{"value":130,"code":"/min"}}`, false, Normal},
		{"a child's fever in Celsius", `{"code":{"coding":[{"system":"http://loinc.org","code":"8310-5"}]},"valueQuantity":{"value":39.0,"code":"Cel"}}`, false, High},
		{"below detection", `{"valueQuantity":{"value":0.5,"comparator":"<"},"referenceRange":[{"low":{"value":1}}]}`, true, Low},
	} {
		n, err := fhirjson.Parse([]byte(c.json), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if o := readObservation("x", 1, n, time.UTC, c.adult); o.Flag != c.want {
			t.Errorf("%s: %q, want %q", c.name, o.Flag, c.want)
		}
	}
}

func TestMixedUnitsStayApart(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := func(days int, v float64, unit, words string) observation {
		r := observation{Result: Result{Name: "Glucose", Code: "2345-7", Value: words, Num: v, Numeric: unit != "", Unit: unit, When: at.AddDate(0, 0, days), Status: "final"}}
		return r
	}
	wrong := o(9, 900, "mg/dL", "900")
	wrong.Status = "entered-in-error"
	s := seriesOf([]observation{wrong, o(3, 101, "mg/dL", "101"), o(2, 5.5, "mmol/L", "5.5"), o(1, 99, "mg/dL", "99"), o(0, 0, "", "hemolysed")})
	if len(s.Points) != 2 || len(s.Apart) != 2 || s.Points[0].Value != "99" {
		t.Errorf("%+v", s)
	}
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		`<div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b<br/>c</p></div>`:       "a < b\nc",
		`<div><h1>T</h1><script>alert(1)</script><ul><li>x</li><li>y</li></ul></div>`: "T\nalert(1)x\ny",
		`broken <b`: "broken",
		``:          "",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	text := "line <1> & \"two\"\nthree"
	if got := plain(narrative(text)); got != text {
		t.Errorf("there and back: %q", got)
	}
}

func TestSig(t *testing.T) {
	for in, want := range map[string]string{
		`[{"text":"1 tablet daily"}]`: "1 tablet daily",
		`[{"timing":{"repeat":{"frequency":1,"period":1.0,"periodUnit":"d"}},"doseAndRate":[{"doseQuantity":{"value":1.0}}]}]`: "1.0 once daily",
		`[{"timing":{"repeat":{"frequency":2,"period":1,"periodUnit":"d"}},"asNeededBoolean":true}]`:                           "twice a day as needed",
		`[{"timing":{"repeat":{"frequency":1,"period":8,"periodUnit":"h"}}}]`:                                                  "every 8 hours",
		`[]`: "",
	} {
		n, err := fhirjson.Parse([]byte(in), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := sig(n); got != want {
			t.Errorf("%s gives %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("<p>a</p>")
	f.Add("<<b>&amp;")
	f.Fuzz(func(t *testing.T, s string) { plain(s) })
}
