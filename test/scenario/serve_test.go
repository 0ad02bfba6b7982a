package scenario_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
)

// certificate makes a self-signed one for this machine, good for an hour.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ehr.example.org"}, DNSNames: []string{"ehr.example.org"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert = write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	key = write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(mustRead(t, cert)))
	return cert, key, pool
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// freeAddress is one of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// started runs a server until the test ends; it returns when the server has said words on standard output.
func started(t *testing.T, cmd *exec.Cmd, words string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), words) {
				heard <- true
				_, _ = io.Copy(io.Discard, out)
			}
		}
		heard <- false
	}()
	ok := <-heard
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || strings.Contains(errs.String(), "panic") {
			t.Errorf("the server ended with %v\n%s", err, errs.String())
		}
	})
	if !ok {
		t.Fatalf("the server ended without saying %q\n%s", words, errs.String())
	}
}

func TestServeSpeaksTLSOnly(t *testing.T) {
	cert, key, pool := certificate(t)
	each(t, func(t *testing.T, h *home) {
		h.filled()
		addr := freeAddress(t)
		started(t, command(t, append([]string{"serve", "--url", "https://ehr.example.org", "--listen", addr, "--cert", cert, "--key", key}, h.place()...)...), "serves 1 practices")
		client := func(from, to uint16) *http.Client {
			return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: from, MaxVersion: to}}}
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready"} {
				res, err := client(version, version).Get("https://" + addr + path)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 200 || strings.TrimSpace(string(body)) != want {
					t.Errorf("%s: %d %s", path, res.StatusCode, body)
				}
			}
		}
		if res, err := client(tls.VersionTLS10, tls.VersionTLS11).Get("https://" + addr + "/healthz"); err == nil {
			res.Body.Close()
			t.Error("a client of TLS 1.1 was served")
		} else if !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("a client of TLS 1.1: %v", err)
		}
		if res, err := http.Get("http://" + addr + "/willow/sign-in"); err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("plain HTTP got %d", res.StatusCode)
			}
		}
		res, err := client(tls.VersionTLS12, 0).Get("https://" + addr + "/willow/sign-in")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Strict-Transport-Security"), "max-age=") {
			t.Errorf("sign-in: %d %v", res.StatusCode, res.Header)
		}
	})
}

func TestServeRefuses(t *testing.T) {
	cert, key, _ := certificate(t)
	other, _, _ := certificate(t)
	h := onSQLite(t).filled()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const url = "https://ehr.example.org"
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		words []string
	}{
		{"plain HTTP to everybody", []string{"--proxy", "--url", url, "--listen", "0.0.0.0:0"}, 1, []string{"on this machine only", "--cert and --key"}},
		{"plain HTTP to everybody, IPv6", []string{"--proxy", "--url", url, "--listen", ":0"}, 1, []string{"on this machine only"}},
		{"no certificate", []string{"--url", url}, 1, []string{"served over TLS", "--cert and --key"}},
		{"a plain address", []string{"--url", "http://ehr.example.org", "--proxy"}, 1, []string{"https://"}},
		{"no address", []string{"--proxy"}, 2, []string{"--url"}},
		{"a key of another certificate", []string{"--url", url, "--cert", other, "--key", key}, 1, []string{"belong together"}},
		{"no PEM", []string{"--url", url, "--cert", "testdata/town/ann.json", "--key", key}, 1, []string{"PEM"}},
		{"an address somebody has", []string{"--url", url, "--cert", cert, "--key", key, "--listen", taken.Addr().String()}, 1, []string{"cannot be listened on", "--listen"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			yarrow(t, append(append([]string{"serve"}, c.args...), h.place()...)...).refused(t, c.code, c.words...)
		})
	}
}

// TestTheDemonstrationIsNotServed: its sign-ins are public.
func TestTheDemonstrationIsNotServed(t *testing.T) {
	h := onSQLite(t)
	yarrow(t, "demo", "--data", h.data, "--listen", "0.0.0.0:8080").refused(t, 1, "this machine only", "127.0.0.1")
	cmd := command(t, "demo", "--data", h.data, "--listen", freeAddress(t), "--patients", "2")
	t.Run("demo", func(t *testing.T) { started(t, cmd, "is open at") })
	h.run("serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0").refused(t, 1, "demonstration practice, whose sign-ins are public", "Serve another folder")
}
