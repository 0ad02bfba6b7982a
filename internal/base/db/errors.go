package db

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"yarrow.health/internal/standards/fhir"
)

var errBadID = errors.New("db: a practice is numbered from 1")

// IsUnique says whether err is the violation of a primary key or unique index.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	return errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) || errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY)
}

// isRetry says whether the transaction is to be run again: serialization failure, deadlock, or a lock that did not come in
// the time that Tx.Hurried allows, which is a deadlock noticed early.
func isRetry(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "55P03")
}

func noPractice(id PracticeID) error {
	return fhir.Problem("not-found", fmt.Sprintf("There is no practice %d here.", id),
		"Check the practice's name, or list the practices with `yarrow practice list`.")
}

// notStored is the answer when the disk or the database failed: nothing was acknowledged, nothing may be assumed
// kept. The two cases people can act on are named.
func notStored(err error) error {
	var issue *fhir.Issue
	if errors.As(err, &issue) {
		return err
	}
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, sqlite3.FULL), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT),
		errors.Is(err, syscall.EFBIG), errors.As(err, &pg) && pg.Code == "53100":
		return fhir.Problem("no-store", "The disk is full. Nothing was saved.",
			"Free some space on the disk that holds the data, then try again.").Because(err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, sqlite3.READONLY):
		return fhir.Problem("no-store", "The data may not be written. Nothing was saved.",
			"Give the account that runs Yarrow write permission on the data folder.").Because(err)
	}
	return fhir.Problem("exception", "The data could not be saved, because the disk or the database reported an error. Nothing was saved.",
		"Try again. If it happens again, look at the log and at the disk's health.").Because(err)
}

// isStorage says whether err comes from the disk beneath SQLite rather than from the statement.
func isStorage(err error) bool {
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case sqlite3.FULL, sqlite3.IOERR, sqlite3.READONLY, sqlite3.CANTOPEN, sqlite3.NOMEM, sqlite3.PROTOCOL:
		return true
	}
	return false
}

// IsDamaged says whether err means that a database file is not what Yarrow wrote.
func IsDamaged(err error) bool { return isDamaged(err) }

// isDamaged says whether err means that the file is not what SQLite wrote with this key.
func isDamaged(err error) bool {
	return errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT)
}
