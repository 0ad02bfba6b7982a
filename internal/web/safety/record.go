package safety

import (
	"net/http"
	"strconv"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/ui"
)

// recordPrivacy is the page of who may see one record, with the form as it was filled in.
type recordPrivacy struct {
	Patient patient.Hit
	patient.Record
	Roles   auth.RoleTable
	In      []string // marks chosen
	Trouble trouble
}

// mark is one sensitivity mark, with what putting it on or taking it away means.
type mark struct {
	Name string
	Why  []string    // where it comes from
	Who  []auth.Role // who loses sight of the record by it, or gets it back
	Self bool        // the person who looks may not see such records of this patient: nobody writes what they may not see
}

// sees says whether a role reaches the record when it bears a mask.
func (v recordPrivacy) sees(r auth.Role, mask int64) bool {
	if auth.Bits(v.Roles.Value(r, auth.RuleType, v.Type))&auth.CanRead == 0 {
		return false
	}
	for _, l := range auth.LabelNames(mask) {
		if v.Roles.Value(r, auth.RuleLabel, l) == 0 {
			return false
		}
	}
	return true
}

// seen are the roles that reach it with a mask.
func (v recordPrivacy) seen(mask int64) (out []auth.Role) {
	for _, r := range v.Roles.Roles() {
		if v.sees(r, mask) {
			out = append(out, r)
		}
	}
	return out
}

// change says which roles a mark makes the difference for.
func (v recordPrivacy) change(q *ui.Request, name string, was, is int64) mark {
	m := mark{Name: name}
	for _, r := range v.Roles.Roles() {
		if v.sees(r, was) != v.sees(r, is) {
			m.Who = append(m.Who, r)
		}
	}
	a := auth.AccessOf(q.Staff)
	forbidden := a.Forbidden
	if rule, ok := a.Charts[v.Patient.ID]; ok {
		forbidden = rule.Forbidden
	}
	m.Self = is&forbidden != 0
	return m
}

// borne are the marks on the record.
func (v recordPrivacy) borne(q *ui.Request) (out []mark) {
	for _, name := range auth.LabelNames(v.Labels) {
		l := auth.LabelsNamed(name)
		m := v.change(q, name, v.Labels, v.Labels&^l)
		for _, w := range []struct {
			mask int64
			key  string
		}{{v.Origin.Codes, "record.why.code"}, {v.Origin.Visit, "record.why.visit"}, {v.Origin.Made, "record.why.made"}} {
			if w.mask&l != 0 {
				m.Why = append(m.Why, q.T(w.key))
			}
		}
		if len(m.Why) == 0 {
			m.Why = []string{q.T("record.why.hand")}
		}
		out = append(out, m)
	}
	return out
}

// offered are the marks that can be put on it. A mark of a colleague or public person is the whole chart's.
func (v recordPrivacy) offered(q *ui.Request) (out []mark) {
	for _, name := range auth.LabelNames(-1) {
		if l := auth.LabelsNamed(name); v.Labels&l == 0 && name != "vip" {
			out = append(out, v.change(q, name, v.Labels, v.Labels|l))
		}
	}
	return out
}

// roleList says roles as words of a sentence.
func roleList(q *ui.Request, roles []auth.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, q.Role(string(r)))
	}
	return strings.Join(out, ", ")
}

// loses says who will not see the record any more with a mark.
func loses(q *ui.Request, m mark) string {
	switch {
	case m.Self:
		return q.T("record.loses.self")
	case m.Name == "patient-hidden":
		return q.T("record.loses.patient")
	case m.Name == "adolescent" && len(m.Who) == 0:
		return q.T("record.loses.proxy")
	case len(m.Who) == 0:
		return q.T("record.loses.none")
	}
	return q.T("record.loses", roleList(q, m.Who))
}

// gains says who will see it again without a mark.
func gains(q *ui.Request, m mark) string {
	switch {
	case m.Name == "patient-hidden":
		return q.T("record.gains.patient")
	case len(m.Who) == 0:
		return q.T("record.gains.none")
	}
	return q.T("record.gains", roleList(q, m.Who))
}

// title is what the record is called: as written, or by its kind.
func (v recordPrivacy) title(q *ui.Request) string {
	if v.Title != "" {
		return v.Title
	}
	return q.T("record.untitled", v.Type)
}

func (o *Safety) recordPage(w *ui.Reply, q *ui.Request) error {
	return o.showRecord(w, q, http.StatusOK, recordPrivacy{})
}

func (o *Safety) showRecord(w *ui.Reply, q *ui.Request, status int, v recordPrivacy) (err error) {
	ctx, id := q.Context(), q.Path("patient")
	h, err := desk.Seen(q, o.patients, id)
	if err != nil {
		return err
	}
	v.Patient = h
	if v.Record, err = o.patients.Marks(ctx, q.Staff, id, q.Path("type"), q.Path("record")); err != nil {
		return err
	}
	if v.Roles, err = o.auth.Matrix(ctx, q.Staff); err != nil {
		return err
	}
	w.See(audit.Event{Action: audit.ActionRead, Type: v.Type, ID: v.ID, Version: v.Version, Patient: "Patient/" + id, Labels: v.Labels, Categories: []string{"sensitivity"}})
	s, err := o.shell(q, q.T("record.title"), "patients")
	if err != nil {
		return err
	}
	s.Patient = id
	return w.HTML(status, recordView(q, s, v))
}

// marked answers a change of a record's marks.
func (o *Safety) marked(w *ui.Reply, q *ui.Request, err error, done string) error {
	if t, status, ok := troubleOf(q, err); ok && status != http.StatusNotFound {
		return o.showRecord(w, q, status, recordPrivacy{In: q.Forms("label"), Trouble: t})
	}
	if err != nil {
		return err
	}
	w.Toast(q.T(done), "")
	w.Redirect(q.URL("patients", q.Path("patient"), "records", q.Path("type"), q.Path("record"), "privacy"))
	return nil
}

// recordVersion is the version that the form was made from.
func recordVersion(q *ui.Request) (int64, error) {
	n, err := strconv.ParseInt(q.Form("version"), 10, 64)
	if err != nil || n < 1 {
		return 0, fhir.Problem("value", q.T("record.unread"), q.T("error.again"))
	}
	return n, nil
}

func (o *Safety) markRecord(w *ui.Reply, q *ui.Request) error {
	if err := sameChart(q); err != nil {
		return err
	}
	version, err := recordVersion(q)
	if err != nil {
		return err
	}
	err = o.patients.Mark(q.Context(), q.Staff, q.Path("patient"), q.Path("type"), q.Path("record"), version, q.Forms("label"))
	return o.marked(w, q, err, "record.marked")
}

func (o *Safety) unmarkRecord(w *ui.Reply, q *ui.Request) error {
	if err := sameChart(q); err != nil {
		return err
	}
	version, err := recordVersion(q)
	if err != nil {
		return err
	}
	err = o.patients.Unmark(q.Context(), q.Staff, q.Path("patient"), q.Path("type"), q.Path("record"), version, q.Form("label"), q.Form("reason"))
	return o.marked(w, q, err, "record.unmarked")
}
