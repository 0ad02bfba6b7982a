package terminology

import "sync"

// Test is a laboratory test or vital sign: how it is coded, in which unit it is reported,
// and which values are usual and possible. Names are ours; codes are LOINC.
type Test struct {
	Code     string // LOINC
	Name     string // "Potassium"
	Category string // "vital-signs" or "laboratory" (FHIR observation-category)
	Unit     string // UCUM
	Show     string // unit as printed
	Decimals int    // digits after the point as laboratories report it
	Panel    string // LOINC of the panel it is usually part of, "" for none
	// Ranges are usual intervals for adults and children; the first that fits sex and age holds.
	// They stand in where a result came without its laboratory's own and for simulated results.
	Ranges []Range
	// Min and Max bound what is possible in a living person; a value outside is a mistake.
	Min, Max float64
	// Below CritLow or above CritHigh somebody must be told at once; 0 is none.
	CritLow, CritHigh float64
	Words             []string
}

// Range is the usual interval for a sex ("" any) from an age in years up to, not including, another (0: no end).
type Range struct {
	Sex       string // FHIR administrative gender: female, male, "" for any
	From, To  float64
	Low, High float64 // 0 Low or High: unbounded on that side
}

// Panel is a group of tests ordered together.
type Panel struct {
	Code, Name string
	Tests      []string // LOINC codes in the order of the report
}

// RangeFor returns the usual interval for a person; ok is false when none is known.
func (t Test) RangeFor(sex string, years float64) (r Range, ok bool) {
	for _, r := range t.Ranges {
		if (r.Sex == "" || r.Sex == sex) && years >= r.From && (r.To == 0 || years < r.To) {
			return r, true
		}
	}
	return Range{}, false
}

// Tests lists every laboratory test and vital sign of the table. Do not change it.
func Tests() []Test { return tests }

// Panels lists the panels of the table. Do not change it.
func Panels() []Panel { return panels }

// TestOf finds a test by LOINC code.
func TestOf(code string) (Test, bool) {
	i, ok := testAt()[code]
	if !ok {
		return Test{}, false
	}
	return tests[i], true
}

var testAt = sync.OnceValue(func() map[string]int {
	m := map[string]int{}
	for i, t := range tests {
		m[t.Code] = i
	}
	return m
})

func labs() []Concept {
	out := make([]Concept, 0, len(tests)+len(panels))
	for _, t := range tests {
		group := "laboratory"
		if t.Category == vital {
			group = "vital-sign"
		}
		out = append(out, Concept{System: LOINC, Code: t.Code, Display: t.Name, Group: group, Words: t.Words})
	}
	for _, p := range panels {
		out = append(out, Concept{System: LOINC, Code: p.Code, Display: p.Name, Group: "panel"})
	}
	return out
}

const (
	vital = "vital-signs"
	lab   = "laboratory"
)

// LOINC codes of panels named by other tables.
const (
	panelBMP    = "51990-0"
	panelCMP    = "24323-8"
	panelCBC    = "58410-2"
	panelLipid  = "57698-3"
	panelUrine  = "24357-6"
	panelUACR   = "34535-5"
	panelPT     = "34528-0"
	panelVitals = "85353-1"
	panelBP     = "85354-9"
)

func all(low, high float64) []Range { return []Range{{Low: low, High: high}} }

func grown(low, high float64) []Range { return []Range{{From: 18, Low: low, High: high}} }

func bySex(fLow, fHigh, mLow, mHigh float64) []Range {
	return []Range{{Sex: "female", From: 18, Low: fLow, High: fHigh}, {Sex: "male", From: 18, Low: mLow, High: mHigh}}
}

var panels = []Panel{
	{panelBMP, "Basic metabolic panel", []string{"2345-7", "3094-0", "2160-0", "98979-8", "2951-2", "2823-3", "2075-0", "2028-9", "17861-6"}},
	{panelCMP, "Comprehensive metabolic panel", []string{"2345-7", "3094-0", "2160-0", "98979-8", "2951-2", "2823-3", "2075-0", "2028-9", "17861-6", "2885-2", "1751-7", "1975-2", "6768-6", "1742-6", "1920-8"}},
	{panelCBC, "Complete blood count", []string{"6690-2", "789-8", "718-7", "4544-3", "787-2", "785-6", "786-4", "788-0", "777-3"}},
	{panelLipid, "Lipid panel", []string{"2093-3", "2571-8", "2085-9", "13457-7"}},
	{panelUrine, "Urinalysis, dipstick", []string{"5811-5", "5803-2", "20454-5", "25428-4", "5797-6", "5794-3", "5802-4", "5799-2"}},
	{panelUACR, "Urine albumin and creatinine", []string{"9318-7"}},
	{panelPT, "Prothrombin time and INR", []string{"5902-2", "6301-6"}},
	{panelVitals, "Vital signs", []string{panelBP, "8867-4", "9279-1", "8310-5", "59408-5", "29463-7", "8302-2", "39156-5"}},
	{panelBP, "Blood pressure", []string{"8480-6", "8462-4"}},
}
