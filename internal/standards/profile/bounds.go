package profile

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhirjson"
)

// Bounds are limits that a profile sets by extensions of an ElementDefinition: minLength, maxDecimalPlaces, maxSize, mimeType,
// regex and elementdefinition-allowedUnits.
type Bounds struct {
	MinLength int      // in characters; 0 is none
	MaxPlaces int      // digits after the decimal point; Unset is any
	MaxSize   int      // of an attachment, in bytes; 0 is any
	Types     []string // MIME types of an attachment; none is any
	Regex     *regexp.Regexp
	Units     string // canonical URL of a value set of units
}

// maxRegex bounds the pattern of an element.
const maxRegex = 2000

// readBounds reads the extensions of an ElementDefinition and of its types; nil if there are none.
func readBounds(n *fhirjson.Node) *Bounds {
	b := Bounds{MaxPlaces: Unset}
	found := false
	all := slices.Clone(n.Get("extension").Items())
	for _, t := range n.Get("type").Items() {
		all = append(all, t.Get("extension").Items()...)
	}
	for i := range all {
		_, v := choiceOf(&all[i], "value")
		number, err := strconv.Atoi(v.Text())
		whole := err == nil && number >= 0
		name, core := strings.CutPrefix(all[i].Get("url").Text(), structureBase)
		switch {
		case !core || v == nil:
			continue
		case name == "minLength" && whole:
			b.MinLength = number
		case name == "maxDecimalPlaces" && whole:
			b.MaxPlaces = number
		case name == "maxSize" && whole:
			b.MaxSize = number
		case name == "mimeType":
			b.Types = append(b.Types, v.Text())
		case name == "elementdefinition-allowedUnits" && v.Kind() == fhirjson.String:
			b.Units = v.Text()
		case name == "regex" && len(v.Text()) <= maxRegex:
			re, err := regexp.Compile("^(?:" + v.Text() + ")$")
			if err != nil {
				continue // not ours to judge
			}
			b.Regex = re
		default:
			continue
		}
		found = true
	}
	if !found {
		return nil
	}
	return &b
}

// bounded judges a value against the bounds of a profile.
func (r *run) bounded(it value, b *Bounds, who string) {
	n := it.node
	switch n.Kind() {
	case fhirjson.String:
		if b.MinLength > 0 && utf8.RuneCountInString(n.Text()) < b.MinLength {
			r.fail("value", n, "The text is shorter than the "+itoa(b.MinLength)+" characters that "+who+" asks for.", "Write more.")
		}
		if b.Regex != nil && !b.Regex.MatchString(n.Text()) {
			r.fail("value", n, "The value does not have the form that "+who+" asks for.", "It must match "+shown(b.Regex.String())+".")
		}
	case fhirjson.Number:
		if _, places, _ := strings.Cut(n.Text(), "."); b.MaxPlaces != Unset && len(places) > b.MaxPlaces {
			r.fail("value", n, "The number has more decimal places than the "+itoa(b.MaxPlaces)+" that "+who+" allows.", "Round it.")
		}
	}
	if it.typ == "Attachment" {
		r.boundedFile(n, b, who)
	}
	if b.Units != "" && n.Get("code") != nil {
		if ok, known := r.coded(b.Units, n.Get("system").Text(), n.Get("code").Text()); known && !ok {
			r.fail("code-invalid", n, "The unit is not one that "+who+" allows.", "Use a unit of "+shown(b.Units)+".")
		}
	}
}

func (r *run) boundedFile(n *fhirjson.Node, b *Bounds, who string) {
	if t := n.Get("contentType"); len(b.Types) > 0 && t != nil && !slices.Contains(b.Types, t.Text()) {
		r.fail("value", n, "A file of this type is not allowed by "+who+".", "Give a file of type "+orList(b.Types)+".")
	}
	if b.MaxSize == 0 {
		return
	}
	size := -1
	if data := n.Get("data"); data != nil {
		size = base64Len(data.Text())
	} else if s, err := strconv.Atoi(n.Get("size").Text()); err == nil {
		size = s
	}
	if size > b.MaxSize {
		r.fail("too-long", n, "The file is larger than "+who+" allows.", "It may have at most "+itoa(b.MaxSize)+" bytes.")
	}
}

// sinceNow compares a date or time with a limit told as a span of time: the least is that long ago, the greatest that far ahead
// (R4 ElementDefinition.minValue and maxValue).
func (r *run) sinceNow(text string, span *fhirjson.Node, sign int) (int, bool) {
	amount, err := strconv.Atoi(span.Get("value").Text())
	if r.o.Now.IsZero() || err != nil || amount < 0 || amount > 100_000 {
		return 0, false
	}
	amount *= sign
	limit := r.o.Now
	switch span.Get("code").Text() {
	case "a":
		limit = limit.AddDate(amount, 0, 0)
	case "mo":
		limit = limit.AddDate(0, amount, 0)
	case "wk":
		limit = limit.AddDate(0, 0, 7*amount)
	case "d":
		limit = limit.AddDate(0, 0, amount)
	case "h":
		limit = limit.Add(time.Duration(amount) * time.Hour)
	case "min":
		limit = limit.Add(time.Duration(amount) * time.Minute)
	case "s":
		limit = limit.Add(time.Duration(amount) * time.Second)
	default:
		return 0, false
	}
	return compareMoments(text, limit.Format(time.RFC3339))
}
