package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// practiceAgreement records an agreement that was signed on paper: until then a practice holds invented data only.
type practiceAgreement struct {
	place
	Slug     string `arg:"" help:"The practice's slug."`
	Version  string `required:"" help:"Version of the text that was printed and signed." placeholder:"VERSION"`
	Scan     string `required:"" help:"The scanned paper. Its SHA-256 is recorded; the file stays with you." placeholder:"FILE" type:"existingfile"`
	Entity   string `required:"" help:"The practice's legal name, as on the paper." placeholder:"NAME"`
	Person   string `required:"" help:"Who signed for the practice." placeholder:"NAME"`
	Position string `required:"" help:"What they are in the practice." placeholder:"TITLE"`
	Day      string `required:"" help:"The day on the paper." placeholder:"YYYY-MM-DD"`
	Proof    string `kong:"-"` // that the caller has the master key, when a running server carries the command out
}

// statement is what the master key vouches for.
func (c *practiceAgreement) statement() string {
	text, err := json.Marshal([]string{"agreement on paper", c.Slug, c.Version, c.Scan, c.Entity, c.Person, c.Position, c.Day})
	if err != nil {
		panic(err) // strings only
	}
	return string(text)
}

// vouch proves with the master key that the operator means this command.
func (c *practiceAgreement) vouch() error {
	o, err := c.keyOptions()
	if err != nil {
		return err
	}
	o.MayCreate = false
	ring, _, err := keys.Open(o)
	if err == nil {
		c.Proof = ring.Vouch(c.statement())
	}
	return err
}

func (c *practiceAgreement) Run(ctx context.Context, out *output) error {
	day, err := time.Parse(time.DateOnly, c.Day)
	if err != nil {
		return fhir.Problem("value", fmt.Sprintf("%q is no day.", c.Day), "Write the day on the paper, as 2026-11-30.")
	}
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	if g.shared && !g.ring.Vouched(c.statement(), c.Proof) {
		return fhir.Problem("security", "This takes the master key.", "Run the command where it can be read, or name it with --master-key.")
	}
	p, err := g.practiceNamed(ctx, c.Slug)
	if err != nil {
		return err
	}
	f, err := os.Open(c.Scan)
	if err != nil {
		return cannotRead("scan", c.Scan, err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return cannotRead("scan", c.Scan, err)
	}
	if n == 0 {
		return fhir.Problem("value", fmt.Sprintf("The scan %s is empty.", c.Scan), "Scan every page of the signed paper, and give the file.")
	}
	signed, err := g.auth.RecordAgreement(ctx, auth.SystemScope(p.ID, "yarrow practice agreement"), auth.Paper{Version: c.Version, Scan: hex.EncodeToString(sum.Sum(nil)),
		Day: day, Entity: c.Entity, Person: c.Person, Position: c.Position})
	if err != nil {
		return err
	}
	fmt.Fprintf(out.text, "The agreement %s of %s, signed on %s by %s, is on record. %s may hold data of real people from now on.\nSHA-256 of the scan: %s. Keep the paper.\n",
		signed.Version, signed.Entity, signed.Signed.Format(time.DateOnly), signed.Person, p.Slug, signed.Paper)
	return nil
}
