package codes

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/terminology"
)

var (
	allReleases   = db.SQL(`SELECT id, body FROM code_release WHERE practice_id = $1 ORDER BY id`)
	upsertRelease = db.SQL(`INSERT INTO code_release (practice_id, id, body) VALUES ($1, $2, $3) ON CONFLICT (practice_id, id) DO UPDATE SET body = excluded.body`)
	dropRelease   = db.SQL(`DELETE FROM code_release WHERE practice_id = $1 AND id = $2`)
	partsOf       = db.SQL(`SELECT body FROM code_part WHERE practice_id = $1 AND release_id = $2 AND part >= $3 AND part < $4 ORDER BY part`)
	addPart       = db.SQL(`INSERT INTO code_part (practice_id, release_id, part, body) VALUES ($1, $2, $3, $4) ON CONFLICT (practice_id, release_id, part) DO UPDATE SET body = excluded.body`)
	dropParts     = db.SQL(`DELETE FROM code_part WHERE practice_id = $1 AND release_id = $2 AND part >= $3`)
)

const (
	pieceSize    = 1 << 20
	mostUnpacked = 2 << 30
)

func releaseID(tx *db.Tx, r *Release) int64 {
	return tx.Keys().Hash("code-release", r.System, r.Version)
}

func aad(tx *db.Tx, what string, id, part int64) []byte {
	b := append([]byte(what), '|')
	b = binary.BigEndian.AppendUint64(b, uint64(tx.Practice()))
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	return binary.BigEndian.AppendUint64(b, uint64(part))
}

func damaged(cause error) error {
	return fhir.Problem("exception", "An imported code release is damaged and is not used.", "Remove it and import it again: yarrow import terminology.").Because(cause)
}

func selectReleases(ctx context.Context, tx *db.Tx) ([]Release, error) {
	rows, err := tx.Query(ctx, allReleases, int64(tx.Practice()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Release
	for rows.Next() {
		var id int64
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return nil, err
		}
		plain, err := tx.Keys().Open(nil, sealed, aad(tx, "code-release", id, 0))
		if err != nil {
			return nil, damaged(err)
		}
		var r Release
		if err := json.Unmarshal(plain, &r); err != nil {
			return nil, damaged(err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func putRelease(ctx context.Context, tx *db.Tx, r *Release) error {
	plain, err := json.Marshal(r)
	if err != nil {
		return err
	}
	id := releaseID(tx, r)
	_, err = tx.Exec(ctx, upsertRelease, int64(tx.Practice()), id, tx.Keys().Seal(nil, plain, aad(tx, "code-release", id, 0)))
	return err
}

// putPart writes one piece of the packed concepts.
func putPart(ctx context.Context, tx *db.Tx, r *Release, part int, piece []byte) error {
	id := releaseID(tx, r)
	_, err := tx.Exec(ctx, addPart, int64(tx.Practice()), id, part, tx.Keys().Seal(nil, piece, aad(tx, "code-part", id, int64(part))))
	return err
}

// trimParts removes what a former import of the same edition left behind the last part.
func trimParts(ctx context.Context, tx *db.Tx, r *Release, from int) error {
	_, err := tx.Exec(ctx, dropParts, int64(tx.Practice()), releaseID(tx, r), from)
	return err
}

func deleteRelease(ctx context.Context, tx *db.Tx, r *Release) error {
	if err := trimParts(ctx, tx, r, 0); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, dropRelease, int64(tx.Practice()), releaseID(tx, r))
	return err
}

// open gives a release's concepts, from memory or from the database.
func (s *Server) open(ctx context.Context, tx *db.Tx, r *Release) (*terminology.CodeSystem, error) {
	key := r.Sum
	if r.Tier == Own {
		key = fmt.Sprintf("%d|%s", tx.Practice(), r.Sum)
	}
	return s.resident(key, func() (*terminology.CodeSystem, int64, error) {
		id := releaseID(tx, r)
		var packed []byte
		for from := 0; from < r.Parts; from += 16 {
			if err := readParts(ctx, tx, id, from, from+16, &packed); err != nil {
				return nil, 0, err
			}
		}
		plain, err := expand(packed, r.Bytes)
		if err != nil {
			return nil, 0, damaged(err)
		}
		if sum := sha256.Sum256(plain); hex.EncodeToString(sum[:]) != r.Sum {
			return nil, 0, damaged(fmt.Errorf("the sum of %s %s differs", r.Kind, r.Version))
		}
		cs, err := terminology.Unpack(plain)
		if err != nil {
			return nil, 0, damaged(err)
		}
		return cs, 3 * r.Bytes, nil // the columns and the word index take about as much again, twice
	})
}

func readParts(ctx context.Context, tx *db.Tx, id int64, from, to int, into *[]byte) error {
	rows, err := tx.Query(ctx, partsOf, int64(tx.Practice()), id, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for part := int64(from); rows.Next(); part++ {
		var sealed []byte
		if err := rows.Scan(&sealed); err != nil {
			return err
		}
		if *into, err = tx.Keys().Open(*into, sealed, aad(tx, "code-part", id, part)); err != nil {
			return damaged(err)
		}
	}
	return rows.Err()
}

func squeeze(plain []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(plain, nil), nil
}

func expand(packed []byte, size int64) ([]byte, error) {
	if size > mostUnpacked {
		return nil, fmt.Errorf("%d bytes are too many", size)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(size)+1<<20))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(packed, make([]byte, 0, size))
}
