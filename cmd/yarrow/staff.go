package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

type userList struct {
	place
	Practice string `required:"" help:"The practice's slug." placeholder:"SLUG"`
	JSON     bool   `name:"json" help:"Print as JSON."`
}

type personJSON struct {
	Login        string      `json:"login"`
	Name         string      `json:"name"`
	Roles        []auth.Role `json:"roles"`
	Active       bool        `json:"active"`
	SecondFactor bool        `json:"secondFactor"`
	Practitioner string      `json:"practitioner,omitempty"`
}

func (c *userList) Run(ctx context.Context, out *output) error {
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Practice)
	if err != nil {
		return err
	}
	all, err := g.auth.Users(ctx, auth.SystemScope(p.ID, "yarrow user list"))
	if err != nil {
		return err
	}
	people := []personJSON{}
	for _, u := range all {
		people = append(people, personJSON{u.Login, u.Display, u.Roles, u.Active, u.SecondFactor, u.PractitionerID})
	}
	if c.JSON {
		return out.json(people)
	}
	for _, u := range people {
		state := ""
		if !u.Active {
			state = "\tdisabled"
		}
		fmt.Fprintf(out.text, "%s\t%s\t%v%s\n", u.Login, u.Name, u.Roles, state)
	}
	return nil
}

// oneOf is a command about somebody of a practice.
type oneOf struct {
	place
	Practice string `required:"" help:"The practice's slug." placeholder:"SLUG"`
	Login    string `arg:"" help:"What the person signs in with."`
}

// may changes whether the person may work, and says so with their name, login and practice.
func (c *oneOf) may(ctx context.Context, out *output, change func(a *auth.Auth, ctx context.Context, by db.Scope, user int64) error, said string) error {
	return c.person(ctx, out, c.Practice, c.Login, func(g *ground, sys auth.System, u auth.User) error {
		err := change(g.auth, ctx, sys, u.ID)
		if err == nil {
			fmt.Fprintf(out.text, said, u.Display, u.Login, c.Practice)
		}
		return err
	})
}

type userDisable struct{ oneOf }

func (c *userDisable) Run(ctx context.Context, out *output) error {
	return c.may(ctx, out, (*auth.Auth).Disable, "%s (%s) can do nothing in %s any more.\n")
}

type userEnable struct{ oneOf }

func (c *userEnable) Run(ctx context.Context, out *output) error {
	return c.may(ctx, out, (*auth.Auth).Enable, "%s (%s) can work in %s.\n")
}

// person finds somebody of a practice by their login.
func (p place) person(ctx context.Context, out *output, slug, login string, do func(g *ground, sys auth.System, u auth.User) error) error {
	g, err := p.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	in, err := g.practiceNamed(ctx, slug)
	if err != nil {
		return err
	}
	sys := auth.SystemScope(in.ID, "yarrow user")
	all, err := g.auth.Users(ctx, sys)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(u auth.User) bool { return strings.EqualFold(u.Login, login) })
	if i < 0 {
		return fhir.Problem("not-found", fmt.Sprintf("Nobody in %s signs in as %q.", slug, login), "List the staff with `yarrow user list`.")
	}
	return do(g, sys, all[i])
}

type userReset struct{ oneOf }

func (c *userReset) Run(ctx context.Context, out *output) error {
	return c.person(ctx, out, c.Practice, c.Login, func(g *ground, sys auth.System, u auth.User) error {
		invite, err := g.auth.ResetCredentials(ctx, sys, u.ID)
		if err == nil {
			fmt.Fprintf(out.text, "Everything %s signed in with is void. Invitation, to be used once to set a password: %s\n", u.Display, invite)
		}
		return err
	})
}

type practiceSuspend struct {
	place
	Slug string `arg:"" help:"The practice's slug."`
}

func (c *practiceSuspend) Run(ctx context.Context, out *output) error {
	return c.contract(ctx, out, c.Slug, auth.ContractReadOnly, "People of %s can read and export; nothing is written.\n")
}

type practiceResume struct {
	place
	Slug string `arg:"" help:"The practice's slug."`
}

func (c *practiceResume) Run(ctx context.Context, out *output) error {
	return c.contract(ctx, out, c.Slug, auth.ContractActive, "%s works again.\n")
}

func (p place) contract(ctx context.Context, out *output, slug string, to auth.Contract, said string) error {
	g, err := p.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	in, err := g.practiceNamed(ctx, slug)
	if err != nil {
		return err
	}
	err = g.auth.ChangeAccessState(ctx, auth.SystemScope(in.ID, "contract"), func(s *auth.AccessState) { s.Contract = to })
	if err == nil {
		fmt.Fprintf(out.text, said, in.Name)
	}
	return err
}
