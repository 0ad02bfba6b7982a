package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/web/webtest"
)

// yarrow runs a command to its end.
func yarrow(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("yarrow %s: %v\n%s", strings.Join(args[:2], " "), err, out)
	}
	return string(out)
}

// largest gives the patient whose bundle in a folder has the most entries: family name, birth date and id.
func largest(t *testing.T, dir string) (family, birth, id string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		var bundle struct {
			Entry []struct {
				Resource struct {
					ResourceType, ID, BirthDate string
					Name                        []struct{ Family string }
				}
			}
		}
		if json.Unmarshal(b, &bundle) != nil || len(bundle.Entry) <= most {
			continue
		}
		for _, e := range bundle.Entry {
			if r := e.Resource; r.ResourceType == "Patient" && len(r.Name) > 0 {
				most, family, birth, id = len(bundle.Entry), r.Name[0].Family, r.BirthDate, r.ID
			}
		}
	}
	if most == 0 {
		t.Fatalf("no patients in %s", dir)
	}
	t.Logf("the largest chart has %d entries", most)
	if len(birth) != len("2006-01-02") { // the palette finds whole dates of birth only
		birth = ""
	}
	return family, birth, id
}

// certificate makes a certificate for localhost.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}), 0o600)
	return cert, key
}

// The main job on input that nobody here wrote: a folder of patients comes into an empty practice; a doctor's first day begins with
// setting up an authenticator app; the largest chart opens; vital signs and a note are written and signed; the server is killed and
// started again; and what was done is there, as FHIR resources and in the audit.
func TestMainJobOnImportedPatients(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		data := filepath.Join(t.TempDir(), "data")
		mainJob(t, []string{"--data", data}, keys.DefaultOptions(data), db.Options{DataDir: data})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dir := t.TempDir()
		k := keys.Options{MasterFile: filepath.Join(dir, "master.key"), StoreDir: filepath.Join(dir, "keys")}
		url := dbtest.Migrated(t, nil).App
		mainJob(t, []string{"--database", url, "--master-key", k.MasterFile, "--keystore", k.StoreDir}, k, db.Options{DatabaseURL: url})
	})
}

