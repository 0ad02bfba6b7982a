package fhirstore

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhirsearch"
)

const (
	opioids = `"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"F11.20"}]}`
	plain   = `"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"J45.909"}]}`
)

func condition(id, code string) string {
	return fmt.Sprintf(`{"resourceType":"Condition","id":%q,"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},%s,"subject":{"reference":"Patient/ann"}}`, id, code)
}

// one writes a resource as somebody and returns it as the system reads it.
func (b *bench) as(s db.Scope, raw string) (*Resource, error) {
	b.t.Helper()
	p, err := b.Prepare(context.Background(), []byte(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.try(s, func(ctx context.Context, tx *db.Tx) error { _, err := b.Update(ctx, tx, p, 0); return err }); err != nil {
		return nil, err
	}
	return b.get(p.Type, p.ID), nil
}

func (b *bench) get(typ, id string) (r *Resource) {
	b.t.Helper()
	b.view(system(1), func(ctx context.Context, tx *db.Tx) (err error) { r, err = b.Read(ctx, tx, typ, id); return err })
	return r
}

func (b *bench) sees(s db.Scope, typ, id string) bool {
	return b.d.View(context.Background(), s, func(tx *db.Tx) error { _, err := b.Read(context.Background(), tx, typ, id); return err }) == nil
}

func TestLabelsAreWrittenAndKept(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.Labels = auth.Sensitivity
		doc := auth.AsStaff(1, 1, "Doc", "Practitioner/doc", auth.Clinician)
		nurse := auth.AsStaff(1, 2, "Nurse", "", auth.Nurse)
		biller := auth.AsStaff(1, 3, "Biller", "", auth.Biller)
		b.put(`{"resourceType":"Patient","id":"ann","name":[{"family":"Ash"}]}`)

		r, err := b.as(nurse, condition("c1", opioids))
		if err != nil || r.Labels != auth.LabelSubstanceUse || !strings.Contains(string(r.Raw), `"SUD"`) {
			t.Fatalf("%v %s", err, r.Raw)
		}
		if b.sees(biller, "Condition", "c1") || !b.sees(doc, "Condition", "c1") {
			t.Error("who sees it is wrong")
		}
		if r, _ := b.as(nurse, condition("c2", plain)); r.Labels != 0 || strings.Contains(string(r.Raw), "security") {
			t.Errorf("a plain condition bears %s", r.Raw)
		}
		// Neither leaving the label out nor claiming that it was taken away takes it away.
		for _, meta := range []string{"", `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"DECLASSIFYLABEL"}]},`} {
			raw := strings.Replace(condition("c1", plain), `"clinicalStatus"`, meta+`"clinicalStatus"`, 1)
			if r, err := b.as(nurse, raw); err != nil || r.Labels != auth.LabelSubstanceUse {
				t.Errorf("%q: %v %s", meta, err, r.Raw)
			}
		}
		unlabel := func(s db.Scope, why string) error {
			return b.try(s, func(ctx context.Context, tx *db.Tx) error {
				_, err := b.Unlabel(ctx, tx, "Condition", "c1", 0, auth.LabelSubstanceUse, why)
				return err
			})
		}
		if c := code(unlabel(nurse, "recorded in error")); c != "forbidden" {
			t.Errorf("a nurse takes labels away: %s", c)
		}
		if c := code(unlabel(doc, " ")); c != "required" {
			t.Errorf("without a reason: %s", c)
		}
		if _, err := b.as(nurse, condition("c1", opioids)); err != nil {
			t.Fatal(err)
		}
		if err := unlabel(doc, "recorded in error"); err != nil {
			t.Fatal(err)
		}
		r, err = b.as(nurse, condition("c1", opioids))
		if err != nil || r.Labels != auth.LabelDeclassified || !b.sees(biller, "Condition", "c1") {
			t.Errorf("%v: the codes brought the label back: %s", err, r.Raw)
		}
		found, err := audit.New(b.d.DB).Find(context.Background(), system(1), audit.Filter{Action: audit.ActionPrivilege})
		if err != nil || len(found) != 1 || !strings.Contains(found[0].Detail, "substance-use; recorded in error") || found[0].Labels != auth.LabelSubstanceUse || found[0].Patient != "Patient/ann" {
			t.Errorf("%+v %v", found, err)
		}
	})
}

