package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/oauth"
)

type clients struct {
	Add     clientAdd     `cmd:"" help:"Register a program and approve it."`
	List    clientList    `cmd:"" help:"List the programs of a practice."`
	Approve clientApprove `cmd:"" help:"Approve a program that waits or was stopped."`
	Suspend clientSuspend `cmd:"" help:"Stop a program; none of its tokens opens anything a second later."`
	Secret  clientSecret  `cmd:"" help:"Give a program another secret and print it; the old one can go on working for a while."`
	End     clientEnd     `cmd:"" name:"end-secret" help:"End the old secret that was left working beside a new one."`
	Remove  clientRemove  `cmd:"" help:"Remove a program and end its connections."`
}

// inPractice is what every command about programs needs to know.
type inPractice struct {
	place
	Practice string `required:"" help:"The practice's slug." placeholder:"SLUG"`
}

// with opens the data and finds the practice; by is the command's own scope in it.
func (c inPractice) with(ctx context.Context, out *output, why string, do func(g *ground, p auth.Practice, by auth.System) error) error {
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Practice)
	if err != nil {
		return err
	}
	return do(g, p, auth.SystemScope(p.ID, why))
}

type clientAdd struct {
	inPractice
	Name       string   `required:"" help:"The program's name as people see it."`
	Publisher  string   `help:"Who makes it."`
	Kind       string   `help:"public (runs at the user), secret (a server with a secret) or keys (signs with its own key)." enum:"public,secret,keys" default:"public"`
	Redirect   []string `help:"Address that answers are sent to, exactly; may be given several times." placeholder:"URL"`
	Launch     string   `help:"Address at which it is started from a chart." placeholder:"URL"`
	Scope      string   `required:"" help:"The most it may ask for, such as 'launch/patient openid fhirUser patient/*.rs'."`
	JwksURL    string   `name:"jwks-url" help:"Address of its key set." placeholder:"URL"`
	Jwks       string   `name:"jwks" help:"File with its key set." type:"existingfile"`
	Pending    bool     `help:"Leave the approval to an administrator of the practice."`
	Introspect bool     `help:"A resource server: it may ask about every token of the practice."`
}

func (c *clientAdd) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client add", func(g *ground, p auth.Practice, by auth.System) error {
		in := oauth.Client{Kind: oauth.Kind(c.Kind), Name: c.Name, Publisher: c.Publisher, Redirects: c.Redirect, LaunchURI: c.Launch, Scopes: c.Scope, JWKSURL: c.JwksURL, Introspects: c.Introspect}
		if c.Jwks != "" {
			b, err := os.ReadFile(c.Jwks)
			if err != nil {
				return cannotRead("key set", c.Jwks, err)
			}
			in.JWKS = json.RawMessage(b)
		}
		made, secret, err := g.oauth.Register(ctx, by, in)
		if err == nil && !c.Pending {
			err = g.oauth.Approve(ctx, by, made.ID, made.Version)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out.text, "Client id: %s\n", made.ID)
		if secret != "" {
			fmt.Fprintf(out.text, "Secret, shown only now: %s\n", secret)
		}
		if c.Pending {
			fmt.Fprintf(out.text, "It waits for an administrator: Apps and connections.\n")
		}
		return nil
	})
}

type clientList struct {
	inPractice
	JSON bool `name:"json" help:"Print as JSON."`
}

type clientJSON struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Kind      oauth.Kind   `json:"kind"`
	State     string       `json:"state"`
	Reason    string       `json:"reason,omitempty"`
	Scopes    string       `json:"scopes"`
	Redirects []string     `json:"redirects,omitempty"`
	Used      *time.Time   `json:"used,omitempty"`
	Secrets   []secretJSON `json:"secrets,omitempty"`
}

