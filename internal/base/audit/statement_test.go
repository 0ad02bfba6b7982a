package audit_test

import (
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// A statement proves who made it, whatever byte is changed, and is never taken for a checkpoint, nor a checkpoint for it.
func TestStatements(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	ctx := t.Context()
	log := audit.New(d.DB)
	var signed, other string
	sign := func(p db.PracticeID, kind, text string) (out string, err error) {
		err = d.View(ctx, dbtest.ScopeOf(p), func(tx *db.Tx) (err error) {
			out, err = audit.SignStatement(tx.Keys(), kind, text)
			return err
		})
		return out, err
	}
	var err error
	if signed, err = sign(1, "removal", `{"id":7}`); err != nil {
		t.Fatal(err)
	}
	key, err := log.Key(ctx, dbtest.ScopeOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if other, err = log.Key(ctx, dbtest.ScopeOf(2)); err != nil {
		t.Fatal(err)
	}
	if kind, text, err := audit.OpenStatement(signed, key); err != nil || kind != "removal" || text != `{"id":7}` {
		t.Error(kind, text, err)
	}
	receipt := audit.Receipt{Format: audit.ReceiptFormat, Statement: signed}
	if _, err := receipt.Check(key); err != nil {
		t.Error(err)
	}
	if _, err := receipt.Check(other); err == nil {
		t.Error("another practice made it")
	}
	for i := range signed {
		bad := signed[:i] + string(signed[i]^1) + signed[i+1:]
		if _, _, err := audit.OpenStatement(bad, key); err == nil {
			t.Errorf("byte %d was changed: %q", i, bad)
		}
	}
	if _, err := audit.OpenCheckpoint(signed, key); err == nil {
		t.Error("a statement passes for a checkpoint")
	}
	if err := log.Seen(ctx, dbtest.ScopeOf(1), audit.Event{Action: audit.ActionRead}); err != nil {
		t.Fatal(err)
	}
	if err := log.Settle(ctx, dbtest.ScopeOf(1)); err != nil {
		t.Fatal(err)
	}
	c, _, err := log.Checkpoint(ctx, dbtest.ScopeOf(1), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := audit.OpenStatement(c.Note, key); err == nil {
		t.Error("a checkpoint passes for a statement")
	}
	for _, bad := range [][2]string{{"", "x"}, {"a b", "x"}, {"a", ""}, {"a", "x\ny"}, {"a\n", "x"}} {
		if _, err := sign(1, bad[0], bad[1]); err == nil {
			t.Errorf("%q is signed", bad)
		}
	}
}