func TestLabelsTravel(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.Labels = auth.Sensitivity
		nurse := auth.AsStaff(1, 2, "Nurse", "", auth.Nurse)
		b.put(`{"resourceType":"Patient","id":"ann"}`,
			`{"resourceType":"Encounter","id":"e","status":"in-progress","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"}}`,
			`{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"weight"},"subject":{"reference":"Patient/ann"},"encounter":{"reference":"Encounter/e"}}`,
			condition("c1", opioids),
			`{"resourceType":"Provenance","id":"p","target":[{"reference":"Condition/c1"}],"recorded":"2026-01-02T03:04:05Z","agent":[{"who":{"reference":"Practitioner/doc"}}]}`,
			`{"resourceType":"Composition","id":"n","status":"final","type":{"text":"note"},"subject":{"reference":"Patient/ann"},"date":"2026-01-02","author":[{"reference":"Practitioner/doc"}],"title":"Note","section":[{"entry":[{"reference":"Condition/c1"}]}]}`,
			`{"resourceType":"DocumentReference","id":"d","status":"current","subject":{"reference":"Patient/ann"},"content":[{"attachment":{"title":"x"}}],"context":{"related":[{"reference":"Condition/c1"}]}}`,
		)
		for _, id := range []string{"Provenance/p", "Composition/n", "DocumentReference/d"} {
			typ, rest, _ := strings.Cut(id, "/")
			if r := b.get(typ, rest); r.Labels != auth.LabelSubstanceUse {
				t.Errorf("%s bears %v", id, auth.LabelNames(r.Labels))
			}
		}
		if r := b.get("Observation", "o1"); r.Labels != 0 {
			t.Fatal("labelled too early")
		}
		// A visit that becomes confidential takes along what was recorded in it, also before, and what follows.
		if _, err := b.as(nurse, `{"resourceType":"Encounter","id":"e","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"ADOL"}]},"status":"in-progress","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"}}`); err != nil {
			t.Fatal(err)
		}
		if r := b.get("Observation", "o1"); r.Labels != auth.LabelAdolescent || r.Version != 2 {
			t.Errorf("recorded before: %v version %d", auth.LabelNames(r.Labels), r.Version)
		}
		r, err := b.as(nurse, `{"resourceType":"Observation","id":"o2","status":"final","code":{"text":"height"},"subject":{"reference":"Patient/ann"},"encounter":{"reference":"Encounter/e"}}`)
		if err != nil || r.Labels != auth.LabelAdolescent {
			t.Errorf("recorded after: %v %v", err, auth.LabelNames(r.Labels))
		}
		if report, err := b.Check(context.Background(), system(1), false); err != nil || len(report.Damaged) != 0 {
			t.Errorf("doctor: %+v %v", report, err)
		}
	})
}

// Whatever is written in whatever order, no version of a resource bears less than the version before it.
func TestLabelsOnlyGrow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		b := benchOn(t, d)
		b.Labels = auth.Sensitivity
		b.put(`{"resourceType":"Patient","id":"ann"}`)
		names := auth.LabelNames(-1)
		i := 0
		rapid.Check(t, func(rt *rapid.T) {
			i++
			id := fmt.Sprintf("g%d", i)
			union := int64(0)
			for range rapid.IntRange(1, 4).Draw(rt, "versions") {
				mask := auth.LabelsNamed(rapid.SliceOfDistinct(rapid.SampledFrom(names), func(s string) string { return s }).Draw(rt, "labels")...)
				var parts []string
				for _, c := range auth.SecurityCodings(mask) {
					parts = append(parts, fmt.Sprintf(`{"system":%q,"code":%q}`, c[0], c[1]))
				}
				code := plain
				if rapid.Bool().Draw(rt, "coded") {
					code = opioids
					mask |= auth.LabelSubstanceUse
				}
				raw := strings.Replace(condition(id, code), `"clinicalStatus"`, `"meta":{"security":[`+strings.Join(parts, ",")+`]},"clinicalStatus"`, 1)
				if len(parts) == 0 {
					raw = condition(id, code)
				}
				union |= mask
				r, err := b.as(system(1), raw)
				if err != nil || r.Labels != union || labelsOf(r.Node()) != union {
					rt.Fatalf("%v: bears %v, want %v", err, auth.LabelNames(r.Labels), auth.LabelNames(union))
				}
			}
		})
	})
}

