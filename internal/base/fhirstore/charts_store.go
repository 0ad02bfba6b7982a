package fhirstore

import (
	"context"
	"slices"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// charts are the kernel's rules for single patients under a practice's keys. A resource counts as the record of the
// first patient whose compartment it is in; a closed chart closes what names the patient in any other place too.
type charts struct {
	closed    []int64           // idh of patients of whom nothing is seen
	closedIDs []string          // the same patients
	masks     map[int64]int64   // forbidden labels by idh of the patient
	groups    map[int64][]int64 // the same turned round
}

func chartsOf(a auth.Access, k keyspace) (c charts) {
	if len(a.Charts) == 0 {
		return c
	}
	c.masks, c.groups = map[int64]int64{}, map[int64][]int64{}
	for id, rule := range a.Charts {
		idh := k.id("Patient", id)
		if rule.Closed {
			c.closed, c.closedIDs = append(c.closed, idh), append(c.closedIDs, id)
			continue
		}
		c.masks[idh] = rule.Forbidden
		c.groups[rule.Forbidden] = append(c.groups[rule.Forbidden], idh)
	}
	slices.Sort(c.closed)
	return c
}

// forbidden is the labels forbidden in the record of a patient.
func (c *charts) forbidden(general, patient int64) int64 {
	if m, ok := c.masks[patient]; ok && patient != 0 {
		return m
	}
	return general
}

// open says whether labels and the first patient let a resource through.
func (c *charts) open(general, patient, labels int64) bool {
	if labels&c.forbidden(general, patient) != 0 {
		return false
	}
	_, shut := slices.BinarySearch(c.closed, patient)
	return !shut || patient == 0
}

// where appends the conditions on labels and patients on table alias r.
func (c *charts) where(q *sqlText, a *kernel, alias, typ string) {
	// "< 1" is "= 0" for masks without a sign, and PostgreSQL does not expect it to leave nearly nothing.
	mask := func(labels int64) { q.add("(", alias, ".labels & ", q.arg(labels), ") < 1") }
	masks := make([]int64, 0, len(c.groups))
	for m := range c.groups {
		masks = append(masks, m)
	}
	slices.Sort(masks)
	if a.Forbidden != 0 {
		q.add(" AND (")
		mask(a.Forbidden)
		for _, m := range masks {
			if a.Forbidden&^m != 0 {
				q.add(" OR (")
				q.in(alias+".patient", c.groups[m])
				q.add(" AND ")
				mask(m)
				q.add(")")
			}
		}
		q.add(")")
	}
	for _, m := range masks {
		if m&^a.Forbidden != 0 {
			q.add(" AND (NOT (")
			q.in(alias+".patient", c.groups[m])
			q.add(") OR ")
			mask(m)
			q.add(")")
		}
	}
	if len(c.closed) == 0 || sharedTypes[typ] {
		return
	}
	q.add(" AND NOT (")
	q.in(alias+".patient", c.closed)
	q.add(") AND NOT EXISTS (SELECT 1 FROM hkey s WHERE s.practice_id = $1 AND ")
	q.in("s.h", c.extras(a, typ))
	q.add(" AND s.d = ", alias, ".date AND s.rid = ", alias, ".rid)")
}

// extras are the index keys of resources of a type that name a closed patient in a further place.
func (c *charts) extras(a *kernel, typ string) []int64 {
	out := make([]int64, len(c.closedIDs))
	for i, id := range c.closedIDs {
		out[i] = a.k.patient(typ, id)
	}
	return out
}

var selectAnyKey = db.SQL(`SELECT 1 FROM hkey k WHERE k.practice_id = $1 AND k.h {in $2} AND k.d = $3 AND k.rid = $4`)

// shut says whether a row names a patient whose chart is closed, beside the first one.
func (a *kernel) shut(ctx context.Context, tx *db.Tx, typ string, r *row) (bool, error) {
	if len(a.charts.closed) == 0 || sharedTypes[typ] {
		return false, nil
	}
	rows, err := tx.Query(ctx, selectAnyKey, int64(tx.Practice()), a.charts.extras(a, typ), r.date, r.rid)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}