// secretJSON is when a secret was given out, was last used (to the minute) and ends; the present one is first.
type secretJSON struct {
	Since time.Time `json:"since,omitzero"`
	Used  time.Time `json:"used,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

func (c *clientList) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client list", func(g *ground, p auth.Practice, by auth.System) error {
		all, err := g.oauth.Clients(ctx, p.ID)
		if err != nil {
			return err
		}
		list := []clientJSON{}
		for _, c := range all {
			j := clientJSON{ID: c.ID, Name: c.Name, Kind: c.Kind, State: string(c.State), Reason: c.Reason, Scopes: c.Scopes, Redirects: c.Redirects}
			if !c.Used.IsZero() {
				j.Used = &c.Used
			}
			for _, one := range c.Secrets(g.db.Clock().Now()) {
				j.Secrets = append(j.Secrets, secretJSON(one))
			}
			list = append(list, j)
		}
		if c.JSON {
			return out.json(list)
		}
		for _, j := range list {
			fmt.Fprintf(out.text, "%s\t%s\t%s\t%s\n", j.ID, j.Name, j.Kind, strings.TrimSuffix(j.State+": "+j.Reason, ": "))
		}
		return nil
	})
}

type clientApprove struct {
	inPractice
	ID string `arg:"" help:"The client id."`
}

func (c *clientApprove) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client approve", func(g *ground, p auth.Practice, by auth.System) error {
		it, err := g.oauth.Client(ctx, p.ID, c.ID)
		if err == nil {
			err = g.oauth.Approve(ctx, by, it.ID, it.Version)
		}
		if err == nil {
			fmt.Fprintf(out.text, "%s may be used.\n", it.Name)
		}
		return err
	})
}

type clientSuspend struct {
	inPractice
	ID     string `arg:"" help:"The client id."`
	Reason string `required:"" help:"Why, in a few words; it is kept with the program."`
}

func (c *clientSuspend) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client suspend", func(g *ground, p auth.Practice, by auth.System) error {
		err := g.oauth.Suspend(ctx, by, c.ID, c.Reason)
		if err == nil {
			fmt.Fprintln(out.text, "Stopped.")
		}
		return err
	})
}

type clientSecret struct {
	inPractice
	ID      string        `arg:"" help:"The client id."`
	Overlap time.Duration `help:"How long the old secret goes on working, such as 168h; 720h (30 days) at most. Without it the old one ends at once." default:"0"`
}

func (c *clientSecret) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client secret", func(g *ground, p auth.Practice, by auth.System) error {
		secret, err := g.oauth.NewSecret(ctx, by, c.ID, c.Overlap)
		if err == nil {
			fmt.Fprintf(out.text, "Secret, shown only now: %s\n", secret)
		}
		return err
	})
}

type clientEnd struct {
	inPractice
	ID string `arg:"" help:"The client id."`
}

func (c *clientEnd) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client end-secret", func(g *ground, p auth.Practice, by auth.System) error {
		err := g.oauth.EndFormer(ctx, by, c.ID)
		if err == nil {
			fmt.Fprintln(out.text, "The old secret opens nothing any more.")
		}
		return err
	})
}

type clientRemove struct {
	inPractice
	ID string `arg:"" help:"The client id."`
}

func (c *clientRemove) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow client remove", func(g *ground, p auth.Practice, by auth.System) error {
		err := g.oauth.Remove(ctx, by, c.ID)
		if err == nil {
			fmt.Fprintln(out.text, "Removed.")
		}
		return err
	})
}

type token struct {
	inPractice
	Scope string        `required:"" help:"Scopes of the token, such as 'system/*.cruds'."`
	TTL   time.Duration `name:"ttl" help:"How long it is good for, an hour at most." default:"15m"`
}

func (c *token) Run(ctx context.Context, out *output) error {
	return c.with(ctx, out, "yarrow token", func(g *ground, p auth.Practice, by auth.System) error {
		text, err := g.oauth.Mint(ctx, by, p, c.Scope, c.TTL)
		if err == nil {
			fmt.Fprintln(out.text, text)
		}
		return err
	})
}
