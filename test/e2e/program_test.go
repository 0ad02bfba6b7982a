package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"yarrow.health/internal/web/webtest"
)

// running is a started server that can be killed and started again on the same data.
type running struct {
	t      *testing.T
	args   []string
	cmd    *exec.Cmd
	output *bytes.Buffer
	mu     sync.Mutex
	Demo   demoFile
	dir    string
}

// demoFile is what `yarrow demo` writes for scripts.
type demoFile struct {
	URL      string `json:"url"`
	Practice string `json:"practice"`
	Staff    []struct {
		Login    string   `json:"login"`
		Name     string   `json:"name"`
		Roles    []string `json:"roles"`
		Password string   `json:"password"`
		TOTP     string   `json:"totp"`
	} `json:"staff"`
	Patients []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"patients"`
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.Write(p)
}

func (r *running) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.String()
}

// startDemo starts `yarrow demo` on data of its own and waits until it answers.
func startDemo(t *testing.T, more ...string) *running {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	r := &running{t: t, dir: dir, args: append([]string{"demo", "--data", dir, "--listen", "127.0.0.1:0"}, more...)}
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *running) start() {
	r.t.Helper()
	bin, err := webtest.Program()
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.dir, "demo.json")
	os.Remove(file)
	r.output = &bytes.Buffer{}
	r.cmd = exec.Command(bin, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- r.cmd.Wait() }()
	for end := time.Now().Add(time.Minute); ; {
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &r.Demo) == nil {
			if resp, err := http.Get(r.Demo.URL + "/healthz"); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &r.Demo) == nil { // now it is complete
						return
					}
				}
			}
		}
		select {
		case err := <-exited:
			r.t.Fatalf("yarrow stopped: %v\n%s", err, r.log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			r.t.Fatalf("yarrow does not answer\n%s", r.log())
		}
	}
}

// kill ends the server as a power cut would: without a chance to tidy up.
func (r *running) kill() {
	if r.cmd != nil && r.cmd.Process != nil {
		r.cmd.Process.Signal(syscall.SIGKILL)
		for r.cmd.ProcessState == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// restart kills the server and starts it again on the same data and address.
func (r *running) restart() {
	r.t.Helper()
	r.kill()
	for i, a := range r.args {
		if a == "--listen" {
			r.args[i+1] = r.Demo.URL[len("http://"):]
			if h := r.args[i+1]; len(h) > 10 && h[:10] == "localhost:" {
				r.args[i+1] = "127.0.0.1:" + h[10:]
			}
		}
	}
	r.start()
}
