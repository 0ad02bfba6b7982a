package prove

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/egress"
)

// Egress is the proof that nothing leaves for a host that nobody listed, and that no canary leaves but for the one host that a
// subscription to whole records names: a whole demonstration, program, is driven through its screens, forms, FHIR interface, tokens,
// exports, backups and commands, and through everything for which it speaks to others (key sets, hooks, imports by address, sign-on; it
// sends no mail and no telemetry), with a resource of every type that holds a canary in every string, while three look at what leaves:
//
//   - apart says that this process is in a network of its own (see [Apart]): every address of the world leads to a recorder, which
//     keeps every byte, every connection and every name that is looked up;
//   - the kernel counts the connections and datagrams of that network: one that reached no recorder shows as well;
//   - the sockets of the program's process are read from /proc, which also works where no network apart can be had; connections that
//     are shorter than the few milliseconds between two looks can escape it there, and the report says that it was so.
//
// What the program says on its terminal and in its log holds no canary either. The embedded database is used: on PostgreSQL the
// database is one more host that the operator names. Not covered: what a page has a browser do (its content security policy, and the
// browser tests), and sockets to other processes of the same machine.
//
// Cycles is how many pages each of three people opens, 120 by itself.
//
// The control runs a program that opens a connection of its own and sends a canary, there and to a listed host.
func Egress(program string, apart bool) Proof {
	return Proof{Name: "egress", Promise: "Nothing leaves for a host that nobody listed, and nothing of patients but to whom a subscription tells whole records.",
		Try: func(ctx context.Context, r *Run) error { return tryEgress(ctx, r, program, apart) }}
}

// ThrowAway is the file that marks the only data folders a leaking program takes.
const ThrowAway = "throw-away"

const (
	keysHost     = "keys.partner.example.net" // of a program, on the list by its registration
	unlistedAddr = "203.0.113.7"              // where the control's leak goes (TEST-NET-3)
	leakedCanary = "cnrya1p001"
)

func tryEgress(ctx context.Context, r *Run, program string, apart bool) (err error) {
	if r.Engine.App != "" {
		return errors.New("prove: egress runs on the embedded database")
	}
	d := &drive{r: r, program: program, data: filepath.Join(r.Dir, "demo"), visits: map[string]int{}}
	if err := os.MkdirAll(d.data, 0o700); err != nil {
		return err
	}
	var world *outside
	var before map[string]int64
	if apart {
		ca := filepath.Join(r.Dir, "authority.pem")
		if err := d.newKey(); err != nil {
			return err
		}
		if world, err = r.newOutside(ca, listedHosts, http.HandlerFunc(d.partner)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, world.close()) }()
		d.env = []string{"SSL_CERT_FILE=" + ca, "SSL_CERT_DIR="}
		if before, err = kernelCounts(); err != nil {
			return err
		}
		r.Count("network apart", 1)
	} else {
		r.Count("network apart", 0)
		r.Say("This system gives no network apart: what is shorter than a few milliseconds may escape the look at the sockets.")
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	look, stop := context.WithCancel(ctx)
	w := &watch{pid: d.cmd.Process.Pid, own: d.port}
	var looking sync.WaitGroup
	looking.Go(func() { w.run(look) })
	if err = d.all(ctx); err != nil {
		err = fmt.Errorf("%w; the program's last words: %.2000s", err, d.said.bytes())
	}
	if r.Control {
		_ = clock.System().Sleep(ctx, 3*time.Second) // until it has leaked
	}
	stop()
	looking.Wait()
	if err = errors.Join(err, d.end()); err != nil {
		return err
	}
	r.Count("looks at the sockets", w.look)
	r.Count("sockets that led elsewhere", int64(len(w.seen)))
	for name, to := range w.seen {
		if !d.may(world, to) {
			r.Fail("the program held a socket to %s, which is not on the list", name)
		}
	}
	for _, c := range canaryForm.FindAll(d.said.bytes(), -1) {
		r.Fail("the program's log says %s", c)
	}
	r.Count("bytes of the log", int64(len(d.said.bytes())))
	if world == nil {
		return nil
	}
	world.judge()
	after, err := kernelCounts()
	if err != nil {
		return err
	}
	n := func(name string) int64 { return after[name] - before[name] }
	r.Count("connections by the kernel's count", n("TcpActiveOpens"))
	if nobody := n("TcpActiveOpens") - n("TcpPassiveOpens"); nobody != 0 {
		r.Fail("%d connections were begun to ports at which nobody listens", nobody)
	}
	if lost := n("UdpNoPorts") + n("Udp6NoPorts"); lost != 0 {
		r.Fail("%d datagrams were sent to ports at which nobody listens", lost)
	}
	if pings := n("IcmpOutEchos") + n("Icmp6OutEchos"); pings != 0 {
		r.Fail("%d pings were sent", pings)
	}
	return nil
}

