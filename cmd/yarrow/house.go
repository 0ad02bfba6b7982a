package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/keeping"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/clinic/watch"
	"yarrow.health/internal/edge/bulk"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/edge/graphql"
	"yarrow.health/internal/edge/operations"
	"yarrow.health/internal/edge/scim"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/edge/validation"
	"yarrow.health/internal/edge/vocabulary"
	"yarrow.health/internal/standards/terminology"
	"yarrow.health/internal/web/apps"
	"yarrow.health/internal/web/chart"
	"yarrow.health/internal/web/desk"
	"yarrow.health/internal/web/docs"
	"yarrow.health/internal/web/office"
	"yarrow.health/internal/web/organisation"
	"yarrow.health/internal/web/safety"
	"yarrow.health/internal/web/ui"
)

// house is the running program: what the clinic does, its work in the background, and its screens.
type house struct {
	*ground
	queue    *jobs.Queue
	patients *patient.Directory
	people   *practice.Profiles
	watch    *watch.Watch
	keeper   *keeping.Keeper
	router   *ui.Router
	api      *fhirapi.API
	exports  *bulk.Exports
	scim     *scim.Server
	hub      *subscription.Hub
	log      *slog.Logger
	control  *control       // the socket for commands; nil on PostgreSQL
	witness  *audit.Witness // of the audit's checkpoints; nil for none
	proxied  bool           // requests come from a proxy on this machine
}

// build stands the clinic and the screens on the ground.
func (g *ground) build(out *output, demo, secure bool) *house {
	h := &house{ground: g, log: out.log, queue: jobs.New(g.db, jobs.Options{Log: out.log})}
	g.auth.OnNotice(func(ctx context.Context, tx *db.Tx, kind string) error {
		return h.queue.Publish(ctx, tx, "notice."+kind, nil)
	})
	people := practice.NewProfiles(g.db, g.store)
	h.people, h.patients = people, patient.NewDirectory(g.db, g.store)
	book := scheduling.New(g.db, g.store, people, h.patients)
	record := clinical.NewRecord(g.db, g.store, people)
	drafts := clinical.NewDrafts(g.db, g.store)
	notes := clinical.NewNotes(drafts, record, book, g.audit, h.queue)
	h.queue.Plan(jobs.Plan{Kind: clinical.ForgetDrafts, Every: 24 * time.Hour, At: 8 * time.Hour}) // small hours in America
	h.queue.Handle(clinical.ForgetDrafts, func(ctx context.Context, j *jobs.Job) error {
		_, err := drafts.Forget(ctx, auth.SystemScope(j.Practice, "drafts"), g.db.Clock().Now().Add(-clinical.DraftsKept))
		return err
	})
	h.router = ui.NewRouter(g.auth, g.audit, ui.Options{
		Demo: demo, Secure: secure, Clock: g.db.Clock(), Log: out.log,
		Find: desk.Find(h.patients), Banners: safety.Unwitnessed(h.lapse, safety.Banners(g.auth, h.patients)),
		Live: h.live, Answered: h.queue.Answered,
		Zone: func(ctx context.Context, s auth.Staff) *time.Location {
			if p, err := people.Get(ctx, s); err == nil {
				return p.Zone
			}
			return time.Local
		},
	})
	front := desk.New(h.router, g.auth, book, people, h.patients)
	safety.Register(h.router, g.auth, h.patients, h.people)
	h.scim = scim.New(scim.Options{DB: g.db, Auth: g.auth, Audit: g.audit, Base: g.origin, Log: out.log})
	organisation.Register(h.router, g.auth, g.signOn, h.scim, front, h.patients)
	chart.Register(h.router, chart.Modules{Record: record, Notes: notes, Book: book, Patients: h.patients, People: people, Search: h.pick})
	apps.Register(h.router, g.auth, g.oauth, h.patients, h.visit)
	h.watch = watch.New(g.db, g.audit, g.auth, g.store)
	h.keeper = keeping.New(g.db, g.store, g.auth, g.audit)
	office.New(h.router, g.auth, g.audit, h.patients, h.watch, h.keeper)
	h.hub = h.newHub(h.asker)
	apps.RegisterSubscriptions(h.router, h.hub, h.patients)
	owners := map[string]fhirapi.Owner{"Appointment": book.Owner(), "Subscription": h.hub.Owner()}
	h.api = h.newAPI(owners)
	h.api.Register(h.hub.Operations()...)
	h.api.Register(validation.Operation(g.guide))
	h.api.Register(vocabulary.Operations(g.terms)...)
	h.api.Register(operations.Operations()...)
	h.api.Register(operations.WhoSaw(g.auth, g.audit, h.router.Speak))
	h.api.Register(graphql.Operation())
	h.queue.Plan(jobs.Plan{Kind: keeping.SweepMarks, Every: 24 * time.Hour, At: 9 * time.Hour})
	h.queue.Handle(keeping.SweepMarks, func(ctx context.Context, j *jobs.Job) error { return h.keeper.Sweep(ctx, j.Practice) })
	h.api.Register(operations.Keeping(h.keeper)...)
	g.listAt(g.origin)
	docs.Register(h.router, h.api, h.origin)
	docs.RegisterListed(h.router, g.list)
	h.exports = h.newExports(h.asker, owners)
	h.api.Register(h.exports.Operations()...)
	h.api.Register(operations.Match(h.patients))
	return h
}

