package bulk

import (
	"compress/gzip"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// Routes are the patterns under which an export is followed and its files are fetched.
func Routes() []string {
	return []string{"/{practice}/bulk/{export}", "/{practice}/bulk/{export}/{file}"}
}

// gone is the one answer for an export that never was, is another's, was deleted or has expired.
func gone() *fhir.Issue {
	return fhir.Problem("not-found", "There is no such export, or it is not yours.", "It may have been deleted or have expired: files are kept for a day. Start it again.")
}

// ServeHTTP answers an address of an export: GET says how far it is or gives the manifest or a file, DELETE ends it.
func (e *Exports) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if err := e.answer(w, r); err != nil {
		refuse(w, r, err)
	}
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var i *fhir.Issue
	if !errors.As(err, &i) {
		i = fhir.Problem("exception", "The server could not do this.", "Try again; if it goes on, tell whoever looks after this server.").Because(err)
	}
	status := fhir.HTTPStatus(i.Code)
	if i.Code == "login" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+r.PathValue("practice")+`"`)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	write(w, r, status, "application/fhir+json", fhir.Outcome(*i))
}

func write(w http.ResponseWriter, r *http.Request, status int, media string, body []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // a client that has gone away needs no answer
	}
}

func (e *Exports) answer(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	p, err := e.o.Practice(ctx, r.PathValue("practice"))
	if err != nil {
		return err
	}
	s, err := e.o.Authenticate(r, p)
	if err != nil {
		return err
	}
	if s == nil || !s.Valid() || s.Practice() != p.ID {
		return fhir.Problem("login", "You are not signed in.", "Send an access token in the Authorization header, as Bearer.")
	}
	if r.PathValue("export") == ImportPath && r.PathValue("file") == "" && r.Method == http.MethodPost {
		return e.upload(ctx, w, r, p, s)
	}
	o, err := e.find(ctx, s, r.PathValue("export"))
	if err != nil {
		return err
	}
	name := r.PathValue("file")
	switch {
	case r.Method == http.MethodDelete && name == "":
		return e.cancel(ctx, w, r, s, o)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		allow := "GET, HEAD"
		if name == "" {
			allow = "DELETE, GET, HEAD"
		}
		w.Header().Set("Allow", allow)
		write(w, r, http.StatusMethodNotAllowed, "application/fhir+json", fhir.Outcome(*fhir.Problem("not-supported", "This does nothing at this address.", "Use one of: "+allow+".")))
		return nil
	case name != "":
		return e.send(w, r, p, o, name)
	}
	return e.status(w, r, p, o)
}

// find reads the export of an address if it is there still and belongs to the one who asks.
func (e *Exports) find(ctx context.Context, s db.Scope, secret string) (o *order, err error) {
	err = e.o.DB.View(ctx, s, func(tx *db.Tx) error {
		o, err = loadExport(ctx, tx, hashOf(tx, secret))
		return err
	})
	if err != nil {
		return nil, err
	}
	if o == nil || subtle.ConstantTimeCompare(o.Secret, digestOf(secret)) != 1 || o.Owner != fhirapi.Asker(s) || o.expires <= e.clock.Now().UnixMicro() {
		return nil, gone()
	}
	return o, nil
}

// cancel ends an export and removes what it has made.
func (e *Exports) cancel(ctx context.Context, w http.ResponseWriter, r *http.Request, s db.Scope, o *order) error {
	event := audit.Event{Action: audit.ActionExport, Detail: "bulk export deleted"}
	if o.Level == ofImport {
		event = audit.Event{Action: audit.ActionImport, Detail: "bulk import ended"}
	}
	if err := e.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		e.o.Audit.Record(tx, event)
		return drop(ctx, tx, o.h)
	}); err != nil {
		return err
	}
	ended := fhir.Issue{Severity: "information", Code: "informational", Text: "The export and its files were deleted."}
	write(w, r, http.StatusAccepted, "application/fhir+json", fhir.Outcome(ended))
	return nil
}

// manifest is the answer of an export that is done (Bulk Data Access 2.0, "Response - Complete Status").
type manifest struct {
	TransactionTime     string         `json:"transactionTime"`
	Request             string         `json:"request"`
	RequiresAccessToken bool           `json:"requiresAccessToken"`
	OutputOrganizedBy   string         `json:"outputOrganizedBy,omitempty"`
	Output              []manifestFile `json:"output"`
	Deleted             []manifestFile `json:"deleted"`
	Error               []manifestFile `json:"error"`
	Extension           map[string]int `json:"extension,omitempty"`
}

