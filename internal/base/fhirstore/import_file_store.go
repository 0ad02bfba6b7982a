package fhirstore

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

var (
	selectImport = db.SQL(`SELECT entries, done FROM import_file WHERE practice_id = $1 AND h = $2`)
	upsertImport = db.SQL(`INSERT INTO import_file (practice_id, h, entries, done, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (practice_id, h) DO UPDATE SET entries = excluded.entries, done = excluded.done, at = excluded.at`)
	selectKnown = db.SQL(`SELECT idh FROM resource WHERE practice_id = $1 AND idh {in $2} AND deleted = 0`)
)

// fileMark is how far a file, known by the hash of its content, has been taken in.
type fileMark struct {
	sum     string
	entries int64
	done    bool
	holes   bool // something before was refused: the next run begins there again
}

// identify gives a resource without id one that is the same in every run over the same file.
func (m fileMark) identify(n *fhirjson.Node, at int) {
	if n.Kind() != fhirjson.Object || n.Get("id") != nil || n.Get("resourceType") == nil {
		return
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%d", m.sum, at))
	u := [16]byte(sum[:16])
	u[6] = u[6]&0x0f | 0x80 // RFC 9562 version 8
	u[8] = u[8]&0x3f | 0x80
	n.Set("id", fhirjson.NewString(uuidText(u)))
}

// refused says whether an entry was.
func (b *bundle) refused() bool {
	return slices.ContainsFunc(b.entries, func(e *entry) bool { return e.result.Issues.HasErrors() })
}

func (run *importRun) mark(ctx context.Context, data []byte) (m fileMark, k keyspace, err error) {
	sum := sha256.Sum256(data)
	m.sum = hex.EncodeToString(sum[:])
	err = run.im.Store.db.View(ctx, run.im.Scope, func(tx *db.Tx) error {
		k = keyspaceOf(tx.Keys())
		var done int64
		err := tx.QueryRow(ctx, selectImport, int64(tx.Practice()), k.sum("file", m.sum)).Scan(&m.entries, &done)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		m.done = done != 0
		return err
	})
	return m, k, err
}

// commit records in the writing transaction how far the file is. A file is done when all of it was accepted.
func (m fileMark) commit(ctx context.Context, tx *db.Tx, entries int64, done bool) error {
	flag := int64(0)
	if done {
		flag = 1
	}
	_, err := tx.Exec(ctx, upsertImport, int64(tx.Practice()), keyspaceOf(tx.Keys()).sum("file", m.sum), entries, flag, tx.NowMicro())
	return err
}

// take imports one file.
func (run *importRun) take(ctx context.Context, path string) error {
	data, err := run.read(path)
	if err != nil {
		return err
	}
	m, k, err := run.mark(ctx, data)
	if err != nil {
		return err
	}
	if m.done {
		run.mu.Lock()
		defer run.mu.Unlock()
		run.report.Skipped++
		return nil
	}
	if !slices.Contains(run.named, path) && foreign(data) {
		w := fhir.Problem("informational", "This file of the folder holds no FHIR resources and was left out.", "Name the file itself if it should be imported.")
		w.Severity = "warning"
		run.fault(path, 0, *w)
		return nil
	}
	if isLines(path, data) {
		return run.lines(ctx, path, data, m, k)
	}
	n, err := fhirjson.Parse(data, fhirjson.Limits{Bytes: len(data)})
	if err != nil {
		return fhir.Issues{*fhir.SyntaxIssue(err)}
	}
	if n.Get("resourceType").Text() != "Bundle" {
		m.identify(n, 1)
		return run.resources(ctx, path, []*fhirjson.Node{n}, []int{1}, &m, k, 1, true)
	}
	items := n.Get("entry").Items()
	for i := range items {
		m.identify(items[i].Get("resource"), i)
	}
	b, issue := parseBundle(n, true)
	if issue != nil {
		return fhir.Issues{*issue}
	}
	result, err := run.im.Store.apply(ctx, run.im.Scope, b, ApplyOptions{KeepIDs: true, Loose: true, Synthetic: run.im.Synthetic, conditions: run.conditions,
		audit: auditBatch, within: func(ctx context.Context, tx *db.Tx) error {
			return m.commit(ctx, tx, int64(len(b.entries)), !b.refused())
		}})
	if err != nil {
		return run.placed(err, data, n)
	}
	for _, e := range b.entries {
		if e.result.Issues != nil {
			run.fault(path, 0, run.located(e.result.Issues, data, n)...)
		}
	}
	if len(result.Warnings) > 0 {
		run.fault(path, 0, run.located(result.Warnings, data, n)...)
	}
	run.wrote(k, b.entries)
	return nil
}

// placed gives the issues in an error the line of their entry.
func (run *importRun) placed(err error, data []byte, n *fhirjson.Node) error {
	var issues fhir.Issues
	if errors.As(err, &issues) {
		return fhir.Issues(run.located(issues, data, n))
	}
	return err
}

func (run *importRun) located(issues fhir.Issues, data []byte, n *fhirjson.Node) []fhir.Issue {
	items := n.Get("entry").Items()
	out := make([]fhir.Issue, len(issues))
	for i, issue := range issues {
		if e := entryOf(issue.Path); e >= 0 && e < len(items) && issue.Line == 0 {
			issue.Line, _ = fhirjson.Position(data, items[e].Offset())
		}
		out[i] = issue
	}
	return out
}

// Records pack to a twentieth, and the dullest to a hundredth: what unpacks to more, once it is large, is made to fill memory.
const (
	fairRatio = 200
	fairSize  = 32 << 20
)

var errBomb = errors.New("fhirstore: a file that unpacks without end")

// packedBytes counts the bytes of a file on their way to the unpacker z, and gives what comes out of it for as long as that is fair.
type packedBytes struct {
	r     io.Reader
	z     io.Reader // nil: nothing is packed
	n     int64     // bytes of the file
	plain int64
}

func (p *packedBytes) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}

