package bulk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// What an import takes in, before any line of it is written: the body of a request, or files at addresses that a program names. Files
// are fetched by the work, one after the other, each whole or not at all.

const (
	mostInputs = 100
	mostBytes  = 256 << 20 // of all files of an import
	fetchTries = 4
)

// source is where lines of an import come from: the upload, or a file at an address.
type source struct {
	Type     string         `json:"type,omitempty"` // what each line must be; "" for anything
	URL      string         `json:"url,omitempty"`  // "" for an upload
	Parts    int            `json:"parts"`
	Lines    int64          `json:"lines"`
	Bytes    int64          `json:"bytes"`
	Counts   map[string]int `json:"counts,omitempty"`   // what was taken, by type
	Dangling map[string]int `json:"dangling,omitempty"` // references of what was taken to what was neither here nor still to come, by type of what has them
}

func (s source) taken() map[string]int    { return s.Counts }
func (s source) dangling() map[string]int { return s.Dangling }

// all sums a count over sources and types.
func (o *order) all(of func(source) map[string]int) (n int) {
	for _, s := range o.Sources {
		for _, k := range of(s) {
			n += k
		}
	}
	return n
}

// source is the place of the source that the import is at, and how many lines those before it have.
func (o *order) source() (at int, before int64) {
	for parts := 0; at < len(o.Sources)-1; at++ {
		if parts += o.Sources[at].Parts; o.Part < parts {
			break
		}
		before += o.Sources[at].Lines
	}
	return at, before
}

// errorsOf is the place of the file of errors of a source, which is made if there is none yet.
func (o *order) errorsOf(source int) int {
	for i, f := range o.Files {
		if f.Kind == errorFile && f.Source == source {
			return i
		}
	}
	o.Files = append(o.Files, file{Kind: errorFile, Type: "OperationOutcome", Source: source})
	return len(o.Files) - 1
}

// refused adds what is to be said about a source to its file of errors.
func (o *order) refused(tx *db.Tx, source int, g *growing) (sealedPart, error) {
	at := o.errorsOf(source)
	f := &o.Files[at]
	p, err := g.seal(tx.Practice(), tx.Keys(), o.h, at, f.Parts)
	f.Parts, f.Lines, f.Bytes = f.Parts+1, f.Lines+g.lines, f.Bytes+int64(len(g.text))
	return p, err
}

// split makes parts of NDJSON. Empty lines are kept, so that lines keep their numbers.
func split(from io.Reader) (parts []*growing, s source, err error) {
	g := &growing{}
	in := bufio.NewScanner(from)
	in.Buffer(nil, lineSize)
	for in.Scan() {
		text := bytes.TrimSpace(in.Bytes())
		s.Lines, s.Bytes = s.Lines+1, s.Bytes+int64(len(text))+1
		if g.add(line{ref: refOf(text), text: text}); len(g.text) >= partSize {
			parts, g = append(parts, g), &growing{}
		}
	}
	if g.lines > 0 {
		parts = append(parts, g)
	}
	s.Parts = len(parts)
	var big *http.MaxBytesError
	switch err := in.Err(); {
	case errors.As(err, &big), errors.Is(err, bufio.ErrTooLong):
		return nil, s, fhir.Problem("too-long", "The upload, or a line of it, is too long.", fmt.Sprintf("Send at most %d MB at once, with lines of up to %d MB: several imports may follow each other.", uploadSize>>20, lineSize>>20))
	case err != nil:
		return nil, s, fhir.Problem("incomplete", "The upload did not arrive whole.", "Send it again: nothing of it was taken.").Because(err)
	}
	return parts, s, nil
}

// take makes what was uploaded the import's only source.
func (o *order) take(from io.Reader) (keep func(tx *db.Tx) error, err error) {
	parts, s, err := split(from)
	if err != nil {
		return nil, err
	}
	if s.Parts == 0 {
		return nil, fhir.Problem("required", "The upload is empty.", "Send one resource a line.")
	}
	o.Sources, o.Fetched = []source{s}, 1
	o.Files = []file{{Kind: inputFile, Type: "Resource", Parts: s.Parts}}
	return func(tx *db.Tx) error {
		sealed, err := sealAll(tx, o.h, 0, parts)
		storeParts(tx, o.h, sealed)
		return err
	}, nil
}

