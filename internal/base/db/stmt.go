package db

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Stmt is one SQL statement in the words of both engines. Make it once, in a package variable, and use it from
// anywhere: each connection keeps it prepared.
type Stmt struct {
	sqlite   string
	postgres string
	params   int   // highest $N
	harmless bool  // it writes nothing, whoever takes it back
	bad      error // text made at run time that cannot be right
}

// SQL returns the statement text for both engines. Parameters are $1, $2 …; a list is `x {in $3}` with a []int64
// or []string argument. It panics on text that cannot be right (unbalanced quotes, $0, a gap in the numbering):
// statements are constants of the program.
func SQL(text string) *Stmt {
	s, err := parseStmt(text, text)
	if err != nil {
		panic("db: " + err.Error() + " in statement: " + text)
	}
	return s
}

// SQLPair is SQL for the rare case in which the engines need different text.
func SQLPair(sqlite, postgres string) *Stmt {
	s, err := parseStmt(sqlite, postgres)
	if err != nil {
		panic("db: " + err.Error() + " in statement: " + sqlite)
	}
	return s
}

func parseStmt(sqlite, postgres string) (*Stmt, error) {
	lite, n, err := translate(sqlite, SQLite)
	if err != nil {
		return nil, err
	}
	pg, m, err := translate(postgres, PostgreSQL)
	if err != nil {
		return nil, err
	}
	if n != m {
		return nil, fmt.Errorf("the two texts have %d and %d parameters", n, m)
	}
	return &Stmt{sqlite: lite, postgres: pg, params: n, harmless: strings.HasPrefix(pg, "SELECT ") || strings.HasPrefix(pg, "SET LOCAL ")}, nil
}

// translate rewrites parameters and lists for an engine, leaving strings, quoted names and comments alone.
//
// SQLite reads $2 as a *named* parameter and numbers names by first appearance, so that `$2, $1` silently swaps
// its arguments; ?2 means what $2 means in PostgreSQL.
func translate(text string, e Engine) (string, int, error) {
	var b strings.Builder
	b.Grow(len(text) + 32)
	seen := map[int]bool{}
	highest := 0
	for i := 0; i < len(text); {
		if j, err := skipQuoted(text, i); err != nil {
			return "", 0, err
		} else if j > i {
			b.WriteString(text[i:j])
			i = j
			continue
		}
		switch c := text[i]; {
		case c == '$':
			n, j, err := paramNumber(text, i)
			if err != nil {
				return "", 0, err
			}
			seen[n], highest = true, max(highest, n)
			b.WriteByte(e.marker())
			b.WriteString(strconv.Itoa(n))
			i = j
		case c == '?':
			return "", 0, fmt.Errorf("parameters are written $1, not ?")
		case c == '{':
			rest, ok := strings.CutPrefix(text[i:], "{in ")
			if !ok {
				return "", 0, fmt.Errorf("unknown form at %q", text[i:])
			}
			n, j, err := paramNumber(rest, 0)
			if err != nil {
				return "", 0, err
			}
			if j >= len(rest) || rest[j] != '}' {
				return "", 0, fmt.Errorf("{in $N} is not closed")
			}
			seen[n], highest = true, max(highest, n)
			if e == SQLite {
				fmt.Fprintf(&b, "IN (SELECT value FROM json_each(?%d))", n)
			} else {
				fmt.Fprintf(&b, "= ANY($%d)", n)
			}
			i += len("{in ") + j + 1
		default:
			b.WriteByte(c)
			i++
		}
	}
	for n := 1; n <= highest; n++ {
		if !seen[n] {
			return "", 0, fmt.Errorf("$%d is missing although $%d is used", n, highest)
		}
	}
	return b.String(), highest, nil
}

func paramNumber(text string, i int) (n, end int, err error) {
	if i >= len(text) || text[i] != '$' {
		return 0, 0, fmt.Errorf("a parameter such as $1 is expected at %q", text[i:])
	}
	end = i + 1
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	n, err = strconv.Atoi(text[i+1 : end])
	if err != nil || n < 1 || n > 999 {
		return 0, 0, fmt.Errorf("%q is not a parameter", text[i:end])
	}
	return n, end, nil
}

// skipQuoted returns the end of the string, quoted name or comment that starts at i, or i when none does.
func skipQuoted(text string, i int) (int, error) {
	switch {
	case text[i] == '\'' || text[i] == '"':
		q := text[i]
		for j := i + 1; j < len(text); j++ {
			if text[j] != q {
				continue
			}
			if j+1 < len(text) && text[j+1] == q { // doubled: part of the text
				j++
				continue
			}
			return j + 1, nil
		}
		return 0, fmt.Errorf("a quote is not closed")
	case strings.HasPrefix(text[i:], "--"):
		if j := strings.IndexByte(text[i:], '\n'); j >= 0 {
			return i + j + 1, nil
		}
		return len(text), nil
	case strings.HasPrefix(text[i:], "/*"):
		if j := strings.Index(text[i+2:], "*/"); j >= 0 {
			return i + 2 + j + 2, nil
		}
		return 0, fmt.Errorf("a comment is not closed")
	}
	return i, nil
}

// Insert describes rows for one table, so that many can be written at once.
type Insert struct {
	table    string
	cols     []string
	orIgnore bool
	row      *Stmt // one row, VALUES form

	mu      sync.Mutex
	byNulls map[string]*Stmt // many rows at once on PostgreSQL, by which columns hold only NULL
}

// InsertInto describes rows of table with these columns. It panics on anything but plain lower-case names:
// they are constants of the program, never input.
func InsertInto(table string, cols ...string) *Insert {
	if len(cols) == 0 {
		panic("db: InsertInto without columns")
	}
	for _, name := range append([]string{table}, cols...) {
		if !plainName(name) {
			panic("db: not a plain name: " + name)
		}
	}
	ins := &Insert{table: table, cols: cols}
	ins.row = SQL(ins.valuesText())
	return ins
}

// OrIgnore returns the same rows with ON CONFLICT DO NOTHING.
func (ins *Insert) OrIgnore() *Insert {
	twin := &Insert{table: ins.table, cols: ins.cols, orIgnore: true}
	twin.row = SQL(twin.valuesText())
	return twin
}

func (ins *Insert) head() string {
	return "INSERT INTO " + ins.table + " (" + strings.Join(ins.cols, ", ") + ")"
}

func (ins *Insert) tail() string {
	if ins.orIgnore {
		return " ON CONFLICT DO NOTHING"
	}
	return ""
}

func (ins *Insert) valuesText() string {
	marks := make([]string, len(ins.cols))
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(i+1)
	}
	return ins.head() + " VALUES (" + strings.Join(marks, ", ") + ")" + ins.tail()
}

func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
