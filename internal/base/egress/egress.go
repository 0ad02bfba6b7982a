// Package egress is the only way out: every connection that Yarrow opens to another machine goes through its Client.
//
// A destination must be on the allow-list, which names for each host the purpose and the agreement that covers it. The name is
// resolved here and every resolved address is checked, so that a name which points at this machine, the local network or a cloud's
// metadata address is refused, also when the answer changes between check and use. Redirects are not followed, sizes and times are
// limited, and each exchange leaves a count by host without content. The package never retries: that is for base/jobs.
package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/standards/fhir"
)

// Destination is a host that Yarrow may talk to.
type Destination struct {
	Host      string // exact, lower case, without port
	Ports     []int  // empty: 443
	Purpose   string // "clearinghouse", "sms", …
	Agreement string // the business associate agreement or contract that covers it; "none: no patient data" where none is sent
	// Private allows addresses of the local network and this machine, for a peer inside the practice such as an analyser or a
	// local speech model. It never allows link-local addresses, where clouds keep their credentials.
	Private bool
	// Plain allows HTTP without TLS, only together with Private.
	Plain bool
}

// Client opens connections to destinations on its list. The zero Client refuses everything.
type Client struct {
	http     *http.Client
	resolver interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}
	mu   sync.RWMutex
	list map[string]Destination
	sent map[string]*Count
}

// Count is what went to one host since the start.
type Count struct{ Requests, Refused, BytesOut, BytesIn int64 }

// Limits of one exchange. A reply that is larger or slower fails as a whole.
const (
	connectWithin = 10 * time.Second
	headerWithin  = 30 * time.Second
	replyWithin   = 2 * time.Minute
	largestReply  = 32 << 20
)

// New gives a client for the destinations. An agreement must be named for each of them, or New fails: no data leaves without one.
func New(list []Destination) (*Client, error) { return newClient(list, net.DefaultResolver) }

func newClient(list []Destination, resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}) (*Client, error) {
	c := &Client{resolver: resolver, list: map[string]Destination{}, sent: map[string]*Count{}}
	for _, d := range list {
		if err := d.check(); err != nil {
			return nil, err
		}
		c.list[d.Host] = d
		c.sent[d.Host] = &Count{}
	}
	c.http = &http.Client{
		Timeout: replyWithin,
		Transport: &http.Transport{
			Proxy:                 nil, // a proxy from the environment would be a way around the list
			DialContext:           c.dial,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   connectWithin,
			ResponseHeaderTimeout: headerWithin,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       time.Minute,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Allow adds a destination while the program runs, such as the host of a key set that an administrator approved. One that is on
// the list already stays as it is. It fails as New does.
func (c *Client) Allow(d Destination) error {
	if err := d.check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.list[d.Host]; !ok {
		c.list[d.Host] = d
		c.sent[d.Host] = &Count{}
	}
	return nil
}

func (c *Client) listed(host string) (d Destination, sent *Count, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, ok = c.list[host]
	return d, c.sent[host], ok
}

func (d Destination) check() error {
	switch {
	case d.Host == "" || d.Host != strings.ToLower(d.Host) || strings.ContainsAny(d.Host, "/:@* ") && net.ParseIP(d.Host) == nil:
		return fhir.Problem("value", fmt.Sprintf("%q is not the name of one host.", d.Host), "Write the exact host in lower case, without scheme, port or wildcard.")
	case d.Purpose == "":
		return fhir.Problem("required", fmt.Sprintf("The outside connection to %s names no purpose.", d.Host), "Say in one word what it is for.")
	case d.Agreement == "":
		return fhir.Problem("required", fmt.Sprintf("The outside connection to %s names no agreement.", d.Host), "Name the business associate agreement that covers it, or \"none: no patient data\".")
	case d.Plain && !d.Private:
		return fhir.Problem("security", fmt.Sprintf("The outside connection to %s would not be encrypted.", d.Host), "Use TLS; plain HTTP is for peers inside the practice only.")
	}
	return nil
}

func (d Destination) port(p string) bool {
	if len(d.Ports) == 0 {
		return p == "443"
	}
	return slices.ContainsFunc(d.Ports, func(n int) bool { return fmt.Sprint(n) == p })
}

// refusal is the answer to anything that is not allowed. It names the host, never the path or the body.
func refusal(host, why string) error {
	return fhir.Problem("forbidden", fmt.Sprintf("A connection to %s was refused: %s.", host, why), "If it is meant, an administrator adds the host with its purpose and agreement to the outside connections.")
}

var errRefused = errors.New("egress: refused")

// allowed says whether an address may be reached for the destination.
func (d Destination) allowed(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast():
		return false
	case a.IsLoopback(), a.IsPrivate(), reserved(a):
		return d.Private
	}
	return true
}

// reserved tells addresses that are no public hosts though they are not marked private: shared (RFC 6598), "this network",
// IETF and documentation blocks, benchmarking, the old class E, and IPv6 ranges that carry IPv4 addresses inside.
func reserved(a netip.Addr) bool {
	for _, p := range reservedBlocks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

var reservedBlocks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

// dial resolves the name itself and connects to a checked address, so that the checked one is the used one.
func (c *Client) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	d, _, ok := c.listed(host)
	if !ok || !d.port(port) {
		return nil, fmt.Errorf("%w: %w", errRefused, refusal(host, "it is not on the list"))
	}
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = c.resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if !d.allowed(a) { // one bad address among good ones is an attack or a mistake; neither is worth a try
			return nil, fmt.Errorf("%w: %w", errRefused, refusal(host, "its name points into a network that is closed to it"))
		}
	}
	var last error = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	for _, a := range addrs {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(a.Unmap(), portNumber(port)).String())
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// Connect opens a bare connection to a peer that speaks no HTTP: "unix:" and the path of a socket of this machine, or "tcp:" and host:port of
// a destination on the list. Nothing is encrypted, so that one must be Plain. The caller sets deadlines and closes it. Errors are
// those of Do.
func (c *Client) Connect(ctx context.Context, address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, fhir.Problem("transient", "A program on this machine could not be reached.", "See that it runs and that its socket may be opened.").Because(err)
		}
		return conn, nil
	}
	hostport := strings.TrimPrefix(address, "tcp:")
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, refusal(address, "its address cannot be read")
	}
	d, count, ok := c.listed(host)
	switch {
	case !ok:
		return nil, refusal(host, "it is not on the list")
	case !d.Plain:
		return nil, refusal(host, "it would not be encrypted")
	}
	c.add(count, Count{Requests: 1})
	conn, err := c.dial(ctx, "tcp", hostport)
	var issue *fhir.Issue
	switch {
	case errors.Is(err, errRefused) && errors.As(err, &issue):
		c.add(count, Count{Refused: 1})
		return nil, issue
	case err != nil:
		return nil, fhir.Problem("transient", host+" could not be reached.", "It is tried again by itself; if this lasts, check the connection's settings.").Because(err)
	}
	return conn, nil
}

