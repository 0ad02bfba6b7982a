package backup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// Options of a backup. One of To and Passphrase is given.
type Options struct {
	DB         *db.DB
	Scope      func(db.PracticeID) db.Scope // in whose name a store is read
	Practices  []db.PracticeID              // these alone; nil: all of them and the system store
	To         []age.Recipient
	Passphrase string
	Progress   func(practice db.PracticeID, table string, rows int64) // may be nil
	// Settle puts what waits outside the practice's store, such as in the journal of the node, into it. It may be nil.
	Settle func(ctx context.Context, p db.PracticeID) error
	// Members gives what goes with a practice although it is kept elsewhere: its people and how they sign in. It may be nil.
	Members func(ctx context.Context, p db.PracticeID) ([]byte, error)
}

// Report says what a backup holds.
type Report struct {
	Created time.Time
	Bytes   int64 // of the file
	Stores  []StoreReport
}

// StoreReport says what a backup holds of one practice, or of the system store (0).
type StoreReport struct {
	Practice db.PracticeID
	Tables   []TableReport
	Members  []byte // what Options.Members gave; only from Restore
}

// TableReport gives the rows of a table and their SHA-256 in the order of the primary key.
type TableReport struct {
	Name string
	Rows int64
	Hash []byte

	columns []string // in the order of the backup
}

// Rows counts the rows of all tables.
func (r Report) Rows() (n int64) {
	for _, s := range r.Stores {
		for _, t := range s.Tables {
			n += t.Rows
		}
	}
	return n
}

// Write backs up to a new file. Each store is copied as it was at one instant, while work goes on. Before the file gets
// its name it is read back from the disk, decrypted and compared.
func Write(ctx context.Context, path string, o Options) (Report, error) {
	if _, err := os.Lstat(path); err == nil {
		return Report{}, fhir.Problem("conflict", fmt.Sprintf("There is a file %s already.", path), "Name another file, or move it away.")
	}
	recipients, identity, err := o.encryption()
	if err != nil {
		return Report{}, err
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Report{}, cannotWrite(path, err)
	}
	defer os.Remove(part) // without effect once it has its name
	defer f.Close()
	wrote, err := write(ctx, f, o, recipients)
	if err != nil {
		return Report{}, err
	}
	if err := f.Sync(); err != nil {
		return Report{}, cannotWrite(path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Report{}, cannotWrite(path, err)
	}
	read, err := Verify(ctx, f, identity)
	if err != nil {
		return Report{}, err
	}
	if err := same(wrote, read); err != nil {
		return Report{}, damaged("what was read back is not what was written", err)
	}
	if err := giveName(part, path); err != nil {
		return Report{}, cannotWrite(path, err)
	}
	if err := keys.SyncFolder(filepath.Dir(path)); err != nil {
		return Report{}, cannotWrite(path, err)
	}
	st, err := f.Stat()
	if err != nil {
		return Report{}, cannotWrite(path, err)
	}
	wrote.Bytes = st.Size()
	return wrote, nil
}

// giveName links the file, which unlike a rename never replaces one, and renames where there are no links.
func giveName(part, path string) error {
	err := os.Link(part, path)
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Rename(part, path)
}

func cannotWrite(path string, err error) error {
	return fhir.Problem("no-store", fmt.Sprintf("The backup %s cannot be written. There is no backup.", path),
		"Check that the folder exists, may be written to and has room.").Because(err)
}

// encryption gives the recipients of the file and an identity that can read it back. For recipients whose private half
// is elsewhere that is one made for this moment, which is forgotten afterwards.
func (o Options) encryption() ([]age.Recipient, age.Identity, error) {
	switch {
	case o.Passphrase != "" && len(o.To) == 0:
		r, err := age.NewScryptRecipient(o.Passphrase)
		if err != nil {
			return nil, nil, err
		}
		i, err := age.NewScryptIdentity(o.Passphrase)
		return []age.Recipient{r}, i, err
	case o.Passphrase == "" && len(o.To) > 0:
		i, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, nil, err
		}
		return append(slices.Clone(o.To), i.Recipient()), i, nil
	}
	return nil, nil, fhir.Problem("required", "A backup is always encrypted, and it is not said to whom.",
		"Give either a recipient (age1…) or a passphrase.")
}

func write(ctx context.Context, w io.Writer, o Options, to []age.Recipient) (Report, error) {
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return Report{}, err
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return Report{}, err
	}
	buffered := bufio.NewWriterSize(packed, 1<<16)
	report, err := writeFrames(ctx, frameWriter{buffered}, o)
	if err != nil {
		return Report{}, err
	}
	for _, end := range []func() error{buffered.Flush, packed.Close, sealed.Close} {
		if err := end(); err != nil {
			return Report{}, cannotWrite("", err)
		}
	}
	return report, nil
}

