package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

var (
	insertUsers = db.InsertInto("users", "practice_id", "id", "login", "handle", "state", "password", "body",
		"totp", "totp_step", "created")
	insertMembership = db.InsertInto("membership",
		"practice_id", "practice", "user_id", "roles", "practitioner", "state", "created")
	upsertMembership = db.SQL(`INSERT INTO membership (practice_id, practice, user_id, roles, practitioner, state, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (practice_id, practice, user_id) DO UPDATE SET roles = $4, practitioner = $5, state = $6`)
	loginExists = db.SQL(`SELECT id FROM users WHERE practice_id = $1 AND login = $2`)
	usersOf     = db.SQL(`SELECT u.id, u.body, u.state, m.state, m.roles, m.practitioner, m.created,
			u.totp IS NOT NULL OR EXISTS (SELECT 1 FROM passkey k WHERE k.practice_id = $1 AND k.user_id = u.id)
		FROM membership m JOIN users u ON u.practice_id = $1 AND u.id = m.user_id
		WHERE m.practice_id = $1 AND m.practice = $2`)
	namesOf = db.SQL(`SELECT u.id, u.body FROM membership m JOIN users u ON u.practice_id = $1 AND u.id = m.user_id
		WHERE m.practice_id = $1 AND m.practice = $2 AND m.user_id {in $3}`)
	personColumns = `SELECT u.id, u.state, u.password, u.body, u.handle, u.totp, u.totp_step,
			(SELECT count(*) FROM passkey k WHERE k.practice_id = $1 AND k.user_id = u.id),
			coalesce(m.state, ''), coalesce(m.roles, 0), coalesce(m.practitioner, ''), coalesce(m.void_before, 0)
		FROM users u LEFT JOIN membership m ON m.practice_id = $1 AND m.practice = $2 AND m.user_id = u.id
		WHERE u.practice_id = $1 AND `
	personOfLogin  = db.SQL(personColumns + `u.login = $3`)
	personOfID     = db.SQL(personColumns + `u.id = $3`)
	personOfHandle = db.SQL(personColumns + `u.handle = $3`)

	updateRoles   = db.SQL(`UPDATE membership SET roles = $4 WHERE practice_id = $1 AND practice = $2 AND user_id = $3`)
	updateMember  = db.SQL(`UPDATE membership SET state = $4 WHERE practice_id = $1 AND practice = $2 AND user_id = $3`)
	disableMember = db.SQL(`UPDATE membership SET state = $4, void_before = $5 WHERE practice_id = $1 AND practice = $2 AND user_id = $3`)
	voidGrants    = db.SQL(`UPDATE membership SET void_before = $3 WHERE practice_id = $1 AND user_id = $2`)
	updateUser    = db.SQL(`UPDATE users SET state = $3 WHERE practice_id = $1 AND id = $2`)
	// Locks the practice's row, so that two administrators cannot disable each other at once.
	lockPractice = db.SQL(`UPDATE practice SET state = state WHERE practice_id = $1 AND id = $2`)
	admins       = db.SQL(`SELECT count(*) FROM membership m JOIN users u ON u.practice_id = $1 AND u.id = m.user_id
		WHERE m.practice_id = $1 AND m.practice = $2 AND m.state = $3 AND u.state = $3 AND m.roles & $4 <> 0`)
	otherPractices = db.SQL(`SELECT count(*) FROM membership WHERE practice_id = $1 AND user_id = $2 AND state = $3`)

	updateBody     = db.SQL(`UPDATE users SET body = $3 WHERE practice_id = $1 AND id = $2`)
	updatePassword = db.SQL(`UPDATE users SET password = $3 WHERE practice_id = $1 AND id = $2`)
	updateTOTP     = db.SQL(`UPDATE users SET totp = $3, totp_step = $4 WHERE practice_id = $1 AND id = $2`)
	useStep        = db.SQL(`UPDATE users SET totp_step = $3 WHERE practice_id = $1 AND id = $2 AND totp_step < $3`)

	insertCode  = db.InsertInto("one_use_code", "practice_id", "user_id", "kind", "code", "expires")
	dropCodes   = db.SQL(`DELETE FROM one_use_code WHERE practice_id = $1 AND user_id = $2 AND kind = $3`)
	useCode     = db.SQL(`DELETE FROM one_use_code WHERE practice_id = $1 AND user_id = $2 AND kind = $3 AND code = $4 AND expires > $5`)
	codeThere   = db.SQL(`SELECT count(*) FROM one_use_code WHERE practice_id = $1 AND user_id = $2 AND kind = $3 AND code = $4 AND expires > $5`)
	dropDevices = db.SQL(`DELETE FROM known_device WHERE practice_id = $1 AND user_id = $2`)
	dropKeys    = db.SQL(`DELETE FROM passkey WHERE practice_id = $1 AND user_id = $2`)
)

