package operations

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Bounds of $who-saw.
const (
	entriesTold  = 20_000  // of a patient's audit in one call
	entriesRead  = 200_000 // with those that are not told
	sittingsMost = 200     // of a page
)

// WhoSaw returns $who-saw: who looked at a chart, in plain words, for the patient. speak chooses the language that an
// Accept-Language asks for.
func WhoSaw(a *auth.Auth, log *audit.Log, speak func(accept string) (language string, say audit.Say)) fhirapi.Operation {
	w := whoSaw{a, log, speak}
	return fhirapi.Operation{Name: "$who-saw", Levels: fhirapi.Instance, Types: []string{"Patient"}, Run: w.run, URL: "https://yarrow.health/fhir/OperationDefinition/who-saw",
		Params: []fhirapi.Param{
			{Name: "start", Type: "date", Max: 1, Doc: "Looks on or after this date."},
			{Name: "end", Type: "date", Max: 1, Doc: "Looks on or before this date."},
			{Name: "_count", Type: "integer", Max: 1, Doc: "Sittings per page, 50 unless it says otherwise, up to 200."},
			{Name: "_page", Type: "string", Max: 1, Doc: "The place of a page, from the link next."},
			{Name: "total", Type: "integer", Min: 1, Max: 1, Out: true, Doc: "How many sittings there are."},
			{Name: "next", Type: "url", Max: 1, Out: true, Doc: "The next page."},
			{Name: "sitting", Max: -1, Out: true, Doc: "What one person did in one go: from, to, who, role, purpose, emergency, times, and words, in the language that is asked for."},
		},
		Doc: "Who looked at, changed or sent a patient's record, newest first, in plain words. For the patient, programs the patient lets in, and people who may read the audit."}
}

type whoSaw struct {
	auth  *auth.Auth
	log   *audit.Log
	speak func(accept string) (string, audit.Say)
}

