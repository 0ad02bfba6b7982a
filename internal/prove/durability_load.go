package prove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
)

// effect is one thing that a client asked for.
type effect struct {
	key   string // of the request, and the identifier of what it makes
	kind  string // Patient, transaction, condition: what is made; change, deletion: of what another effect made
	path  string
	body  string
	acked bool
	id    string  // of what was made, when it was acknowledged
	then  *effect // the change or deletion of what was made
}

// write sends an effect.
func (s *server) write(ctx context.Context, e *effect) (status int, body []byte, err error) {
	method, h := http.MethodPost, http.Header{}
	switch e.kind {
	case "condition":
		h.Set("If-None-Exist", url.Values{"identifier": {durableSystem + "|" + e.key}}.Encode())
	case "change":
		method = http.MethodPut
		h.Set("If-Match", `W/"1"`)
	case "deletion":
		method = http.MethodDelete
	default:
		h.Set("Idempotency-Key", e.key)
	}
	reply, err := s.ask(ctx, method, e.path, e.body, h)
	if err != nil {
		return 0, nil, err
	}
	if _, at, ok := strings.Cut(reply.Header.Get("Location"), "/Patient/"); ok && reply.Status/100 == 2 {
		e.id, _, _ = strings.Cut(at, "/")
	}
	return reply.Status, reply.Body, nil
}

// load writes with eight clients until the server is stopped under them, after some time.
func (s *server) load(ctx context.Context, random *rand.Rand, cycle int, after time.Duration, stop func()) []*effect {
	var wg sync.WaitGroup
	made := make([][]*effect, durableWriters)
	for i := range durableWriters {
		own := rand.New(rand.NewPCG(random.Uint64(), 1))
		wg.Go(func() {
			for n := 0; ; n++ {
				if own.IntN(5) == 0 { // somebody who reads
					_, err := s.find(ctx, "Patient", fmt.Sprintf("c%d-w%d-n%d", cycle, i, own.IntN(n+1)))
					if errors.Is(err, errAnswer) && !s.power {
						s.r.Fail("%v", err)
					}
					if err != nil {
						return
					}
					s.r.Count("reads among the writes", 1)
					continue
				}
				e := newEffect(own, fmt.Sprintf("c%d-w%d-n%d", cycle, i, n))
				if of := untouched(made[i]); of != nil && own.IntN(2) == 0 {
					e = changeOf(own, of)
				} else {
					made[i] = append(made[i], e)
				}
				status, body, err := s.write(ctx, e)
				switch {
				case err != nil, status/100 == 5 && s.power: // the server may notice that its disk is gone before it ends too
					return // whether it happened is not known
				case status/100 == 2:
					e.acked = true
					s.r.Count("acknowledged", 1)
					s.r.Count("acknowledged: "+e.kind, 1)
				default:
					s.r.Fail("%s was answered with %d: %.200s", e.kind, status, body)
					return
				}
			}
		})
	}
	_ = clock.System().Sleep(ctx, after)
	stop()
	wg.Wait()
	var out []*effect
	for _, m := range made {
		out = append(out, m...)
	}
	return out
}

// untouched is a patient that was made and not changed since.
func untouched(made []*effect) *effect {
	for i := len(made) - 1; i >= 0 && i > len(made)-4; i-- {
		if e := made[i]; e.kind != "transaction" && e.acked && e.id != "" && e.then == nil {
			return e
		}
	}
	return nil
}

// changedTo is the name that a change gives a patient.
const changedTo = "Changed"

// changeOf changes or deletes a patient.
func changeOf(random *rand.Rand, of *effect) *effect {
	e := &effect{key: of.key, kind: "deletion", path: "/Patient/" + of.id}
	if random.IntN(3) > 0 {
		e.kind = "change"
		e.body = fmt.Sprintf(`{"resourceType":"Patient","id":%q,%s,"name":[{"family":%q}]}`, of.id, markOf(of.key), changedTo)
	}
	of.then = e
	return e
}

func markOf(key string) string {
	return fmt.Sprintf(`"identifier":[{"system":%q,"value":%q}]`, durableSystem, key)
}

