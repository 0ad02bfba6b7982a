package codes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"yarrow.health/internal/standards/terminology"
)

// draft collects the concepts of an edition while its files are read.
type draft struct {
	entries []terminology.Entry
	at      map[string]int
	version string // as the files say it
	from    string
	until   string
	notes   []string // for the report
}

func newDraft() *draft { return &draft{at: map[string]int{}} }

// put adds a concept; of one code the first stays. It returns the entry, to be added to.
func (d *draft) put(e terminology.Entry) *terminology.Entry {
	if i, ok := d.at[e.Code]; ok {
		return &d.entries[i]
	}
	d.at[strings.Clone(e.Code)] = len(d.entries)
	d.entries = append(d.entries, e)
	return &d.entries[len(d.entries)-1]
}

func (d *draft) has(code string) bool { _, ok := d.at[code]; return ok }

func (d *draft) note(format string, args ...any) {
	if len(d.notes) < 50 {
		d.notes = append(d.notes, fmt.Sprintf(format, args...))
	}
}

// sorted puts the concepts in the order of their codes.
func (d *draft) sorted() {
	slices.SortStableFunc(d.entries, func(a, b terminology.Entry) int { return strings.Compare(a.Code, b.Code) })
	for i := range d.entries {
		d.at[d.entries[i].Code] = i
	}
}

// clean keeps parents that exist and designations that say something new.
func (d *draft) clean() {
	lost := 0
	for i := range d.entries {
		e := &d.entries[i]
		e.Parents = slices.DeleteFunc(e.Parents, func(p string) bool {
			if d.has(p) && p != e.Code {
				return false
			}
			lost++
			return true
		})
		e.Display = strings.Join(strings.Fields(e.Display), " ")
		seen := map[string]bool{strings.ToLower(e.Display): true}
		e.Designations = slices.DeleteFunc(e.Designations, func(x terminology.Designation) bool {
			k := strings.ToLower(x.Value)
			if x.Language != "" {
				k = x.Language + "|" + k
			}
			if x.Value == "" || seen[k] {
				return true
			}
			seen[k] = true
			return false
		})
	}
	if lost > 0 {
		d.note("%d links to concepts that the files do not have were left out.", lost)
	}
}

// synonym is a further name.
func synonym(s string) terminology.Designation {
	return terminology.Designation{UseSystem: "http://terminology.hl7.org/CodeSystem/designation-usage", Use: "display", Value: strings.Join(strings.Fields(s), " ")}
}

func fact(code, kind, value string) []terminology.Property {
	if value == "" {
		return nil
	}
	return []terminology.Property{{Code: code, Type: kind, Value: value}}
}

var (
	eightDigits = regexp.MustCompile(`(^|\D)((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\D|$)`)
	year        = regexp.MustCompile(`(?:^|\D)(20\d\d)(?:\D|$)`)
)

// dateIn finds a date like 20260301 in a file name, as 2026-03-01.
func dateIn(name string) string {
	if m := eightDigits.FindStringSubmatch(name); m != nil {
		return m[2] + "-" + m[3] + "-" + m[4]
	}
	return ""
}

// day turns 20260301, 3/1/2026 or 2026-03-01 into 2026-03-01; "" when it is none of these.
func day(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".0")
	if len(s) >= 10 && s[4] == '-' && s[7] == '-' {
		return s[:10]
	}
	if len(s) == 8 && !strings.ContainsAny(s, "/-. ") {
		return s[:4] + "-" + s[4:6] + "-" + s[6:]
	}
	if p := strings.Split(s, "/"); len(p) == 3 && len(p[2]) >= 4 {
		two := func(s string) string { return ("0" + s)[max(0, len(s)-1):] }
		return p[2][:4] + "-" + two(p[0]) + "-" + two(p[1])
	}
	return ""
}
