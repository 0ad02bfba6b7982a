package ui

import (
	"bufio"
	"embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
)

//go:embed locale/*.txt
var localeFiles embed.FS

// Words is the message catalogue: every string that a person reads, by language. A line of a locale file is `key = text`;
// {0} stands for the first argument, {0|result|results} for one of two words by the first argument's number.
type Words struct {
	by map[string]map[string]string
}

// Languages lists the languages of the catalogue, the first being the one the others fall back to.
var Languages = []string{"en", "es"}

func loadWords() *Words {
	w := &Words{by: map[string]map[string]string{}}
	for _, l := range Languages {
		w.by[l] = map[string]string{}
		for _, part := range []string{"", "-desk", "-chart", "-apps", "-office", "-safety", "-signon", "-docs"} {
			f, err := localeFiles.Open("locale/" + l + part + ".txt")
			if err != nil {
				continue
			}
			for in := bufio.NewScanner(f); in.Scan(); {
				key, text, ok := strings.Cut(in.Text(), " = ")
				if ok && !strings.HasPrefix(key, "#") {
					w.by[l][strings.TrimSpace(key)] = strings.TrimSpace(text)
				}
			}
			f.Close()
		}
	}
	return w
}

// Keys lists the keys of a language, sorted.
func (w *Words) Keys(language string) []string { return slices.Sorted(maps.Keys(w.by[language])) }

// pick chooses the language: the one chosen, else the first that the browser asks for, else English.
func (w *Words) pick(chosen, accept string) string {
	if w.by[chosen] != nil {
		return chosen
	}
	for part := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if w.by[base] != nil {
			return base
		}
	}
	return Languages[0]
}

// Say gives the text of a key in a language.
func (w *Words) Say(language, key string, args ...any) string {
	text, ok := w.by[language][key]
	if !ok {
		if text, ok = w.by[Languages[0]][key]; !ok {
			return "⟨" + key + "⟩"
		}
	}
	if !strings.Contains(text, "{") {
		return text
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		inside, after, _ := strings.Cut(rest, "}")
		number, forms, choose := strings.Cut(inside, "|")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil || n >= len(args):
			b.WriteString("{" + inside + "}")
		case choose:
			one, many, _ := strings.Cut(forms, "|")
			if fmt.Sprint(args[n]) == "1" {
				b.WriteString(one)
			} else {
				b.WriteString(many)
			}
		default:
			fmt.Fprint(&b, args[n])
		}
		text = after
	}
}

// Speak gives the words of the language that an Accept-Language asks for, to what speaks to people elsewhere than on screens.
func (r *Router) Speak(accept string) (language string, say audit.Say) {
	language = r.words.pick("", accept)
	return language, func(key string, args ...any) string { return r.words.Say(language, key, args...) }
}

// T gives the text of a key in the person's language.
func (q *Request) T(key string, args ...any) string {
	return q.router.words.Say(q.locale, key, args...)
}

// Locale is the person's language.
func (q *Request) Locale() string { return q.locale }

// Date writes a day as "14 Mar 1968", in the person's language.
func (q *Request) Date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%02d %s %d", t.Day(), q.month(t), t.Year())
}

// DayMonth writes a day of this year as "20 Nov" and any other as "20 Nov 2024".
func (q *Request) DayMonth(t time.Time) string {
	if t.Year() != q.Now().Year() {
		return q.Date(t)
	}
	return fmt.Sprintf("%02d %s", t.Day(), q.month(t))
}

// Role names a role, one of the practice's own as people call it there.
func (q *Request) Role(role string) string {
	r := auth.Role(role)
	if !r.Own() {
		return q.T("role." + role)
	}
	name, err := q.router.auth.RoleName(q.Context(), q.Practice.ID, r)
	if err != nil {
		q.router.o.Log.Error("the name of a role could not be read", "request", q.ID, "error", err)
	}
	if name == "" {
		return role
	}
	return name
}

// DayTime writes a moment as "20 Nov 15:48" in the practice's zone.
func (q *Request) DayTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(q.Zone())
	return q.DayMonth(t) + " " + t.Format("15:04")
}

// Weekday writes "Sun 22 Nov".
func (q *Request) Weekday(t time.Time) string {
	days := strings.Fields(q.T("date.weekdays"))
	if len(days) == 7 {
		return days[t.Weekday()] + " " + q.DayMonth(t)
	}
	return q.DayMonth(t)
}

// Month writes "November 2026".
func (q *Request) Month(t time.Time) string {
	m := strings.Fields(q.T("date.months.long"))
	if len(m) == 12 {
		return m[t.Month()-1] + " " + strconv.Itoa(t.Year())
	}
	return t.Format("January 2006")
}

func (q *Request) month(t time.Time) string {
	m := strings.Fields(q.T("date.months"))
	if len(m) == 12 {
		return m[t.Month()-1]
	}
	return t.Format("Jan")
}

// Age writes an age as patient.Age gives it ("about 58 y", "14 mo") in the person's language.
func (q *Request) Age(text string) string {
	n, about := strings.CutPrefix(text, "about ")
	n, unit, _ := strings.Cut(n, " ")
	if unit == "" {
		return text
	}
	n = q.T("age."+unit, n)
	if about {
		return q.T("age.about", n)
	}
	return n
}

// Partial writes a FHIR date or dateTime with the precision it has: "2024-03" becomes "Mar 2024".
func (q *Request) Partial(text string) string {
	switch {
	case text == "":
		return ""
	case len(text) == 4:
		return text
	case len(text) == 7:
		if t, err := time.Parse("2006-01", text); err == nil {
			return q.month(t) + " " + text[:4]
		}
	case len(text) == 10:
		if t, err := time.Parse(time.DateOnly, text); err == nil {
			return q.Date(t)
		}
	default:
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return q.Date(t.In(q.Zone()))
		}
	}
	return text
}
