package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"yarrow.health/internal/base/keys"
)

// Signed is a signed checkpoint: its note is what may be given away and kept.
//
// The note is a checkpoint as C2SP tlog-checkpoint has it: origin, size and root (base64) on a line each, then the
// time it was signed, an empty line, and the Ed25519 signature of the practice's key.
type Signed struct {
	Checkpoint
	At   time.Time
	Note string
}

// originOf names a practice's log, and the key that signs it.
func originOf(practice int64) string {
	return "yarrow.health/audit/practice-" + strconv.FormatInt(practice, 10)
}

// PublicKey is the practice's verifier key in the form of golang.org/x/mod/sumdb/note: what somebody needs, beside
// an exported log, to check it.
func PublicKey(k *keys.Practice) string {
	vkey, err := note.NewEd25519VerifierKey(originOf(k.ID()), k.Signer().Public().(ed25519.PublicKey))
	if err != nil {
		panic("audit: " + err.Error()) // only for a name that cannot be
	}
	return vkey
}

// signer signs notes with the practice's key.
type signer struct {
	name string
	hash uint32
	k    *keys.Practice
}

func signerOf(k *keys.Practice) (signer, error) {
	v, err := note.NewVerifier(PublicKey(k))
	if err != nil {
		return signer{}, err
	}
	return signer{v.Name(), v.KeyHash(), k}, nil
}

// Name, KeyHash and Sign make it a note.Signer.
func (s signer) Name() string                    { return s.name }
func (s signer) KeyHash() uint32                 { return s.hash }
func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.k.Signer(), msg), nil }

func signCheckpoint(k *keys.Practice, c Checkpoint, at time.Time) (Signed, error) {
	s, err := signerOf(k)
	if err != nil {
		return Signed{}, err
	}
	text := fmt.Sprintf("%s\n%d\n%s\ntime %s\n", originOf(k.ID()), c.Position, base64.StdEncoding.EncodeToString(c.Hash[:]),
		at.UTC().Format(time.RFC3339))
	out, err := note.Sign(&note.Note{Text: text}, s)
	return Signed{c, at.UTC().Truncate(time.Second), string(out)}, err
}

// OpenCheckpoint checks the signature of a note and reads it. vkey is what [PublicKey] gave.
func OpenCheckpoint(text, vkey string) (Signed, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return Signed{}, fmt.Errorf("the public key cannot be read: %w", err)
	}
	n, err := note.Open([]byte(text), note.VerifierList(v))
	if err != nil {
		return Signed{}, fmt.Errorf("the checkpoint is not signed by this key: %w", err)
	}
	for _, sig := range n.Sigs { // the unused bits of its last character are signed by nobody
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Signed{}, fmt.Errorf("the checkpoint's signature was changed: %w", err)
		}
	}
	s, ok := parseCheckpoint(n.Text, v.Name())
	if !ok {
		return Signed{}, fmt.Errorf("the checkpoint cannot be read")
	}
	s.Note = text
	return s, nil
}

func parseCheckpoint(text, origin string) (s Signed, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) < 5 || lines[0] != origin {
		return s, false
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return s, false
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(s.Hash) {
		return s, false
	}
	at, isTime := strings.CutPrefix(lines[3], "time ")
	if s.At, err = time.Parse(time.RFC3339, at); err != nil || !isTime {
		return s, false
	}
	s.Position, s.Hash = size, [32]byte(root)
	return s, true
}
