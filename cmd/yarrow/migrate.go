package main

import (
	"context"
	"fmt"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

type migrate struct {
	Database string `required:"" help:"PostgreSQL database, as the owner of its tables: postgres://…" placeholder:"OWNER-URL" env:"YARROW_OWNER_DATABASE"`
	Role     string `help:"Role that serves; it is made when it does not exist." default:"yarrow_app"`
}

func (c *migrate) Run(ctx context.Context, out *output) error {
	if !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		return fhir.Problem("value", "This is not the address of a PostgreSQL database.", "Write --database postgres://owner:password@host:5432/database. An embedded database is brought up to date when it is opened.")
	}
	if err := db.Migrate(ctx, c.Database, c.Role); err != nil {
		return err
	}
	fmt.Fprintf(out.text, "The database has the schema of this version. Serve it as role %s.\n", c.Role)
	return nil
}
