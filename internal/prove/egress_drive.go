package prove

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	"yarrow.health/internal/standards/fhir"
)

// drive uses a whole demonstration as people and programs do.
type drive struct {
	r       *Run
	program string
	data    string
	env     []string
	base    string // as it calls itself
	port    uint16
	cmd     *exec.Cmd
	said    kept
	reading sync.WaitGroup
	client  *egress.Client
	cookies []string
	key     *ecdsa.PrivateKey // of a program whose key set is fetched
	mu      sync.Mutex
	visits  map[string]int // of listed hosts, by host and path
	nonce   string         // of the sign-on under way
}

// all does everything.
func (d *drive) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.plant, d.programs, d.machine, d.outside, d.people, d.office} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// command runs the program beside the server, which carries the command out through its socket.
func (d *drive) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Env = append(clean(os.Environ()), d.env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	d.r.Count("commands", 1)
	if err != nil {
		err = fmt.Errorf("prove: yarrow %s: %w: %.400s", args[0], err, errs.Bytes())
	}
	return string(out), err
}

// plant has a resource of every type come in, with a canary in every string and an address in every place for one.
func (d *drive) plant(ctx context.Context) error {
	var b bytes.Buffer
	for _, x := range plants() {
		n, err := (&filler{plant: x, letter: home}).resource()
		if err != nil {
			return err
		}
		b.Write(append(n.AppendJSON(nil), '\n'))
		d.r.Count("canaries planted", int64(len(canaryForm.FindAll(n.AppendJSON(nil), -1))))
	}
	path := filepath.Join(d.r.Dir, "planted.ndjson")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return err
	}
	// Some are refused, since they keep to the form but not to the rules: that is driven too.
	out, _ := d.command(ctx, "import", "fhir", "--practice", "demo", "--data", d.data, "--synthetic", "--json", path)
	var report struct{ Created int64 }
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Created < 300 {
		return fmt.Errorf("prove: the canaries are not in: %.300s", out)
	}
	d.r.Count("resources planted", report.Created)
	return nil
}

func (d *drive) newKey() (err error) {
	d.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	return err
}

