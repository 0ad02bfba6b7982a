package office

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// entry finds the entry that an address names.
func (o *Office) entry(q *ui.Request) (audit.Entry, error) {
	gone := fhir.Problem("not-found", q.T("audit.entry.none"), q.T("audit.entry.none.fix"))
	id, err := strconv.ParseInt(q.Path("entry"), 10, 64)
	if err != nil || id < 1 || id == 1<<63-1 {
		return audit.Entry{}, gone
	}
	found, err := o.log.Find(q.Context(), q.Staff, audit.Filter{Before: id + 1, Limit: 1})
	if err == nil && (len(found) == 0 || found[0].ID != id) {
		err = gone
	}
	if err != nil {
		return audit.Entry{}, err
	}
	return found[0], nil
}

func (o *Office) entryPage(w *ui.Reply, q *ui.Request) error {
	e, err := o.entry(q)
	if err != nil {
		return err
	}
	n, err := o.names(q.Context(), q, []audit.Entry{e})
	if err != nil {
		return err
	}
	state, err := o.log.StateOf(q.Context(), q.Staff, e.ID)
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: "AuditEvent", ID: strconv.FormatInt(e.ID, 10), Patient: e.Patient, Categories: []string{"audit"}})
	return w.HTML(http.StatusOK, entryView(q, shell(q, q.T("audit.entry"), "audit"), e, n, state))
}

// facts of an entry in the order they are shown.
func facts(q *ui.Request, e audit.Entry, n names) [][2]string {
	w := audit.WordsOf(&e)
	labels := ""
	if w.Labels != 0 {
		labels = labelWords(q.T, w.Labels)
	}
	resource := w.Type
	if w.Resource != "" {
		resource += "/" + w.Resource
	}
	version := ""
	if w.Version > 0 {
		version = strconv.FormatInt(w.Version, 10)
	}
	out := [][2]string{
		{"time", when(q, e.At)}, {"utc", w.At}, {"who", n.who(e.Actor)}, {"kind", oneOf(q.T, "audit.kind.", w.Kind, actorKinds)}, {"role", audit.RoleWords(q.Role, w.Role)}, {"behalf", n.behalf(e.Actor)},
		{"action", actionWords(q.T, w.Action)}, {"patient", n.patient(w.Patient)}, {"resource", resource}, {"version", version},
		{"outcome", q.T("audit.outcome." + w.Outcome)}, {"purpose", audit.PurposeWords(q.T, w.Purpose)}, {"detail", w.Detail}, {"labels", labels},
		{"program", w.Program}, {"address", w.Address}, {"session", w.Session}, {"request", w.Request},
	}
	for _, c := range w.Categories {
		out = append(out, [2]string{"category", audit.KindWords(q.T, c)})
	}
	for _, l := range w.Links {
		out = append(out, [2]string{"link", n.patient(l)})
	}
	kept := out[:0]
	for _, f := range out {
		if f[1] != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// actorKinds are who acts, as far as the catalogue has words for it.
var actorKinds = []string{"staff", "patient", "app", "system", "operator"}

// oneOf gives the catalogue's word for a code it knows, and any other code as it is.
func oneOf(t audit.Say, prefix, code string, has []string) string {
	if slices.Contains(has, code) {
		return t(prefix + code)
	}
	return code
}

// labelNames are the sensitivity labels in the order of their bits (auth.Label).
var labelNames = []string{"restricted", "very-restricted", "part2", "substance-use", "mental-health", "psychotherapy", "sud-counseling", "hiv",
	"sexual-health", "violence", "genetic", "adolescent", "vip", "patient-hidden", "declassified"}

func labelWords(t audit.Say, mask int64) string {
	var out []string
	for i, name := range labelNames {
		if mask>>i&1 != 0 {
			out = append(out, t("audit.label."+name))
		}
	}
	return strings.Join(out, ", ")
}

// when writes a moment in the practice's zone, to the second.
func when(q *ui.Request, t time.Time) string {
	return q.Date(t.In(q.Zone())) + " " + t.In(q.Zone()).Format("15:04:05")
}

// receipt gives the proof that an entry is in the log, to be kept outside.
func (o *Office) receipt(w *ui.Reply, q *ui.Request) error {
	e, err := o.entry(q)
	if err != nil {
		return err
	}
	r, err := o.log.Receipt(q.Context(), q.Staff, e.ID)
	if errors.Is(err, db.ErrNoRows) {
		return fhir.Problem("transient", q.T("audit.waiting"), q.T("error.again"))
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionExport, Type: "AuditEvent", ID: strconv.FormatInt(e.ID, 10), Patient: e.Patient, Categories: []string{"audit"}})
	w.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="audit-receipt-%d.json"`, r.Entry.Position))
	w.Bytes(http.StatusOK, "application/json", append(text, '\n'))
	return nil
}

// checkpoint signs where the log ends and gives the note, to be kept outside.
func (o *Office) checkpoint(w *ui.Reply, q *ui.Request) error {
	if _, _, err := o.log.Sequence(q.Context(), q.Staff); err != nil {
		return err
	}
	c, found, err := o.log.Checkpoint(q.Context(), q.Staff, true)
	if err != nil {
		return err
	}
	if !found {
		return fhir.Problem("not-found", q.T("audit.none"), q.T("error.again"))
	}
	w.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="audit-checkpoint-%d.txt"`, c.Position))
	w.Bytes(http.StatusOK, "text/plain; charset=utf-8", []byte(c.Note))
	return nil
}
