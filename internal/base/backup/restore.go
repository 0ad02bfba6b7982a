package backup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

// visitor is told what a backup holds, in order.
type visitor struct {
	// store begins a store; it calls body, once, to go through the tables.
	store func(s store, body bodyFunc) error
}

// Verify reads a whole backup, checks every count and hash, and says what it holds.
func Verify(ctx context.Context, r io.Reader, who ...age.Identity) (Report, error) {
	return walk(ctx, r, who, visitor{})
}

// RestoreOptions say where to.
type RestoreOptions struct {
	DB       *db.DB
	Keys     *keys.Ring
	Scope    func(db.PracticeID) db.Scope
	Practice db.PracticeID // this one alone; 0: everything, the system store included
	Who      []age.Identity
}

// Restore puts the stores of a backup into places that hold nothing. Each store comes whole or not at all, and is read
// back and compared. Errors are *fhir.Issue: a damaged or foreign file, a store that is not empty, missing or other
// keys, another schema.
func Restore(ctx context.Context, r io.Reader, o RestoreOptions) (Report, error) {
	found := false
	var done Report
	report, err := walk(ctx, r, o.Who, visitor{store: func(s store, body bodyFunc) error {
		id := db.PracticeID(s.Practice)
		if o.Practice != 0 && id != o.Practice {
			_, err := body(nil, nil)
			return err
		}
		found = true
		got, err := o.restoreStore(ctx, s, body)
		if err == nil {
			done.Stores = append(done.Stores, got)
		}
		return err
	}})
	done.Created = report.Created
	if err != nil {
		return done, err
	}
	if !found {
		return done, fhir.Problem("not-found", fmt.Sprintf("This backup does not hold practice %d.", o.Practice), "Look at what it holds with `yarrow backup verify`.")
	}
	return done, nil
}

type bodyFunc = func(begin func(t table) error, rows func([][]any) error) (StoreReport, error)

func (o RestoreOptions) restoreStore(ctx context.Context, s store, body bodyFunc) (StoreReport, error) {
	id := db.PracticeID(s.Practice)
	if _, err := o.Keys.Practice(s.Practice); err != nil { // before Create, which would make new ones
		return StoreReport{}, fhir.Problem("security", fmt.Sprintf("The keys of practice %d are not in this key store.", id),
			"Import the key export that belongs to this backup first.").Because(err)
	}
	if id != db.System {
		if err := o.DB.Create(ctx, id); err != nil {
			return StoreReport{}, err
		}
	}
	var wrote StoreReport
	ran := false
	err := o.DB.Do(ctx, o.Scope(id), func(tx *db.Tx) (err error) {
		if ran {
			return errors.New("backup: the store was changed by somebody else while it was being restored")
		}
		ran = true
		if !bytes.Equal(keyCheck(tx), s.KeyCheck) {
			return fhir.Problem("security", fmt.Sprintf("The keys of practice %d in this key store are not those of the backup.", id),
				"Use the key store, or import the key export, that belongs to this backup.")
		}
		if wrote, err = load(ctx, tx, s, body); err != nil || len(s.Members) == 0 {
			return err
		}
		if wrote.Members, err = tx.Keys().Open(nil, s.Members, membersPlace(id)); err != nil {
			return damaged("its memberships do not open with the practice's key", err)
		}
		return nil
	})
	if err != nil {
		return StoreReport{}, err
	}
	err = o.DB.View(ctx, o.Scope(id), func(tx *db.Tx) error {
		read, err := reread(ctx, tx, wrote)
		if err == nil {
			err = sameStore(wrote, read)
		}
		return err
	})
	if err != nil {
		return StoreReport{}, damaged("what was restored does not read back the same", err)
	}
	return wrote, nil
}

// load writes the rows of one store in the transaction.
func load(ctx context.Context, tx *db.Tx, s store, body bodyFunc) (StoreReport, error) {
	id := tx.Practice()
	schema, err := schemaOf(ctx, tx)
	if err != nil {
		return StoreReport{}, err
	}
	if !slices.Equal(schema, s.Schema) {
		return StoreReport{}, fhir.Problem("not-supported", fmt.Sprintf("The backup has schema %v, and this Yarrow has %v.", s.Schema, schema),
			"Restore with the version of Yarrow that wrote the backup, then bring the data up to date with this one.")
	}
	all, err := layouts(ctx, tx)
	if err != nil {
		return StoreReport{}, err
	}
	free, err := empty(ctx, tx, all)
	if err != nil {
		return StoreReport{}, err
	}
	if !free {
		return StoreReport{}, fhir.Problem("conflict", fmt.Sprintf("Practice %d holds data already. Nothing was restored into it.", id),
			"Restore into an empty data folder or database.")
	}
	var ins *db.Insert
	return body(func(t table) error {
		i := slices.IndexFunc(all, func(l layout) bool { return l.Name == t.Name })
		if i < 0 || !equalSets(all[i].Columns, t.Columns) {
			return damaged("its table "+t.Name+" is not one of this schema", nil)
		}
		ins = inserting(t)
		return nil
	}, func(rows [][]any) error {
		tx.InsertMany(ins, rows)
		return ctx.Err()
	})
}

