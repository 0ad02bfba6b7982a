package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db/dbtest"
)

func TestASignatureOpensThePractice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx := t.Context()
		_, ann := c.signIn("ann.ash")
		_, zoe := c.signIn("zoe@example.org")
		zoe = zoe.From("203.0.113.9")
		text, hash := AgreementText()
		good := Signature{Hash: hash, Entity: "Alder Family Practice, PLLC", Person: "Zoe Zaun", Position: "Owner", Authority: true}

		if c.a.HoldsReal(c.id) {
			t.Fatal("a new practice may hold real data")
		}
		for name, x := range map[string]struct {
			change func(*Signature)
			code   string
		}{
			"another text": {func(s *Signature) { s.Hash = strings.Repeat("0", 64) }, "conflict"},
			"no entity":    {func(s *Signature) { s.Entity = " " }, "required"},
			"no person":    {func(s *Signature) { s.Person = "" }, "required"},
			"long":         {func(s *Signature) { s.Position = strings.Repeat("x", 201) }, "required"},
			"no authority": {func(s *Signature) { s.Authority = false }, "required"},
		} {
			in := good
			x.change(&in)
			_, err := c.a.SignAgreement(ctx, zoe, in)
			t.Run(name, func(t *testing.T) { wantCode(t, err, x.code) })
		}
		_, err := c.a.SignAgreement(ctx, ann, good)
		wantCode(t, err, "forbidden")
		d.Clock.Advance(StepUpWithin + time.Second)
		_, err = c.a.SignAgreement(ctx, zoe, good)
		wantCode(t, err, "login")
		if c.a.HoldsReal(c.id) {
			t.Fatal("a refused signature opened the practice")
		}

		_, zoe = c.signIn("zoe@example.org")
		g, err := c.a.SignAgreement(ctx, zoe.From("203.0.113.9"), good)
		if err != nil {
			t.Fatal(err)
		}
		if !c.a.HoldsReal(c.id) {
			t.Error("signed, and the practice may still not hold real data")
		}
		if other := c.restart(); other.HoldsReal(c.id) {
			t.Error("what is not known must be no")
		} else if _, err := other.Practices(ctx); err != nil || !other.HoldsReal(c.id) {
			t.Error("another process does not learn of it", err)
		}
		list, err := c.a.Agreements(ctx, zoe)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		sum := sha256.Sum256([]byte(list[0].Text))
		if list[0] != g || g.Text != text || g.Hash != hex.EncodeToString(sum[:]) || g.Address != "203.0.113.9" || g.Account != "Zoe Zaun" || g.User != c.zoe {
			t.Errorf("kept: %+v", list[0])
		}
		if e := c.lastOf(audit.ActionAdmin); !strings.Contains(e.Detail, hash) {
			t.Errorf("audit: %+v", e)
		}
		_, err = c.a.SignAgreement(ctx, zoe, good)
		wantCode(t, err, "conflict")
		_, err = c.a.Agreements(ctx, ann)
		wantCode(t, err, "forbidden")

		// The company may end it; the practice then takes nothing more that looks real.
		if err := c.a.ChangeAccessState(ctx, SystemScope(c.id, "test"), func(s *AccessState) { s.BAA = time.Time{} }); err != nil {
			t.Fatal(err)
		}
		if _, err := c.a.Practices(ctx); err != nil || c.a.HoldsReal(c.id) {
			t.Error("an ended agreement lets real data in", err)
		}
	})
}

func TestADemonstrationCannotBeSigned(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		_, zoe := c.signIn("zoe@example.org")
		c.a.options.Demo = true
		_, hash := AgreementText()
		_, err := c.a.SignAgreement(t.Context(), zoe, Signature{Hash: hash, Entity: "A", Person: "B", Position: "C", Authority: true})
		wantCode(t, err, "business-rule")
	})
}
