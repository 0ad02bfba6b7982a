package scheduling

import (
	"context"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// The grain of the booking table: five minutes.
const (
	slotSeconds = 300
	slotsPerDay = 24 * 3600 / slotSeconds
)

var (
	insBooking = db.InsertInto("booking", "practice_id", "staff", "slot", "lane", "appointment")
	selBooking = db.SQL(`SELECT slot, lane, appointment FROM booking
		WHERE practice_id = $1 AND staff = $2 AND slot >= $3 AND slot < $4`)
	delBooking = db.SQL(`DELETE FROM booking
		WHERE practice_id = $1 AND staff = $2 AND slot >= $3 AND slot < $4 AND appointment = $5`)
)

func (s stretch) slots() (first, end int64) {
	return s.from.Unix() / slotSeconds, (s.to.Unix() + slotSeconds - 1) / slotSeconds
}

func staffKey(tx *db.Tx, staffID string) int64 { return tx.Keys().Hash("booking-staff", staffID) }

// claim takes the person's time for an appointment. The primary key of the table makes a
// second claim of the same lane impossible, whatever two requests believed when they
// looked. Appointments that came in from elsewhere without a claim count as well.
func (b *Book) claim(ctx context.Context, tx *db.Tx, staffID, appointment string, at stretch, double bool, zone *time.Location) error {
	first, end := at.slots()
	key := staffKey(tx, staffID)
	used := map[int64]map[int64]bool{} // slot → lanes
	busy := map[string]bool{}
	rows, err := tx.Query(ctx, selBooking, int64(tx.Practice()), key, first-slotsPerDay, end+slotsPerDay)
	if err != nil {
		return err
	}
	for rows.Next() {
		var slot, lane int64
		var who string
		if err := rows.Scan(&slot, &lane, &who); err != nil {
			rows.Close()
			return err
		}
		if used[slot] == nil {
			used[slot] = map[int64]bool{}
		}
		used[slot][lane] = true
		busy[who] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	taken := &Taken{}
	others, err := b.store.Find(ctx, tx, "Appointment", "actor", "Practitioner/"+staffID,
		"date", "ge"+at.from.Add(-12*time.Hour).UTC().Format(time.RFC3339), "date", "lt"+at.to.UTC().Format(time.RFC3339))
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.ID == appointment {
			continue
		}
		switch o.Node().Get("status").Text() {
		case "cancelled", "noshow", "entered-in-error":
			continue
		}
		its := span(o.Node(), zone)
		if !its.from.Before(at.to) || !at.from.Before(its.to) {
			continue
		}
		from, to := its.from.In(zone), its.to.In(zone)
		taken.Times = append(taken.Times, from.Format("3:04")+"–"+to.Format("3:04 pm"))
		if !busy[o.ID] {
			lane, err := take(tx, key, o.ID, its, used)
			if err != nil {
				return err
			}
			markUsed(used, its, lane)
		}
	}
	if len(taken.Times) > 0 && !double {
		return taken
	}
	_, err = take(tx, key, appointment, at, used)
	return err
}

func markUsed(used map[int64]map[int64]bool, at stretch, lane int64) {
	for slot, end := at.slots(); slot < end; slot++ {
		if used[slot] == nil {
			used[slot] = map[int64]bool{}
		}
		used[slot][lane] = true
	}
}

// take writes the rows of an appointment in the first lane that is free all along.
func take(tx *db.Tx, key int64, appointment string, at stretch, used map[int64]map[int64]bool) (int64, error) {
	first, end := at.slots()
	for lane := int64(0); lane < 20; lane++ {
		free := true
		for slot := first; slot < end && free; slot++ {
			free = !used[slot][lane]
		}
		if !free {
			continue
		}
		var rows [][]any
		for slot := first; slot < end; slot++ {
			rows = append(rows, []any{int64(tx.Practice()), key, slot, lane, appointment})
		}
		tx.InsertMany(insBooking, rows)
		return lane, nil
	}
	return 0, fhir.Problem("business-rule", "Twenty visits overlap at this time already.", "Choose another time.")
}

// release frees the time of an appointment.
func release(ctx context.Context, tx *db.Tx, staffID, appointment string, at stretch) error {
	first, end := at.slots()
	_, err := tx.Exec(ctx, delBooking, int64(tx.Practice()), staffKey(tx, staffID), first, end, appointment)
	return err
}
