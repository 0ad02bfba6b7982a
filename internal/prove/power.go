package prove

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"yarrow.health/internal/base/clock"
)

// Power asks for power cuts. It needs root, /dev/fuse, loop devices, and the programs nbdfuse, losetup, mkfs.ext4 and mount (Debian
// package libnbd-bin); [ErrNoDevice] says that they are not there.
type Power struct {
	// Postgres is the folder of PostgreSQL's programs, such as /usr/lib/postgresql/15/bin: a server of its own then runs on the
	// device. "" is the embedded database.
	Postgres string
}

// ErrNoDevice is the error of a machine on which no device can be made that forgets.
var ErrNoDevice = errors.New("the power cannot be cut here")

const (
	deviceSize     = 2 << 30
	deviceWithin   = 3 * time.Minute // recovery on a busy machine takes its time
	deviceDatabase = "prove"
	deviceOwner    = "prove_owner"
	deviceApp      = "prove_app"
)

// device is a [disk] with a volatile cache, as a block device with an ext4 of its own. What was written and not flushed when its power
// is cut is lost in one cut of four; in the others each sector of it is kept by a lot whose chance the cut draws, so that blocks are
// torn and later writes come through where earlier ones did not. What it does not do: let what was flushed decay.
type device struct {
	r        *Run
	dir      string // of sockets and the image
	mount    string
	postgres string // folder of programs
	port     int
	lying    bool
	disk     *disk
	draw     *rand.Rand // of what a cut leaves
	nbd      *exec.Cmd
	loop     string
	database *exec.Cmd
}

// newDevice makes a device and an empty file system, and on it PostgreSQL when that was asked for.
func (r *Run) newDevice(ctx context.Context, p Power) (*device, error) {
	for _, program := range []string{"nbdfuse", "losetup", "mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: there is no %s (Debian packages libnbd-bin, e2fsprogs, mount)", ErrNoDevice, program)
		}
	}
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: it takes root and /dev/fuse", ErrNoDevice)
	}
	d := &device{r: r, dir: filepath.Join(r.Dir, "device"), mount: filepath.Join(r.Dir, "mount"), postgres: p.Postgres, draw: r.random(2)}
	for _, dir := range []string{d.dir, d.mount, d.fuse()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	// PostgreSQL runs as its own user, who must get to the mount.
	if err := errors.Join(os.Chmod(r.Dir, 0o755), os.WriteFile(d.image(), nil, 0o600), os.Truncate(d.image(), deviceSize)); err != nil {
		return nil, err
	}
	if err := d.attach(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoDevice, err), d.remove())
	}
	err := d.command(ctx, "mkfs.ext4", "-q", "-F", d.loop)
	if err == nil {
		err = d.command(ctx, "mount", d.loop, d.mount)
	}
	if err == nil && p.Postgres != "" {
		err = d.newDatabase(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

func (d *device) image() string  { return filepath.Join(d.dir, "image") }
func (d *device) socket() string { return filepath.Join(d.dir, "socket") }
func (d *device) fuse() string   { return filepath.Join(d.dir, "fuse") }
func (d *device) block() string  { return filepath.Join(d.fuse(), "disk") }

// command runs a program of the system to its end.
func (d *device) command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("prove: %s: %w: %.300s", name, err, out)
	}
	return nil
}

// attach makes the device of the image, up to the loop device.
func (d *device) attach(ctx context.Context) error {
	_ = os.Remove(d.socket())
	var err error
	if d.disk, err = newDisk(d.image(), d.socket(), d.lying); err != nil {
		return err
	}
	d.nbd = exec.Command("nbdfuse", d.block(), "--unix", d.socket())
	d.nbd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.nbd.Start(); err != nil {
		return err
	}
	if err := d.until(ctx, d.block(), func() bool { _, err := os.Stat(d.block()); return err == nil }); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "losetup", "-f", "--show", d.block()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("prove: losetup: %w: %.300s", err, out)
	}
	d.loop = strings.TrimSpace(string(out))
	return nil
}

