package safety

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// group is a row of the matrix: resource types that belong together.
type group struct {
	Name  string // "types." + the first type
	Types []string
	Most  auth.Bits
}

func groupsOf(t auth.RoleTable) (out []group) {
	for _, types := range auth.TypeGroups() {
		if m := t.Most(types[0]); m != 0 {
			out = append(out, group{types[0], types, m})
		}
	}
	return out
}

// levels are the choices of a cell: nothing, look, keep, all.
var levels = []auth.Bits{0, auth.CanRead | auth.CanSearch, auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate,
	auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate | auth.CanDelete}

// choices are the levels a group's cell can have, and the value it has if that is none of them.
func (g group) choices(now auth.Bits) (out []auth.Bits) {
	for _, l := range levels {
		if l&^g.Most == 0 {
			out = append(out, l)
		}
	}
	for _, l := range out {
		if l == now {
			return out
		}
	}
	return append(out, now)
}

func levelWords(q *ui.Request, b auth.Bits) string {
	for i, l := range levels {
		if l == b {
			return q.T("level." + strconv.Itoa(i))
		}
	}
	return b.String()
}

// changed says whether the practice decided a group's cell otherwise than the default.
func changed(t auth.RoleTable, r auth.Role, g group) bool {
	return t.Changed(r, auth.RuleType, g.Types[0])
}

// labels are the labels a practice decides about: the notes kept apart are opened by no role.
func labels() (out []string) {
	for _, l := range auth.LabelNames(-1) {
		if l != "psychotherapy" && l != "sud-counseling" && l != "patient-hidden" && l != "vip" {
			out = append(out, l)
		}
	}
	return out
}

// settled says that a cell of yes or no cannot be turned.
func settled(t auth.RoleTable, r auth.Role, kind auth.RuleKind, name string) bool {
	return t.Refusal(auth.RoleRule{Role: r, Kind: kind, Name: name, Value: 1 - t.Value(r, kind, name)}) != nil
}

func (o *Safety) rolesPage(w *ui.Reply, q *ui.Request) error {
	return o.showRoles(w, q, http.StatusOK, trouble{})
}

