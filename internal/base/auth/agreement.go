package auth

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// AgreementVersion names the text of the business associate agreement (45 CFR 164.504(e)) that is signed at present. A text that
// was signed is never changed: a new one gets a new version and a file of its own.
const AgreementVersion = "2026-11"

//go:embed agreement/2026-11.txt
var agreementText string

// AgreementText gives the text to be signed, and the SHA-256 of its bytes in hexadecimal.
func AgreementText() (text, hash string) {
	sum := sha256.Sum256([]byte(agreementText))
	return agreementText, hex.EncodeToString(sum[:])
}

// Agreement is a business associate agreement as it was signed.
type Agreement struct {
	ID       int64     `json:"-"`
	Signed   time.Time `json:"-"`
	Version  string    `json:"version"`
	Hash     string    `json:"hash"`   // SHA-256 of the text, in hexadecimal
	Entity   string    `json:"entity"` // the practice's legal name
	Person   string    `json:"person"` // as they signed
	Position string    `json:"position"`
	User     int64     `json:"user"`
	Account  string    `json:"account"` // the name of the account that signed
	Address  string    `json:"address"` // the request came from there
	Text     string    `json:"text"`    // word by word what was signed

	// Of one that was signed on paper and recorded by the operator: SHA-256 of the scan in hexadecimal, and when it was recorded. Signed
	// is the day on the paper then.
	Paper    string    `json:"paper,omitempty"`
	Recorded time.Time `json:"recorded,omitzero"`
}

// Signature is what the signing form asks for.
type Signature struct {
	Hash                     string // of the text that was shown
	Entity, Person, Position string
	Authority                bool // the person said that they may sign for the practice
}

// HoldsReal says whether a practice may hold data of real people: an agreement is in force. It goes by what is known without
// asking the database, a second old at most while the program serves; of a practice it knows nothing of it says no.
func (a *Auth) HoldsReal(p db.PracticeID) bool { return a.known.agreed(p) }

// SignAgreement records that the person signed the present text for their practice, and lets the practice hold data of real
// people from then on. It needs PracticeAdmin and a recent proof. Issues name form fields as paths.
func (a *Auth) SignAgreement(ctx context.Context, s Staff, in Signature) (Agreement, error) {
	if err := may(s, PracticeAdmin); err != nil {
		return Agreement{}, err
	}
	if a.options.Demo {
		return Agreement{}, fhir.Problem("business-rule", "A demonstration holds only invented data.", "Sign the agreement in a practice of your own.")
	}
	if err := a.Recent(s, StepUpWithin); err != nil {
		return Agreement{}, err
	}
	p, err := a.PracticeByID(ctx, s.Practice())
	if err != nil {
		return Agreement{}, err
	}
	if !p.Access.BAA.IsZero() {
		return Agreement{}, fhir.Problem("conflict", "The agreement is in force already.", "Look at it on this page.")
	}
	text, hash := AgreementText()
	if err := in.check(hash); err != nil {
		return Agreement{}, err
	}
	g := Agreement{ID: newNumber(), Version: AgreementVersion, Hash: hash, Text: text, Entity: in.Entity, Person: in.Person, Position: in.Position,
		User: s.UserID(), Account: s.Name(), Address: s.Actor().Address}
	err = a.db.Do(ctx, s, func(tx *db.Tx) error {
		g.Signed = tx.Now()
		a.log.Record(tx, audit.Event{Action: audit.ActionAdmin, Type: "Agreement", ID: g.Version, Detail: "business associate agreement signed, SHA-256 " + hash})
		return saveAgreement(tx, g)
	})
	if err != nil {
		return Agreement{}, onlyIssue(err)
	}
	// If this fails, the agreement is signed but not in force, and signing again mends it.
	if err := a.changeAccessState(ctx, s, "agreement in force", func(st *AccessState) { st.BAA = g.Signed }); err != nil {
		return Agreement{}, err
	}
	_, err = a.Practices(ctx) // so that HoldsReal knows at once
	return g, err
}

// Paper is an agreement that was signed on paper.
type Paper struct {
	Version                  string    // of the text that was printed: [AgreementVersion]
	Scan                     string    // SHA-256 of the scanned paper, in hexadecimal
	Day                      time.Time // on the paper
	Entity, Person, Position string
}