// sealAll closes parts of the input, numbered from first on.
func sealAll(tx *db.Tx, h int64, first int, parts []*growing) (out []sealedPart, err error) {
	for i, g := range parts {
		p, err := g.seal(tx.Practice(), tx.Keys(), h, 0, first+i)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// importOperation is $import as the draft of SMART bulk import has it, with Parameters; a body of NDJSON is taken itself.
func (e *Exports) importOperation() fhirapi.Operation {
	return fhirapi.Operation{Name: "$import", Levels: fhirapi.System, Affects: true, URL: "https://yarrow.health/fhir/OperationDefinition/import", Run: e.takeOrder,
		Doc:    "Imports NDJSON in the background, as the program that asks: files at addresses on hosts that the practice has allowed, or the body itself.",
		Bodies: []string{"application/fhir+ndjson", "application/ndjson", "application/x-ndjson"},
		Params: []fhirapi.Param{
			{Name: "inputFormat", Type: "code", Max: 1, Doc: "application/fhir+ndjson."},
			{Name: "inputSource", Type: "uri", Max: 1, Doc: "Where the data come from, such as the base address of the other server; Provenance names it."},
			{Name: "storageDetail", Max: 1, Doc: "Its part type is https."},
			{Name: "input", Max: -1, Doc: "A file: its part type says what every line is, and its part url is its https address."},
		}}
}

// takeOrder answers $import: 202 and the address where the import is followed.
func (e *Exports) takeOrder(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	if c.Nested() {
		return nil, fhir.Problem("not-supported", "An import is not begun inside a Bundle.", "Send it by itself: POST [base]/$import.")
	}
	held, err := e.o.Hold(ctx, c.Practice, c.Header("Authorization"))
	if err != nil {
		return nil, err
	}
	at := strings.TrimSuffix(c.Base, "/fhir") + "/bulk/"
	o := &order{Level: ofImport, Owner: fhirapi.Asker(c.Scope), Held: held, Request: c.Base + "/$import", Name: c.Scope.Actor().Display}
	keep := func(*db.Tx) error { return nil }
	if body := c.Bare(); body != nil {
		keep, err = o.take(bytes.NewReader(body))
	} else {
		err = e.readInputs(ctx, c, o)
	}
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, func(tx *db.Tx) (*fhirapi.Answer, error) {
		secret, err := e.begin(ctx, tx, o, keep)
		if err != nil {
			return nil, err
		}
		h := http.Header{}
		h.Set("Content-Location", at+secret)
		return &fhirapi.Answer{Status: http.StatusAccepted, Resource: fhir.Outcome(importBegun), Header: h}, nil
	})
}

var importBegun = fhir.Issue{Severity: "information", Code: "informational", Text: "The import has begun. Its Content-Location says how far it is."}

// readInputs takes the parameters of $import.
func (e *Exports) readInputs(ctx context.Context, c *fhirapi.Call, o *order) error {
	switch f := c.Parameters.Text("inputFormat"); f {
	case "application/fhir+ndjson", "application/ndjson", "ndjson":
	case "":
		return fhir.Problem("required", "The parameter inputFormat is missing.", "Send application/fhir+ndjson.").At("Parameters.parameter")
	default:
		return fhir.Problem("not-supported", "An import takes NDJSON only.", "Send one resource a line, as application/fhir+ndjson.").At("Parameters.parameter")
	}
	if o.From = c.Parameters.Text("inputSource"); o.From != "" {
		if u, err := url.Parse(o.From); err != nil || !u.IsAbs() || len(o.From) > 2048 {
			return fhir.Problem("value", "inputSource is not a whole address.", "Write it as https://ehr.example.org/fhir.").At("Parameters.parameter")
		}
	}
	if d := c.Parameters.First("storageDetail"); d != nil {
		if typ := d.Parts.Text("type"); typ != "https" || len(d.Parts) > 1 {
			return fhir.Problem("not-supported", "Files are fetched over https, without anything that signs in.", "Send storageDetail with type https alone, and put what opens a file into its address.").At("Parameters.parameter")
		}
	}
	inputs := c.Parameters.All("input")
	if len(inputs) == 0 || len(inputs) > mostInputs {
		return fhir.Problem("required", fmt.Sprintf("An import names 1 to %d inputs.", mostInputs), "Send each as input with the parts type and url.").At("Parameters.parameter")
	}
	for i, in := range inputs {
		s, path := source{Type: in.Parts.Text("type"), URL: in.Parts.Text("url")}, fmt.Sprintf("Parameters.parameter.where(name='input')[%d]", i)
		if !fhir.IsResourceType(s.Type) {
			return fhir.Problem("value", "An input does not say of which resource type its lines are.", "Send its part type, such as Patient.").At(path)
		}
		u, err := url.Parse(s.URL)
		if err != nil || u.Host == "" || u.User != nil || len(s.URL) > 4096 {
			return fhir.Problem("value", "An input has no address that can be fetched.", "Send its part url, such as https://files.example.org/patients.ndjson.").At(path)
		}
		if e.o.Reach == nil {
			return fhir.Problem("not-supported", "Files at addresses of others are not fetched here.", "Send the lines themselves, as application/fhir+ndjson.").At(path)
		}
		if err := e.o.Reach(ctx, c.Practice.ID, s.URL); err != nil {
			return err
		}
		o.Sources = append(o.Sources, s)
	}
	o.Files = []file{{Kind: inputFile, Type: "Resource"}}
	return nil
}

// fetch gets the next file of an import and stores it beside the place to go on from. A file that is refused for good, or could not be
// had in several tries, is told of in its file of errors; the others are taken.
func (e *Exports) fetch(ctx context.Context, s db.Scope, j *jobs.Job, o *order) error {
	at := o.Fetched
	from := o.Sources[at]
	parts, got, err := e.fetched(ctx, j.Practice, o, from.URL)
	issues, refused := refusal(err)
	if err != nil && !refused {
		var i *fhir.Issue
		if ctx.Err() != nil || j.Attempt < fetchTries || !errors.As(err, &i) {
			return err
		}
		issues = fhir.Issues{*i}
	}
	u, _ := url.Parse(from.URL)
	now := *o
	if err := e.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		now = *o
		now.Files, now.Sources, now.Fetched = slices.Clone(o.Files), slices.Clone(o.Sources), at+1
		event := audit.Event{Action: audit.ActionImport, Detail: fmt.Sprintf("bulk import fetched %d lines from %s", got.Lines, u.Host)}
		var sealed []sealedPart
		if len(issues) > 0 {
			event.Outcome, event.Detail = audit.OutcomeFailed, "bulk import could not fetch from "+u.Host
			g := &growing{}
			g.add(line{text: fhir.Outcome(issues...)})
			p, err := now.refused(tx, at, g)
			if err != nil {
				return err
			}
			sealed = append(sealed, p)
		} else {
			var err error
			if sealed, err = sealAll(tx, now.h, now.Files[0].Parts, parts); err != nil {
				return err
			}
			got.Type, got.URL = from.Type, from.URL
			now.Sources[at] = got
			now.Files[0].Parts += got.Parts
		}
		e.o.Audit.Record(tx, event)
		return advance(ctx, tx, &now, sealed)
	}); err != nil {
		return err
	}
	*o = now
	return nil
}

