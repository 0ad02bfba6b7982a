package main

import (
	"context"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

const (
	sequenceEvery = time.Second
	sweepEvery    = 24 * time.Hour
	atOnce        = 50 // practices a second, so that a host with thousands goes round in a minute
	saidAgain     = time.Hour
)

// tend does what must go on for as long as the program runs: audit entries get their place in the log within a second and
// are signed every hour, and sign-in data that has no use any more is deleted.
func (h *house) tend(ctx context.Context) error {
	clock := h.db.Clock()
	var round []db.PracticeID
	swept := clock.Now()
	reviewed := map[db.PracticeID]string{}
	unsealed := map[db.PracticeID]time.Time{}
	for clock.Sleep(ctx, sequenceEvery) == nil {
		// Where this process recorded something, and by turns everywhere, for what others did or a restart left.
		for _, p := range h.audit.Unsealed() {
			h.seal(ctx, p, unsealed)
		}
		if _, err := h.auth.Practices(ctx); err != nil && ctx.Err() == nil { // HoldsReal goes by what was read last
			h.log.Warn("the list of practices cannot be read", "error", err)
		}
		if len(round) == 0 {
			all, err := h.db.Practices(ctx)
			if err != nil && ctx.Err() == nil {
				h.log.Warn("the list of practices cannot be read", "error", err)
			}
			round = all
		}
		n := min(atOnce, len(round))
		for _, p := range round[:n] {
			h.seal(ctx, p, unsealed)
			if _, _, err := h.audit.Checkpoint(ctx, auth.SystemScope(p, "audit checkpoint"), false); err != nil && ctx.Err() == nil {
				h.log.Error("the audit could not be signed; it is tried again", "practice", p, "error", err)
			}
			h.review(ctx, p, reviewed)
		}
		round = round[n:]
		if clock.Since(swept) > sweepEvery {
			swept = clock.Now()
			if err := h.auth.Sweep(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("old sign-in data could not be deleted", "error", err)
			}
			if err := h.queue.ForgetReplies(ctx, db.System); err != nil && ctx.Err() == nil {
				h.log.Warn("old answers to forms could not be deleted", "error", err)
			}
			h.sweepPrograms(ctx)
		}
	}
	return nil
}

// adopt takes the entries of the audit of before practice schema 8 into the log, one practice after the other.
func (h *house) adopt(ctx context.Context) error {
	all, err := h.db.Practices(ctx)
	if err != nil {
		return nil // tend says so
	}
	for _, p := range all {
		a, err := h.audit.Adopt(ctx, auth.SystemScope(p, "audit adoption"))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			h.log.Error("earlier audit entries could not be taken into the log; the next start goes on with it", "practice", p, "error", err)
		case a.Damaged+a.Missing+a.Broken > 0:
			h.log.Error("the earlier audit was altered; its log says where", "practice", p, "entries", a.Entries, "damaged", a.Damaged, "missing", a.Missing, "broken", a.Broken)
		case a.Entries > 0:
			h.log.Info("earlier audit entries were taken into the log", "practice", p, "entries", a.Entries)
		}
	}
	return nil
}

// index brings the search index of every practice to what this version of the program computes, one after the other.
func (h *house) index(ctx context.Context) error {
	all, err := h.db.Practices(ctx)
	if err != nil {
		return nil // tend says so
	}
	for _, p := range all {
		changed, err := h.store.Reindex(ctx, auth.SystemScope(p, "index"))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			h.log.Error("the search index could not be brought up to date; the next start goes on with it", "practice", p, "error", err)
		case changed > 0:
			h.log.Info("the search index was brought up to date", "practice", p, "resources", changed)
		}
	}
	return nil
}

// seal gives what was recorded in a practice its place in the log. That it cannot be is said at once and then every hour, since it is
// tried every second: a practice whose folder was taken away goes on waiting in the journal until it is back. said holds since when.
func (h *house) seal(ctx context.Context, p db.PracticeID, said map[db.PracticeID]time.Time) {
	err := h.audit.Settle(ctx, auth.SystemScope(p, "audit sequence"))
	if err == nil {
		delete(said, p)
		return
	}
	now := h.db.Clock().Now()
	if last, before := said[p]; ctx.Err() != nil || before && now.Sub(last) < saidAgain {
		return
	}
	said[p] = now
	h.log.Error("audit entries could not be chained; they are tried again every second", "practice", p, "error", err)
}

// sweepPrograms deletes what programs asked for and got, long after it expired.
func (h *house) sweepPrograms(ctx context.Context) {
	all, err := h.db.Practices(ctx)
	if err != nil {
		return // tend says so
	}
	for _, p := range all {
		if err := h.oauth.Sweep(ctx, p); err != nil && ctx.Err() == nil {
			h.log.Warn("old tokens could not be deleted", "practice", p, "error", err)
		}
	}
}

// review looks once a day at what people looked at the day before.
func (h *house) review(ctx context.Context, p db.PracticeID, reviewed map[db.PracticeID]string) {
	now := h.db.Clock().Now()
	if reviewed[p] == now.Format("2006-01-02T15") {
		return // zones differ: once an hour is often enough to see that a day is over
	}
	scope := auth.SystemScope(p, "daily review")
	zone := time.UTC
	if profile, err := h.people.Get(ctx, scope); err == nil && profile.Zone != nil {
		zone = profile.Zone
	}
	n, err := h.watch.Daily(ctx, scope, now.In(zone).AddDate(0, 0, -1), zone)
	if err != nil {
		if ctx.Err() == nil {
			h.log.Error("yesterday could not be reviewed; it is tried again in an hour", "practice", p, "error", err)
		}
	} else if n > 0 {
		h.log.Info("the daily review has findings", "practice", p, "findings", n)
	}
	reviewed[p] = now.Format("2006-01-02T15")
}