// never is the expiry of codes that do not expire.
const never = int64(1<<63 - 1)

// userBody is what is sealed in users.body.
type userBody struct {
	Login   string `json:"login"`
	Display string `json:"display"`
	Locale  string `json:"locale,omitempty"`
}

func userPlace(id int64) []byte { return fmt.Appendf(nil, "users|%d", id) }
func totpPlace(id int64) []byte { return fmt.Appendf(nil, "totp|%d", id) }

func sealJSON(k *keys.Practice, place []byte, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return k.Seal(nil, plain, place), nil
}

func openJSON(k *keys.Practice, place, sealed []byte, v any) error {
	plain, err := k.Open(nil, sealed, place)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

func loginKey(k *keys.Practice, login string) int64 { return k.Hash("auth.login", foldLogin(login)) }

func insertUser(ctx context.Context, tx *db.Tx, p db.PracticeID, u User, password string) (int64, error) {
	k := tx.Keys()
	var other int64
	err := tx.QueryRow(ctx, loginExists, 0, loginKey(k, u.Login)).Scan(&other)
	if err == nil {
		return 0, fhir.Problem("conflict", "This login is taken.", "Choose another one.")
	} else if !errors.Is(err, db.ErrNoRows) {
		return 0, err
	}
	id, err := number(ctx, tx, "user")
	if err != nil {
		return 0, err
	}
	body, err := sealJSON(k, userPlace(id), userBody{u.Login, u.Display, u.Locale})
	if err != nil {
		return 0, err
	}
	handle := make([]byte, 16)
	rand.Read(handle)
	var totp any
	if u.TOTPSecret != "" {
		totp = k.Seal(nil, []byte(u.TOTPSecret), totpPlace(id))
	}
	tx.InsertMany(insertUsers, [][]any{{0, id, loginKey(k, u.Login), handle, stateActive, password, body, totp, 0, tx.NowMicro()}})
	tx.InsertMany(insertMembership, [][]any{{0, int64(p), id, int64(rolesOf(u.Roles)), u.PractitionerID, stateActive, tx.NowMicro()}})
	return id, nil
}

func userOfLogin(ctx context.Context, tx *db.Tx, login string) (id int64, err error) {
	err = tx.QueryRow(ctx, loginExists, 0, loginKey(tx.Keys(), login)).Scan(&id)
	if errors.Is(err, db.ErrNoRows) {
		err = noSuchUser()
	}
	return id, err
}

func noSuchUser() *fhir.Issue {
	return fhir.Problem("not-found", "There is no such person in this practice.", "Choose from the list of people.")
}

func setMembership(ctx context.Context, tx *db.Tx, p db.PracticeID, user int64, roles roleSet, practitioner string) error {
	_, err := tx.Exec(ctx, upsertMembership, 0, int64(p), user, int64(roles), practitioner, stateActive, tx.NowMicro())
	return err
}

// keepsAdmin fails when the practice has no active administrator left. Call it after the change, having locked first.
func keepsAdmin(ctx context.Context, tx *db.Tx, p db.PracticeID) error {
	var n int64
	if err := tx.QueryRow(ctx, admins, 0, int64(p), stateActive, int64(isAdministrator)).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return fhir.Problem("business-rule", "A practice keeps at least one administrator.", "Make somebody else an administrator first.")
	}
	return nil
}

// lockAdmins locks the practice against other such changes and says whether it has an administrator to lose.
func lockAdmins(ctx context.Context, tx *db.Tx, p db.PracticeID) (bool, error) {
	if _, err := tx.Exec(ctx, lockPractice, 0, int64(p)); err != nil {
		return false, err
	}
	var n int64
	err := tx.QueryRow(ctx, admins, 0, int64(p), stateActive, int64(isAdministrator)).Scan(&n)
	return n > 0, err
}

