package breakin_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"yarrow.health/internal/base/auth"
)

const (
	callback = "https://app.example.com/cb"
	pkce     = "a-verifier-that-is-longer-than-forty-three-characters"
	scopes   = "openid offline_access user/Patient.cruds user/Observation.cruds user/Subscription.cruds"
	atOnce   = time.Second // how long after its end a right may still be used
)

// Whoever is disabled holds nothing a second later: by an administrator's screen, by the command line, by the practice's directory.
// The same for a program that is stopped.
func TestDisabledIsDisabled(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ann := h.signIn("willow", "ann")
		system := h.token("willow")
		patient := h.put(system, `{"resourceType":"Patient","name":[{"family":"Example"}],"birthDate":"1980-02-03","gender":"female"}`)
		long := strings.Repeat("many words of a long finding ", 14_000)
		for i := range 40 { // more than lies in the buffers between server and reader
			h.put(system, fmt.Sprintf(`{"resourceType":"Observation","status":"final","code":{"text":"Finding %d"},"subject":{"reference":"Patient/%s"},"valueString":%q}`, i, patient, long))
		}
		a := ann.post("/organisation/keys", url.Values{"name": {"Directory"}})
		directory := regexp.MustCompile(`yrw-sc\.[\w-]+`).FindString(a.body)
		client := regexp.MustCompile(`Client id: (\S+)`).FindStringSubmatch(h.run("client", "add", "--practice", "willow", "--name", "Reader", "--kind", "public",
			"--redirect", callback, "--scope", scopes))
		if directory == "" || client == nil {
			t.Fatalf("no key of a directory, or no program: %d %s", a.status, a.text())
		}
		for _, way := range []struct {
			name, login string
			disable     func(t *testing.T, login, id string)
		}{
			{"by an administrator's screen", "amy",
				func(t *testing.T, _, id string) {
					if a := ann.post("/people/"+id+"/disable", url.Values{}); a.status != http.StatusSeeOther {
						t.Fatalf("%d %s", a.status, a.text())
					}
				}},
			{"by the command line", "bob", func(t *testing.T, login, _ string) { h.run("user", "disable", "--practice", "willow", login) }},
			{"by the directory", "cyd",
				func(t *testing.T, _, id string) {
					a := h.ask("PATCH", "/willow/scim/v2/Users/"+id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`,
						"Authorization", "Bearer "+directory, "Content-Type", "application/scim+json")
					if a.status != http.StatusOK {
						t.Fatalf("%d %s", a.status, a.text())
					}
				}},
		} {
			t.Run(way.name, func(t *testing.T) {
				h.t = t
				h.run("user", "add", "--practice", "willow", "--login", way.login, "--name", "Example "+way.login, "--practitioner", way.login, "--role", "clinician", "--password-file", h.dir+"/password")
				page := ann.get("/people")
				id := regexp.MustCompile(`/people/(\w+)"[^>]*>[^<]*Example ` + way.login).FindStringSubmatch(page.body)
				if id == nil {
					t.Fatalf("%s is not among the people: %d %s", way.login, page.status, page.text())
				}
				p := h.signIn("willow", way.login)
				held := p.connect(client[1])
				pending := p.ask(client[1])
				var sub struct{ ID string }
				if a := h.fhir(held.access, "POST", "/Subscription", listening); a.status != http.StatusCreated || json.Unmarshal([]byte(a.body), &sub) != nil {
					t.Fatalf("a person's program does not subscribe: %d %s", a.status, a.text())
				}
				events := h.follow(t, "/willow/subscriptions/"+sub.ID+"/events", "Authorization", "Bearer "+held.access)
				events.says(t, "handshake")
				news := h.follow(t, "/willow/live", "Cookie", p.cookie())
				news.says(t, "retry")
				export := h.export(t, held.access)
				half := h.slowly(t, export.file, held.access)
				running := h.fhir(held.access, "GET", "/$export", "", "Prefer", "respond-async").header.Get("Content-Location")

				way.disable(t, way.login, id[1])
				end := time.Now()
				ends(t, end, map[string]func() bool{
					"the session":         func() bool { return p.get("/schedule").status == http.StatusOK },
					"the account's page":  func() bool { return p.get("/account").status == http.StatusOK },
					"a new screen's news": func() bool { return h.streams("/willow/live", "Cookie", p.cookie()) },
					"the access token":    func() bool { return h.fhir(held.access, "GET", "/Patient/"+patient, "").status == http.StatusOK },
					"the manifest": func() bool {
						return h.ask("GET", export.at, "", "Authorization", "Bearer "+held.access).status == http.StatusOK
					},
					"the exported file": func() bool {
						return h.ask("HEAD", export.file, "", "Authorization", "Bearer "+held.access).status == http.StatusOK
					},
					"the running export": func() bool {
						return h.ask("GET", path(running), "", "Authorization", "Bearer "+held.access).status < 300
					},
					"who the person is": func() bool {
						return h.ask("GET", "/willow/oauth/userinfo", "", "Authorization", "Bearer "+held.access).status == http.StatusOK
					},
					"a new stream": func() bool {
						return h.streams("/willow/subscriptions/"+sub.ID+"/events", "Authorization", "Bearer "+held.access)
					},
					"a code from before": func() bool { return h.redeem(client[1], pending).status == http.StatusOK },
				})
				if a := h.refresh(client[1], held.refresh); a.status != http.StatusBadRequest || !strings.Contains(a.body, "invalid_grant") {
					t.Errorf("the refresh token: %d %s", a.status, a.text())
				}
				if p.again(way.login) {
					t.Error("the person signs in again")
				}
				news.ends(t, end)
				before := events.said.Load()
				h.put(system, `{"resourceType":"Patient","name":[{"family":"Later"}],"birthDate":"1981-02-03","gender":"male"}`)
				events.ends(t, end)
				if text := events.text.String()[before:]; strings.Contains(text, "notification") {
					t.Errorf("something was told after the end: %s", text)
				}
				if got := half(); got >= export.size {
					t.Errorf("a file on its way came whole: %d bytes of %d", got, export.size)
				}
				// It does not come back with the person.
				h.run("user", "enable", "--practice", "willow", way.login)
				time.Sleep(atOnce + 100*time.Millisecond)
				for what, alive := range map[string]bool{
					"the session":       p.get("/schedule").status == http.StatusOK,
					"the access token":  h.fhir(held.access, "GET", "/Patient/"+patient, "").status == http.StatusOK,
					"the refresh token": h.refresh(client[1], held.refresh).status == http.StatusOK,
					"the export":        h.ask("GET", export.at, "", "Authorization", "Bearer "+held.access).status == http.StatusOK,
				} {
					if alive {
						t.Errorf("%s works again after the person was enabled", what)
					}
				}
				if !p.again(way.login) {
					t.Error("somebody who was enabled again does not get in")
				}
			})
		}
		t.Run("a program that is stopped", func(t *testing.T) {
			h.t = t
			var sub struct{ ID string }
			if a := h.fhir(system, "POST", "/Subscription", listening); a.status != http.StatusCreated || json.Unmarshal([]byte(a.body), &sub) != nil {
				t.Fatalf("%d %s", a.status, a.text())
			}
			events := h.follow(t, "/willow/subscriptions/"+sub.ID+"/events", "Authorization", "Bearer "+system)
			events.says(t, "handshake")
			socket := h.socket(t, system, sub.ID)
			export := h.export(t, system)
			half := h.slowly(t, export.file, system)
			running := h.fhir(system, "GET", "/$export", "", "Prefer", "respond-async").header.Get("Content-Location")

			if a := ann.post("/apps/programs/command-line", url.Values{"do": {"suspend"}, "reason": {"a laptop was lost"}}); a.status != http.StatusSeeOther {
				t.Fatalf("%d %s", a.status, a.text())
			}
			end := time.Now()
			ends(t, end, map[string]func() bool{
				"the access token": func() bool { return h.fhir(system, "GET", "/Patient/"+patient, "").status == http.StatusOK },
				"the manifest": func() bool {
					return h.ask("GET", export.at, "", "Authorization", "Bearer "+system).status == http.StatusOK
				},
				"the exported file": func() bool {
					return h.ask("HEAD", export.file, "", "Authorization", "Bearer "+system).status == http.StatusOK
				},
				"the running export": func() bool { return h.ask("GET", path(running), "", "Authorization", "Bearer "+system).status < 300 },
				"a new stream": func() bool {
					return h.streams("/willow/subscriptions/"+sub.ID+"/events", "Authorization", "Bearer "+system)
				},
			})
			before := events.said.Load()
			if a := ann.post("/patients/new", url.Values{"family": {"Newcomer"}, "given": {"Nan"}, "birth": {"1990-01-02"}, "sex": {"female"}}); a.status >= 500 {
				t.Errorf("%d %s", a.status, a.text())
			}
			events.ends(t, end)
			if text := events.text.String()[before:]; strings.Contains(text, "notification") {
				t.Errorf("something was told after the end: %s", text)
			}
			if told, err := socket(); err == nil || strings.Contains(told, "event-notification") {
				t.Errorf("the WebSocket goes on: %v %.300s", err, told)
			}
			if got := half(); got >= export.size {
				t.Errorf("a file on its way came whole: %d bytes of %d", got, export.size)
			}
		})
	})
}

