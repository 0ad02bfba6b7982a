// Package bulk is how a program takes many records out at once, FHIR Bulk Data Access 2.0, and brings many in. It owns the operation $export of a practice,
// of its patients and of a Group; the work behind it, which goes on after a restart; the files, which are sealed where they lie and go
// when they expire or are deleted; and the addresses under which the one who asked fetches them.
//
// It never decides what somebody may see: the work reads as the one who asked, with what they may see while it goes on, and what has
// since been taken from them is left out again when a file is sent. No file leaves before the access to its patients is on record.
package bulk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// Kinds of jobs.
const (
	workKind   = "bulk.export"
	expireKind = "bulk.expire"
	sweepKind  = "bulk.sweep"
)

const (
	kept   = 24 * time.Hour // how long files stay, and how long an export may take
	atOnce = 5              // exports of one program that may be at work
	tries  = 8
	retry  = "2" // seconds until a client should ask again
)

// Options say what exports stand on.
type Options struct {
	DB    *db.DB
	Store *fhirstore.Store
	Audit *audit.Log
	Queue *jobs.Queue
	Log   *slog.Logger
	// Origin is what addresses begin with; "" takes it from each request.
	Origin string
	// Practice, PracticeByID and Authenticate find the practice of an address or a job, and say who asks.
	Practice     func(ctx context.Context, slug string) (auth.Practice, error)
	PracticeByID func(ctx context.Context, id db.PracticeID) (auth.Practice, error)
	Owners       map[string]fhirapi.Owner // by type, for imports
	// Reach says why an address may not be fetched from, and Fetch gets what is there, for imports; nil when nothing is fetched.
	Reach        func(ctx context.Context, p db.PracticeID, address string) error
	Fetch        func(ctx context.Context, p db.PracticeID, address string) (*egress.Reply, error)
	Authenticate func(r *http.Request, p auth.Practice) (db.Scope, error)
	// Hold gives what the work keeps of an Authorization header, and Resume the scope of that again, as long as it stands. An Issue of
	// code login or forbidden says that it does not, or that who asks may not export.
	Hold   func(ctx context.Context, p auth.Practice, authorization string) ([]byte, error)
	Resume func(ctx context.Context, p auth.Practice, held []byte) (db.Scope, error)
}

// Exports are the exports of all practices.
type Exports struct {
	o     Options
	clock *clock.Clock
	// flushAt is how many resources, flushBytes how many bytes of lines are read between two commits, pageSize how many in one query, and
	// sliceFor how long one job works.
	flushAt, pageSize int
	flushBytes        int64
	sliceFor          time.Duration
	// fileSize is how many bytes of lines a file holds before another one is begun, and splitAt how many of a bucket are sorted at once.
	fileSize, splitAt int64
	afterCommit       func() // of a test that stops the work there
}

// New returns the exports and registers their work with the queue.
func New(o Options) *Exports {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Exports{o: o, clock: o.DB.Clock(), flushAt: 20_000, pageSize: 1000, flushBytes: 16 << 20, sliceFor: 30 * time.Second, fileSize: 256 << 20, splitAt: 32 << 20}
	o.Queue.Handle(workKind, e.work)
	o.Queue.Handle(expireKind, e.expire)
	o.Queue.Handle(sweepKind, e.expire)
	o.Queue.Plan(jobs.Plan{Kind: sweepKind, Every: time.Hour})
	return e
}

// Levels of an export.
const (
	ofSystem  = "system"
	ofPatient = "patient"
	ofGroup   = "group"
)

// order is an export: what was asked, who asked, and how far it is. It is stored sealed.
type order struct {
	Secret  []byte `json:"secret"` // SHA-256 of the text in the address
	Owner   string `json:"owner"`
	Held    []byte `json:"held,omitempty"`
	Request string `json:"request"` // the address that was called

	Level    string              `json:"level"`
	Patients []string            `json:"patients,omitempty"` // ids; of a Group or as asked; nil: all
	Types    []string            `json:"types"`
	Filters  map[string][]string `json:"filters,omitempty"` // by type; a resource answers one of them
	Elements []string            `json:"elements,omitempty"`
	Since    int64               `json:"since,omitempty"`  // microseconds
	At       int64               `json:"at"`               // the moment the export shows
	Passed   []string            `json:"passed,omitempty"` // parameters that were passed over

	// Blocks asks for files organised by patient. Sorting says that everything was read and is being put together, and Block whose
	// block the last one written is.
	Blocks  bool   `json:"blocks,omitempty"`
	Sorting bool   `json:"sorting,omitempty"`
	Block   string `json:"block,omitempty"`

	// Access is what the owner could reach when asking, and Change the last change of the practice when the work was done: while both
	// are the same, nothing has to be looked at again when a file is sent. Mixed says that Access changed meanwhile.
	Access string `json:"access"`
	Change int64  `json:"change,omitempty"`
	Mixed  bool   `json:"mixed,omitempty"`

	// Part and Line are where an import, and Part where the sorting of a bucket, goes on.
	Part int `json:"part,omitempty"`
	Line int `json:"line,omitempty"`

	// Of an import: who brought it, where it is said to come from, its sources and how many of them are here, and what no Provenance
	// tells of yet.
	Name    string   `json:"name,omitempty"`
	From    string   `json:"from,omitempty"`
	Sources []source `json:"sources,omitempty"`
	Fetched int      `json:"fetched,omitempty"`
	Told    []string `json:"told,omitempty"`

	Cursor string `json:"cursor,omitempty"`
	Read   int64  `json:"read"`
	Files  []file `json:"files,omitempty"`
	Failed string `json:"failed,omitempty"` // why, for the owner

	lastFilter string // the type of the _typeFilter read last
	provenance bool   // asked for along with the rest

	h       int64
	state   int64
	step    int64
	expires int64
}