func writeFrames(ctx context.Context, f frameWriter, o Options) (Report, error) {
	stores := slices.Clone(o.Practices)
	if stores == nil {
		all, err := o.DB.Practices(ctx)
		if err != nil {
			return Report{}, err
		}
		stores = append([]db.PracticeID{db.System}, all...)
	}
	r := Report{Created: o.DB.Clock().Now()}
	h := header{Format: formatNumber, Created: r.Created.Format(time.RFC3339Nano), Engine: o.DB.Engine().String()}
	for _, p := range stores {
		h.Stores = append(h.Stores, int64(p))
	}
	if err := f.json(headerFrame, h); err != nil {
		return r, err
	}
	for _, p := range stores {
		var members []byte
		if o.Members != nil && p != db.System {
			var err error
			if members, err = o.Members(ctx, p); err != nil {
				return r, err
			}
		}
		if o.Settle != nil && p != db.System {
			if err := o.Settle(ctx, p); err != nil {
				return r, err
			}
		}
		err := o.DB.View(ctx, o.Scope(p), func(tx *db.Tx) error {
			s, err := o.store(ctx, f, tx, members)
			r.Stores = append(r.Stores, s)
			return err
		})
		if err != nil {
			return r, err
		}
	}
	return r, f.json(footerFrame, footer{Stores: len(r.Stores), Rows: r.Rows()})
}

// membersPlace is what the sealed memberships are bound to.
func membersPlace(p db.PracticeID) []byte { return fmt.Appendf(nil, "backup members|%d", p) }

func (o Options) store(ctx context.Context, f frameWriter, tx *db.Tx, members []byte) (StoreReport, error) {
	r := StoreReport{Practice: tx.Practice()}
	schema, err := schemaOf(ctx, tx)
	if err != nil {
		return r, err
	}
	all, err := layouts(ctx, tx)
	if err != nil {
		return r, err
	}
	if members != nil {
		members = tx.Keys().Seal(nil, members, membersPlace(tx.Practice()))
	}
	if err := f.json(storeFrame, store{Practice: int64(tx.Practice()), Schema: schema, KeyCheck: keyCheck(tx), Members: members}); err != nil {
		return r, err
	}
	for _, l := range all {
		if err := f.json(tableFrame, l.table); err != nil {
			return r, err
		}
		sum := newSummer()
		var batch []byte
		err := eachRow(ctx, tx, l, l.Columns, func(values []any) (err error) {
			mark := len(batch)
			for _, v := range values {
				if batch, err = appendValue(batch, v); err != nil {
					return err
				}
			}
			sum.row(batch[mark:])
			if len(batch) < 1<<20 {
				return nil
			}
			if o.Progress != nil {
				o.Progress(tx.Practice(), l.Name, sum.rows)
			}
			err = f.frame(rowsFrame, batch)
			batch = batch[:0]
			return err
		})
		if err == nil && len(batch) > 0 {
			err = f.frame(rowsFrame, batch)
		}
		if err == nil {
			err = f.json(tableEnd, sum.sum())
		}
		if err != nil {
			return r, err
		}
		if o.Progress != nil {
			o.Progress(tx.Practice(), l.Name, sum.rows)
		}
		r.Tables = append(r.Tables, TableReport{Name: l.Name, Rows: sum.rows, Hash: sum.sum().Hash})
	}
	return r, f.frame(storeEnd, nil)
}

// keyCheck names the practice's keys without revealing them.
func keyCheck(tx *db.Tx) []byte { return tx.Keys().Derive("backup key check", 16) }

// same compares what two reports say was stored.
func same(a, b Report) error {
	if len(a.Stores) != len(b.Stores) {
		return fmt.Errorf("%d stores and %d stores", len(a.Stores), len(b.Stores))
	}
	for i := range a.Stores {
		if err := sameStore(a.Stores[i], b.Stores[i]); err != nil {
			return err
		}
	}
	return nil
}

func sameStore(a, b StoreReport) error {
	if a.Practice != b.Practice || len(a.Tables) != len(b.Tables) {
		return errors.New("the stores differ")
	}
	for i, t := range a.Tables {
		u := b.Tables[i]
		if t.Name != u.Name || t.Rows != u.Rows || !bytes.Equal(t.Hash, u.Hash) {
			return fmt.Errorf("practice %d, table %s: %d and %d rows", a.Practice, t.Name, t.Rows, u.Rows)
		}
	}
	return nil
}
