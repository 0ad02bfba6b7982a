package codes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/terminology"
)

var (
	readClosure = db.SQL(`SELECT body FROM code_closure WHERE practice_id = $1 AND h = $2`)
	putClosure  = db.SQL(`INSERT INTO code_closure (practice_id, h, body) VALUES ($1, $2, $3) ON CONFLICT (practice_id, h) DO UPDATE SET body = excluded.body`)
)

// Grow does $closure: without codings and version it begins the table anew; with codings it adds them and gives what is new; with a
// version it gives what came after it. The table belongs to the client that names it.
func (s *Server) Grow(ctx context.Context, tx *db.Tx, client, name string, codings []terminology.Coding, version int) (*terminology.Closure, []terminology.ClosurePair, error) {
	if name == "" || len(name) > 200 {
		return nil, nil, problem("required", "The closure table has no name.", "Give the parameter name.")
	}
	h := tx.Keys().Hash("closure", client, name)
	seal := aad(tx, "code-closure", h, 0)
	var c terminology.Closure
	var sealed []byte
	err := tx.QueryRow(ctx, readClosure, int64(tx.Practice()), h).Scan(&sealed)
	known := err == nil
	switch {
	case errors.Is(err, db.ErrNoRows):
	case err != nil:
		return nil, nil, err
	default:
		plain, err := tx.Keys().Open(nil, sealed, seal)
		if err == nil {
			err = json.Unmarshal(plain, &c)
		}
		if err != nil {
			return nil, nil, problem("exception", "The closure table is damaged.", "Begin it anew: call $closure with the name alone.").Because(err)
		}
	}
	var fresh []terminology.ClosurePair
	switch {
	case version >= 0 && len(codings) > 0:
		return nil, nil, problem("invalid", "Concepts and version exclude each other.", "Send one of them.")
	case version >= 0:
		if !known || version > c.Version {
			return nil, nil, problem("not-found", fmt.Sprintf("The closure table %q has no version %d.", name, version), "Begin it anew: call $closure with the name alone.")
		}
		return &c, c.Since(version), nil
	case len(codings) == 0:
		c = terminology.Closure{}
	case !known:
		return nil, nil, problem("not-found", fmt.Sprintf("There is no closure table %q.", name), "Begin it: call $closure with the name alone.")
	default:
		if fresh, err = c.Add(s.shelf(ctx, tx), codings); err != nil {
			return nil, nil, err
		}
	}
	plain, err := json.Marshal(&c)
	if err != nil {
		return nil, nil, err
	}
	_, err = tx.Exec(ctx, putClosure, int64(tx.Practice()), h, tx.Keys().Seal(nil, plain, seal))
	return &c, fresh, err
}

// Systems lists the code systems a practice can ask about, as address and version: its editions, then what is built in.
func (s *Server) Systems(ctx context.Context, p db.PracticeID) ([]terminology.Head, error) {
	list, err := s.lateReleases(ctx, p)
	if err != nil {
		return nil, err
	}
	var out []terminology.Head
	for _, r := range list {
		out = append(out, terminology.Head{URL: r.System, Version: r.Version, Name: r.Name, Content: "complete", Licence: r.Licence})
	}
	return append(out, terminology.BuiltInSystems()...), nil
}
