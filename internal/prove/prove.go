// Package prove shows, by a command that anybody may run, that a promise of Yarrow holds: it does to a throw-away copy what the
// promise says can do no harm, looks for harm, and writes a signed report. With Control it breaks the property on purpose; a
// proof that does not notice is no evidence.
//
// It never touches the data of an installation, and the same code runs in the tests.
package prove

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/clock"
)

// Proof is a promise and the way to try it. A new one is a value like this and a line where the command line lists them.
type Proof struct {
	Name    string
	Promise string // in one sentence, as a customer would read it
	// Try does its worst. It reports what it counted and every failure to r; the error is for what kept it from trying.
	Try func(ctx context.Context, r *Run) error
}

// Options say how a proof is run.
type Options struct {
	Version string
	Control bool   // break the property on purpose
	Seed    uint64 // of everything random; 0 draws one
	Cycles  int    // of proofs that repeat; 0 is the proof's own number
	Engine  Engine
	Dir     string // for throw-away data; "" is the system's
	Say     func(format string, args ...any)
	Clock   *clock.Clock
}

// Engine says what the throw-away copy runs on. The zero Engine is the embedded database.
type Engine struct {
	App   string // the app role's URL of an empty PostgreSQL database made for this
	Owner string // the owner's URL of the same database
	Files string // the server's own files, where they can be read: its data folder with the write-ahead log
}

// String names the engine.
func (e Engine) String() string {
	if e.App != "" {
		return "PostgreSQL"
	}
	return "embedded"
}

// Run is one trial of a proof.
type Run struct {
	Options
	Dir string // an empty folder that is removed afterwards

	mu     sync.Mutex
	report *Report
}

// Report is what came of a trial.
type Report struct {
	Format   string           `json:"report"` // [ReportFormat]
	Proof    string           `json:"proof"`
	Promise  string           `json:"promise"`
	Holds    bool             `json:"holds"`
	Control  bool             `json:"control"` // the property was broken on purpose, so Holds must be false
	Version  string           `json:"version"`
	Engine   string           `json:"engine"`
	Platform string           `json:"platform"`
	Seed     uint64           `json:"seed,string"`
	Began    time.Time        `json:"began"`
	Seconds  float64          `json:"seconds"`
	Counts   map[string]int64 `json:"counts"`
	Failures []string         `json:"failures"` // the first twenty
	Failed   int64            `json:"failed"`
	Key      string           `json:"key"`                 // Ed25519, base64
	Sign     string           `json:"signature,omitempty"` // over this report without the signature, base64
}

// ReportFormat names the form of reports.
const ReportFormat = "yarrow-proof-1"

// Count adds to what is counted under a name.
func (r *Run) Count(name string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Counts[name] += n
}

// Counted is what was counted under a name so far.
func (r *Run) Counted(name string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.Counts[name]
}

// Most keeps the largest of what is counted under a name.
func (r *Run) Most(name string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Counts[name] = max(r.report.Counts[name], n)
}

// Fail notes that the property did not hold.
func (r *Run) Fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Failed++
	if len(r.report.Failures) < 20 {
		r.report.Failures = append(r.report.Failures, fmt.Sprintf(format, args...))
	}
}

// Failed says whether anything failed so far.
func (r *Run) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.Failed > 0
}

// Carry runs a proof and signs the report. The error says why the proof could not be tried; whether the property holds
// is in the report.
func Carry(ctx context.Context, p Proof, o Options, key ed25519.PrivateKey) (*Report, error) {
	if o.Seed == 0 {
		var b [8]byte
		rand.Read(b[:])
		for _, x := range b {
			o.Seed = o.Seed<<8 | uint64(x)
		}
		o.Seed |= 1
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	dir, err := os.MkdirTemp(o.Dir, "yarrow-prove-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	began := o.Clock.Now()
	r := &Run{Options: o, Dir: dir, report: &Report{Format: ReportFormat, Proof: p.Name, Promise: p.Promise, Control: o.Control, Version: o.Version,
		Engine: o.Engine.String(), Platform: runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version(), Seed: o.Seed, Began: began.Truncate(time.Second),
		Counts: map[string]int64{}, Failures: []string{}}}
	if err := p.Try(ctx, r); err != nil {
		return nil, err
	}
	r.report.Holds = r.report.Failed == 0
	r.report.Seconds = float64(o.Clock.Since(began).Milliseconds()) / 1000
	return r.report, r.report.sign(key)
}

func (r *Report) sign(key ed25519.PrivateKey) error {
	r.Key, r.Sign = base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), ""
	text, err := json.Marshal(r)
	if err == nil {
		r.Sign = base64.StdEncoding.EncodeToString(ed25519.Sign(key, text))
	}
	return err
}

// Check says whether a report is as it was signed, by the key it names.
func (r Report) Check() error {
	key, err1 := base64.StdEncoding.DecodeString(r.Key)
	signature, err2 := base64.StdEncoding.DecodeString(r.Sign)
	r.Sign = ""
	text, err3 := json.Marshal(r)
	if err1 != nil || err2 != nil || err3 != nil || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, text, signature) {
		return errors.New("the report was changed after it was signed")
	}
	return nil
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", r.Proof, r.Promise)
	if r.Control {
		fmt.Fprintln(w, "  CONTROL: the property was broken on purpose, and the proof must fail.")
	}
	fmt.Fprintf(w, "  Yarrow %s, %s, %s, seed %d, %.1f s\n", r.Version, r.Engine, r.Platform, r.Seed, r.Seconds)
	for _, name := range sortedNames(r.Counts) {
		fmt.Fprintf(w, "  %-44s %d\n", name, r.Counts[name])
	}
	for _, f := range r.Failures {
		fmt.Fprintln(w, "  FAILED:", f)
	}
	if n := r.Failed - int64(len(r.Failures)); n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
	if r.Holds {
		fmt.Fprintln(w, "  HOLDS")
	} else {
		fmt.Fprintln(w, "  DOES NOT HOLD")
	}
	fmt.Fprintf(w, "  signed with %s\n", r.Key)
}

// SigningKey reads the key that signs reports, and makes it when there is none.
func SigningKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("%s does not hold a key", path)
		}
		return ed25519.NewKeyFromSeed(seed), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(seed)+"\n"), 0o600)
}
