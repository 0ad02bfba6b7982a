package prove

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/keys"
)

// world is a throw-away installation.
type world struct {
	r     *Run
	place string // data folder; the keys lie beside it
	ring  *keys.Ring
	db    *db.DB
	log   *audit.Log
	auth  *auth.Auth
	store *fhirstore.Store
	clock *clock.Clock
}

// newWorld makes an installation under the run's folder. c is its clock; nil is the real one.
func (r *Run) newWorld(ctx context.Context, name string, c *clock.Clock) (*world, error) {
	if c == nil {
		c = clock.System()
	}
	w := &world{r: r, place: filepath.Join(r.Dir, name), clock: c}
	if r.Engine.Owner != "" {
		if err := db.Migrate(ctx, r.Engine.Owner, appRole(r.Engine.App)); err != nil {
			return nil, err
		}
	}
	return w, w.open(ctx)
}

func (w *world) open(ctx context.Context) error {
	o := keys.DefaultOptions(w.place)
	o.MasterText, o.MayCreate, o.Clock = "", true, w.clock
	ring, _, err := keys.Open(o)
	if err != nil {
		return err
	}
	do := db.Options{Keys: ring, Clock: w.clock, DatabaseURL: w.r.Engine.App}
	if do.DatabaseURL == "" {
		do.DataDir = w.place
	}
	d, err := db.Open(ctx, do)
	if err != nil {
		return err
	}
	w.ring, w.db, w.log = ring, d, audit.New(d)
	w.auth = auth.New(d, w.log, auth.Options{})
	w.store = fhirstore.New(d, w.log)
	return nil
}

func (w *world) close() error { return w.db.Close() }

func (r *Run) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(r.Seed, stream)) }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// appRole is the user of a database URL.
func appRole(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return ""
	}
	return u.User.Username()
}

// again copies an embedded installation that is closed, to be harmed.
func (w *world) again(name string) (*world, error) {
	c := *w
	c.place = filepath.Join(w.r.Dir, name)
	for _, suffix := range []string{"", ".keys", ".master.key"} {
		info, err := os.Stat(w.place + suffix)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			b, err := os.ReadFile(w.place + suffix)
			if err == nil {
				err = os.WriteFile(c.place+suffix, b, 0o600)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := os.CopyFS(c.place+suffix, os.DirFS(w.place+suffix)); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// remove deletes a copy.
func (w *world) remove() {
	for _, suffix := range []string{"", ".keys", ".master.key"} {
		os.RemoveAll(w.place + suffix)
	}
}
