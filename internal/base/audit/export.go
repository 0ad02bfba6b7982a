package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
)

// An exported log is NDJSON: a line that names the format and the key, then every entry by position, with a line for
// each signed checkpoint right after the entry it ends with. The last line is a checkpoint.

// ExportFormat names the form of exported logs.
const ExportFormat = "yarrow-audit-log-1"

// Line is an entry as it is exported: what its leaf hash is made of, and the same in words.
type Line struct {
	Position int64     `json:"position"`
	ID       int64     `json:"id,string"`
	Salt     string    `json:"salt"`  // base64
	Bytes    string    `json:"bytes"` // base64 of the canonical bytes
	Leaf     tlog.Hash `json:"leaf"`
	Says     Words     `json:"says"`
}

// Words is what an entry says, for people and programs.
type Words struct {
	At         string   `json:"at"`
	Kind       string   `json:"kind"`
	User       int64    `json:"user,omitempty"`
	Name       string   `json:"name,omitempty"`
	Reference  string   `json:"reference,omitempty"`
	Role       string   `json:"role,omitempty"`
	OnBehalf   string   `json:"onBehalf,omitempty"`
	Session    string   `json:"session,omitempty"`
	Request    string   `json:"request,omitempty"`
	Program    string   `json:"program,omitempty"`
	Address    string   `json:"address,omitempty"`
	Action     string   `json:"action"`
	Type       string   `json:"type,omitempty"`
	Resource   string   `json:"resource,omitempty"`
	Version    int64    `json:"version,omitempty"`
	Patient    string   `json:"patient,omitempty"`
	Outcome    string   `json:"outcome"`
	Purpose    string   `json:"purpose"`
	Categories []string `json:"categories,omitempty"`
	Labels     int64    `json:"labels,omitempty"`
	Detail     string   `json:"detail,omitempty"`
	Links      []string `json:"links,omitempty"`
}

// WordsOf says an entry.
func WordsOf(e *Entry) Words {
	w := Words{At: stamp(e.At), Kind: e.Actor.Kind, User: e.Actor.UserID, Name: e.Actor.Display, Reference: e.Actor.FHIR, Role: e.Actor.Role,
		OnBehalf: e.Actor.OnBehalf, Session: e.Actor.Session, Request: e.Actor.Request, Program: e.Actor.Client, Address: e.Actor.Address,
		Action: e.Action, Type: e.Type, Resource: e.Event.ID, Version: e.Version, Patient: e.Patient, Outcome: e.Outcome, Purpose: e.Purpose,
		Categories: e.Categories, Labels: e.Labels, Detail: e.Detail, Links: e.Links}
	if w.Outcome == "" {
		w.Outcome = OutcomeSuccess
	}
	if w.Purpose == "" {
		w.Purpose = PurposeTreatment
	}
	return w
}

func lineOf(k *keys.Practice, position int64, i item) (Line, error) {
	e, err := i.entry()
	if err != nil {
		return Line{}, err
	}
	salt := saltOf(k, i.id)
	return Line{Position: position, ID: i.id, Salt: base64.StdEncoding.EncodeToString(salt), Bytes: base64.StdEncoding.EncodeToString(i.bytes),
		Leaf: tlog.RecordHash(leafText(k.ID(), position, i.id, salt, i.bytes)), Says: WordsOf(&e)}, nil
}

// check computes the leaf of a line and says what is wrong with it, or "".
func (l *Line) check(practice int64) (leaf tlog.Hash, what string) {
	salt, err := base64.StdEncoding.Strict().DecodeString(l.Salt)
	if err != nil || len(salt) != saltSize {
		return leaf, "its salt was changed"
	}
	canonical, err := base64.StdEncoding.Strict().DecodeString(l.Bytes)
	if err != nil {
		return leaf, "its bytes were changed"
	}
	e, err := decodeEntry(l.ID, canonical)
	if err != nil {
		return leaf, "its bytes were changed"
	}
	leaf = tlog.RecordHash(leafText(practice, l.Position, l.ID, salt, canonical))
	if leaf != l.Leaf {
		return leaf, "it does not have its hash: it was changed or moved"
	}
	want, err1 := json.Marshal(WordsOf(&e))
	got, err2 := json.Marshal(l.Says)
	if err1 != nil || err2 != nil || !bytes.Equal(want, got) {
		return leaf, "its words do not say what its bytes say"
	}
	return leaf, ""
}

type exportHead struct {
	Log      string `json:"log"`
	Practice int64  `json:"practice"`
	Key      string `json:"key"`
}

type exportCheckpoint struct {
	Checkpoint string `json:"checkpoint"`
}

