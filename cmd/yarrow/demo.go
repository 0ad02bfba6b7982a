package main

import (
	"context"
	"fmt"
	"net"

	"yarrow.health/internal/standards/fhir"
)

// demoSlug is the demonstration's place in addresses; `serve` refuses it.
const demoSlug = "demo"

type demo struct {
	Data     string `help:"Folder for the demonstration." default:"./yarrow-data/demo" placeholder:"DIR" env:"YARROW_DEMO_DATA"`
	Listen   string `help:"Address to listen on; loopback only." default:"127.0.0.1:8080"`
	Patients int    `help:"How many patients the practice has." default:"150"`
	Seed     uint64 `help:"Another seed, another practice." default:"1"`
}

func (c *demo) Run(ctx context.Context, out *output) error {
	host, _, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fhir.Problem("security", "The demonstration speaks plain HTTP and listens on this machine only.", "Use --listen 127.0.0.1:PORT.")
	}
	l, err := listen(c.Listen)
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	base := fmt.Sprintf("http://localhost:%d", port)
	p := place{Data: c.Data}
	g, err := p.open(ctx, out, who{Demo: true, RPID: "localhost", Origin: base})
	if err != nil {
		return err
	}
	defer g.close()
	h := g.build(out, true, false)
	if _, err := g.auth.PracticeBySlug(ctx, demoSlug); err != nil {
		if _, err := g.auth.AddPractice(ctx, demoSlug, "Yarrow Demo Family Medicine"); err != nil {
			return err
		}
	}
	fmt.Fprintf(out.text, "Yarrow is open at %s/%s\n", base, demoSlug)
	return h.run(ctx, l, nil)
}