func changeRoles(ctx context.Context, tx *db.Tx, p db.PracticeID, user int64, roles roleSet) error {
	had, err := lockAdmins(ctx, tx, p)
	if err != nil {
		return err
	}
	if n, err := tx.Exec(ctx, updateRoles, 0, int64(p), user, int64(roles)); err != nil {
		return err
	} else if n == 0 {
		return noSuchUser()
	}
	if had {
		return keepsAdmin(ctx, tx, p)
	}
	return nil
}

func disable(ctx context.Context, tx *db.Tx, p db.PracticeID, user int64) error {
	had, err := lockAdmins(ctx, tx, p)
	if err != nil {
		return err
	}
	if n, err := tx.Exec(ctx, disableMember, 0, int64(p), user, stateDisabled, tx.NowMicro()); err != nil {
		return err
	} else if n == 0 {
		return noSuchUser()
	}
	if had {
		if err := keepsAdmin(ctx, tx, p); err != nil {
			return err
		}
	}
	if err := endSessions(ctx, tx, p, user, "disabled"); err != nil {
		return err
	}
	var elsewhere int64
	if err := tx.QueryRow(ctx, otherPractices, 0, user, stateActive).Scan(&elsewhere); err != nil || elsewhere > 0 {
		return err
	}
	tx.Queue(updateUser, 0, user, stateDisabled)
	tx.Queue(dropDevices, 0, user)
	tx.Queue(dropCodes, 0, user, kindInvite)
	return endSessions(ctx, tx, 0, user, "disabled")
}

func enable(ctx context.Context, tx *db.Tx, p db.PracticeID, user int64) error {
	if n, err := tx.Exec(ctx, updateMember, 0, int64(p), user, stateActive); err != nil {
		return err
	} else if n == 0 {
		return noSuchUser()
	}
	tx.Queue(updateUser, 0, user, stateActive)
	return nil
}

func listUsers(ctx context.Context, tx *db.Tx, p db.PracticeID) ([]User, error) {
	rows, err := tx.Query(ctx, usersOf, 0, int64(p))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []User
	for rows.Next() {
		var u User
		var body []byte
		var state, member string
		var roles, created int64
		if err := rows.Scan(&u.ID, &body, &state, &member, &roles, &u.PractitionerID, &created, &u.SecondFactor); err != nil {
			return nil, err
		}
		var b userBody
		if err := openJSON(tx.Keys(), userPlace(u.ID), body, &b); err != nil {
			return nil, err
		}
		u.Login, u.Display, u.Locale = b.Login, b.Display, b.Locale
		u.Roles, u.Active = roleSet(roles).list(), state == stateActive && member == stateActive
		u.Created = time.UnixMicro(created).UTC()
		out = append(out, u)
	}
	return out, rows.Err()
}

func names(ctx context.Context, tx *db.Tx, p db.PracticeID, ids []int64, into map[int64]string) error {
	rows, err := tx.Query(ctx, namesOf, 0, int64(p), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		var b userBody
		if err := openJSON(tx.Keys(), userPlace(id), body, &b); err != nil {
			return err
		}
		into[id] = b.Display
	}
	return rows.Err()
}

// person is what sign-in needs to know of somebody in one practice. The zero person is nobody.
type person struct {
	id             int64
	login, display string
	locale         string
	handle         []byte
	password       string
	secret         string // TOTP, or ""
	totpStep       int64  // last one used
	passkeys       int64
	roles          roleSet
	practitioner   string
	active         bool  // the person and their membership
	void           int64 // membership.void_before
}

func (p person) secondFactor() bool { return p.secret != "" || p.passkeys > 0 }

// findPerson reads a person; nobody is no error.
func findPerson(ctx context.Context, tx *db.Tx, st *db.Stmt, practice db.PracticeID, key any) (p person, err error) {
	var state, member string
	var body, totp []byte
	var roles int64
	err = tx.QueryRow(ctx, st, 0, int64(practice), key).Scan(&p.id, &state, &p.password, &body, &p.handle, &totp,
		&p.totpStep, &p.passkeys, &member, &roles, &p.practitioner, &p.void)
	if errors.Is(err, db.ErrNoRows) {
		return person{}, nil
	}
	if err != nil {
		return person{}, err
	}
	p.handle = bytes.Clone(p.handle)
	p.roles, p.active = roleSet(roles), state == stateActive && member == stateActive
	var b userBody
	if err := openJSON(tx.Keys(), userPlace(p.id), body, &b); err != nil {
		return person{}, err
	}
	p.login, p.display, p.locale = b.Login, b.Display, b.Locale
	if totp != nil {
		secret, err := tx.Keys().Open(nil, totp, totpPlace(p.id))
		if err != nil {
			return person{}, err
		}
		p.secret = string(secret)
	}
	return p, nil
}