// Export writes the whole log of a practice, up to a checkpoint that it signs. It returns that checkpoint.
func (l *Log) Export(ctx context.Context, s db.Scope, w io.Writer) (end Signed, err error) {
	for more := true; more; {
		if _, more, err = l.Sequence(ctx, s); err != nil {
			return end, err
		}
	}
	end, _, err = l.Checkpoint(ctx, s, true)
	if err != nil {
		return end, err
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	marks := map[int64]string{}
	err = l.db.View(ctx, s, func(tx *db.Tx) error {
		if err := enc.Encode(exportHead{ExportFormat, int64(tx.Practice()), PublicKey(tx.Keys())}); err != nil {
			return err
		}
		all, err := checkpointsOf(ctx, tx)
		for _, c := range all {
			marks[c.Position] = c.Note
		}
		return err
	})
	if err != nil {
		return end, err
	}
	for position := int64(1); position <= end.Position; {
		// One pack at a time, so that writers and vacuum are not held up by a long export.
		err := l.db.View(ctx, s, func(tx *db.Tx) error {
			t := &tree{ctx: ctx, tx: tx}
			for first := true; position <= end.Position && (first || len(t.cache) < 2); first = false {
				i, err := t.at(position)
				if err != nil {
					return err
				}
				line, err := lineOf(tx.Keys(), position, i)
				if err != nil {
					return err
				}
				if err := enc.Encode(line); err != nil {
					return err
				}
				if mark, ok := marks[position]; ok {
					if err := enc.Encode(exportCheckpoint{mark}); err != nil {
						return err
					}
				}
				position++
			}
			return nil
		})
		if err != nil {
			return end, err
		}
	}
	return end, out.Flush()
}

// practiceOf reads the number of the practice out of the name of its key.
func practiceOf(vkey string) (int64, bool) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return 0, false
	}
	n, ok := strings.CutPrefix(v.Name(), originOf(0)[:len(originOf(0))-1])
	id, err := strconv.ParseInt(n, 10, 64)
	return id, ok && err == nil
}

// VerifyExport checks an exported log with nothing but the practice's public key, and against receipts kept
// elsewhere. It reads to the first fault, which it names by position.
func VerifyExport(r io.Reader, vkey string, receipts ...Receipt) (Report, error) {
	var report Report
	practice, ok := practiceOf(vkey)
	if !ok {
		return report, fmt.Errorf("the public key cannot be read")
	}
	known := map[int64]Signed{}
	for n := range receipts {
		c, err := receipts[n].Check(vkey)
		if err != nil {
			return report, fmt.Errorf("receipt %d: %w", n+1, err)
		}
		known[c.Position] = c
	}
	v := exportVerifier{practice: practice, vkey: vkey, known: known, report: &report}
	in := bufio.NewReaderSize(r, 1<<16)
	for n := 1; report.Fault == nil; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil && err != io.EOF {
			return report, err
		}
		v.line(n, line, err == io.EOF)
	}
	v.end()
	return report, nil
}

type exportVerifier struct {
	practice int64
	vkey     string
	known    map[int64]Signed
	report   *Report
	e        edge
	signed   Checkpoint // the last checkpoint met
}

func (v *exportVerifier) fault(position, id int64, what string) {
	v.report.Fault = &Fault{position, id, what}
}

func (v *exportVerifier) line(n int, line []byte, cut bool) {
	next := v.e.size + 1
	switch {
	case cut:
		v.fault(next, 0, "the log ends in the middle of a line")
	case n == 1:
		var h exportHead
		if !readLine(line, &h) || h.Log != ExportFormat || h.Practice != v.practice || h.Key != strings.TrimSpace(v.vkey) {
			v.fault(0, 0, "the first line is not that of a log signed with this key")
		}
	case bytes.HasPrefix(line, []byte(`{"checkpoint":`)):
		var c exportCheckpoint
		if !readLine(line, &c) {
			v.fault(next, 0, "a checkpoint cannot be read")
			return
		}
		s, err := OpenCheckpoint(c.Checkpoint, v.vkey)
		switch {
		case err != nil:
			v.fault(next, 0, err.Error())
		case s.Position != v.e.size:
			v.fault(next, 0, fmt.Sprintf("a checkpoint over %d entries stands after %d: entries are missing or were added", s.Position, v.e.size))
		case s.Hash != v.e.root():
			v.fault(v.signed.Position+1, 0, fmt.Sprintf("an entry from here to position %d is not the one that was signed", v.e.size))
		}
		v.signed = s.Checkpoint
	default:
		v.entry(next, line)
	}
}

// readLine reads a line that is written exactly as Export writes it: not even white space, an escape or the case of a
// name may differ.
func readLine(line []byte, into any) bool {
	if json.Unmarshal(line, into) != nil {
		return false
	}
	var again bytes.Buffer
	enc := json.NewEncoder(&again)
	enc.SetEscapeHTML(false)
	return enc.Encode(into) == nil && bytes.Equal(again.Bytes(), line)
}

func (v *exportVerifier) entry(next int64, line []byte) {
	var l Line
	if !readLine(line, &l) {
		v.fault(next, l.ID, "the line was changed and cannot be read")
		return
	}
	if l.Position != next {
		v.fault(next, l.ID, fmt.Sprintf("the entry of position %d stands here: entries are missing or were moved", l.Position))
		return
	}
	leaf, what := l.check(v.practice)
	if what != "" {
		v.fault(next, l.ID, what)
		return
	}
	v.e.add(leaf, nil)
	v.report.Entries++
	if c, ok := v.known[v.e.size]; ok && c.Hash != v.e.root() {
		v.fault(v.signed.Position+1, 0, fmt.Sprintf("the log does not pass through the receipt over %d entries: history was rewritten", c.Position))
	}
}

func (v *exportVerifier) end() {
	r := v.report
	r.End = v.e.checkpoint()
	if r.Fault != nil {
		return
	}
	for size := range v.known {
		if size > v.e.size {
			v.fault(v.e.size+1, 0, fmt.Sprintf("a receipt knows %d entries: the end was cut off or rolled back", size))
			return
		}
	}
	if v.signed.Position != v.e.size || v.e.size == 0 {
		v.fault(v.signed.Position+1, 0, "nothing signed covers the log from here: its end was cut off or changed")
	}
}
