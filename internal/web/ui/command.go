package ui

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
)

// Group orders commands in the palette and in the list of keys.
type Group int

const (
	GroupPatient Group = iota // acts on the patient whose chart is open
	GroupGo
	GroupSettings
)

// Command is something a person can do by name or by keys. One table feeds the palette, the list of keys and the rail.
type Command struct {
	ID         string
	Title      string // key of the catalogue
	Keys       string // "G S", "N", "Ctrl K"; empty: none
	Permission auth.Permission
	Group      Group
	Icon       string
	Path       string // address inside the practice; for GroupPatient, inside the patient's chart
	Rail       bool   // stands in the rail
	Hidden     bool   // not in the palette
	Post       bool   // changes something: sent as a form
	Beside     bool   // stands beside the chart too: among the pages of a patient that are no part of the clinical record
	Office     string // its heading on the page of the practice, "" for none; Title+".about" says there what it is for
}

// Found is a line of the palette that is not a command: a patient.
type Found struct {
	Title, Detail, Path string
	Note                string // "similar name", shown as a mark
	Record              string // whose name this shows, such as "Patient/x", for the audit
}

// AddCommands puts commands into the table.
func (r *Router) AddCommands(c ...Command) { r.cmds = append(r.cmds, c...) }

// Commands is the table.
func (r *Router) Commands() []Command { return r.cmds }

// Commands gives what the person may do, of a group.
func (q *Request) Commands(g Group) (out []Command) {
	for _, c := range q.router.cmds {
		if c.Group == g && q.Can(c.Permission) {
			out = append(out, c)
		}
	}
	return out
}

// key is the form that the page's script matches: "g s".
func (c Command) key() string { return strings.ToLower(c.Keys) }

// At gives the command's address; patient is the open chart's id.
func (c Command) At(q *Request, patient string) string {
	if c.Group == GroupPatient {
		return q.URL("patients", patient) + c.Path
	}
	return "/" + q.slug + c.Path
}

// Clashes names the commands whose keys would shadow one another or what the page itself does with keys; a test of every
// complete table wants none. Commands of a chart may not reuse keys that work everywhere, since both are live in a chart.
func Clashes(all []Command) (out []string) {
	own := map[string]string{"j": "move down", "k": "move up", "u": "undo", "/": "search", "escape": "close", "enter": "open"}
	taken := map[string]string{}
	for k, what := range own {
		taken[k] = what
	}
	for _, c := range all {
		k := c.key()
		if k == "" {
			continue
		}
		if other, ok := taken[k]; ok {
			out = append(out, c.Keys+": "+c.ID+" and "+other)
			continue
		}
		taken[k] = c.ID
	}
	for k, id := range taken {
		if lead, _, ok := strings.Cut(k, " "); ok && lead != "ctrl" {
			if other, ok := taken[lead]; ok {
				out = append(out, lead+": "+other+" hides "+id+" on "+k)
			}
		}
	}
	slices.Sort(out)
	return out
}

// reachable lists the commands that the page's script runs by their keys although nothing on the page shows them.
func (q *Request) reachable(patient string) (out []Command) {
	for _, c := range q.router.cmds {
		if c.Keys != "" && !strings.HasPrefix(c.Keys, "Ctrl") && q.Can(c.Permission) && (c.Group != GroupPatient || patient != "") {
			out = append(out, c)
		}
	}
	return out
}

// line is one line of the palette's list.
type line struct {
	ID, Icon, Title, Detail, Keys, Path, Note string
	Post                                      bool
}

type paletteGroup struct {
	Title string
	Lines []line
}

// find answers what was typed into the palette. It comes by POST, so that names do not stand in addresses and logs.
func (r *Router) find(w *Reply, q *Request) error {
	groups, text, err := r.lookUp(w, q)
	if err != nil {
		return err
	}
	if !q.Fragment() {
		return w.HTML(http.StatusOK, FindPage(q, text, groups))
	}
	return w.HTML(http.StatusOK, PaletteList(q, groups))
}

// findPage is the palette for a browser without scripts: the search box is a link to it.
func (r *Router) findPage(w *Reply, q *Request) error {
	groups, text, err := r.lookUp(w, q)
	if err != nil {
		return err
	}
	return w.HTML(http.StatusOK, FindPage(q, text, groups))
}

func (r *Router) lookUp(w *Reply, q *Request) ([]paletteGroup, string, error) {
	raw := ""
	if q.hr.Method == http.MethodPost {
		raw = q.Raw("q")
	}
	text, only := strings.CutPrefix(strings.TrimSpace(raw), "/")
	patient := q.Form("patient")
	folded := strings.ToLower(strings.TrimSpace(text))
	var groups []paletteGroup
	commands := func(g Group, title string) {
		pg := paletteGroup{Title: title}
		for _, c := range q.Commands(g) {
			if c.Hidden || g == GroupPatient && patient == "" {
				continue
			}
			if name := q.T(c.Title); folded == "" || matches(strings.ToLower(name), folded) {
				pg.Lines = append(pg.Lines, line{ID: "c-" + c.ID, Icon: c.Icon, Title: name, Keys: c.Keys, Path: c.At(q, patient), Post: c.Post})
			}
		}
		if len(pg.Lines) > 0 {
			groups = append(groups, pg)
		}
	}
	commands(GroupPatient, q.T("palette.patient"))
	if !only && r.o.Find != nil {
		found, err := r.o.Find(q.Context(), q, folded)
		if err != nil {
			return nil, raw, err
		}
		title := q.T("palette.patients")
		if folded == "" {
			title = q.T("palette.recent")
		}
		pg := paletteGroup{Title: title}
		seen := audit.Event{Action: audit.ActionSearch, Type: "Patient", Categories: []string{"demographics"}}
		for i, f := range found {
			if f.Record != "" {
				seen.Links = append(seen.Links, f.Record)
			}
			pg.Lines = append(pg.Lines, line{ID: fmt.Sprintf("p-%d", i), Icon: "users", Title: f.Title, Detail: f.Detail, Path: f.Path, Note: f.Note})
		}
		if len(seen.Links) > 0 || folded != "" {
			w.See(seen)
		}
		if len(pg.Lines) > 0 {
			if folded != "" { // who types a name wants the patient first
				groups = append([]paletteGroup{pg}, groups...)
			} else {
				groups = append(groups, pg)
			}
		}
	}
	commands(GroupGo, q.T("palette.go"))
	commands(GroupSettings, q.T("palette.settings"))
	return groups, raw, nil
}

// matches says whether every word typed begins a word of the name.
func matches(name, typed string) bool {
	words := strings.Fields(name)
	for t := range strings.FieldsSeq(typed) {
		hit := false
		for _, w := range words {
			if strings.HasPrefix(w, t) {
				hit = true
			}
		}
		if !hit {
			return false
		}
	}
	return true
}

func (r *Router) keysPage(w *Reply, q *Request) error {
	return w.HTML(http.StatusOK, KeysPage(q, r.cmds))
}