// listening is a subscription to whatever happens to patients, read as a stream.
const listening = `{"resourceType":"Subscription","status":"requested","reason":"test","criteria":"https://yarrow.health/fhir/SubscriptionTopic/resource-changed",
	"_criteria":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria","valueString":"Patient?gender=female"}]},
	"channel":{"type":"websocket","payload":"application/fhir+json","_payload":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content","valueCode":"id-only"}]}}}`

// ends asks again and again until nothing is alive, and wants nothing to be that was asked for a second after the end or later. How
// long each lived is reported.
func ends(t *testing.T, end time.Time, alive map[string]func() bool) {
	t.Helper()
	lived := map[string]time.Duration{}
	for late := false; !late; time.Sleep(40 * time.Millisecond) {
		late = time.Since(end) > atOnce // the last round begins when all must be over
		for what, ask := range alive {
			began := time.Now()
			if !ask() {
				continue
			}
			lived[what] = began.Sub(end)
			if began.Sub(end) > atOnce {
				t.Errorf("%s is alive %v after the end", what, began.Sub(end).Round(time.Millisecond))
			}
		}
	}
	for what := range alive {
		t.Logf("%s: worked last %v after the end", what, lived[what].Round(time.Millisecond))
	}
}

// path is an address without its host.
func path(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "/"
	}
	return u.Path
}

