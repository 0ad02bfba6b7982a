package clinical

import (
	"sort"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// observation is an Observation as read: one value, or the components of a panel.
type observation struct {
	Result
	category string
	parts    []observation // components with a value
}

func readObservation(id string, version int64, n *fhirjson.Node, zone *time.Location, adult bool) observation {
	o := observation{}
	o.ID, o.Version, o.Status, o.Note = id, version, n.Get("status").Text(), annotation(n)
	o.category = categoryOf(n)
	for _, f := range [...]string{"effectiveDateTime", "effectiveInstant", "issued"} {
		if t := n.Get(f).Text(); t != "" {
			o.When, o.Precise, _ = fhir.Moment(t, zone)
			break
		}
	}
	if p := n.Get("effectivePeriod"); p != nil {
		o.When, o.Precise, _ = fhir.Moment(p.Get("start").Text(), zone)
	}
	for _, p := range n.Get("performer").Items() {
		if o.By = person(&p); o.By != "" {
			break
		}
	}
	o.measure(n, n.Get("code"), adult)
	for _, c := range n.Get("component").Items() {
		part := observation{Result: Result{ID: id, Version: version, Status: o.Status, When: o.When, Precise: o.Precise, By: o.By}}
		part.measure(&c, c.Get("code"), adult)
		if part.Value != "" {
			o.parts = append(o.parts, part)
		}
	}
	return o
}

// measure reads code, value, range and flag of an Observation or of one component.
func (o *observation) measure(n, code *fhirjson.Node, adult bool) {
	o.Name = fhir.ConceptText(code)
	o.System, o.Code = fhir.ConceptCode(code, systemLOINC)
	v := valueOf(n)
	o.Value, o.Num, o.Numeric, o.Unit = v.text, v.num, v.ok && v.comparator == "", plainUnit(v.unit)
	if i := strings.IndexByte(o.Value, '.'); i >= 0 && o.Numeric {
		o.Decimals = len(o.Value) - i - 1
	}
	r := rangeOf(n)
	o.Ref = r.text
	if r.hasLow {
		low := r.low
		o.Low = &low
	}
	if r.hasHigh {
		high := r.high
		o.High = &high
	}
	o.Flag = flagOf(n, v)
	if o.Flag == Normal && o.Ref == "" && len(n.Get("interpretation").Items()) == 0 && o.Numeric {
		if vital, ok := vitalByLOINC(o.Code); ok {
			unit := v.code
			if unit == "" {
				unit = vital.Unit
			}
			if stored, ok := Convert(o.Num, unit, vital.Unit); ok {
				o.Flag = vital.flag(stored, adult)
			}
		}
	}
}

func categoryOf(n *fhirjson.Node) string {
	for _, c := range n.Get("category").Items() {
		for _, k := range c.Get("coding").Items() {
			if code := k.Get("code").Text(); code != "" {
				return code
			}
		}
	}
	return ""
}

// isResult reports whether an Observation belongs on the results page: what a laboratory,
// an imaging department or a procedure found, not vital signs, habits or questionnaires.
func isResult(category string) bool {
	switch category {
	case "vital-signs", "social-history", "survey", "activity", "therapy":
		return false
	}
	return true
}

// sameTest names the series an Observation belongs to.
func sameTest(o *observation) string {
	if o.Code != "" {
		return o.System + "|" + o.Code
	}
	return "|" + strings.ToLower(o.Name)
}

const trendLength = 12

// newestOfEach turns observations, newest first, into one Result per test with its course
// behind it. Entered-in-error and cancelled ones do not count.
func newestOfEach(list []observation) []Result {
	at := map[string]int{}
	var out []Result
	for i := range list {
		o := &list[i]
		if !counts(o.Status) {
			continue
		}
		if o.Value == "" && len(o.parts) > 0 {
			for p := range o.parts {
				out = add(out, at, &o.parts[p])
			}
			continue
		}
		if o.Value == "" {
			continue
		}
		out = add(out, at, o)
	}
	// Of the same day, what needs attention comes first.
	sort.SliceStable(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		if x, y := a.When.Format("2006-01-02"), b.When.Format("2006-01-02"); x != y {
			return x > y
		}
		if x, y := a.Flag.rank(), b.Flag.rank(); x != y {
			return x > y
		}
		return a.Name < b.Name
	})
	for i := range out {
		t := out[i].Trend
		for a, b := 0, len(t)-1; a < b; a, b = a+1, b-1 {
			t[a], t[b] = t[b], t[a]
		}
	}
	return out
}

func counts(status string) bool { return status != "entered-in-error" && status != "cancelled" }

// add puts an observation into its test's Result; Trend is built newest first and turned round at the end.
func add(out []Result, at map[string]int, o *observation) []Result {
	k := sameTest(o)
	i, seen := at[k]
	if !seen {
		at[k] = len(out)
		r := o.Result
		if r.Numeric {
			r.Trend = append(make([]Point, 0, 6), pointOf(o))
		}
		return append(out, r)
	}
	r := &out[i]
	if r.Previous == "" {
		r.Previous = o.Value
		if r.Numeric && o.Numeric && r.Unit == o.Unit {
			switch {
			case r.Num > o.Num:
				r.Change = 1
			case r.Num < o.Num:
				r.Change = -1
			}
		}
	}
	if r.Numeric && o.Numeric && o.Unit == r.Unit && len(r.Trend) < trendLength {
		r.Trend = append(r.Trend, pointOf(o))
	}
	return out
}

func pointOf(o *observation) Point {
	return Point{ID: o.ID, When: o.When, Value: o.Value, Num: o.Num, Flag: o.Flag, Unit: o.Unit, Status: o.Status}
}

// seriesOf puts the values of one test in order of time. What cannot share the axis of the
// newest number, because of its unit or because it is words, is kept apart.
func seriesOf(list []observation) Series {
	var s Series
	for i := range list {
		o := &list[i]
		if !counts(o.Status) || o.Value == "" {
			continue
		}
		if s.Name == "" {
			s.Name, s.Code, s.System = o.Name, o.Code, o.System
		}
		if s.Unit == "" && o.Numeric {
			s.Unit, s.Ref, s.Low, s.High = o.Unit, o.Ref, o.Low, o.High
		}
		if o.Numeric && o.Unit == s.Unit {
			s.Points = append(s.Points, pointOf(o))
		} else {
			s.Apart = append(s.Apart, pointOf(o))
		}
	}
	sort.SliceStable(s.Points, func(a, b int) bool { return s.Points[a].When.Before(s.Points[b].When) })
	return s
}

// withPart keeps of a list of panels only the component with that code, so that a blood
// pressure can be followed like any other number.
func withPart(list []observation, code string) []observation {
	var out []observation
	for _, o := range list {
		if o.Code == code {
			out = append(out, o)
			continue
		}
		for _, p := range o.parts {
			if p.Code == code {
				out = append(out, p)
			}
		}
	}
	return out
}
