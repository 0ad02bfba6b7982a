package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"yarrow.health/internal/base/keys"
)

// Checkpoint says how far the log reaches: the number of its sequenced entries, which is the position of the last,
// from 1, and the root of the Merkle tree over them (RFC 6962 §2.1). Kept elsewhere, it proves later that nothing up
// to it was changed, cut off or rolled back.
type Checkpoint struct {
	Position int64
	Hash     [sha256.Size]byte
}

const saltSize = 16

// leafText is what an entry's leaf hash is taken of: "yarrow audit 1", practice, position and id as 8 bytes
// big-endian each, salt, canonical bytes. The salt keeps whoever holds hashes, in a proof, from guessing what an
// entry says.
func leafText(practice, position, id int64, salt, canonical []byte) []byte {
	out := append(make([]byte, 0, 64+len(canonical)), "yarrow audit 1"...)
	for _, n := range [...]int64{practice, position, id} {
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	return append(append(out, salt...), canonical...)
}

// saltOf is the salt of an entry: keyed, so that it need not be stored, under a key that never changes.
func saltOf(k *keys.Practice, id int64) []byte {
	text := string(binary.BigEndian.AppendUint64(nil, uint64(id)))
	out := make([]byte, 0, saltSize)
	out = binary.BigEndian.AppendUint64(out, uint64(k.Hash("audit.salt.a", text)))
	return binary.BigEndian.AppendUint64(out, uint64(k.Hash("audit.salt.b", text)))
}

func leafOf(k *keys.Practice, practice, position int64, i item) tlog.Hash {
	return tlog.RecordHash(leafText(practice, position, i.id, saltOf(k, i.id), i.bytes))
}

// edge is a growing tree: the hashes of the complete subtrees that cover its leaves, the largest first.
type edge struct {
	size   int64
	hashes []tlog.Hash
}

// node is a subtree that became complete.
type node struct {
	level int
	n     int64 // its number at that level
	hash  tlog.Hash
}

// storedLevel is the smallest subtree whose hash is kept: 2^storedLevel entries.
const storedLevel = 8

// add appends a leaf and reports the subtrees of storedLevel and more that it completes.
func (e *edge) add(leaf tlog.Hash, complete func(node)) {
	h := leaf
	for level := 0; ; level++ {
		if level >= storedLevel && complete != nil {
			complete(node{level, e.size >> level, h})
		}
		if e.size>>level&1 == 0 {
			break
		}
		last := len(e.hashes) - 1
		h = tlog.NodeHash(e.hashes[last], h)
		e.hashes = e.hashes[:last]
	}
	e.hashes = append(e.hashes, h)
	e.size++
}

func (e *edge) root() [sha256.Size]byte {
	if e.size == 0 {
		return sha256.Sum256(nil)
	}
	h := e.hashes[len(e.hashes)-1]
	for i := len(e.hashes) - 2; i >= 0; i-- {
		h = tlog.NodeHash(e.hashes[i], h)
	}
	return h
}

func (e *edge) checkpoint() Checkpoint {
	if e.size == 0 {
		return Checkpoint{}
	}
	return Checkpoint{e.size, e.root()}
}

func (e *edge) bytes() []byte {
	out := make([]byte, 0, len(e.hashes)*sha256.Size)
	for _, h := range e.hashes {
		out = append(out, h[:]...)
	}
	return out
}

// edgeOf reads bytes; ok is false when they cannot be those of a tree of that size.
func edgeOf(size int64, b []byte) (e edge, ok bool) {
	if len(b) != bits.OnesCount64(uint64(size))*sha256.Size || size < 0 {
		return e, false
	}
	e.size = size
	for ; len(b) > 0; b = b[sha256.Size:] {
		e.hashes = append(e.hashes, tlog.Hash(b[:sha256.Size]))
	}
	return e, true
}

// placeOf is the number under which audit_tree keeps a subtree.
func placeOf(n node) int64 { return tlog.StoredHashIndex(n.level, n.n) }
