package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/base/uploads"
	"yarrow.health/internal/edge/bulk"
	"yarrow.health/internal/edge/endpoints"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/edge/scim"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/standards/fhir"
)

type serve struct {
	place
	Listen   string `help:"Address to listen on." default:"127.0.0.1:8443"`
	URL      string `name:"url" help:"Address that people use, such as https://ehr.example.org. Passkeys are bound to its host." required:""`
	Cert     string `help:"TLS certificate file (PEM)." type:"existingfile" xor:"tls"`
	Key      string `help:"TLS key file (PEM)." type:"existingfile"`
	Requests int    `help:"Requests a minute that one client of the FHIR interface may send." default:"120000"`
	Witness  string `help:"Folder outside the data, such as a mount of another machine, that every signed checkpoint of the audit is written to." placeholder:"DIR" type:"existingdir"`
	Scanner  string `help:"Virus scanner that every attachment is shown to before it is kept: a ClamAV daemon, as unix:/run/clamav/clamd.ctl or tcp://HOST:3310 of your own network. Without it nothing is scanned." placeholder:"ADDRESS" env:"YARROW_SCANNER"`
	Proxy    bool   `help:"A proxy on this machine ends TLS and appends the caller to X-Forwarded-For; listen without TLS, on a loopback address only."`
}

func (c *serve) Run(ctx context.Context, out *output) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fhir.Problem("value", fmt.Sprintf("%q is not an address people can use.", c.URL), "Write --url as https:// and the host, such as https://ehr.example.org.")
	}
	var conf *tls.Config
	switch {
	case c.Proxy:
		host, _, _ := net.SplitHostPort(c.Listen)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fhir.Problem("security", "Without TLS the server listens on this machine only.", "Use --listen 127.0.0.1:PORT with --proxy, or give --cert and --key.")
		}
	case c.Cert == "" || c.Key == "":
		return fhir.Problem("required", "A practice is served over TLS.", "Give --cert and --key, or --proxy when a proxy on this machine ends TLS.")
	default:
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return fhir.Problem("value", "The certificate and key cannot be used.", "Both are PEM files and belong together.").Because(err)
		}
		conf = &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: sealing, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	}
	g, err := c.open(ctx, out, who{RPID: u.Hostname(), Origin: u.Scheme + "://" + u.Host})
	if err != nil {
		return err
	}
	defer g.close()
	all, err := g.auth.Practices(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		_, err := g.oauth.Client(ctx, p.ID, demoBackend) // its programs are there still when it was restored under another name
		if p.Slug == demoSlug || err == nil {
			return fhir.Problem("security", "This data folder holds the demonstration practice, whose sign-ins are public.", "Serve another folder; the demonstration is started with `yarrow demo`.")
		}
	}
	if c.Scanner != "" {
		if g.uploads.Scanner, err = uploads.NewScanner(c.Scanner); err != nil {
			return err
		}
	}
	l, err := listen(c.Listen)
	if err != nil {
		return err
	}
	if conf != nil {
		l = tls.NewListener(newCrowd(l, mostFrom), conf)
	}
	g.budget = &fhirapi.Budget{Requests: max(c.Requests, 1), Window: time.Minute}
	h := g.build(out, false, true)
	h.proxied = c.Proxy
	if c.Witness != "" {
		if h.witness, err = c.newWitness(g.audit); err != nil {
			return err
		}
	}
	if c.Database == "" {
		if h.control, err = openControl(g, c.Data); err != nil {
			return err
		}
	}
	fmt.Fprintf(out.text, "Yarrow serves %d practices at %s\n", len(all), c.URL)
	if c.Scanner == "" {
		fmt.Fprintln(out.text, "Attachments are not scanned for viruses: no --scanner was named.")
	}
	return h.run(ctx, l, nil)
}

// sealing are the suites of TLS 1.2 that encrypt and authenticate in one step; those of TLS 1.3 all do. Go still offers CBC besides.
var sealing = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256}

// listen takes the address, or says who has it.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fhir.Problem("exception", fmt.Sprintf("The address %s cannot be listened on.", addr), "Another program may have it: choose another with --listen.").Because(err)
	}
	return l, nil
}

// way is a pattern of addresses and what answers them.
type way struct {
	pattern string
	http.Handler
}

// ways are all addresses of the program. Those of the router and of the FHIR interface have tables of their own below them.
func (h *house) ways() []way {
	all := []way{
		{"GET /healthz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })},
		{"GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := h.auth.Practices(r.Context()); err != nil {
				http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, h.readiness())
		})},
		{"GET " + endpoints.Path, h.list},
		{scim.Route, h.scim},
		{"/{practice}/fhir", h.api},
		{"/{practice}/fhir/", h.hub.Holding(h.api)},
		{"/", h.router},
	}
	for _, pattern := range oauth.Routes() {
		all = append(all, way{pattern, h.oauth})
	}
	for _, pattern := range bulk.Routes() {
		all = append(all, way{pattern, h.exports})
	}
	for _, pattern := range subscription.Routes() {
		all = append(all, way{pattern, h.hub})
	}
	return all
}

// handler answers every address of the program.
func (h *house) handler() http.Handler {
	mux := http.NewServeMux()
	for _, w := range h.ways() {
		mux.Handle(w.pattern, w)
	}
	return mux
}

// run serves until ctx ends, then lets requests in hand finish. extra runs beside it.
func (h *house) run(ctx context.Context, l net.Listener, extra func(ctx context.Context) error) error {
	handler := h.handler()
	if h.proxied {
		handler = behindProxy(handler)
	}
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 60 * time.Second, WriteTimeout: 120 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return srv.Shutdown(end)
	})
	g.Go(func() error { return h.queue.Run(ctx) })
	g.Go(func() error { return h.hub.Run(ctx) })
	g.Go(func() error { return h.tend(ctx) })
	g.Go(func() error { return h.index(ctx) })
	g.Go(func() error { return h.adopt(ctx) })
	if h.witness != nil {
		g.Go(func() error { return h.bear(ctx) })
	}
	if h.control != nil {
		g.Go(func() error { return h.control.run(ctx) })
	}
	if extra != nil {
		g.Go(func() error { return extra(ctx) }) // the listener is open: nobody is turned away meanwhile
	}
	err := g.Wait()
	if ferr := h.auth.Flush(context.WithoutCancel(ctx)); ferr != nil {
		h.log.Warn("the last activity of sessions was not stored", "error", ferr)
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// behindProxy gives requests the address of who asked the proxy, which it appends to X-Forwarded-For; what stands before that was
// said by the caller and proves nothing. Without it everybody would share one address, in the audit and in the count of failed sign-ins.
func behindProxy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if all := r.Header.Values("X-Forwarded-For"); len(all) > 0 {
			last := all[len(all)-1]
			last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
			if ip, err := netip.ParseAddr(last); err == nil {
				r.RemoteAddr = netip.AddrPortFrom(ip, 0).String()
			}
		}
		next.ServeHTTP(w, r)
	})
}
