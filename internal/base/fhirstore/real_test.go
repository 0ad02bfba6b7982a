package fhirstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

const (
	realPhone   = `{"resourceType":"Patient","id":"p","telecom":[{"system":"phone","value":"617-482-1234"}]}`
	realLicence = `{"resourceType":"Patient","id":"p","identifier":[{"type":{"coding":[{"code":"DL"}]},"value":"SA1234567"}]}`
)

// What looks real is refused in a practice without agreement by every way in, and in no other practice.
func TestNothingRealWithoutAnAgreement(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.HoldsReal = func(p db.PracticeID) bool { return p == 2 }
		ctx := t.Context()
		dir := t.TempDir()
		file := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		bundle := func(kind, r string) []byte {
			return []byte(`{"resourceType":"Bundle","type":"` + kind + `","entry":[{"resource":{"resourceType":"Patient","id":"fine"},"request":{"method":"PUT","url":"Patient/fine"}},
				{"resource":` + r + `,"request":{"method":"PUT","url":"Patient/p"}}]}`)
		}
		write := func(p db.PracticeID, raw string, how func(*Prepared) func(context.Context, *db.Tx, *Prepared) error) error {
			return b.try(system(p), func(ctx context.Context, tx *db.Tx) error {
				pr, err := b.Prepare(ctx, []byte(raw))
				if err != nil {
					return err
				}
				return how(pr)(ctx, tx, pr)
			})
		}
		create := func(*Prepared) func(context.Context, *db.Tx, *Prepared) error {
			return func(ctx context.Context, tx *db.Tx, p *Prepared) error { _, err := b.Create(ctx, tx, p); return err }
		}
		update := func(*Prepared) func(context.Context, *db.Tx, *Prepared) error {
			return func(ctx context.Context, tx *db.Tx, p *Prepared) error { _, err := b.Update(ctx, tx, p, 0); return err }
		}
		for name, do := range map[string]func(p db.PracticeID, raw string) error{
			"create": func(p db.PracticeID, raw string) error { return write(p, raw, create) },
			"update": func(p db.PracticeID, raw string) error { return write(p, raw, update) },
			"transaction": func(p db.PracticeID, raw string) error {
				_, err := b.Apply(ctx, system(p), bundle("transaction", raw), ApplyOptions{})
				return err
			},
			"batch": func(p db.PracticeID, raw string) error {
				r, err := b.Apply(ctx, system(p), bundle("batch", raw), ApplyOptions{})
				if err == nil && r.Entries[1].Issues.HasErrors() {
					err = r.Entries[1].Issues
				}
				return err
			},
			"import": func(p db.PracticeID, raw string) error {
				im := Importer{Store: b.Store, Scope: system(p)}
				r, err := im.Run(ctx, file("a.ndjson", raw+"\n"))
				if err == nil && r.Refused > 0 {
					err = fhir.Issues{r.Issues[0].Issue}
				}
				return err
			},
		} {
			t.Run(name, func(t *testing.T) {
				for _, raw := range []string{realPhone, realLicence} {
					err := do(1, raw)
					var issues fhir.Issues
					if !errors.As(err, &issues) || issues[0].Code != "business-rule" || !strings.Contains(issues[0].Path, "[0].value") {
						t.Errorf("without agreement: %v", err)
					}
				}
				b.view(system(1), func(ctx context.Context, tx *db.Tx) error {
					if _, err := b.Read(ctx, tx, "Patient", "p"); err == nil {
						t.Error("it is there")
					}
					return nil
				})
				if name != "create" {
					if err := do(2, realPhone); err != nil {
						t.Errorf("with agreement: %v", err)
					}
				}
			})
		}
		// Declared synthetic, identifiers pass and telephone numbers do not.
		im := Importer{Store: b.Store, Scope: system(1), Synthetic: true}
		r, err := im.Run(ctx, file("b.ndjson", realLicence+"\n"+strings.Replace(realPhone, `"p"`, `"q"`, 1)+"\n"))
		if err != nil || r.Created != 1 || r.Refused != 1 || r.Issues[0].Line != 2 {
			t.Errorf("declared import: %+v %v", r, err)
		}
	})
}
