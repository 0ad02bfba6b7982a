package db

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/standards/fhir"
)

// Practice tables and system tables live in schemas of their own, so that both may have, say, a table job. Each schema
// has its own pool: a connection never changes its search path, and its prepared statements stay true.
const (
	practiceSchema = "yarrow"
	systemSchema   = "yarrow_system"

	defaultPool = 32 // writers waiting for the disk share its flush, so more than processors helps
	systemPool  = 8
	retireAfter = time.Hour // a long-lived server process grows with what it has cached
)

type pgPool struct{ *puddle.Pool[*pgConn] }

// pgConn is a server connection with the statements prepared on it.
type pgConn struct {
	c        *pgconn.PgConn
	prepared map[*Stmt]map[string]*pgNamed // by statement and argument types
	raw      map[string]string             // BEGIN and the like, to name
	practice PracticeID                    // whose the connection is, System while it is nobody's; see pgSession.own
	named    int
	born     time.Time

	// A View ends with a COMMIT nobody needs to wait for. Its answer is read when the connection is next used.
	ending *pgconn.Pipeline
	cut    bool // its transaction's context ended: nothing on it can be relied on
}

// pgNamed is a statement the server has prepared. Once its columns are known, it is carried out without asking for them again.
type pgNamed struct {
	name string
	desc *pgconn.StatementDescription // nil before the answer
}

// settle reads the answer that is still due. It says whether the connection can be used.
func (pc *pgConn) settle() bool {
	if pc.ending == nil {
		return true
	}
	err := pc.ending.Close()
	pc.ending = nil
	return err == nil && !pc.c.IsClosed() && pc.c.TxStatus() == 'I'
}

func newPool(url, schema string) (*pgPool, error) {
	conf, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fhir.Problem("value", "The database URL cannot be read.",
			"Write it as postgres://user:password@host:5432/database.").Because(errors.New("pgx: ParseConfig failed")) // its text may hold the password
	}
	size := conf.MaxConns
	if schema == systemSchema {
		size = systemPool
	} else if size <= int32(max(4, runtime.NumCPU())) { // pgxpool's default, not a wish
		size = defaultPool
	}
	c := &conf.ConnConfig.Config
	for k, v := range map[string]string{
		"search_path":      schema,
		"application_name": "yarrow",
		"timezone":         "UTC",
		"jit":              "off",
		// Do says that it writes; what stands in no transaction of its own cannot.
		"default_transaction_read_only": "on",
		// A plan made for the values at hand asks the statistics about this practice. They do not know one that just came, or
		// just took its records in; PostgreSQL then expects no rows, takes any index, and reads the practice for every row it
		// looks up. A plan made for any practice expects the average one.
		"plan_cache_mode": "force_generic_plan",
		// What searches look up is a row by its number, never the same one twice: remembering it is work for nothing.
		"enable_memoize": "off",
	} {
		c.RuntimeParams[k] = v
	}
	pool, err := puddle.NewPool(&puddle.Config[*pgConn]{
		MaxSize: size,
		Constructor: func(ctx context.Context) (*pgConn, error) {
			conn, err := pgconn.ConnectConfig(ctx, c)
			if err != nil {
				return nil, unreachable(err)
			}
			return &pgConn{c: conn, prepared: make(map[*Stmt]map[string]*pgNamed), born: clock.System().Now()}, nil
		},
		Destructor: func(pc *pgConn) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := pc.c.Conn().SetReadDeadline(time.Unix(1, 0)); err == nil {
				pc.settle()
			}
			_ = pc.c.Close(ctx)
		},
	})
	if err != nil {
		return nil, err
	}
	return &pgPool{pool}, nil
}

func unreachable(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fhir.Problem("exception", fmt.Sprintf("PostgreSQL refused the connection (%s).", pg.Code),
			"Check the user, the password and the database in the database URL.").Because(err)
	}
	return fhir.Problem("transient", "PostgreSQL cannot be reached.",
		"Check that the server runs and that host and port in the database URL are right.").Because(err)
}

// release gives a connection back when it is in order, and ends it otherwise.
func (p *pgPool) release(res *puddle.Resource[*pgConn]) {
	pc := res.Value()
	if pc.cut || pc.c.IsClosed() || (pc.ending == nil && (pc.c.IsBusy() || pc.c.TxStatus() != 'I')) ||
		pc.named > 2*preparedLimit || clock.System().Since(pc.born) > retireAfter {
		res.Destroy()
		return
	}
	res.Release()
}

// acquire takes an idle connection or makes one.
func (p *pgPool) acquire(ctx context.Context) (*puddle.Resource[*pgConn], error) {
	for {
		res, err := p.Acquire(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if res.Value().settle() {
			return res, nil
		}
		res.Destroy()
	}
}