// unpacked reads through p.z.
type unpacked struct{ *packedBytes }

func (u unpacked) Read(b []byte) (int, error) {
	n, err := u.z.Read(b)
	if u.plain += int64(n); u.plain > fairSize && u.plain > fairRatio*u.n {
		return 0, errBomb
	}
	return n, err
}

// read returns the bytes of a file, unpacked.
func (run *importRun) read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fhir.Problem("not-found", "The file cannot be read.", "Check that it exists and that you may read it.").Because(err)
	}
	defer f.Close()
	limit := run.im.MaxFile
	if limit <= 0 {
		limit = defaultMaxFile
	}
	packed := &packedBytes{r: f}
	in := bufio.NewReader(packed)
	var r io.Reader = in
	head, _ := in.Peek(2)
	if strings.HasSuffix(strings.ToLower(path), ".gz") && len(head) == 2 && !bytes.Equal(head, gzipMagic) && !bytes.ContainsAny(head[:1], "{ \t\r\n\xef") {
		return nil, fhir.Problem("structure", "The name ends in .gz, but this is not a gzip file.", "Get the file again from its source.")
	}
	if bytes.Equal(head, gzipMagic) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fhir.Problem("structure", "The gzip file is damaged.", "Get the file again from its source.").Because(err)
		}
		packed.z = z
		r = unpacked{packed}
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case errors.Is(err, errBomb):
		return nil, fhir.Problem("too-costly", "The file unpacks to far more than it holds, as only files do that are made to do harm.", "Get the file again from its source, or unpack it first.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fhir.Problem("incomplete", "The file ends too early.", "Get the file again from its source.").Because(err)
	case err != nil:
		return nil, fhir.Problem("structure", "The file is damaged.", "Get the file again from its source.").Because(err)
	case int64(len(data)) > limit:
		return nil, fhir.Problem("too-long", fmt.Sprintf("The file is larger than %d MB unpacked.", limit>>20), "Split it, or raise the limit.")
	case len(bytes.TrimSpace(data)) == 0:
		return nil, fhir.Problem("structure", "The file is empty.", "Export it again.")
	}
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), nil
}

// foreign says that data is JSON about something else, such as the log or the manifest that lies beside an export:
// its document, or the first of its lines, is an object without resourceType.
func foreign(data []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	if bytes.Contains(line, []byte(`"resourceType"`)) {
		return false
	}
	n, err := fhirjson.Parse(line, fhirjson.Limits{Bytes: len(data)})
	if err != nil && !bytes.Contains(data, []byte(`"resourceType"`)) {
		n, err = fhirjson.Parse(data, fhirjson.Limits{Bytes: len(data)})
	}
	return err == nil && n.Kind() == fhirjson.Object && n.Get("resourceType") == nil
}

var gzipMagic = []byte{0x1f, 0x8b}