type manifestFile struct {
	Type  string `json:"type,omitempty"`
	Input string `json:"inputUrl,omitempty"` // of an import: the file that it is about
	URL   string `json:"url,omitempty"`      // none for what an import took
	Next  string `json:"continuesInFile,omitempty"`
	Count int    `json:"count"`

	Extension map[string]int `json:"extension,omitempty"`
}

// danglingReferences is what a manifest says of references that lead nowhere, in the member that the standard leaves to servers.
func danglingReferences(n int) map[string]int {
	if n == 0 {
		return nil
	}
	return map[string]int{"danglingReferences": n}
}

const instant = "2006-01-02T15:04:05.000000Z07:00"

func (e *Exports) status(w http.ResponseWriter, r *http.Request, p auth.Practice, o *order) error {
	switch o.state {
	case atWork:
		w.Header().Set("Retry-After", retry)
		progress := fmt.Sprintf("%d resources looked at", o.Read)
		switch {
		case o.Fetched < len(o.Sources):
			progress = fmt.Sprintf("%d of %d files fetched", o.Fetched, len(o.Sources))
		case o.Level == ofImport:
			progress = fmt.Sprintf("%d lines done", o.Read)
		case o.Sorting:
			progress = fmt.Sprintf("%d resources looked at, being put together by patient", o.Read)
		}
		w.Header().Set("X-Progress", progress)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusAccepted)
		return nil
	case failed:
		write(w, r, http.StatusInternalServerError, "application/fhir+json", fhir.Outcome(*fhir.Problem("exception", o.Failed, "Delete this export and start another one.")))
		return nil
	}
	m := manifest{TransactionTime: time.UnixMicro(o.At).UTC().Format(instant), Request: o.Request, RequiresAccessToken: true,
		Output: []manifestFile{}, Deleted: []manifestFile{}, Error: []manifestFile{}}
	for _, from := range o.Sources {
		for _, typ := range slices.Sorted(maps.Keys(from.Counts)) {
			m.Output = append(m.Output, manifestFile{Type: typ, Input: from.URL, Count: from.Counts[typ], Extension: danglingReferences(from.Dangling[typ])})
		}
	}
	m.Extension = danglingReferences(o.all(source.dangling))
	if o.Blocks {
		m.OutputOrganizedBy = "Patient"
	}
	at := fmt.Sprintf("%s/%s/bulk/%s/", e.origin(r), p.Slug, r.PathValue("export"))
	for i, f := range o.Files {
		item := manifestFile{Type: f.Type, URL: at + f.name(i), Count: f.Lines}
		if f.Next != 0 {
			item.Next = at + o.Files[f.Next].name(f.Next)
		}
		if len(o.Sources) > 0 {
			item.Input = o.Sources[f.Source].URL
		}
		switch f.Kind {
		case outputFile, blockFile:
			m.Output = append(m.Output, item)
		case deletedFile:
			m.Deleted = append(m.Deleted, item)
		case errorFile:
			m.Error = append(m.Error, item)
		}
	}
	slices.SortStableFunc(m.Output, func(a, b manifestFile) int { return strings.Compare(a.Type, b.Type) })
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	w.Header().Set("Expires", time.UnixMicro(o.expires).UTC().Format(http.TimeFormat))
	write(w, r, http.StatusOK, "application/json", body)
	return nil
}

