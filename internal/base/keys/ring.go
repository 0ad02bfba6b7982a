package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/standards/fhir"
)

// Options say where the master key and the key store are.
type Options struct {
	MasterFile string // file with the master key, mode 0600, outside the data folder
	MasterText string // the recovery-key text itself, when it comes from the environment; then no file is used
	StoreDir   string // folder of the key store, apart from the data
	MayCreate  bool   // there is no data yet: a missing master key and key store may be made
	Clock      *clock.Clock
}

// EnvMaster names the environment variable that overrides the master key file. Its value is a recovery key.
const EnvMaster = "YARROW_MASTER_KEY"

// DefaultOptions places the master key and the key store beside the data folder, never in it.
func DefaultOptions(dataDir string) Options {
	dataDir = filepath.Clean(dataDir)
	return Options{
		MasterFile: dataDir + ".master.key",
		MasterText: os.Getenv(EnvMaster),
		StoreDir:   dataDir + ".keys",
	}
}

// Created is returned when Open made a new master key. Recovery is to be printed once and kept on paper: with the
// key store it re-creates the master key file.
type Created struct {
	Recovery   string
	MasterFile string
}

// Ring gives the keys of practices. It is safe for concurrent use.
type Ring struct {
	dir    string
	master []byte
	clock  *clock.Clock

	mu   sync.Mutex
	open map[int64]*Practice
}

// Open opens the key store with the master key. Created is nil unless the master key is new. Errors are
// *fhir.Issue: no master key, the wrong one, no key store.
func Open(o Options) (*Ring, *Created, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	r := &Ring{dir: o.StoreDir, clock: o.Clock, open: make(map[int64]*Practice)}
	_, statErr := os.Stat(r.storeFile())
	haveStore := statErr == nil
	if statErr != nil && !errors.Is(statErr, fs.ErrNotExist) {
		return nil, nil, unreadable("key store", o.StoreDir, statErr)
	}
	if !haveStore && !o.MayCreate {
		return nil, nil, fhir.Problem("not-found", fmt.Sprintf("There is data, but the key store %s is missing; without it the data cannot be read.", o.StoreDir),
			"Put the key store folder back where it was, or bring it back from a key export with `yarrow keys import`.").Because(statErr)
	}
	master, created, err := readMaster(o, !haveStore)
	if err != nil {
		return nil, nil, err
	}
	r.master = master
	if !haveStore {
		if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
			return nil, nil, unreadable("key store", o.StoreDir, err)
		}
	}
	// The first key is that of the system store. This also proves that the master key fits.
	if err := r.Create(0); err != nil {
		return nil, nil, err
	}
	return r, created, nil
}

func unreadable(what, path string, err error) error {
	return fhir.Problem("exception", fmt.Sprintf("The %s %s cannot be read or written.", what, path),
		"Check that it exists and that the account that runs Yarrow may use it.").Because(err)
}

func readMaster(o Options, mayCreate bool) ([]byte, *Created, error) {
	if o.MasterText != "" {
		master, err := parseRecovery(o.MasterText)
		return master, nil, err
	}
	raw, err := os.ReadFile(o.MasterFile)
	if err == nil {
		master, err := parseRecovery(strings.TrimSpace(string(raw)))
		return master, nil, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, unreadable("master key file", o.MasterFile, err)
	}
	if !mayCreate {
		return nil, nil, fhir.Problem("not-found", fmt.Sprintf("The master key file %s is missing.", o.MasterFile),
			"Put it back, or re-create it from the printed recovery key with `yarrow keys recover`.").Because(err)
	}
	master := make([]byte, secretSize)
	rand.Read(master)
	text := recoveryText(master)
	if err := writeNew(o.MasterFile, []byte(text+"\n")); err != nil {
		return nil, nil, unreadable("master key file", o.MasterFile, err)
	}
	return master, &Created{Recovery: text, MasterFile: o.MasterFile}, nil
}

// Recover re-creates the master key file from a printed recovery key. It refuses to replace a file.
func Recover(masterFile, recovery string) error {
	master, err := parseRecovery(recovery)
	if err != nil {
		return err
	}
	err = writeNew(masterFile, []byte(recoveryText(master)+"\n"))
	if errors.Is(err, fs.ErrExist) {
		return fhir.Problem("conflict", fmt.Sprintf("There is a master key file already: %s.", masterFile),
			"Move it away first if it is the wrong one.").Because(err)
	}
	if err != nil {
		return unreadable("master key file", masterFile, err)
	}
	return nil
}

// fingerprint names a master key without revealing it, so that two can be told apart.
func fingerprint(master []byte) string { return hex.EncodeToString(derive(master, "fingerprint", 8)) }