// house is a practice with real sign-ins over the store, its rules followed.
type house struct {
	*bench
	a      *auth.Auth
	id     db.PracticeID
	staff  map[string]string // tokens by login
	people map[string]int64
}

func newHouse(t *testing.T, d *dbtest.DB) *house {
	log := audit.New(d.DB)
	h := &house{bench: benchOn(t, d), a: auth.New(d.DB, log, auth.Options{Demo: true}), staff: map[string]string{}, people: map[string]int64{}}
	h.Labels, h.Rules = auth.Sensitivity, h.a.FollowResource
	ctx := context.Background()
	var err error
	if h.id, err = h.a.AddPractice(ctx, "alder", "Alder"); err != nil {
		t.Fatal(err)
	}
	for login, u := range map[string]auth.User{
		"gp":    {PractitionerID: "gp", Roles: []auth.Role{auth.Clinician}},
		"other": {PractitionerID: "other", Roles: []auth.Role{auth.Clinician}},
		"desk":  {Roles: []auth.Role{auth.FrontDesk}},
		"bill":  {PractitionerID: "bill", Roles: []auth.Role{auth.Biller}},
		"boss":  {Roles: []auth.Role{auth.Administrator}},
	} {
		u.Login, u.Display = login, login
		id, err := h.a.AddUser(ctx, auth.SystemScope(h.id, "test"), u)
		if err != nil {
			t.Fatal(err)
		}
		if h.staff[login], _, err = h.a.DemoSignIn(ctx, h.id, id); err != nil {
			t.Fatal(err)
		}
		h.people[login] = id
	}
	return h
}

