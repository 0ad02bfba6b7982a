package prove

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
)

// outside is the rest of the world in a network apart: every name and address there is ends here, and everything that is sent is
// kept. Listed hosts answer over TLS by an authority of their own; others are listened to as well, so that what is said to them is
// known.
type outside struct {
	r      *Run
	listed map[string]netip.Addr // hosts that may be spoken to
	answer http.Handler          // of listed hosts

	authority    *x509.Certificate
	authorityKey *ecdsa.PrivateKey
	closers      []interface{ Close() error }
	mu           sync.Mutex
	heard        []heard
	asked        []string // names that were looked up
}

// heard is what one connection brought.
type heard struct {
	at    netip.AddrPort // where it was sent to
	host  string         // the name in the handshake of TLS
	bytes *bytes.Buffer
}

// listenedPorts are those of every machine in the world at which somebody listens. A connection to any other shows in the kernel's
// own count of those that found nobody.
var listenedPorts = []int{21, 22, 25, 53, 80, 110, 389, 443, 465, 514, 587, 636, 853, 993, 1433, 2575, 3128, 3306, 4317, 4318, 5432, 6379, 6514, 8000, 8080, 8443, 9000, 9090, 9418, 27017}

// newOutside makes the world. Its authority is written to ca.
func (r *Run) newOutside(ca string, listed []string, answer http.Handler) (*outside, error) {
	o := &outside{r: r, listed: map[string]netip.Addr{}, answer: answer}
	for i, host := range listed {
		o.listed[host] = netip.AddrFrom4([4]byte{8, 0, 7, byte(i + 1)})
	}
	if err := o.found(ca); err != nil {
		return nil, err
	}
	if err := everywhere(); err != nil {
		return nil, err
	}
	dns, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 53})
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, dns)
	raw, err := dns.SyscallConn()
	if err == nil {
		err = answersItself(raw)
	}
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	go o.names(dns)
	for _, port := range listenedPorts {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		o.closers = append(o.closers, l)
		go o.listen(l, port == 443)
	}
	return o, nil
}

func (o *outside) close() error {
	var err error
	for _, c := range o.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// found makes the authority.
func (o *outside) found(path string) (err error) {
	if o.authorityKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	now := clock.System().Now()
	o.authority = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "A proof"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, o.authority, o.authority, &o.authorityKey.PublicKey, o.authorityKey)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// certify is the certificate of whatever host is asked for: one that is not on the list is to hear what is said too.
func (o *outside) certify(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: o.authority.NotBefore, NotAfter: o.authority.NotAfter, DNSNames: []string{hello.ServerName}}
	if hello.ServerName == "" {
		c.DNSNames = nil
		if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			c.IPAddresses = []net.IP{a.IP}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, o.authority, &key.PublicKey, o.authorityKey)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// names answers the questions for names: listed ones have an address, others none. Every question is kept.
func (o *outside) names(dns *net.UDPConn) {
	b, oob := make([]byte, 4096), make([]byte, 512)
	for {
		n, on, _, from, err := dns.ReadMsgUDPAddrPort(b, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 17 {
			continue
		}
		q := b[:n]
		var labels []string
		at := 12
		for at < n && q[at] != 0 && at+1+int(q[at]) < n {
			labels = append(labels, string(q[at+1:at+1+int(q[at])]))
			at += 1 + int(q[at])
		}
		at += 5 // the root, type and class
		if at > n {
			continue
		}
		kind := binary.BigEndian.Uint16(q[at-4:])
		name := strings.ToLower(strings.Join(labels, "."))
		o.mu.Lock()
		o.asked = append(o.asked, name)
		o.mu.Unlock()
		addr, ok := o.listed[name]
		answer := slices.Clone(q[:at])
		copy(answer[2:12], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
		switch {
		case !ok:
			answer[3] = 0x83 // there is no such name
		case kind == 1:
			answer[7] = 1
			answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
			answer = append(answer, addr.AsSlice()...)
		}
		_, _, _ = dns.WriteMsgUDPAddrPort(answer, oob[:on], from)
	}
}

// listen takes every connection to a port, keeps what comes, and answers as a listed host would.
func (o *outside) listen(l net.Listener, secure bool) {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: o.answer, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	_ = srv.Serve(tapped{l, o, secure})
}

type tapped struct {
	net.Listener
	o      *outside
	secure bool
}

func (t tapped) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	at, _ := netip.ParseAddrPort(c.LocalAddr().String())
	h := heard{at: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), bytes: &bytes.Buffer{}}
	t.o.mu.Lock()
	defer t.o.mu.Unlock()
	i := len(t.o.heard)
	t.o.heard = append(t.o.heard, h)
	if t.secure {
		// HTTP/1.1, so that what is kept can be looked through as it stands.
		c = tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			t.o.mu.Lock()
			t.o.heard[i].host = hello.ServerName
			t.o.mu.Unlock()
			return t.o.certify(hello)
		}})
	}
	return tap{c, t.o, i}, nil
}

// tap keeps what is read from a connection.
type tap struct {
	net.Conn
	o *outside
	i int
}

func (t tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.o.mu.Lock()
	t.o.heard[t.i].bytes.Write(b[:n])
	t.o.mu.Unlock()
	return n, err
}

// judge looks at everything that was kept.
func (o *outside) judge() {
	o.mu.Lock()
	defer o.mu.Unlock()
	may := map[netip.Addr]string{}
	for host, a := range o.listed {
		may[a] = host
	}
	for _, name := range o.asked {
		o.r.Count("names looked up", 1)
		if _, ok := o.listed[name]; !ok {
			o.r.Fail("the name %q was looked up, which is not on the list", name)
		}
	}
	defer func() {
		if o.r.Counted("records told to whom they may be told") == 0 {
			o.r.Fail("no record was told to whom it may be told, so that nothing was tried")
		}
	}()
	for _, h := range o.heard {
		o.r.Count("connections to other machines", 1)
		o.r.Count("bytes that left", int64(h.bytes.Len()))
		if host, ok := may[h.at.Addr()]; !ok || h.at.Port() != 443 || h.host != host {
			o.r.Fail("a connection went to %s (%q), which is not on the list", h.at, h.host)
		}
		o.r.Count("connections to "+may[h.at.Addr()], 1)
		switch c := canaryForm.Find(h.bytes.Bytes()); {
		case c == nil:
		case may[h.at.Addr()] == recordsHost && h.at.Port() == 443:
			o.r.Count("records told to whom they may be told", 1)
		default:
			o.r.Fail("%s was told %s", h.at, c)
		}
	}
}