// mainJob does the main job where place says the data is; keys and options open the same place afterwards.
func mainJob(t *testing.T, place []string, k keys.Options, o db.Options) {
	dir := t.TempDir()
	input := "../scenario/testdata/town"
	if corpus := os.Getenv("YARROW_CORPUS"); corpus != "" {
		input = filepath.Join(corpus, "synthea", "2021-07-uscore-transaction-bundles")
	} else {
		t.Log("YARROW_CORPUS is not set: fixtures of our own are imported instead of Synthea's patients")
	}
	yarrow(t, append([]string{"practice", "add", "clinic", "The Clinic"}, place...)...)
	t.Log(lastLine(yarrow(t, append([]string{"import", "fhir", "--practice", "clinic", input}, place...)...)))
	doctor := filepath.Join(dir, "doctor.json")
	os.WriteFile(doctor, []byte(`{"resourceType":"Practitioner","id":"own-doctor","name":[{"family":"Quist","given":["Ada"],"suffix":["MD"]}]}`), 0o600)
	yarrow(t, append([]string{"import", "fhir", "--practice", "clinic", doctor}, place...)...)
	const password = "walnut-heron-oatmeal-51"
	said := strings.Fields(yarrow(t, append([]string{"user", "add", "--practice", "clinic", "--login", "quist", "--name", "Ada Quist, MD", "--role", "clinician",
		"--practitioner", "own-doctor"}, place...)...))
	invitation := said[len(said)-1]

	cert, key := certificate(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	base := "https://localhost:" + addr[strings.LastIndexByte(addr, ':')+1:]
	bin, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	var server *exec.Cmd
	start := func() {
		server = exec.Command(bin, append([]string{"serve", "--listen", addr, "--url", base, "--cert", cert, "--key", key}, place...)...)
		server.Stderr = os.Stderr
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if r, err := client.Get(base + "/healthz"); err == nil {
				r.Body.Close()
				return
			}
			if time.Now().After(end) {
				t.Fatal("the server does not answer")
			}
		}
	}
	stop := func() { server.Process.Kill(); server.Wait() }
	start()
	t.Cleanup(func() { stop() })

	v := visit(t, base, desktop, chromedp.Flag("ignore-certificate-errors", true))
	v.open("/clinic/join")
	v.fill("#f-invite", invitation)
	v.fill("#f-password", password)
	v.Accessible("invitation")
	v.do("set a password", chromedp.Submit("#f-invite", chromedp.ByQuery))
	v.see("#f-login")
	v.fill("#f-login", "quist")
	v.fill("#f-password", password)
	v.do("sign in", chromedp.Submit("#f-login", chromedp.ByQuery))
	v.says("second factor")
	v.do("set up an app", chromedp.Submit(`form[action$="/account/totp"] button`, chromedp.ByQuery))
	v.see(".qr")
	var totpSecret string
	v.do("its key", chromedp.Text(".enrol code", &totpSecret, chromedp.ByQuery))
	code, err := totp.GenerateCode(totpSecret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v.fill("#f-code", code)
	v.do("turn it on", chromedp.Submit("#f-code", chromedp.ByQuery))
	v.see(".codes")
	v.Accessible("recovery codes")

	family, birth, id := largest(t, input)
	v.press("k", chromedp.KeyModifiers(2))
	v.see("#pal[open]")
	v.do("find the patient", chromedp.SendKeys("#palq", strings.TrimSpace(family+" "+birth), chromedp.ByQuery))
	v.until("found", `[...document.querySelectorAll('#pallist [role=option]')].some(o => o.href.endsWith('/`+id+`'))`)
	v.eval(`document.querySelector('#pallist [role=option][href$="/`+id+`"]').click()`, nil)
	v.see(".story")
	v.shot("chart")
	v.Accessible("largest chart")
	v.click(`a[href$="/vitals/new"]`)
	v.fill("#f-systolic", "131")
	v.fill("#f-diastolic", "79")
	v.click("#dlg [data-commit]")
	v.says("131/79")
	v.do("new note", chromedp.Evaluate(`document.querySelector('.newnote button').click()`, nil))
	v.see("note-editor textarea:not([readonly])")
	const words = "Reviewed the imported record in full."
	v.do("write", chromedp.SendKeys("note-editor textarea", words, chromedp.ByQuery), chromedp.Sleep(2500*time.Millisecond))
	v.do("sign", chromedp.WaitEnabled("note-editor [data-dosign]", chromedp.ByQuery), chromedp.Click("note-editor [data-dosign]", chromedp.ByQuery))
	v.says("Signed")
	v.says(words)
	note := v.where()
	stop()
	start()
	v.open(note)
	v.says(words)
	stop()
	provenInStore(t, k, o, id, words)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for _, l := range lines {
		if strings.Contains(l, " resources from ") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// provenInStore looks into the data itself: the note as Composition and DocumentReference with its Encounter, the blood
// pressure, and who did it.
func provenInStore(t *testing.T, k keys.Options, o db.Options, patient, words string) {
	t.Helper()
	ring, _, err := keys.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	o.Keys, o.Clock = ring, clock.System()
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	log := audit.New(d)
	store := fhirstore.New(d, log)
	scope := auth.SystemScope(1, "test")
	var note string
	err = d.View(t.Context(), scope, func(tx *db.Tx) error {
		ctx := context.WithoutCancel(t.Context())
		found := func(typ string, with string) *fhirstore.Resource {
			list, err := store.Find(ctx, tx, typ, "patient", "Patient/"+patient)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				if bytes.Contains(r.Raw, []byte(with)) {
					return r
				}
			}
			t.Errorf("no %s of the patient holds %q", typ, with)
			return nil
		}
		if c := found("Composition", words); c != nil {
			note = c.ID
			n := c.Node()
			if who := n.At("author", "reference").Text(); who != "Practitioner/own-doctor" {
				t.Errorf("the note's author is %q", who)
			}
			if n.At("status").Text() != "final" || n.At("attester") == nil {
				t.Error("the note is not signed")
			}
			encounter := n.At("encounter", "reference").Text()
			typ, id, _ := strings.Cut(encounter, "/")
			e, err := store.Read(ctx, tx, typ, id)
			if err != nil {
				t.Errorf("the note's encounter %q: %v", encounter, err)
			} else if s := e.Node().At("status").Text(); s != "finished" {
				t.Errorf("the note's encounter is %q", s)
			}
			found("DocumentReference", c.ID)
		}
		found("Observation", `"value":131`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := log.Find(t.Context(), scope, audit.Filter{Patient: "Patient/" + patient})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Actor.Kind == "staff" && e.Actor.UserID != 0 {
			seen[e.Action+" "+e.Type] = true
			if e.ID == 0 || e.At.IsZero() {
				t.Errorf("an audit entry without number or time: %+v", e)
			}
			if e.Type == "Composition" && e.Event.ID == note {
				seen["the note itself"] = true
			}
		}
	}
	for _, want := range []string{"create Observation", "the note itself"} {
		if !seen[want] {
			t.Errorf("the audit does not show %q; it shows %s", want, fmt.Sprint(seen))
		}
	}
}