func (w whoSaw) run(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	self := "Patient/" + c.ID
	access := auth.AccessOf(c.Scope)
	if err := mayAsk(c.Scope, access); err != nil {
		return nil, err
	}
	values := c.Texts()
	var place string
	if err := c.View(ctx, func(tx *db.Tx) (err error) {
		// A chart that the asker may not see is not there, as everywhere.
		if _, err = c.Store().Read(ctx, tx, "Patient", c.ID); err == nil {
			values, place, err = c.OpenPage(tx)
		}
		return err
	}); err != nil {
		return nil, err
	}
	size, err := count(values.Get("_count"))
	if err != nil {
		return nil, err
	}
	size = min(size, sittingsMost)
	of, err := spanOf(values.Get("start"), values.Get("end"))
	if err != nil {
		return nil, err
	}
	entries, newest, skip, err := w.entries(ctx, c, readerOf(c.Scope, c.ID), of, place)
	if err != nil {
		return nil, err
	}
	language, say := w.speak(c.Header("Accept-Language"))
	names, err := w.names(ctx, c.Practice.ID)
	if err != nil {
		return nil, err
	}
	role, err := w.roles(ctx, c.Practice.ID, say)
	if err != nil {
		return nil, err
	}
	feed := audit.Feed(say, entries, func(e audit.Entry) string { return whoDid(say, names, &e) })
	skip = min(skip, len(feed))
	page := feed[skip:min(len(feed), skip+size)]
	ps := []fhirjson.Node{named("total", "valueInteger", fhirjson.NewNumber(strconv.Itoa(len(feed))))}
	if next := skip + len(page); next < len(feed) {
		err := c.View(ctx, func(tx *db.Tx) error {
			link, err := c.SealPage(tx, values, fmt.Sprintf("%d %d", newest, next))
			ps = append(ps, named("next", "valueUrl", c.Base+"/"+link))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range page {
		ps = append(ps, sittingOf(say, role, &page[i]))
	}
	c.See(audit.Event{Action: audit.ActionRead, Type: "AuditEvent", Patient: self, Categories: []string{"audit"}, Detail: "$who-saw"})
	out := parameters(ps...)
	out.Header = http.Header{"Content-Language": {language}}
	return out, nil
}

// mayAsk lets in the patient, programs that stand in the patient's own compartment, and people who read the audit.
func mayAsk(s db.Scope, access auth.Access) error {
	if who, ok := s.(auth.Staff); ok {
		if who.Can(auth.AuditRead) {
			return nil
		}
	} else if access.Compartment != "" {
		return nil // Read finds no other patient
	}
	return fhir.Problem("forbidden", "Who saw a chart is told to the patient and to people who read the audit.", "Ask an administrator, or sign in as the patient.")
}

// entries reads what the asker is told of the patient's audit, newest first. Pages after the first leave out what came since, this
// asking among it.
func (w whoSaw) entries(ctx context.Context, c *fhirapi.Call, as reader, of span, place string) (out []audit.Entry, newest int64, skip int, err error) {
	f := audit.Filter{Patient: as.patient, Limit: audit.MaxFound}
	if of.from != math.MinInt64 {
		f.From = time.UnixMicro(of.from)
	}
	if of.to != math.MaxInt64 {
		f.To = time.UnixMicro(of.to)
	}
	if place != "" {
		if _, err := fmt.Sscanf(place, "%d %d", &newest, &skip); err != nil || newest < 1 || skip < 0 {
			return nil, 0, 0, fhir.Problem("value", "_page is no place of this list.", "Follow the link next of an answer.").At("_page")
		}
		f.Before = newest + 1
	}
	for read := 0; ; {
		found, err := w.log.Find(ctx, c.Scope, f)
		if err != nil {
			return nil, 0, 0, err
		}
		if place == "" && read == 0 && len(found) > 0 {
			newest = found[0].ID
		}
		last := len(found) < f.Limit
		if !last {
			f.Before = found[len(found)-1].ID
		}
		read += len(found)
		told, err := as.told(ctx, c, found)
		if err != nil {
			return nil, 0, 0, err
		}
		if out = append(out, told...); last {
			return out, newest, skip, nil
		}
		if len(out) >= entriesTold || read >= entriesRead {
			return nil, 0, 0, fhir.Problem("too-costly", "More than 20,000 accesses are on record in this time.", "Narrow it with start and end.")
		}
	}
}

// names are the people of the practice. Only what they are called is used.
func (w whoSaw) names(ctx context.Context, p db.PracticeID) (map[int64]string, error) {
	all, err := w.auth.Users(ctx, auth.SystemScope(p, "who saw a chart"))
	out := map[int64]string{}
	for _, u := range all {
		out[u.ID] = u.Display
	}
	return out, err
}

// whoDid names the doer of an entry: people of the practice and programs by name, everybody else by what they are.
func whoDid(say audit.Say, names map[int64]string, e *audit.Entry) string {
	a := e.Actor
	switch {
	case a.Kind == "patient" && a.OnBehalf == "":
		return say("saw.patient")
	case a.Kind == "patient":
		return say("saw.proxy")
	case a.UserID != 0 && names[a.UserID] != "":
		return names[a.UserID]
	case a.UserID != 0:
		return say("saw.former")
	case a.Kind == "system":
		return say("saw.system")
	case a.Kind == "operator":
		return say("saw.operator")
	case a.Display != "":
		return a.Display
	case a.Client != "":
		return a.Client
	}
	return say("saw.unknown")
}

// roles names roles in the reader's language; those of the practice's own as people call them there.
func (w whoSaw) roles(ctx context.Context, p db.PracticeID, say audit.Say) (func(role string) string, error) {
	own, err := w.auth.OwnRolesOf(ctx, auth.SystemScope(p, "who saw a chart"))
	return func(role string) string {
		for _, o := range own {
			if string(o.Role) == role {
				return o.Name
			}
		}
		if auth.Role(role).Own() {
			return role
		}
		return say("role." + role)
	}, err
}

func sittingOf(say audit.Say, role func(string) string, s *audit.Seen) fhirjson.Node {
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
	parts := []fhirjson.Node{named("from", "valueInstant", at(s.From)), named("to", "valueInstant", at(s.To)), named("who", "valueString", s.Who)}
	if r := audit.RoleWords(role, s.Role); r != "" {
		parts = append(parts, named("role", "valueString", r))
	}
	parts = append(parts, named("purpose", "valueString", s.PurposeWords(say)), named("emergency", "valueBoolean", s.Break),
		named("times", "valueInteger", fhirjson.NewNumber(strconv.Itoa(s.Times))))
	for _, w := range s.Words {
		parts = append(parts, named("words", "valueString", w))
	}
	return fhir.Object("name", "sitting", "part", fhirjson.NewArray(parts...))
}
