package auth

import (
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db/dbtest"
)

// TestMembersMove takes a practice's people to another installation, from each engine to each.
func TestMembersMove(t *testing.T) {
	engines := map[string]func(t *testing.T) *dbtest.DB{
		"SQLite":     func(t *testing.T) *dbtest.DB { return dbtest.SQLite(t, nil) },
		"PostgreSQL": func(t *testing.T) *dbtest.DB { return dbtest.PostgreSQL(t, nil) },
	}
	for from, a := range engines {
		for to, b := range engines {
			t.Run(from+" to "+to, func(t *testing.T) { moveMembers(t, a(t), b(t)) })
		}
	}
}

func moveMembers(t *testing.T, from, to *dbtest.DB) {
	ctx := t.Context()
	c := newClinic(t, from)
	_, bob, err := c.a.SignIn(ctx, c.request("bob", bobPassword, ""))
	if err != nil {
		t.Fatal(err)
	}
	key := c.register(bob)
	if err := c.a.Disable(ctx, SystemScope(c.id, "test"), c.add(User{Login: "gone", Display: "Gil Gone", Roles: []Role{Nurse}})); err != nil {
		t.Fatal(err)
	}
	doc, err := c.a.Members(ctx, SystemScope(c.id, "test"))
	if err != nil {
		t.Fatal(err)
	}

	// The other installation has a practice whose people have the first numbers, and one of Zoe's login.
	there := &clinic{t: t, d: to, log: audit.New(to.DB)}
	there.a = New(to.DB, there.log, c.a.options)
	there.a.hashes = newHasher(2, 64)
	if there.id, err = there.a.AddPractice(ctx, "birch", "Birch"); err != nil {
		t.Fatal(err)
	}
	stranger := there.add(User{Login: "ZOE@example.org", Display: "Zoe Other", Roles: []Role{Clinician}, Password: bobPassword})
	moved := c.id + 40
	if err := to.Create(ctx, moved); err != nil {
		t.Fatal(err)
	}
	people, err := there.a.Adopt(ctx, moved, doc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Joined{}
	for _, p := range people {
		by[p.Login] = p
	}
	if len(by) != 4 || by["Ann.Ash"].Known || by["Ann.Ash"].ID == stranger || by["bob"].ID == by["Ann.Ash"].ID || by["bob"].Was != c.bob {
		t.Errorf("%+v", people)
	}
	if z := by["zoe@example.org"]; !z.Known || !z.Disabled || z.ID != stranger {
		t.Errorf("another Zoe got in: %+v", z)
	}
	// Ann signs in with her password and code, Bob with his passkey, at the practice's old address.
	there.id = moved
	c.d.Clock.Set(to.Clock.Now())
	if _, s, err := there.a.SignIn(ctx, c.request("ann.ash", annPassword, there.nextCode())); err != nil || s.Practice() != moved || !s.Can(ChartRead) || s.Practitioner() != "Practitioner/p-ann" {
		t.Errorf("Ann: %v", err)
	}
	if _, s, err := there.a.FinishPasskeySignIn(ctx, there.passkeyRequest(key)); err != nil || s.UserID() != by["bob"].ID {
		t.Errorf("Bob: %v", err)
	}
	for _, login := range []string{"zoe@example.org", "gone"} {
		for _, password := range []string{annPassword, bobPassword} {
			if _, _, err := there.a.SignIn(ctx, c.request(login, password, there.nextCode())); err == nil {
				t.Errorf("%s signs in to the practice", login)
			}
		}
	}
	// The stranger works on where she was, and in the moved practice once somebody says so.
	r := c.request("zoe@example.org", bobPassword, "")
	r.Practice = "birch"
	if _, _, err := there.a.SignIn(ctx, r); err != nil {
		t.Errorf("the other Zoe: %v", err)
	}
	if err := there.a.Enable(ctx, SystemScope(moved, "test"), stranger); err != nil {
		t.Fatal(err)
	}
	r.Practice = slug
	if _, s, err := there.a.SignIn(ctx, r); err != nil || s.UserID() != stranger {
		t.Errorf("enabled: %v", err)
	}
	// Coming home again, everybody is who they are.
	back, err := there.a.Members(ctx, SystemScope(moved, "test"))
	if err != nil {
		t.Fatal(err)
	}
	again := c.id + 80
	if err := from.Create(ctx, again); err != nil {
		t.Fatal(err)
	}
	people, err = c.a.Adopt(ctx, again, back, "alder-again", "Alder")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range people {
		if same := p.Login != "ZOE@example.org"; !p.Known || p.Disabled == same {
			t.Errorf("home again: %+v", p)
		}
	}
	if id, err := c.a.AddUser(ctx, SystemScope(c.id, "test"), User{Login: "new", Display: "Nia New", Roles: []Role{Nurse}}); err != nil || id <= c.zoe {
		t.Errorf("the next person: %d %v", id, err)
	}
	if err := to.Create(ctx, moved+1); err != nil {
		t.Fatal(err)
	}
	if _, err := there.a.Adopt(ctx, moved+1, doc, "", ""); codeOf(err) != "conflict" {
		t.Errorf("the same name twice: %v", err)
	}
	if _, err := there.a.Adopt(ctx, moved+1, []byte("{"), "", ""); codeOf(err) != "exception" {
		t.Errorf("not a document: %v", err)
	}
}
