package keeping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// Order is what somebody wants to be destroyed.
type Order struct {
	Type, ID string // of one resource; ID "" for those of a type, Type "" for all
	Reason   string
	// Of one resource exactly one is set; of several only Deleted is possible.
	Deleted    bool // resources that were deleted, wholly
	Versions   bool // superseded versions; the current one stays
	Everything bool // of a Patient: the whole record
	Limit      int  // how many resources at most; 0 for a thousand
}

// Receipt says what was destroyed. Digest is part of an entry in the sealed audit, which proves when the receipt was written.
type Receipt struct {
	ID       int64     `json:"id"`
	At       time.Time `json:"at"`
	By       int64     `json:"by"` // user
	Reason   string    `json:"reason"`
	What     string    `json:"what"` // deleted, versions or record
	Removed  []string  `json:"removed,omitempty"`
	Count    int       `json:"count"`
	Part     bool      `json:"part,omitempty"`     // of a record: it was stopped, the rest is still there
	Shared   []string  `json:"shared,omitempty"`   // resources that name the patient beside the one they belong to: they stay
	Kept     int       `json:"kept"`               // protected by a rule or a hold
	Earliest time.Time `json:"earliest,omitempty"` // when the first of those that a rule protects may be destroyed
	Digest   string    `json:"-"`
	// Signed is the receipt as the practice signs it, with the key of its audit (audit.SignStatement, kind "removal"): who has it and the
	// practice's public key needs nothing else.
	Signed string `json:"signed,omitempty"`
}

const maxOrder = 1000

// Expunge carries an order out and gives its receipt. One resource that is protected refuses the order, with the reason and the day
// it becomes possible; of several, those that are protected stay and are counted.
func (k *Keeper) Expunge(ctx context.Context, who auth.Staff, o Order) (Receipt, error) {
	out := Receipt{ID: newID(), By: who.UserID()}
	if err := k.may(who); err != nil {
		return out, err
	}
	var err error
	if out.Reason, err = why(o.Reason); err != nil {
		return out, err
	}
	if err := o.check(); err != nil {
		return out, err
	}
	sys := auth.SystemScope(who.Practice(), fmt.Sprintf("expunge ordered by user %d", who.UserID()))
	if o.Everything {
		return out, k.eraseRecord(ctx, sys, o, &out)
	}
	err = k.db.Do(ctx, sys, func(tx *db.Tx) error {
		out.Removed, out.Kept, out.Earliest = nil, 0, time.Time{}
		refs := []string{o.Type + "/" + o.ID}
		if o.ID == "" {
			if refs, err = k.store.Deleted(ctx, tx, o.Type, o.Limit); err != nil {
				return err
			}
		}
		if err := lock(ctx, tx); err != nil {
			return err
		}
		j, err := k.judge(ctx, tx)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			switch err := j.protects(ctx, ref, o); {
			case err == nil:
				out.Removed = append(out.Removed, ref)
			case o.ID != "" || !protected(err):
				return err
			default:
				out.Kept++
			}
		}
		out.Earliest = j.earliest
		if out.What = "deleted"; o.Versions {
			out.What = "versions"
			out.Count, err = k.store.ExpungeVersions(ctx, tx, out.Removed...)
		} else {
			out.Count, err = k.store.Expunge(ctx, tx, out.Removed...)
		}
		if err != nil {
			return err
		}
		return k.write(tx, o, &out)
	})
	return out, err
}

func (o *Order) check() error {
	n := 0
	for _, set := range []bool{o.Deleted, o.Versions, o.Everything} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fhir.Problem("required", "It is not said what is to be destroyed.", "Ask for exactly one: deleted resources, superseded versions, or everything of a patient.")
	case o.Everything && (o.Type != "Patient" || o.ID == ""):
		return fhir.Problem("value", "Only the record of one patient can be destroyed as a whole.", "Order it at the Patient.")
	case o.Versions && o.ID == "":
		return fhir.Problem("value", "Superseded versions are destroyed of one resource at a time.", "Order it at the resource.")
	case o.Limit < 0 || o.Limit > maxOrder:
		return fhir.Problem("value", "An order takes 1 to 1000 resources.", "Send a limit up to 1000, several times if need be.")
	case o.Limit == 0:
		o.Limit = maxOrder
	}
	return nil
}

