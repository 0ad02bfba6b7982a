package conformance_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// slice is a slice of the kit's metadata: which of the values at a path belong to a name.
type slice struct {
	ID            string `json:"slice_id"`
	Name          string `json:"slice_name"`
	Path          string `json:"path"`
	Discriminator struct {
		Type, Path, Code, System string
		Values                   []struct{ Path, Value, System, Code string }
	} `json:"discriminator"`
}

// has says whether a value belongs to the slice.
func (s slice) has(n any) bool {
	d := s.Discriminator
	at := []any{n}
	if d.Path != "" {
		at = walk(n, d.Path, nil)
	}
	switch d.Type {
	case "url":
		m, is := n.(map[string]any)
		return is && m["url"] == d.Code
	case "patternCodeableConcept":
		for _, v := range at {
			for _, c := range walk(v, "coding", nil) {
				if isCoding(c, d.System, d.Code) {
					return true
				}
			}
		}
	case "patternCoding":
		for _, v := range at {
			if isCoding(v, d.System, d.Code) {
				return true
			}
		}
	case "patternIdentifier":
		for _, v := range at {
			if m, is := v.(map[string]any); is && m["system"] == d.System {
				return true
			}
		}
	case "value":
		for _, want := range d.Values {
			seen := false
			for _, v := range walk(n, want.Path, nil) {
				seen = seen || text(v) == want.Value
			}
			if !seen {
				return false
			}
		}
		return true
	case "requiredBinding":
		for _, v := range at {
			codings := walk(v, "coding", nil)
			if _, is := v.(string); is || len(codings) == 0 {
				codings = []any{v}
			}
			for _, c := range codings {
				for _, want := range d.Values {
					if text(c) == want.Code || isCoding(c, want.System, want.Code) {
						return true
					}
				}
			}
		}
	}
	return false
}

func isCoding(n any, system, code string) bool {
	m, is := n.(map[string]any)
	return is && m["code"] == code && (system == "" || m["system"] == system)
}

func text(n any) string {
	switch v := n.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	return ""
}

var whereURL = regexp.MustCompile(`^extension\.where\(url='([^']+)'\)\.(.+)$`)

var choiceType = map[string]bool{"DateTime": true, "Date": true, "Period": true, "Quantity": true, "CodeableConcept": true, "String": true,
	"Boolean": true, "Integer": true, "Decimal": true, "Coding": true, "Reference": true, "Instant": true, "Range": true, "Ratio": true, "Time": true,
	"Age": true, "Timing": true, "SampledData": true, "Attachment": true, "Uri": true}

// walk gives the values at a path of the kit's metadata: names with dots, "x" or "x[x]" for every x of a choice, "x:name" for a slice.
func walk(n any, path string, slices []slice) []any {
	if path == "" {
		return []any{n}
	}
	if m := whereURL.FindStringSubmatch(path); m != nil {
		var out []any
		for _, e := range walk(n, "extension", nil) {
			if o, is := e.(map[string]any); is && o["url"] == m[1] {
				out = append(out, walk(o, m[2], nil)...)
			}
		}
		return out
	}
	head, rest, _ := strings.Cut(path, ".")
	head, name, sliced := strings.Cut(head, ":")
	head = strings.TrimSuffix(head, "[x]")
	o, is := n.(map[string]any)
	if !is {
		return nil
	}
	v, there := o[head]
	if !there {
		for k, x := range o { // a choice has one member
			if rest, is := strings.CutPrefix(k, head); is && choiceType[rest] {
				v, there = x, true
			}
		}
	}
	if strings.HasPrefix(rest, "extension") || !there {
		if p, is := o["_"+head]; is {
			v, there = p, true
		}
	}
	if !there {
		return nil
	}
	all, is := v.([]any)
	if !is {
		all = []any{v}
	}
	var out []any
	for _, x := range all {
		if sliced && name != head {
			belongs := false
			for _, s := range slices {
				if s.Name == name && strings.TrimSuffix(s.Path, "[x]") == head {
					belongs = s.has(x)
				}
			}
			if !belongs {
				continue
			}
		}
		out = append(out, walk(x, rest, slices)...)
	}
	return out
}

// span is a stretch of time.
type span struct{ from, to time.Time }

var (
	longAgo = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	farOff  = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// spanOf gives the stretch that a date, dateTime, instant or Period covers.
func spanOf(v any) (span, bool) {
	switch v := v.(type) {
	case string:
		for form, to := range map[string]func(time.Time) time.Time{
			"2006":       func(t time.Time) time.Time { return t.AddDate(1, 0, 0) },
			"2006-01":    func(t time.Time) time.Time { return t.AddDate(0, 1, 0) },
			"2006-01-02": func(t time.Time) time.Time { return t.AddDate(0, 0, 1) },
		} {
			if t, err := time.Parse(form, v); err == nil {
				return span{t, to(t)}, true
			}
		}
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			to := t.Add(time.Second)
			if strings.Contains(v, ".") {
				to = t.Add(time.Millisecond)
			}
			return span{t, to}, true
		}
	case map[string]any:
		s := span{longAgo, farOff}
		if a, is := spanOf(v["start"]); is {
			s.from = a.from
		}
		if b, is := spanOf(v["end"]); is {
			s.to = b.to
		}
		return s, v["start"] != nil || v["end"] != nil
	}
	return span{}, false
}

// zone is how far a date without a time zone may be shifted by the practice's.
const zone = 15 * time.Hour

// dateMatches judges a date search as R4 §3.1.1.4.7 says, allowing for time zones that are not written.
func dateMatches(asked string, v any) bool {
	op := "eq"
	if len(asked) > 2 && asked[0] >= 'a' && asked[0] <= 'z' {
		op, asked = asked[:2], asked[2:]
	}
	want, ok1 := spanOf(asked)
	have, ok2 := spanOf(v)
	if !ok1 || !ok2 {
		return false
	}
	switch op {
	case "gt", "ge":
		return have.to.Add(zone).After(want.from)
	case "lt", "le":
		return have.from.Add(-zone).Before(want.to)
	}
	return !have.from.Before(want.from.Add(-zone)) && !have.to.After(want.to.Add(zone))
}

// texts gives every string in a value, for names and addresses.
func texts(n any) (out []string) {
	switch v := n.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, x := range v {
			out = append(out, texts(x)...)
		}
	case map[string]any:
		for k, x := range v {
			if k != "use" && k != "extension" && k != "period" {
				out = append(out, texts(x)...)
			}
		}
	}
	return out
}

// tokenMatches judges a token search on a code, Coding, CodeableConcept, Identifier or ContactPoint.
func tokenMatches(asked string, v any) bool {
	system, code, has := strings.Cut(asked, "|")
	if !has {
		system, code = "", asked
	}
	var codings []any
	switch o := v.(type) {
	case map[string]any:
		codings = []any{o}
		if c, is := o["coding"].([]any); is {
			codings = c
		}
	default:
		return text(v) == code
	}
	for _, c := range codings {
		m, is := c.(map[string]any)
		if !is {
			continue
		}
		got := text(m["code"])
		if m["code"] == nil {
			got = text(m["value"])
		}
		if got == code && (!has || text(m["system"]) == system) {
			return true
		}
	}
	return false
}

// referenceMatches judges a reference search by id or by type and id.
func referenceMatches(asked string, v any) bool {
	m, _ := v.(map[string]any)
	ref := text(m["reference"])
	if strings.Contains(asked, "/") {
		return ref == asked || strings.HasSuffix(ref, "/"+asked)
	}
	return ref == asked || strings.HasSuffix(ref, "/"+asked)
}