func personByID(ctx context.Context, tx *db.Tx, practice db.PracticeID, id int64) (person, error) {
	p, err := findPerson(ctx, tx, personOfID, practice, id)
	if err == nil && (p.id == 0 || !p.active) {
		err = noSuchUser()
	}
	return p, err
}

func setProfile(ctx context.Context, tx *db.Tx, s Staff, display, locale string) error {
	who, err := personByID(ctx, tx, s.Practice(), s.UserID())
	if err != nil {
		return err
	}
	body, err := sealJSON(tx.Keys(), userPlace(who.id), userBody{who.login, display, locale})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, updateBody, 0, who.id, body)
	return err
}

// setPassword stores a password's hash.
func setPassword(ctx context.Context, tx *db.Tx, user int64, stored string) error {
	_, err := tx.Exec(ctx, updatePassword, 0, user, stored)
	return err
}

func setTOTP(ctx context.Context, tx *db.Tx, user int64, secret string, step int64) error {
	_, err := tx.Exec(ctx, updateTOTP, 0, user, tx.Keys().Seal(nil, []byte(secret), totpPlace(user)), step)
	return err
}

func codeKey(k *keys.Practice, user int64, kind, code string) int64 {
	return k.Hash("auth.code", kind, userText(user), code)
}

func replaceRecoveryCodes(ctx context.Context, tx *db.Tx, user int64, codes []string) error {
	tx.Queue(dropCodes, 0, user, kindRecovery)
	var rows [][]any
	for _, c := range codes {
		rows = append(rows, []any{0, user, kindRecovery, codeKey(tx.Keys(), user, kindRecovery, plainCode(c)), never})
	}
	tx.InsertMany(insertCode, rows)
	return nil
}

// reachable says whether by may reset how a person signs in. An administrator may not for somebody who works in
// another practice too: that would open the other practice to the first one's administrator.
func reachable(ctx context.Context, tx *db.Tx, by db.Scope, user int64) error {
	if _, err := personByID(ctx, tx, by.Practice(), user); err != nil {
		return err
	}
	if _, isStaff := by.(Staff); !isStaff {
		return nil
	}
	var n int64
	if err := tx.QueryRow(ctx, otherPractices, 0, user, stateActive).Scan(&n); err != nil {
		return err
	}
	if n > 1 {
		return fhir.Problem("forbidden", "This person works in other practices too.",
			"Whoever looks after this server resets how they sign in.")
	}
	return nil
}

func setInvite(ctx context.Context, tx *db.Tx, by db.Scope, user int64, token string, expires time.Time) error {
	if err := reachable(ctx, tx, by, user); err != nil {
		return err
	}
	tx.Queue(dropCodes, 0, user, kindInvite)
	tx.InsertMany(insertCode, [][]any{{0, user, kindInvite, codeKey(tx.Keys(), user, kindInvite, token), expires.UnixMicro()}})
	return nil
}

func inviteValid(ctx context.Context, tx *db.Tx, user int64, token string) error {
	var n int64
	err := tx.QueryRow(ctx, codeThere, 0, user, kindInvite, codeKey(tx.Keys(), user, kindInvite, token), tx.NowMicro()).Scan(&n)
	if err == nil && n == 0 {
		err = staleTicket()
	}
	return err
}

func useInvite(ctx context.Context, tx *db.Tx, user int64, token string) error {
	n, err := tx.Exec(ctx, useCode, 0, user, kindInvite, codeKey(tx.Keys(), user, kindInvite, token), tx.NowMicro())
	if err == nil && n == 0 {
		err = staleTicket()
	}
	return err
}

func resetCredentials(ctx context.Context, tx *db.Tx, by db.Scope, user int64) error {
	if err := reachable(ctx, tx, by, user); err != nil {
		return err
	}
	tx.Queue(updatePassword, 0, user, "")
	tx.Queue(updateTOTP, 0, user, nil, 0)
	tx.Queue(dropKeys, 0, user)
	tx.Queue(dropDevices, 0, user)
	tx.Queue(dropCodes, 0, user, kindRecovery)
	tx.Queue(dropCodes, 0, user, kindInvite)
	tx.Queue(voidGrants, 0, user, tx.NowMicro())
	return endSessions(ctx, tx, 0, user, "credentials reset")
}
