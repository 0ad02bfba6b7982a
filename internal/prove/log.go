package prove

import (
	"bytes"
	"context"
	"io"

	"yarrow.health/internal/base/audit"
)

const logPromise = "The exported audit log is as it was signed, complete, and agrees with every receipt."

// LogIn is the proof that an exported log is what the practice signed. It needs the log and the practice's public key alone. The
// control leaves out one line.
func LogIn(log io.Reader, vkey string, receipts []audit.Receipt) Proof {
	return Proof{Name: "audit log", Promise: logPromise, Try: func(_ context.Context, r *Run) error {
		if r.Control {
			b, err := io.ReadAll(log)
			if err != nil {
				return err
			}
			if lines := bytes.SplitAfter(b, []byte("\n")); len(lines) > 2 {
				b = append(bytes.Clone(lines[0]), bytes.Join(lines[2:], nil)...)
			}
			log = bytes.NewReader(b)
		}
		report, err := audit.VerifyExport(log, vkey, receipts...)
		if err != nil {
			r.Fail("%v", err)
			return nil
		}
		r.Count("entries verified", report.Entries)
		r.Count("receipts agreed with", int64(len(receipts)))
		if f := report.Fault; f != nil {
			r.Fail("position %d: %s", f.Position, f.What)
		}
		return nil
	}}
}

// Log is the proof that receipts are what the practice signed. The control breaks the first.
func Log(vkey string, receipts []audit.Receipt) Proof {
	return Proof{Name: "audit receipts", Promise: "Each receipt proves what it says.", Try: func(_ context.Context, r *Run) error {
		for i := range receipts {
			c := receipts[i]
			if r.Control && i == 0 && c.Checkpoint != "" {
				c.Checkpoint = c.Checkpoint[1:]
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
