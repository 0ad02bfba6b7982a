package main

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// One address cannot take all connections, and has its place again when it leaves.
func TestOneAddressDoesNotCrowdOthersOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, 3)
	defer c.Close()
	in := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			in <- conn
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var held []net.Conn
	for range 3 {
		dial("127.0.0.1")
		held = append(held, <-in)
	}
	turned := dial("127.0.0.1")
	_ = turned.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := turned.Read(make([]byte, 1)); err == nil {
		t.Error("a fourth connection is served")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("a fourth connection is kept")
	}
	dial("127.0.0.2")
	<-in
	held[0].Close()
	held[0].Close() // counts once
	dial("127.0.0.1")
	<-in
	if n := c.by[netip.MustParseAddr("127.0.0.1")]; len(in) != 0 || n != 3 {
		t.Errorf("%d held, %d more", n, len(in))
	}
}
