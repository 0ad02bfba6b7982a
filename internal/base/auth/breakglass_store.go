package auth

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

var (
	insertOpening  = db.InsertInto("break_glass", "practice_id", "id", "user_id", "patient", "opened", "until", "due", "reviewed", "body")
	selectOpen     = db.SQL(`SELECT id, user_id, until, body FROM break_glass WHERE practice_id = $1 AND until > $2 ORDER BY id`)
	countOpen      = db.SQL(`SELECT count(*) FROM break_glass WHERE practice_id = $1 AND user_id = $2 AND until > $3`)
	endOpening     = db.SQL(`UPDATE break_glass SET until = $4 WHERE practice_id = $1 AND user_id = $2 AND patient = $3 AND until > $4`)
	openingColumns = `SELECT id, user_id, opened, until, due, reviewed, body FROM break_glass WHERE practice_id = $1 AND `
	selectOpening  = db.SQLPair(openingColumns+`id = $2`, openingColumns+`id = $2 FOR UPDATE`)
	waiting        = db.SQL(openingColumns + `reviewed = 0 ORDER BY due, id LIMIT 200`)
	looked         = db.SQL(openingColumns + `reviewed > 0 ORDER BY reviewed DESC, id LIMIT 200`)
	setReviewed    = db.SQL(`UPDATE break_glass SET reviewed = $3, body = $4 WHERE practice_id = $1 AND id = $2`)

	insertNotice = db.InsertInto("notice", "practice_id", "id", "permission", "kind", "at", "seen", "body")
	unseen       = db.SQL(`SELECT id, permission, kind, at, body FROM notice WHERE practice_id = $1 AND seen = 0 AND permission {in $2} ORDER BY at DESC, id LIMIT 100`)
	seeNotice    = db.SQL(`UPDATE notice SET seen = $4 WHERE practice_id = $1 AND id = $2 AND permission {in $3} AND seen = 0`)
)

// openingBody is what is sealed in break_glass.body.
type openingBody struct {
	Name       string `json:"name"`
	Patient    string `json:"patient"`
	Reason     string `json:"reason"`
	Text       string `json:"text"`
	ReviewedBy string `json:"by,omitempty"`
	Justified  bool   `json:"justified,omitempty"`
	Note       string `json:"note,omitempty"`
}

func openingPlace(id int64) []byte { return fmt.Appendf(nil, "break_glass|%d", id) }

// newNumber is a random positive number.
func newNumber() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

func (o Opening) seal(k *keys.Practice) ([]byte, error) {
	return sealJSON(k, openingPlace(o.ID), openingBody{o.Name, o.Patient, o.Reason, o.Text, o.ReviewedBy, o.Justified, o.Note})
}

func saveOpening(ctx context.Context, tx *db.Tx, o Opening) error {
	body, err := o.seal(tx.Keys())
	if err != nil {
		return err
	}
	// A second opening of the same chart takes the place of the first.
	if err := endOpenings(ctx, tx, o.User, o.Patient); err != nil {
		return err
	}
	tx.InsertMany(insertOpening, [][]any{{int64(tx.Practice()), o.ID, o.User, patientKey(tx, o.Patient), o.Opened.UnixMicro(), o.Until.UnixMicro(),
		o.Due.UnixMicro(), 0, body}})
	return nil
}

func endOpenings(ctx context.Context, tx *db.Tx, user int64, patient string) error {
	_, err := tx.Exec(ctx, endOpening, int64(tx.Practice()), user, patientKey(tx, patient), tx.NowMicro())
	return err
}

func openNow(ctx context.Context, tx *db.Tx, user int64) (n int64, err error) {
	err = tx.QueryRow(ctx, countOpen, int64(tx.Practice()), user, tx.NowMicro()).Scan(&n)
	return n, err
}

