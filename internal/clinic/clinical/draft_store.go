package clinical

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// How a line of the log was written (note_words.late).
const (
	onTime    = 0 // by the holder of the pen
	afterHand = 1 // by a window that had lost the pen, not yet looked at
	lookedAt  = 2 // as afterHand, and somebody has looked at it
)

// keepEvery is the grain of the log's past: within it only a window's newest save is
// kept, so an hour of typing leaves sixty snapshots and not thousands.
const keepEvery = int64(time.Minute / time.Microsecond)

var (
	insDraft = db.InsertInto("note_draft", "practice_id", "draft", "patient", "author", "state", "pen", "writer", "writer_user", "seen", "version", "started", "head")
	insWords = db.InsertInto("note_words", "practice_id", "draft", "writer", "seq", "pen", "late", "user_id", "saved", "body").OrIgnore()

	selDraft = db.SQL(`SELECT author, state, pen, writer, writer_user, seen, version, started, head
		FROM note_draft WHERE practice_id = $1 AND draft = $2`)
	selOfPatient = db.SQL(`SELECT draft, author, state, pen, writer, writer_user, seen, version, started, head
		FROM note_draft WHERE practice_id = $1 AND patient = $2 AND state = 0 ORDER BY started DESC, draft`)
	selByAuthor = db.SQL(`SELECT draft, author, state, pen, writer, writer_user, seen, version, started, head
		FROM note_draft WHERE practice_id = $1 AND author = $2 AND state = 0 ORDER BY started, draft`)
	selOpen = db.SQL(`SELECT draft, author, state, pen, writer, writer_user, seen, version, started, head
		FROM note_draft WHERE practice_id = $1 AND state = $2 ORDER BY started, draft`)
	selNewest = db.SQL(`SELECT seq, saved, body FROM note_words
		WHERE practice_id = $1 AND draft = $2 AND writer = $3 AND late = 0 ORDER BY pen DESC, seq DESC LIMIT 1`)
	selOthers = db.SQL(`SELECT writer, seq, saved, body FROM note_words
		WHERE practice_id = $1 AND draft = $2 AND late = 1 ORDER BY writer, seq DESC`)
	selAt  = db.SQL(`SELECT body FROM note_words WHERE practice_id = $1 AND draft = $2 AND writer = $3 AND seq = $4`)
	selSeq = db.SQL(`SELECT COALESCE(MAX(seq), 0) FROM note_words WHERE practice_id = $1 AND draft = $2 AND writer = $3`)
	updPen = db.SQL(`UPDATE note_draft SET pen = $3, writer = $4, writer_user = $5, seen = $6, version = version + 1
		WHERE practice_id = $1 AND draft = $2`)
	updTouch = db.SQL(`UPDATE note_draft SET seen = $3, version = version + 1 WHERE practice_id = $1 AND draft = $2`)
	updState = db.SQL(`UPDATE note_draft SET state = $3, version = version + 1 WHERE practice_id = $1 AND draft = $2`)
	updHead  = db.SQL(`UPDATE note_draft SET head = $3 WHERE practice_id = $1 AND draft = $2`)
	updSeen  = db.SQL(`UPDATE note_words SET late = 2
		WHERE practice_id = $1 AND draft = $2 AND writer = $3 AND seq <= $4 AND late = 1`)
	delThin = db.SQL(`DELETE FROM note_words
		WHERE practice_id = $1 AND draft = $2 AND writer = $3 AND seq < $4 AND late = $5 AND saved >= $6 AND seq > 0`)
	delOldWords = db.SQL(`DELETE FROM note_words WHERE practice_id = $1 AND draft IN
		(SELECT d.draft FROM note_draft d WHERE d.practice_id = $1 AND d.state <> 0 AND d.seen < $2)`)
	delOldDrafts  = db.SQL(`DELETE FROM note_draft WHERE practice_id = $1 AND state <> 0 AND seen < $2`)
	delAllButLast = db.SQL(`DELETE FROM note_words WHERE practice_id = $1 AND draft = $2
		AND seq < (SELECT MAX(w.seq) FROM note_words w
			WHERE w.practice_id = $1 AND w.draft = $2 AND w.writer = note_words.writer)`)
)

func insertDraft(ctx context.Context, tx *db.Tx, id string, h head, author int64, writer string) error {
	now := tx.NowMicro()
	tx.InsertMany(insDraft, [][]any{{int64(tx.Practice()), id, patientKey(tx, h.Patient), author, int64(DraftOpen), int64(1), writer, author, now, int64(1), now, sealHead(tx, id, h)}})
	return nil
}

func insertWords(ctx context.Context, tx *db.Tx, draft, writer string, seq, pen int64, late int, w words) error {
	tx.InsertMany(insWords, [][]any{{int64(tx.Practice()), draft, writer, seq, pen, int64(late), tx.Scope().Actor().UserID, tx.NowMicro(), sealWords(tx, draft, writer, seq, w)}})
	return nil
}

