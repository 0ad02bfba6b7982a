package auth

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

func TestAddPractice(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		if c.id <= 2 {
			t.Errorf("practice %d is somebody else's store", c.id)
		}
		for _, bad := range []string{"", "A", "a b", "-a", "a-", "a--b", "1a", "healthz", strings.Repeat("a", 41), "a/b", "ä"} {
			_, err := c.a.AddPractice(t.Context(), bad, "X")
			wantCode(t, err, "value")
		}
		_, err := c.a.AddPractice(t.Context(), "ok", " ")
		wantCode(t, err, "value")
		_, err = c.a.AddPractice(t.Context(), slug, "Again")
		wantCode(t, err, "conflict")
		p, err := c.a.PracticeBySlug(t.Context(), slug)
		if err != nil || p.ID != c.id || p.Name != "Alder Family Practice" || p.Settings != (Settings{DefaultIdle, DefaultAbsolute, true}) ||
			p.Access.Contract != ContractActive || !p.Access.BAA.IsZero() {
			t.Errorf("%+v %v", p, err)
		}
		_, err = c.a.PracticeBySlug(t.Context(), "none")
		wantCode(t, err, "not-found")

		// An interrupted one is continued and shows only then.
		err = d.Do(t.Context(), system("test"), func(tx *db.Tx) error {
			_, err := beginPractice(t.Context(), tx, "half", "Half", nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.restart().PracticeBySlug(t.Context(), "half")
		wantCode(t, err, "not-found")
		if _, err := c.a.AddPractice(t.Context(), "half", "Half"); err != nil {
			t.Error(err)
		}
		all, err := c.restart().Practices(t.Context())
		if err != nil || len(all) != 2 {
			t.Errorf("%+v %v", all, err)
		}
	})
}

func TestAccessStateReachesSessions(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, _ := c.signIn("ann.ash")
		sys := SystemScope(c.id, "contract")
		err := c.a.ChangeAccessState(t.Context(), sys, func(a *AccessState) {
			a.Contract, a.Modules, a.BAA, a.ConsentEpoch = ContractReadOnly, []string{"portal", "billing", "portal"}, d.Clock.Now(), 4
		})
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := c.resume(token)
		if err != nil || AccessOf(s).Allows("Condition", CanCreate) || !AccessOf(s).Allows("Condition", CanRead) {
			t.Errorf("read-only: %v", err)
		}
		p, _ := c.restart().PracticeByID(t.Context(), c.id)
		if p.Access.ConsentEpoch != 4 || !p.Access.Entitled("billing") || p.Access.Entitled("lab") || len(p.Access.Modules) != 2 ||
			!p.Access.BAA.Equal(d.Clock.Now()) {
			t.Errorf("%+v", p.Access)
		}
		wantCode(t, c.a.ChangeAccessState(t.Context(), sys, func(a *AccessState) { a.Contract = "free" }), "value")
		if e := c.lastOf(audit.ActionPrivilege); e.Outcome != audit.OutcomeFailed {
			t.Errorf("a failed change is recorded as %+v", e)
		}
		if err := c.a.ChangeAccessState(t.Context(), System{}, func(*AccessState) {}); !errors.Is(err, db.ErrNoScope) {
			t.Errorf("zero scope: %v", err)
		}
	})
}

func TestAddUserRefuses(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, nil)
	c := newClinic(t, d)
	good := User{Login: "cal", Display: "Cal", Roles: []Role{Nurse}, Password: "river candle spoon 5"}
	for name, change := range map[string]func(*User){
		"no login":          func(u *User) { u.Login = " " },
		"spaces":            func(u *User) { u.Login = "a b" },
		"no name":           func(u *User) { u.Display = "" },
		"no role":           func(u *User) { u.Roles = nil },
		"unknown role":      func(u *User) { u.Roles = []Role{Nurse, "owner"} },
		"weak password":     func(u *User) { u.Password = "Welcome123" },
		"own name":          func(u *User) { u.Login, u.Password = "calvin.klondike", "calvinklondike1" },
		"bad secret":        func(u *User) { u.TOTPSecret = "not base32!" },
		"short secret":      func(u *User) { u.TOTPSecret = "JBSWY3DP" },
		"endless login":     func(u *User) { u.Login = strings.Repeat("x", 300) },
		"control character": func(u *User) { u.Login = "a\tb" },
	} {
		u := good
		change(&u)
		_, err := c.a.AddUser(t.Context(), SystemScope(c.id, "test"), u)
		if codeOf(err) != "value" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.a.AddUser(t.Context(), System{}, good); !errors.Is(err, db.ErrNoScope) {
		t.Errorf("zero scope: %v", err)
	}
	_, err := c.a.AddUser(t.Context(), SystemScope(c.id, "test"), User{Login: "ANN.ASH", Display: "Other", Roles: []Role{Nurse}})
	wantCode(t, err, "conflict")
}