func (h *house) who(login string) auth.Staff {
	h.t.Helper()
	s, _, err := h.a.Resume(context.Background(), "alder", h.staff[login])
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// wait lets time pass while everybody keeps working.
func (h *house) wait(d time.Duration) {
	h.t.Helper()
	for d > 0 {
		step := min(d, 10*time.Minute)
		h.d.Clock.Advance(step)
		d -= step
		for login := range h.staff {
			h.who(login)
		}
	}
}

// seen lists which people see a resource.
func (h *house) seen(typ, id string) string {
	var out []string
	for login := range h.staff {
		if h.sees(h.who(login), typ, id) {
			out = append(out, login)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (h *house) want(what, typ, id, people string) {
	h.t.Helper()
	if got := h.seen(typ, id); got != people {
		h.t.Errorf("%s: %s/%s is seen by %q, want %q", what, typ, id, got, people)
	}
}

func TestRestrictedChartsAndConsents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := newHouse(t, d)
		ctx := context.Background()
		patient := func(security string) string {
			return `{"resourceType":"Patient","id":"ann",` + security + `"name":[{"family":"Ash"}],"generalPractitioner":[{"reference":"Practitioner/gp"}]}`
		}
		vip := `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"CEL"}]},`
		h.putIn(h.id, patient(""), condition("c1", opioids), condition("c2", plain),
			`{"resourceType":"Patient","id":"ben"}`,
			`{"resourceType":"Observation","id":"t","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/ben"},"performer":[{"reference":"Patient/ann"}]}`)
		h.want("plain", "Patient", "ann", "bill boss desk gp other")
		h.want("plain", "Condition", "c1", "gp other")
		h.want("plain", "Condition", "c2", "bill gp other")

		h.putIn(h.id, patient(vip))
		h.want("vip", "Patient", "ann", "gp")
		h.want("vip", "Condition", "c2", "gp")
		h.want("vip", "Observation", "t", "gp") // names the patient in a further place
		h.want("vip", "Patient", "ben", "bill boss desk gp other")

		// An opening in an emergency: one person, one chart, 60 minutes.
		if _, err := h.a.OpenGlass(ctx, h.who("desk"), "ann", "emergency", "the patient collapsed"); code(err) != "forbidden" {
			t.Errorf("the desk opens: %v", err)
		}
		if _, err := h.a.OpenGlass(ctx, h.who("other"), "ann", "emergency", "short"); code(err) != "required" {
			t.Errorf("without a reason: %v", err)
		}
		o, err := h.a.OpenGlass(ctx, h.who("other"), "ann", "emergency", "the patient collapsed")
		if err != nil {
			t.Fatal(err)
		}
		h.want("opened", "Patient", "ann", "gp other")
		h.want("opened", "Condition", "c1", "gp other")
		if n, err := h.a.Notices(ctx, h.who("boss")); err != nil || len(n) != 1 || n[0].Kind != auth.NoticeGlass || n[0].Patient != "ann" || n[0].Ref != o.ID {
			t.Errorf("%+v %v", n, err)
		}
		h.wait(auth.GlassFor - time.Second)
		h.want("for an hour", "Patient", "ann", "gp other")
		h.wait(time.Second)
		h.want("after an hour", "Patient", "ann", "gp")
		if err := h.a.ReviewOpening(ctx, h.who("boss"), o.ID, true, ""); err != nil {
			t.Error(err)
		}

		// Consents: the patient lets a colleague in, for some time, and takes it back.
		consent := func(status, provision string) string {
			return `{"resourceType":"Consent","id":"k","status":"` + status + `","scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},` +
				`"category":[{"text":"privacy"}],"policyRule":{"text":"x"},"patient":{"reference":"Patient/ann"},"provision":` + provision + `}`
		}
		named := func(who string) string {
			return `"actor":[{"role":{"text":"recipient"},"reference":{"reference":"` + who + `"}}]`
		}
		h.putIn(h.id, consent("active", `{"type":"permit",`+named("Practitioner/other")+`}`))
		h.want("permitted", "Patient", "ann", "gp other")
		h.putIn(h.id, consent("inactive", `{"type":"permit",`+named("Practitioner/other")+`}`))
		h.want("revoked", "Patient", "ann", "gp")
		h.putIn(h.id, patient("")) // labels stay: only Unlabel takes them away
		h.want("still vip", "Patient", "ann", "gp")
		if err := h.try(h.who("gp"), func(ctx context.Context, tx *db.Tx) error {
			_, err := h.Unlabel(ctx, tx, "Patient", "ann", 0, auth.LabelVIP, "no longer a colleague")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		h.want("opened to all", "Patient", "ann", "bill boss desk gp other")

		// A label opened for a named person; a denial for a role; the stricter of two holds.
		sud := `"securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SUD"}]`
		h.putIn(h.id, consent("active", `{"type":"permit",`+named("Practitioner/bill")+`,`+sud+`}`))
		h.want("label permitted", "Condition", "c1", "bill gp other")
		h.putIn(h.id, strings.Replace(consent("active", `{"type":"deny",`+sud+`,"actor":[{"role":{"coding":[{"system":"`+auth.RoleSystem+`","code":"biller"}]},"reference":{"display":"billing"}}]}`), `"id":"k"`, `"id":"k2"`, 1))
		h.want("stricter", "Condition", "c1", "gp other")
		h.want("stricter", "Condition", "c2", "bill gp other")
		h.putIn(h.id, strings.Replace(consent("active", `{"type":"deny","provision":[{"type":"permit",`+named("Practitioner/gp")+`}]}`), `"id":"k"`, `"id":"k3"`, 1))
		h.want("denied but one", "Condition", "c2", "gp")
		h.want("denied but one", "Patient", "ann", "gp")
	})
}

// Notes kept apart are opened by no emergency and no consent for a role, and nothing reaches another practice.
func TestEmergenciesHaveLimits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := newHouse(t, d)
		ctx := context.Background()
		act := func(codes ...string) string {
			var parts []string
			for _, c := range codes {
				parts = append(parts, `{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"`+c+`"}`)
			}
			return `"meta":{"security":[` + strings.Join(parts, ",") + `]},`
		}
		h.putIn(h.id, `{"resourceType":"Patient","id":"ann",`+act("CEL")+`"name":[{"family":"Ash"}]}`,
			strings.Replace(condition("psy", plain), `"clinicalStatus"`, act("PSYTHPN")+`"clinicalStatus"`, 1),
			strings.Replace(condition("sudcn", plain), `"clinicalStatus"`, act("SUDCN")+`"clinicalStatus"`, 1),
			strings.Replace(condition("part2", plain), `"clinicalStatus"`, act("42CFRPart2")+`"clinicalStatus"`, 1))
		h.putIn(1, `{"resourceType":"Patient","id":"ann","name":[{"family":"Elsewhere"}]}`)
		if _, err := h.a.OpenGlass(ctx, h.who("gp"), "ann", "emergency", "the patient collapsed"); err != nil {
			t.Fatal(err)
		}
		h.want("opened", "Condition", "part2", "gp")
		h.want("opened", "Condition", "psy", "")
		h.want("opened", "Condition", "sudcn", "")
		if s := auth.AccessOf(h.who("gp")); s.Charts["ann"].Forbidden != auth.LabelPsychotherapy|auth.LabelSUDCounseling {
			t.Errorf("%+v", s.Charts)
		}
		if h.who("gp").Practice() != h.id {
			t.Error("a scope of another practice")
		}
		if err := h.a.CloseGlass(ctx, h.who("gp"), "ann"); err != nil {
			t.Fatal(err)
		}
		h.want("closed", "Condition", "part2", "")
		if open, err := h.a.OpenGlasses(ctx, h.who("gp")); err != nil || len(open) != 0 {
			t.Errorf("%v %v", open, err)
		}
		role := `"actor":[{"role":{"coding":[{"system":"` + auth.RoleSystem + `","code":"clinician"}]},"reference":{"display":"all"}}]`
		grant := func(actor string) string {
			return `{"resourceType":"Consent","id":"k","status":"active","scope":{"coding":[{"code":"patient-privacy"}]},"category":[{"text":"x"}],"policyRule":{"text":"x"},` +
				`"patient":{"reference":"Patient/ann"},"provision":{"type":"permit",` + actor + `,"securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}],` +
				`"provision":[{"type":"permit",` + actor + `}]}}`
		}
		h.putIn(h.id, grant(role))
		h.want("for a role", "Condition", "part2", "gp other")
		h.want("for a role", "Condition", "psy", "")
		h.putIn(h.id, grant(`"actor":[{"role":{"text":"x"},"reference":{"reference":"Practitioner/gp"}}]`))
		h.want("for one", "Condition", "psy", "gp")
	})
}

