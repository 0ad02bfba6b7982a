package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/egress"
)

// Durability is the proof that nothing that was acknowledged is lost, and that each effect happens once: the real server, program,
// is killed (SIGKILL) again and again while eight clients write to it; after each start everything that was acknowledged must be
// there, what was not is sent again under its key and must then be there once, transactions whole or not at all. In the end the
// audit and the doctor must find nothing. Cycles is how often it is killed, 50 by itself.
//
// The control takes away what a disk that lies would: the end of the write-ahead log, or on PostgreSQL an acknowledged record.
// Kills do not test the disk's own promises; for power cuts run it on a device that forgets, as docs/operations.md says.
func Durability(program string) Proof {
	return Proof{Name: "durability", Promise: "What was acknowledged is never lost, and each effect happens once.",
		Try: func(ctx context.Context, r *Run) error { return tryDurability(ctx, r, program) }}
}

const (
	durablePractice = "prove"
	durableWriters  = 8
	durableSystem   = "https://example.org/prove"
)

// effect is one thing that a client asked for.
type effect struct {
	key   string // of the request, and the identifier of what it makes
	kind  string
	path  string
	body  string
	acked bool
}

type server struct {
	r       *Run
	program string
	place   []string // flags that say where the data is
	data    string   // folder of the embedded database
	client  *egress.Client
	base    string
	port    int
	token   string
	cmd     *exec.Cmd
	said    bytes.Buffer
}

func tryDurability(ctx context.Context, r *Run, program string) error {
	s := &server{r: r, program: program, data: filepath.Join(r.Dir, "data")}
	s.place = []string{"--data", s.data}
	if r.Engine.App != "" {
		s.place = []string{"--database", r.Engine.App, "--master-key", filepath.Join(r.Dir, "master.key"), "--keystore", filepath.Join(r.Dir, "keys")}
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
	cycles := r.Cycles
	if cycles == 0 {
		cycles = 50
	}
	random := r.random(1)
	var all []*effect
	for c := range cycles {
		if c%1000 == 0 {
			if err := s.mint(ctx); err != nil {
				return err
			}
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		made := s.load(ctx, random, c, time.Duration(50+random.IntN(350))*time.Millisecond)
		all = append(all, made...)
		if r.Control {
			if err := s.lie(all); err != nil {
				return err
			}
		}
		if err := s.start(ctx); err != nil {
			if r.Control {
				r.Fail("the server does not start again: %v", err)
				return nil
			}
			return err
		}
		if err := s.check(ctx, made); err != nil {
			return err
		}
		s.kill()
		r.Count("kills", 2)
		if r.Control && r.Failed() {
			return nil
		}
		if (c+1)%10 == 0 {
			r.Say("%d of %d cycles", c+1, cycles)
		}
	}
	// Everything once more, now that nothing moves.
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.check(ctx, all); err != nil {
		return err
	}
	s.kill()
	for _, args := range [][]string{{"audit", "verify", "--practice", durablePractice}, {"doctor"}} {
		if out, err := s.run(ctx, append(args, s.place...)...); err != nil {
			r.Fail("yarrow %s: %v: %.300s", strings.Join(args, " "), err, out)
		} else {
			r.Count(args[0]+" found nothing", 1)
		}
	}
	return nil
}

// run runs the program to its end.
func (s *server) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Env = clean(os.Environ())
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("yarrow %s: %w: %.500s", args[0], err, out)
	}
	return string(out), err
}

// clean leaves out what would point the program at another installation.
func clean(env []string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, "YARROW_") {
			out = append(out, v)
		}
	}
	return out
}

// prepare chooses a port and a client that reaches nothing else.
func (s *server) prepare(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return err
	}
	s.base = fmt.Sprintf("http://127.0.0.1:%d/%s/fhir", s.port, durablePractice)
	s.client, err = egress.New([]egress.Destination{{Host: "127.0.0.1", Ports: []int{s.port}, Purpose: "proof", Agreement: "none: no patient data", Private: true, Plain: true}})
	return err
}

func (s *server) mint(ctx context.Context) error {
	out, err := s.run(ctx, append([]string{"token", "--practice", durablePractice, "--scope", "system/*.cruds", "--ttl", "1h"}, s.place...)...)
	s.token = strings.TrimSpace(out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:])
	return err
}

