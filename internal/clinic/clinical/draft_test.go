package clinical_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/scheduling"
)

const (
	tabA = "aaaaaaaa-1"
	tabB = "bbbbbbbb-1"
)

func start(t *testing.T, p *clinictest.Practice, s auth.Staff, tab string) *clinical.Draft {
	t.Helper()
	tpl, _ := clinical.TemplateByID("blank")
	d, err := p.Notes.Start(ctx, s, "ann", "", tpl, clinical.Text{Sections: tpl.Sections}, tab)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func words(s string) clinical.Text {
	return clinical.Text{Sections: []clinical.Section{{Code: "34109-9", Title: "Note", Text: s}}}
}

func save(t *testing.T, p *clinictest.Practice, s auth.Staff, d *clinical.Draft, tab string, pen, seq int64, text string) clinical.Saved {
	t.Helper()
	out, err := p.Notes.Save(ctx, s, clinical.Save{PatientID: "ann", DraftID: d.ID, Writer: tab, Pen: pen, Seq: seq, Text: words(text)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, p *clinictest.Practice, s auth.Staff, id, tab string) *clinical.Draft {
	t.Helper()
	d, err := p.Notes.Open(ctx, s, "ann", id, tab)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func body(d *clinical.Draft) string { return d.Text.Sections[0].Text }

func TestSavesOutOfOrderAndTwice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		dr := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, dr, tabA, 1, 3, "one two three")
		save(t, p, p.Doctor, dr, tabA, 1, 2, "one two")
		save(t, p, p.Doctor, dr, tabA, 1, 3, "one two three")
		out := save(t, p, p.Doctor, dr, tabA, 1, 1, "one")
		if !out.Mine || out.Seq != 3 {
			t.Errorf("%+v", out)
		}
		if got := body(open(t, p, p.Doctor, dr.ID, tabA)); got != "one two three" {
			t.Errorf("after saves out of order: %q", got)
		}
		save(t, p, p.Doctor, dr, tabA, 1, 3, "one two three four")
		if got := body(open(t, p, p.Doctor, dr.ID, tabA)); got != "one two three four" {
			t.Errorf("other words under a used counter: %q", got)
		}
	})
}

func TestDraftSurvivesRestartAndTabClose(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		dr := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, dr, tabA, 1, 1, "Never lose a word")
		p.Wire() // the server starts again
		// At once: the old window may still be alive, so the new one reads and may take over.
		got := open(t, p, p.Doctor, dr.ID, tabB)
		if got.Mine || body(got) != "Never lose a word" {
			t.Errorf("at once: mine %v, %q", got.Mine, body(got))
		}
		// The next page in the same tab goes on writing.
		if next := open(t, p, p.Doctor, dr.ID, "aaaaaaaa-2"); !next.Mine || body(next) != "Never lose a word" {
			t.Errorf("next page of the tab: mine %v", next.Mine)
		}
		// A silent window's pen passes to the same person's next window by itself.
		d.Clock.Advance(time.Minute)
		got = open(t, p, p.Doctor, dr.ID, tabB)
		if !got.Mine || body(got) != "Never lose a word" || got.Pen.Generation != 3 {
			t.Errorf("later: mine %v pen %d %q", got.Mine, got.Pen.Generation, body(got))
		}
		// Starting the same kind of note again finds the draft instead of a second one.
		if again := start(t, p, p.Doctor, tabB); again.ID != dr.ID {
			t.Error("a second draft was begun")
		}
		// Another person never gets the pen without asking.
		d.Clock.Advance(time.Hour)
		if other := open(t, p, p.Other, dr.ID, "cccccccc-1"); other.Mine {
			t.Error("another person's window took the pen by itself")
		}
	})
}

func TestTwoEditorsLoseNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		dr := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, dr, tabA, 1, 1, "History by A.")
		b, err := p.Notes.TakeOver(ctx, p.Other, "ann", dr.ID, tabB)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Mine || body(b) != "History by A." {
			t.Fatalf("taken over: %+v", b)
		}
		save(t, p, p.Other, b, tabB, b.Pen.Generation, b.Seq+1, "History by A. Plan by B.")
		// A was typing meanwhile.
		out := save(t, p, p.Doctor, dr, tabA, 1, 2, "History by A. And a cough.")
		if out.Mine || out.Holder != "Bela Strand, NP" {
			t.Errorf("A is told: %+v", out)
		}
		b = open(t, p, p.Other, dr.ID, tabB)
		if body(b) != "History by A. Plan by B." || len(b.Others) != 1 || b.Others[0].Text.Sections[0].Text != "History by A. And a cough." || b.Others[0].Name != "Amara Quill, MD" {
			t.Fatalf("B sees both: %+v", b)
		}
		// Signing is refused until the words were looked at.
		in := clinical.Save{PatientID: "ann", DraftID: dr.ID, Writer: tabB, Pen: b.Pen.Generation, Seq: b.Seq + 1, Text: words("History by A. Plan by B.")}
		_, err = p.Notes.Sign(ctx, p.Other, in)
		var u *clinical.Unsigned
		if !errors.As(err, &u) || len(u.Others) != 1 {
			t.Fatalf("signed over words nobody read: %v", err)
		}
		if err := p.Notes.SetAside(ctx, p.Other, "ann", dr.ID, tabA, b.Others[0].Seq); err != nil {
			t.Fatal(err)
		}
		in.Seq++
		if _, err = p.Notes.Sign(ctx, p.Other, in); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Notes.Save(ctx, p.Doctor, clinical.Save{PatientID: "ann", DraftID: dr.ID, Writer: tabA, Pen: 1, Seq: 9, Text: words("late")}); code(err) != "conflict" {
			t.Errorf("a save after signing: %v", err)
		}
	})
}

func TestDraftOfAnotherPatient(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		dr := start(t, p, p.Doctor, tabA)
		in := clinical.Save{PatientID: "ben", DraftID: dr.ID, Writer: tabA, Pen: 1, Seq: 1, Text: words("wrong chart")}
		if _, err := p.Notes.Save(ctx, p.Doctor, in); code(err) != "conflict" {
			t.Errorf("save: %v", err)
		}
		if _, err := p.Notes.Sign(ctx, p.Doctor, in); code(err) != "conflict" {
			t.Errorf("sign: %v", err)
		}
		if _, err := p.Notes.Open(ctx, p.Doctor, "ben", dr.ID, tabA); code(err) != "conflict" {
			t.Errorf("open: %v", err)
		}
		if _, err := p.Notes.Save(ctx, p.Desk, in); code(err) != "forbidden" {
			t.Errorf("front desk: %v", err)
		}
	})
}

func TestSignMakesOneNote(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		d.Clock.Set(time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC))
		appt, err := p.Book.Book(ctx, p.Desk, scheduling.Request{PatientID: "ann", StaffID: "doc1", Start: d.Clock.Now(), Minutes: 20, Type: "Follow-up"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []scheduling.Status{scheduling.Arrived, scheduling.Roomed, scheduling.InVisit} {
			if _, err := p.Book.SetStatus(ctx, p.Nurse, appt, 0, s, ""); err != nil {
				t.Fatal(err)
			}
		}
		visit := chart(t, p, "ann").Visit
		if visit == nil || visit.Status != "in-progress" || visit.With != "Amara Quill, MD" {
			t.Fatalf("visit: %+v", visit)
		}
		tpl, _ := clinical.TemplateByID("follow-up")
		dr, err := p.Notes.Start(ctx, p.Doctor, "ann", visit.ID, tpl, tpl.Fill(chart(t, p, "ann")), tabA)
		if err != nil {
			t.Fatal(err)
		}
		in := clinical.Save{PatientID: "ann", DraftID: dr.ID, Writer: tabA, Pen: 1, Seq: 1, Text: dr.Text}
		_, err = p.Notes.Sign(ctx, p.Doctor, in)
		var u *clinical.Unsigned
		if !errors.As(err, &u) || len(u.Blanks) < 2 {
			t.Fatalf("signed with blanks: %v", err)
		}
		in.Seq = 2
		in.Text.Sections = append([]clinical.Section(nil), in.Text.Sections...)
		for i := range in.Text.Sections {
			in.Text.Sections[i].Text = "Better. BP <140 & falling.\nSecond line"
		}
		id, err := p.Notes.Sign(ctx, p.Doctor, in)
		if err != nil {
			t.Fatal(err)
		}
		note, err := p.Notes.Read(ctx, p.Doctor, "ann", id)
		if err != nil {
			t.Fatal(err)
		}
		if len(note.Text.Sections) != len(in.Text.Sections) || note.Text.Sections[0].Text != "Better. BP <140 & falling.\nSecond line" || note.Author != "Amara Quill, MD" {
			t.Errorf("read back: %+v", note)
		}
		doc := p.Read(t, "DocumentReference", id).Node()
		raw, _ := base64.StdEncoding.DecodeString(doc.At("content", "attachment", "data").Text())
		if !strings.Contains(string(raw), "Better. BP <140 & falling.") {
			t.Errorf("attachment: %s", raw)
		}
		if e := p.Read(t, "Encounter", visit.ID).Node(); e.Get("status").Text() != "finished" {
			t.Errorf("encounter: %s", e)
		}
		if a := p.Read(t, "Appointment", appt).Node(); a.Get("status").Text() != "fulfilled" {
			t.Errorf("appointment: %s", a)
		}
		if n := len(p.Find(t, "Composition", "patient", "Patient/ann")); n != 1 {
			t.Errorf("%d compositions", n)
		}
		if _, err := p.Notes.Sign(ctx, p.Doctor, in); code(err) != "conflict" {
			t.Errorf("signed twice: %v", err)
		}
		if _, err := p.Notes.Addend(ctx, p.Doctor, "ann", id, "Called with the result."); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Notes.Addend(ctx, p.Doctor, "ben", id, "Wrong chart."); code(err) != "conflict" {
			t.Errorf("addendum in another chart: %v", err)
		}
		if note, _ = p.Notes.Read(ctx, p.Doctor, "ann", id); len(note.Addenda) != 1 || note.Addenda[0].Text != "Called with the result." {
			t.Errorf("addenda: %+v", note.Addenda)
		}
		list, err := p.Record.Notes(ctx, p.Doctor, "ann", 20)
		if err != nil || len(list) != 1 {
			t.Errorf("list: %d %v", len(list), err)
		}
		if err := p.Notes.MarkNoteWrong(ctx, p.Doctor, "ann", id, note.Version); err != nil {
			t.Fatal(err)
		}
		if note, _ = p.Notes.Read(ctx, p.Doctor, "ann", id); !note.Wrong {
			t.Error("not marked wrong")
		}
	})
}

