package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"yarrow.health/internal/standards/fhir"
)

// Cost of a password hash: argon2id with 19 MiB, two passes, one lane, as OWASP's Password Storage Cheat Sheet has
// it for servers that must stay small. The parameters are stored with each hash, so they can grow.
const (
	argonMemory = 19 * 1024 // KiB
	argonPasses = 2
	argonLanes  = 1
	argonSalt   = 16
	argonKey    = 32

	maxHashesWaiting = 64
)

// hasher makes and compares password hashes, a few at a time so that memory stays bounded.
type hasher struct {
	turns   chan struct{}
	own     chan struct{} // one more turn, for known devices only: strangers cannot take it
	waiting atomic.Int64
	work    atomic.Int64 // hashes computed since start; tests compare it between paths
	memory  uint32       // KiB; tests take less
	dummy   string       // compared with when there is no such person

	published func(password string) bool // Options.Published
}

func newHasher(atOnce int, memory uint32) *hasher {
	h := &hasher{turns: make(chan struct{}, atOnce), own: make(chan struct{}, 1), memory: memory}
	salt, key := make([]byte, argonSalt), make([]byte, argonKey)
	rand.Read(salt)
	rand.Read(key)
	h.dummy = phc(memory, argonPasses, argonLanes, salt, key)
	return h
}

// phc is the string form of a hash (Password Hashing Competition).
func phc(memory, passes, lanes uint32, salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// take waits for a turn and returns what gives it back. When too many wait already it refuses at once; a known device
// has a turn that a flood of strangers cannot use up.
func (h *hasher) take(ctx context.Context, known bool) (done func(), err error) {
	own := h.own
	if !known {
		own = nil // nobody sends on a nil channel
		if h.waiting.Add(1) > maxHashesWaiting {
			h.waiting.Add(-1)
			return nil, tooBusy()
		}
		defer h.waiting.Add(-1)
	}
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case own <- struct{}{}:
		return func() { <-h.own }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func tooBusy() *fhir.Issue {
	return fhir.Problem("throttled", "Too many people are signing in at this moment.", "Try again in a few seconds.")
}

// normalPassword is the form passwords are hashed in: NFC, nothing cut (NIST SP 800-63B-4 §3.1.1.2).
func normalPassword(p string) []byte { return norm.NFC.Bytes([]byte(p)) }

// hash makes the stored form of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.take(ctx, false)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	h.work.Add(1)
	key := argon2.IDKey(normalPassword(password), salt, argonPasses, h.memory, argonLanes, argonKey)
	return phc(h.memory, argonPasses, argonLanes, salt, key), nil
}

// matches compares a password with a stored form. An empty or unreadable form costs the same and never matches.
// known is whether the attempt comes from a known device.
func (h *hasher) matches(ctx context.Context, stored, password string, known bool) (bool, error) {
	done, err := h.take(ctx, known)
	if err != nil {
		return false, err
	}
	defer done()
	c, real := parsePHC(stored)
	if !real {
		c, _ = parsePHC(h.dummy)
	}
	h.work.Add(1)
	if len(password) > maxPassword {
		password, real = password[:maxPassword], false
	}
	got := argon2.IDKey(normalPassword(password), c.salt, c.passes, c.memory, uint8(c.lanes), uint32(len(c.key)))
	real = real && (h.published == nil || !h.published(password))
	return subtle.ConstantTimeCompare(got, c.key) == 1 && real, nil
}

type passwordHash struct {
	memory, passes, lanes uint32
	salt, key             []byte
}

func parsePHC(s string) (c passwordHash, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.lanes); n != 3 || err != nil {
		return c, false
	}
	if c.memory < 8 || c.memory > 1<<20 || c.passes < 1 || c.passes > 16 || c.lanes < 1 || c.lanes > 16 {
		return c, false
	}
	var err error
	if c.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(c.salt) < 8 {
		return c, false
	}
	if c.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(c.key) < 16 {
		return c, false
	}
	return c, true
}

// Bounds of passwords in characters, and in bytes at the top. NIST SP 800-63B-4 §3.1.1.2: 15 when the password is
// the only factor, 8 beside another; at least 64 must be accepted.
const (
	minPasswordAlone  = 15
	minPasswordBeside = 8
	maxPassword       = 1024 // bytes
	minStrength       = 3    // zxcvbn: of 0 to 4
)

// CheckPassword says what is wrong with a new password, or nil. alone is whether no second factor is required.
// context is words an attacker would try first: login, name, practice. There are no composition rules, and nothing
// expires.
func CheckPassword(password string, alone bool, context ...string) error {
	need := minPasswordBeside
	if alone {
		need = minPasswordAlone
	}
	n := utf8.RuneCount(normalPassword(password))
	switch {
	case !utf8.ValidString(password):
		return weak("The password is not valid text.", "Type it again.")
	case n < need:
		return weak(fmt.Sprintf("The password is too short: it has %d of at least %d characters.", n, need),
			"Several words that you can picture together are easy to remember and hard to guess.")
	case len(password) > maxPassword:
		return weak(fmt.Sprintf("The password is longer than %d bytes.", maxPassword), "Use a shorter one.")
	case breached(password):
		return weak("This password is one of those tried first everywhere.", "Choose one nobody else would.")
	}
	if strength(password, context) < minStrength {
		return weak("This password is easy to guess.",
			"Avoid names, dates, repeats and rows of keys; add a word or two that do not belong together.")
	}
	return nil
}

// checkNew is CheckPassword for somebody of a practice, with what this installation refuses besides.
func (a *Auth) checkNew(password string, p Practice, context ...string) error {
	if f := a.options.Published; f != nil && f(password) {
		return weak("This password is one of a demonstration's, which everybody can know.", "Choose one nobody else would.")
	}
	return CheckPassword(password, !p.Settings.MFA, append(context, p.Slug, p.Name)...)
}

func weak(text, fix string) *fhir.Issue { return fhir.Problem("value", text, fix) }

// strength is zxcvbn's score. Only the beginning of a long password is judged: the time grows with its square.
func strength(password string, context []string) int {
	runes := []rune(password)
	if len(runes) > 64 {
		runes = runes[:64]
	}
	var words []string
	for _, c := range append(context, "yarrow", "practice", "clinic", "health", "doctor") {
		for _, w := range strings.FieldsFunc(strings.ToLower(c), func(r rune) bool { return strings.ContainsRune(" .@-_'", r) }) {
			if len(w) > 2 {
				words = append(words, w)
			}
		}
	}
	return zxcvbn.PasswordStrength(string(runes), words).Score
}
