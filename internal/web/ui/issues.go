package ui

import (
	"bufio"
	"regexp"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// sayings are what modules say when something cannot be done, by their English words: modules know nothing of languages.
type sayings struct {
	exact map[string]string
	holes []saying // those with something that varies, such as a name or a date
}

type saying struct {
	form *regexp.Regexp
	text string
}

var hole = regexp.MustCompile(`\\\{\d\\\}`)

// loadSayings reads locale/*-issues.txt. Lines are `English words = words of the language`.
func loadSayings(language string) sayings {
	out := sayings{exact: map[string]string{}}
	f, err := localeFiles.Open("locale/" + language + "-issues.txt")
	if err != nil {
		return out
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		english, text, ok := strings.Cut(in.Text(), " = ")
		switch {
		case !ok || strings.HasPrefix(english, "#"):
		case strings.Contains(english, "{0}"):
			form := hole.ReplaceAllString(regexp.QuoteMeta(english), "(.+)")
			out.holes = append(out.holes, saying{regexp.MustCompile("^" + form + "$"), text})
		default:
			out.exact[english] = text
		}
	}
	return out
}

func (s sayings) say(english string) string {
	if text, ok := s.exact[english]; ok {
		return text
	}
	for _, h := range s.holes {
		if m := h.form.FindStringSubmatch(english); m != nil {
			text := h.text
			for i, v := range m[1:] {
				text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", v)
			}
			return text
		}
	}
	return english
}

// Issue gives what a module says in the person's language.
func (q *Request) Issue(i *fhir.Issue) *fhir.Issue {
	s, ok := q.router.sayings[q.locale]
	if !ok {
		return i
	}
	own := *i
	own.Text, own.Fix = s.say(i.Text), s.say(i.Fix)
	return &own
}

// Says is the whole of what a module says, in the person's language.
func (w *Reply) Says(i *fhir.Issue) string { return w.q.Says(i) }

// Says is the whole of what a module says, in the person's language, for the side of a field.
func (q *Request) Says(i *fhir.Issue) string {
	own := q.Issue(i)
	return strings.TrimSpace(own.Text + " " + own.Fix)
}