// appendWords adds a save to the log unless a later one of the same window is already
// there with the same standing, and thins the window's own past to one save a minute.
func appendWords(ctx context.Context, tx *db.Tx, dr *Draft, in Save, late int, w words) error {
	if err := insertWords(ctx, tx, dr.ID, in.Writer, in.Seq, in.Pen, late, w); err != nil {
		return err
	}
	minute := tx.NowMicro() / keepEvery * keepEvery
	tx.Queue(delThin, int64(tx.Practice()), dr.ID, in.Writer, in.Seq, int64(late), minute)
	return nil
}

// freeSeq is the counter to save under: the one given if it is free or holds the same
// words already, else the next one.
func freeSeq(ctx context.Context, tx *db.Tx, dr *Draft, in Save) (int64, error) {
	var body []byte
	err := tx.QueryRow(ctx, selAt, int64(tx.Practice()), dr.ID, in.Writer, in.Seq).Scan(&body)
	if errors.Is(err, db.ErrNoRows) {
		return in.Seq, nil
	}
	if err != nil {
		return 0, err
	}
	w, err := openWords(tx, dr.ID, in.Writer, in.Seq, body)
	if err != nil || w.Text.Equal(in.Text) {
		return in.Seq, err
	}
	return dr.Seq + 1, nil
}

// standing tells how words that come after the pen has passed on are kept: apart and to
// be looked at, or, when they say nothing the window had not saved in time, as known.
func standing(ctx context.Context, tx *db.Tx, in Save) (int, error) {
	var seq, saved int64
	var body []byte
	err := tx.QueryRow(ctx, selNewest, int64(tx.Practice()), in.DraftID, in.Writer).Scan(&seq, &saved, &body)
	if errors.Is(err, db.ErrNoRows) {
		return afterHand, nil
	}
	if err != nil {
		return afterHand, err
	}
	w, err := openWords(tx, in.DraftID, in.Writer, seq, body)
	if err == nil && (w.Text.Equal(in.Text) || seq >= in.Seq) {
		return lookedAt, nil
	}
	return afterHand, err
}

func nextSeq(ctx context.Context, tx *db.Tx, draft, writer string) (int64, error) {
	var n int64
	err := tx.QueryRow(ctx, selSeq, int64(tx.Practice()), draft, writer).Scan(&n)
	return n + 1, err
}

func setPen(ctx context.Context, tx *db.Tx, draft string, gen int64, writer string, user int64) error {
	_, err := tx.Exec(ctx, updPen, int64(tx.Practice()), draft, gen, writer, user, tx.NowMicro())
	return err
}

func touchPen(ctx context.Context, tx *db.Tx, draft string) error {
	tx.Queue(updTouch, int64(tx.Practice()), draft, tx.NowMicro())
	return nil
}

func setState(ctx context.Context, tx *db.Tx, draft string, state DraftState) error {
	_, err := tx.Exec(ctx, updState, int64(tx.Practice()), draft, int64(state))
	return err
}

func setSeen(ctx context.Context, tx *db.Tx, draft, writer string, upTo int64) error {
	_, err := tx.Exec(ctx, updSeen, int64(tx.Practice()), draft, writer, upTo)
	return err
}

// closeSigned marks a draft signed, remembers its note, and drops all but each window's last words.
func closeSigned(ctx context.Context, tx *db.Tx, dr *Draft, noteID string) error {
	h := head{Patient: dr.PatientID, Encounter: dr.EncounterID, Template: dr.TemplateID, Type: dr.Type, TypeName: dr.TypeName, Title: dr.Title, Author: dr.Author, Note: noteID}
	tx.Queue(updHead, int64(tx.Practice()), dr.ID, sealHead(tx, dr.ID, h))
	tx.Queue(delAllButLast, int64(tx.Practice()), dr.ID)
	return setState(ctx, tx, dr.ID, DraftSigned)
}

func readDraft(ctx context.Context, tx *db.Tx, id, writer string) (*Draft, error) {
	dr := &Draft{ID: id}
	var state, seen, started int64
	var sealed []byte
	err := tx.QueryRow(ctx, selDraft, int64(tx.Practice()), id).
		Scan(&dr.AuthorID, &state, &dr.Pen.Generation, &dr.Pen.Writer, &dr.Pen.UserID, &seen, &dr.Version, &started, &sealed)
	if err != nil {
		return nil, err
	}
	if err := dr.fill(tx, state, seen, started, sealed); err != nil {
		return nil, err
	}
	var seq, saved int64
	var body []byte
	err = tx.QueryRow(ctx, selNewest, int64(tx.Practice()), id, dr.Pen.Writer).Scan(&seq, &saved, &body)
	if err != nil {
		return nil, err
	}
	w, err := openWords(tx, id, dr.Pen.Writer, seq, body)
	if err != nil {
		return nil, err
	}
	dr.Text, dr.Pen.Name, dr.Saved = w.Text, w.Name, time.UnixMicro(saved).UTC()
	dr.Mine = writer != "" && writer == dr.Pen.Writer
	if writer != "" {
		if dr.Seq, err = nextSeq(ctx, tx, id, writer); err != nil {
			return nil, err
		}
		dr.Seq--
	}
	return dr, dr.others(ctx, tx)
}