func (p *person) cookie() string {
	var all []string
	for name, v := range p.cookies {
		all = append(all, name+"="+v)
	}
	return strings.Join(all, "; ")
}

// streams says whether a stream begins.
func (h *house) streams(at string, headers ...string) bool {
	a := h.ask("GET", at, "", headers...)
	return a.err != nil || a.status == http.StatusOK // one that does not end is cut off
}

// again says whether somebody gets in with all they know, in a browser that knows nothing.
func (p *person) again(login string) bool {
	code, err := auth.TOTPCode(p.secret, time.Now().Add(30*time.Second))
	if err != nil {
		return false
	}
	v := p.h.visitor(p.practice, "192.0.2.77")
	a := v.post("/sign-in", url.Values{"login": {login}, "password": {password}, "code": {code}})
	return a.status == http.StatusSeeOther && v.get("/schedule").status == http.StatusOK
}

type tokens struct{ access, refresh string }

// ask lets a program in and gives the code that the program gets.
func (p *person) ask(client string) string {
	p.h.t.Helper()
	sum := sha256.Sum256([]byte(pkce))
	q := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "scope": {scopes}, "state": {"state-0123456789"},
		"aud": {"https://" + p.h.at + "/willow/fhir"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	a := p.get("/oauth/authorize?" + q.Encode())
	at := strings.TrimPrefix(a.header.Get("Location"), "/willow")
	yes := url.Values{"do": {"allow"}}
	for _, m := range regexp.MustCompile(`name="scope" value="([^"]+)"`).FindAllStringSubmatch(p.get(at).body, -1) {
		yes.Add("scope", html.UnescapeString(m[1]))
	}
	b := p.post(at, yes)
	u, err := url.Parse(strings.TrimPrefix(b.header.Get("Refresh"), "0; url="))
	if err != nil || u.Query().Get("code") == "" {
		p.h.t.Fatalf("the program was not let in: %d %s, %d %s", a.status, at, b.status, b.text())
	}
	return u.Query().Get("code")
}

func (h *house) exchange(form url.Values) answer {
	return h.ask("POST", "/willow/oauth/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func (h *house) redeem(client, code string) answer {
	return h.exchange(url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {pkce}})
}

func (h *house) refresh(client, token string) answer {
	return h.exchange(url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token}})
}

