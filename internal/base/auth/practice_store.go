package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// States of practices, people and memberships.
const (
	stateMaking   = "making" // a practice whose store is not there yet
	stateActive   = "active"
	stateDisabled = "disabled"
)

var (
	nextNumber = db.SQL(`INSERT INTO number_series (practice_id, series, last) VALUES ($1, $2, 1)
		ON CONFLICT (practice_id, series) DO UPDATE SET last = number_series.last + 1 RETURNING last`)
	practiceOfSlug      = db.SQL(`SELECT id, state FROM practice WHERE practice_id = $1 AND slug = $2`)
	practiceTaken       = db.SQL(`SELECT COUNT(*) FROM practice WHERE practice_id = $1 AND (id = $2 OR slug = $3)`)
	setPracticeState    = db.SQL(`UPDATE practice SET state = $3 WHERE practice_id = $1 AND id = $2`)
	setPracticeSettings = db.SQL(`UPDATE practice SET idle_s = $3, absolute_s = $4, mfa = $5
		WHERE practice_id = $1 AND id = $2`)
	listPractices = db.SQL(`SELECT p.id, p.slug, p.name, p.idle_s, p.absolute_s, p.mfa,
			s.contract, s.baa_at, s.modules, s.consent_epoch, coalesce(r.only_there, 0), coalesce(r.recovery, '')
		FROM practice p JOIN access_state s ON s.practice_id = $1 AND s.practice = p.id
		LEFT JOIN sign_on_rule r ON r.practice_id = $1 AND r.practice = p.id
		WHERE p.practice_id = $1 AND p.state = $2 ORDER BY p.id`)
	insertPractice = db.InsertInto("practice",
		"practice_id", "id", "slug", "name", "state", "idle_s", "absolute_s", "mfa", "created")

	// The row is locked by touching it, so that two changes at once do not lose one.
	lockAccessState = db.SQL(`UPDATE access_state SET updated = $3 WHERE practice_id = $1 AND practice = $2
		RETURNING contract, baa_at, modules, consent_epoch`)
	updateAccessState = db.SQL(`UPDATE access_state SET contract = $3, baa_at = $4, modules = $5, consent_epoch = $6
		WHERE practice_id = $1 AND practice = $2`)
	insertAccessState = db.InsertInto("access_state",
		"practice_id", "practice", "contract", "baa_at", "modules", "consent_epoch", "updated")
)

// number gives the next number of a series, from 1; a number is never given twice.
func number(ctx context.Context, tx *db.Tx, series string) (n int64, err error) {
	err = tx.QueryRow(ctx, nextNumber, 0, series).Scan(&n)
	return n, err
}

// beginPractice reserves number and slug. existing are the stores that are there, with or without a row here.
func beginPractice(ctx context.Context, tx *db.Tx, slug, name string, existing []db.PracticeID) (db.PracticeID, error) {
	var id int64
	var state string
	err := tx.QueryRow(ctx, practiceOfSlug, 0, slug).Scan(&id, &state)
	switch {
	case err == nil && state == stateMaking:
		return db.PracticeID(id), nil
	case err == nil:
		return 0, fhir.Problem("conflict", "There is a practice with this short name already.", "Choose another one.")
	case !errors.Is(err, db.ErrNoRows):
		return 0, err
	}
	for id == 0 || slices.Contains(existing, db.PracticeID(id)) {
		if id, err = number(ctx, tx, "practice"); err != nil {
			return 0, err
		}
	}
	listPractice(tx, id, slug, name, stateMaking)
	return db.PracticeID(id), nil
}

func listPractice(tx *db.Tx, id int64, slug, name, state string) {
	tx.InsertMany(insertPractice, [][]any{{0, id, slug, name, state,
		int64(DefaultIdle / time.Second), int64(DefaultAbsolute / time.Second), 1, tx.NowMicro()}})
	tx.InsertMany(insertAccessState, [][]any{{0, id, string(ContractActive), 0, "", 0, tx.NowMicro()}})
}

// adoptPractice lists a store that is there already.
func adoptPractice(ctx context.Context, tx *db.Tx, id db.PracticeID, slug, name string) error {
	var taken int64
	err := tx.QueryRow(ctx, practiceTaken, 0, int64(id), slug).Scan(&taken)
	if err != nil {
		return err
	}
	if taken > 0 {
		return fhir.Problem("conflict", "There is a practice with this number or short name already.", "Choose another short name; look at `yarrow practice list`.")
	}
	listPractice(tx, int64(id), slug, name, stateActive)
	return nil
}

func practices(ctx context.Context, tx *db.Tx) ([]Practice, error) {
	rows, err := tx.Query(ctx, listPractices, 0, stateActive)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Practice
	for rows.Next() {
		var p Practice
		var id, idle, absolute, mfa, baa, only int64
		var contract, modules, recovery string
		if err := rows.Scan(&id, &p.Slug, &p.Name, &idle, &absolute, &mfa,
			&contract, &baa, &modules, &p.Access.ConsentEpoch, &only, &recovery); err != nil {
			return nil, err
		}
		p.ID = db.PracticeID(id)
		p.Settings = Settings{Idle: time.Duration(idle) * time.Second, Absolute: time.Duration(absolute) * time.Second, MFA: mfa != 0}
		p.Access.set(contract, baa, modules)
		p.SignOn = signOnRule(only, recovery)
		out = append(out, p)
	}
	return out, rows.Err()
}

func (s *AccessState) set(contract string, baa int64, modules string) {
	s.Contract = Contract(contract)
	if baa != 0 {
		s.BAA = time.UnixMicro(baa).UTC()
	}
	s.Modules = strings.Fields(modules)
}

// accessState reads and locks the state of a practice.
func accessState(ctx context.Context, tx *db.Tx, p db.PracticeID) (s AccessState, err error) {
	var contract, modules string
	var baa int64
	err = tx.QueryRow(ctx, lockAccessState, 0, int64(p), tx.NowMicro()).Scan(&contract, &baa, &modules, &s.ConsentEpoch)
	s.set(contract, baa, modules)
	return s, err
}

func writeAccessState(ctx context.Context, tx *db.Tx, p db.PracticeID, s AccessState) error {
	var baa int64
	if !s.BAA.IsZero() {
		baa = s.BAA.UnixMicro()
	}
	_, err := tx.Exec(ctx, updateAccessState, 0, int64(p), string(s.Contract), baa, strings.Join(s.Modules, " "), s.ConsentEpoch)
	return err
}
