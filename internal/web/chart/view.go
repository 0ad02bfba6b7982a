package chart

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/web/ui"
)

func itoa(n int) string     { return strconv.Itoa(n) }
func itoa64(n int64) string { return strconv.FormatInt(n, 10) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func join(list []string) string { return strings.Join(list, ", ") }

// shell is the frame of the product around the chart. The title starts with the patient's name.
func (x *page) shell() ui.Shell {
	p := x.Chart.Patient
	// The browser writes titles down in its history, where the next person at the machine finds them: initials tell tabs apart.
	return ui.Shell{Title: p.Name.Initials() + " · " + x.T("tab."+string(x.Tab)), Active: "patients", Patient: x.Patient, Open: x.Open, Wide: true}
}

func (x *page) tabURL(t tab) templ.SafeURL {
	if t == tabSummary {
		return x.URL()
	}
	return x.URL("/", string(t))
}

// or shows a value, or the word for its absence: nothing is ever an empty place.
func (x *page) or(v, key string) string {
	if v != "" {
		return v
	}
	return x.T(key)
}

// ageSex is "58 y F".
func (x *page) ageSex() string {
	return strings.TrimSpace(x.q.Age(x.Chart.Patient.Age) + " " + patient.SexLetter(x.Chart.Patient.Sex))
}

func (x *page) sexKey() string {
	switch s := x.Chart.Patient.Sex; s {
	case "female", "male", "other":
		return s
	}
	return "unknown"
}

// count is "3 allergies" in the person's language.
func (x *page) count(n int, key string) string {
	if n == 1 {
		return x.T("count." + key + ".one")
	}
	return x.T("count."+key, itoa(n))
}

func (x *page) activeProblems() int {
	n := 0
	for _, p := range x.Chart.Problems {
		if p.Active() {
			n++
		}
	}
	return n
}

func (x *page) activeMedications() int {
	n := 0
	for _, m := range x.Chart.Medications {
		if m.Active() {
			n++
		}
	}
	return n
}

// problemLine is "E11.22 · since 2014".
func (x *page) problemLine(p clinical.Problem) string {
	var parts []string
	if p.Code != "" {
		parts = append(parts, p.Code)
	}
	if p.Onset != "" {
		parts = append(parts, x.T("since", x.fhirDate(p.Onset)))
	}
	return strings.Join(parts, " · ")
}

func (x *page) allergyLine(a clinical.Allergy) string {
	var parts []string
	if a.Severity != "" {
		parts = append(parts, x.T("severity."+a.Severity))
	}
	if a.Kind != "" {
		parts = append(parts, x.T("allergykind."+a.Kind))
	}
	if a.Recorded != "" {
		parts = append(parts, x.fhirDate(a.Recorded[:min(10, len(a.Recorded))]))
	}
	return strings.Join(parts, " · ")
}

// team leaves out the people shown elsewhere and keeps the storyboard short.
func (x *page) team() []clinical.TeamMember {
	var out []clinical.TeamMember
	for _, m := range x.Chart.Team {
		if m.Name == x.Chart.Patient.PCPName || len(out) == 3 {
			continue
		}
		out = append(out, m)
	}
	return out
}

type vitalNow struct {
	Label string
	Cell  clinical.Cell
}

// vitalsNow are the newest values for the storyboard, in the form's order.
func (x *page) vitalsNow() []vitalNow {
	var out []vitalNow
	for _, key := range []string{"bp", "hr", "rr", "temp", "spo2", "weight"} {
		for _, r := range x.Chart.Vitals.Rows {
			if r.Key != key {
				continue
			}
			if c := r.Cells[0]; c.Text != "" && !c.Wrong {
				out = append(out, vitalNow{x.T("vital.short." + key), c})
			}
		}
	}
	return out
}

func (x *page) newCount() string {
	if x.Chart.NewResults == 0 {
		return ""
	}
	return x.T("count.new", itoa(x.Chart.NewResults))
}

// plainNew counts the new results that are not critical: those are acknowledged one by one.
func (x *page) plainNew() int {
	n := 0
	for _, r := range x.Chart.Results {
		if r.New && !r.Flag.Critical() {
			n++
		}
	}
	return n
}

func (x *page) unitAndRange(s clinical.Series) string {
	if s.Ref == "" {
		return s.Unit
	}
	return strings.TrimSpace(s.Unit + " · " + x.T("reference") + " " + s.Ref)
}

// section is the title of a note's section: translated when it is one of ours.
func (x *page) section(s clinical.Section) string { return s.Title }

func firstID(r clinical.Row) string {
	for _, c := range r.Cells {
		if c.ID != "" && !c.Wrong {
			return c.ID
		}
	}
	return ""
}

func kindOf(resourceType string) string {
	if resourceType == "MedicationRequest" {
		return "request"
	}
	return "statement"
}

func eventIcon(k clinical.EventKind) string {
	switch k {
	case clinical.VisitEvent:
		return "stethoscope"
	case clinical.ResultEvent:
		return "flask-conical"
	case clinical.ProblemEvent:
		return "activity"
	case clinical.MedEvent:
		return "pill"
	case clinical.ImmunizationEvent:
		return "syringe"
	case clinical.ProcedureEvent:
		return "scan-line"
	}
	return "file-text"
}

// spans are the lengths of time a trend can show.
var spans = []string{"6m", "18m", "5y", "all"}

// within keeps the points of a span; "18m" when it is not one of spans.
func within(points []clinical.Point, span string, now time.Time) []clinical.Point {
	var from time.Time
	switch span {
	case "6m":
		from = now.AddDate(0, -6, 0)
	case "5y":
		from = now.AddDate(-5, 0, 0)
	case "all":
	default:
		from = now.AddDate(0, -18, 0)
	}
	for i, p := range points {
		if !p.When.Before(from) {
			return points[i:]
		}
	}
	return nil
}

// series turns a course into what the pictures of package ui draw.
func series(name, unit string, low, high *float64, points []clinical.Point) ui.Series {
	out := ui.Series{Name: name, Unit: unit, Low: side(low), High: side(high), Points: make([]ui.Point, len(points))}
	for i, p := range points {
		out.Points[i] = ui.Point{At: p.When, Value: p.Num, Text: p.Value, Flag: string(p.Flag)}
	}
	return out
}

func side(limit *float64) float64 {
	if limit == nil {
		return math.NaN()
	}
	return *limit
}

// key is the letter of a command as the page's script matches it, from the one table of commands.
func key(n int) string { return itoa(n + 1) }

// options are the choices of a list, the first being that nobody said.
func (x *page) options(group string, values ...string) []ui.Option {
	out := []ui.Option{{Value: "", Label: x.T("notsaid")}}
	for _, v := range values {
		out = append(out, ui.Option{Value: v, Label: x.T(group + "." + v)})
	}
	return out
}

// eventDate keeps the precision an event was recorded with.
func (x *page) eventDate(e clinical.Event) string {
	if len(e.On) < 10 {
		return x.fhirDate(e.On)
	}
	return x.date(e.When)
}
