package office

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

const shown = 200 // lines of a page

// columns of the list; each sorts both ways (45 CFR 170.315(d)(3)).
var columns = []string{"time", "who", "role", "action", "type", "patient", "outcome", "address"}

// asked is what the list was asked for.
type asked struct {
	filter   audit.Filter
	from, to string // days, as typed
	sort     string
	down     bool
	skip     int
}

// ask reads the filter out of the address, which holds opaque ids, days and words of closed lists only.
func ask(q *ui.Request) (asked, *fhir.Issue) {
	a := asked{sort: q.Query("sort"), down: q.Query("dir") != "up", from: q.Query("from"), to: q.Query("to")}
	if !slices.Contains(columns, a.sort) {
		a.sort = "time"
	}
	f := &a.filter
	if id := q.Query("patient"); id != "" {
		f.Patient = "Patient/" + id
	}
	f.UserID, _ = strconv.ParseInt(q.Query("user"), 10, 64)
	f.Action, f.Type, f.Outcome, f.Kind = q.Query("action"), q.Query("type"), q.Query("outcome"), q.Query("kind")
	f.BreakGlass = q.Query("glass") == "yes"
	a.skip, _ = strconv.Atoi(q.Query("skip"))
	a.skip = min(max(a.skip, 0), audit.MaxFound)
	for _, d := range []struct {
		text string
		to   *time.Time
		days int
	}{{a.from, &f.From, 0}, {a.to, &f.To, 1}} {
		if d.text == "" {
			continue
		}
		day, err := time.ParseInLocation(time.DateOnly, d.text, q.Zone())
		if err != nil {
			return a, fhir.Problem("value", q.T("audit.day.bad"), q.T("audit.day.fix"))
		}
		*d.to = day.AddDate(0, 0, d.days)
	}
	return a, nil
}

// address writes the list's address with some of it changed.
func (a asked) address(q *ui.Request, path []string, change map[string]string) string {
	v := url.Values{}
	set := func(k, s string) {
		if s != "" {
			v.Set(k, s)
		}
	}
	set("patient", strings.TrimPrefix(a.filter.Patient, "Patient/"))
	if a.filter.UserID != 0 {
		set("user", strconv.FormatInt(a.filter.UserID, 10))
	}
	set("action", a.filter.Action)
	set("type", a.filter.Type)
	set("outcome", a.filter.Outcome)
	set("kind", a.filter.Kind)
	if a.filter.BreakGlass {
		set("glass", "yes")
	}
	set("from", a.from)
	set("to", a.to)
	if a.sort != "time" {
		set("sort", a.sort)
	}
	if !a.down {
		set("dir", "up")
	}
	for k, s := range change {
		if v.Del(k); s != "" {
			v.Set(k, s)
		}
	}
	at := q.URL(path...)
	if len(v) > 0 {
		at += "?" + v.Encode()
	}
	return at
}

// sortBy is where a column's heading leads.
func (a asked) sortBy(q *ui.Request, column string) string {
	dir := ""
	if a.sort == column && a.down {
		dir = "up"
	}
	return a.address(q, []string{"audit"}, map[string]string{"sort": column, "dir": dir})
}

// aria says how a column is sorted.
func (a asked) aria(column string) string {
	switch {
	case a.sort != column:
		return "none"
	case a.down:
		return "descending"
	}
	return "ascending"
}

// order sorts entries that come newest first.
func (a asked) order(t audit.Say, n names, list []audit.Entry) {
	key := func(e *audit.Entry) string {
		switch a.sort {
		case "who":
			return strings.ToLower(n.who(e.Actor))
		case "role":
			return e.Actor.Role
		case "action":
			return actionWords(t, e.Action)
		case "type":
			return e.Type
		case "patient":
			return strings.ToLower(n.patient(e.Patient))
		case "outcome":
			return e.Outcome
		case "address":
			return e.Actor.Address
		}
		return ""
	}
	slices.SortStableFunc(list, func(x, y audit.Entry) int {
		c := cmp.Compare(key(&x), key(&y))
		if a.sort == "time" {
			c = cmp.Compare(x.ID, y.ID)
		}
		if a.down {
			c = -c
		}
		return c
	})
}

func actionWords(t audit.Say, action string) string {
	if slices.Contains(actions, action) {
		return t("audit.action." + action)
	}
	return action
}

// actions that the filter offers.
var actions = []string{audit.ActionRead, audit.ActionSearch, audit.ActionCreate, audit.ActionUpdate, audit.ActionDelete, audit.ActionPrint, audit.ActionExport,
	audit.ActionSign, audit.ActionSignIn, audit.ActionSignOut, audit.ActionSignInFailed, audit.ActionLock, audit.ActionUnlock, audit.ActionStepUp, audit.ActionBreakGlass,
	audit.ActionAdmin, audit.ActionPrivilege, audit.ActionDisclose, audit.ActionImport, audit.ActionDenied, audit.ActionDamaged}

// gathered is what a filter found.
type gathered struct {
	asked
	names
	entries []audit.Entry
	more    bool // there is more than one look takes in: the filter should be narrowed
}

func (o *Office) gather(q *ui.Request) (gathered, error) {
	a, issue := ask(q)
	if issue != nil {
		return gathered{}, issue
	}
	a.filter.Limit = audit.MaxFound
	found, err := o.log.Find(q.Context(), q.Staff, a.filter)
	if err != nil {
		return gathered{}, err
	}
	g := gathered{asked: a, entries: found, more: len(found) == audit.MaxFound}
	if g.names, err = o.names(q.Context(), q, found); err != nil {
		return g, err
	}
	g.order(q.T, g.names, g.entries)
	return g, nil
}

// looked puts a look at the audit on record.
func (g *gathered) looked(action string) audit.Event {
	return audit.Event{Action: action, Type: "AuditEvent", Patient: g.filter.Patient, Categories: []string{"audit"}}
}

func (o *Office) listPage(w *ui.Reply, q *ui.Request) error {
	g, err := o.gather(q)
	if err != nil {
		return err
	}
	w.See(g.looked(audit.ActionSearch))
	total := len(g.entries)
	g.skip = min(g.skip, total)
	page := g.entries[g.skip:min(total, g.skip+shown)]
	return w.HTML(http.StatusOK, listView(q, shell(q, q.T("cmd.audit"), "audit"), g, page, total))
}

// choosePatient finds a patient by name. It comes by POST so that names stand in no address.
func (o *Office) choosePatient(w *ui.Reply, q *ui.Request) error {
	return o.findPatient(w, q, "audit", q.T("cmd.audit"))
}

// findPatient shows whom a name fits; choosing one leads to a page of the office.
func (o *Office) findPatient(w *ui.Reply, q *ui.Request, page, title string) error {
	hits, err := o.patients.Search(q.Context(), reader(q), q.Form("q"), 30)
	if err != nil {
		return err
	}
	e := audit.Event{Action: audit.ActionSearch, Type: "Patient", Categories: []string{"demographics"}}
	for _, h := range hits {
		e.Links = append(e.Links, "Patient/"+h.ID)
	}
	w.See(e)
	if len(hits) == 1 {
		w.Redirect(chosen(q, page, hits[0].ID))
		return nil
	}
	return w.HTML(http.StatusOK, chooseView(q, shell(q, title, page), hits, q.Form("q")))
}
