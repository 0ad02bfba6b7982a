package keys

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"yarrow.health/internal/standards/fhir"
)

// exported is the content of a key export: secrets in the clear, inside age. Whoever can open the file can read the
// practices' data.
type exported struct {
	Format    int               `json:"format"`
	Created   time.Time         `json:"created"`
	Practices []exportedSecrets `json:"practices"`
}

type exportedSecrets struct {
	Practice   int64     `json:"practice"`
	Created    time.Time `json:"created"`
	Generation byte      `json:"generation"`
	Secret     []byte    `json:"secret"`
}

// Export writes the secrets of the given practices (nil: all, and the system store's) to w, encrypted with age. Data
// backups hold no keys; this file is what makes them readable elsewhere, and must be kept elsewhere.
func (r *Ring) Export(w io.Writer, practices []int64, to ...age.Recipient) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	c, err := r.read()
	unlock()
	if err != nil {
		return err
	}
	if practices == nil {
		for id := range c.Practices {
			practices = append(practices, id)
		}
		slices.Sort(practices)
	}
	out := exported{Format: storeFormat, Created: r.clock.Now()}
	for _, id := range practices {
		e := c.Practices[id]
		if e == nil {
			return unknown(id)
		}
		out.Practices = append(out.Practices, exportedSecrets{id, e.Created, e.Generation, e.secret})
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(sealed).Encode(out); err != nil {
		return err
	}
	return sealed.Close()
}

// Import adds the secrets of a key export to the key store. It never replaces a key: one that is there already must be
// the same. Only the system store's key gives way, and only in a key store that holds no practice yet.
func (r *Ring) Import(in io.Reader, who ...age.Identity) error {
	open, err := age.Decrypt(in, who...)
	if err != nil {
		return fhir.Problem("security", "This key export does not open.", "Use the identity or passphrase it was made for, and an undamaged copy.").Because(err)
	}
	var e exported
	raw, err := io.ReadAll(io.LimitReader(open, 64<<20))
	if err == nil {
		err = json.Unmarshal(raw, &e)
	}
	if err != nil || e.Format != storeFormat {
		return fhir.Problem("exception", "This is not a key export of Yarrow, or it is damaged.", "Use another copy of it.").Because(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err = r.change(func(c *content) (bool, error) {
		fresh := len(c.Practices) == 0 || (len(c.Practices) == 1 && c.Practices[0] != nil)
		for _, s := range e.Practices {
			if len(s.Secret) != secretSize || s.Generation == 0 {
				return false, fhir.Problem("exception", "This key export is damaged.", "Use another copy of it.")
			}
			if _, gone := c.Destroyed[s.Practice]; gone {
				return false, destroyed(s.Practice)
			}
			have := c.Practices[s.Practice]
			if have != nil && string(have.secret) != string(s.Secret) && (s.Practice != 0 || !fresh) {
				return false, fhir.Problem("conflict", fmt.Sprintf("This key store has another key for practice %d already. Nothing was imported.", s.Practice),
					"Import into the key store of an empty installation.")
			}
			generation := s.Generation
			if have != nil {
				generation = max(generation, have.Generation)
			}
			c.Practices[s.Practice] = &practiceEntry{Created: s.Created, Generation: generation, secret: s.Secret}
		}
		return true, nil
	})
	clear(r.open)
	return err
}
