package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/base/signon"
	"yarrow.health/internal/base/uploads"
	"yarrow.health/internal/edge/endpoints"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/simulate"
	"yarrow.health/internal/standards/fhir"
)

// place says where the data is and where its keys are. Every command takes it.
type place struct {
	Data      string `help:"Folder of the embedded database." placeholder:"DIR" env:"YARROW_DATA" default:"./yarrow-data"`
	Database  string `help:"PostgreSQL database, as the application's role: postgres://… Replaces --data." placeholder:"URL" env:"YARROW_DATABASE"`
	MasterKey string `help:"Master key file. It is created at the first start, outside the data folder." placeholder:"FILE" env:"YARROW_MASTER_KEY_FILE"`
	Keystore  string `help:"Folder of the wrapped practice keys. It is never part of a data backup." placeholder:"DIR" env:"YARROW_KEYSTORE"`
}

// ground is what every command stands on, opened in order and closed in reverse.
type ground struct {
	ring   *keys.Ring
	db     *db.DB
	audit  *audit.Log
	auth   *auth.Auth
	oauth  *oauth.Server
	signOn *signon.SignOn
	store  *fhirstore.Store
	terms  *codes.Server  // the practices' terminology server
	guide  *guides.Guides // the practices' implementation guides and validators
	log    *slog.Logger

	uploads uploads.Gate // looks at attachments

	list *endpoints.List // the public list of FHIR addresses; nil when nobody is served

	shared bool            // lent to a command by the running server, which closes it
	budget *fhirapi.Budget // of each client of the FHIR interface; nil: what it gives by itself
	origin string          // what people's addresses begin with; "" when nobody is served
}

func (p place) keyOptions() (keys.Options, error) {
	base := p.Data
	if p.Database != "" {
		dir, err := os.UserConfigDir()
		if err != nil && (p.MasterKey == "" || p.Keystore == "") {
			return keys.Options{}, fhir.Problem("required", "There is no place for the keys.", "Name --master-key and --keystore.").Because(err)
		}
		base = filepath.Join(dir, "yarrow", "postgres")
	}
	o := keys.DefaultOptions(base)
	if p.MasterKey != "" {
		o.MasterFile = p.MasterKey
	}
	if p.Keystore != "" {
		o.StoreDir = p.Keystore
	}
	o.MasterText, o.Clock = os.Getenv(keys.EnvMaster), clock.System()
	// A missing key is made only where there is no data yet that another key would have to open.
	if p.Database == "" {
		_, err := os.Stat(filepath.Join(p.Data, "system.db"))
		o.MayCreate = errors.Is(err, fs.ErrNotExist)
	} else {
		_, err := os.Stat(o.StoreDir)
		o.MayCreate = errors.Is(err, fs.ErrNotExist)
	}
	return o, nil
}

// who says how people reach the program and sign in. Commands that serve nobody leave it empty.
type who struct {
	Demo         bool
	KeysExist    bool // the keys must be there already, even where there is no data yet
	RPID, Origin string
}

func (w who) options() auth.Options {
	o := auth.Options{Demo: w.Demo, RPID: w.RPID, Origins: origins(w.Origin), Published: simulate.Published}
	if w.Demo {
		o.Published = nil
	}
	return o
}

// open opens the data and everything that stands on it. The caller closes it.
func (p place) open(ctx context.Context, out *output, w who) (*ground, error) {
	if out.ground != nil {
		return out.ground.lent(), nil
	}
	ko, err := p.keyOptions()
	if err != nil {
		return nil, err
	}
	ko.MayCreate = ko.MayCreate && !w.KeysExist
	newStore := !hasKeys(ko)
	ring, created, err := keys.Open(ko)
	if err != nil {
		return nil, err
	}
	o := db.Options{Keys: ring, Clock: clock.System(), Log: out.log}
	if p.Database != "" {
		o.DatabaseURL = p.Database
	} else {
		o.DataDir = p.Data
	}
	d, err := db.Open(ctx, o)
	if newStore && errors.Is(err, db.ErrOtherKeys) {
		unmakeKeys(ko, created != nil)
		return nil, fhir.Problem("not-found", fmt.Sprintf("The database holds practices, but the key store %s is missing; without it the data cannot be read.", ko.StoreDir),
			"Name the right one with --keystore and --master-key, or bring it back with `yarrow keys import`.")
	}
	if created != nil {
		out.newMaster(created)
	}
	if err != nil {
		return nil, err
	}
	log := audit.New(d)
	g := &ground{log: out.log, ring: ring, db: d, audit: log, auth: auth.New(d, log, w.options()), store: fhirstore.New(d, log), origin: w.Origin}
	g.terms = codes.New(d, g.store, codes.Options{Log: out.log})
	g.guide = guides.New(d, g.store, g.terms)
	g.rule(g.store)
	outside, err := egress.New(nil) // hosts come on its list with the programs that an administrator approved
	if err != nil {
		return nil, err
	}
	g.oauth = oauth.New(oauth.Options{DB: d, Auth: g.auth, Audit: log, Egress: outside, Base: w.Origin, Log: out.log})
	g.signOn = signon.New(signon.Options{DB: d, Auth: g.auth, Audit: log, Egress: outside, Base: w.Origin, Log: out.log})
	return g, nil
}

// rule has the sensitivity labels and the consents of a practice decide what a store shows, and its guides and its agreement what it
// takes.
func (g *ground) rule(s *fhirstore.Store) {
	s.HoldsReal = g.auth.HoldsReal
	s.Labels, s.Rules, s.Judge, s.Terms, s.Targets = auth.Sensitivity, g.auth.FollowResource, g.uploads.Before(g.guide.Checker), g.terms.Terms, g.guide.Targets
}

// newMaster shows the recovery key of a master key, the only time it can be seen.
func (o *output) newMaster(c *keys.Created) {
	fmt.Fprintf(o.errs, "A new master key was made: %s\nIts recovery key, to be printed and kept apart from this machine:\n\n    %s\n\n", c.MasterFile, c.Recovery)
}

// hasKeys says whether there is a key store already.
func hasKeys(ko keys.Options) bool {
	_, err := os.Stat(filepath.Join(ko.StoreDir, "keys.json"))
	return err == nil
}

// unmakeKeys takes back a key store, and the master key when it is as new, that have sealed nothing.
func unmakeKeys(ko keys.Options, master bool) {
	if master {
		_ = os.Remove(ko.MasterFile)
	}
	for _, name := range []string{"keys.json", "LOCK"} {
		_ = os.Remove(filepath.Join(ko.StoreDir, name))
	}
	_ = os.Remove(ko.StoreDir) // unless it holds something else
}

func origins(o string) []string {
	if o == "" {
		return nil
	}
	return []string{o}
}

func (g *ground) close() error {
	if g.shared {
		return nil
	}
	g.settle()
	return g.db.Close()
}

// settle has every practice take over what the journal holds of it, so that its folder is all there is to it.
func (g *ground) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, p := range g.audit.Unsealed() {
		if err := g.audit.Settle(ctx, auth.SystemScope(p, "closing")); err != nil {
			g.log.Warn("audit entries wait in the journal for the next start", "practice", p, "error", err)
		}
	}
}

// practiceNamed finds a practice by its slug.
func (g *ground) practiceNamed(ctx context.Context, slug string) (auth.Practice, error) {
	p, err := g.auth.PracticeBySlug(ctx, strings.ToLower(slug))
	if err != nil {
		return p, fhir.Problem("not-found", fmt.Sprintf("There is no practice %q here.", slug), "List them with `yarrow practice list`, or add it with `yarrow practice add`.").Because(err)
	}
	return p, nil
}
