package prove

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/backup"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/files"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// Erasure is the proof that a practice whose key was destroyed is gone: twenty strings that were planted in it are found in no
// file, no write-ahead log and no backup, and neither the installation nor a restore gives them back. The control keeps the key.
//
// It does not cover copies of the key store that somebody made by `yarrow keys export`.
func Erasure() Proof {
	return Proof{Name: "erasure", Promise: "When a practice's key is destroyed, nothing of the practice can be read again, in backups neither.", Try: tryErasure}
}

// planted is how many strings are looked for.
const planted = 20

const (
	erased = db.PracticeID(1)
	stays  = db.PracticeID(2)
)

func tryErasure(ctx context.Context, r *Run) error {
	w, err := r.newWorld(ctx, "erasure", nil)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }()
	for _, p := range []db.PracticeID{erased, stays} {
		if err := w.db.Create(ctx, p); err != nil {
			return err
		}
	}
	mark := fmt.Sprintf("zq%xcanary", r.random(1).Uint64())
	canaries := make([]string, planted)
	for i := range canaries {
		canaries[i] = fmt.Sprintf("%s%02d", mark, i)
	}
	ref, err := w.plant(ctx, canaries)
	if err != nil {
		return err
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	copyAt := filepath.Join(r.Dir, "backup.age")
	scope := func(p db.PracticeID) db.Scope { return auth.SystemScope(p, "prove") }
	if _, err := backup.Write(ctx, copyAt, backup.Options{DB: w.db, Scope: scope, To: []age.Recipient{identity.Recipient()},
		Settle: func(ctx context.Context, p db.PracticeID) error { return w.log.Settle(ctx, scope(p)) }}); err != nil {
		return err
	}
	before, err := w.readBack(ctx, canaries, ref)
	if err != nil {
		return err
	}
	if r.Count("strings readable before", int64(before)); before != planted {
		return fmt.Errorf("prove: only %d of %d strings can be read before anything was erased", before, planted)
	}
	if !r.Control {
		if _, err := w.ring.Destroy(int64(erased)); err != nil {
			return err
		}
	}
	after, err := w.readBack(ctx, canaries, ref)
	if err == nil {
		r.Fail("the practice still opens, and %d of %d strings can be read", after, planted)
	} else if issue := (*fhir.Issue)(nil); !errors.As(err, &issue) || issue.Code != "deleted" {
		return err
	}
	if err := w.db.View(ctx, scope(stays), func(tx *db.Tx) error { return nil }); err != nil {
		r.Fail("another practice does not open any more: %v", err)
	}
	// With the files as they lie on the disk while it runs, and again after an orderly end.
	s := search{r: r, needles: needlesOf(mark)}
	if err := s.folder(r.Dir); err != nil {
		return err
	}
	if r.Engine.Files != "" {
		if err := s.folder(r.Engine.Files); err != nil {
			return err
		}
	}
	if err := s.backup(copyAt, identity); err != nil {
		return err
	}
	if err := w.restores(ctx, copyAt, identity); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	if err := s.folder(r.Dir); err != nil {
		return err
	}
	return w.open(ctx)
}

// plant puts the strings into every kind of place that holds what people say: names, addresses, numbers, codes' texts, notes,
// narrative, extensions, a document's bytes, the audit's details.
func (w *world) plant(ctx context.Context, c []string) (ref string, err error) {
	s := auth.SystemScope(erased, "prove")
	q := func(i int) string { b, _ := json.Marshal(c[i]); return string(b) }
	note := base64.StdEncoding.EncodeToString([]byte("Seen today. " + c[10] + " was said."))
	bundle := fmt.Sprintf(`{"resourceType":"Bundle","type":"transaction","entry":[
{"fullUrl":"urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001","request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","name":[{"family":%s,"given":[%s]}],
 "telecom":[{"system":"phone","value":%s},{"system":"email","value":%s}],"address":[{"line":[%s],"city":%s}],"identifier":[{"system":"https://example.org/mrn","value":%s}],
 "contact":[{"name":{"text":%s}}],"extension":[{"url":"https://example.org/x","valueString":%s}]}},
{"request":{"method":"POST","url":"Condition"},"resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001"},"code":{"text":%s}}},
{"request":{"method":"POST","url":"DocumentReference"},"resource":{"resourceType":"DocumentReference","status":"current","subject":{"reference":"urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001"},"content":[{"attachment":{"contentType":"text/plain","data":%q}}]}},
{"request":{"method":"POST","url":"Observation"},"resource":{"resourceType":"Observation","status":"final","code":{"text":%s},"subject":{"reference":"urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001"},"valueString":%s,"note":[{"text":%s}]}},
{"request":{"method":"POST","url":"AllergyIntolerance"},"resource":{"resourceType":"AllergyIntolerance","patient":{"reference":"urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001"},"code":{"text":%s}}},
{"request":{"method":"POST","url":"Appointment"},"resource":{"resourceType":"Appointment","status":"booked","comment":%s,"participant":[{"actor":{"reference":"urn:uuid:0f5c2c7e-8f0a-4a3e-9d64-000000000001"},"status":"accepted"}]}},
{"request":{"method":"POST","url":"Communication"},"resource":{"resourceType":"Communication","status":"completed","payload":[{"contentString":%s}]}}]}`,
		q(0), q(1), q(2), q(3), q(4), q(5), q(6), q(7), q(8), q(9), note, q(11), q(12), q(13), q(14), q(15), q(16))
	if _, err := w.store.Apply(ctx, s, []byte(bundle), fhirstore.ApplyOptions{}); err != nil {
		return "", err
	}
	err = w.db.Do(ctx, s, func(tx *db.Tx) error {
		p, err := files.Prepare(erased, tx.Keys(), []byte("A scanned letter. "+c[17]), "text/plain")
		if err != nil {
			return err
		}
		blob, err := files.Put(ctx, tx, p)
		ref = blob.Ref
		return err
	})
	if err != nil {
		return "", err
	}
	// One packed, one that waits.
	if err := w.log.Seen(ctx, s, audit.Event{Action: audit.ActionRead, Detail: c[18]}); err != nil {
		return "", err
	}
	if _, _, err := w.log.Sequence(ctx, s); err != nil {
		return "", err
	}
	return ref, w.log.Seen(ctx, s, audit.Event{Action: audit.ActionRead, Detail: c[19]})
}