// RecordAgreement records that the agreement was signed on paper, and lets the practice hold data of real people from then on, as
// [Auth.SignAgreement] does. It is the operator's, who keeps the paper; whoever calls it has seen to it that the operator is one.
func (a *Auth) RecordAgreement(ctx context.Context, sys System, in Paper) (Agreement, error) {
	if !sys.Valid() {
		return Agreement{}, db.ErrNoScope
	}
	if a.options.Demo {
		return Agreement{}, fhir.Problem("business-rule", "A demonstration holds only invented data.", "Sign the agreement in a practice of your own.")
	}
	p, err := a.PracticeByID(ctx, sys.Practice())
	if err != nil {
		return Agreement{}, err
	}
	if !p.Access.BAA.IsZero() {
		return Agreement{}, fhir.Problem("conflict", "The agreement is in force already.", "Look at it on the practice's page of the agreement.")
	}
	text, hash := AgreementText()
	if in.Version != AgreementVersion {
		return Agreement{}, fhir.Problem("value", fmt.Sprintf("There is no text of the agreement with the version %q here.", in.Version),
			"The text of this program is "+AgreementVersion+". A paper with other words is not the agreement that this program knows.").At("version")
	}
	if sum, err := hex.DecodeString(in.Scan); err != nil || len(sum) != sha256.Size {
		return Agreement{}, fhir.Problem("required", "The scan of the signed paper is missing.", "Scan every page, and give the file.").At("scan")
	}
	signature := Signature{Hash: hash, Entity: in.Entity, Person: in.Person, Position: in.Position, Authority: true}
	if err := signature.check(hash); err != nil {
		return Agreement{}, err
	}
	now := a.clock.Now()
	if begun, _ := time.Parse("2006-01", AgreementVersion); in.Day.After(now) || in.Day.Before(begun) {
		return Agreement{}, fhir.Problem("value", "The agreement cannot have been signed on this day.", "Write the day on the paper, as 2026-11-30. It is not in the future, and not before the text was written.").At("day")
	}
	g := Agreement{ID: newNumber(), Version: in.Version, Hash: hash, Text: text, Entity: signature.Entity, Person: signature.Person, Position: signature.Position,
		Account: "the operator", Signed: in.Day.UTC(), Recorded: now, Paper: strings.ToLower(in.Scan)}
	err = a.db.Do(ctx, sys, func(tx *db.Tx) error {
		a.log.Record(tx, audit.Event{Action: audit.ActionAdmin, Type: "Agreement", ID: g.Version,
			Detail: "business associate agreement signed on paper on " + g.Signed.Format(time.DateOnly) + ", SHA-256 of the text " + hash + ", of the scan " + g.Paper})
		return saveAgreement(tx, g)
	})
	if err != nil {
		return Agreement{}, onlyIssue(err)
	}
	// If this fails, the agreement is recorded but not in force, and recording it again mends it.
	if err := a.changeAccessState(ctx, sys, "agreement in force", func(st *AccessState) { st.BAA = g.Signed }); err != nil {
		return Agreement{}, err
	}
	_, err = a.Practices(ctx) // so that HoldsReal knows at once
	return g, err
}

func (in *Signature) check(hash string) error {
	in.Entity, in.Person, in.Position = strings.TrimSpace(in.Entity), strings.TrimSpace(in.Person), strings.TrimSpace(in.Position)
	bad := func(s string) bool { return s == "" || len([]rune(s)) > 200 }
	switch {
	case in.Hash != hash:
		return fhir.Problem("conflict", "The text of the agreement has changed since this page was opened.", "Read it again and sign then.")
	case bad(in.Entity):
		return fhir.Problem("required", "The legal name of the practice is missing.", "Write it as it stands in contracts, in at most 200 characters.").At("entity")
	case bad(in.Person):
		return fhir.Problem("required", "Your full name is missing.", "Write it as your signature, in at most 200 characters.").At("person")
	case bad(in.Position):
		return fhir.Problem("required", "Your position is missing.", "Write what you are in the practice, in at most 200 characters.").At("position")
	case !in.Authority:
		return fhir.Problem("required", "Nobody said that they may sign for the practice.", "Check the box, or have somebody sign who may.").At("authority")
	}
	return nil
}

// Agreements lists what was signed for the practice, the latest first.
func (a *Auth) Agreements(ctx context.Context, by db.Scope) (out []Agreement, err error) {
	if err := may(by, PracticeAdmin); err != nil {
		return nil, err
	}
	err = a.db.View(ctx, by, func(tx *db.Tx) error {
		out, err = agreements(ctx, tx)
		return err
	})
	return out, err
}
