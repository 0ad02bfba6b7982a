package fhirstore

import (
	"context"
	"errors"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Read returns the current version of a resource. What does not exist and what the scope may not see give
// the same not-found Issue; a deleted resource that it could see gives one with the code deleted.
func (s *Store) Read(ctx context.Context, tx *db.Tx, typ, id string) (*Resource, error) {
	r, err := s.visible(ctx, tx, typ, id)
	if err != nil {
		return nil, err
	}
	if r.deleted {
		return nil, fhir.Problem("deleted", "This "+typ+" was deleted.", "Its earlier versions are in its history.")
	}
	return s.resource(tx, r)
}

// visible returns the row of a resource, or an Issue when the scope may not see it.
func (s *Store) visible(ctx context.Context, tx *db.Tx, typ, id string) (*row, error) {
	a := s.kernel(tx)
	if err := a.may(typ, auth.CanRead); err != nil {
		return nil, err
	}
	r, err := byID(ctx, tx, a.k.id(typ, id))
	if err != nil {
		return nil, err
	}
	if r == nil || r.span == spanExpunged {
		return nil, notFound(typ)
	}
	if seen, err := a.sees(ctx, tx, r, auth.CanRead); err != nil {
		return nil, err
	} else if !seen {
		return nil, notFound(typ)
	}
	return r, nil
}

// ReadMany returns the current versions of the resources named by "Type/id", in one round trip. Those that
// do not exist, are deleted or may not be seen are missing from the map.
func (s *Store) ReadMany(ctx context.Context, tx *db.Tx, refs []string) (map[string]*Resource, error) {
	a := s.kernel(tx)
	ids := make([]int64, 0, len(refs))
	for _, ref := range refs {
		typ, id, ok := strings.Cut(ref, "/")
		if ok && a.may(typ, auth.CanRead) == nil {
			ids = append(ids, a.k.id(typ, id))
		}
	}
	out := make(map[string]*Resource, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := scanRows(tx.Query(ctx, selectByIDs, int64(tx.Practice()), ids))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.deleted {
			continue
		}
		if seen, err := a.sees(ctx, tx, r, auth.CanRead); err != nil {
			return nil, err
		} else if !seen {
			continue
		}
		res, err := s.resource(tx, r)
		if err != nil {
			return nil, err
		}
		out[res.Reference()] = res
	}
	return out, nil
}

var (
	selectVersion = db.SQL(`SELECT version, seq, labels, deleted, body FROM history
		WHERE practice_id = $1 AND rid = $2 AND version = $3`)
	selectHistory = db.SQL(`SELECT version, seq, labels, deleted, body FROM history
		WHERE practice_id = $1 AND rid = $2 AND version < $3 ORDER BY version DESC LIMIT $4`)
)

// ReadVersion returns one version of a resource that the scope may see now. A version that the scope could not see as it
// was, because of its labels or because it was about another patient, is not found.
func (s *Store) ReadVersion(ctx context.Context, tx *db.Tx, typ, id string, version int64) (*Resource, error) {
	r, err := s.visible(ctx, tx, typ, id)
	if err != nil {
		return nil, err
	}
	if version != r.version {
		v := *r
		err := scanVersion(&v, tx.QueryRow(ctx, selectVersion, int64(tx.Practice()), r.rid, version))
		if errors.Is(err, db.ErrNoRows) {
			return nil, notFound(typ)
		}
		if err != nil {
			return nil, err
		}
		a := s.kernel(tx)
		if seen, err := s.seesVersion(&a, tx, &v, auth.CanRead); err != nil {
			return nil, err
		} else if !seen {
			return nil, notFound(typ)
		}
		r = &v
	}
	if r.deleted {
		return nil, fhir.Problem("deleted", "This version is the deletion of the "+typ+".", "Read an earlier version.")
	}
	return s.resource(tx, r)
}

func scanVersion(v *row, from scanner) error {
	var deleted int64
	err := from.Scan(&v.version, &v.seq, &v.labels, &deleted, &v.sealed)
	v.deleted = deleted != 0
	return err
}

// History returns up to limit versions of a resource below version before (0: from the current one), newest
// first; deletions are among them with Deleted set. Versions the scope could not see as they were are left out.
func (s *Store) History(ctx context.Context, tx *db.Tx, typ, id string, before int64, limit int) ([]*Resource, error) {
	r, err := s.visible(ctx, tx, typ, id)
	if err != nil {
		return nil, err
	}
	limit = min(max(limit, 1), 1000)
	var out []*Resource
	if before == 0 || before > r.version {
		res, err := s.resource(tx, r)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
		before = r.version
	}
	rows, err := tx.Query(ctx, selectHistory, int64(tx.Practice()), r.rid, before, int64(limit-len(out)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	a := s.kernel(tx)
	for rows.Next() {
		v := *r
		if err := scanVersion(&v, rows); err != nil {
			return nil, err
		}
		if seen, err := s.seesVersion(&a, tx, &v, auth.CanRead); err != nil {
			return nil, err
		} else if !seen {
			continue
		}
		res, err := s.resource(tx, &v)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	return out, rows.Err()
}

// Edit reads a resource into a struct, lets change alter it, and writes what was altered onto the stored
// bytes, so that elements the struct does not know survive. ifVersion is the version the change was made
// on (0: the current one). An error of change is returned and nothing is written.
func Edit[T any](ctx context.Context, s *Store, tx *db.Tx, typ, id string, ifVersion int64, change func(*T) error) (*Resource, error) {
	r, err := s.Read(ctx, tx, typ, id)
	if err != nil {
		return nil, err
	}
	before, err := Get[T](r)
	if err != nil {
		return nil, err
	}
	// Decode again rather than copy: change may alter what slices and pointers share.
	after, err := Get[T](r)
	if err != nil {
		return nil, err
	}
	if err := change(&after); err != nil {
		return nil, err
	}
	raw, err := fhir.Merge(r.Raw, &before, &after)
	if err != nil {
		return nil, err
	}
	p, err := s.Prepare(ctx, raw)
	if err != nil {
		return nil, err
	}
	if ifVersion == 0 {
		ifVersion = r.Version
	}
	return s.Update(ctx, tx, p, ifVersion)
}
