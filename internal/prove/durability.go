package prove

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Durability is the proof that nothing that was acknowledged is lost, and that each effect happens once: the real server, program,
// is killed (SIGKILL) again and again while eight clients create, change, delete, read and search; after each start everything that
// was acknowledged must be there, what was not is sent again and must then be there once, transactions whole or not at all. In the
// end everything is looked for once more, and the audit and the doctor must find nothing. Cycles is how often it is killed, 50 by
// itself.
//
// With power the database lies on a device that loses all or some of what was not flushed (see [device]), and instead of the program alone
// the device, PostgreSQL and the program all end at once. Cycles is then 3 by itself.
//
// The control takes away what a disk that lies would: the end of the write-ahead log, or on PostgreSQL an acknowledged record; with
// power the device ignores every flush.
func Durability(program string, power *Power) Proof {
	p := Proof{Name: "durability", Promise: "What was acknowledged is never lost, and each effect happens once.",
		Try: func(ctx context.Context, r *Run) error { return tryDurability(ctx, r, program, power) }}
	if power != nil {
		p.Promise = "What was acknowledged is never lost, also when the power goes, and each effect happens once."
	}
	return p
}

const (
	durablePractice = "prove"
	durableWriters  = 8
	durableSystem   = "https://example.org/prove"
)

func tryDurability(ctx context.Context, r *Run, program string, power *Power) (err error) {
	s := &server{r: r, program: program, data: filepath.Join(r.Dir, "data"), keys: r.Dir, power: power != nil}
	cycles := r.Cycles
	if cycles == 0 {
		cycles = 50
	}
	var d *device
	if power != nil {
		if r.Cycles == 0 {
			cycles = 3
		}
		if d, err = r.newDevice(ctx, *power); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.remove()) }()
		s.data, s.keys = filepath.Join(d.mount, "data"), d.mount
	}
	s.place = []string{"--data", s.data}
	if r.Engine.App != "" {
		s.place = []string{"--database", r.Engine.App, "--master-key", filepath.Join(s.keys, "master.key"), "--keystore", filepath.Join(s.keys, "keys")}
		if _, err := s.run(ctx, "migrate", "--database", r.Engine.Owner, "--role", appRole(r.Engine.App)); err != nil {
			return err
		}
	}
	if _, err := s.run(ctx, append([]string{"practice", "add", durablePractice, "Proving ground"}, s.place...)...); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.mint(ctx); err != nil {
		return err
	}
	stop := s.kill
	if d != nil {
		if r.Control {
			if err := d.lie(ctx); err != nil { // everything so far is on it
				return err
			}
		}
		stop = func() {
			if err := d.cut(s.kill); err != nil {
				r.Fail("the power was not cut as it was meant to: %v", err)
			}
		}
	}
	random := r.random(1)
	var all, made []*effect
	for c := range cycles {
		if c > 0 {
			err := error(nil)
			if d != nil {
				err = d.plugIn(ctx)
			}
			if err == nil {
				err = s.mint(ctx)
			}
			if err == nil {
				err = s.start(ctx)
			}
			switch {
			case err != nil && r.Control:
				r.Fail("it does not start again: %v", err)
				return nil
			case err != nil:
				return err
			}
			if err := s.check(ctx, made); err != nil {
				return err
			}
			if r.Control && r.Failed() {
				s.kill()
				return nil
			}
		} else if err := s.start(ctx); err != nil {
			return err
		}
		made = s.load(ctx, random, c, time.Duration(50+random.IntN(350))*time.Millisecond, stop)
		all = append(all, made...)
		r.Count(map[bool]string{false: "kills", true: "power cuts"}[d != nil], 1)
		if r.Control && d == nil {
			if err := s.lie(all); err != nil {
				return err
			}
		}
		if (c+1)%10 == 0 || d != nil {
			r.Say("%d of %d cycles", c+1, cycles)
		}
	}
	return s.last(ctx, d, all)
}

// last looks for everything once more, now that nothing moves.
func (s *server) last(ctx context.Context, d *device, all []*effect) error {
	if d != nil {
		if err := d.plugIn(ctx); err != nil {
			if s.r.Control {
				s.r.Fail("it does not start again: %v", err)
				return nil
			}
			return err
		}
	}
	if err := s.start(ctx); err != nil {
		if s.r.Control {
			s.r.Fail("the server does not start again: %v", err)
			return nil
		}
		return err
	}
	if err := s.check(ctx, all); err != nil {
		return err
	}
	s.kill()
	for _, args := range [][]string{{"audit", "verify", "--practice", durablePractice}, {"doctor"}} {
		if out, err := s.run(ctx, append(args, s.place...)...); err != nil {
			s.r.Fail("yarrow %s: %v: %.300s", strings.Join(args, " "), err, out)
		} else {
			s.r.Count(args[0]+" found nothing", 1)
		}
	}
	return nil
}

// lie is what a disk does that acknowledges what it has not kept.
func (s *server) lie(all []*effect) error {
	if s.r.Engine.App != "" {
		for _, e := range all { // as if the database had forgotten: a record that was never sent counts as acknowledged
			if !e.acked && e.kind == "Patient" {
				e.key, e.acked = e.key+"-forgotten", true
				return nil
			}
		}
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(s.data, "*", "*-wal"))
	more, err2 := filepath.Glob(filepath.Join(s.data, "*", "*", "*-wal"))
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	for _, path := range append(logs, more...) {
		if strings.Contains(path, "system") {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := os.Truncate(path, info.Size()/3); err != nil {
			return err
		}
	}
	return nil
}
