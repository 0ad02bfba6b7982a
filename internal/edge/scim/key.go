package scim

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Key is a key of a practice's directory. Several may stand at once, so that one replaces another without a gap.
type Key struct {
	ID      string
	Name    string
	By      string
	Created time.Time
	Expires time.Time
	Used    time.Time // zero: never
}

const (
	prefix   = "yrw-sc." // lets scanners of leaked secrets recognise a key
	keyLasts = 365 * 24 * time.Hour
	maxKeys  = 5
)

var errKey = errors.New("scim: no such key")

func digest(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

func (s *Server) may(by auth.Staff) error {
	if !by.Can(auth.PracticeAdmin) || !by.Can(auth.UserAdmin) {
		return fhir.Problem("forbidden", "Only an administrator of the practice decides about its directory.", "Ask an administrator.")
	}
	return nil
}

// Keys lists the keys of the caller's practice, the newest first.
func (s *Server) Keys(ctx context.Context, by auth.Staff) (out []Key, err error) {
	if err := s.may(by); err != nil {
		return nil, err
	}
	err = s.db.View(ctx, by, func(tx *db.Tx) error {
		out, err = loadKeys(ctx, tx)
		return err
	})
	return out, err
}

// NewKey makes a key and returns its text, the only time it can be seen. It opens SCIM alone, for a year.
func (s *Server) NewKey(ctx context.Context, by auth.Staff, name string) (text string, err error) {
	if err := s.may(by); err != nil {
		return "", err
	}
	if err := s.auth.Recent(by, auth.StepUpWithin); err != nil {
		return "", err
	}
	if name = strings.Join(strings.Fields(name), " "); name == "" || len([]rune(name)) > 60 {
		return "", fhir.Problem("required", "The key has no name, or too long a one.", "Write in at most 60 characters which directory it is for.").At("name")
	}
	b := make([]byte, 42)
	rand.Read(b)
	text = prefix + base64.RawURLEncoding.EncodeToString(b[:32])
	k := Key{ID: strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[32:])), Name: name, By: by.Name()}
	err = s.db.Do(ctx, by, func(tx *db.Tx) error {
		have, err := loadKeys(ctx, tx)
		if err != nil {
			return err
		}
		if len(have) >= maxKeys {
			return fhir.Problem("business-rule", "There are five keys already.", "End one that is not used any more.").At("name")
		}
		s.audit.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Key", ID: k.ID, Detail: "directory key made"})
		return insertKey(ctx, tx, k, text)
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// EndKey ends a key at once.
func (s *Server) EndKey(ctx context.Context, by auth.Staff, id string) error {
	if err := s.may(by); err != nil {
		return err
	}
	return s.db.Do(ctx, by, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, deleteKey, int64(tx.Practice()), id)
		if err == nil && n == 0 {
			err = fhir.Problem("not-found", "There is no such key.", "Choose from the list.")
		}
		s.audit.Record(tx, audit.Event{Action: audit.ActionPrivilege, Type: "Key", ID: id, Detail: "directory key ended"})
		return err
	})
}

// opens says whether a key opens the practice's directory, and notes now and then that it was used.
func (s *Server) opens(ctx context.Context, p db.PracticeID, text string) error {
	if !strings.HasPrefix(text, prefix) || len(text) != len(prefix)+43 {
		return errKey
	}
	scope := auth.SystemScope(p, "directory")
	var k Key
	err := s.db.View(ctx, scope, func(tx *db.Tx) (err error) {
		k, err = keyOf(ctx, tx, text)
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return errKey
	}
	if err != nil || s.clock.Since(k.Used) < time.Minute {
		return err
	}
	return s.db.Do(ctx, scope, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, useKey, int64(p), k.ID, tx.NowMicro())
		return err
	})
}
