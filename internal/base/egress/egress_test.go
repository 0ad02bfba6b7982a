package egress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"yarrow.health/internal/standards/fhir"
)

// names answers look-ups from a table; a name with several entries gives the next one at each look-up, as a rebinding attack does.
type names map[string][][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	answers := n[host]
	if len(answers) == 0 {
		return nil, errors.New("no such host")
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	return answers[0], nil
}

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func peer(t *testing.T, h http.HandlerFunc) (port int) {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	port, _ = strconv.Atoi(u.Port())
	return port
}

func code(err error) string {
	var i *fhir.Issue
	if errors.As(err, &i) {
		return i.Code
	}
	return fmt.Sprint(err)
}

func TestOnlyListedDestinations(t *testing.T) {
	var hits int
	port := peer(t, func(w http.ResponseWriter, r *http.Request) { hits++; fmt.Fprint(w, "fine") })
	dest := Destination{Host: "analyser.practice", Ports: []int{port}, Purpose: "lab", Agreement: "none: inside the practice", Private: true, Plain: true}
	c, err := newClient([]Destination{dest, {Host: "payer.example", Purpose: "claims", Agreement: "BAA 7"}}, names{
		"analyser.practice": {addrs("127.0.0.1")}, "payer.example": {addrs("127.0.0.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := func(host string) string { return fmt.Sprintf("http://%s:%d/x?y=1", host, port) }
	for _, tc := range []struct{ name, url, want string }{
		{"listed peer inside the practice", at("analyser.practice"), ""},
		{"unlisted name", at("elsewhere.practice"), "forbidden"},
		{"its address instead of its name", at("127.0.0.1"), "forbidden"},
		{"other port", "http://analyser.practice:1/", "forbidden"},
		{"plain where TLS is needed", "http://payer.example/", "forbidden"},
		{"public name that points at this machine", "https://payer.example/", "forbidden"},
		{"name in the user part", at("analyser.practice@elsewhere"), "value"},
		{"no host", "https:///x", "value"},
		{"other scheme", "file:///etc/passwd", "value"},
		{"listed name as a prefix", at("analyser.practice.evil.example"), "forbidden"},
	} {
		_, err := c.Do(t.Context(), Request{Method: "GET", URL: tc.url})
		if got := code(err); tc.want == "" && err != nil || tc.want != "" && got != tc.want {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "y=1") {
			t.Errorf("%s: the error repeats the query: %v", tc.name, err)
		}
	}
	if hits != 1 {
		t.Errorf("%d requests arrived, want 1", hits)
	}
	if n := c.Counts()["analyser.practice"]; n.Requests != 1 || n.BytesIn != 4 {
		t.Errorf("counted %+v", n)
	}
}

func TestAddressesThatAreNeverReached(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "::1", "10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "fe80::1", "fd00::1", "0.0.0.0",
		"100.64.0.1", "224.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "198.18.0.1", "255.255.255.255"} {
		if (Destination{}).allowed(netip.MustParseAddr(a)) {
			t.Errorf("a public destination may reach %s", a)
		}
	}
	inside := Destination{Private: true}
	for a, want := range map[string]bool{"10.1.2.3": true, "127.0.0.1": true, "169.254.169.254": false, "fe80::1": false, "::ffff:169.254.169.254": false} {
		if inside.allowed(netip.MustParseAddr(a)) != want {
			t.Errorf("a destination inside the practice, %s: want %v", a, want)
		}
	}
	if !(Destination{}).allowed(netip.MustParseAddr("93.184.216.34")) {
		t.Error("a public address is refused")
	}
}

func TestNameThatChangesItsAddress(t *testing.T) {
	c, err := newClient([]Destination{{Host: "payer.example", Purpose: "claims", Agreement: "BAA 7"}}, names{
		"payer.example": {addrs("93.184.216.34", "127.0.0.1"), addrs("127.0.0.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Do(t.Context(), Request{Method: "GET", URL: "https://payer.example/"}); code(err) != "forbidden" {
			t.Errorf("got %v", err)
		}
	}
}

func TestRepliesAreBounded(t *testing.T) {
	port := peer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			block := make([]byte, 1<<20)
			for range 33 {
				w.Write(block)
			}
		case "/away":
			http.Redirect(w, r, "http://127.0.0.1/secret", http.StatusFound)
		}
	})
	c, err := newClient([]Destination{{Host: "peer.practice", Ports: []int{port}, Purpose: "test", Agreement: "none", Private: true, Plain: true}},
		names{"peer.practice": {addrs("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("http://peer.practice:%d", port)
	if _, err := c.Do(t.Context(), Request{Method: "GET", URL: base + "/large"}); code(err) != "too-long" {
		t.Errorf("large reply: %v", err)
	}
	r, err := c.Do(t.Context(), Request{Method: "GET", URL: base + "/away"})
	if err != nil || r.Status != http.StatusFound {
		t.Errorf("a redirect must come back as it is: %+v %v", r, err)
	}
}

func TestDestinationsAreComplete(t *testing.T) {
	for _, d := range []Destination{
		{Host: "x.example", Purpose: "claims"},
		{Host: "x.example", Agreement: "BAA 1"},
		{Host: "*.example", Purpose: "claims", Agreement: "BAA 1"},
		{Host: "https://x.example", Purpose: "claims", Agreement: "BAA 1"},
		{Host: "X.example", Purpose: "claims", Agreement: "BAA 1"},
		{Host: "x.example", Purpose: "claims", Agreement: "BAA 1", Plain: true},
		{Purpose: "claims", Agreement: "BAA 1"},
	} {
		if _, err := New([]Destination{d}); err == nil {
			t.Errorf("%+v was accepted", d)
		}
	}
	var none *Client
	if _, err := none.Do(t.Context(), Request{Method: "GET", URL: "https://x.example/"}); code(err) != "forbidden" {
		t.Errorf("no client: %v", err)
	}
}