func openingsAfter(ctx context.Context, tx *db.Tx, now int64) ([]opening, error) {
	rows, err := tx.Query(ctx, selectOpen, int64(tx.Practice()), now)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []opening
	for rows.Next() {
		var id, user, until int64
		var body []byte
		if err := rows.Scan(&id, &user, &until, &body); err != nil {
			return nil, err
		}
		var b openingBody
		if err := openJSON(tx.Keys(), openingPlace(id), body, &b); err != nil {
			return nil, err
		}
		out = append(out, opening{user, b.Patient, instant(until)})
	}
	return out, rows.Err()
}

func scanOpening(tx *db.Tx, row interface{ Scan(...any) error }) (o Opening, err error) {
	var opened, until, due, reviewed int64
	var body []byte
	if err := row.Scan(&o.ID, &o.User, &opened, &until, &due, &reviewed, &body); err != nil {
		return o, err
	}
	var b openingBody
	if err := openJSON(tx.Keys(), openingPlace(o.ID), body, &b); err != nil {
		return o, err
	}
	o.Name, o.Patient, o.Reason, o.Text, o.ReviewedBy, o.Justified, o.Note = b.Name, b.Patient, b.Reason, b.Text, b.ReviewedBy, b.Justified, b.Note
	o.Opened, o.Until, o.Due = instant(opened), instant(until), instant(due)
	if reviewed != 0 {
		o.Reviewed = instant(reviewed)
	}
	return o, nil
}

func openingByID(ctx context.Context, tx *db.Tx, id int64) (Opening, error) {
	o, err := scanOpening(tx, tx.QueryRow(ctx, selectOpening, int64(tx.Practice()), id))
	if errors.Is(err, db.ErrNoRows) {
		err = fhir.Problem("not-found", "There is no such opening.", "Choose from the list.")
	}
	return o, err
}

func listOpenings(ctx context.Context, tx *db.Tx, reviewed bool) ([]Opening, error) {
	st := waiting
	if reviewed {
		st = looked
	}
	rows, err := tx.Query(ctx, st, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Opening
	for rows.Next() {
		o, err := scanOpening(tx, rows)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

func reviewOpening(ctx context.Context, tx *db.Tx, o Opening) error {
	body, err := o.seal(tx.Keys())
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, setReviewed, int64(tx.Practice()), o.ID, micro(o.Reviewed), body)
	return err
}

// noticeBody is what is sealed in notice.body.
type noticeBody struct {
	Patient string `json:"patient,omitempty"`
	Person  string `json:"person,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Ref     int64  `json:"ref,omitempty"`
	Device  string `json:"device,omitempty"`
}

func noticePlace(id int64) []byte { return fmt.Appendf(nil, "notice|%d", id) }

func saveNotice(tx *db.Tx, n Notice) error {
	body, err := sealJSON(tx.Keys(), noticePlace(n.ID), noticeBody{n.Patient, n.Person, n.Detail, n.Ref, n.Device})
	if err != nil {
		return err
	}
	tx.InsertMany(insertNotice, [][]any{{int64(tx.Practice()), n.ID, string(n.For), n.Kind, tx.NowMicro(), 0, body}})
	return nil
}

func listNotices(ctx context.Context, tx *db.Tx, held []string) ([]Notice, error) {
	if len(held) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, unseen, int64(tx.Practice()), held)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Notice
	for rows.Next() {
		var n Notice
		var permission string
		var at int64
		var body []byte
		if err := rows.Scan(&n.ID, &permission, &n.Kind, &at, &body); err != nil {
			return nil, err
		}
		var b noticeBody
		if err := openJSON(tx.Keys(), noticePlace(n.ID), body, &b); err != nil {
			return nil, err
		}
		n.For, n.At = Permission(permission), time.UnixMicro(at).UTC()
		n.Patient, n.Person, n.Detail, n.Ref, n.Device = b.Patient, b.Person, b.Detail, b.Ref, b.Device
		out = append(out, n)
	}
	return out, rows.Err()
}

func markNotice(ctx context.Context, tx *db.Tx, id int64, held []string) error {
	if len(held) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, seeNotice, int64(tx.Practice()), id, held, tx.NowMicro())
	return err
}