// others reads the newest unseen words of every window that lost the pen.
func (dr *Draft) others(ctx context.Context, tx *db.Tx) error {
	rows, err := tx.Query(ctx, selOthers, int64(tx.Practice()), dr.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var writer string
		var seq, saved int64
		var body []byte
		if err := rows.Scan(&writer, &seq, &saved, &body); err != nil {
			return err
		}
		if n := len(dr.Others); n > 0 && dr.Others[n-1].Writer == writer {
			continue // older words of the same window
		}
		w, err := openWords(tx, dr.ID, writer, seq, body)
		if err != nil {
			return err
		}
		dr.Others = append(dr.Others, OtherText{Writer: writer, Seq: seq, Name: w.Name, When: time.UnixMicro(saved).UTC(), Text: w.Text})
	}
	sort.SliceStable(dr.Others, func(a, b int) bool { return dr.Others[a].When.Before(dr.Others[b].When) })
	return rows.Err()
}

func draftsOf(ctx context.Context, tx *db.Tx, patientID string) ([]Draft, error) {
	return listDrafts(ctx, tx, selOfPatient, patientKey(tx, patientID))
}

func draftsBy(ctx context.Context, tx *db.Tx, user int64) ([]Draft, error) {
	return listDrafts(ctx, tx, selByAuthor, user)
}

func draftsOpen(ctx context.Context, tx *db.Tx) ([]Draft, error) {
	return listDrafts(ctx, tx, selOpen, int64(DraftOpen))
}

func listDrafts(ctx context.Context, tx *db.Tx, q *db.Stmt, key int64) ([]Draft, error) {
	rows, err := tx.Query(ctx, q, int64(tx.Practice()), key)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Draft
	for rows.Next() {
		var dr Draft
		var state, seen, started int64
		var sealed []byte
		if err := rows.Scan(&dr.ID, &dr.AuthorID, &state, &dr.Pen.Generation, &dr.Pen.Writer, &dr.Pen.UserID, &seen, &dr.Version, &started, &sealed); err != nil {
			return nil, err
		}
		if err := dr.fill(tx, state, seen, started, sealed); err != nil {
			return nil, err
		}
		out = append(out, dr)
	}
	return out, rows.Err()
}

func (dr *Draft) fill(tx *db.Tx, state, seen, started int64, sealed []byte) error {
	plain, err := tx.Keys().Open(nil, sealed, aad(tx, dr.ID, "", 0))
	if err != nil {
		return err
	}
	var h head
	if err := json.Unmarshal(plain, &h); err != nil {
		return err
	}
	dr.PatientID, dr.EncounterID, dr.TemplateID, dr.Type, dr.TypeName, dr.Title, dr.Author, dr.NoteID = h.Patient, h.Encounter, h.Template, h.Type, h.TypeName, h.Title, h.Author, h.Note
	dr.State, dr.Pen.Seen, dr.Started, dr.Saved = DraftState(state), time.UnixMicro(seen).UTC(), time.UnixMicro(started).UTC(), time.UnixMicro(seen).UTC()
	return nil
}

func patientKey(tx *db.Tx, id string) int64 { return tx.Keys().Hash("draft-patient", id) }

func aad(tx *db.Tx, draft, writer string, seq int64) []byte {
	return []byte(strconv.FormatInt(int64(tx.Practice()), 10) + "|draft|" + draft + "|" + writer + "|" + strconv.FormatInt(seq, 10))
}

func sealHead(tx *db.Tx, id string, h head) []byte {
	return tx.Keys().Seal(nil, mustJSON(h), aad(tx, id, "", 0))
}

func sealWords(tx *db.Tx, draft, writer string, seq int64, w words) []byte {
	return tx.Keys().Seal(nil, packer.EncodeAll(mustJSON(w), nil), aad(tx, draft, writer, seq))
}

func openWords(tx *db.Tx, draft, writer string, seq int64, body []byte) (words, error) {
	var w words
	packed, err := tx.Keys().Open(nil, body, aad(tx, draft, writer, seq))
	if err != nil {
		return w, err
	}
	plain, err := unpacker.DecodeAll(packed, nil)
	if err != nil {
		return w, fhir.Problem("exception", "This draft is damaged.", "Tell your administrator: the database must be checked.").Because(err)
	}
	return w, json.Unmarshal(plain, &w)
}

// EncodeAll and DecodeAll of these are safe for concurrent use.
var (
	packer   = must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)))
	unpacker = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4<<20)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("clinical: %v", err))
	}
	return v
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
