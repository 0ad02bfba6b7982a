package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// newWitness makes the witness of the audit in a folder. One that comes and goes with what it is to bear witness of is none.
func (c *serve) newWitness(log *audit.Log) (*audit.Witness, error) {
	o, err := c.keyOptions()
	if err != nil {
		return nil, err
	}
	folders := []struct{ path, what string }{{o.StoreDir, "key store"}}
	if c.Database == "" {
		folders = append(folders, struct{ path, what string }{c.Data, "data folder"})
	}
	for _, f := range folders {
		in, err := within(c.Witness, f.path)
		if err != nil {
			return nil, fhir.Problem("value", "The folder of --witness cannot be used.", "Name a folder that is there, outside the data folder.").Because(err)
		}
		if in {
			return nil, fhir.Problem("value", fmt.Sprintf("The folder of --witness, %s, lies in the %s %s: whoever rolls the data back would roll the witness back with it.", c.Witness, f.what, f.path),
				"Name a folder outside of it, best a mount of another machine that only adds.")
		}
	}
	w, err := audit.NewWitness(log, c.Witness)
	if err != nil {
		return nil, fhir.Problem("value", "The folder of --witness cannot be used.", "Name a folder that is there, outside the data folder.").Because(err)
	}
	return w, nil
}

// within says whether a folder is another one or lies in it, wherever links lead.
func within(dir, other string) (bool, error) {
	var real [2]string
	for i, p := range []string{dir, other} {
		abs, err := filepath.Abs(p)
		if err == nil {
			real[i], err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return false, err
		}
	}
	for d := real[0]; ; d = filepath.Dir(d) { // by what the folders are: a bind mount has other names
		a, err := os.Stat(d)
		if err != nil {
			return false, err
		}
		b, err := os.Stat(real[1])
		if err != nil {
			return false, err
		}
		if os.SameFile(a, b) {
			return true, nil
		}
		if d == filepath.Dir(d) {
			return false, nil
		}
	}
}

// bear has every practice's log compared with what was witnessed, at the start and then each minute, so that a new checkpoint
// is outside soon. What is wrong is said again every hour.
func (h *house) bear(ctx context.Context) error {
	clock, said := h.db.Clock(), map[db.PracticeID]time.Time{}
	for {
		all, err := h.db.Practices(ctx)
		if err != nil && ctx.Err() == nil {
			h.log.Warn("the list of practices cannot be read", "error", err)
		}
		for _, p := range all {
			err := h.witness.Keep(ctx, auth.SystemScope(p, "audit witness"))
			if err == nil {
				delete(said, p)
				continue
			}
			if ctx.Err() != nil || clock.Since(said[p]) < time.Hour {
				continue
			}
			said[p] = clock.Now()
			if errors.Is(err, audit.ErrForked) {
				h.log.Error("THE AUDIT WAS ROLLED BACK OR REWRITTEN: it does not continue what was witnessed. Nothing is witnessed until somebody looks into it", "practice", p, "error", err)
			} else {
				h.log.Error("the audit could not be witnessed; it is tried again", "practice", p, "error", err)
			}
		}
		if err == nil {
			h.witness.Rounded()
		}
		if clock.Sleep(ctx, time.Minute) != nil {
			return nil
		}
	}
}

// readiness is the answer of /readyz once the database has answered. A server whose audit goes unwitnessed serves on, marked: people
// need their charts, and somebody has to look after the witness.
func (h *house) readiness() string {
	said := []string{"ready"}
	if h.witness != nil {
		unwitnessed, forked, late := h.witness.Lapses()
		if late {
			said = append(said, "warning: the witness of the audit is behind; its folder may be gone")
		}
		if n := unwitnessed - forked; n > 0 {
			said = append(said, fmt.Sprintf("warning: the audit of %d practices goes unwitnessed", n))
		}
		if forked > 0 {
			said = append(said, fmt.Sprintf("warning: the audit of %d practices does not continue what was witnessed", forked))
		}
	}
	return strings.Join(said, "\n")
}

// lapse says whether the audit of a practice goes unwitnessed on a server that has a witness.
func (h *house) lapse(p db.PracticeID) (audit.Lapse, bool) {
	if h.witness == nil {
		return audit.Lapse{}, false
	}
	return h.witness.Lapse(p)
}
