// Command yarrow runs a whole practice from one binary: server, database, workers and tools.
// It is the only place that constructs things and wires them together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"yarrow.health/internal/standards/fhir"
)

// version is set by the build.
var version = "dev"

// Exit codes that scripts may rely on.
const (
	exitFailed  = 1 // the command could not do what it was asked
	exitUsage   = 2 // the command line was wrong
	exitInput   = 3 // some of the input was refused; what was accepted is kept
	exitDamaged = 4 // stored data is damaged
	exitUnable  = 5 // this machine cannot do what was asked; nothing is known from it
)

type commands struct {
	Demo     demo      `cmd:"" help:"Start a simulated practice on the embedded database and print its address and sign-ins."`
	Serve    serve     `cmd:"" help:"Serve the practices of a data folder or a PostgreSQL database."`
	Practice practices `cmd:"" help:"Add and list practices."`
	User     user      `cmd:"" help:"Add staff."`
	Client   clients   `cmd:"" help:"Register, list, approve and stop programs that use a practice's data."`
	Token    token     `cmd:"" help:"Print an access token for scripts, for a limited time."`
	Import   imports   `cmd:"" help:"Take in data from other systems."`
	Export   export    `cmd:"" help:"Write a practice's records, or one patient's, to an NDJSON file."`
	Backup   backups   `cmd:"" help:"Write and verify encrypted backups."`
	Restore  restore   `cmd:"" help:"Restore a backup into an empty installation, or one practice that holds nothing."`
	Keys     keyring   `cmd:"" help:"Export, import and recover the keys that the data is sealed with."`
	Doctor   doctor    `cmd:"" help:"Look for damage in what is stored, and say what to do about it."`
	Audit    audits    `cmd:"" help:"Check, sign and export the record of who did what."`
	Prove    proofs    `cmd:"" help:"Show that a promise holds, on throw-away copies, with a signed report. Exit 0 only when it does."`
	Migrate  migrate   `cmd:"" help:"Bring a PostgreSQL database to the schema of this version."`
	Version  showV     `cmd:"" help:"Print the version."`
}

type showV struct{}

func (showV) Run(out *output) error {
	fmt.Fprintln(out.text, "yarrow", version)
	return nil
}

// output is where a command speaks: text for people, or JSON when asked.
type output struct {
	text io.Writer
	errs io.Writer
	log  *slog.Logger

	terminal bool    // errs is a person's screen
	ground   *ground // of the running server that carries the command out; nil: the command opens the data
}

// exitError carries a command's own exit code; its message was already printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	var c commands
	parser, err := kong.New(&c, kong.Name("yarrow"), kong.Description("An open electronic health record for ambulatory practices."),
		kong.DefaultEnvars("YARROW"), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err)
	}
	k, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "yarrow:", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := &output{text: os.Stdout, errs: os.Stderr, log: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	if st, err := os.Stderr.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		out.terminal = true
	}
	k.BindTo(ctx, (*context.Context)(nil))
	k.Bind(out)
	os.Exit(out.exit(func() error {
		exit, served, err := remote(ctx, k, &c, out)
		if served && err == nil && exit != 0 {
			return exitError(exit)
		}
		if served || err != nil {
			return err
		}
		return k.Run()
	}))
}

// exit runs a command and gives the code that the program ends with; what went wrong is said.
func (o *output) exit(run func() error) int {
	err := run()
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	o.problem(err)
	return exitFailed
}

// problem prints an error as a person should read it: what is wrong, where, and what to do.
func (o *output) problem(err error) {
	var issues fhir.Issues
	var one *fhir.Issue
	switch {
	case errors.As(err, &issues):
	case errors.As(err, &one):
		issues = fhir.Issues{*one}
	default:
		fmt.Fprintln(o.errs, "yarrow:", err)
		return
	}
	for _, i := range issues {
		fmt.Fprint(o.errs, "yarrow: ", i.Text)
		if i.Path != "" {
			fmt.Fprintf(o.errs, " (at %s)", i.Path)
		}
		fmt.Fprintln(o.errs)
		if i.Fix != "" {
			fmt.Fprintln(o.errs, "        ", i.Fix)
		}
		if i.Cause != nil {
			fmt.Fprintln(o.errs, "         cause:", i.Cause)
		}
	}
}