// newAPI stands the FHIR interface beside the screens: whoever is signed in may use it from the practice's own pages.
func (h *house) newAPI(owners map[string]fhirapi.Owner) *fhirapi.API {
	return fhirapi.New(fhirapi.Options{
		DB: h.db, Store: h.store, Audit: h.audit, Log: h.log, Owners: owners, Origin: h.origin, Version: version, Budget: h.budget,
		Security: h.smart, Profiles: usCore(), Terminology: vocabulary.Capabilities(h.terms, version),
		Instantiates: []string{"http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server", "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"},
		Guides:       []string{"http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0", "http://hl7.org/fhir/uv/subscriptions-backport/ImplementationGuide/hl7.fhir.uv.subscriptions-backport|1.1.0"},
		Extension:    subscription.Extension,
		Practice:     h.auth.PracticeBySlug,
		Supported: func(ctx context.Context, p auth.Practice) (*guides.Supported, error) {
			return h.guide.Supported(ctx, p.ID)
		},
		Authenticate: h.asker,
		AllowOrigin: func(ctx context.Context, p auth.Practice, origin string) bool {
			return h.oauth.Origin(ctx, p.ID, origin)
		},
	})
}

// asker says who sends a request to an interface for programs: a program with its token, or a person from the practice's own pages.
func (h *house) asker(r *http.Request, p auth.Practice) (db.Scope, error) {
	if bearer, ok := oauth.Bearer(r); ok {
		app, err := h.oauth.Authenticate(r.Context(), p, bearer)
		return app.ForRequest(fhirapi.RequestID(r.Context())), err
	}
	return h.router.Visitor(r, p.Slug, fhirapi.RequestID(r.Context()))
}

// visit finds the Encounter that is going on with a patient, for programs that are started from the chart.
func (h *house) visit(ctx context.Context, who auth.Staff, patient string) (id string, err error) {
	err = h.db.View(ctx, who, func(tx *db.Tx) error {
		all, err := h.store.Find(ctx, tx, "Encounter", "patient", "Patient/"+patient, "status", "arrived,triaged,in-progress", "_sort", "-date", "_count", "1")
		if len(all) > 0 {
			id = all[0].ID
		}
		return err
	})
	return id, err
}

// pick searches the code system behind a form's field, through the edition the practice uses.
func (h *house) pick(ctx context.Context, who auth.Staff, kind, text string, n int) (chart.Codes, error) {
	system := map[string]string{"problem": terminology.ICD10CM, "medication": terminology.RxNorm, "allergen": terminology.Allergens}[kind]
	found, err := h.terms.Search(ctx, who.Practice(), system, text, n)
	out := chart.Codes{Edition: found.Edition, Warning: found.Warning}
	for _, c := range found.Concepts {
		out.List = append(out.List, chart.Code{System: c.System, Code: c.Code, Display: c.Display})
	}
	return out, err
}
