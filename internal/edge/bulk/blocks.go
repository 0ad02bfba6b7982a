package bulk

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Files organised by patient (Bulk Data Access, "Bulk Data Output File Organization"): each patient's block begins with a header, a
// Parameters resource that refers to the patient, and the Patient itself. While the practice is read, from the newest change back,
// lines go into buckets by a keyed hash of the patient; then each bucket is sorted and written, so that no more than a bucket is in
// memory. A bucket that has grown too large for that is spread over smaller ones first.

const (
	buckets    = 64
	mostBlocks = 20 // a resource of more patients is about none of them
)

// blocksOf are the patients in whose blocks a resource goes: all whose record it is in. Groups are in nobody's, for they name others.
func (w *writer) blocksOf(ctx context.Context, tx *db.Tx, r *fhirstore.Resource, patient string) (out []string, err error) {
	add := func(ref string) {
		if ref != "" && w.wanted(ref) && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	switch r.Type {
	case "Patient":
		return []string{r.Reference()}, nil
	case "Group":
		return nil, nil
	case "Provenance":
		targets, err := w.targets(ctx, tx, r)
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			add(fhirapi.PatientOf(t))
		}
	}
	if bytes.Contains(r.Raw, []byte(`Patient/`)) {
		for _, code := range fhirstore.PatientParams(r.Type) {
			for _, v := range patientValues(r, code) {
				if v.RefType == "Patient" {
					add(v.RefType + "/" + v.RefID)
				}
			}
		}
	}
	if len(out) == 0 {
		add(patient)
	}
	if len(out) > mostBlocks {
		return nil, nil
	}
	return out, nil
}

// targets are the records that a Provenance tells of, as far as the scope may see them, in its order.
func (w *writer) targets(ctx context.Context, tx *db.Tx, r *fhirstore.Resource) (out []*fhirstore.Resource, err error) {
	var refs []string
	for _, v := range fhirsearch.Values("Provenance", "target", r.Node()) {
		if v.RefID != "" {
			refs = append(refs, v.RefType+"/"+v.RefID)
		}
	}
	found, err := w.e.o.Store.ReadMany(ctx, tx, refs)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if t := found[ref]; t != nil {
			out = append(out, t)
		}
	}
	return out, nil
}

// sort puts a line into the buckets of its patients, or, when it is in nobody's record, into a file of its type.
func (w *writer) sort(ctx context.Context, tx *db.Tx, r *fhirstore.Resource, patient string, text []byte) (size int, err error) {
	of, err := w.blocksOf(ctx, tx, r, patient)
	if err != nil {
		return 0, err
	}
	if len(of) == 0 {
		return len(text), w.add(outputFile, r.Type, line{r.Reference(), patient, text})
	}
	for _, p := range of {
		if err := w.drop(tx, "", line{r.Reference(), p, text}); err != nil {
			return 0, err
		}
	}
	return len(text) * len(of), nil
}

// drop adds a line to its bucket below another, "" for none.
func (w *writer) drop(tx *db.Tx, below string, l line) error {
	label := fmt.Sprintf("%s.%02d", below, uint64(tx.Keys().Hash("export bucket"+below, l.patient))%buckets)
	return w.add(bucketFile, label, l)
}

