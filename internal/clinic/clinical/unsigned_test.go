package clinical_test

import (
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/standards/fhir"
)

// What nobody has signed leaves with the practice: open drafts with their words, also those of a window that had lost the pen; signed and
// discarded ones do not.
func TestUnsignedNotes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		gone := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, gone, tabA, gone.Pen.Generation, 1, "discarded")
		if err := p.Notes.Discard(ctx, p.Doctor, "ann", gone.ID, tabA); err != nil {
			t.Fatal(err)
		}
		kept := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, kept, tabA, kept.Pen.Generation, 1, "kept <words>")
		taken, err := p.Notes.TakeOver(ctx, p.Doctor, "ann", kept.ID, tabB)
		if err != nil {
			t.Fatal(err)
		}
		save(t, p, p.Doctor, taken, tabB, taken.Pen.Generation, 1, "kept <words> and more")
		save(t, p, p.Doctor, kept, tabA, kept.Pen.Generation, 2, "late words")
		drafts := clinical.NewDrafts(d.DB, p.Store)
		for patient, want := range map[string]int64{"": 1, "ann": 1, "somebody": 0} {
			var all []string
			n, err := drafts.Unsigned(ctx, auth.SystemScope(1, "test"), patient, func(raw []byte) error {
				tree, issues := fhir.Parse(raw)
				if issues.HasErrors() {
					return issues
				}
				if issues := fhir.Validate(tree); issues.HasErrors() {
					t.Errorf("%s: %v", raw, issues)
				}
				all = append(all, string(raw))
				return nil
			})
			if err != nil || n != want || int64(len(all)) != want {
				t.Fatalf("%q: %d notes, %v", patient, n, err)
			}
			if want == 0 {
				continue
			}
			for _, m := range []string{`"status":"preliminary"`, kept.ID, "kept &lt;words&gt; and more", "late words", "Patient/ann"} {
				if !strings.Contains(all[0], m) {
					t.Errorf("%s is missing in %s", m, all[0])
				}
			}
		}
	})
}