// origin is what addresses begin with.
func (e *Exports) origin(r *http.Request) string {
	switch {
	case e.o.Origin != "":
		return e.o.Origin
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// send gives a file, part by part. Who asks is looked at anew before each part: whose right ends does not get the rest of a file that
// is on its way. Of each part the access to its patients is on record before its first byte leaves, and what the one who asks may no
// longer read is left out.
func (e *Exports) send(w http.ResponseWriter, r *http.Request, p auth.Practice, o *order, name string) error {
	ctx := r.Context()
	number, _, _ := strings.Cut(name, ".")
	n, err := strconv.Atoi(number)
	if o.state != done || err != nil || n < 0 || n >= len(o.Files) || o.Files[n].Kind == inputFile || o.Files[n].Kind == bucketFile || name != o.Files[n].name(n) {
		return gone()
	}
	h := w.Header()
	h.Set("Content-Type", "application/fhir+ndjson")
	h.Set("Accept-Ranges", "none")
	h.Set("Content-Disposition", "attachment")
	h.Set("Vary", "Accept-Encoding")
	if r.Method == http.MethodHead {
		return nil
	}
	var out io.Writer = w
	var packed *gzip.Writer
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		packed, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
		out = packed
	}
	control := http.NewResponseController(w)
	held, err := e.o.Hold(ctx, p, r.Header.Get("Authorization")) // the minutes of a token may end while a large file is sent
	if err != nil {
		return err
	}
	begun := false
	var head *line // of a block none of whose lines was sent yet
	for part := range o.Files[n].Parts {
		var text []byte
		s, err := e.o.Resume(ctx, p, held)
		if err == nil {
			text, err = e.part(ctx, s, o, n, part, &head)
		}
		if err != nil {
			if !begun {
				h.Del("Content-Encoding")
				return err
			}
			e.o.Log.Warn("a file of an export ended early", "practice", p.ID, "error", err)
			panic(http.ErrAbortHandler) // the client must not take half a file for a whole one
		}
		begun = true
		// A large file may take longer than other answers; a client that takes nothing for a while is cut off.
		_ = control.SetWriteDeadline(e.clock.Now().Add(time.Minute))
		if _, err := out.Write(text); err != nil {
			return nil
		}
	}
	if packed != nil {
		_ = packed.Close()
	}
	return nil
}

// acceptsGzip says whether an Accept-Encoding header takes gzip.
func acceptsGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, q, _ := strings.Cut(strings.ReplaceAll(one, " ", ""), ";")
		if name == "gzip" {
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}

// part gives the lines of a part that may be sent, after the access is on record. head is carried from part to part: a block of which
// nothing may be sent has no header either, and the header of one of which something may goes before that.
func (e *Exports) part(ctx context.Context, s db.Scope, o *order, n, part int, head **line) ([]byte, error) {
	var lines []line
	err := e.o.DB.View(ctx, s, func(tx *db.Tx) error {
		sealed, err := loadPart(ctx, tx, o.h, n, part)
		if err != nil {
			return err
		}
		if sealed == nil {
			return gone() // deleted while it was being sent
		}
		if lines, err = openPart(tx.Practice(), tx.Keys(), o.h, n, part, sealed); err != nil {
			return err
		}
		if o.Files[n].Kind != outputFile && o.Files[n].Kind != blockFile {
			return nil
		}
		last, err := e.o.Store.LastChange(ctx, tx)
		if err != nil || !o.Mixed && last == o.Change && accessOf(s) == o.Access {
			return err
		}
		lines, err = e.stillSeen(ctx, tx, lines)
		return err
	})
	if err != nil {
		return nil, err
	}
	if o.Files[n].Kind == blockFile {
		lines = headed(lines, head)
	}
	var links []string
	seen := map[string]bool{}
	size, resources := 0, 0
	for _, l := range lines {
		size += len(l.text) + 1
		if l.ref != "" {
			resources++
		}
		if l.patient != "" && !seen[l.patient] {
			seen[l.patient] = true
			links = append(links, l.patient)
		}
	}
	f := o.Files[n]
	if f.Kind != errorFile {
		if err := e.o.Audit.Seen(ctx, s, audit.Event{Action: audit.ActionExport, Type: f.Type, Links: links, Detail: fmt.Sprintf("bulk export, %d resources", resources)}); err != nil {
			return nil, err
		}
	}
	text := make([]byte, 0, size)
	for _, l := range lines {
		text = append(append(text, l.text...), '\n')
	}
	return text, nil
}

// stillSeen leaves out what the scope may not read now: because of a consent, a role, a label, or because it is gone.
func (e *Exports) stillSeen(ctx context.Context, tx *db.Tx, lines []line) ([]line, error) {
	const batch = 500
	out := lines[:0]
	for some := range slices.Chunk(lines, batch) {
		refs := make([]string, 0, batch)
		for _, l := range some {
			if l.ref != "" {
				refs = append(refs, l.ref)
			}
		}
		there, err := e.o.Store.ReadMany(ctx, tx, refs)
		if err != nil {
			return nil, err
		}
		for _, l := range some {
			if l.ref == "" || there[l.ref] != nil {
				out = append(out, l)
			}
		}
	}
	return out, nil
}
