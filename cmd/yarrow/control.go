package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// controlName is the socket in the data folder of a running server (mode 0600): who may read the folder's files may speak to it.
const controlName = "control.sock"

// controlLimit is the most that an order may hold, in bytes.
const controlLimit = 1 << 20

// order is a command on its way to the server that has the data folder: its words, and its flags and arguments as they were read,
// with files named from the root.
type order struct {
	Version  string
	Words    []string
	Commands json.RawMessage
	Terminal bool // progress is shown in place
}

// frame is a piece of what the command says, or its end.
type frame struct {
	Text []byte `json:",omitempty"` // for standard output
	Errs []byte `json:",omitempty"` // for standard error
	Exit *int   `json:",omitempty"`
}

// placed is a command that works on the data of a place.
type placed interface{ where() place }

func (p place) where() place { return p }

// remote has the running server of the command's data folder carry it out, if there is one; served is false when the command is to
// open the data itself. Servers, and commands that work on keys or the schema alone, always do.
func remote(ctx context.Context, k *kong.Context, c *commands, out *output) (exit int, served bool, err error) {
	words := commandWords(k)
	switch words[0] {
	case "serve", "demo", "keys", "migrate":
		return 0, false, nil
	}
	target, err := commandAt(c, words)
	if err != nil {
		return 0, false, err
	}
	p, ok := target.Addr().Interface().(placed)
	if !ok || p.where().Database != "" {
		return 0, false, nil
	}
	conn, err := dialControl(p.where().Data)
	if err != nil {
		return 0, false, nil // nobody serves it: what the folder's lock says then holds
	}
	defer conn.Close()
	if err := fromRoot(k); err != nil {
		return 0, true, err
	}
	if v, ok := target.Addr().Interface().(interface{ vouch() error }); ok {
		if err := v.vouch(); err != nil {
			return 0, true, err
		}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return 0, true, err
	}
	if err := json.NewEncoder(conn).Encode(order{version, words, body, out.terminal}); err != nil {
		return 0, true, unanswered(err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.CloseWrite() })() // Ctrl+C: the server stops the command and says what is kept
	frames := json.NewDecoder(conn)
	for {
		var f frame
		if err := frames.Decode(&f); err != nil {
			return 0, true, unanswered(err)
		}
		_, _ = out.text.Write(f.Text)
		_, _ = out.errs.Write(f.Errs)
		if f.Exit != nil {
			return *f.Exit, true, nil
		}
	}
}

func unanswered(err error) error {
	return fhir.Problem("exception", "The server that has the data folder ended before the command was done.", "What was acknowledged is kept. Run the command again.").Because(err)
}

// commandWords are the words of the command that was chosen: "import", "fhir".
func commandWords(k *kong.Context) (words []string) {
	for n := k.Selected(); n != nil && n.Type == kong.CommandNode; n = n.Parent {
		words = append([]string{n.Name}, words...)
	}
	if len(words) == 0 {
		words = []string{""}
	}
	return words
}

// commandAt finds a command's struct by its words.
func commandAt(c *commands, words []string) (reflect.Value, error) {
	v := reflect.ValueOf(c).Elem()
next:
	for _, w := range words {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if _, is := f.Tag.Lookup("cmd"); is && strings.EqualFold(cmp.Or(f.Tag.Get("name"), f.Name), w) {
				v = v.Field(i)
				continue next
			}
		}
		return reflect.Value{}, fmt.Errorf("there is no command %q", strings.Join(words, " "))
	}
	return v, nil
}

// fromRoot names the command's files and folders from the root: the server stands in another folder.
func fromRoot(k *kong.Context) error {
	var values []*kong.Value
	for _, group := range k.Selected().AllFlags(false) {
		for _, f := range group {
			values = append(values, f.Value)
		}
	}
	values = append(values, k.Selected().Positional...)
	for _, v := range values {
		if h := v.Tag.PlaceHolder; h != "FILE" && h != "DIR" && v.Tag.Type != "existingfile" && v.Name != "file" {
			continue
		}
		paths := []reflect.Value{v.Target}
		if v.Target.Kind() == reflect.Slice {
			paths = paths[:0]
			for i := range v.Target.Len() {
				paths = append(paths, v.Target.Index(i))
			}
		}
		for _, p := range paths {
			if p.Kind() != reflect.String || p.String() == "" {
				continue
			}
			abs, err := filepath.Abs(p.String())
			if err != nil {
				return err
			}
			p.SetString(abs)
		}
	}
	return nil
}