// arrange writes blocks until there is enough for a commit. over says that nothing is left in buckets.
func (w *writer) arrange(ctx context.Context, s db.Scope) (over bool, err error) {
	err = w.e.o.DB.View(ctx, s, func(tx *db.Tx) error {
		w.tx = tx
		defer func() { w.tx = nil }()
		for size := int64(0); size < w.e.flushBytes; {
			n := slices.IndexFunc(w.o.Files, func(f file) bool { return f.Kind == bucketFile && f.Parts > 0 })
			if n < 0 {
				over = true
				return nil
			}
			f := w.o.Files[n]
			var did int64
			var err error
			switch {
			case f.Bytes <= w.e.splitAt:
				did, err = f.Bytes, w.wholeBucket(ctx, tx, n)
			case f.Of == "":
				_, err = w.pour(ctx, tx, n, func(l line) error { return w.drop(tx, f.Type, l) })
				return err // smaller buckets are whole when the step is committed
			default:
				did, err = w.longBlock(ctx, tx, n)
			}
			if err != nil {
				return err
			}
			if size += did; ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	return over, err
}

// readPart reads a part of a bucket.
func (w *writer) readPart(ctx context.Context, tx *db.Tx, n, part int) ([]line, error) {
	sealed, err := loadPart(ctx, tx, w.o.h, n, part)
	if err == nil && sealed == nil {
		err = errLost
	}
	if err != nil {
		return nil, err
	}
	return openPart(tx.Practice(), tx.Keys(), w.o.h, n, part, sealed)
}

// spend says that a bucket is empty.
func (w *writer) spend(n int) {
	w.o.Files[n] = file{Kind: bucketFile}
	w.o.Part = 0
	w.spent = append(w.spent, n)
}

// wholeBucket sorts a bucket and writes its blocks.
func (w *writer) wholeBucket(ctx context.Context, tx *db.Tx, n int) error {
	var all []line
	for part := range w.o.Files[n].Parts {
		lines, err := w.readPart(ctx, tx, n, part)
		if err != nil {
			return err
		}
		all = append(all, lines...)
	}
	slices.SortStableFunc(all, func(a, b line) int {
		switch {
		case a.patient != b.patient:
			return strings.Compare(a.patient, b.patient)
		case (a.ref == a.patient) != (b.ref == b.patient):
			if a.ref == a.patient {
				return -1
			}
			return 1
		}
		return cmp.Compare(typeOf(a.ref), typeOf(b.ref))
	})
	for _, l := range all {
		if err := w.put(l); err != nil {
			return err
		}
	}
	w.spend(n)
	return nil
}

func typeOf(ref string) string {
	typ, _, _ := strings.Cut(ref, "/")
	return typ
}

// pour gives the lines of the next parts of a bucket to somebody, and says how many bytes they had.
func (w *writer) pour(ctx context.Context, tx *db.Tx, n int, to func(line) error) (size int64, err error) {
	for last := w.o.Files[n].Parts; w.o.Part < last; w.o.Part++ {
		if size >= w.e.flushBytes {
			return size, nil
		}
		lines, err := w.readPart(ctx, tx, n, w.o.Part)
		if err != nil {
			return 0, err
		}
		for _, l := range lines {
			size += int64(len(l.text))
			if err := to(l); err != nil {
				return 0, err
			}
		}
	}
	w.spend(n)
	return size, nil
}

// longBlock writes the next lines of a block that does not fit into memory. They are not sorted, but the Patient comes first.
func (w *writer) longBlock(ctx context.Context, tx *db.Tx, n int) (size int64, err error) {
	f := w.o.Files[n]
	if w.o.Part == 0 {
	search:
		for part := range f.Parts {
			lines, err := w.readPart(ctx, tx, n, part)
			if err != nil {
				return 0, err
			}
			for _, l := range lines {
				if l.ref == f.Of {
					if err := w.put(l); err != nil {
						return 0, err
					}
					break search
				}
			}
		}
	}
	return w.pour(ctx, tx, n, func(l line) error {
		if l.ref == f.Of {
			return nil
		}
		return w.put(l)
	})
}

// put writes a line of a block, with the header before it where the block begins or goes on in another file.
func (w *writer) put(l line) error {
	at := len(w.o.Files) - 1
	for ; at >= 0 && w.o.Files[at].Kind != blockFile; at-- {
	}
	size := int64(0)
	open := w.open[blockFile+" "]
	if open != nil {
		size = int64(len(open.text))
	}
	if at >= 0 {
		size += w.o.Files[at].Bytes
	}
	begins := l.patient != w.o.Block
	// A block is not split, but for one so long that a file would become twice as large as it should be.
	switch full := size > w.e.fileSize; {
	case !begins && size <= 2*w.e.fileSize:
		return w.add(blockFile, "", l)
	case at < 0 || full:
		if open != nil {
			delete(w.open, blockFile+" ")
			if err := w.close(w.tx, blockFile, "", open); err != nil {
				return err
			}
		}
		w.o.Files = append(w.o.Files, file{Kind: blockFile})
		if !begins {
			w.o.Files[at].Next = len(w.o.Files) - 1
		}
	}
	w.o.Block = l.patient
	reference := fhirjson.NewObject(fhirjson.Member{Name: "reference", Value: fhirjson.NewString(l.patient)})
	header := fhirjson.NewObject(fhirjson.Member{Name: "name", Value: fhirjson.NewString("header")}, fhirjson.Member{Name: "valueReference", Value: reference})
	n := fhirjson.NewObject(fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString("Parameters")}, fhirjson.Member{Name: "parameter", Value: fhirjson.NewArray(header)})
	if err := w.add(blockFile, "", line{"", l.patient, n.AppendJSON(nil)}); err != nil {
		return err
	}
	return w.add(blockFile, "", l)
}

// headed leaves out the headers of blocks none of whose lines is left. The last header may be of a block that begins in the next part:
// it is kept in head.
func headed(lines []line, head **line) []line {
	out := make([]line, 0, len(lines)+1)
	for _, l := range lines {
		if l.ref == "" {
			*head = &l
			continue
		}
		if *head != nil {
			out = append(out, **head)
			*head = nil
		}
		out = append(out, l)
	}
	return out
}