func TestSeveralPractices(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		birch, err := c.a.AddPractice(t.Context(), "birch", "Birch Urgent Care")
		if err != nil {
			t.Fatal(err)
		}
		id, err := c.a.AddMembership(t.Context(), SystemScope(birch, "test"), "Ann.ASH", "p-2", Biller)
		if err != nil || id != c.ann {
			t.Fatal(id, err)
		}
		_, err = c.a.AddMembership(t.Context(), SystemScope(birch, "test"), "nobody", "", Biller)
		wantCode(t, err, "not-found")
		r := c.request("ann.ash", annPassword, c.nextCode())
		r.Practice = "birch"
		token, s, err := c.a.SignIn(t.Context(), r)
		if err != nil || s.Practice() != birch || s.Can(ChartRead) || !s.Can(BillingWrite) || s.Practitioner() != "Practitioner/p-2" {
			t.Fatalf("%+v %v", s, err)
		}
		// The administrator of one practice cannot take over somebody who works in another too.
		zoe := c.admin()
		_, err = c.a.ResetCredentials(t.Context(), zoe, c.ann)
		wantCode(t, err, "forbidden")
		_, err = c.a.Invite(t.Context(), zoe, c.ann)
		wantCode(t, err, "forbidden")
		// Disabled in one practice, the person still works in the other.
		if err := c.a.Disable(t.Context(), zoe, c.ann); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.a.Resume(t.Context(), "birch", token); err != nil {
			t.Errorf("the other practice suffers: %v", err)
		}
		_, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.nextCode()))
		wantCode(t, err, "login")
		// And is gone altogether when disabled in both.
		if err := c.a.Disable(t.Context(), SystemScope(birch, "test"), c.ann); err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.Resume(t.Context(), "birch", token)
		wantCode(t, err, "login")
		if err := c.a.Enable(t.Context(), zoe, c.ann); err != nil {
			t.Fatal(err)
		}
		if _, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.nextCode())); err != nil {
			t.Errorf("enabled again: %v", err)
		}
	})
}

// admin is Zoe, just signed in.
func (c *clinic) admin() Staff {
	c.t.Helper()
	_, s := c.signIn("zoe@example.org")
	return s
}

func TestAdministration(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		zoe := c.admin()
		_, ann := c.signIn("ann.ash")

		_, err := c.a.Users(t.Context(), ann)
		wantCode(t, err, "forbidden")
		wantCode(t, c.a.Disable(t.Context(), ann, c.bob), "forbidden")
		wantCode(t, c.a.SetRoles(t.Context(), ann, c.ann, Administrator), "forbidden")
		wantCode(t, c.a.SignOutEverywhere(t.Context(), ann, c.bob), "forbidden")
		_, _, err = c.a.InviteUser(t.Context(), ann, User{})
		wantCode(t, err, "forbidden")

		users, err := c.a.Users(t.Context(), zoe)
		if err != nil || len(users) != 3 || users[0].ID != c.bob || users[0].SecondFactor || !users[1].SecondFactor ||
			!users[1].Active || users[1].PractitionerID != "p-ann" {
			t.Errorf("%+v %v", users, err)
		}
		names, err := c.a.Names(t.Context(), ann, []int64{c.bob, c.zoe, 999})
		if err != nil || len(names) != 2 || names[c.bob] != "Bob Birch" {
			t.Errorf("%v %v", names, err)
		}

		if err := c.a.SetRoles(t.Context(), zoe, c.bob, FrontDesk, Biller); err != nil {
			t.Fatal(err)
		}
		if e := c.lastOf(audit.ActionPrivilege); e.Detail != "roles are now frontdesk biller" || e.Actor.UserID != c.zoe || e.Event.ID != userText(c.bob) {
			t.Errorf("%+v", e)
		}
		wantCode(t, c.a.SetRoles(t.Context(), zoe, c.bob), "value")
		wantCode(t, c.a.SetRoles(t.Context(), zoe, 999, Nurse), "not-found")
		wantCode(t, c.a.SetRoles(t.Context(), zoe, c.zoe, Nurse), "business-rule") // the last administrator
		wantCode(t, c.a.Disable(t.Context(), zoe, c.zoe), "business-rule")
		wantCode(t, c.a.Disable(t.Context(), zoe, 999), "not-found")
		if _, _, err := c.resume(""); err == nil {
			t.Error("an empty token opens")
		}

		d.Clock.Advance(11 * time.Minute) // not recent any more
		wantCode(t, c.a.SetRoles(t.Context(), zoe, c.bob, Nurse), "login")
		wantCode(t, c.a.Disable(t.Context(), zoe, c.bob), "login")
	})
}

