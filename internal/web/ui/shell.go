package ui

import (
	"net/url"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// Shell says what stands around a page.
type Shell struct {
	Title   string // of the browser's tab; a chart's begins with the patient's name
	Active  string // id of the rail's command that is current
	Patient string // id of the open chart, or ""
	Wide    bool   // the page fills the window itself
	Open    []OpenChart
}

// OpenChart is a tab of an open chart.
type OpenChart struct {
	ID, Label, Path string
	Current         bool
}

const mostOpen = 6

// OpenCharts gives the ids of the charts that are open in this browser, newest first. Only opaque ids are kept, in a cookie that
// scripts cannot read; names are looked up anew for each page, under the person's rights of that moment.
//
// A tab shows a name on pages whose own record does not speak of it. That is no further look: the list is marked for the session in
// which each of its charts was opened, and the opening is on record. A list that was made up or is of another session is empty, so
// that nobody reads names off the record by writing a cookie.
func (q *Request) OpenCharts() []string {
	mark, ids, _ := strings.Cut(q.Cookie("open"), ":")
	if ids == "" || mark == "" || mark != q.openMark(ids) {
		return nil
	}
	open := strings.Split(ids, ".")
	return open[:min(len(open), mostOpen)]
}

func (q *Request) openMark(ids string) string {
	mark, err := q.router.auth.Mark(q.Context(), "open charts", q.slug, q.Staff.Session().String(), ids)
	if err != nil {
		return "" // the tabs are left out
	}
	return mark
}

// KeepOpen puts a chart among the open ones and gives them all, the others in the order they had.
func (w *Reply) KeepOpen(id string) []string {
	open := w.q.OpenCharts()
	for _, o := range open {
		if o == id {
			return open
		}
	}
	open = append(open, id)
	if len(open) > mostOpen {
		open = open[len(open)-mostOpen:]
	}
	ids := strings.Join(open, ".")
	w.SetCookie("open", w.q.openMark(ids)+":"+ids, 0)
	return open
}

// theme is the chosen theme, or "" for the system's.
func (q *Request) theme() string {
	if t := q.cookie("theme"); t == "dark" || t == "light" {
		return t
	}
	return ""
}

// density is the chosen height of rows, or "" for the usual one.
func (q *Request) density() string {
	if d := q.cookie("density"); d == "compact" || d == "comfortable" {
		return d
	}
	return ""
}

// keysOff says that the person has switched single-letter keys off.
func (q *Request) keysOff() bool { return q.cookie("keys") == "off" }

func (q *Request) themeIcon() string {
	if q.theme() == "dark" {
		return "sun"
	}
	return "moon"
}

// toast gives the words that the last action left, and where its undo goes.
func (q *Request) toast() (words, undo string) {
	a, b, _ := strings.Cut(q.Cookie("toast"), "|")
	words, _ = url.QueryUnescape(a)
	undo, _ = url.QueryUnescape(b)
	if !strings.HasPrefix(undo, q.URL()+"/") || strings.Contains(undo, `\`) {
		undo = "" // a cookie may come from elsewhere; a form goes only to this practice
	}
	return words, undo
}

// idleSeconds is how long the session lasts without anything done.
func (q *Request) idleSeconds() int {
	if q.State.IdleAt.IsZero() {
		return 0
	}
	return int(q.Practice.Settings.Idle.Seconds())
}

// Initials gives one or two letters for a round mark.
func Initials(name string) string {
	var out []rune
	for _, w := range strings.Fields(strings.SplitN(name, ",", 2)[0]) {
		out = append(out, []rune(w)[0])
	}
	if len(out) > 2 {
		out = []rune{out[0], out[len(out)-1]}
	}
	return strings.ToUpper(string(out))
}

// iconFor gives the icon of a kind of problem.
func iconFor(i *fhir.Issue) string {
	switch i.Code {
	case "forbidden", "security", "login", "suppressed":
		return "lock"
	case "not-found", "deleted":
		return "search"
	case "conflict":
		return "refresh-cw"
	}
	return "triangle-alert"
}
