package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"yarrow.health/internal/standards/fhir"
)

// content is the key store: one small file, replaced as a whole, so that it is always either old or new.
type content struct {
	Format      int                      `json:"format"`
	Master      string                   `json:"master"`   // fingerprint of the master key
	Wrapping    []byte                   `json:"wrapping"` // sealed by the master key
	WrappingNum int                      `json:"wrappingNumber"`
	Practices   map[int64]*practiceEntry `json:"practices"`
	Destroyed   map[int64]time.Time      `json:"destroyed"`

	wrapping []byte
}

type practiceEntry struct {
	Created    time.Time `json:"created"`
	Generation byte      `json:"generation"`
	Since      time.Time `json:"since,omitzero"` // when the generation began; zero: when the practice did
	Secret     []byte    `json:"secret"`         // sealed by the wrapping key

	secret []byte
}

const storeFormat = 1

func (r *Ring) storeFile() string { return filepath.Join(r.dir, "keys.json") }

func (c *content) newWrapping() {
	c.wrapping = make([]byte, secretSize)
	rand.Read(c.wrapping)
	c.WrappingNum++
}

func practiceAAD(id int64) []byte { return fmt.Appendf(nil, "practice|%d", id) }

// read loads and opens the key store; a missing file is an empty store.
func (r *Ring) read() (*content, error) {
	c := &content{Format: storeFormat, Practices: map[int64]*practiceEntry{}, Destroyed: map[int64]time.Time{}}
	raw, err := os.ReadFile(r.storeFile())
	if errors.Is(err, os.ErrNotExist) {
		c.newWrapping()
		return c, nil
	}
	if err != nil {
		return nil, unreadable("key store", r.dir, err)
	}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, damagedStore(r.dir, err)
	}
	if c.Format != storeFormat {
		return nil, fhir.Problem("not-supported", "The key store was written by a newer Yarrow.", "Use the version of Yarrow that wrote it.")
	}
	if have := fingerprint(r.master); c.Master != have {
		return nil, fhir.Problem("security", fmt.Sprintf("This is the wrong master key: it is %s, and the key store %s needs %s.", have, r.dir, c.Master),
			"Use the master key file, or the recovery key, that belongs to this data.")
	}
	if c.wrapping, err = newSealer(r.master, "wrapping", 1).Open(nil, c.Wrapping, []byte("wrapping")); err != nil {
		return nil, damagedStore(r.dir, err)
	}
	seal := newSealer(c.wrapping, "practice", 1)
	for id, e := range c.Practices {
		if e.secret, err = seal.Open(nil, e.Secret, practiceAAD(id)); err != nil || e.Generation == 0 {
			return nil, damagedStore(r.dir, err)
		}
	}
	return c, nil
}

func damagedStore(dir string, err error) error {
	return fhir.Problem("exception", fmt.Sprintf("The key store %s is damaged.", dir),
		"Restore it from the latest key export; it is needed to read any data.").Because(err)
}

// change reads the store, applies fn and, when fn says so, replaces it. Several processes may share a key store
// (PostgreSQL with several nodes), hence the file lock.
func (r *Ring) change(fn func(*content) (bool, error)) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	c, err := r.read()
	if err != nil {
		return err
	}
	changed, err := fn(c)
	if err != nil || !changed {
		return err
	}
	if err := r.write(c); err != nil {
		return unreadable("key store", r.dir, err)
	}
	return nil
}

// lock keeps other processes from the key store until the function it returns is called.
func (r *Ring) lock() (unlock func(), err error) {
	if unlock, err = lockStore(filepath.Join(r.dir, "LOCK")); err != nil {
		return nil, unreadable("key store", r.dir, err)
	}
	return unlock, nil
}

func (r *Ring) write(c *content) error {
	raw, err := r.encode(c)
	if err != nil {
		return err
	}
	return replace(r.storeFile(), raw)
}

func (r *Ring) encode(c *content) ([]byte, error) {
	c.Master = fingerprint(r.master)
	c.Wrapping = newSealer(r.master, "wrapping", 1).Seal(nil, c.wrapping, []byte("wrapping"))
	seal := newSealer(c.wrapping, "practice", 1)
	for id, e := range c.Practices {
		e.Secret = seal.Seal(nil, e.secret, practiceAAD(id))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", " ")
	err := enc.Encode(c)
	return out.Bytes(), err
}

// writeNew writes a file that must not exist yet, durably.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return finish(f, content)
}

// replace puts content in the place of path in one step, durably. The old file is overwritten before it goes, as far
// as the file system lets it be.
func replace(path string, content []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := finish(f, content); err != nil {
		return err
	}
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if err := SyncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	defer old.Close()
	size, err := old.Seek(0, 2)
	if err == nil {
		_, err = old.WriteAt(make([]byte, size), 0)
	}
	if err == nil {
		err = old.Sync()
	}
	return err
}

func finish(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = SyncFolder(filepath.Dir(f.Name()))
	}
	return err
}

// SyncFolder makes the names in a folder durable, after a file in it was made, renamed or removed.
func SyncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
