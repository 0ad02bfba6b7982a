package prove

import (
	"bytes"
	"context"
	"io"
	"slices"

	"yarrow.health/internal/base/audit"
)

const logPromise = "The exported audit log is as it was signed, complete, and agrees with every receipt."

// LogIn is the proof that an exported log is what the practice signed. It needs the log and the practice's public key alone. The
// control leaves out one line.
func LogIn(log io.Reader, vkey string, receipts []audit.Receipt) Proof {
	return Proof{Name: "audit log", Promise: logPromise, Try: func(_ context.Context, r *Run) error {
		_, err := r.exported(log, vkey, receipts)
		r.Count("receipts agreed with", int64(len(receipts)))
		return err
	}}
}

// Witnessed is the proof that an exported log goes through every checkpoint of a practice that a witness keeps in dir, and through
// the receipts. Notes that the practice did not sign, and a folder that has none, fail it. The control leaves out one line of the log.
func Witnessed(log io.Reader, vkey, dir string, receipts []audit.Receipt) Proof {
	return Proof{Name: "audit witness", Promise: "The exported audit log is complete, and goes through every checkpoint that was witnessed.", Try: func(_ context.Context, r *Run) error {
		notes, err := audit.WitnessNotes(dir, vkey)
		if err != nil {
			return err
		}
		known := slices.Clone(receipts)
		var newest int64
		for _, n := range notes {
			if n.Fault != "" {
				r.Fail("%s is not as it was witnessed: %s", n.File, n.Fault)
				continue
			}
			known, newest = append(known, audit.Receipt{Format: audit.ReceiptFormat, Checkpoint: n.Note}), n.Position
		}
		if len(notes) == 0 {
			r.Fail("%s holds no note of this practice", dir)
		}
		report, err := r.exported(log, vkey, known)
		r.Count("notes of the witness", int64(len(notes)))
		r.Count("receipts agreed with", int64(len(receipts)))
		r.Count("entries since the newest note", max(report.Entries-newest, 0))
		return err
	}}
}

// exported verifies an exported log; what is wrong with it fails the proof.
func (r *Run) exported(log io.Reader, vkey string, known []audit.Receipt) (audit.Report, error) {
	if r.Control {
		b, err := io.ReadAll(log)
		if err != nil {
			return audit.Report{}, err
		}
		if lines := bytes.SplitAfter(b, []byte("\n")); len(lines) > 2 {
			b = append(bytes.Clone(lines[0]), bytes.Join(lines[2:], nil)...)
		}
		log = bytes.NewReader(b)
	}
	report, err := audit.VerifyExport(log, vkey, known...)
	if err != nil {
		r.Fail("%v", err)
		return report, nil
	}
	r.Count("entries verified", report.Entries)
	if f := report.Fault; f != nil {
		r.Fail("position %d: %s", f.Position, f.What)
	}
	return report, nil
}

// Log is the proof that receipts are what the practice signed. The control breaks the first.
func Log(vkey string, receipts []audit.Receipt) Proof {
	return Proof{Name: "audit receipts", Promise: "Each receipt proves what it says.", Try: func(_ context.Context, r *Run) error {
		for i := range receipts {
			c := receipts[i]
			if r.Control && i == 0 {
				c.Checkpoint, c.Statement = c.Checkpoint[min(1, len(c.Checkpoint)):], c.Statement[min(1, len(c.Statement)):]
			}
			if _, err := c.Check(vkey); err != nil {
				r.Fail("receipt %d: %v", i+1, err)
				continue
			}
			r.Count("receipts that prove what they say", 1)
		}
		return nil
	}}
}
