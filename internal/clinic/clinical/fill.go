package clinical

import "strings"

// Fill gives a template's opening words for a patient: {vitals}, {problems}, {meds} and
// {reason} become what the chart says today. What the chart does not say stays as a blank
// to fill in.
func (t Template) Fill(c *Chart) Text {
	var out Text
	for _, s := range t.Sections {
		for _, f := range [...]struct{ mark, words, blank string }{
			{"{vitals}", c.vitalsToday(), "[___ vital signs]"},
			{"{problems}", c.problemLines(), "[___ problems]"},
			{"{meds}", c.medicationLines(), "[___ medications]"},
			{"{reason}", c.reason(), ""},
		} {
			if !strings.Contains(s.Text, f.mark) {
				continue
			}
			words := f.words
			if words == "" {
				words = f.blank
			}
			s.Text = strings.ReplaceAll(s.Text, f.mark, words)
		}
		out.Sections = append(out.Sections, s)
	}
	return out
}

func (c *Chart) reason() string {
	if c.Visit != nil {
		return c.Visit.Reason
	}
	return ""
}

// vitalsToday writes today's vital signs in a line: "BP 152/91, HR 78, Wt 188.4 lb, BMI 31.3."
func (c *Chart) vitalsToday() string {
	if len(c.Vitals.Columns) == 0 || c.Vitals.Columns[0].When.Format("2006-01-02") < c.day {
		return ""
	}
	short := map[string]string{"bp": "BP", "hr": "HR", "rr": "RR", "temp": "Temp", "spo2": "SpO₂", "weight": "Wt", "height": "Ht", "bmi": "BMI", "pain": "Pain"}
	var parts []string
	for _, r := range c.Vitals.Rows {
		cell := r.Cells[0]
		if cell.Text == "" || cell.Wrong {
			continue
		}
		w := short[r.Key] + " " + cell.Text
		switch r.Key {
		case "weight", "height", "temp":
			w += " " + r.Unit
		case "spo2":
			w += " %"
		case "pain":
			w += "/10"
		}
		parts = append(parts, w)
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + "."
}

func (c *Chart) problemLines() string {
	var lines []string
	for _, p := range c.Problems {
		if p.Active() {
			lines = append(lines, "- "+p.Name)
		}
	}
	return strings.Join(lines, "\n")
}

func (c *Chart) medicationLines() string {
	var lines []string
	for _, m := range c.Medications {
		if m.Active() {
			l := "- " + m.Name
			if m.Sig != "" {
				l += ", " + m.Sig
			}
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}
