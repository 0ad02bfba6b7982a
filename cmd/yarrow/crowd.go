package main

import (
	"net"
	"net/netip"
	"sync"
)

// mostFrom is how many connections one address may hold: more than the browsers of a large office behind one address need, and fewer
// than would keep others out. Behind a proxy everybody comes from its address: there the proxy counts.
const mostFrom = 512

// crowd accepts connections, and hangs up on those of an address that holds enough already.
type crowd struct {
	net.Listener
	most int

	mu sync.Mutex
	by map[netip.Addr]int
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, by: map[netip.Addr]int{}}
}

// Accept gives the next connection of somebody who does not have too many.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil {
			return conn, nil // no address: a socket of this machine
		}
		if a := from.Addr().Unmap(); c.enter(a) {
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { c.leave(a) })}, nil
		}
		_ = conn.Close()
	}
}

func (c *crowd) enter(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[a] >= c.most {
		return false
	}
	c.by[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[a]--; c.by[a] <= 0 {
		delete(c.by, a)
	}
}

// guest is a connection that is counted until it closes.
type guest struct {
	net.Conn
	leave func()
}

// Close ends the connection.
func (g *guest) Close() error {
	defer g.leave()
	return g.Conn.Close()
}
