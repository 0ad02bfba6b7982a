package keys

import "crypto/ed25519"

// Practice holds the working keys of one practice (0 is the system store). It is safe for concurrent use and
// stays in memory while the practice is open.
type Practice struct {
	id     int64
	secret []byte
	body   *Sealer
	blob   *Sealer
	audit  *Sealer
	index  Hasher
	file   []byte
}

func newPractice(id int64, secret []byte, generation byte) *Practice {
	p := &Practice{
		id:     id,
		secret: secret,
		body:   newSealer(secret, "body", generation),
		blob:   newSealer(secret, "blob", generation),
		audit:  newSealer(secret, "audit", generation),
		// Index and file keys have no generation: every index row and every page would have to be written anew.
		index: newHasher([16]byte(derive(secret, "index", 16))),
		file:  derive(secret, "file", 64),
	}
	return p
}

// ID is the practice these keys belong to.
func (p *Practice) ID() int64 { return p.id }

// Seal appends plain, sealed for the database, to dst. aad names the place it belongs to
// (practice|type|id|version), so that a sealed body moved elsewhere does not open. It adds Overhead bytes.
func (p *Practice) Seal(dst, plain, aad []byte) []byte { return p.body.Seal(dst, plain, aad) }

// Open appends the plain bytes to dst, or returns ErrSealed.
func (p *Practice) Open(dst, sealed, aad []byte) ([]byte, error) {
	return p.body.Open(dst, sealed, aad)
}

// Blob seals the bytes of files; Audit seals audit events. Each has a key of its own.
func (p *Practice) Blob() *Sealer { return p.blob }

// Audit seals audit events.
func (p *Practice) Audit() *Sealer { return p.audit }

// Hash is the keyed 64-bit value of parts, for index rows. The key behind it never changes.
func (p *Practice) Hash(parts ...string) int64 {
	h := p.index
	for _, s := range parts {
		h.Part(s)
	}
	return h.Sum()
}

// Hasher returns a fresh Hasher with the index key; Hash(a, b) equals Part(a), Part(b), Sum.
func (p *Practice) Hasher() Hasher { return p.index }

// FileKey is the 64-byte key of the practice's database file (AES-256-XTS). Do not change or log it.
func (p *Practice) FileKey() []byte { return p.file }

// Derive gives n bytes for a purpose of the caller's own, such as the sealing of paging cursors. The label must
// be unique to that purpose.
func (p *Practice) Derive(label string, n int) []byte { return derive(p.secret, "derived/"+label, n) }

// Signer is the practice's Ed25519 key (RFC 8032) for what it hands out: checkpoints of its audit, receipts, reports.
// It never changes while the practice exists. The public half may be given to anybody.
func (p *Practice) Signer() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(derive(p.secret, "sign", ed25519.SeedSize))
}
