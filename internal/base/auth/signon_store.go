package auth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// States of a link.
const (
	linkExpected = "expected"
	linkLinked   = "linked"
)

var (
	linkOf = db.SQL(`SELECT user_id, body FROM sign_on_link
		WHERE practice_id = $1 AND practice = $2 AND connection = $3 AND state = $4 AND subject = $5`)
	linkOfUser = db.SQL(`SELECT state, subject FROM sign_on_link WHERE practice_id = $1 AND practice = $2 AND connection = $3 AND user_id = $4`)
	linksOf    = db.SQL(`SELECT user_id, state, created, used, body FROM sign_on_link WHERE practice_id = $1 AND practice = $2 AND connection = $3`)
	upsertLink = db.SQL(`INSERT INTO sign_on_link (practice_id, practice, connection, user_id, state, subject, created, used, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (practice_id, practice, connection, user_id) DO UPDATE SET state = $5, subject = $6, used = $8, body = $9`)
	dropLink    = db.SQL(`DELETE FROM sign_on_link WHERE practice_id = $1 AND practice = $2 AND connection = $3 AND user_id = $4`)
	dropLinks   = db.SQL(`DELETE FROM sign_on_link WHERE practice_id = $1 AND practice = $2 AND connection = $3`)
	endSignedOn = db.SQL(`UPDATE session SET ended = $4 WHERE practice_id = $1 AND practice = $2 AND proof & $3 <> 0 AND ended = ''`)

	upsertSignOnRule = db.SQL(`INSERT INTO sign_on_rule (practice_id, practice, only_there, recovery) VALUES ($1, $2, $3, $4)
		ON CONFLICT (practice_id, practice) DO UPDATE SET only_there = $3, recovery = $4`)
)

// linkBody is what is sealed in sign_on_link.body.
type linkBody struct {
	Subject string `json:"subject,omitempty"`
	Mail    string `json:"mail,omitempty"`
}

func linkPlace(p db.PracticeID, connection string, user int64) []byte {
	return fmt.Appendf(nil, "sign_on_link|%d|%s|%d", p, connection, user)
}

func subjectKey(k *keys.Practice, w Assured) int64 {
	return k.Hash("auth.signon", strconv.FormatInt(int64(w.Practice.ID), 10), w.Connection, w.Subject)
}

func expectedKey(k *keys.Practice, p db.PracticeID, connection, mail string) int64 {
	return k.Hash("auth.signon.mail", strconv.FormatInt(int64(p), 10), connection, foldLogin(mail))
}

// whoIs finds the person a provider speaks of; the zero person is nobody.
func whoIs(ctx context.Context, tx *db.Tx, w Assured) (person, error) {
	id, body, err := linked(ctx, tx, w, linkLinked, subjectKey(tx.Keys(), w))
	if err != nil {
		return person{}, err
	}
	if id != 0 {
		if body.Subject != w.Subject {
			return person{}, nil
		}
		return findPerson(ctx, tx, personOfID, w.Practice.ID, id)
	}
	if w.Mail == "" {
		return person{}, nil
	}
	id, body, err = linked(ctx, tx, w, linkExpected, expectedKey(tx.Keys(), w.Practice.ID, w.Connection, w.Mail))
	if err != nil {
		return person{}, err
	}
	if id != 0 && body.Mail == foldLogin(w.Mail) {
		return findPerson(ctx, tx, personOfID, w.Practice.ID, id)
	}
	who, err := findPerson(ctx, tx, personOfLogin, w.Practice.ID, loginKey(tx.Keys(), w.Mail))
	if err != nil || who.id == 0 || foldLogin(who.login) != foldLogin(w.Mail) {
		return person{}, err
	}
	// Somebody who is linked already, or expected under another address, is not taken over by a second account of the provider.
	var state string
	var subject int64
	err = tx.QueryRow(ctx, linkOfUser, 0, int64(w.Practice.ID), w.Connection, who.id).Scan(&state, &subject)
	if errors.Is(err, db.ErrNoRows) {
		return who, nil
	}
	return person{}, err
}

func linked(ctx context.Context, tx *db.Tx, w Assured, state string, key int64) (id int64, b linkBody, err error) {
	var body []byte
	err = tx.QueryRow(ctx, linkOf, 0, int64(w.Practice.ID), w.Connection, state, key).Scan(&id, &body)
	if errors.Is(err, db.ErrNoRows) {
		return 0, b, nil
	}
	if err != nil {
		return 0, b, err
	}
	return id, b, openJSON(tx.Keys(), linkPlace(w.Practice.ID, w.Connection, id), body, &b)
}

// useLink links the person to the subject, or notes that the link was used. It fails with errSpent when somebody else was quicker.
func useLink(ctx context.Context, tx *db.Tx, w Assured, user int64) error {
	now, err := whoIs(ctx, tx, w)
	if err != nil {
		return err
	}
	if now.id != user {
		return errSpent
	}
	body, err := sealJSON(tx.Keys(), linkPlace(w.Practice.ID, w.Connection, user), linkBody{w.Subject, foldLogin(w.Mail)})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, upsertLink, 0, int64(w.Practice.ID), w.Connection, user, linkLinked, subjectKey(tx.Keys(), w), tx.NowMicro(), tx.NowMicro(), body)
	return err
}

func expectLink(ctx context.Context, tx *db.Tx, p db.PracticeID, connection string, user int64, mail string) error {
	key := expectedKey(tx.Keys(), p, connection, mail)
	id, _, err := linked(ctx, tx, Assured{Practice: Practice{ID: p}, Connection: connection}, linkExpected, key)
	if err != nil {
		return err
	}
	if id != 0 && id != user {
		return fhir.Problem("conflict", "Somebody else is expected with this address.", "Look at the list, and choose another one.").At("mail")
	}
	body, err := sealJSON(tx.Keys(), linkPlace(p, connection, user), linkBody{Mail: mail})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, upsertLink, 0, int64(p), connection, user, linkExpected, key, tx.NowMicro(), 0, body)
	return err
}

func links(ctx context.Context, tx *db.Tx, p db.PracticeID, connection string) (out []SignOnLink, err error) {
	rows, err := tx.Query(ctx, linksOf, 0, int64(p), connection)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		l := SignOnLink{Connection: connection}
		var state string
		var created, used int64
		var body []byte
		if err := rows.Scan(&l.User, &state, &created, &used, &body); err != nil {
			return nil, err
		}
		var b linkBody
		if err := openJSON(tx.Keys(), linkPlace(p, connection, l.User), body, &b); err != nil {
			return nil, err
		}
		l.Mail, l.Linked, l.Created = b.Mail, state == linkLinked, instant(created)
		if used != 0 {
			l.Used = instant(used)
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

func setSignOnRule(ctx context.Context, tx *db.Tx, p db.PracticeID, r SignOnRule) error {
	var ids []string
	for _, id := range r.Recovery {
		ids = append(ids, strconv.FormatInt(id, 10))
	}
	_, err := tx.Exec(ctx, upsertSignOnRule, 0, int64(p), oneIf(r.Only), strings.Join(ids, " "))
	return err
}

// signOnRule reads a rule as it is stored.
func signOnRule(only int64, recovery string) (r SignOnRule) {
	r.Only = only != 0
	for _, f := range strings.Fields(recovery) {
		if id, err := strconv.ParseInt(f, 10, 64); err == nil {
			r.Recovery = append(r.Recovery, id)
		}
	}
	return r
}