// may says whether a socket may lead to an address: to the recorder's listed hosts, and to the machines that know names.
func (d *drive) may(world *outside, to netip.AddrPort) bool {
	if world == nil {
		return false
	}
	if to.Port() == 53 {
		return true // every question is kept and judged
	}
	for _, a := range world.listed {
		if to == netip.AddrPortFrom(a, 443) {
			return true
		}
	}
	return false
}

// start starts the demonstration and waits until everybody is in it.
func (d *drive) start(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.port = uint16(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return err
	}
	d.base = fmt.Sprintf("http://localhost:%d", d.port)
	d.client, err = egress.New([]egress.Destination{{Host: "127.0.0.1", Ports: []int{int(d.port)}, Purpose: "proof", Agreement: "none: no patient data", Private: true, Plain: true}})
	if err != nil {
		return err
	}
	args := []string{"demo"}
	if d.r.Control {
		args = []string{"prove", "leak"}
		if err := os.WriteFile(filepath.Join(d.data, ThrowAway), nil, 0o600); err != nil {
			return err
		}
	}
	d.cmd = exec.Command(d.program, append(args, "--data", d.data, "--listen", fmt.Sprintf("127.0.0.1:%d", d.port), "--patients", "8")...)
	d.cmd.Env = append(clean(os.Environ()), d.env...)
	d.cmd.Stderr = &d.said
	text, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan bool)
	d.reading.Go(func() {
		defer close(ready)
		open := false
		for s := bufio.NewScanner(text); s.Scan(); {
			_, _ = d.said.Write(append(s.Bytes(), '\n'))
			if !open && strings.Contains(s.Text(), "patients are in") {
				open = true
				ready <- true
			}
		}
	})
	// A dial before it listens would be one that nobody answers: its own words say when it does.
	late, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
	case <-late.Done():
	}
	d.kill()
	return fmt.Errorf("prove: the demonstration does not begin: %.500s", d.said.bytes())
}

func (d *drive) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

// end has the program end as an operator would.
func (d *drive) end() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	d.reading.Wait()
	return d.cmd.Wait()
}

// Leak is what the control's program does beside its work: it sends a canary to a machine that nobody listed, and to a host that
// somebody did.
func Leak(ctx context.Context) {
	c, err := egress.New([]egress.Destination{{Host: unlistedAddr, Ports: []int{80}, Purpose: "leak", Agreement: "none", Private: true, Plain: true},
		{Host: keysHost, Purpose: "leak", Agreement: "none"}})
	if err != nil {
		return
	}
	for _, to := range []string{"http://" + unlistedAddr + "/", "https://" + keysHost + "/"} {
		if strings.HasPrefix(to, "https") && os.Getenv("SSL_CERT_FILE") == "" {
			continue // outside a network apart the host is nobody's
		}
		_, _ = c.Do(ctx, egress.Request{Method: http.MethodPost, URL: to, Body: []byte(leakedCanary)})
	}
}

// kept is what a program said, written and read by several.
type kept struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (k *kept) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(b)
}

func (k *kept) bytes() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.b.Bytes())
}
