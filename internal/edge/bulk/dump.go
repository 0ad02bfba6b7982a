package bulk

import (
	"bufio"
	"context"
	"io"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// Dump writes the current records of a practice, or those of one patient, as NDJSON in one stream, as they were at the moment it
// began; progress, unless nil, is told from time to time how many there are so far. The export is on record before the first byte.
// It is what `yarrow export` does for whoever holds the machine and the keys; programs use $export.
func Dump(ctx context.Context, d *db.DB, store *fhirstore.Store, log *audit.Log, s db.Scope, patient string, out io.Writer, progress func(n int64)) (n int64, err error) {
	o := &order{Level: ofSystem, Types: fhir.ResourceTypes()}
	event := audit.Event{Action: audit.ActionExport, Detail: "export of the practice to a file"}
	if err := d.View(ctx, s, func(tx *db.Tx) (err error) {
		if patient != "" {
			o.Level, o.Patients = ofPatient, []string{patient}
			event.Patient, event.Detail = "Patient/"+patient, "export of the patient's record to a file"
			if _, err = store.Read(ctx, tx, "Patient", patient); err != nil {
				return err
			}
		}
		o.At, err = store.LastChange(ctx, tx)
		return err
	}); err != nil {
		return 0, err
	}
	if err := log.Seen(ctx, s, event); err != nil {
		return 0, err
	}
	w, err := newWriter(&Exports{o: Options{Store: store}}, o)
	if err != nil {
		return 0, err
	}
	buffered := bufio.NewWriterSize(out, 256<<10)
	at := time.UnixMicro(o.At)
	for page := ""; ; {
		err := d.View(ctx, s, func(tx *db.Tx) error {
			p, err := store.Versions(ctx, tx, fhirstore.HistoryQuery{Types: o.Types, AtFrom: at, AtTo: at.Add(time.Microsecond), Count: 1000, Page: page})
			if err != nil {
				return err
			}
			for _, r := range p.Versions {
				if r.Deleted {
					continue
				}
				in, _, err := w.belongs(ctx, tx, r)
				if err != nil {
					return err
				}
				if in {
					n++
					buffered.Write(r.Raw) // Flush tells of what went wrong
					buffered.WriteByte('\n')
				}
			}
			page = p.Next
			return nil
		})
		if err == nil && page == "" {
			return n, buffered.Flush()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return n, err
		}
		if progress != nil {
			progress(n)
		}
	}
}