func part(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// programs has programs registered whose key sets are elsewhere, and one of them sign in with its key.
func (d *drive) programs(ctx context.Context) error {
	add := func(name, keys string) (string, error) {
		out, err := d.command(ctx, "client", "add", "--practice", "demo", "--data", d.data, "--name", name, "--kind", "keys", "--scope", "system/*.rs", "--jwks-url", keys)
		id, _, _ := strings.Cut(strings.TrimPrefix(out, "Client id: "), "\n")
		return id, err
	}
	sign := func(id string) error {
		if d.key == nil {
			return nil
		}
		now := clock.System().Now()
		claims := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"exp":%d,"iat":%d,"jti":"%d"}`, id, id, d.base+"/demo/oauth/token", now.Add(time.Minute).Unix(), now.Unix(), now.UnixNano())
		text := part([]byte(`{"alg":"ES384","typ":"JWT","kid":"1"}`)) + "." + part([]byte(claims))
		signature, err := d.signature(text)
		if err != nil {
			return err
		}
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"}, "client_assertion": {text + "." + signature},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
		reply, err := d.ask(ctx, "POST", "/demo/oauth/token", form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		if err != nil {
			return err
		}
		if name := map[bool]string{true: "tokens for programs that signed", false: "programs refused"}[reply.Status == http.StatusOK]; name != "" {
			d.r.Count(name, 1)
		}
		return nil
	}
	// The second is at an address inside, and the third nowhere: both are refused, now or when they sign in.
	for _, keys := range []string{"https://" + keysHost + "/keys.json", "https://169.254.169.254/latest/meta-data", "https://localhost/keys.json"} {
		id, err := add("A program", keys)
		if err != nil {
			if strings.Contains(keys, keysHost) {
				return err
			}
			d.r.Count("programs refused", 1)
			continue
		}
		if err := sign(id); err != nil {
			return err
		}
	}
	if d.key == nil {
		return nil
	}
	return d.visited(ctx, keysHost+" /keys.json")
}

func (d *drive) signature(text string) (string, error) {
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, d.key, sum[:])
	if err != nil {
		return "", err
	}
	return part(append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)), nil
}

// ask makes one request as it would come over the network.
func (d *drive) ask(ctx context.Context, method, path, body string, h http.Header) (*egress.Reply, error) {
	if h == nil {
		h = http.Header{}
	}
	d.r.Count("requests", 1)
	return d.client.Do(ctx, egress.Request{Method: method, URL: fmt.Sprintf("http://127.0.0.1:%d%s", d.port, path), Header: h, Body: []byte(body)})
}

// machine asks for everything the FHIR interface has, with a token for everything.
func (d *drive) machine(ctx context.Context) error {
	out, err := d.command(ctx, "token", "--practice", "demo", "--data", d.data, "--scope", "system/*.cruds", "--ttl", "1h")
	if err != nil {
		return err
	}
	h := http.Header{"Authorization": {"Bearer " + strings.TrimSpace(out)}, "Accept": {"application/fhir+json"}}
	with := func(name, value string) http.Header {
		c := h.Clone()
		c.Set(name, value)
		return c
	}
	for _, typ := range fhir.ResourceTypes() {
		x := plant{typ: typ, patient: 1}
		if typ != "Patient" && len(fhir.Compartment("Patient", typ)) == 0 {
			x.patient = 0
		}
		at := "/demo/fhir/" + x.ref(home)
		n, err := (&filler{plant: x, letter: home}).resource()
		if err != nil {
			return err
		}
		body := string(n.AppendJSON(nil))
		for _, q := range []struct {
			method, path, body string
			header             http.Header
		}{
			{"GET", at, "", h}, {"GET", at, "", with("Accept", "application/fhir+xml")}, {"GET", at + "/_history", "", h},
			{"GET", "/demo/fhir/" + typ + "?_count=20&_include=*&_total=accurate", "", h},
			{"GET", "/demo/fhir/" + typ + "?_content=" + x.canary(home), "", h},
			{"POST", "/demo/fhir/" + typ, body, with("Content-Type", "application/fhir+json")},
			{"POST", "/demo/fhir/" + typ + "/$validate", body, with("Content-Type", "application/fhir+json")},
			{"PUT", at, body, with("Content-Type", "application/fhir+json")},
		} {
			if _, err := d.ask(ctx, q.method, q.path, q.body, q.header); err != nil {
				return err
			}
		}
	}
	elsewhere := "https://" + plant{typ: "ValueSet"}.canary(home) + ".example.org/x"
	for _, path := range []string{"/metadata", "/_history?_count=100", "?_type=Patient,Observation", "/Patient/patient-1/$everything", "/Patient/patient-1/$docref", "/ValueSet/$expand?url=" + elsewhere, "/CodeSystem/$lookup?system=" + elsewhere + "&code=x",
		"/ConceptMap/$translate?url=" + elsewhere + "&code=x&system=" + elsewhere, "/StructureDefinition?url=" + elsewhere, "/Observation?code:in=" + elsewhere, "/Observation?subject=" + elsewhere} {
		if _, err := d.ask(ctx, "GET", "/demo/fhir"+path, "", h); err != nil {
			return err
		}
	}
	// What names something elsewhere, which nobody is to fetch.
	for _, body := range []string{
		`{"resourceType":"Observation","meta":{"profile":["` + elsewhere + `"]},"status":"final","code":{"text":"x"},"subject":{"reference":"` + elsewhere + `"}}`,
		`{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"url":"` + elsewhere + `","contentType":"text/html"}}]}`,
		`{"resourceType":"Subscription","status":"requested","reason":"x","criteria":"Patient?","channel":{"type":"rest-hook","endpoint":"` + elsewhere + `"}}`,
		`{"resourceType":"Endpoint","status":"active","connectionType":{"code":"hl7-fhir-rest"},"payloadType":[{"text":"x"}],"address":"` + elsewhere + `"}`,
	} {
		var typ struct{ ResourceType string }
		if err := json.Unmarshal([]byte(body), &typ); err != nil {
			return err
		}
		if _, err := d.ask(ctx, "POST", "/demo/fhir/"+typ.ResourceType, body, with("Content-Type", "application/fhir+json")); err != nil {
			return err
		}
	}
	if _, err := d.ask(ctx, "POST", "/demo/fhir/Patient", `<!DOCTYPE p SYSTEM "`+elsewhere+`"><Patient xmlns="http://hl7.org/fhir"/>`, with("Content-Type", "application/fhir+xml")); err != nil {
		return err
	}
	return d.export(ctx, h)
}

// export has everything exported, and fetches it.
func (d *drive) export(ctx context.Context, h http.Header) error {
	begin := h.Clone()
	begin.Set("Prefer", "respond-async")
	reply, err := d.ask(ctx, "GET", "/demo/fhir/$export", "", begin)
	if err != nil {
		return err
	}
	at := d.here(reply.Header.Get("Content-Location"))
	for range 600 {
		if reply, err = d.ask(ctx, "GET", at, "", h); err != nil || reply.Status != http.StatusAccepted && reply.Status != http.StatusTooManyRequests {
			break
		}
		if err := clock.System().Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	var manifest struct{ Output []struct{ URL string } }
	if err := json.Unmarshal(reply.Body, &manifest); err != nil || len(manifest.Output) == 0 {
		return fmt.Errorf("prove: the export gave %d: %.200s", reply.Status, reply.Body)
	}
	for _, f := range manifest.Output {
		if _, err := d.ask(ctx, "GET", d.here(f.URL), "", h); err != nil {
			return err
		}
		d.r.Count("files exported", 1)
	}
	return nil
}

// here is the path of an address of the demonstration; "" of one that is elsewhere.
func (d *drive) here(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host != "" && !strings.HasSuffix(d.base, "//"+u.Host) || !strings.HasPrefix(u.Path, "/demo") {
		return ""
	}
	return u.RequestURI()
}

// office does what an operator does beside a running server.
func (d *drive) office(ctx context.Context) error {
	phrase := filepath.Join(d.r.Dir, "phrase")
	if err := os.WriteFile(phrase, []byte("a phrase for a proof that is long enough\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"export", "--practice", "demo", "--data", d.data, "--out", filepath.Join(d.r.Dir, "export.ndjson")},
		{"audit", "verify", "--practice", "demo", "--data", d.data},
		{"audit", "export", "--practice", "demo", "--data", d.data, "--out", filepath.Join(d.r.Dir, "audit.log")},
		{"backup", "--data", d.data, "--out", filepath.Join(d.r.Dir, "backup"), "--passphrase-file", phrase},
		{"doctor", "--data", d.data},
	} {
		if _, err := d.command(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
