package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// The cluster is shared by every test process of a user on this machine. Its folder holds data, socket and log; it
// listens on the socket in that folder only. A lock file beside it lets one process at a time start it.

const (
	superuser = "postgres"
	owner     = "yarrow_owner"
	port      = "54329"
	remedy    = "dbtest: PostgreSQL 15 or later is needed: install it with `apt-get install postgresql-15`"
)

// settings trade nothing a test relies on: commits are flushed, so that durability is tested for real.
var settings = []string{
	"listen_addresses=''", "port=" + port, "fsync=on", "synchronous_commit=on", "max_connections=400",
	"shared_buffers=64MB", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=1GB", "checkpoint_timeout=30min",
	"autovacuum_naptime=10min", "logging_collector=off", "log_min_messages=warning", "jit=off",
}

type cluster struct {
	dir      string
	bin      string
	settings []string
	server   *syscall.Credential // whom the server runs as; nil: us
	held     *pgx.Conn           // open as long as the process lives, so that the watch does not find the server idle between two tests
}

func folder() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("yarrow-pg-%d-%s", os.Getuid(), port))
}

func (c *cluster) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s", role, database, c.dir, port)
}

// theCluster starts or finds the cluster, once per process.
var theCluster = sync.OnceValues(func() (*cluster, error) { return clusterIn(folder(), settings) })

// clusterIn starts or finds the cluster of a folder.
func clusterIn(dir string, settings []string) (*cluster, error) {
	bin, err := findPostgres()
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, bin: bin, settings: settings}
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("dbtest: running as root needs the user postgres: %w; %s", err, remedy)
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		c.server = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	err = c.locked(func() error {
		if err := c.start(); err != nil {
			return err
		}
		c.held, err = pgx.Connect(context.Background(), c.url(superuser, "postgres"))
		return err
	})
	return c, err
}

func findPostgres() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(found)
	slices.Reverse(found)
	if p, err := exec.LookPath("initdb"); err == nil {
		found = append(found, p)
	}
	for _, p := range found {
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p)))); err != nil || version >= 15 {
			return filepath.Dir(p), nil
		}
	}
	return "", errors.New(remedy)
}

// locked runs fn while no other test process starts the cluster.
func (c *cluster) locked(fn func() error) error {
	f, err := os.OpenFile(c.dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	return fn()
}

func (c *cluster) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.server}
	// The server inherits its starter's output: give it a file, or `go test` would wait for the server to end.
	out, err := os.CreateTemp("", "yarrow-pg-out")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("dbtest: %s: %w\n%s", name, err, said)
	}
	return nil
}

func (c *cluster) start() error {
	if conn, err := pgx.Connect(context.Background(), c.url(superuser, "postgres")); err == nil {
		return conn.Close(context.Background())
	}
	data := filepath.Join(c.dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return err
		}
		if c.server != nil {
			if err := os.Chown(c.dir, int(c.server.Uid), int(c.server.Gid)); err != nil {
				return err
			}
		}
		if err := c.run("initdb", "-D", data, "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
			return err
		}
	}
	options := []string{"-c unix_socket_directories='" + c.dir + "'"}
	for _, s := range c.settings {
		options = append(options, "-c "+s)
	}
	if err := c.run("pg_ctl", "-D", data, "-l", filepath.Join(c.dir, "log"), "-w", "-t", "60", "-o", strings.Join(options, " "), "start"); err != nil {
		return err
	}
	if err := c.watch(data); err != nil {
		return err
	}
	return c.super(func(conn *pgx.Conn) error {
		_, err := conn.Exec(context.Background(), `DO $$ BEGIN
			IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '`+owner+`') THEN
				CREATE ROLE `+owner+` LOGIN CREATEROLE;
			END IF; END $$`)
		return err
	})
}

// watch starts a small process that stops the server when no process of tests has held it for a quarter of an hour.
func (c *cluster) watch(data string) error {
	const script = `idle=0
while sleep 60; do
  n=$("$1/psql" -h "$2" -p "$3" -U "$4" -Atc "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()" postgres) || exit 0
  if [ "$n" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
  if [ "$idle" -ge 15 ]; then "$1/pg_ctl" -D "$5" -m fast stop; exit 0; fi
done`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", c.bin, c.dir, port, superuser, data)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.server}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// super runs fn on a connection as the superuser of the cluster.
func (c *cluster) super(fn func(conn *pgx.Conn) error) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.url(superuser, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return fn(conn)
}
