package codes

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// Bounds on what is read.
const (
	mostUnzipped = 6 << 30 // bytes of one file, unpacked
	mostRatio    = 400     // how much larger than packed
	mostMembers  = 20_000  // files in an archive
	longestLine  = 4 << 20
	mostRows     = 12_000_000
)

// member is one file that was given, or one inside a .zip that was given.
type member struct {
	name string // base name, as its owner calls it, without .gz
	size int64  // packed
	open func() (io.ReadCloser, error)
}

// input is all files of an import.
type input struct {
	ctx      context.Context
	members  []member
	names    []string // as given
	sum      string
	close    func()
	progress func(Progress)
	release  string // what the person said, "" for what the files say
	rows     int
}

// Progress tells how far an import is.
type Progress struct {
	Stage string // reading, writing
	File  string
	Rows  int
}

func problem(code, text, fix string) *fhir.Issue { return fhir.Problem(code, text, fix) }

// openFiles opens what was named: files, .gz, .zip, and folders with such.
func openFiles(ctx context.Context, names []string) (*input, error) {
	in := &input{ctx: ctx, names: names}
	var archives []*zip.ReadCloser
	in.close = func() {
		for _, z := range archives {
			z.Close()
		}
	}
	sum := sha256.New()
	var add func(name string, depth int) error
	add = func(name string, depth int) error {
		st, err := os.Stat(name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return problem("not-found", fmt.Sprintf("There is no file %s.", name), "Check the name. Nothing was imported.")
		case err != nil:
			return problem("forbidden", fmt.Sprintf("The file %s cannot be read.", name), "Check that you may read it. Nothing was imported.").Because(err)
		case st.IsDir():
			if depth > 6 {
				return nil
			}
			entries, err := os.ReadDir(name)
			if err != nil {
				return problem("forbidden", fmt.Sprintf("The folder %s cannot be read.", name), "Check that you may read it.").Because(err)
			}
			for _, e := range entries {
				if err := add(filepath.Join(name, e.Name()), depth+1); err != nil {
					return err
				}
			}
			return nil
		}
		if err := hashFile(sum, name); err != nil {
			return problem("forbidden", fmt.Sprintf("The file %s cannot be read.", name), "Check that you may read it.").Because(err)
		}
		if strings.EqualFold(filepath.Ext(name), ".zip") {
			z, err := zip.OpenReader(name)
			if err != nil {
				return problem("structure", fmt.Sprintf("%s is not a whole .zip archive.", filepath.Base(name)), "Download it again; it may be cut short.").Because(err)
			}
			archives = append(archives, z)
			if len(z.File) > mostMembers {
				return problem("too-costly", fmt.Sprintf("%s holds more than %d files.", filepath.Base(name), mostMembers), "Give the files that are needed only.")
			}
			for _, f := range z.File {
				if !f.FileInfo().IsDir() {
					in.members = append(in.members, member{path.Base(strings.ReplaceAll(f.Name, `\`, "/")), int64(f.CompressedSize64), f.Open})
				}
			}
			return nil
		}
		m := member{name: filepath.Base(name), size: st.Size(), open: func() (io.ReadCloser, error) { return os.Open(name) }}
		if strings.EqualFold(filepath.Ext(name), ".gz") {
			m.name = strings.TrimSuffix(m.name, filepath.Ext(name))
			m.open = func() (io.ReadCloser, error) {
				f, err := os.Open(name)
				if err != nil {
					return nil, err
				}
				z, err := gzip.NewReader(f)
				if err != nil {
					f.Close()
					return nil, problem("structure", fmt.Sprintf("%s is not a whole .gz file.", filepath.Base(name)), "Download it again; it may be cut short.").Because(err)
				}
				return both{z, f}, nil
			}
		}
		in.members = append(in.members, m)
		return nil
	}
	for _, n := range names {
		if err := add(n, 0); err != nil {
			in.close()
			return nil, err
		}
	}
	in.sum = hex.EncodeToString(sum.Sum(nil))
	return in, nil
}

type both struct {
	io.Reader
	file io.Closer
}

func (b both) Close() error { return b.file.Close() }

func hashFile(h hash.Hash, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	io.WriteString(h, filepath.Base(name)+"\n")
	_, err = io.Copy(h, f)
	return err
}

// find gives the members whose name passes.
func (in *input) find(match func(name string) bool) (out []member) {
	for _, m := range in.members {
		if match(strings.ToLower(m.name)) {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return out
}

func (in *input) said() string {
	var names []string
	for i, m := range in.members {
		if i == 8 {
			names = append(names, fmt.Sprintf("and %d more", len(in.members)-8))
			break
		}
		names = append(names, m.name)
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// bounded stops a file that unpacks to more than it may.
type bounded struct {
	r    io.Reader
	left int64
	name string
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, problem("too-costly", fmt.Sprintf("%s unpacks to more than it may.", b.name), "Check that it is the owner's own file.")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// read hands a member's text to fn.
func (in *input) read(m member, fn func(r io.Reader) error) error {
	f, err := m.open()
	if err != nil {
		var i *fhir.Issue
		if errors.As(err, &i) {
			return err
		}
		return problem("structure", fmt.Sprintf("%s cannot be opened.", m.name), "Check the file.").Because(err)
	}
	defer f.Close()
	limit := int64(mostUnzipped)
	if m.size > 0 {
		limit = min(limit, max(m.size*mostRatio, 64<<20))
	}
	err = fn(&bounded{f, limit, m.name})
	var i *fhir.Issue
	if err != nil && !errors.As(err, &i) && in.ctx.Err() == nil {
		return problem("structure", fmt.Sprintf("%s ends in the middle, or is not the file it is called.", m.name), "Download it again.").Because(err)
	}
	return err
}

// tick counts a row, shows progress, and ends when it was asked to.
func (in *input) tick(file string) error {
	if in.rows++; in.rows%4096 == 0 {
		if err := in.ctx.Err(); err != nil {
			return err
		}
		if in.progress != nil {
			in.progress(Progress{"reading", file, in.rows})
		}
	}
	if in.rows > mostRows {
		return problem("too-costly", fmt.Sprintf("%s has more than %d rows.", file, mostRows), "Check that it is the owner's own file.")
	}
	return nil
}

// lines gives a text file line by line, in UTF-8; bytes that are not UTF-8 are taken for Latin-1.
func (in *input) lines(m member, fn func(n int, line string) error) error {
	return in.read(m, func(r io.Reader) error {
		b := bufio.NewReaderSize(r, 1<<16)
		for n := 1; ; n++ {
			line, err := readLine(b)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if n == 1 {
				line = strings.TrimPrefix(line, "\uFEFF")
			}
			if strings.IndexByte(line, 0) >= 0 {
				return problem("structure", fmt.Sprintf("%s, line %d: this is not a text file.", m.name, n), "Give the owner's text or CSV file, not a spreadsheet or an archive.")
			}
			if err := in.tick(m.name); err != nil {
				return err
			}
			if err := fn(n, line); err != nil {
				return err
			}
		}
	})
}

func readLine(b *bufio.Reader) (string, error) {
	var long []byte
	for {
		part, err := b.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			if long = append(long, part...); len(long) > longestLine {
				return "", problem("structure", "A line is longer than 4 MB.", "Check that it is the owner's text file.")
			}
			continue
		case err == io.EOF && len(part)+len(long) == 0:
			return "", io.EOF
		case err != nil && err != io.EOF:
			return "", err
		}
		return utf8Text(strings.TrimRight(string(append(long, part...)), "\r\n")), nil
	}
}

func utf8Text(s string) string {
	for _, r := range s {
		if r == '\uFFFD' {
			out := make([]rune, 0, len(s))
			if bytes.Contains([]byte(s), []byte("\uFFFD")) {
				return strings.ToValidUTF8(s, "")
			}
			for i := 0; i < len(s); i++ {
				out = append(out, rune(s[i]))
			}
			return string(out)
		}
	}
	return s
}

// row is one row of a table, asked by column name.
type row struct {
	file  string
	line  int
	cells []string
	at    map[string]int
}

// get gives a cell, trimmed; a column that the file does not have is empty.
func (r *row) get(names ...string) string {
	for _, n := range names {
		if i, ok := r.at[n]; ok && i < len(r.cells) {
			if s := strings.TrimSpace(r.cells[i]); s != "" {
				return s
			}
		}
	}
	return ""
}

func (r *row) fault(text, fix string) error {
	return problem("value", fmt.Sprintf("%s, line %d: %s", r.file, r.line, text), fix)
}

// need lists columns of a table: one of each group must be there.
type need []string

// table reads a file with a head line. sep is ',' for CSV with quotes, '\t' or '|' for plain cells. Column names are compared in lower
// case.
func (in *input) table(m member, sep rune, needs []need, fn func(r *row) error) error {
	r := &row{file: m.name, at: map[string]int{}}
	head := func(cells []string) error {
		for i, c := range cells {
			c = strings.ToLower(strings.Trim(strings.TrimSpace(c), `"`))
			if _, twice := r.at[c]; !twice {
				r.at[c] = i
			}
		}
		for _, n := range needs {
			if !slices.ContainsFunc(n, func(c string) bool { _, ok := r.at[c]; return ok }) {
				return problem("structure", fmt.Sprintf("%s has no column %s; its first line is: %.200s", m.name, strings.Join(n, " or "), strings.Join(cells, string(sep))),
					"Give the owner's own file, unchanged, with its head line.")
			}
		}
		return nil
	}
	columns := 0
	each := func(n int, cells []string) error {
		r.line, r.cells = n, cells
		if columns == 0 {
			columns = len(cells)
			return head(cells)
		}
		if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
			return nil
		}
		if len(cells) < columns-1 && sep != ',' || len(cells) < columns/2 {
			return r.fault(fmt.Sprintf("the row has %d columns where the head has %d.", len(cells), columns), "The file may be cut short; download it again.")
		}
		return fn(r)
	}
	var err error
	if sep != ',' {
		err = in.lines(m, func(n int, line string) error { return each(n, strings.Split(line, string(sep))) })
	} else {
		err = in.read(m, func(f io.Reader) error {
			b := bufio.NewReaderSize(f, 1<<16)
			if bom, _ := b.Peek(3); bytes.Equal(bom, []byte("\xEF\xBB\xBF")) {
				b.Discard(3)
			}
			c := csv.NewReader(b)
			c.FieldsPerRecord, c.LazyQuotes, c.ReuseRecord = -1, true, true
			for {
				cells, err := c.Read()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				n, _ := c.FieldPos(0)
				if err := in.tick(m.name); err != nil {
					return err
				}
				own := make([]string, len(cells))
				for i := range cells {
					own[i] = utf8Text(strings.Clone(cells[i]))
				}
				if err := each(n, own); err != nil {
					return err
				}
			}
		})
	}
	if err == nil && columns == 0 {
		return problem("structure", fmt.Sprintf("%s is empty.", m.name), "Download it again.")
	}
	return err
}
