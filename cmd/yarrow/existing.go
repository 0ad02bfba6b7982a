package main

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// openExisting is open for commands that work on data somebody has: they make no empty installation by a slip of the
// hand in --data.
func (p place) openExisting(ctx context.Context, out *output) (*ground, error) {
	if p.Database == "" && !db.HasData(p.Data) {
		return nil, fhir.Problem("not-found", fmt.Sprintf("There is no Yarrow data in %s.", p.Data),
			"Name the data folder with --data, or a PostgreSQL database with --database. A new folder begins with `yarrow practice add`.")
	}
	return p.open(ctx, out, who{})
}
