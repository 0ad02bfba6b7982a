package prove

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/egress"
)

// server is the real program serving a throw-away installation.
type server struct {
	r       *Run
	program string
	place   []string // flags that say where the data is
	data    string   // folder of the embedded database
	power   bool     // it is the power that is cut
	keys    string   // folder of the keys beside PostgreSQL
	client  *egress.Client
	base    string
	port    int
	token   string
	minted  time.Time
	cmd     *exec.Cmd
	said    bytes.Buffer
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

// mint makes a token when there is none that lasts a while.
func (s *server) mint(ctx context.Context) error {
	if now := clock.System().Now(); now.Sub(s.minted) < 40*time.Minute {
		return nil
	} else {
		s.minted = now
	}
	out, err := s.run(ctx, append([]string{"token", "--practice", durablePractice, "--scope", "system/*.cruds", "--ttl", "1h"}, s.place...)...)
	s.token = strings.TrimSpace(out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:])
	return err
}

// startWithin is how long a start may take on a machine that does other work too; how long it took is in the report.
const startWithin = 2 * time.Minute

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
	for clock.System().Since(began) < startWithin {
		if reply, err := s.ask(ctx, http.MethodGet, "/metadata", "", nil); err == nil && reply.Status == http.StatusOK {
			took := clock.System().Since(began).Milliseconds()
			s.r.Count("starts", 1)
			s.r.Count("milliseconds until it answered, all starts", took)
			s.r.Most("milliseconds until it answered, slowest", took)
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
func (s *server) ask(ctx context.Context, method, path, body string, more http.Header) (*egress.Reply, error) {
	h := http.Header{"Authorization": {"Bearer " + s.token}, "Accept": {"application/fhir+json"}}
	if body != "" {
		h.Set("Content-Type", "application/fhir+json")
	}
	for name, v := range more {
		h[name] = v
	}
	return s.client.Do(ctx, egress.Request{Method: method, URL: s.base + path, Header: h, Body: []byte(body)})
}