// fetched gives the lines of a file.
func (e *Exports) fetched(ctx context.Context, p db.PracticeID, o *order, address string) ([]*growing, source, error) {
	reply, err := e.o.Fetch(ctx, p, address)
	if err != nil {
		return nil, source{}, err
	}
	switch {
	case reply.Status == http.StatusTooManyRequests || reply.Status >= 500:
		return nil, source{}, fhir.Problem("transient", fmt.Sprintf("The file's host answered %d.", reply.Status), "Ask those who keep the file, and import it again.")
	case reply.Status >= 300 && reply.Status < 400:
		return nil, source{}, fhir.Problem("not-supported", "The file's host sends elsewhere, and that is not followed.", "Name the address that the file has itself.")
	case reply.Status != http.StatusOK:
		return nil, source{}, fhir.Problem("not-found", fmt.Sprintf("The file's host answered %d.", reply.Status), "Check the address: it must open without signing in, and may have expired.")
	}
	parts, s, err := split(bytes.NewReader(reply.Body))
	all := s.Bytes
	for i := range o.Sources {
		all += o.Sources[i].Bytes
	}
	if err == nil && all > mostBytes {
		err = fhir.Problem("too-long", fmt.Sprintf("The files of the import have more than %d MB together.", mostBytes>>20), "Import the rest by itself: several imports may follow each other.")
	}
	return parts, s, err
}