func portNumber(p string) uint16 {
	var n uint16
	fmt.Sscan(p, &n)
	return n
}

// Request is one HTTP exchange.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
}

// Reply is what came back, read whole.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes one exchange. Errors: a forbidden Issue when the destination is not allowed; a too-long Issue when the reply is over
// 32 MB; otherwise a transient Issue whose cause is private. A redirect comes back as the reply that it is.
func (c *Client) Do(ctx context.Context, r Request) (*Reply, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fhir.Problem("value", "The address of an outside connection cannot be read.", "Write it as https://host/path, without user or password.")
	}
	host := strings.ToLower(u.Hostname())
	if c == nil || c.http == nil {
		return nil, refusal(host, "no outside connections are configured")
	}
	d, count, ok := c.listed(host)
	switch {
	case !ok:
		return nil, refusal(host, "it is not on the list")
	case u.Scheme != "https" && !(u.Scheme == "http" && d.Plain):
		return nil, refusal(host, "it would not be encrypted")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	if !d.port(port) {
		return nil, refusal(host, "the port is not on the list")
	}
	u.Host = net.JoinHostPort(host, port)
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, fhir.Problem("value", "The request to an outside connection cannot be built.", "Check method and address.").Because(err)
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	c.add(count, Count{Requests: 1, BytesOut: int64(len(r.Body))})
	resp, err := c.http.Do(req)
	if err != nil {
		var issue *fhir.Issue
		if errors.Is(err, errRefused) && errors.As(err, &issue) {
			c.add(count, Count{Refused: 1})
			return nil, issue
		}
		return nil, fhir.Problem("transient", host+" could not be reached.", "It is tried again by itself; if this lasts, check the connection's settings.").Because(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestReply+1))
	c.add(count, Count{BytesIn: int64(len(body))})
	switch {
	case err != nil:
		return nil, fhir.Problem("transient", host+" broke off its answer.", "It is tried again by itself.").Because(err)
	case len(body) > largestReply:
		return nil, fhir.Problem("too-long", host+" answered with more than 32 MB.", "Ask for less at once.")
	}
	return &Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (c *Client) add(to *Count, n Count) {
	c.mu.Lock()
	to.Requests, to.Refused, to.BytesOut, to.BytesIn = to.Requests+n.Requests, to.Refused+n.Refused, to.BytesOut+n.BytesOut, to.BytesIn+n.BytesIn
	c.mu.Unlock()
}

// Counts gives what went to each host on the list since the start.
func (c *Client) Counts() map[string]Count {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := map[string]Count{}
	for h, n := range c.sent {
		out[h] = *n
	}
	return out
}