// until waits until something is so.
func (d *device) until(ctx context.Context, what string, so func() bool) error {
	began := clock.System().Now()
	for !so() {
		if clock.System().Since(began) > deviceWithin {
			return fmt.Errorf("prove: %s does not come about", what)
		}
		if err := clock.System().Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// cut ends the device first, then PostgreSQL and the server, which end notices.
func (d *device) cut(server func()) error {
	var err error
	if d.disk != nil {
		if d.draw.IntN(2) == 0 {
			d.push()
		}
		chance := 0.0
		if !d.lying && d.draw.IntN(4) > 0 { // one that lies shows it best when it loses everything
			chance = d.draw.Float64()
		}
		var kept, lost int64
		kept, lost, err = d.disk.cut(d.draw, chance)
		d.r.Count("sectors that were not flushed: kept", kept)
		d.r.Count("sectors that were not flushed: lost", lost)
		if kept > 0 && lost > 0 {
			d.r.Count("cuts that left a part", 1)
		}
		d.disk = nil
	}
	if d.database != nil {
		for _, pid := range family(d.database.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		end(&d.database)
	}
	server()
	d.detach()
	return err
}

// push has files written to the disk that nobody has flushed yet, so that a cut finds something to leave a part of.
func (d *device) push() {
	_ = filepath.WalkDir(d.mount, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // the database works on meanwhile
		}
		if f, err := os.Open(path); err == nil {
			push(f)
			_ = f.Close()
		}
		return nil
	})
	_ = clock.System().Sleep(context.Background(), time.Duration(d.draw.IntN(30))*time.Millisecond)
}

// family is a process and its children.
func family(pid int) []int {
	out := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

func end(cmd **exec.Cmd) {
	if *cmd != nil && (*cmd).Process != nil {
		_ = (*cmd).Process.Kill()
		_ = (*cmd).Wait()
	}
	*cmd = nil
}

// detach takes away what hangs on a dead device.
func (d *device) detach() {
	ctx := context.Background()
	_ = d.command(ctx, "umount", "-l", d.mount)
	if d.loop != "" {
		_ = d.command(ctx, "losetup", "-d", d.loop)
		d.loop = ""
	}
	end(&d.nbd)
	_ = d.command(ctx, "umount", "-l", d.fuse())
}

// plugIn gives the device its power back: the file system recovers by its journal, and PostgreSQL by its log.
func (d *device) plugIn(ctx context.Context) error {
	if err := d.attach(ctx); err != nil {
		return err
	}
	if err := d.command(ctx, "mount", d.loop, d.mount); err != nil {
		return err
	}
	if d.postgres != "" {
		return d.startDatabase(ctx)
	}
	return nil
}

// lie has everything so far kept, and every flush from now on ignored.
func (d *device) lie(ctx context.Context) error {
	if d.database != nil {
		if err := d.command(ctx, filepath.Join(d.postgres, "psql"), "-h", d.mount, "-p", strconv.Itoa(d.port), "-U", "postgres", "-qc", "CHECKPOINT", "postgres"); err != nil {
			return err
		}
	}
	syscall.Sync()
	if err := d.cut(func() {}); err != nil {
		return err
	}
	d.lying = true
	return d.plugIn(ctx)
}

// remove ends everything.
func (d *device) remove() error {
	cut := d.cut(func() {})
	if err := os.Remove(d.mount); err != nil && !errors.Is(err, fs.ErrNotExist) { // not what is below it, should it still be mounted
		return fmt.Errorf("prove: the device is still mounted: %w", err)
	}
	return cut
}

// newDatabase makes PostgreSQL on the device, with its two roles.
func (d *device) newDatabase(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return err
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoDevice, err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	data := filepath.Join(d.mount, "pg")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Chown(data, uid, gid), os.Chmod(d.mount, 0o777)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(d.postgres, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums")
	cmd.SysProcAttr, cmd.Dir = asUser(uid, gid), "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("prove: initdb: %w: %.300s", err, out)
	}
	if err := d.startDatabase(ctx); err != nil {
		return err
	}
	for _, sql := range []string{"CREATE ROLE " + deviceOwner + " LOGIN", "CREATE ROLE " + deviceApp + " LOGIN", "CREATE DATABASE " + deviceDatabase + " OWNER " + deviceOwner} {
		if err := d.command(ctx, filepath.Join(d.postgres, "psql"), "-h", d.mount, "-p", strconv.Itoa(d.port), "-U", "postgres", "-qc", sql, "postgres"); err != nil {
			return err
		}
	}
	address := func(role string) string {
		return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%d", role, deviceDatabase, d.mount, d.port)
	}
	d.r.Engine = Engine{App: address(deviceApp), Owner: address(deviceOwner)}
	d.r.report.Engine = d.r.Engine.String()
	return nil
}

func asUser(uid, gid int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, Setpgid: true}
}

// startDatabase starts PostgreSQL as it comes: fsync and synchronous_commit are on by themselves.
func (d *device) startDatabase(ctx context.Context) error {
	data := filepath.Join(d.mount, "pg")
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	_ = os.Remove(filepath.Join(data, "postmaster.pid")) // of a server that lost its power
	d.database = exec.Command(filepath.Join(d.postgres, "postgres"), "-D", data, "-k", d.mount, "-p", strconv.Itoa(d.port), "-c", "listen_addresses=")
	d.database.SysProcAttr, d.database.Dir = asUser(int(owner.Uid), int(owner.Gid)), "/"
	if err := d.database.Start(); err != nil {
		return err
	}
	return d.until(ctx, "PostgreSQL", func() bool {
		return d.command(ctx, filepath.Join(d.postgres, "psql"), "-h", d.mount, "-p", strconv.Itoa(d.port), "-U", "postgres", "-Atqc", "SELECT 1", "postgres") == nil
	})
}