// connect lets a program act for the person.
func (p *person) connect(client string) tokens {
	p.h.t.Helper()
	a := p.h.redeem(client, p.ask(client))
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Access == "" || got.Refresh == "" {
		p.h.t.Fatalf("no tokens: %d %s", a.status, a.text())
	}
	return tokens{got.Access, got.Refresh}
}

// exported is an export that is done: its address, that of its largest file, and how long that is.
type exported struct {
	at, file string
	size     int
}

func (h *house) export(t *testing.T, token string) exported {
	t.Helper()
	a := h.fhir(token, "GET", "/$export?_type=Observation", "", "Prefer", "respond-async")
	e := exported{at: path(a.header.Get("Content-Location"))}
	if a.status != http.StatusAccepted {
		t.Fatalf("no export: %d %s", a.status, a.text())
	}
	for range 300 {
		if a = h.ask("GET", e.at, "", "Authorization", "Bearer "+token); a.status != http.StatusAccepted {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	var m struct {
		Output []struct{ URL string }
	}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || len(m.Output) != 1 {
		t.Fatalf("the export: %d %s", a.status, a.text())
	}
	e.file = path(m.Output[0].URL)
	whole := h.ask("GET", e.file, "", "Authorization", "Bearer "+token)
	if e.size = len(whole.body); whole.status != http.StatusOK || e.size < 14<<20 {
		t.Fatalf("its file: %d, %d bytes", whole.status, e.size)
	}
	return e
}

// slowly begins to fetch a file and gives what fetches the rest and says how much came.
func (h *house) slowly(t *testing.T, file, token string) func() int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(32 << 10)
		}
		return c, err
	}}}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.at+file, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close(); client.CloseIdleConnections() })
	first, err := io.ReadFull(res.Body, make([]byte, 4096))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	return func() int {
		rest, err := io.Copy(io.Discard, res.Body)
		if err == nil {
			t.Error("half a file ended like a whole one")
		}
		return first + int(rest)
	}
}

// stream is what a server sends as it happens.
type stream struct {
	text words
	said atomic.Int64
	over chan time.Time
}

// follow opens a stream of server-sent events.
func (h *house) follow(t *testing.T, at string, headers ...string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.at+at, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Client{}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the stream: %d", res.StatusCode)
	}
	s := &stream{over: make(chan time.Time, 1)}
	go func() {
		defer res.Body.Close()
		for lines := bufio.NewReader(res.Body); ; {
			line, err := lines.ReadString('\n')
			n, _ := s.text.Write([]byte(line))
			s.said.Add(int64(n))
			if err != nil {
				s.over <- time.Now()
				return
			}
		}
	}()
	return s
}

// says waits until the stream has said something.
func (s *stream) says(t *testing.T, what string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.text.String(), what); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the stream does not say %q: %s", what, s.text.String())
		}
	}
}

// ends wants the stream to be over and reports how soon it was.
func (s *stream) ends(t *testing.T, end time.Time) {
	t.Helper()
	select {
	case at := <-s.over:
		t.Logf("the stream was over %v after the end", at.Sub(end).Round(time.Millisecond))
	case <-time.After(20 * time.Second):
		t.Error("the stream goes on")
	}
}

// socket binds a WebSocket to a subscription and gives what reads it to its end.
func (h *house) socket(t *testing.T, token, sub string) func() (string, error) {
	t.Helper()
	a := h.fhir(token, "GET", "/Subscription/"+sub+"/$get-ws-binding-token", "")
	m := regexp.MustCompile(`"name":"token","valueString":"([^"]+)"`).FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("no token for a WebSocket: %d %s", a.status, a.text())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "ws://"+h.at+"/willow/subscriptions/ws", nil)
	if err == nil {
		err = c.Write(ctx, websocket.MessageText, []byte("bind-with-token "+m[1]))
	}
	if err == nil {
		_, _, err = c.Read(ctx) // the handshake
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return func() (told string, err error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				if ctx.Err() != nil {
					return "it does not end", nil
				}
				return told, err
			}
			told += string(text)
		}
	}
}