// isLines tells NDJSON from one JSON document: its name says so, or its first line is a complete object and more
// follows.
func isLines(path string, data []byte) bool {
	if strings.HasSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".ndjson") {
		return true
	}
	line, rest, ok := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	if !ok || len(bytes.TrimSpace(rest)) == 0 {
		return false
	}
	_, err := fhirjson.Parse(line, fhirjson.Limits{})
	return err == nil
}

// linesPerCommit is how many lines of NDJSON share a transaction.
const linesPerCommit = 1000

// lines imports NDJSON: a resource a line. A line that is wrong is reported and left out.
func (run *importRun) lines(ctx context.Context, path string, data []byte, m fileMark, k keyspace) error {
	var nodes []*fhirjson.Node
	var numbers []int
	at := 0
	for line := range bytes.Lines(data) {
		at++
		if int64(at) <= m.entries || len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		n, err := fhirjson.Parse(bytes.TrimSpace(line), fhirjson.Limits{})
		if err != nil {
			issue := fhir.SyntaxIssue(err)
			issue.Line = 0
			run.fault(path, at, *issue)
			m.holes = true
		} else {
			m.identify(n, at)
			nodes, numbers = append(nodes, n), append(numbers, at)
		}
		if len(nodes) == linesPerCommit {
			if err := run.resources(ctx, path, nodes, numbers, &m, k, int64(at), false); err != nil {
				return err
			}
			nodes, numbers = nil, nil
		}
	}
	return run.resources(ctx, path, nodes, numbers, &m, k, int64(at), true)
}

// resources imports resources that stand alone, each on its own merits, with their progress in the file.
func (run *importRun) resources(ctx context.Context, path string, nodes []*fhirjson.Node, lines []int, m *fileMark, k keyspace, upTo int64, last bool) error {
	b := &bundle{kind: "batch", targets: map[string]string{}}
	for i, n := range nodes {
		e := &entry{index: i, node: n, typ: n.Get("resourceType").Text(), id: n.Get("id").Text(), method: "PUT"}
		if e.id == "" {
			e.method = "POST"
		}
		if typeCode(e.typ) == 0 {
			e.fail(fhir.Problem("structure", "This is not a resource of FHIR R4.", "Give it a resourceType of R4."))
		}
		b.entries = append(b.entries, e)
	}
	b.assign(true)
	_, err := run.im.Store.apply(ctx, run.im.Scope, b, ApplyOptions{KeepIDs: true, Loose: true, Synthetic: run.im.Synthetic, conditions: run.conditions,
		audit: auditBatch, within: func(ctx context.Context, tx *db.Tx) error {
			if m.holes || b.refused() {
				return nil
			}
			return m.commit(ctx, tx, upTo, last)
		}})
	if err != nil {
		return err
	}
	m.holes = m.holes || b.refused()
	for i, e := range b.entries {
		if e.result.Issues == nil {
			continue
		}
		issues := slices.Clone(e.result.Issues)
		for j := range issues {
			issues[j].Path = trimEntry(issues[j].Path)
		}
		run.fault(path, lines[i], issues...)
	}
	run.wrote(k, b.entries)
	return nil
}

// trimEntry turns a place in the bundle that resources makes up into one in the resource.
func trimEntry(path string) string {
	if entryOf(path) < 0 {
		return path
	}
	_, inner, _ := strings.Cut(path, ".ofType(")
	typ, rest, _ := strings.Cut(inner, ")")
	return typ + rest
}

// dangling counts the references that lead to nothing, in this import or before it.
func (run *importRun) dangling(ctx context.Context) error {
	var ask []int64
	for h := range run.refs {
		if !run.written[h] {
			ask = append(ask, h)
		}
	}
	missing := int64(len(ask))
	err := run.im.Store.db.View(ctx, run.im.Scope, func(tx *db.Tx) error {
		for len(ask) > 0 {
			n := min(len(ask), 5000)
			rows, err := tx.Query(ctx, selectKnown, int64(tx.Practice()), ask[:n])
			if err != nil {
				return err
			}
			for rows.Next() {
				missing--
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
			ask = ask[n:]
		}
		return nil
	})
	if missing > 0 && err == nil {
		run.report.Dangling = missing
		w := fhir.Problem("not-found", fmt.Sprintf("%d resources that others refer to are not here.", missing), "Import the files that hold them as well.")
		w.Severity = "warning"
		run.fault("", 0, *w)
	}
	return err
}