func TestInvitation(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		zoe := c.admin()
		id, first, err := c.a.InviteUser(t.Context(), zoe, User{Login: "dee", Display: "Dee Dogwood", Roles: []Role{Nurse}, Password: "chosen by another 1"})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.SignIn(t.Context(), c.request("dee", "chosen by another 1", ""))
		wantCode(t, err, "login")
		token, err := c.a.Invite(t.Context(), zoe, id)
		if err != nil {
			t.Fatal(err)
		}
		const password = "pebble trumpet meadow 3"
		for name, bad := range map[string]string{"empty": "", "replaced": first, "cut": token[:len(token)-1], "another person": userText(c.bob) + token[strings.Index(token, "."):]} {
			if err := c.a.AcceptInvite(t.Context(), slug, bad, password); codeOf(err) != "expired" {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantCode(t, c.a.AcceptInvite(t.Context(), slug, token, "dee dogwood"), "value")
		if err := c.a.AcceptInvite(t.Context(), slug, token, password); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c.a.AcceptInvite(t.Context(), slug, token, password), "expired")
		_, s, err := c.a.SignIn(t.Context(), c.request("dee", password, ""))
		if err != nil || s.Can(ChartRead) {
			t.Errorf("%v", err)
		}
		token, err = c.a.ResetCredentials(t.Context(), zoe, id)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.a.SignIn(t.Context(), c.request("dee", password, ""))
		wantCode(t, err, "login")
		d.Clock.Advance(inviteFor + time.Second)
		wantCode(t, c.a.AcceptInvite(t.Context(), slug, token, password), "expired")
	})
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		other, _ := c.signIn("ann.ash")
		token, s := c.signIn("ann.ash")
		const next = "harbor biscuit umbrella 8"
		wantCode(t, c.a.ChangePassword(t.Context(), s, "short"), "value")
		if err := c.a.ChangePassword(t.Context(), s, next); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.resume(token); err != nil {
			t.Errorf("the present session ended: %v", err)
		}
		_, _, err := c.resume(other)
		wantCode(t, err, "login")
		_, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", annPassword, c.nextCode()))
		wantCode(t, err, "login")
		if _, _, err = c.a.SignIn(t.Context(), c.request("ann.ash", next, c.nextCode())); err != nil {
			t.Error(err)
		}
	})
}

// Nothing a thief of the files could use, or read a name from, lies in the system store in the clear.
func TestNothingSecretInTheClear(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		token, s := c.signIn("ann.ash")
		codes, err := c.a.NewRecoveryCodes(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		device, err := c.a.RememberDevice(t.Context(), s, "", "", "Firefox/1 Linux")
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{annPassword, annSecret, token, device, codes[0], strings.ReplaceAll(codes[0], "-", ""),
			"Ann Ash", "ann.ash", "Ann.Ash", "203.0.113.9", "Firefox"}
		var dump bytes.Buffer
		err = d.View(t.Context(), system("test"), func(tx *db.Tx) error {
			for _, table := range []string{"users", "membership", "one_use_code", "session", "sign_in_throttle", "known_device", "passkey"} {
				rows, err := tx.Query(t.Context(), db.SQL(`SELECT * FROM `+table+` WHERE practice_id = $1`), 0)
				if err != nil {
					return err
				}
				if err := dumpRows(&dump, rows, columnsOf[table]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if dump.Len() < 500 {
			t.Fatalf("only %d bytes were looked at", dump.Len())
		}
		for _, secret := range secrets {
			if bytes.Contains(dump.Bytes(), []byte(secret)) {
				t.Errorf("%q lies in the clear", secret)
			}
		}
		if d.Engine() != db.SQLite {
			return
		}
		secrets = append(secrets, slug, "argon2id")
		err = filepath.WalkDir(d.Dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			for _, secret := range secrets {
				if bytes.Contains(b, []byte(secret)) {
					t.Errorf("%q lies in %s", secret, e.Name())
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

var columnsOf = map[string]int{"users": 10, "membership": 8, "one_use_code": 5, "session": 13, "sign_in_throttle": 4, "known_device": 6, "passkey": 7}

func dumpRows(into *bytes.Buffer, rows *db.Rows, columns int) error {
	defer rows.Close()
	values, pointers := make([]any, columns), make([]any, columns)
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		for _, v := range values {
			switch v := v.(type) {
			case []byte:
				into.Write(v)
			case string:
				into.WriteString(v)
			}
			into.WriteByte('\n')
		}
	}
	return rows.Err()
}
