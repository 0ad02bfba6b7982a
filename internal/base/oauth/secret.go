package oauth

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// LongestOverlap is how long at most a secret goes on working beside the one that replaced it.
const LongestOverlap = 30 * 24 * time.Hour

// Shared is what is known of a secret that was given out; the secret itself is kept as a hash only.
type Shared struct {
	Since time.Time // when it was given out; zero: it was not noted
	Used  time.Time // the minute in which a program last proved itself by it; zero: never
	Until time.Time // when it stops working; zero: it is the present one
}

// formerBody is the secret before the present one, as it is sealed with the client.
type formerBody struct {
	Hash  []byte    `json:"hash"` // SHA-256 of 256 random bits
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until"`
}

func (c *Client) formerBody() *formerBody {
	if c.earlier.Until.IsZero() {
		return nil
	}
	return &formerBody{c.former[:], c.earlier.Since, c.earlier.Until}
}

// Secrets lists the secrets by which the client can prove itself at a time: the present one, then the one before it while it still
// works. Clients of other kinds have none.
func (c *Client) Secrets(now time.Time) []Shared {
	switch {
	case c.Kind != Secret:
		return nil
	case now.Before(c.earlier.Until):
		return []Shared{c.present, c.earlier}
	}
	return []Shared{c.present}
}

// opens says whether a text is a secret of the client, and whether it is the former one. Both are compared each time, so that the
// time of an answer does not tell which of them exists or has ended.
func (c *Client) opens(secret string, now time.Time) (former, ok bool) {
	given := digest(secret)
	present := subtle.ConstantTimeCompare(given[:], c.secret[:]) == 1
	former = subtle.ConstantTimeCompare(given[:], c.former[:]) == 1 && now.Before(c.earlier.Until)
	return former, present || former
}

// NewSecret gives a client another secret, which is returned once. The old one goes on working for the overlap, so that the program
// can be told without a pause; with 0 it opens nothing any more. At most two work at a time: one that was still working from the
// replacement before ends now.
func (s *Server) NewSecret(ctx context.Context, by db.Scope, id string, overlap time.Duration) (secret string, err error) {
	if err := s.auth.RecentIfStaff(by); err != nil {
		return "", err
	}
	if overlap < 0 || overlap > LongestOverlap {
		return "", fhir.Problem("value", "An old secret works for at most 30 days beside the new one.", "Choose a time between 0 and 30 days.").At("overlap")
	}
	what := "secret of a program replaced"
	if overlap > 0 {
		what += fmt.Sprintf("; the one before it works for %.0f hours more", overlap.Hours())
	}
	err = s.edit(ctx, by, id, what, func(c *Client) error {
		if c.Kind != Secret {
			return fhir.Problem("business-rule", "This program has no secret.", "Public programs have none, and programs with keys sign instead.")
		}
		now := s.clock.Now()
		c.former, c.earlier = [len(c.former)]byte{}, Shared{}
		if overlap > 0 {
			c.former, c.earlier = c.secret, c.present
			c.earlier.Until = now.Add(overlap)
		}
		secret = random(prefixSecret)
		c.secret, c.present = digest(secret), Shared{Since: now}
		return nil
	})
	return secret, err
}

// EndFormer stops the secret before the present one, which was left working when it was replaced.
func (s *Server) EndFormer(ctx context.Context, by db.Scope, id string) error {
	return s.edit(ctx, by, id, "former secret of a program ended", func(c *Client) error {
		if len(c.Secrets(s.clock.Now())) < 2 {
			return fhir.Problem("conflict", "No earlier secret of this program works any more.", "Look at the program again.")
		}
		c.former, c.earlier = [len(c.former)]byte{}, Shared{}
		return nil
	})
}

// secretUse names a secret in memory.
type secretUse struct {
	practice db.PracticeID
	client   string
	version  int64
	former   bool
}

// noteSecret stores in which minute a secret was last used: one small write a minute and process, however often it is used.
func (s *Server) noteSecret(ctx context.Context, p db.PracticeID, c *Client, former bool) error {
	minute, key := s.clock.Now().Truncate(time.Minute), secretUse{p, c.ID, c.Version, former}
	s.mu.Lock()
	done := s.noted[key].Equal(minute)
	s.mu.Unlock()
	if done {
		return nil
	}
	q := usePresent
	if former {
		q = useFormer
	}
	if err := s.db.Do(ctx, work(p), func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, q, int64(p), c.ID, c.Version, minute.UnixMicro())
		return err
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.noted) >= maxRemembered {
		clear(s.noted)
	}
	s.noted[key] = minute
	return nil
}
