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

// An agreement on paper opens the practice as a signature on the screen does, once, and only as what this program knows.
func TestPaperOpensThePractice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		ctx, sys := t.Context(), SystemScope(c.id, "test")
		d.Clock.Set(time.Date(2026, 12, 9, 15, 0, 0, 0, time.UTC))
		good := Paper{Version: AgreementVersion, Scan: strings.Repeat("Ab", 32), Day: time.Date(2026, 12, 7, 0, 0, 0, 0, time.UTC),
			Entity: "Alder Family Practice, PLLC", Person: "Zoe Zaun", Position: "Owner"}
		for name, x := range map[string]struct {
			change func(*Paper)
			code   string
		}{
			"a version nobody wrote":     {func(p *Paper) { p.Version = "2031-01" }, "value"},
			"no version":                 {func(p *Paper) { p.Version = "" }, "value"},
			"no scan":                    {func(p *Paper) { p.Scan = "" }, "required"},
			"half a scan":                {func(p *Paper) { p.Scan = p.Scan[:32] }, "required"},
			"tomorrow":                   {func(p *Paper) { p.Day = p.Day.AddDate(0, 0, 3) }, "value"},
			"before the text":            {func(p *Paper) { p.Day = time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC) }, "value"},
			"no day":                     {func(p *Paper) { p.Day = time.Time{} }, "value"},
			"no person":                  {func(p *Paper) { p.Person = " " }, "required"},
			"a position of 201 letters":  {func(p *Paper) { p.Position = strings.Repeat("x", 201) }, "required"},
			"no legal name of a company": {func(p *Paper) { p.Entity = "" }, "required"},
		} {
			in := good
			x.change(&in)
			_, err := c.a.RecordAgreement(ctx, sys, in)
			t.Run(name, func(t *testing.T) { wantCode(t, err, x.code) })
		}
		if c.a.HoldsReal(c.id) {
			t.Fatal("what was refused opened the practice")
		}
		g, err := c.a.RecordAgreement(ctx, sys, good)
		if err != nil || !c.a.HoldsReal(c.id) {
			t.Fatal(g, err)
		}
		_, err = c.a.RecordAgreement(ctx, sys, good)
		wantCode(t, err, "conflict")
		_, zoe := c.signIn("zoe@example.org")
		all, err := c.a.Agreements(ctx, zoe)
		_, hash := AgreementText()
		if err != nil || len(all) != 1 || all[0].Paper != strings.Repeat("ab", 32) || all[0].Hash != hash || !all[0].Signed.Equal(good.Day) || all[0].Recorded.IsZero() || all[0].Person != "Zoe Zaun" {
			t.Errorf("%+v %v", all, err)
		}
		if n := c.actions(audit.ActionAdmin); n == 0 {
			t.Error("nothing is on record")
		}
		_, err = c.a.RecordAgreement(ctx, System{}, good)
		if err == nil {
			t.Error("nobody recorded an agreement")
		}
	})
}
