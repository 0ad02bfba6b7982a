// Package breakin_test attacks the program from outside, over the network, as somebody would who wants in: on a server that is
// started for it, on both engines where an attack could reach the storage. docs/threats.txt says which threat each test tries.
// Everything stays on this machine.
package breakin_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// house is a server with two practices, willow and elm, that stands behind a proxy: what the caller's address is, the attacks say.
type house struct {
	t      *testing.T
	dir    string
	place  []string // flags that name its data
	at     string   // host:port
	pid    int
	client *http.Client
	log    words
	disk   func() []string // where else its data is
}

// words collects what a program says.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

const password = "seven quiet herons at the mill"

// each runs an attack once for every engine.
func each(t *testing.T, attack func(t *testing.T, h *house)) {
	t.Run("SQLite", func(t *testing.T) { attack(t, onSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		dir := t.TempDir()
		u := dbtest.Migrated(t, nil)
		h := open(t, dir, "--database", u.App, "--master-key", filepath.Join(dir, "master.key"), "--keystore", filepath.Join(dir, "keys"))
		h.disk = func() []string { return u.Files(t) }
		attack(t, h)
	})
}

func onSQLite(t *testing.T) *house {
	dir := t.TempDir()
	return open(t, dir, "--data", filepath.Join(dir, "data"))
}

// open makes the installation and serves it until the test ends.
func open(t *testing.T, dir string, place ...string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, place: place, disk: func() []string { return nil }}
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, practice := range []string{"willow", "elm"} {
		h.run("practice", "add", practice, "Practice "+practice)
	}
	for _, who := range []string{"willow ann clinician administrator", "willow fay frontdesk", "elm eve clinician administrator"} {
		part := strings.Fields(who)
		args := []string{"user", "add", "--practice", part[0], "--login", part[1], "--name", "Example " + part[1], "--practitioner", part[1], "--password-file", file}
		for _, role := range part[2:] {
			args = append(args, "--role", role)
		}
		h.run(args...)
	}
	h.serve()
	return h
}

func (h *house) command(args ...string) *exec.Cmd {
	h.t.Helper()
	bin, err := webtest.Program()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(bin, append(args, h.place...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "YARROW_") })
	return cmd
}

// run runs a command that must succeed.
func (h *house) run(args ...string) string {
	h.t.Helper()
	out, err := h.command(args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("yarrow %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (h *house) serve() {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.at = l.Addr().String()
	l.Close()
	h.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	cmd := h.command("serve", "--proxy", "--url", "https://"+h.at, "--listen", h.at)
	begin(h.t, cmd, &h.log, "http://"+h.at+"/readyz")
	h.pid = cmd.Process.Pid
}

// begin starts a server, waits until it answers at ready, or has written all of the file at ready, and ends it with the test; then it must not have failed.
func begin(t *testing.T, cmd *exec.Cmd, log *words, ready string) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("the server does not end")
		}
		said := log.String()
		for _, bad := range []string{"panic", "goroutine ", "SQLSTATE", "sqlite3:", "syntax error", "a page failed"} {
			if i := strings.Index(said, bad); i >= 0 {
				t.Errorf("the server says %q: …%s", bad, said[max(0, i-300):min(len(said), i+700)])
			}
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(30 * time.Millisecond) {
		if file, is := strings.CutPrefix(ready, "file://"); is {
			if raw, err := os.ReadFile(file); err == nil && bytes.Contains(raw, []byte(`"birthDate"`)) && strings.Contains(log.String(), "patients are in") {
				return
			}
		} else if res, err := http.Get(ready); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended: %v\n%s", err, log)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not answer\n%s", log)
		}
	}
}

