package prove

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/oauth"
)

// How long two kinds of answers take is compared by Welch's t-test, several times over with fresh samples. They differ when each time
// |t| is above mostT (by chance 1 in some 100,000 for one comparison), in the same direction, and the means are further apart than
// leastGap: what is closer is drowned on the way to whoever asks, who would have to measure through TLS, a scheduler and a network.
// Machines that are busy move both kinds alike, since the samples take turns.
const (
	timingRounds = 3
	timingEach   = 150 // samples of each kind a round
	mostT        = 4.5
	leastGap     = 200 * time.Microsecond
)

// sample is how long answers of one kind took, in microseconds.
type sample []float64

// welch compares two samples: the difference of their means in microseconds, and Welch's t. The slowest tenth of each is left out,
// which is what else the machine does.
func welch(a, b sample) (gap, t float64) {
	var mean, spread [2]float64
	for i, s := range []sample{a, b} {
		s = slices.Sorted(slices.Values(s))
		s = s[:len(s)-len(s)/10]
		for _, v := range s {
			mean[i] += v / float64(len(s))
		}
		for _, v := range s {
			spread[i] += (v - mean[i]) * (v - mean[i]) / float64(len(s)-1) / float64(len(s))
		}
	}
	gap = mean[0] - mean[1]
	if s := math.Sqrt(spread[0] + spread[1]); s > 0 {
		t = gap / s
	}
	return gap, t
}

// differs says whether two kinds of answers can be told apart by how long they take. measure gives fresh samples.
func differs(measure func() (a, b sample)) (gap, t float64, yes bool) {
	gap, t = math.Inf(1), math.Inf(1)
	sign := 0.0
	for range timingRounds {
		g, w := welch(measure())
		if math.Abs(w) < math.Abs(t) {
			t = w
		}
		if math.Abs(g) < math.Abs(gap) {
			gap = g
		}
		if math.Abs(w) <= mostT || math.Abs(g) <= float64(leastGap.Microseconds()) || sign != 0 && sign != math.Copysign(1, w) {
			return gap, t, false
		}
		sign = math.Copysign(1, w)
	}
	return gap, t, true
}

// timing compares how long it takes to be refused, or told nothing of, what is there and what is not.
func (j *judge) timing(ctx context.Context, draw *rand.Rand) error {
	if j.short() {
		return nil
	}
	var hidden plant
	for _, x := range plants() {
		if !j.in.sees(x) && x.typ == "Condition" {
			hidden = x
		}
	}
	none := func(s string) string { return strings.Repeat("n", len(s)) }
	at, id, word := "/"+j.in.practice.Slug+"/fhir/", hidden.id(home), hidden.canary(home)
	theirs := plant{typ: "Patient", patient: 2}
	form := func(word string) probe {
		return probe{method: "POST", path: "/" + j.in.practice.Slug + "/find", body: url.Values{"q": {word}}.Encode(), kind: "application/x-www-form-urlencoded"}
	}
	get := func(path string) probe { return probe{method: "GET", path: path} }
	pairs := []timed{
		same("another practice's id", get("/south/fhir/Patient/"+theirs.id(other)), get("/south/fhir/Patient/"+none(theirs.id(other)))),
		same("another practice's name, completed", form(theirs.canary(other)), form(none(theirs.canary(other)))),
	}
	if hidden.typ != "" {
		pairs = append(pairs,
			same("an id", get(at+hidden.typ+"/"+id), get(at+hidden.typ+"/"+none(id))),
			same("a count", get(at+hidden.typ+"?_summary=count&identifier="+word), get(at+hidden.typ+"?_summary=count&identifier="+none(word))),
			same("a chain", get(at+"Patient?_has:"+hidden.typ+":subject:identifier="+word), get(at+"Patient?_has:"+hidden.typ+":subject:identifier="+none(word))),
			same("a name, completed", form(word), form(none(word))))
	}
	if j.in.access.Compartment != "" {
		looks := same("who looked at hidden records", get(at+j.in.access.Compartment+"/$who-saw?_count=1"), get("/"+j.twin.practice.Slug+"/fhir/"+j.twin.access.Compartment+"/$who-saw?_count=1"))
		looks.twin = true
		pairs = append(pairs, looks)
	}
	if j.in.header.Get("Cookie")+j.in.header.Get("Authorization") == "" {
		more, err := j.credentials(ctx)
		if err != nil {
			return err
		}
		pairs = append(pairs, more...)
	}
	for _, p := range pairs {
		n := 0
		gap, t, yes := differs(func() (a, b sample) {
			took := [2]sample{}
			for range p.each {
				n++
				first := draw.IntN(2)
				for _, i := range []int{first, 1 - first} {
					q, header := p.ask(n, i == 0), j.in.header
					if p.twin && i == 1 {
						header = j.twin.header
					}
					start := j.clock.Now()
					send(ctx, j.p.Handler, q, header)
					took[i] = append(took[i], float64(j.clock.Since(start).Microseconds()))
				}
			}
			return took[0], took[1]
		})
		j.r.Count("timings compared", 1)
		if !yes {
			j.r.Most("timings: largest gap that chance or the way hides, µs", int64(math.Abs(gap)))
		} else {
			j.fail(takesTime, "%s: %s: what is there is answered %.0f µs later than what is not, Welch's t %.1f at least", j.who, p.name, gap, t)
		}
	}
	return nil
}