// start starts the server and waits until it answers.
func (s *server) start(ctx context.Context) error {
	s.said.Reset()
	s.cmd = exec.Command(s.program, append([]string{"serve", "--proxy", "--url", "https://localhost", "--listen", fmt.Sprintf("127.0.0.1:%d", s.port)}, s.place...)...)
	s.cmd.Env = clean(os.Environ())
	s.cmd.Stderr = &s.said
	if err := s.cmd.Start(); err != nil {
		return err
	}
	began := clock.System().Now()
	for clock.System().Since(began) < 30*time.Second {
		if status, _, err := s.ask(ctx, http.MethodGet, "/metadata", "", ""); err == nil && status == http.StatusOK {
			s.r.Count("milliseconds until it answered", clock.System().Since(began).Milliseconds())
			return nil
		}
		if err := clock.System().Sleep(ctx, 10*time.Millisecond); err != nil {
			s.kill()
			return err
		}
	}
	s.kill()
	return fmt.Errorf("prove: the server does not answer: %.500s", s.said.String())
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// ask makes one request.
func (s *server) ask(ctx context.Context, method, path, body, key string) (int, []byte, error) {
	h := http.Header{"Authorization": {"Bearer " + s.token}, "Accept": {"application/fhir+json"}}
	if body != "" {
		h.Set("Content-Type", "application/fhir+json")
	}
	if key != "" {
		h.Set("Idempotency-Key", key)
	}
	reply, err := s.client.Do(ctx, egress.Request{Method: method, URL: s.base + path, Header: h, Body: []byte(body)})
	if err != nil {
		return 0, nil, err
	}
	return reply.Status, reply.Body, nil
}

// load writes with eight clients until the server is killed under them, after some time.
func (s *server) load(ctx context.Context, random *rand.Rand, cycle int, after time.Duration) []*effect {
	var wg sync.WaitGroup
	made := make([][]*effect, durableWriters)
	for i := range durableWriters {
		seed := random.Uint64()
		wg.Go(func() {
			own := rand.New(rand.NewPCG(seed, 1))
			for n := 0; ; n++ {
				e := newEffect(own, fmt.Sprintf("c%d-w%d-n%d", cycle, i, n))
				made[i] = append(made[i], e)
				status, body, err := s.ask(ctx, http.MethodPost, e.path, e.body, e.key)
				switch {
				case err != nil:
					return // killed: whether it happened is not known
				case status/100 == 2:
					e.acked = true
					s.r.Count("acknowledged", 1)
				default:
					s.r.Fail("%s was answered with %d: %.200s", e.kind, status, body)
					return
				}
			}
		})
	}
	_ = clock.System().Sleep(ctx, after)
	s.kill()
	wg.Wait()
	var out []*effect
	for _, m := range made {
		out = append(out, m...)
	}
	return out
}

// newEffect is a patient alone, or a transaction of a patient and what was found.
func newEffect(random *rand.Rand, key string) *effect {
	mark := fmt.Sprintf(`"identifier":[{"system":%q,"value":%q}]`, durableSystem, key)
	one := fmt.Sprintf(`{"resourceType":"Patient",%s,"name":[{"family":"Prove","given":["N%d"]}],"birthDate":"19%02d-01-01"}`, mark, random.IntN(1000), 40+random.IntN(60))
	if random.IntN(3) > 0 {
		return &effect{key: key, kind: "Patient", path: "/Patient", body: one}
	}
	const ref = "urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-00000000000a"
	var entries []string
	entries = append(entries, fmt.Sprintf(`{"fullUrl":%q,"request":{"method":"POST","url":"Patient"},"resource":%s}`, ref, one))
	for i := range 3 {
		entries = append(entries, fmt.Sprintf(`{"request":{"method":"POST","url":"Observation"},"resource":{"resourceType":"Observation",%s,"status":"final","code":{"text":"Weight"},"subject":{"reference":%q},"valueQuantity":{"value":%d.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}}`, mark, ref, 40+i))
	}
	return &effect{key: key, kind: "transaction", path: "", body: `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`}
}

// check looks for every effect, and sends those that were not acknowledged again.
func (s *server) check(ctx context.Context, effects []*effect) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := make(chan *effect)
	for range durableWriters {
		wg.Go(func() {
			for e := range next {
				if err := s.checkOne(ctx, e); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, e := range effects {
		next <- e
	}
	close(next)
	wg.Wait()
	return failed
}

func (s *server) checkOne(ctx context.Context, e *effect) error {
	patients, err := s.count(ctx, "Patient", e.key)
	if err != nil {
		return err
	}
	want := 1
	if !e.acked {
		want = patients // either
		if patients > 1 {
			s.r.Fail("%s %s happened %d times", e.kind, e.key, patients)
		}
	}
	if e.kind == "transaction" {
		found, err := s.count(ctx, "Observation", e.key)
		if err != nil {
			return err
		}
		if found != 3*patients {
			s.r.Fail("transaction %s is there in part: %d patients, %d observations", e.key, patients, found)
		}
	}
	if patients != want {
		s.r.Count("lost", 1)
		s.r.Fail("%s %s was acknowledged and is there %d times", e.kind, e.key, patients)
		return nil
	}
	s.r.Count("looked for", 1)
	if e.acked && len(e.key)%7 != 0 { // some of the acknowledged are sent again too
		return nil
	}
	status, body, err := s.ask(ctx, http.MethodPost, e.path, e.body, e.key)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		s.r.Fail("%s %s, sent again, was answered with %d: %.200s", e.kind, e.key, status, body)
		return nil
	}
	e.acked = true
	s.r.Count("sent again under the same key", 1)
	if patients, err = s.count(ctx, "Patient", e.key); err == nil && patients != 1 {
		s.r.Fail("%s %s, sent again, is there %d times", e.kind, e.key, patients)
	}
	return err
}

// count is how many resources of a type carry a key.
func (s *server) count(ctx context.Context, typ, key string) (int, error) {
	q := url.Values{"identifier": {durableSystem + "|" + key}}
	status, body, err := s.ask(ctx, http.MethodGet, "/"+typ+"?"+q.Encode(), "", "")
	if err != nil {
		return 0, err
	}
	var found struct {
		Entry []struct {
			Search struct{ Mode string }
		}
	}
	if err := json.Unmarshal(body, &found); err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("prove: a search was answered with %d: %.200s", status, body)
	}
	n := 0
	for _, e := range found.Entry {
		if e.Search.Mode == "match" {
			n++
		}
	}
	return n, nil
}

// lie is what a disk does that acknowledges what it has not kept.
func (s *server) lie(all []*effect) error {
	if s.r.Engine.App != "" {
		for _, e := range all { // as if the database had forgotten: a record that was never sent counts as acknowledged
			if !e.acked {
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