func (o *Safety) showRoles(w *ui.Reply, q *ui.Request, status int, t trouble) error {
	own, err := o.auth.OwnRolesOf(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	m, err := o.auth.Matrix(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	s, err := o.shell(q, q.T("safety.roles"), "roles")
	if err != nil {
		return err
	}
	return w.HTML(status, rolesView(q, s, m, own, t))
}

// cells are what a form of the whole matrix changes.
func cells(q *ui.Request, t auth.RoleTable) (out []auth.RoleRule) {
	turn := func(r auth.Role, kind auth.RuleKind, name, field string) {
		if settled(t, r, kind, name) {
			return
		}
		v := int64(0)
		if q.Form(field) == "on" {
			v = 1
		}
		if v != t.Value(r, kind, name) {
			out = append(out, auth.RoleRule{Role: r, Kind: kind, Name: name, Value: v})
		}
	}
	for _, r := range t.Roles() {
		for _, p := range auth.Permissions() {
			turn(r, auth.RulePermission, string(p), cellName(r, auth.RulePermission, string(p)))
		}
		for _, l := range labels() {
			turn(r, auth.RuleLabel, l, cellName(r, auth.RuleLabel, l))
		}
		for _, g := range groupsOf(t) {
			v, err := strconv.ParseInt(q.Form(cellName(r, auth.RuleType, g.Name)), 10, 64)
			if err != nil || v == t.Value(r, auth.RuleType, g.Name) {
				continue
			}
			for _, typ := range g.Types {
				out = append(out, auth.RoleRule{Role: r, Kind: auth.RuleType, Name: typ, Value: v})
			}
		}
	}
	return out
}

func cellName(r auth.Role, kind auth.RuleKind, name string) string {
	return string(kind) + ":" + string(r) + ":" + name
}

func (o *Safety) previewRoles(w *ui.Reply, q *ui.Request) error {
	m, err := o.auth.Matrix(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	list := cells(q, m)
	if len(list) == 0 {
		return o.showRoles(w, q, http.StatusOK, trouble{Words: q.T("roles.same")})
	}
	return o.showPreview(w, q, http.StatusOK, list, trouble{})
}

func (o *Safety) showPreview(w *ui.Reply, q *ui.Request, status int, list []auth.RoleRule, t trouble) error {
	effects, err := o.auth.PreviewMatrix(q.Context(), q.Staff, list)
	if t, status, ok := troubleOf(q, err); ok {
		return o.showRoles(w, q, status, t)
	}
	if err != nil {
		return err
	}
	if t.Words == "" {
		t, _, _ = troubleOf(q, o.auth.Recent(q.Staff, auth.StepUpWithin))
	}
	s, err := o.shell(q, q.T("roles.preview"), "roles")
	if err != nil {
		return err
	}
	return w.HTML(status, previewView(q, s, list, effects, t))
}

// ownDone answers a change of the practice's own roles.
func ownDone(w *ui.Reply, q *ui.Request, words string) func([]string) {
	return func([]string) {
		w.Toast(q.T(words), "")
		w.Redirect(q.URL("roles"))
	}
}

// ownRefused shows the roles again with what is wrong with a change of the practice's own.
func (o *Safety) ownRefused(w *ui.Reply, q *ui.Request, err error) error {
	if t, status, ok := troubleOf(q, err); ok {
		return o.showRoles(w, q, status, t)
	}
	return err
}

func (o *Safety) addRole(w *ui.Reply, q *ui.Request) error {
	_, err := o.auth.AddRole(w.Once(ownDone(w, q, "roles.own.added")), q.Staff, q.Form("name"), auth.Role(q.Form("like")))
	return o.ownRefused(w, q, err)
}

func (o *Safety) renameRole(w *ui.Reply, q *ui.Request) error {
	return o.ownRefused(w, q, o.auth.RenameRole(w.Once(ownDone(w, q, "roles.own.renamed")), q.Staff, auth.Role(q.Form("role")), q.Form("name")))
}

func (o *Safety) retireRole(w *ui.Reply, q *ui.Request) error {
	return o.ownRefused(w, q, o.auth.RetireRole(w.Once(ownDone(w, q, "roles.own.retired.done")), q.Staff, auth.Role(q.Form("role"))))
}

// encode and decode carry the cells of a preview to its saving.
func encode(c auth.RoleRule) string {
	return fmt.Sprintf("%s|%s|%s|%d", c.Role, c.Kind, c.Name, c.Value)
}

func decode(s string) (c auth.RoleRule, ok bool) {
	f := strings.Split(s, "|")
	if len(f) != 4 {
		return c, false
	}
	v, err := strconv.ParseInt(f[3], 10, 64)
	return auth.RoleRule{Role: auth.Role(f[0]), Kind: auth.RuleKind(f[1]), Name: f[2], Value: v}, err == nil
}

func (o *Safety) saveRoles(w *ui.Reply, q *ui.Request) error {
	var list []auth.RoleRule
	for _, s := range q.Forms("cell") {
		c, ok := decode(s)
		if !ok {
			return fhir.Problem("value", q.T("roles.unread"), q.T("error.again"))
		}
		list = append(list, c)
	}
	err := o.auth.ChangeMatrix(q.Context(), q.Staff, list)
	if t, status, ok := troubleOf(q, err); ok {
		return o.showPreview(w, q, status, list, t)
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("roles.saved"), "")
	w.Redirect(q.URL("roles"))
	return nil
}

// effectWords says one gain or loss: a permission, "Type letters" or "label name".
func effectWords(q *ui.Request, s string) string {
	if l, ok := strings.CutPrefix(s, "label "); ok {
		return q.T("roles.label", q.T("label."+l))
	}
	if typ, letters, ok := strings.Cut(s, " "); ok {
		return typ + " (" + letters + ")"
	}
	return q.T("perm." + s)
}

// few cuts a list of words for a table.
func few(list []string, n int) ([]string, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}

func (o *Safety) viewAs(w *ui.Reply, q *ui.Request) error {
	var roles []auth.Role
	for _, r := range q.Queries("role") {
		roles = append(roles, auth.Role(r))
	}
	if len(roles) == 0 {
		roles = []auth.Role{auth.Clinician}
	}
	look, err := o.auth.ViewAs(q.Context(), q.Staff, nil, roles...)
	if err != nil {
		return err
	}
	m, err := o.auth.Matrix(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	s, err := o.shell(q, q.T("roles.view"), "roles")
	if err != nil {
		return err
	}
	var pages []string
	for _, c := range o.router.Commands() {
		if c.Path == "" || c.Post || c.Group == ui.GroupPatient {
			continue
		}
		for _, p := range look.Permissions {
			if p == c.Permission {
				pages = append(pages, q.T(c.Title))
			}
		}
	}
	return w.HTML(http.StatusOK, outlookView(q, s, roles, look, groupsOf(m), pages))
}
