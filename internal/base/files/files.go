// Package files keeps the bytes of documents and images: encrypted, addressed by their content, written in the same transaction
// as the resource that points at them. The same bytes stored twice take space once. It knows nothing of what the bytes mean, and
// never serves a byte whose seal or hash does not hold.
//
// A blob lies in the practice's own database in sealed pieces, on both engines alike (docs/decisions/0003), so that it is moved,
// backed up, restored and destroyed with the practice, and so that no crash can leave a document without its bytes.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

const (
	// Largest is the size limit of one blob in bytes.
	Largest = 64 << 20
	piece   = 256 << 10
)

// Blob is a stored content: Ref names it for ever.
type Blob struct {
	Ref  string // "sha256-" and the hash in hex
	Type string // media type as declared by who brought it
	Size int64
}

// Prepared is content sealed and ready to be written. Preparing is the expensive half; it happens outside the transaction.
type Prepared struct {
	Blob
	practice db.PracticeID
	h        int64
	head     []byte
	parts    [][]byte
}

// Prepare hashes and seals content for a practice. It returns a too-long Issue over Largest.
func Prepare(p db.PracticeID, k *keys.Practice, content []byte, mediaType string) (*Prepared, error) {
	if len(content) > Largest {
		return nil, fhir.Problem("too-long", fmt.Sprintf("The file has %d MB; the limit is %d MB.", len(content)>>20, Largest>>20), "Send it in parts, or scan it at a lower resolution.")
	}
	sum := sha256.Sum256(content)
	ref := "sha256-" + hex.EncodeToString(sum[:])
	out := &Prepared{Blob: Blob{Ref: ref, Type: mediaType, Size: int64(len(content))}, practice: p, h: k.Hash("blob", ref)}
	head := append([]byte(nil), sum[:]...)
	head = binary.BigEndian.AppendUint64(head, uint64(len(content)))
	out.head = k.Seal(nil, append(head, mediaType...), aad(p, out.h, 0))
	for i := 0; i*piece < len(content); i++ {
		out.parts = append(out.parts, k.Seal(nil, content[i*piece:min(len(content), (i+1)*piece)], aad(p, out.h, int64(i+1))))
	}
	return out, nil
}

// Put writes prepared content in the caller's transaction. Content that is there already is left as it is.
func Put(ctx context.Context, tx *db.Tx, p *Prepared) (Blob, error) {
	if p.practice != tx.Practice() {
		return Blob{}, fhir.Problem("security", "A file of one practice was about to be stored in another.", "Report this; nothing was stored.")
	}
	return p.Blob, insertBlob(ctx, tx, p)
}

// Get reads a blob whole. It returns a not-found Issue for an unknown ref, and an integrity Issue when a seal or the hash fails.
func Get(ctx context.Context, tx *db.Tx, ref string) (Blob, []byte, error) {
	if !strings.HasPrefix(ref, "sha256-") {
		return Blob{}, nil, missing()
	}
	h := tx.Keys().Hash("blob", ref)
	parts, err := blobParts(ctx, tx, h)
	if err != nil {
		return Blob{}, nil, err
	}
	if len(parts) == 0 {
		return Blob{}, nil, missing()
	}
	var b Blob
	var content []byte
	for i, sealed := range parts {
		plain, err := tx.Keys().Open(nil, sealed, aad(tx.Practice(), h, int64(i)))
		if err != nil {
			return Blob{}, nil, damaged(err)
		}
		if i > 0 {
			content = append(content, plain...)
			continue
		}
		if len(plain) < sha256.Size+8 {
			return Blob{}, nil, damaged(nil)
		}
		size := binary.BigEndian.Uint64(plain[sha256.Size:])
		b = Blob{Ref: ref, Type: string(plain[sha256.Size+8:]), Size: int64(size)}
		content = make([]byte, 0, min(size, Largest))
	}
	if sum := sha256.Sum256(content); "sha256-"+hex.EncodeToString(sum[:]) != ref || int64(len(content)) != b.Size {
		return Blob{}, nil, damaged(nil)
	}
	return b, content, nil
}

func missing() error {
	return fhir.Problem("not-found", "This file is not stored here.", "Check the document it was opened from.")
}

func damaged(cause error) error {
	return fhir.Problem("exception", "The stored file is damaged and is not shown.", "Restore it from a backup; `yarrow doctor` names what else is damaged.").Because(cause)
}

// aad binds a piece to its place.
func aad(p db.PracticeID, h, part int64) []byte {
	b := binary.BigEndian.AppendUint64([]byte("blob|"), uint64(p))
	b = binary.BigEndian.AppendUint64(b, uint64(h))
	return binary.BigEndian.AppendUint64(b, uint64(part))
}