const (
	atWork int64 = iota
	done
	failed
)

// file is one file of an export. Its number is its place in the list.
type file struct {
	Kind  string `json:"kind"` // output, blocks, deleted or error; a bucket on the way to blocks; or input of an import
	Type  string `json:"type"`
	Lines int    `json:"lines"`
	Bytes int64  `json:"bytes"`
	Parts int    `json:"parts"`
	// Source is, of a file of errors of an import, the place of the source whose lines it tells of.
	Source int `json:"source,omitempty"`
	// Next is, of a file whose last block goes on in another, the number of that; 0 for none. Of is, of a bucket, the patient of all its
	// lines, "" for several.
	Next int    `json:"next,omitempty"`
	Of   string `json:"of,omitempty"`
}

// name is the last part of the file's address.
func (f *file) name(number int) string {
	if f.Kind == blockFile {
		return fmt.Sprintf("%d.ndjson", number)
	}
	return fmt.Sprintf("%d.%s.ndjson", number, f.Type)
}

// newSecret is 256 random bits for an address.
func newSecret() (text string, digest []byte) {
	var b [32]byte
	rand.Read(b[:])
	text = base64.RawURLEncoding.EncodeToString(b[:])
	return text, digestOf(text)
}

func digestOf(text string) []byte {
	d := sha256.Sum256([]byte(text))
	return d[:]
}

// accessOf is a mark of what a scope may reach; it changes with consents, roles and scopes.
func accessOf(s db.Scope) string {
	b, err := json.Marshal(auth.AccessOf(s)) // maps come in order
	if err != nil {
		return ""
	}
	return hex.EncodeToString(digestOf(string(b)))
}

// start stores an export and its first job.
func (e *Exports) start(ctx context.Context, s db.Scope, o *order) (secret string, err error) {
	return e.startWith(ctx, s, o, func(*db.Tx) error { return nil })
}

// startWith stores beside it what also does, in the same transaction.
func (e *Exports) startWith(ctx context.Context, s db.Scope, o *order, also func(tx *db.Tx) error) (secret string, err error) {
	err = e.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		secret, err = e.begin(ctx, tx, o, also)
		return err
	})
	return secret, err
}

// begin does that in a transaction that is open.
func (e *Exports) begin(ctx context.Context, tx *db.Tx, o *order, also func(tx *db.Tx) error) (secret string, err error) {
	secret, o.Secret = newSecret()
	now := tx.Now()
	o.h, o.state, o.step, o.expires = hashOf(tx, secret), atWork, 0, now.Add(kept).UnixMicro()
	n, err := countAtWork(ctx, tx, o.Owner)
	if err != nil {
		return "", err
	}
	if n >= atOnce {
		return "", fhir.Problem("throttled", fmt.Sprintf("%d exports and imports of this program are at work.", n), "Wait until one is done, or delete one.")
	}
	last, err := e.o.Store.LastChange(ctx, tx)
	if err != nil {
		return "", err
	}
	// What is committed has a number up to the last one, and what is being written gets a higher one: the moment is exact.
	switch {
	case last == 0:
		last = now.UnixMicro()
		fallthrough
	case o.At == 0 || o.At > last:
		o.At = last
	}
	if err := insertExport(ctx, tx, o); err != nil {
		return "", err
	}
	if err := also(tx); err != nil {
		return "", err
	}
	event := audit.Event{Action: audit.ActionExport, Detail: "bulk export started, " + o.Level}
	if o.Level == ofImport {
		event = audit.Event{Action: audit.ActionImport, Detail: "bulk import started"}
	}
	e.o.Audit.Record(tx, event)
	return secret, e.plan(ctx, tx, o)
}

// plan queues the next slice of the work.
func (e *Exports) plan(ctx context.Context, tx *db.Tx, o *order) error {
	_, err := e.o.Queue.Add(ctx, tx, jobs.Spec{Kind: workKind, Key: fmt.Sprintf("%d/%d", o.h, o.step), Payload: o.h, Attempts: tries})
	return err
}

// drop removes an export and its files.
func drop(ctx context.Context, tx *db.Tx, h int64) error {
	if err := deleteParts(ctx, tx, h); err != nil {
		return err
	}
	return deleteExport(ctx, tx, h)
}

// expire removes what is past its time.
func (e *Exports) expire(ctx context.Context, j *jobs.Job) error {
	return e.o.DB.Do(ctx, auth.SystemScope(j.Practice, "bulk"), func(tx *db.Tx) error {
		over, err := expired(ctx, tx, tx.NowMicro())
		if err != nil {
			return err
		}
		for _, h := range over {
			if err := drop(ctx, tx, h); err != nil {
				return err
			}
		}
		return nil
	})
}
