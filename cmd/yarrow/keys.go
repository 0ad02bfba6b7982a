package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

type keyring struct {
	Export   keysExport   `cmd:"" help:"Write the practices' keys to an encrypted file. Whoever opens it can read their data."`
	Import   keysImport   `cmd:"" help:"Add the keys of an export to this installation's key store."`
	Recover  keysRecover  `cmd:"" help:"Make the master key file again from the printed recovery key."`
	Rotate   keysRotate   `cmd:"" help:"Give practices new sealing keys and the key store a new wrapping key. Nothing that was sealed becomes unreadable."`
	Identity keysIdentity `cmd:"" help:"Make an age identity for backups and key exports, and print its recipient."`
}

type keysExport struct {
	place
	sealTo
	Out      string  `required:"" help:"The new file. Keep it apart from the backups." placeholder:"FILE"`
	Practice []int64 `help:"Numbers of the practices; without it all, and the key of the sign-ins." placeholder:"NUMBER"`
}

func (c *keysExport) Run(ctx context.Context, out *output) error {
	to, phrase, err := c.recipients()
	if err != nil {
		return err
	}
	if phrase != "" {
		r, err := age.NewScryptRecipient(phrase)
		if err != nil {
			return err
		}
		to = []age.Recipient{r}
	}
	ring, err := c.ring(false)
	if err != nil {
		return err
	}
	err = writeWhole(c.Out, func(w io.Writer) error { return ring.Export(w, c.Practice, to...) })
	if err != nil {
		return err
	}
	fmt.Fprintf(out.text, "%s holds the keys. With it and a backup the data can be read anywhere: keep the two apart.\n", c.Out)
	return nil
}

type keysImport struct {
	place
	openWith
	In string `required:"" help:"The key export." placeholder:"FILE"`
}

func (c *keysImport) Run(ctx context.Context, out *output) error {
	who, err := c.identities()
	if err != nil {
		return err
	}
	f, err := os.Open(c.In)
	if err != nil {
		return cannotRead("key export", c.In, err)
	}
	defer f.Close()
	o, err := c.keyOptions()
	if err != nil {
		return err
	}
	o.MayCreate = true // an import is how a lost key store comes back
	newStore := !hasKeys(o)
	ring, created, err := keys.Open(o)
	if err != nil {
		return err
	}
	if err := ring.Import(f, who...); err != nil {
		if newStore {
			unmakeKeys(o, created != nil)
		}
		return err
	}
	if created != nil {
		out.newMaster(created)
	}
	fmt.Fprintf(out.text, "The keys are in %s.\n", o.StoreDir)
	return nil
}

type keysRecover struct {
	place
	RecoveryFile string `help:"File with the recovery key; without it the key is read from standard input." placeholder:"FILE"`
}

func (c *keysRecover) Run(ctx context.Context, out *output) error {
	in := io.Reader(os.Stdin)
	if c.RecoveryFile != "" {
		f, err := os.Open(c.RecoveryFile)
		if err != nil {
			return cannotRead("recovery key", c.RecoveryFile, err)
		}
		defer f.Close()
		in = f
	} else {
		fmt.Fprintln(out.errs, "Type the recovery key from the paper, then Enter and Ctrl+D:")
	}
	text, err := io.ReadAll(io.LimitReader(in, 1000))
	if err != nil {
		return err
	}
	o, err := c.keyOptions()
	if err != nil {
		return err
	}
	if err := keys.Recover(o.MasterFile, strings.TrimSpace(string(text))); err != nil {
		return err
	}
	o.MayCreate, o.MasterText = false, ""
	if _, _, err := keys.Open(o); err != nil { // the right kind of key, but is it the right one?
		_ = os.Remove(o.MasterFile)
		return err
	}
	fmt.Fprintf(out.text, "The master key is in %s again and opens the key store %s.\n", o.MasterFile, o.StoreDir)
	return nil
}

type keysRotate struct {
	place
	Practice []int64       `help:"Numbers of the practices; without it all, and the store of the sign-ins." placeholder:"NUMBER"`
	Age      time.Duration `help:"Leave keys that are younger: after an interruption the same command goes on where it ended." default:"24h"`
	JSON     bool          `name:"json" help:"Print the report as JSON."`
}

// rotateAtOnce is how many practices are rotated in one change of the key store.
const rotateAtOnce = 100

// rotationReport is what a rotation did.
type rotationReport struct {
	Rotated []int64 `json:"rotated"`
	Spent   []int64 `json:"spent"` // they have no further generation
}

func (c *keysRotate) Run(ctx context.Context, out *output) error {
	ring, err := c.ring(false)
	if err != nil {
		return err
	}
	before := clock.System().Now().Add(-c.Age)
	report := rotationReport{Rotated: []int64{}, Spent: []int64{}}
	for more := true; more; {
		if ctx.Err() != nil {
			return fhir.Problem("transient", fmt.Sprintf("The rotation was stopped after %d practices.", len(report.Rotated)), "Run the same command again: it goes on with the rest.").Because(ctx.Err())
		}
		step, err := ring.Rotate(before, rotateAtOnce, c.Practice)
		if err != nil {
			return err
		}
		report.Rotated, more = append(report.Rotated, step.Rotated...), step.Left > 0
		if len(step.Spent) > 0 {
			report.Spent = step.Spent
		}
		if more {
			fmt.Fprintf(out.errs, "%d rotated, %d to go\n", len(report.Rotated), step.Left)
		}
	}
	if c.JSON {
		if err := out.json(report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out.text, "%d sets of sealing keys were rotated. Servers seal with them from their next start on; keys younger than %s were left.\n", len(report.Rotated), c.Age)
	}
	if len(report.Spent) > 0 {
		out.problem(fhir.Problem("business-rule", fmt.Sprintf("Practices %v have had 255 generations of keys and get no further one.", report.Spent), "Move each into a new practice with a backup and a restore."))
		return exitError(exitInput)
	}
	return nil
}

type keysIdentity struct {
	Out string `required:"" help:"The new file. Keep it secret, and apart from the backups." placeholder:"FILE"`
}

func (c *keysIdentity) Run(out *output) error {
	who, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	err = writeWhole(c.Out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# created: %s\n# public key: %s\n%s\n", clock.System().Now().Format(time.RFC3339), who.Recipient(), who)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out.text, who.Recipient())
	return nil
}

// ring opens the key store alone, without the data.
func (p place) ring(mayCreate bool) (*keys.Ring, error) {
	o, err := p.keyOptions()
	if err != nil {
		return nil, err
	}
	o.MayCreate = mayCreate
	ring, _, err := keys.Open(o)
	return ring, err
}

// writeWhole writes a new private file; it is there whole or not at all, and replaces nothing.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return fhir.Problem("conflict", fmt.Sprintf("There is a file %s already.", path), "Name another file, or move it away.").Because(err)
	}
	if err != nil {
		return fhir.Problem("no-store", fmt.Sprintf("The file %s cannot be written.", path), "Check that the folder "+filepath.Dir(path)+" exists and may be written to.").Because(err)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