// However saves of one window are delayed, repeated or overtaken, the draft ends with the
// words of the highest counter.
func TestNewestCounterWins(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	p := furnish(t, d)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		tpl, _ := clinical.TemplateByID("blank")
		tpl.ID = "blank" + strings.Repeat("x", n)
		dr, err := p.Notes.Start(ctx, p.Doctor, "ann", "", tpl, words(""), tabA)
		if err != nil {
			rt.Fatal(err)
		}
		seqs := rapid.SliceOfN(rapid.Int64Range(1, 12), 1, 8).Draw(rt, "arrivals")
		var best int64
		for _, s := range seqs {
			if _, err := p.Notes.Save(ctx, p.Doctor, clinical.Save{PatientID: "ann", DraftID: dr.ID, Writer: tabA, Pen: 1, Seq: s, Text: words(strings.Repeat("w", int(s)))}); err != nil {
				rt.Fatal(err)
			}
			best = max(best, s)
		}
		got, err := p.Notes.Look(ctx, p.Doctor, "ann", dr.ID, tabA)
		if err != nil {
			rt.Fatal(err)
		}
		if int64(len(body(got))) != best {
			rt.Fatalf("%q after %v", body(got), seqs)
		}
	})
}

// TestOldDraftsAreForgotten: what was signed or discarded a month ago goes; what waits for its author stays.
func TestOldDraftsAreForgotten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := furnish(t, d)
		sys := auth.SystemScope(p.ID, "test")
		gone := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, gone, tabA, 1, 2, "not wanted")
		if err := p.Notes.Discard(ctx, p.Doctor, "ann", gone.ID, tabA); err != nil {
			t.Fatal(err)
		}
		kept := start(t, p, p.Doctor, tabA)
		save(t, p, p.Doctor, kept, tabA, 1, 2, "still wanted")
		forget := func() int64 {
			n, err := p.Notes.Forget(ctx, sys, d.Clock.Now().Add(-clinical.DraftsKept))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		d.Clock.Advance(clinical.DraftsKept - time.Hour)
		if n := forget(); n != 0 {
			t.Errorf("%d drafts are forgotten too early", n)
		}
		d.Clock.Advance(2 * time.Hour)
		if n := forget(); n != 1 {
			t.Errorf("%d drafts are forgotten", n)
		}
		if _, err := p.Notes.Look(ctx, p.Doctor, "ann", gone.ID, ""); err == nil {
			t.Error("the discarded draft is still there")
		}
		if got := body(open(t, p, p.Doctor, kept.ID, tabA)); got != "still wanted" {
			t.Errorf("the open draft says %q", got)
		}
	})
}