func equalSets(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// reread hashes the tables as they are stored now, with the columns in the order of the schema.
func reread(ctx context.Context, tx *db.Tx, wrote StoreReport) (StoreReport, error) {
	out := StoreReport{Practice: tx.Practice()}
	all, err := layouts(ctx, tx)
	if err != nil {
		return out, err
	}
	for _, t := range wrote.Tables {
		i := slices.IndexFunc(all, func(l layout) bool { return l.Name == t.Name })
		if i < 0 {
			return out, fmt.Errorf("table %s is missing", t.Name)
		}
		sum := newSummer()
		var buf []byte
		err := eachRow(ctx, tx, all[i], t.columns, func(values []any) (err error) {
			buf = buf[:0]
			for _, v := range values {
				if buf, err = appendValue(buf, v); err != nil {
					return err
				}
			}
			sum.row(buf)
			return nil
		})
		if err != nil {
			return out, err
		}
		out.Tables = append(out.Tables, TableReport{Name: t.Name, Rows: sum.rows, Hash: sum.sum().Hash})
	}
	return out, nil
}

// walk decrypts a backup and goes through it to its last byte.
func walk(ctx context.Context, r io.Reader, who []age.Identity, v visitor) (Report, error) {
	open, err := age.Decrypt(bufio.NewReaderSize(r, 1<<16), who...)
	if err != nil {
		var other *age.NoIdentityMatchError
		if errors.As(err, &other) {
			return Report{}, fhir.Problem("security", "This backup is encrypted to somebody else.", "Use the identity file or the passphrase that belongs to it.").Because(err)
		}
		return Report{}, damaged("it is not an encrypted backup, or its beginning is damaged", err)
	}
	unpacked, err := zstd.NewReader(open, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16<<20))
	if err != nil {
		return Report{}, damaged("it cannot be unpacked", err)
	}
	defer unpacked.Close()
	report, err := walkFrames(ctx, &frameReader{r: bufio.NewReaderSize(unpacked, 1<<16)}, v)
	var issue *fhir.Issue
	var e effect
	if err != nil && ctx.Err() == nil && !errors.As(err, &issue) && !errors.As(err, &e) {
		err = damaged("its content is not whole", err)
	}
	if errors.As(err, &e) {
		err = e.error
	}
	return report, err
}

// effect is an error of the place restored to, as against one of the backup.
type effect struct{ error }

func walkFrames(ctx context.Context, f *frameReader, v visitor) (Report, error) {
	var h header
	if err := f.expect(headerFrame, &h); err != nil {
		return Report{}, err
	}
	if h.Format != formatNumber {
		return Report{}, fhir.Problem("not-supported", fmt.Sprintf("The backup has format %d, which this Yarrow does not know.", h.Format),
			"Use the version of Yarrow that wrote it.")
	}
	created, err := time.Parse(time.RFC3339Nano, h.Created)
	if err != nil {
		return Report{}, err
	}
	r := Report{Created: created}
	for {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		kind, payload, err := f.next()
		if err != nil {
			return r, unexpected(err)
		}
		switch kind {
		case storeFrame:
			var s store
			if err := json.Unmarshal(payload, &s); err != nil {
				return r, err
			}
			body := func(begin func(t table) error, rows func([][]any) error) (StoreReport, error) {
				got, err := walkStore(f, s, begin, rows)
				r.Stores = append(r.Stores, got)
				return got, err
			}
			if v.store == nil {
				_, err = body(nil, nil)
			} else {
				err = v.store(s, body)
			}
			if err != nil {
				return r, err
			}
		case footerFrame:
			var end footer
			if err := json.Unmarshal(payload, &end); err != nil {
				return r, err
			}
			if end.Stores != len(r.Stores) || end.Stores != len(h.Stores) || end.Rows != r.Rows() {
				return r, errors.New("the footer does not agree")
			}
			if _, err := f.r.ReadByte(); !errors.Is(err, io.EOF) {
				return r, fmt.Errorf("bytes after the footer: %w", err)
			}
			return r, nil
		default:
			return r, fmt.Errorf("an unknown frame %q", kind)
		}
	}
}

func walkStore(f *frameReader, s store, begin func(t table) error, give func([][]any) error) (StoreReport, error) {
	r := StoreReport{Practice: db.PracticeID(s.Practice)}
	for {
		kind, payload, err := f.next()
		if err != nil {
			return r, unexpected(err)
		}
		switch kind {
		case storeEnd:
			return r, nil
		case tableFrame:
			var t table
			if err := json.Unmarshal(payload, &t); err != nil {
				return r, err
			}
			if begin != nil {
				if err := begin(t); err != nil {
					return r, effect{err}
				}
			}
			got, err := walkTable(f, t, give)
			if err != nil {
				return r, err
			}
			r.Tables = append(r.Tables, got)
		default:
			return r, fmt.Errorf("an unknown frame %q", kind)
		}
	}
}

func walkTable(f *frameReader, t table, give func([][]any) error) (TableReport, error) {
	sum := newSummer()
	for {
		kind, payload, err := f.next()
		if err != nil {
			return TableReport{}, unexpected(err)
		}
		if kind == tableEnd {
			var end tableSum
			if err := json.Unmarshal(payload, &end); err != nil {
				return TableReport{}, err
			}
			got := sum.sum()
			if got.Rows != end.Rows || !bytes.Equal(got.Hash, end.Hash) {
				return TableReport{}, fmt.Errorf("table %s does not agree with its sum", t.Name)
			}
			return TableReport{Name: t.Name, Rows: got.Rows, Hash: got.Hash, columns: t.Columns}, nil
		}
		if kind != rowsFrame || len(t.Columns) == 0 {
			return TableReport{}, fmt.Errorf("a frame %q in table %s", kind, t.Name)
		}
		var rows [][]any
		for len(payload) > 0 {
			row := make([]any, len(t.Columns))
			start := payload
			for i := range row {
				if row[i], payload, err = readValue(payload); err != nil {
					return TableReport{}, err
				}
			}
			sum.row(start[:len(start)-len(payload)])
			rows = append(rows, row)
		}
		if give != nil {
			if err := give(rows); err != nil {
				return TableReport{}, effect{err}
			}
		}
	}
}