// Create makes the secret of practice id. It does nothing when there is one, and refuses an id whose key was destroyed.
func (r *Ring) Create(id int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[id] != nil {
		return nil
	}
	return r.change(func(c *content) (bool, error) {
		if c.Practices[id] != nil {
			return false, nil
		}
		if _, gone := c.Destroyed[id]; gone {
			return false, destroyed(id)
		}
		secret := make([]byte, secretSize)
		rand.Read(secret)
		c.Practices[id] = &practiceEntry{Created: r.clock.Now(), Generation: 1, secret: secret}
		return true, nil
	})
}

// Practice gives the keys of practice id, or a *fhir.Issue: not-found, or deleted when they were destroyed.
func (r *Ring) Practice(id int64) (*Practice, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.open[id]; p != nil {
		return p, nil
	}
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	c, err := r.read()
	unlock()
	if err != nil {
		return nil, err
	}
	e := c.Practices[id]
	if e == nil {
		if _, gone := c.Destroyed[id]; gone {
			return nil, destroyed(id)
		}
		return nil, unknown(id)
	}
	p := newPractice(id, e.secret, e.Generation)
	r.open[id] = p
	return p, nil
}

// Destroy removes the keys of practice id for ever and replaces the wrapping key, so that what a disk may still hold
// of the old key store opens nothing. It returns when that was. Copies of the key store made by an export must be
// destroyed by whoever made them; the certificate says so.
func (r *Ring) Destroy(id int64) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == 0 {
		return time.Time{}, errors.New("keys: the system store's key is not destroyed alone")
	}
	var when time.Time
	err := r.change(func(c *content) (bool, error) {
		if t, gone := c.Destroyed[id]; gone {
			when = t
			return false, nil
		}
		if c.Practices[id] == nil {
			return false, unknown(id)
		}
		delete(c.Practices, id)
		when = r.clock.Now()
		c.Destroyed[id] = when
		c.newWrapping()
		return true, nil
	})
	delete(r.open, id)
	return when, err
}

// lastGeneration is the highest number a sealed byte string can name.
const lastGeneration = 255

// Rotation is what a step of [Ring.Rotate] did.
type Rotation struct {
	Rotated []int64 // practices, 0 for the system store, that have a new generation of sealing keys
	Spent   []int64 // those that have no further one
	Left    int     // how many are still due
}

// Rotate gives practices a new generation of their sealing keys, which counts from when a process is started anew, and with them the key
// store a new wrapping key. It takes those whose generation began before a time, at most so many at once, by number; only names which,
// nil all. What older generations sealed stays readable. Each call is one change of the key store: whoever is interrupted goes on
// with the same time, and nothing is rotated twice.
func (r *Ring) Rotate(before time.Time, most int, only []int64) (out Rotation, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err = r.change(func(c *content) (bool, error) {
		for _, id := range only {
			if c.Practices[id] == nil {
				return false, unknown(id)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(c.Practices)) {
			e := c.Practices[id]
			since := e.Since
			if since.IsZero() {
				since = e.Created
			}
			switch {
			case only != nil && !slices.Contains(only, id), !since.Before(before):
			case e.Generation == lastGeneration:
				out.Spent = append(out.Spent, id)
			case len(out.Rotated) == most:
				out.Left++
			default:
				e.Generation++
				e.Since = r.clock.Now()
				out.Rotated = append(out.Rotated, id)
			}
		}
		if len(out.Rotated) > 0 {
			c.newWrapping()
		}
		return len(out.Rotated) > 0, nil
	})
	if err != nil {
		return Rotation{}, err
	}
	for _, id := range out.Rotated {
		delete(r.open, id)
	}
	return out, nil
}

// Vouch proves, to who has the same master key, that the caller has it and means these words.
func (r *Ring) Vouch(words string) string {
	mac := hmac.New(sha256.New, derive(r.master, "vouch", 32))
	mac.Write([]byte(words))
	return hex.EncodeToString(mac.Sum(nil))
}

// Vouched says whether words were vouched for with this master key.
func (r *Ring) Vouched(words, proof string) bool {
	return hmac.Equal([]byte(r.Vouch(words)), []byte(proof))
}

func unknown(id int64) error {
	return fhir.Problem("not-found", fmt.Sprintf("There is no practice %d here.", id),
		"Check the practice's name, or list the practices with `yarrow practice list`.")
}

func destroyed(id int64) error {
	return fhir.Problem("deleted", fmt.Sprintf("The keys of practice %d were destroyed; its data cannot be read any more.", id),
		"Nothing can bring it back. See the deletion certificate.")
}
