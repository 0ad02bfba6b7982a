// Package office is the back of the house: the record of who did what, who saw a chart, what was disclosed, and what the daily
// review found, and what must not be destroyed. It shows what base/audit, clinic/watch and clinic/keeping know, and keeps nothing itself.
package office

import (
	"context"
	"fmt"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/clinic/keeping"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/watch"
	"yarrow.health/internal/web/ui"
)

// Office holds what its pages stand on.
type Office struct {
	auth     *auth.Auth
	log      *audit.Log
	patients *patient.Directory
	watch    *watch.Watch
	keeper   *keeping.Keeper
}

// New registers the office's pages.
func New(r *ui.Router, a *auth.Auth, log *audit.Log, patients *patient.Directory, w *watch.Watch, k *keeping.Keeper) *Office {
	o := &Office{auth: a, log: log, patients: patients, watch: w, keeper: k}
	o.registerHolds(r)
	r.Page("/{practice}/audit", auth.AuditRead, o.listPage)
	r.Act("/{practice}/audit/patient", auth.AuditRead, o.choosePatient)
	r.Page("/{practice}/audit/entries/{entry}", auth.AuditRead, o.entryPage)
	r.Page("/{practice}/audit/entries/{entry}/receipt", auth.AuditRead, o.receipt)
	r.Page("/{practice}/audit/export/{form}", auth.AuditRead, o.export)
	r.Page("/{practice}/audit/checkpoint", auth.AuditRead, o.checkpoint)
	r.Page("/{practice}/patients/{patient}/access", auth.AuditRead, o.whoSaw)
	r.Page("/{practice}/patients/{patient}/access/print", auth.AuditRead, o.printWhoSaw)
	r.Page("/{practice}/patients/{patient}/disclosures", auth.AuditRead, o.disclosures)
	r.Page("/{practice}/audit/review", auth.AuditRead, o.reviewPage)
	r.Act("/{practice}/audit/review/{finding}", auth.AuditRead, o.closeFinding)
	r.AddCommands(
		ui.Command{ID: "review", Title: "cmd.review", Permission: auth.AuditRead, Group: ui.GroupSettings, Icon: "shield-check", Path: "/audit/review", Office: "privacy"},
		ui.Command{ID: "audit", Title: "cmd.audit", Keys: "G W", Permission: auth.AuditRead, Group: ui.GroupSettings, Icon: "history", Path: "/audit", Office: "privacy"},
		ui.Command{ID: "access", Title: "cmd.access", Permission: auth.AuditRead, Group: ui.GroupPatient, Icon: "shield-check", Path: "/access", Beside: true},
		ui.Command{ID: "disclosures", Title: "cmd.disclosures", Permission: auth.AuditRead, Group: ui.GroupPatient, Icon: "shield-check", Path: "/disclosures"},
	)
	return o
}

// names says who people are, and which patients.
type names struct {
	users    map[int64]auth.User
	ordered  []auth.User
	patients map[string]patient.Hit
}

func (o *Office) names(ctx context.Context, q *ui.Request, entries []audit.Entry) (names, error) {
	n := names{users: map[int64]auth.User{}}
	var err error
	if n.ordered, err = o.auth.Users(ctx, reader(q)); err != nil {
		return n, err
	}
	for _, u := range n.ordered {
		n.users[u.ID] = u
	}
	seen := map[string]bool{}
	var ids []string
	for _, e := range entries {
		for _, ref := range append([]string{e.Patient}, e.Links...) {
			if id, ok := strings.CutPrefix(ref, "Patient/"); ok && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	n.patients, err = o.patients.Get(ctx, reader(q), ids...)
	return n, err
}

// reader names patients for whoever may read the audit: it says whose records were seen, also to somebody who may not see the
// records. Each look is on record as the person's own.
func reader(q *ui.Request) auth.System { return auth.SystemScope(q.Practice.ID, "audit viewer") }

// who names the actor of an entry.
func (n names) who(a db.Actor) string {
	if a.UserID != 0 {
		if u, ok := n.users[a.UserID]; ok {
			return u.Display
		}
		return fmt.Sprintf("#%d", a.UserID)
	}
	for _, s := range []string{a.Display, a.Client, a.FHIR} {
		if s != "" {
			return s
		}
	}
	return a.Kind
}

// behalf names whom something was done for.
func (n names) behalf(a db.Actor) string {
	switch {
	case strings.HasPrefix(a.OnBehalf, "Patient/"):
		return n.patient(a.OnBehalf)
	case a.OnBehalf != "" && a.Kind == "app" && a.UserID != 0:
		return n.who(a)
	}
	return a.OnBehalf
}

// patient names the patient of an entry.
func (n names) patient(ref string) string {
	id, ok := strings.CutPrefix(ref, "Patient/")
	if !ok {
		return ref
	}
	if h, ok := n.patients[id]; ok {
		return h.Name.Display()
	}
	return id
}

// shell of the office's pages.
func shell(q *ui.Request, title, active string) ui.Shell {
	return ui.Shell{Title: title, Active: active}
}