// readBack says how many of the strings the installation itself gives back.
func (w *world) readBack(ctx context.Context, canaries []string, ref string) (int, error) {
	s := auth.SystemScope(erased, "prove")
	var all bytes.Buffer
	err := w.db.View(ctx, s, func(tx *db.Tx) error {
		for _, typ := range []string{"Patient", "Condition", "DocumentReference", "Observation", "AllergyIntolerance", "Appointment", "Communication"} {
			list, err := w.store.Find(ctx, tx, typ)
			if err != nil {
				return err
			}
			for _, r := range list {
				all.Write(r.Raw)
				for _, part := range strings.FieldsFunc(string(r.Raw), func(c rune) bool { return c == '"' }) {
					if b, err := base64.StdEncoding.DecodeString(part); err == nil {
						all.Write(b)
					}
				}
			}
		}
		_, content, err := files.Get(ctx, tx, ref)
		all.Write(content)
		return err
	})
	if err != nil {
		return 0, err
	}
	entries, err := w.log.Find(ctx, s, audit.Filter{Limit: 1000})
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		all.WriteString(e.Detail)
	}
	n := 0
	for _, c := range canaries {
		if bytes.Contains(all.Bytes(), []byte(c)) {
			n++
		}
	}
	return n, nil
}

// restores tries to bring the practice back from the backup with the keys that are left.
func (w *world) restores(ctx context.Context, path string, identity age.Identity) error {
	if w.r.Engine.App != "" {
		return nil // there is no second empty database; the embedded trial covers it, since backups are the same for both
	}
	o := keys.DefaultOptions(filepath.Join(w.r.Dir, "restored"))
	o.MasterText, o.MasterFile, o.StoreDir, o.Clock = "", w.place+".master.key", w.place+".keys", w.clock
	ring, _, err := keys.Open(o)
	if err != nil {
		return err
	}
	d, err := db.Open(ctx, db.Options{DataDir: filepath.Join(w.r.Dir, "restored"), Keys: ring, Clock: w.clock})
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = backup.Restore(ctx, f, backup.RestoreOptions{DB: d, Keys: ring, Practice: erased, Who: []age.Identity{identity},
		Scope: func(p db.PracticeID) db.Scope { return auth.SystemScope(p, "prove") }})
	w.r.Count("restores tried", 1)
	if err == nil {
		w.r.Fail("the practice came back from the backup")
	}
	return nil
}

// search looks for the planted strings as a thief would.
type search struct {
	r       *Run
	needles [][]byte
}

// needlesOf is the common beginning of the strings in the forms that bytes may have it.
func needlesOf(mark string) [][]byte {
	out := [][]byte{[]byte(mark), []byte(strings.ToUpper(mark)), []byte(hex.EncodeToString([]byte(mark)))}
	var little, big []byte
	for _, u := range utf16.Encode([]rune(mark)) {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	out = append(out, little, big)
	for shift := range 3 { // base64 of it anywhere in a longer text: what does not depend on the neighbours
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), mark...))
		out = append(out, []byte(enc[4:len(enc)-4]))
	}
	return out
}

// stream looks through bytes, piece by piece.
func (s *search) stream(where string, in io.Reader) error {
	const piece, overlap = 1 << 20, 256
	buf := make([]byte, 0, piece+overlap)
	for {
		n, err := io.ReadFull(in, buf[len(buf):len(buf)+piece])
		buf = buf[:len(buf)+n]
		for _, needle := range s.needles {
			if bytes.Contains(buf, needle) {
				s.r.Fail("a planted string is in %s", where)
				return nil
			}
		}
		s.r.Count("bytes searched", int64(n))
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		keep := min(overlap, len(buf))
		buf = buf[:copy(buf[:keep], buf[len(buf)-keep:])]
	}
}

func (s *search) folder(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a database's file that went while we looked
			}
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		s.r.Count("files searched", 1)
		return s.stream(filepath.Base(path), f)
	})
}

// backup looks into a backup as whoever may open it.
func (s *search) backup(path string, identity age.Identity) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := age.Decrypt(f, identity)
	if err != nil {
		return err
	}
	z, err := zstd.NewReader(plain)
	if err != nil {
		return err
	}
	defer z.Close()
	s.r.Count("backups opened and searched", 1)
	return s.stream("the opened backup", z)
}
