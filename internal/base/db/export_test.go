package db

import (
	"context"
	"time"
)

// InLine is how many transactions of a practice stand in line for the baton.
func InLine(d *DB, p PracticeID) int {
	var w *baton
	switch b := d.backend.(type) {
	case *postgresBackend:
		w = &b.writer(p).baton
	case *sqliteBackend:
		s, err := b.acquire(context.Background(), p)
		if err != nil {
			return -1
		}
		defer b.release(s)
		w = &s.writer.baton
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// NoHurry has batches take as long as they like until the function it returns is called.
func NoHurry() func() {
	was := batchTime
	batchTime = time.Hour
	return func() { batchTime = was }
}

// Connections counts the open practices of the embedded database, with the system store, and the connections to their files, all
// at rest.
func Connections(d *DB) (stores, connections int) {
	b := d.backend.(*sqliteBackend)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.open {
		connections += s.connections()
	}
	return len(b.open), connections
}

// KeepSpare sets how many connections beyond one for each practice stay open.
func KeepSpare(d *DB, n int) {
	b := d.backend.(*sqliteBackend)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = n
}

// HoldTrips has all Glances of a practice on PostgreSQL stand in line, as behind trips that are under way, until leave.
func HoldTrips(d *DB, p PracticeID) (inLine func() int, leave func()) {
	g := d.backend.(*postgresBackend).glances(p)
	g.mu.Lock()
	held := slowTrips - g.away
	g.away = slowTrips
	g.mu.Unlock()
	inLine = func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.line)
	}
	return inLine, func() {
		for range held {
			g.next()
		}
	}
}

// TripsAway is how many trips of a practice are under way.
func TripsAway(d *DB, p PracticeID) int {
	g := d.backend.(*postgresBackend).glances(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.away
}
