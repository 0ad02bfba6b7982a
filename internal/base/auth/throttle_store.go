package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Failed sign-ins slow down what comes after them, never more than minutes, and never for a person's own devices:
//
//	login and address together   slow after 5 failures, up to 15 minutes
//	login from anywhere          slow after 10, up to a minute; after 100 (NIST SP 800-63B-4 §3.2.2) 15 minutes
//	address, whatever login      slow after 100, up to 5 minutes
//	a known device               counted on its own, slow after 5; after 10 it is no longer known
//
// A passkey is not throttled: it cannot be guessed. An attacker who fails on purpose therefore slows strangers'
// devices only. The count is raised before the password is looked at, so that attempts side by side gain nothing.
type throttleKind struct {
	name    string
	free    int64 // failures without delay
	cap     time.Duration
	hard    int64 // from here on hardCap holds; 0 never
	hardCap time.Duration
	quiet   time.Duration // failures this old are forgotten
}

var (
	byPair    = throttleKind{name: "login+address", free: 5, cap: 15 * time.Minute, quiet: time.Hour}
	byLogin   = throttleKind{name: "login", free: 10, cap: time.Minute, hard: 100, hardCap: 15 * time.Minute, quiet: 24 * time.Hour}
	byAddress = throttleKind{name: "address", free: 100, cap: 5 * time.Minute, quiet: time.Hour}
	byDevice  = throttleKind{name: "device", free: 5, cap: 15 * time.Minute, quiet: time.Hour}
)

// deviceFailures is after how many failures a device is forgotten.
const deviceFailures = 10

// delay is how long after the last of n failures nothing is tried.
func (k throttleKind) delay(n int64) time.Duration {
	if k.hard > 0 && n >= k.hard {
		return k.hardCap
	}
	if n < k.free {
		return 0
	}
	return min(time.Second<<min(n-k.free, 20), k.cap)
}

// subject is one thing that is counted.
type subject struct {
	kind     throttleKind
	key      int64 // keyed hash
	failures int64
}

var (
	// Touching the row locks it, so that attempts side by side are counted one after another.
	lockThrottle = db.SQL(`INSERT INTO sign_in_throttle (practice_id, subject, failures, last_at) VALUES ($1, $2, 0, 0)
		ON CONFLICT (practice_id, subject) DO UPDATE SET subject = sign_in_throttle.subject RETURNING failures, last_at`)
	setThrottle   = db.SQL(`UPDATE sign_in_throttle SET failures = $3, last_at = $4 WHERE practice_id = $1 AND subject = $2`)
	clearThrottle = db.SQL(`DELETE FROM sign_in_throttle WHERE practice_id = $1 AND subject {in $2}`)
	sweepThrottle = db.SQL(`DELETE FROM sign_in_throttle WHERE practice_id = $1 AND last_at < $2`)
)

// errTooSoon says that nothing was tried.
type errTooSoon struct{ wait time.Duration }

func (e errTooSoon) Error() string {
	return fmt.Sprintf("auth: sign-in refused for another %s", e.wait)
}

// RetryAfter says how long a refused sign-in has to wait, for the Retry-After header; 0 for other errors.
func RetryAfter(err error) time.Duration {
	var e errTooSoon
	if errors.As(err, &e) {
		return e.wait
	}
	return 0
}

// issue is the same for every login, known or not.
func (e errTooSoon) issue() *fhir.Issue {
	return fhir.Problem("throttled", "There were too many failed sign-ins.",
		fmt.Sprintf("Wait %s, or use a passkey or a device you have signed in from before. "+
			"If it was not you who tried, tell an administrator.", inWords(e.wait))).Because(e)
}

func inWords(d time.Duration) string {
	if d > time.Minute {
		return fmt.Sprintf("%d minutes", (d+time.Minute-1)/time.Minute)
	}
	return fmt.Sprintf("%d seconds", max(1, (d+time.Second-1)/time.Second))
}

// count raises the failures of subjects in advance, or refuses with errTooSoon when one of them must wait. On a
// refusal the transaction must be rolled back.
func count(ctx context.Context, tx *db.Tx, subjects []subject) error {
	slices.SortFunc(subjects, func(a, b subject) int { return compare(a.key, b.key) }) // one order of locks
	now := tx.Now()
	var wait time.Duration
	for i := range subjects {
		s := &subjects[i]
		var last int64
		if err := tx.QueryRow(ctx, lockThrottle, 0, s.key).Scan(&s.failures, &last); err != nil {
			return err
		}
		since := max(now.Sub(time.UnixMicro(last)), 0) // the clock may have been set back
		if since > s.kind.quiet {
			s.failures = 0
		}
		wait = max(wait, s.kind.delay(s.failures)-since)
	}
	if wait > 0 {
		return errTooSoon{wait}
	}
	for i := range subjects {
		subjects[i].failures++
		tx.Queue(setThrottle, 0, subjects[i].key, subjects[i].failures, now.UnixMicro())
	}
	return nil
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// uncount forgets the failures of subjects after a success. Those of the address stay: one good account must not
// wash an address clean.
func uncount(ctx context.Context, tx *db.Tx, subjects []subject) error {
	var list []int64
	for _, s := range subjects {
		if s.kind.name != byAddress.name {
			list = append(list, s.key)
		} else {
			tx.Queue(setThrottle, 0, s.key, s.failures-1, tx.NowMicro())
		}
	}
	_, err := tx.Exec(ctx, clearThrottle, 0, list)
	return err
}

// addressPrefix is the network an address counts as: /24 of IPv4, /56 of IPv6. What is no address counts as itself.
func addressPrefix(remote string) string {
	host := remote
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		host = ap.Addr().String()
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return remote
	}
	addr = addr.Unmap().WithZone("")
	bits := 56
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return remote
	}
	return p.String()
}
