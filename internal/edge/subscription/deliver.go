package subscription

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

const (
	errorAfter = 3               // failures in a row, after which the state is error
	offAfter   = 14              // and off: after some four hours
	leaseFor   = 2 * time.Minute // longer than one try takes
	never      = math.MaxInt64 / 2
)

// ready says whether something is to be sent to the receiver of a REST hook now.
func (s *sub) ready(now int64) bool {
	if s.state == off || s.Paused || s.Terms.Channel != restHook || s.lease > now {
		return false
	}
	return s.Failures == 0 && (s.n > s.sent || !s.Shaken) || s.due <= now
}

// deliverAll sends what there is for a subscription, one notification after the other.
func (h *Hub) deliverAll(ctx context.Context, p auth.Practice, id string) {
	for ctx.Err() == nil {
		again, err := h.deliver(ctx, p, id)
		if err != nil && !errors.Is(err, errLost) && ctx.Err() == nil {
			h.o.Log.Warn("a notification could not be prepared; it is tried again", "practice", p.ID, "error", err)
			return
		}
		if !again {
			return
		}
	}
}

// deliver sends the next notification. again says that there may be more to send at once.
func (h *Hub) deliver(ctx context.Context, p auth.Practice, id string) (again bool, err error) {
	var s *sub
	if err := h.o.DB.Do(ctx, self(p.ID), func(tx *db.Tx) error {
		if s, err = loadSub(ctx, tx, id); err != nil || s == nil || !s.ready(tx.NowMicro()) {
			s = nil
			return err
		}
		ok, err := leased(ctx, tx, s, tx.Now().Add(leaseFor).UnixMicro())
		if !ok {
			s = nil
		}
		return err
	}); err != nil || s == nil {
		return false, err
	}
	scope, err := h.o.Resume(ctx, p, s.Held)
	if ended(err) {
		return false, h.stop(ctx, p.ID, s, overAuthority())
	}
	if err != nil {
		return false, err
	}
	n := &note{shows: s.Terms.Shows, kind: heartbeat}
	switch {
	case !s.Shaken:
		n.kind = handshake
	case s.n > s.sent:
		n.kind = happened
		if err := h.gather(ctx, scope, s, n, s.sent+1, s.n, s.Terms.Max); err != nil {
			return false, err
		}
		if n.last <= s.sent { // they were kept too long
			n.last = s.n
		}
		if len(n.events) == 0 {
			return h.done(ctx, p, s, n, false)
		}
	case s.Terms.Beat == 0:
		return h.done(ctx, p, s, n, false)
	}
	if why := h.closed(ctx, p.ID, s.Terms.Endpoint, notAllowed); why != nil {
		return false, h.failed(ctx, p, s, why, false, true)
	}
	// Who has the first handshake may count on everything that happens from then on, also before its answer is stored here.
	first := n.kind == handshake && !s.Begun
	if first {
		if err := h.countFromNow(ctx, p.ID, s); err != nil {
			return false, err
		}
	}
	host := s.Terms.host()
	if err := h.record(ctx, scope, s, n, "to "+host); err != nil {
		return false, err
	}
	why, gone := h.send(ctx, s, h.bundle(p, s, n))
	if ctx.Err() != nil {
		return false, ctx.Err() // the receiver may have it: it gets it again
	}
	if why != nil {
		s.Begun = s.Begun && !first // nothing is told of the time until a handshake is taken
		return false, h.failed(ctx, p, s, why, gone, false)
	}
	return h.done(ctx, p, s, n, true)
}

// countFromNow stores, before a first handshake is sent, that events are made from now on.
func (h *Hub) countFromNow(ctx context.Context, p db.PracticeID, s *sub) error {
	var now sub
	err := h.o.DB.Do(ctx, self(p), func(tx *db.Tx) error {
		now = *s
		seq, err := h.o.Store.LastChange(ctx, tx)
		if err != nil {
			return err
		}
		if err := h.awaken(ctx, tx, &now, seq); err != nil {
			return err
		}
		ok, err := storeSub(ctx, tx, &now)
		if err == nil && !ok {
			err = errLost
		}
		return err
	})
	if err == nil {
		*s = now
	}
	return err
}

// send makes the request. why is nil when the receiver has taken it; gone says that it never will.
func (h *Hub) send(ctx context.Context, s *sub, body []byte) (why *fhir.Issue, gone bool) {
	within := longest
	if s.Terms.Within > 0 {
		within = time.Duration(s.Terms.Within) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	header := s.Terms.httpHeader()
	header.Set("Content-Type", "application/fhir+json")
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "Yarrow")
	}
	sign(header, s.Terms.Secret, newID(), h.clock.Now(), body)
	reply, err := h.o.Egress.Do(ctx, egress.Request{Method: http.MethodPost, URL: s.Terms.Endpoint, Header: header, Body: body})
	var i *fhir.Issue
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return notInTime(int(within.Seconds())), false
	case errors.As(err, &i) && i.Code == "forbidden":
		return notReachable(), false
	case err != nil:
		return notHeard(), false
	case reply.Status == http.StatusGone:
		return notWanted(), true
	case reply.Status < 200 || reply.Status > 299:
		return notTaken(reply.Status), false
	}
	return nil, false
}

// sign adds the headers of Standard Webhooks (https://www.standardwebhooks.com), by which a receiver that knows the secret tells
// whether a notification is genuine and fresh.
func sign(h http.Header, secret []byte, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	if len(secret) > 0 {
		h.Set("Webhook-Signature", "v1,"+Signature(secret, id, stamp, body))
	}
}

// Signature is HMAC-SHA256 over "id.timestamp.body" in base64, as Webhook-Signature has it after "v1,".
func Signature(secret []byte, id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(strings.Join([]string{id, timestamp, ""}, ".")))
	m.Write(body)
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// done stores that a note was taken, or that there was nothing that could be told.
func (h *Hub) done(ctx context.Context, p auth.Practice, s *sub, n *note, taken bool) (again bool, err error) {
	err = h.o.DB.Do(ctx, self(p.ID), func(tx *db.Tx) error {
		now, to := *s, s.state
		now.lease, now.due, now.Failures = 0, never, 0 // what had failed is told, or is not to be told any more
		if now.Terms.Beat > 0 {
			now.due = tx.Now().Add(time.Duration(now.Terms.Beat) * time.Second).UnixMicro()
		}
		if n.last > now.sent {
			now.sent = n.last
		}
		if taken {
			now.Problem, now.Remedy, now.FailedAt, now.delivered, now.Shaken, to = "", "", 0, tx.NowMicro(), true, active
		}
		return h.become(ctx, tx, &now, to)
	})
	return err == nil && n.kind != heartbeat, err
}

// failed stores that a note was not taken, and when it is tried again. waits says that it is not the receiver's fault.
func (h *Hub) failed(ctx context.Context, p auth.Practice, s *sub, why *fhir.Issue, gone, waits bool) error {
	err := h.o.DB.Do(ctx, self(p.ID), func(tx *db.Tx) error {
		now, to := *s, s.state
		now.lease = 0
		now.because(why, tx.NowMicro())
		if waits {
			now.Failures = max(now.Failures, 1)
			now.due = tx.Now().Add(time.Hour).UnixMicro()
		} else {
			now.Failures++
			now.due = tx.Now().Add(jobs.Backoff(now.Failures)).UnixMicro()
		}
		if waits || now.Failures >= errorAfter {
			to = failing
		}
		if gone || now.Failures >= offAfter {
			to = off
		}
		return h.become(ctx, tx, &now, to)
	})
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}