// shortly gives a socket's path in a form that fits into an address (about 100 bytes); done ends its use.
func shortly(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, controlName)
	if len(path) < 90 {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), controlName), func() { d.Close() }, nil
}

func dialControl(dir string) (*net.UnixConn, error) {
	path, done, err := shortly(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
}

// control is the listening half: commands of other processes are carried out on the server's own data.
type control struct {
	g    *ground
	data string
	l    *net.UnixListener
}

// openControl opens the socket in the data folder, whose lock this process has. It comes into its place ready and closed to others.
func openControl(g *ground, data string) (*control, error) {
	path, done, err := shortly(data)
	if err != nil {
		return nil, notListening(err)
	}
	defer done()
	_ = os.Remove(path + ".new") // of a server that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".new", Net: "unix"})
	if err != nil {
		return nil, notListening(err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(path+".new", 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		l.Close()
		return nil, notListening(err)
	}
	return &control{g: g, data: data, l: l}, nil
}

func notListening(err error) error {
	return fhir.Problem("exception", "The control socket cannot be made in the data folder.", "The folder must be on a local file system that this user may write to.").Because(err)
}

// run carries out commands until ctx ends; those at work are stopped then, and say what is kept.
func (c *control) run(ctx context.Context) error {
	var work errgroup.Group
	stop := context.AfterFunc(ctx, func() {
		_ = os.Remove(filepath.Join(c.data, controlName))
		c.l.Close()
	})
	defer stop()
	for {
		conn, err := c.l.AcceptUnix()
		if err != nil {
			_ = work.Wait()
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		work.Go(func() error {
			defer conn.Close()
			c.serve(ctx, conn)
			return nil
		})
	}
}

// serve carries out one command.
func (c *control) serve(ctx context.Context, conn *net.UnixConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var o order
	in := json.NewDecoder(io.LimitReader(conn, controlLimit))
	if err := in.Decode(&o); err != nil {
		return
	}
	go func() { // the other end says nothing more; when it closes, the person has stopped the command
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	var mu sync.Mutex
	enc := json.NewEncoder(conn)
	send := func(f frame) error {
		mu.Lock()
		defer mu.Unlock()
		return enc.Encode(f)
	}
	text := speaker(func(p []byte) error { return send(frame{Text: p}) })
	errs := speaker(func(p []byte) error { return send(frame{Errs: p}) })
	out := &output{text: text, errs: errs, log: slog.New(slog.NewJSONHandler(errs, nil)), terminal: o.Terminal, ground: c.g}
	exit := out.exit(func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				c.g.log.Error("a command failed", "command", strings.Join(o.Words, " "), "panic", fmt.Sprintf("%T", v))
				err = fhir.Problem("exception", "The command failed.", "What was acknowledged is kept. The server's log says more.")
			}
		}()
		return o.run(ctx, out)
	})
	_ = send(frame{Exit: &exit})
}

// speaker is one of a command's two outputs.
type speaker func(p []byte) error

func (s speaker) Write(p []byte) (int, error) { return len(p), s(p) }

// run carries out an order as main would.
func (o order) run(ctx context.Context, out *output) error {
	if o.Version != version {
		return fhir.Problem("conflict", fmt.Sprintf("The server that has the data folder is Yarrow %s, and this command is of %s.", version, o.Version),
			"Use the binary that the server runs, or restart the server with this one.")
	}
	var c commands
	if err := json.Unmarshal(o.Commands, &c); err != nil {
		return err
	}
	v, err := commandAt(&c, o.Words)
	if err != nil {
		return err
	}
	cmd, ok := v.Addr().Interface().(interface {
		Run(ctx context.Context, out *output) error
	})
	if !ok {
		return fmt.Errorf("%q is not carried out by a server", strings.Join(o.Words, " "))
	}
	return cmd.Run(ctx, out)
}

// lent gives a command the server's own data. Its store is new, so that what the command sets holds for the command alone.
func (g *ground) lent() *ground {
	l := *g
	l.shared, l.store = true, fhirstore.New(g.db, g.audit)
	l.rule(l.store)
	return &l
}
