package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/edge/endpoints"
	"yarrow.health/internal/standards/fhir"
)

type practices struct {
	Add  practiceAdd  `cmd:"" help:"Add an empty practice."`
	List practiceList `cmd:"" help:"List the practices."`

	Suspend practiceSuspend `cmd:"" help:"Let a practice's people read and export, but write nothing."`
	Resume  practiceResume  `cmd:"" help:"Let a suspended practice work again."`

	Agreement practiceAgreement `cmd:"" help:"Record that the business associate agreement was signed on paper. It takes the master key."`

	OwnSignIn practiceOwnSignIn `cmd:"" name:"own-sign-in" help:"Let people sign in with passwords and passkeys again where only the organisation's sign-on counted."`

	Publish  practicePublish  `cmd:"" help:"Put a practice on the public list of FHIR addresses."`
	Withdraw practiceWithdraw `cmd:"" help:"Take a practice off the public list of FHIR addresses."`
}

type practiceAdd struct {
	place
	Slug string `arg:"" help:"Its name in addresses: letters, digits and hyphens. It never changes."`
	Name string `arg:"" help:"Its name for people."`
}

func (c *practiceAdd) Run(ctx context.Context, out *output) error {
	if strings.EqualFold(c.Slug, demoSlug) {
		return fhir.Problem("value", "A practice cannot be called demo: that is the demonstration's place in addresses, and `yarrow serve` refuses it.", "Choose another name for addresses.")
	}
	g, err := c.open(ctx, out, who{})
	if err != nil {
		return err
	}
	defer g.close()
	id, err := g.auth.AddPractice(ctx, c.Slug, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.text, "Practice %d, %s, at /%s. Add staff with: yarrow user add --practice %s\n", id, c.Name, c.Slug, c.Slug)
	return nil
}

type practiceOwnSignIn struct {
	place
	Slug string `arg:"" help:"The practice's slug."`
}

func (c *practiceOwnSignIn) Run(ctx context.Context, out *output) error {
	g, err := c.openExisting(ctx, out)
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Slug)
	if err != nil {
		return err
	}
	if err := g.auth.SetSignOnRule(ctx, auth.SystemScope(p.ID, "yarrow practice own-sign-in"), auth.SignOnRule{}); err != nil {
		return err
	}
	fmt.Fprintf(out.text, "The people of %s can sign in with credentials of their own.\n", p.Slug)
	return nil
}

type practiceList struct{ place }

func (c *practiceList) Run(ctx context.Context, out *output) error {
	g, err := c.open(ctx, out, who{})
	if err != nil {
		return err
	}
	defer g.close()
	all, err := g.auth.Practices(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		fmt.Fprintf(out.text, "%d\t%s\t%s\n", p.ID, p.Slug, p.Name)
	}
	return nil
}

type practicePublish struct {
	place
	Slug string `arg:"" help:"The practice's slug."`
	URL  string `name:"url" help:"What people's addresses begin with; a running server knows it." placeholder:"https://HOST" env:"YARROW_URL"`
}

func (c *practicePublish) Run(ctx context.Context, out *output) error {
	g, p, err := c.listed(ctx, out, c.Slug)
	if err != nil {
		return err
	}
	defer g.close()
	if g.list == nil {
		u, err := url.Parse(c.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fhir.Problem("required", "The practice's address is not known.", "Name what it begins with: --url https://HOST.")
		}
		g.listAt(u.Scheme + "://" + u.Host)
	}
	address, err := g.list.Publish(ctx, auth.SystemScope(p.ID, "yarrow practice publish"), p.Slug, p.Name)
	if err == nil {
		fmt.Fprintf(out.text, "%s is on the list at %s as %s\n", p.Name, endpoints.Path, address)
	}
	return err
}

type practiceWithdraw struct {
	place
	Slug string `arg:"" help:"The practice's slug."`
}

func (c *practiceWithdraw) Run(ctx context.Context, out *output) error {
	g, p, err := c.listed(ctx, out, c.Slug)
	if err != nil {
		return err
	}
	defer g.close()
	if g.list == nil {
		g.listAt("")
	}
	if err := g.list.Withdraw(ctx, auth.SystemScope(p.ID, "yarrow practice withdraw")); err != nil {
		return err
	}
	fmt.Fprintf(out.text, "%s is off the list; copies that others made of it may live on.\n", p.Name)
	return nil
}

func (p place) listed(ctx context.Context, out *output, slug string) (*ground, auth.Practice, error) {
	g, err := p.openExisting(ctx, out)
	if err != nil {
		return nil, auth.Practice{}, err
	}
	in, err := g.practiceNamed(ctx, slug)
	if err != nil {
		_ = g.close()
	}
	return g, in, err
}

// listAt makes the public list of FHIR addresses that begin with origin.
func (g *ground) listAt(origin string) {
	g.list = endpoints.New(endpoints.Options{DB: g.db, Store: g.store, Auth: g.auth, People: practice.NewProfiles(g.db, g.store), Origin: origin})
}

type user struct {
	Add     userAdd     `cmd:"" help:"Add a person to a practice's staff."`
	List    userList    `cmd:"" help:"List the staff of a practice."`
	Disable userDisable `cmd:"" help:"End what a member may do in the practice: sessions, connected programs, streams and exports end within a second."`
	Enable  userEnable  `cmd:"" help:"Let a disabled member work again."`
	Reset   userReset   `cmd:"" help:"Take away a person's password and second factors and print an invitation."`
}

type userAdd struct {
	place
	Practice     string      `required:"" help:"The practice's slug."`
	Login        string      `required:"" help:"What the person signs in with."`
	Name         string      `required:"" help:"The person's name as others see it."`
	Role         []auth.Role `required:"" help:"clinician, nurse, frontdesk, biller or administrator; may be given several times."`
	Practitioner string      `help:"Id of the person's Practitioner resource, for those who treat patients."`
	PasswordFile string      `help:"File with the first password; without it an invitation is printed." type:"existingfile"`
}

func (c *userAdd) Run(ctx context.Context, out *output) error {
	g, err := c.open(ctx, out, who{})
	if err != nil {
		return err
	}
	defer g.close()
	p, err := g.practiceNamed(ctx, c.Practice)
	if err != nil {
		return err
	}
	return addStaff(ctx, out, g, p, c)
}

// addStaff adds the person; without a password file an invitation is printed.
func addStaff(ctx context.Context, out *output, g *ground, p auth.Practice, c *userAdd) error {
	password := ""
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return err
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	sys := auth.SystemScope(p.ID, "yarrow user add")
	id, err := g.auth.AddUser(ctx, sys, auth.User{Login: c.Login, Display: c.Name, PractitionerID: c.Practitioner, Roles: c.Role, Password: password})
	if err != nil {
		return err
	}
	if password != "" {
		fmt.Fprintf(out.text, "%s can sign in as %s and sets up a second factor at the first sign-in.\n", c.Name, c.Login)
		return nil
	}
	invite, err := g.auth.Invite(ctx, sys, id)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.text, "%s was added. Invitation, to be used once to set a password: %s\n", c.Name, invite)
	return nil
}
