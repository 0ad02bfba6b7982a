package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrSealed is returned when sealed bytes cannot be opened: another key, another context (aad), or a changed byte.
// The caller must treat the bytes as damaged and never serve them.
var ErrSealed = errors.New("keys: the sealed bytes do not open with this key and context")

const (
	secretSize = 32
	nonceSize  = 12
	tagSize    = 16

	// Overhead is how many bytes Seal adds: key number, nonce and tag.
	Overhead = 1 + nonceSize + tagSize
)

// derive gives n bytes bound to secret and label (HKDF-SHA256, RFC 5869).
func derive(secret []byte, label string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, "yarrow.health/"+label, n)
	if err != nil {
		panic("keys: hkdf: " + err.Error()) // only for n > 8160
	}
	return out
}

// Sealer seals and opens bytes for one purpose with AES-256-GCM and a random 96-bit nonce. It is safe for
// concurrent use. One key may seal 2^32 times before it should be replaced (NIST SP 800-38D §8.3).
//
// It opens what any generation sealed, later ones too: after a rotation the processes of an installation seal with different ones
// until each of them was started anew.
type Sealer struct {
	secret   []byte
	purpose  string
	byNumber [256]atomic.Pointer[cipher.AEAD]
	current  byte
}

func newSealer(secret []byte, purpose string, current byte) *Sealer {
	s := &Sealer{secret: secret, purpose: purpose, current: current}
	s.generation(current)
	return s
}

// generation gives the key of a generation, which is made when it is first needed.
func (s *Sealer) generation(n byte) cipher.AEAD {
	if k := s.byNumber[n].Load(); k != nil {
		return *k
	}
	k := newGCM(derive(s.secret, fmt.Sprintf("%s/%d", s.purpose, n), 32))
	s.byNumber[n].Store(&k)
	return k
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("keys: aes: " + err.Error()) // only for a wrong key length
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("keys: gcm: " + err.Error())
	}
	return gcm
}

// Seal appends key number, nonce, ciphertext and tag of plain to dst. The same aad must be given to Open.
func (s *Sealer) Seal(dst, plain, aad []byte) []byte {
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	dst = append(dst, s.current)
	dst = append(dst, nonce[:]...)
	return s.generation(s.current).Seal(dst, nonce[:], plain, aad)
}

// Open appends the plain bytes of sealed to dst, or returns ErrSealed.
func (s *Sealer) Open(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] == 0 {
		return nil, ErrSealed
	}
	out, err := s.generation(sealed[0]).Open(dst, sealed[1:1+nonceSize], sealed[1+nonceSize:], aad)
	if err != nil {
		return nil, ErrSealed
	}
	return out, nil
}