// What is hidden leaves no trace: two practices that differ by hidden records alone answer a person who may not see
// them alike, in every search, total, page and history (42 CFR Part 2; absence must not tell).
func TestHiddenRecordsLeaveNoTrace(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.Labels = auth.Sensitivity
		common := []string{`{"resourceType":"Patient","id":"ann","name":[{"family":"Ash"}]}`, `{"resourceType":"Patient","id":"ben","name":[{"family":"Ben"}]}`,
			condition("c1", plain), condition("c2", plain),
			`{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"}}`}
		b.putIn(1, common...)
		b.putIn(2, common...)
		b.putIn(2, condition("h1", opioids), strings.Replace(condition("h2", opioids), `"subject"`, `"encounter":{"reference":"Encounter/e"},"subject"`, 1),
			`{"resourceType":"Provenance","id":"p","target":[{"reference":"Condition/h1"}],"recorded":"2026-01-02T03:04:05Z","agent":[{"who":{"reference":"Practitioner/doc"}}]}`)
		biller := func(p db.PracticeID) db.Scope { return auth.AsStaff(p, 3, "Biller", "", auth.Biller) }
		answer := func(p db.PracticeID, request string) string {
			typ, query, _ := strings.Cut(request, "?")
			form, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			q, issues := fhirsearch.ParseQuery(typ, form)
			if err := issues.Err(); err != nil {
				return err.Error()
			}
			var out []string
			err = b.d.View(context.Background(), biller(p), func(tx *db.Tx) error {
				page, err := b.Search(context.Background(), tx, q)
				if err != nil {
					return err
				}
				out = append(out, fmt.Sprint(page.Total, page.Next != ""))
				for _, r := range append(page.Resources, page.Included...) {
					out = append(out, fmt.Sprint(r.Reference(), r.Version))
				}
				return nil
			})
			return fmt.Sprint(out, err)
		}
		for _, request := range []string{"Condition?_total=accurate", "Condition?_summary=count", "Condition?patient=ann&_total=accurate&_count=1", "Condition?code=F11.20&_total=accurate",
			"Condition?_id=h1", "Condition?_id=c1,h1,h2&_total=accurate", "Condition?encounter=e&_total=accurate", "Condition?encounter.status=finished", "Condition?_security=SUD&_total=accurate",
			"Patient?_has:Condition:patient:code=F11.20&_total=accurate", "Patient?_has:Condition:patient:_id=h1", "Encounter?_has:Condition:encounter:code=F11.20", "Patient?_revinclude=Condition:patient",
			"Encounter?_revinclude=Condition:encounter", "Condition?_include=Condition:encounter&_count=50", "Condition?patient.name=ash&_total=accurate", "Condition?code:not=J45.909&_total=accurate"} {
			if one, two := answer(1, request), answer(2, request); one != two {
				t.Errorf("%s:\nwithout %s\nwith    %s", request, one, two)
			}
		}
		for _, id := range []string{"h1", "nothing"} {
			err := b.d.View(context.Background(), biller(2), func(tx *db.Tx) error { _, err := b.Read(context.Background(), tx, "Condition", id); return err })
			if err == nil || err.Error() != notFound("Condition").Error() {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

// A consent taken back holds for the next request here, and within a second on another node.
func TestARevokedConsentHoldsAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := newHouse(t, d)
		other := auth.New(d.DB, audit.New(d.DB), auth.Options{Demo: true})
		consent := func(status string) string {
			return `{"resourceType":"Consent","id":"k","status":"` + status + `","scope":{"coding":[{"code":"patient-privacy"}]},"category":[{"text":"x"}],"policyRule":{"text":"x"},"patient":{"reference":"Patient/ann"},` +
				`"provision":{"type":"permit","actor":[{"role":{"text":"x"},"reference":{"reference":"Practitioner/bill"}}],"securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SUD"}]}}`
		}
		h.putIn(h.id, `{"resourceType":"Patient","id":"ann"}`, condition("c1", opioids), consent("active"))
		elsewhere := func() bool {
			s, _, err := other.Resume(context.Background(), "alder", h.staff["bill"])
			return err == nil && h.sees(s, "Condition", "c1")
		}
		if !h.sees(h.who("bill"), "Condition", "c1") || !elsewhere() {
			t.Fatal("the consent opens nothing")
		}
		h.putIn(h.id, consent("inactive"))
		if h.sees(h.who("bill"), "Condition", "c1") {
			t.Error("open here after it was taken back")
		}
		if d.Engine() == db.SQLite {
			return // one process makes every change there
		}
		d.Clock.Advance(time.Second)
		if elsewhere() {
			t.Error("open elsewhere a second later")
		}
	})
}