// token is an access token of a program that may do anything in a practice.
func (h *house) token(practice string) string {
	h.t.Helper()
	token := strings.TrimSpace(h.run("token", "--practice", practice, "--scope", "system/*.cruds", "--ttl", "1h"))
	for range 50 { // a program that another process registered is known to this server within a second
		if h.ask("GET", "/"+practice+"/fhir/Patient?_summary=count", "", "Authorization", "Bearer "+token).status == http.StatusOK {
			return token
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Fatal("the token opens nothing")
	return ""
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	err    error
}

// text shortens the body for messages.
func (a answer) text() string {
	s := strings.Join(strings.Fields(a.body), " ")
	return s[:min(len(s), 300)]
}

// ask sends a request; headers come as name, value, …
func (h *house) ask(method, path, body string, headers ...string) answer {
	r, err := http.NewRequest(method, "http://"+h.at+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	return h.send(r, headers...)
}

func (h *house) send(r *http.Request, headers ...string) answer {
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	began := time.Now()
	res, err := h.client.Do(r)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	return answer{res.StatusCode, res.Header, string(raw), time.Since(began), err}
}

// fhir sends a request to the FHIR interface of willow.
func (h *house) fhir(token, method, path, body string, headers ...string) answer {
	if body != "" && !slices.Contains(headers, "Content-Type") {
		headers = append(headers, "Content-Type", "application/fhir+json")
	}
	return h.ask(method, "/willow/fhir"+path, body, append(headers, "Authorization", "Bearer "+token)...)
}

// put stores a resource, which must succeed, and gives its id.
func (h *house) put(token, resource string) string {
	h.t.Helper()
	typ := strings.Split(resource, `"`)[3]
	a := h.fhir(token, "POST", "/"+typ, resource)
	if a.status != http.StatusCreated {
		h.t.Fatalf("POST %s: %d %s %v", typ, a.status, a.text(), a.err)
	}
	at := strings.Split(a.header.Get("Location"), "/")
	return at[slices.Index(at, typ)+1]
}

// person is somebody at a browser: what is in it.
type person struct {
	h        *house
	practice string
	from     string // the address they come from
	cookies  map[string]string
	secret   string // of the authenticator
}

func (h *house) visitor(practice, from string) *person {
	return &person{h: h, practice: practice, from: from, cookies: map[string]string{}}
}

// send sends a request as the person's browser would, from a page of the practice; more headers may say otherwise.
func (p *person) send(method, path string, form url.Values, headers ...string) answer {
	body := ""
	if method == "POST" {
		body = form.Encode()
	}
	r, err := http.NewRequest(method, "http://"+p.h.at+"/"+p.practice+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	r.Header.Set("X-Forwarded-For", p.from)
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Del(headers[i])
	}
	var all []string
	for name, v := range p.cookies {
		all = append(all, name+"="+v)
	}
	slices.Sort(all)
	if len(all) > 0 {
		r.Header.Set("Cookie", strings.Join(all, "; "))
	}
	a := p.h.send(r, headers...)
	if a.err == nil {
		for _, c := range (&http.Response{Header: a.header}).Cookies() {
			if c.MaxAge < 0 {
				delete(p.cookies, c.Name)
			} else {
				p.cookies[c.Name] = c.Value
			}
		}
	}
	return a
}

func (p *person) get(path string, headers ...string) answer {
	return p.send("GET", path, nil, headers...)
}

func (p *person) post(path string, form url.Values, headers ...string) answer {
	return p.send("POST", path, form, headers...)
}

// signIn signs somebody in for the first time: with the password, and an authenticator that they enrol.
func (h *house) signIn(practice, login string) *person {
	h.t.Helper()
	p := h.visitor(practice, "192.0.2.10")
	p.post("/sign-in", url.Values{"login": {login}, "password": {password}})
	a := p.post("/account/totp", url.Values{})
	p.secret = field(a.body, "secret")
	if code, err := auth.TOTPCode(p.secret, time.Now()); err == nil {
		p.post("/account/totp/finish", url.Values{"ticket": {field(a.body, "ticket")}, "code": {code}})
	}
	if a := p.get("/schedule"); a.status != http.StatusOK {
		h.t.Fatalf("%s does not get in: %d %s", login, a.status, a.text())
	}
	return p
}

// field is the value of a form's hidden field.
func field(body, name string) string {
	_, rest, _ := strings.Cut(body, `name="`+name+`"`)
	rest, _, _ = strings.Cut(rest, ">")
	_, rest, _ = strings.Cut(rest, `value="`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}