// newEffect is a patient alone, one on the condition that they are not there, or a transaction of a patient and what was found.
func newEffect(random *rand.Rand, key string) *effect {
	mark := markOf(key)
	one := fmt.Sprintf(`{"resourceType":"Patient",%s,"name":[{"family":"Prove","given":["N%d"]}],"birthDate":"19%02d-01-01"}`, mark, random.IntN(1000), 40+random.IntN(60))
	switch random.IntN(4) {
	case 0:
		return &effect{key: key, kind: "condition", path: "/Patient", body: one}
	case 1, 2:
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

// checkOne looks for one effect and what became of it.
func (s *server) checkOne(ctx context.Context, e *effect) error {
	ok, err := s.there(ctx, e)
	if err != nil || !ok {
		return err
	}
	s.r.Count("looked for", 1)
	// What was not acknowledged is sent again, and some of what was, too.
	for _, one := range []*effect{e, e.then} {
		if one == nil || one.acked && (len(e.key)%7 != 0 || e.then != nil) {
			continue
		}
		status, body, err := s.write(ctx, one)
		if err != nil {
			return err
		}
		if status/100 != 2 && !(one.kind == "change" && status == http.StatusPreconditionFailed) {
			s.r.Fail("%s %s, sent again, was answered with %d: %.200s", one.kind, one.key, status, body)
			return nil
		}
		one.acked = true
		s.r.Count("sent again", 1)
		if _, err := s.there(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// there says whether an effect is there as it may be: what was acknowledged once and whole, what was not, once or not at all.
func (s *server) there(ctx context.Context, e *effect) (bool, error) {
	patients, err := s.find(ctx, "Patient", e.key)
	if err != nil {
		return false, err
	}
	lost := func(what string) (bool, error) {
		s.r.Count("lost", 1)
		s.r.Fail("%s %s was acknowledged and is %s", e.kind, e.key, what)
		return false, nil
	}
	n := len(patients)
	if n > 1 {
		s.r.Fail("%s %s happened %d times", e.kind, e.key, n)
		return false, nil
	}
	if e.kind == "transaction" {
		found, err := s.find(ctx, "Observation", e.key)
		if err != nil {
			return false, err
		}
		if len(found) != 3*n {
			s.r.Fail("transaction %s is there in part: %d patients, %d observations", e.key, n, len(found))
			return false, nil
		}
	}
	t := e.then
	deleted := t != nil && t.kind == "deletion"
	switch {
	case n == 0 && e.acked && !deleted:
		return lost("not there")
	case n == 1 && deleted && t.acked:
		return lost("there again, though its deletion was acknowledged")
	case n == 0 || t == nil || deleted:
		return true, nil
	}
	p := patients[0]
	switch changed := len(p.Name) > 0 && p.Name[0].Family == changedTo; {
	case t.acked && !changed:
		return lost("there without its acknowledged change")
	case changed && p.Meta.VersionID != "2", !changed && p.Meta.VersionID != "1":
		s.r.Fail("%s %s is version %s", e.kind, e.key, p.Meta.VersionID)
		return false, nil
	}
	return true, nil
}

// foundOne is what the proof reads of a resource.
type foundOne struct {
	Meta struct {
		VersionID string `json:"versionId"`
	}
	Name []struct{ Family string }
}

var errAnswer = errors.New("prove: a search was answered")

// find gives the resources of a type that carry a key.
func (s *server) find(ctx context.Context, typ, key string) ([]foundOne, error) {
	q := url.Values{"identifier": {durableSystem + "|" + key}}
	reply, err := s.ask(ctx, http.MethodGet, "/"+typ+"?"+q.Encode(), "", nil)
	if err != nil {
		return nil, err
	}
	var bundle struct {
		Entry []struct {
			Search   struct{ Mode string }
			Resource foundOne
		}
	}
	if err := json.Unmarshal(reply.Body, &bundle); err != nil || reply.Status != http.StatusOK {
		return nil, fmt.Errorf("%w with %d: %.200s", errAnswer, reply.Status, reply.Body)
	}
	var out []foundOne
	for _, e := range bundle.Entry {
		if e.Search.Mode == "match" {
			out = append(out, e.Resource)
		}
	}
	return out, nil
}
