package prove

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
)

// Audit is the proof that the audit cannot be altered unseen. With tamper it also alters copies in every way it knows: flips,
// deletes, reorders, truncates, rolls back, forges, in the tables and in an exported log; each must be found and the first bad
// entry named. Cycles is the number of flipped bytes, 2,000 by itself.
func Audit(tamper bool) Proof {
	return Proof{Name: "audit", Promise: "Whatever is changed, removed, moved or cut off in the audit log is found, and the first bad entry is named.",
		Try: func(ctx context.Context, r *Run) error { return tryAudit(ctx, r, tamper) }}
}

const auditPractice = db.PracticeID(1)

func tryAudit(ctx context.Context, r *Run, tamper bool) error {
	c := clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	w, err := r.newWorld(ctx, "audit", c)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }()
	if err := w.db.Create(ctx, auditPractice); err != nil {
		return err
	}
	early, err := w.fillAudit(ctx, c)
	if err != nil {
		return err
	}
	s := auth.SystemScope(auditPractice, "prove")
	var log bytes.Buffer
	end, err := w.log.Export(ctx, s, &log)
	if err != nil {
		return err
	}
	key, err := w.log.Key(ctx, s)
	if err != nil {
		return err
	}
	kept := []audit.Receipt{{Format: audit.ReceiptFormat, Checkpoint: early.Note}, {Format: audit.ReceiptFormat, Checkpoint: end.Note}}
	t := auditTrial{r: r, w: w, key: key, kept: kept, log: log.Bytes(), end: end.Checkpoint}
	if r.Control {
		// The copy that is verified below is not the one that was signed.
		lines := bytes.SplitAfter(t.log, []byte("\n"))
		at := places(lines)
		gone := 200
		for at[gone] == at[gone-1] { // a checkpoint between entries may be missing; an entry may not
			gone++
		}
		t.log = bytes.Join(slices.Delete(lines, gone, gone+1), nil)
	}
	if err := t.sound(ctx, s); err != nil || r.Control {
		return err
	}
	if err := t.refused(ctx); err != nil {
		return err
	}
	if tamper {
		t.flips()
		t.lines()
		if r.Engine.App == "" {
			if err := t.tables(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillAudit records a day of a small practice, with a checkpoint every hour. It returns the first.
func (w *world) fillAudit(ctx context.Context, c *clock.Clock) (early audit.Signed, err error) {
	random := w.r.random(1)
	s := auth.SystemScope(auditPractice, "prove")
	for hour := range 10 {
		for range 20 {
			c.Advance(3 * time.Minute)
			var events []audit.Event
			for range 1 + random.IntN(20) {
				events = append(events, audit.Event{Action: audit.ActionRead, Type: "Observation", ID: fmt.Sprintf("%016x", random.Uint64()), Version: 1,
					Patient: fmt.Sprintf("Patient/p%d", random.IntN(200)), Categories: []string{"results"}})
			}
			if random.IntN(10) == 0 {
				events[0].Action = audit.ActionPrint
			}
			if err := w.log.Seen(ctx, auth.SystemScope(auditPractice, fmt.Sprintf("person %d", random.IntN(12))), events...); err != nil {
				return early, err
			}
		}
		for more := true; more; {
			if _, more, err = w.log.Sequence(ctx, s); err != nil {
				return early, err
			}
		}
		signed, _, err := w.log.Checkpoint(ctx, s, false)
		if err != nil {
			return early, err
		}
		if hour == 0 {
			early = signed
		}
	}
	return early, nil
}

type auditTrial struct {
	r    *Run
	w    *world
	key  string
	kept []audit.Receipt
	log  []byte
	end  audit.Checkpoint
}

// sound looks at the log as it should be: nothing may be found.
func (t *auditTrial) sound(ctx context.Context, s db.Scope) error {
	report, err := audit.VerifyExport(bytes.NewReader(t.log), t.key, t.kept...)
	if err != nil {
		return err
	}
	if f := report.Fault; f != nil {
		t.r.Fail("the exported log: position %d: %s", f.Position, f.What)
	} else if report.End != t.end {
		t.r.Fail("the exported log ends elsewhere than the signed checkpoint")
	}
	inside, err := t.w.log.Verify(ctx, s, t.end)
	if err != nil {
		return err
	}
	if f := inside.Fault; f != nil {
		t.r.Fail("the tables: position %d: %s", f.Position, f.What)
	}
	t.r.Count("entries verified", inside.Entries)
	t.r.Count("signed checkpoints passed", inside.Checkpoints)
	all, err := t.w.log.Find(ctx, s, audit.Filter{Limit: audit.MaxFound})
	if err != nil {
		return err
	}
	random := t.r.random(2)
	for range 20 {
		receipt, err := t.w.log.Receipt(ctx, s, all[random.IntN(len(all))].ID)
		if err != nil {
			return err
		}
		if _, err := receipt.Check(t.key); err != nil {
			t.r.Fail("a receipt: %v", err)
		}
		t.r.Count("receipts checked", 1)
	}
	return nil
}

// named looks at an altered log: the fault must be found, and named at the first bad entry.
func (t *auditTrial) named(what string, log []byte, from, to int64) {
	t.r.Count("alterations of an exported log", 1)
	report, err := audit.VerifyExport(bytes.NewReader(log), t.key, t.kept...)
	switch {
	case err != nil:
		t.r.Fail("%s: %v", what, err)
	case report.Fault == nil:
		t.r.Fail("%s: not found", what)
	case report.Fault.Position < from || report.Fault.Position > to:
		t.r.Fail("%s: named as position %d, was %d", what, report.Fault.Position, from)
	default:
		t.r.Count("found", 1)
	}
}

// place finds the entry a line holds: 0 for the head, and for a checkpoint the entry before it.
func places(lines [][]byte) []int64 {
	out := make([]int64, len(lines))
	for i := 1; i < len(lines); i++ {
		out[i] = out[i-1]
		if bytes.HasPrefix(lines[i], []byte(`{"position"`)) {
			out[i]++
		}
	}
	return out
}

// cycles is how many bytes are flipped; a twentieth as many lines are deleted, and so on.
func (t *auditTrial) cycles() int {
	if t.r.Cycles > 0 {
		return t.r.Cycles
	}
	return 2000
}

func (t *auditTrial) flips() {
	random := t.r.random(3)
	lines := bytes.SplitAfter(t.log, []byte("\n"))
	at := places(lines)
	starts := make([]int, len(lines))
	for i := 1; i < len(lines); i++ {
		starts[i] = starts[i-1] + len(lines[i-1])
	}
	for range t.cycles() {
		i := random.IntN(len(t.log))
		bad := bytes.Clone(t.log)
		bad[i] ^= 1 << random.IntN(8)
		line, _ := slices.BinarySearch(starts, i+1)
		p := at[line-1]
		// The end of a line joins it with the next; a checkpoint's line comes after its entry.
		t.named(fmt.Sprintf("byte %d flipped", i), bad, p, p+1)
	}
}

func (t *auditTrial) lines() {
	random := t.r.random(4)
	lines := bytes.SplitAfter(t.log, []byte("\n"))
	lines = lines[:len(lines)-1] // what follows the last end of a line
	at := places(lines)
	isEntry := func(i int) bool { return i > 0 && at[i] != at[i-1] }
	join := func(parts ...[][]byte) []byte { return bytes.Join(slices.Concat(parts...), nil) }
	for range 1 + t.cycles()/20 {
		i := 1 + random.IntN(len(lines)-2)
		for !isEntry(i) || i+1 < len(lines) && !isEntry(i+1) {
			i = 1 + random.IntN(len(lines)-2)
		}
		p := at[i]
		t.named(fmt.Sprintf("entry %d deleted", p), join(lines[:i], lines[i+1:]), p, p)
		t.named(fmt.Sprintf("entry %d repeated", p), join(lines[:i+1], lines[i:]), p+1, p+1)
		t.named(fmt.Sprintf("entries %d and %d exchanged", p, p+1), join(lines[:i], lines[i+1:i+2], lines[i:i+1], lines[i+2:]), p, p)
		t.named(fmt.Sprintf("cut off after entry %d", p), join(lines[:i+1]), 1, p+1)
	}
	// Rolled back to an earlier, properly signed state: only who kept a later checkpoint can tell.
	for i := range lines {
		if bytes.HasPrefix(lines[i], []byte(`{"checkpoint"`)) && i < len(lines)-1 {
			t.named(fmt.Sprintf("rolled back to the checkpoint after entry %d", at[i]), join(lines[:i+1]), at[i]+1, at[i]+1)
		}
	}
	forged := bytes.Replace(t.log, []byte(`"action":"print"`), []byte(`"action":"read"`), 1)
	t.named("words rewritten", forged, 1, int64(len(lines)))
}

// refused tries, as the role that serves, what only an attacker would.
func (t *auditTrial) refused(ctx context.Context) error {
	for _, table := range auditTables {
		for _, text := range refusals(table) {
			t.r.Count("attempts to change the tables", 1)
			if err := t.w.attempt(ctx, text); err == nil {
				t.r.Fail("allowed: %s", strings.Fields(text)[0]+" "+table)
			} else {
				t.r.Count("refused", 1)
			}
		}
	}
	return nil
}

// tables alters copies of the database as somebody could who owns the file and has taken the triggers off.
func (t *auditTrial) tables(ctx context.Context) error {
	if err := t.w.close(); err != nil {
		return err
	}
	for n, c := range tableHarms {
		w, err := t.w.again(fmt.Sprintf("harmed-%d", n))
		if err != nil {
			return err
		}
		if err := w.open(ctx); err != nil {
			return err
		}
		err = w.harm(ctx, c.statements)
		var report audit.Report
		if err == nil {
			report, err = w.log.Verify(ctx, auth.SystemScope(auditPractice, "prove"), t.end)
		}
		if e := w.close(); err == nil {
			err = e
		}
		w.remove()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		t.r.Count("alterations of the tables", 1)
		switch {
		case report.Fault == nil:
			t.r.Fail("%s: not found", c.name)
		case !strings.Contains(report.Fault.What, c.says):
			t.r.Fail("%s: found as: %s", c.name, report.Fault.What)
		default:
			t.r.Count("found", 1)
		}
	}
	return t.w.open(ctx)
}
