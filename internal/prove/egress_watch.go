package prove

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
)

// watch looks again and again at the sockets a process and its children hold, as the kernel lists them (/proc), and keeps where they
// lead. What lives shorter than the time between two looks can escape it; in a network apart nothing escapes the kernel's counts.
type watch struct {
	pid  int
	own  uint16 // the port it serves at
	mu   sync.Mutex
	seen map[string]netip.AddrPort // by protocol and address
	look int64
}

func (w *watch) run(ctx context.Context) {
	w.seen = map[string]netip.AddrPort{}
	for clock.System().Sleep(ctx, 5*time.Millisecond) == nil {
		w.once()
	}
}

func (w *watch) once() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look++
	for _, pid := range descendants(w.pid) {
		inodes := map[string]bool{}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			to, _ := os.Readlink(fd)
			if in, ok := strings.CutPrefix(to, "socket:["); ok {
				inodes[strings.TrimSuffix(in, "]")] = true
			}
		}
		for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6"} {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, proto))
			for _, line := range strings.Split(string(b), "\n") {
				f := strings.Fields(line)
				if len(f) < 10 || !inodes[f[9]] {
					continue
				}
				local, err1 := procAddr(f[1])
				remote, err2 := procAddr(f[2])
				listening := remote.Addr().IsUnspecified() || remote.Port() == 0
				if err1 != nil || err2 != nil || local.Port() == w.own || listening && !strings.HasPrefix(proto, "raw") {
					continue
				}
				w.seen[proto[:3]+" "+remote.String()] = remote
			}
		}
	}
}

// descendants is a process, its children and theirs.
func descendants(pid int) (out []int) {
	next := []int{pid}
	for len(next) > 0 && len(out) < 1000 {
		out = append(out, next[0])
		next = append(next[1:], slices.DeleteFunc(family(next[0]), func(p int) bool { return p == next[0] })...)
	}
	return out
}

// procAddr reads an address as the kernel lists it: words of four bytes in the machine's own order, here little-endian.
func procAddr(s string) (netip.AddrPort, error) {
	a, p, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(a)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("prove: %q is not an address", s)
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	addr, _ := netip.AddrFromSlice(b)
	port, err := strconv.ParseUint(p, 16, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), err
}

// kernelCounts are the network's own: what happened in it since it was made, whoever did it.
func kernelCounts() (map[string]int64, error) {
	out := map[string]int64{}
	b, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(b), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for k := 1; k < len(names) && k < len(values); k++ {
			out[strings.TrimSuffix(names[0], ":")+names[k]], _ = strconv.ParseInt(values[k], 10, 64)
		}
	}
	b, _ = os.ReadFile("/proc/self/net/snmp6") // not there without IPv6
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) == 2 {
			out[f[0]], _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return out, nil
}