// timed are two kinds of probes whose answers are timed: of what is there, and of what is not. ask gives the nth of a kind.
type timed struct {
	name string
	each int // a round
	ask  func(n int, there bool) probe
	twin bool // what is not there is asked for in the twin
}

func same(name string, there, absent probe) timed {
	return timed{name: name, each: timingEach, ask: func(_ int, is bool) probe {
		if is {
			return there
		}
		return absent
	}}
}

// credentialsEach is how many are tried a round: each is refused by a hash, and comes from an address of its own, since whoever fails
// again and again is slowed down.
const credentialsEach = 30

// credentials are those of sign-in, of a program and of an invitation: wrong for somebody who is there, and for nobody.
func (j *judge) credentials(ctx context.Context) ([]timed, error) {
	p := j.in.practice
	sys := auth.SystemScope(p.ID, "prove")
	var id int64
	for n := range credentialsEach {
		var err error
		if id, err = j.auth.AddUser(ctx, sys, auth.User{Login: fmt.Sprintf("timed%03d.%s", n, p.Slug), Display: "Somebody", Roles: []auth.Role{auth.Biller}, Password: "a long phrase of the proof " + p.Slug}); err != nil {
			return nil, err
		}
	}
	program, _, err := j.p.OAuth.Register(ctx, sys, oauth.Client{Kind: oauth.Secret, Name: "A program", Redirects: []string{proofReturn}, Scopes: "patient/*.rs"})
	if err != nil {
		return nil, err
	}
	invitation, err := j.auth.Invite(ctx, sys, id)
	if err != nil {
		return nil, err
	}
	post := func(path string, n int, form url.Values) probe {
		return probe{method: "POST", path: path, body: form.Encode(), kind: "application/x-www-form-urlencoded", from: fmt.Sprintf("198.51.%d.%d:1", 100+n%100, 1+n/100+2*(n%7))}
	}
	of := func(there bool, yes, no string) string {
		if there {
			return yes
		}
		return no
	}
	return []timed{
		{name: "a wrong password", each: credentialsEach, ask: func(n int, there bool) probe {
			n %= credentialsEach
			return post("/"+p.Slug+"/sign-in", n, url.Values{"login": {of(there, fmt.Sprintf("timed%03d.%s", n, p.Slug), fmt.Sprintf("nobod%03d.%s", n, p.Slug))}, "password": {"not the phrase of the proof"}})
		}},
		{name: "a program's wrong secret", each: credentialsEach, ask: func(n int, there bool) probe {
			return post("/"+p.Slug+"/oauth/token", n, url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {proofReturn}, "code_verifier": {proofVerifier}, "client_id": {of(there, program.ID, strings.Repeat("n", len(program.ID)))}, "client_secret": {strings.Repeat("x", 43)}})
		}},
		{name: "another practice's invitation", each: credentialsEach, ask: func(n int, there bool) probe {
			return post("/south/join", n, url.Values{"invite": {of(there, invitation, strings.Repeat("n", len(invitation)))}, "password": {"a long phrase of the proof"}})
		}},
	}, nil
}

// slower answers later where something is hidden: the control of the timing.
func slower(h http.Handler, c *clock.Clock) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/north") && strings.HasSuffix(r.URL.Path, "-apart") {
			_ = c.Sleep(r.Context(), time.Millisecond)
		}
		h.ServeHTTP(w, r)
	})
}