// eraseRecord destroys a whole record, in several transactions; it can be ordered again if it was stopped.
func (k *Keeper) eraseRecord(ctx context.Context, sys db.Scope, o Order, out *Receipt) error {
	if err := k.db.View(ctx, sys, func(tx *db.Tx) error {
		last, err := k.store.LastCare(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		if last.IsZero() {
			return fhir.Problem("not-found", "There is no record of this patient.", "Check the id.")
		}
		j, err := k.judge(ctx, tx)
		if err != nil {
			return err
		}
		if err := j.patient(ctx, o.ID, "Patient/"+o.ID); err != nil {
			return err
		}
		return j.free(ctx, o.ID)
	}); err != nil {
		return err
	}
	done, err := k.store.ErasePatient(ctx, sys, o.ID, func(ctx context.Context, tx *db.Tx) error {
		if k.step != nil {
			tx.OnCommit(k.step)
		}
		if err := lock(ctx, tx); err != nil {
			return err
		}
		j, err := k.judge(ctx, tx)
		if err != nil {
			return err
		}
		return j.free(ctx, o.ID)
	})
	if done == nil {
		return err
	}
	out.What, out.Count, out.Shared = "record", done.Resources+done.Versions, done.Shared
	if err == nil {
		return k.db.Do(ctx, sys, func(tx *db.Tx) error { return k.write(tx, o, out) })
	}
	if out.Count == 0 {
		return err
	}
	// What is gone has its receipt, even if the one who ordered it has gone away.
	out.Part = true
	if failed := k.db.Do(context.WithoutCancel(ctx), sys, func(tx *db.Tx) error { return k.write(tx, o, out) }); failed != nil {
		return errors.Join(failed, err)
	}
	if protected(err) {
		return fhir.Problem("business-rule", "A hold stopped the destruction while it went on; a part of the record was already destroyed.",
			fmt.Sprintf("The receipt %d says how much. The rest stays for as long as the hold.", out.ID))
	}
	return err
}

// free says which hold keeps a patient's record from being destroyed as a whole; nil when none does.
func (j *judge) free(ctx context.Context, id string) error {
	if j.all {
		return holding("Patient/"+id, "everything is held")
	}
	if j.held[id] {
		return holding("Patient/"+id, "the record is held")
	}
	for held := range j.held {
		if beside, err := j.k.store.NamesBeside(ctx, j.tx, id, held); err != nil {
			return err
		} else if beside {
			return holding("Patient/"+id, "something in it names a patient whose record is held")
		}
	}
	return nil
}

// write stores the receipt and puts its digest on record, in the transaction of the removal.
func (k *Keeper) write(tx *db.Tx, o Order, out *Receipt) error {
	out.At = time.UnixMicro(tx.NowMicro()).UTC()
	out.Signed = ""
	plain, err := json.Marshal(out)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(plain)
	out.Digest = hex.EncodeToString(sum[:])
	if out.Signed, err = audit.SignStatement(tx.Keys(), "removal", string(plain)); err != nil {
		return err
	}
	k.log.Record(tx, audit.Event{Action: audit.ActionDelete, Type: o.Type, ID: o.ID, Detail: fmt.Sprintf("expunge receipt %d sha256:%s", out.ID, out.Digest), Links: out.Removed})
	return saveReceipt(tx, *out)
}

// Receipt is one that was given before.
func (k *Keeper) Receipt(ctx context.Context, who auth.Staff, id int64) (r Receipt, err error) {
	if !who.Can(auth.RecordDestroy) {
		return r, k.may(who)
	}
	err = k.db.View(ctx, who, func(tx *db.Tx) (err error) {
		r, err = receipt(ctx, tx, id)
		return err
	})
	return r, err
}

// Receipts lists the last hundred that were given, the newest first.
func (k *Keeper) Receipts(ctx context.Context, who auth.Staff) (out []Receipt, err error) {
	if !who.Can(auth.RecordDestroy) {
		return nil, k.may(who)
	}
	err = k.db.View(ctx, who, func(tx *db.Tx) (err error) {
		out, err = receipts(ctx, tx, 100)
		return err
	})
	return out, err
}

// judge knows what is protected, within one transaction.
type judge struct {
	k        *Keeper
	tx       *db.Tx
	rules    Rules
	all      bool            // everything is held
	held     map[string]bool // patients whose record is held
	real     bool            // the practice may hold data of real people, for whom rules apply
	until    map[string]term
	earliest time.Time
}

func (k *Keeper) judge(ctx context.Context, tx *db.Tx) (*judge, error) {
	j := &judge{k: k, tx: tx, held: map[string]bool{}, until: map[string]term{}, real: k.store.HoldsReal == nil || k.store.HoldsReal(tx.Practice())}
	list, err := holds(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		if h.Lifted.IsZero() {
			j.all = j.all || h.Patient == ""
			j.held[h.Patient] = h.Patient != ""
		}
	}
	delete(j.held, "")
	j.rules, err = rules(ctx, tx)
	return j, err
}

func protected(err error) bool {
	i, ok := err.(*fhir.Issue)
	return ok && i.Code == "business-rule"
}

func holding(ref, what string) error {
	return fhir.Problem("business-rule", fmt.Sprintf("%s must not be destroyed: %s.", ref, what), "It becomes possible when whoever placed the hold lifts it.")
}

// protects says why a resource must stay; nil when it may go.
func (j *judge) protects(ctx context.Context, ref string, o Order) error {
	typ, id, _ := strings.Cut(ref, "/")
	versions, err := j.k.store.History(ctx, j.tx, typ, id, 0, 1000)
	if err != nil {
		return err
	}
	if o.Deleted && (len(versions) == 0 || !versions[0].Deleted) {
		return fhir.Problem("conflict", "This resource was not deleted.", "Delete it first; then it can be destroyed.")
	}
	patients := patientsOf(typ, id, versions)
	if len(patients) == 0 {
		if j.all {
			return holding(ref, "everything is held")
		}
		return j.wait(ref, term{versions[0].Updated.AddDate(j.rules.Other, 0, 0), ruleOther})
	}
	for _, p := range patients {
		if err := j.patient(ctx, p, ref); err != nil {
			return err
		}
	}
	return nil
}

// patient says why what is in the record of a patient must stay.
func (j *judge) patient(ctx context.Context, id, ref string) error {
	if j.all {
		return holding(ref, "everything is held")
	}
	if j.held[id] {
		return holding(ref, "the record is held")
	}
	until, known := j.until[id]
	if !known {
		last, err := j.k.store.LastCare(ctx, j.tx, id)
		if err != nil {
			return err
		}
		if last.IsZero() { // there is no record: what names the patient counts with the day it is asked
			last = time.UnixMicro(j.tx.NowMicro()).UTC()
		}
		born, err := j.born(ctx, id)
		if err != nil {
			return err
		}
		day, minor := j.rules.Until(last, born)
		if until = (term{day, ruleAdult}); minor {
			until.rule = ruleMinor
		}
		j.until[id] = until
	}
	return j.wait(ref, until)
}

// term is when something may go, and the rule that says so.
type term struct {
	until time.Time
	rule  rule
}

type rule int

const (
	ruleAdult rule = iota
	ruleMinor
	ruleOther
)

func (j *judge) wait(ref string, t term) error {
	if !j.real || !t.until.After(time.UnixMicro(j.tx.NowMicro())) {
		return nil
	}
	if j.earliest.IsZero() || t.until.Before(j.earliest) {
		j.earliest = t.until
	}
	day := t.until.Format(time.DateOnly)
	switch t.rule {
	case ruleMinor:
		return fhir.Problem("business-rule", fmt.Sprintf("%s must be kept until %s by the practice's rules: records of minors %d years after they come of age at %d.", ref, day, j.rules.Minor, j.rules.Majority),
			"Order it again on that day.")
	case ruleOther:
		return fhir.Problem("business-rule", fmt.Sprintf("%s must be kept until %s by the practice's rules: what is in no patient's record %d years after its last change.", ref, day, j.rules.Other),
			"Order it again on that day.")
	}
	return fhir.Problem("business-rule", fmt.Sprintf("%s must be kept until %s by the practice's rules: records %d years after the last care.", ref, day, j.rules.Adult),
		"Order it again on that day.")
}

// born is a patient's date of birth, from the last version that says one; zero when none does.
func (j *judge) born(ctx context.Context, id string) (time.Time, error) {
	versions, err := j.k.store.History(ctx, j.tx, "Patient", id, 0, 100)
	if i, ok := err.(*fhir.Issue); ok && i.Code == "not-found" {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	for _, v := range versions {
		if t, _, ok := fhir.Moment(v.Node().Get("birthDate").Text(), time.UTC); ok {
			return t, nil
		}
	}
	return time.Time{}, nil
}

// patientsOf are the patients that versions of a resource name as those whose record it is part of.
func patientsOf(typ, id string, versions []*fhirstore.Resource) (out []string) {
	if typ == "Patient" {
		return []string{id}
	}
	for _, v := range versions {
		if v.Node() == nil {
			continue
		}
		for _, code := range fhirstore.PatientParams(typ) {
			canonical, _ := fhirsearch.Alias(typ, code)
			for _, value := range fhirsearch.Values(typ, canonical, v.Node()) {
				if value.RefType == "Patient" && value.RefID != "" && !slices.Contains(out, value.RefID) {
					out = append(out, value.RefID)
				}
			}
		}
	}
	return out
}
