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
//
// What stands between the lines "-- +only SQLite" (or PostgreSQL) and "-- +end" is for that engine alone: triggers,
// whose syntax the engines do not share.
func rewriteDDL(text string, e Engine) (string, error) {
	text, err := sectionsOf(text, e)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	statements, err := splitStatements(text)
	if err != nil {
		return "", err
	}
	for _, st := range statements {
		bare := withoutComments(st)
		switch {
		case createTable.MatchString(bare):
			out.WriteString(rewriteTable(st, e))
		case alterTable.MatchString(bare):
			out.WriteString(rewriteTypes(st, e))
		default:
			out.WriteString(st)
		}
	}
	return out.String(), nil
}

// sectionsOf leaves out what is for another engine. Lines keep their numbers.
func sectionsOf(text string, e Engine) (string, error) {
	lines := strings.Split(text, "\n")
	only := ""
	for i, line := range lines {
		mark := strings.TrimSpace(line)
		switch name, begins := strings.CutPrefix(mark, "-- +only "); {
		case begins && only != "", begins && name != SQLite.String() && name != PostgreSQL.String(), mark == "-- +end" && only == "":
			return "", fmt.Errorf("line %d: %q has no place here", i+1, mark)
		case begins:
			only, lines[i] = name, ""
		case mark == "-- +end":
			only, lines[i] = "", ""
		case only != "" && only != e.String():
			lines[i] = ""
		}
	}
	if only != "" {
		return "", fmt.Errorf("the part for %s has no end", only)
	}
	return strings.Join(lines, "\n"), nil
}

func rewriteTable(st string, e Engine) string {
	if e == PostgreSQL {
		return rewriteTypes(st, e)
	}
	clustered := clusteredMark.MatchString(st)
	st = rewriteTypes(clusteredMark.ReplaceAllString(st, ")"), e)
	body, semicolon := strings.CutSuffix(strings.TrimRight(st, " \t\n"), ";")
	body += " STRICT"
	if clustered {
		body += ", WITHOUT ROWID"
	}
	if semicolon {
		body += ";"
	}
	return body
}

// rewriteTypes changes the words outside quotes and comments.
func rewriteTypes(st string, e Engine) string {
	var out strings.Builder
	plain := 0 // where the words not yet written begin
	words := func(s string) string {
		if e == PostgreSQL {
			return typeText.ReplaceAllStringFunc(s, func(m string) string {
				if len(m) > len("TEXT") { // CAST(… AS TEXT)
					return m
				}
				return `TEXT COLLATE "C"`
			})
		}
		s = typeBigint.ReplaceAllString(s, "INTEGER")
		s = typeBytea.ReplaceAllString(s, "BLOB")
		return typeDouble.ReplaceAllString(s, "REAL")
	}
	for i := 0; i < len(st); {
		j, err := skipQuoted(st, i)
		if err != nil {
			return st // splitStatements has already refused it
		}
		if j == i {
			i++
			continue
		}
		out.WriteString(words(st[plain:i]))
		out.WriteString(st[i:j])
		i, plain = j, j
	}
	out.WriteString(words(st[plain:]))
	return out.String()
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
