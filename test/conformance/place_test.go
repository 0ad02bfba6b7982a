package conformance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// place is one installation with the practice willow, and what the harness knows of it.
type place struct {
	t       *testing.T
	dir     string
	args    []string // where its data is
	origin  string   // https://localhost:port
	base    string   // the FHIR base
	pool    *x509.CertPool
	client  *http.Client // follows no redirects
	clients map[string]*app
}

// app is a registered program.
type app struct {
	id, secret string
	key        *ecdsa.PrivateKey
	callback   string
}

// newPlace makes an installation on SQLite or PostgreSQL, with nothing in it but the practice and a clinician.
func newPlace(t *testing.T, engine string) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), clients: map[string]*app{}}
	switch engine {
	case "SQLite":
		p.args = []string{"--data", filepath.Join(p.dir, "data")}
	case "PostgreSQL":
		p.args = []string{"--database", dbtest.Migrated(t, nil).App, "--master-key", filepath.Join(p.dir, "master.key"), "--keystore", filepath.Join(p.dir, "keys")}
	default:
		t.Fatalf("there is no engine %q", engine)
	}
	p.run("practice", "add", "willow", "Willow Street Clinic")
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte(annPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("user", "add", "--practice", "willow", "--login", "ann", "--name", "Dr. Ann Example", "--practitioner", "conf-ann",
		"--role", "clinician", "--role", "administrator", "--password-file", password)
	return p
}

const annPassword = "seven quiet herons at the mill"

// plainEnv is the environment without what would send a command to other data.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "YARROW_") })
}

// run runs a command that must succeed; an import may have refused entries.
func (p *place) run(args ...string) string {
	p.t.Helper()
	bin, err := webtest.Program()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(bin, append(args, p.args...)...)
	cmd.Env = plainEnv()
	out, err := cmd.CombinedOutput()
	if err != nil && (args[0] != "import" || cmd.ProcessState.ExitCode() != 3) {
		p.t.Fatalf("yarrow %v: %v\n%s", args, err, out)
	}
	return string(out)
}

var (
	idLine     = regexp.MustCompile(`Client id: (\S+)`)
	secretLine = regexp.MustCompile(`Secret, shown only now: (\S+)`)
)

// register registers a program under a name of the harness's own.
func (p *place) register(name, kind, scopes string, more ...string) *app {
	p.t.Helper()
	a := &app{callback: "https://" + name + ".example.org/callback"}
	args := []string{"client", "add", "--practice", "willow", "--name", "Conformance " + name, "--kind", kind, "--scope", scopes}
	if !strings.Contains(scopes, "system/") {
		args = append(args, "--redirect", a.callback, "--launch", "https://"+name+".example.org/launch")
	}
	if kind == "keys" {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			p.t.Fatal(err)
		}
		a.key = key
		point, err := key.PublicKey.Bytes()
		if err != nil {
			p.t.Fatal(err)
		}
		set, _ := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": name,
			"x": b64(point[1:49]), "y": b64(point[49:])}}})
		file := filepath.Join(p.dir, name+".jwks.json")
		if err := os.WriteFile(file, set, 0o600); err != nil {
			p.t.Fatal(err)
		}
		args = append(args, "--jwks", file)
	}
	out := p.run(append(args, more...)...)
	m := idLine.FindStringSubmatch(out)
	if m == nil {
		p.t.Fatalf("no client id: %s", out)
	}
	a.id = m[1]
	if m := secretLine.FindStringSubmatch(out); m != nil {
		a.secret = m[1]
	}
	p.clients[name] = a
	return a
}

// serve starts the server over TLS and waits until it answers; it stops when the test ends.
func (p *place) serve() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(4 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.pool = x509.NewCertPool()
	p.pool.AppendCertsFromPEM(cert)
	for name, raw := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(p.dir, name), raw, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	p.origin = "https://localhost" + at[strings.LastIndexByte(at, ':'):]
	p.base = p.origin + "/willow/fhir"
	p.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.pool}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	bin, _ := webtest.Program()
	cmd := exec.Command(bin, append([]string{"serve", "--url", p.origin, "--listen", at, "--cert", filepath.Join(p.dir, "cert.pem"),
		"--key", filepath.Join(p.dir, "key.pem")}, p.args...)...)
	cmd.Env = plainEnv()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if err != nil || strings.Contains(said.String(), "panic") {
				p.t.Errorf("the server ended with %v\n%s", err, said.String())
			}
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			p.t.Errorf("the server does not end")
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if res, err := p.client.Get(p.origin + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			p.t.Fatalf("the server ended: %v\n%s", err, said.String())
		default:
		}
		if time.Now().After(end) {
			p.t.Fatalf("the server does not answer\n%s", said.String())
		}
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// json reads the body as an object; nil when it is none.
func (a answer) json() map[string]any {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if d.Decode(&m) != nil {
		return nil
	}
	return m
}

// text shortens the body for messages.
func (a answer) text() string {
	s := strings.Join(strings.Fields(string(a.body)), " ")
	return s[:min(len(s), 300)]
}

// ask sends a request; headers come as name, value, …
func (p *place) ask(method, address string, body []byte, headers ...string) answer {
	if strings.HasPrefix(address, "/") {
		address = p.origin + address
	}
	r, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := p.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, raw, err}
}

// form posts a form.
func (p *place) form(address string, v url.Values, headers ...string) answer {
	return p.ask("POST", address, []byte(v.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}
