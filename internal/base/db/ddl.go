package db

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"
)

// rewrittenFS gives migration files in the words of an engine.
type rewrittenFS struct {
	fs.FS
	engine Engine
}

// Open rewrites files and passes folders through.
func (r rewrittenFS) Open(name string) (fs.File, error) {
	if !strings.HasSuffix(name, ".sql") {
		return r.FS.Open(name)
	}
	raw, err := fs.ReadFile(r.FS, name)
	if err != nil {
		return nil, err
	}
	text, err := rewriteDDL(string(raw), r.engine)
	if err != nil {
		return nil, fmt.Errorf("db: migration %s: %w", name, err)
	}
	return &textFile{Reader: bytes.NewReader([]byte(text)), name: name, size: int64(len(text))}, nil
}

// ReadDir lists the migrations.
func (r rewrittenFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(r.FS, name) }

// Glob finds migrations by pattern.
func (r rewrittenFS) Glob(pattern string) ([]string, error) { return fs.Glob(r.FS, pattern) }

type textFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *textFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *textFile) Close() error               { return nil }
func (f *textFile) Name() string               { return f.name }
func (f *textFile) Size() int64                { return f.size }
func (f *textFile) Mode() fs.FileMode          { return 0o444 }
func (f *textFile) ModTime() time.Time         { return time.Time{} }
func (f *textFile) IsDir() bool                { return false }
func (f *textFile) Sys() any                   { return nil }

var (
	// In migrations the marker follows the closing parenthesis of a table that is stored in the order of its key.
	clusteredMark = regexp.MustCompile(`\)\s*/\*\s*clustered\s*\*/`)
	createTable   = regexp.MustCompile(`(?i)^\s*CREATE\s+TABLE\b`)
	alterTable    = regexp.MustCompile(`(?i)^\s*ALTER\s+TABLE\b`)
	typeBigint    = regexp.MustCompile(`(?i)\b(BIGINT|SMALLINT)\b`)
	typeBytea     = regexp.MustCompile(`(?i)\bBYTEA\b`)
	typeDouble    = regexp.MustCompile(`(?i)\bDOUBLE\s+PRECISION\b`)
	typeText      = regexp.MustCompile(`(?i)(\bAS\s+)?\bTEXT\b`)
)

// rewriteDDL turns a migration into the words of an engine.
//
// SQLite: BIGINT and SMALLINT become INTEGER, BYTEA BLOB, DOUBLE PRECISION REAL; every table is STRICT, so that a
// word in a number column is refused as PostgreSQL would; the clustered mark becomes WITHOUT ROWID.
//
// PostgreSQL: TEXT gets the C collation, so that both engines order by bytes.
func rewriteDDL(text string, e Engine) (string, error) {
	var out strings.Builder
	statements, err := splitStatements(text)
	if err != nil {
		return "", err
	}
	for _, st := range statements {
		table := createTable.MatchString(withoutComments(st))
		if !table && !alterTable.MatchString(withoutComments(st)) {
			out.WriteString(st)
			continue
		}
		if e == PostgreSQL {
			st = typeText.ReplaceAllStringFunc(st, func(s string) string {
				if len(s) > len("TEXT") { // CAST(… AS TEXT)
					return s
				}
				return `TEXT COLLATE "C"`
			})
			out.WriteString(st)
			continue
		}
		clustered := clusteredMark.MatchString(st)
		st = clusteredMark.ReplaceAllString(st, ")")
		st = typeBigint.ReplaceAllString(st, "INTEGER")
		st = typeBytea.ReplaceAllString(st, "BLOB")
		st = typeDouble.ReplaceAllString(st, "REAL")
		if table {
			body, semicolon := strings.CutSuffix(strings.TrimRight(st, " \t\n"), ";")
			body += " STRICT"
			if clustered {
				body += ", WITHOUT ROWID"
			}
			if semicolon {
				body += ";"
			}
			st = body
		}
		out.WriteString(st)
	}
	return out.String(), nil
}

// splitStatements cuts at semicolons outside quotes and comments; each piece keeps its semicolon.
func splitStatements(text string) ([]string, error) {
	var out []string
	start := 0
	for i := 0; i < len(text); {
		j, err := skipQuoted(text, i)
		if err != nil {
			return nil, err
		}
		if j > i {
			i = j
			continue
		}
		if text[i] == ';' {
			out = append(out, text[start:i+1])
			start = i + 1
		}
		i++
	}
	return append(out, text[start:]), nil
}

// withoutComments drops comments and leaves the rest; goose's own directives are comments.
func withoutComments(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		j, err := skipQuoted(text, i)
		if err != nil {
			return text
		}
		if j > i {
			if text[i] == '\'' || text[i] == '"' {
				b.WriteString(text[i:j])
			}
			i = j
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}
