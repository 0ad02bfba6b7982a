// Package yarrow_test keeps the shape of the house: which package may stand on which, and which habits hold
// everywhere. It parses the sources itself, because a test that shells out to the go tool is cached past changes it cannot see.
package yarrow_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "yarrow.health"

// shelves lists every package in the order in which they may stand on each other: a package imports only packages of
// earlier lines, except that packages of one `standards`, `edge` or `web` line group follow the rule inside the group too.
// A package that is not listed fails the test, so growth is a decision.
var shelves = []string{
	"internal/standards/fhirjson",
	"internal/standards/ucum",
	"internal/standards/fhirpath",
	"internal/standards/fhir",
	"internal/standards/fhirxml",
	"internal/standards/fhirpatch",
	"internal/standards/fhirsearch",
	"internal/standards/profile",
	"internal/standards/terminology",
	"internal/standards/synthetic",
	"internal/standards/viewdef",

	"internal/base/clock",
	"internal/base/keys",
	"internal/base/journal",
	"internal/base/db",
	"internal/base/backup",
	"internal/base/audit",
	"internal/base/auth",
	"internal/base/jobs",
	"internal/base/files",
	"internal/base/egress",
	"internal/base/oauth",
	"internal/base/signon",
	"internal/base/fhirstore",
	"internal/base/codes",
	"internal/base/guides",
	"internal/base/uploads",

	"internal/clinic/practice",
	"internal/clinic/patient",
	"internal/clinic/scheduling",
	"internal/clinic/clinical",
	"internal/clinic/watch",
	"internal/clinic/keeping",

	"internal/edge/fhirapi",
	"internal/edge/validation",
	"internal/edge/vocabulary",
	"internal/edge/operations",
	"internal/edge/graphql",
	"internal/edge/bulk",
	"internal/edge/scim",
	"internal/edge/subscription",
	"internal/edge/endpoints",

	"internal/simulate",

	"internal/web/ui",
	"internal/web/desk",
	"internal/web/safety",
	"internal/web/chart",
	"internal/web/apps",
	"internal/web/office",
	"internal/web/organisation",
	"internal/web/docs",

	"internal/prove",

	"cmd/yarrow",
}

// attached lists packages that belong to another one: test fixtures and generators (package main, run by make gen).
// They may import what their owner may import, and the owner.
var attached = map[string]string{
	"internal/base/db/dbtest":            "internal/base/db",
	"internal/base/db/migrations":        "internal/base/db",
	"internal/clinic/clinictest":         "internal/clinic/clinical",
	"internal/web/webtest":               "internal/web/ui",
	"internal/standards/corpustest":      "internal/standards/fhirjson",
	"internal/standards/fhir/gen":        "internal/standards/fhir",
	"internal/standards/profile/gen":     "internal/standards/profile",
	"internal/standards/terminology/gen": "internal/standards/terminology",
	"internal/standards/ucum/gen":        "internal/standards/ucum",
	"internal/base/fhirstore/dictgen":    "internal/base/fhirstore",
}

// long names the files that may exceed 800 lines, each with its reason.
var long = map[string]string{}

// bannedNames are words that hide what a thing is.
var bannedNames = []string{"Manager", "Helper", "Util", "Utils", "Common", "Service", "DTO"}

type source struct {
	pkg, file string
	test, gen bool
	lines     int
	ast       *ast.File
	fset      *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != "." && (strings.HasPrefix(n, ".") || n == "node_modules" || n == "testdata" || n == "dist" || n == "bin" || n == "artefacts") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); p != "." && err == nil {
				return fs.SkipDir // another module
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, text, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{pkg: path.Dir(filepath.ToSlash(p)), file: filepath.ToSlash(p), test: strings.HasSuffix(p, "_test.go"),
			gen: ast.IsGenerated(f) || strings.HasSuffix(p, "_templ.go"), lines: strings.Count(string(text), "\n"), ast: f, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s source) imports() []string {
	var out []string
	for _, i := range s.ast.Imports {
		v, _ := strconv.Unquote(i.Path.Value)
		out = append(out, v)
	}
	return out
}

// calls reports every pkg.Name selector used in the file, by the import's real path: "time.Now", "net/http.Get".
func (s source) calls(visit func(path, name string, pos token.Position)) {
	names := map[string]string{}
	for _, i := range s.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		n := path.Base(p)
		if i.Name != nil {
			n = i.Name.Name
		}
		names[n] = p
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Obj == nil {
				if p, ok := names[id.Name]; ok {
					visit(p, sel.Sel.Name, s.fset.Position(sel.Pos()))
				}
			}
		}
		return true
	})
}

func TestDirection(t *testing.T) {
	rank := map[string]int{}
	for i, p := range shelves {
		rank[p] = i
	}
	packages := map[string]bool{}
	for _, s := range sources(t) {
		if s.pkg == "." || strings.HasPrefix(s.pkg, "test/") || s.pkg == "test" {
			continue // scenario, browser and interop tests stand outside the house and may look at all of it
		}
		owner, isAttached := attached[s.pkg]
		if !isAttached {
			owner = s.pkg
			packages[s.pkg] = true
		}
		r, ok := rank[owner]
		if !ok {
			t.Errorf("%s: package %s has no place on the shelves; list it in architecture_test.go and ARCHITECTURE.md", s.file, s.pkg)
			continue
		}
		for _, imp := range s.imports() {
			in, ok := strings.CutPrefix(imp, module+"/")
			if !ok || in == s.pkg {
				continue
			}
			if o, ok := attached[in]; ok {
				if s.test || isAttached || owner == o {
					continue
				}
				t.Errorf("%s imports %s, which belongs to %s and is not part of the product", s.file, in, o)
				continue
			}
			ir, ok := rank[in]
			switch {
			case !ok:
				t.Errorf("%s imports %s, which has no place on the shelves", s.file, in)
			case ir > r && !s.test:
				t.Errorf("%s imports %s, which stands above it", s.file, in)
			case ir == r && !isAttached && !s.test:
				t.Errorf("%s imports its own package", s.file)
			}
		}
	}
	if n := len(packages); n > 60 {
		t.Errorf("%d packages; the ceiling is 60 (decision 13): split by noun or merge", n)
	}
}

// TestDoors holds the structural rules of security: one door for the database, the clock, and the network.
func TestDoors(t *testing.T) {
	drivers := []string{"database/sql", "github.com/ncruces/go-sqlite3", "github.com/jackc/pgx"}
	banned := map[string]string{
		"html/template": "screens are templ components", "text/template": "screens are templ components, texts are plain Go",
		"log": "the logger is log/slog, handed in", "math/rand": "crypto/rand for secrets, math/rand/v2 for the rest",
		"encoding/gob": "what is received chooses no types", "plugin": "nothing is loaded into the program",
		"testing": "tests stay in tests", "expvar": "no global registries", "net/http/pprof": "no routes of its own accord", "unsafe": "no way round the types",
	}
	clockWords := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	for _, s := range sources(t) {
		if s.test || attached[s.pkg] != "" || s.gen {
			continue
		}
		inDB := s.pkg == "internal/base/db"
		standards := strings.HasPrefix(s.pkg, "internal/standards/")
		for _, imp := range s.imports() {
			for _, d := range drivers {
				if strings.HasPrefix(imp, d) && !inDB {
					t.Errorf("%s imports %s: only internal/base/db speaks to a database driver", s.file, imp)
				}
			}
			if why := banned[imp]; why != "" {
				t.Errorf("%s imports %s: %s", s.file, imp, why)
			}
			if standards && (imp == "net" || strings.HasPrefix(imp, "net/") && imp != "net/url" || imp == "os" || strings.HasPrefix(imp, "os/")) {
				t.Errorf("%s imports %s: standards are bytes and values; let the caller do input and output", s.file, imp)
			}
			if standards && (imp == "log/slog" || imp == "crypto/rand" || imp == "math/rand/v2" || imp == "database/sql/driver") {
				t.Errorf("%s imports %s: standards give the same answer to the same bytes", s.file, imp)
			}
		}
		s.calls(func(p, name string, pos token.Position) {
			bad := func(why string) { t.Errorf("%s: %s.%s: %s", pos, p, name, why) }
			switch {
			case p == "time" && slices.Contains(clockWords, name) && s.pkg != "internal/base/clock":
				bad("time comes from internal/base/clock, so that it can be set in tests")
			case p == "net/http" && slices.Contains([]string{"Get", "Post", "PostForm", "Head", "Client", "DefaultClient", "Transport", "DefaultTransport", "NewRequest", "NewRequestWithContext"}, name) && s.pkg != "internal/base/egress" && s.file != "cmd/yarrow/control.go":
				bad("outbound requests go through internal/base/egress")
			case p == "net" && (strings.HasPrefix(name, "Dial")) && s.pkg != "internal/base/egress" && s.file != "cmd/yarrow/control.go":
				bad("outbound connections go through internal/base/egress")
			case p == "net/smtp" && s.pkg != "internal/base/egress":
				bad("mail goes through internal/base/egress")
			case p == module+"/internal/base/db" && (name == "SQL" || name == "SQLPair" || name == "InsertInto") && !strings.HasSuffix(s.file, "_store.go"):
				bad("SQL lives in *_store.go files")
			case p == module+"/internal/base/db" && name == "NewSeal" && s.pkg != "internal/base/auth":
				bad("only internal/base/auth mints scopes")
			case p == module+"/internal/base/audit" && name == "Mute":
				bad("an audit that keeps nothing is for measuring, in tests only")
			case p == module+"/internal/base/auth" && (name == "AsStaff" || name == "AsApp" || name == "AsPatientApp"):
				bad("scopes made up for tests stay in tests")
			case p == "net/http" && (name == "NewServeMux" || name == "Handle" || name == "HandleFunc") && s.file != "internal/web/ui/router.go" && s.file != "cmd/yarrow/serve.go" && s.file != "cmd/yarrow/control.go":
				bad("routes are registered with a permission, through ui.Router")
			case p == "github.com/a-h/templ" && (name == "Raw" || name == "SafeCSS" || name == "SafeCSSProperty" || strings.HasPrefix(name, "JSUnsafe")):
				bad("everything shown is escaped")
			case p == "log/slog" && slices.Contains([]string{"Default", "SetDefault", "Debug", "Info", "Warn", "Error", "Log"}, name):
				bad("the logger is handed in by cmd")
			case p == "fmt" && strings.HasPrefix(name, "Print"), p == "os" && (name == "Stdout" || name == "Stderr" || name == "Exit"):
				if strings.HasPrefix(s.pkg, "internal/") {
					bad("only cmd writes to the terminal and ends the program")
				}
			case p == "context" && (name == "Background" || name == "TODO") && (strings.HasPrefix(s.pkg, "internal/clinic/") || strings.HasPrefix(s.pkg, "internal/web/")):
				bad("a request's work ends with the request: use its context")
			}
		})
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pos := s.fset.Position(call.Pos())
			if x, ok := sel.X.(*ast.Ident); ok && sel.Sel.Name == "Compile" && x.Name == "tx" && (s.pkg != "internal/base/fhirstore" && s.pkg != "internal/base/backup" || !strings.HasSuffix(s.file, "_store.go")) {
				t.Errorf("%s: only the query compiler of fhirstore, and backup for the tables it finds, write statements as they go", pos)
			}
			if owners := map[string][]string{
				"AppScope":      {"internal/base/oauth"},
				"PatientScope":  {"internal/web/portal"},
				"Unguarded":     {"internal/prove"},
				"OperatorScope": {"internal/web/console"},
			}[sel.Sel.Name]; owners != nil && s.pkg != "internal/base/auth" && !slices.Contains(owners, s.pkg) {
				t.Errorf("%s: only %v may mint this scope", pos, owners)
			}
			if x, ok := sel.X.(*ast.Ident); ok && sel.Sel.Name == "HTTP" && x.Name == "q" && len(call.Args) == 0 && s.file != "internal/web/desk/signin.go" {
				t.Errorf("%s: handlers see a ui.Request, never a bare one", pos)
			}
			return true
		})
	}
}

func TestHabits(t *testing.T) {
	documented := map[string]bool{}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.pkg == "." {
			continue
		}
		seen[s.pkg] = true
		if s.ast.Doc != nil && !s.test {
			documented[s.pkg] = true
		}
		if s.ast.Doc != nil && s.test && strings.HasPrefix(s.pkg, "test/") {
			documented[s.pkg] = true
		}
		if s.lines > 800 && !s.gen && long[s.file] == "" {
			t.Errorf("%s has %d lines: split it by idea, or list it in `long` with the reason", s.file, s.lines)
		}
		for _, g := range s.ast.Comments {
			for _, word := range []string{"TODO", "FIXME", "XXX", "HACK"} {
				if strings.Contains(g.Text(), word) {
					t.Errorf("%s: %s: do it, or write an issue", s.fset.Position(g.Pos()), word)
				}
			}
		}
		if s.test {
			ast.Inspect(s.ast, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
					if x, ok := sel.X.(*ast.Ident); ok && len(x.Name) == 1 {
						t.Errorf("%s: a test that skips proves nothing: fail, or say what was not run", s.fset.Position(sel.Pos()))
					}
				}
				return true
			})
		}
		for _, d := range s.ast.Decls {
			exported(t, s, d)
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" && !s.gen {
					t.Errorf("%s: func init: only cmd constructs things", s.fset.Position(d.Pos()))
				}
			case *ast.GenDecl:
				for _, sp := range d.Specs {
					if ts, ok := sp.(*ast.TypeSpec); ok && !s.gen && !s.test {
						for _, b := range bannedNames {
							if strings.HasSuffix(ts.Name.Name, b) && ts.Name.Name != "HealthcareService" {
								t.Errorf("%s: type %s: a name that says what it is instead of %q", s.fset.Position(ts.Pos()), ts.Name.Name, b)
							}
						}
					}
				}
			}
		}
	}
	for p := range seen {
		if !documented[p] {
			t.Errorf("package %s has no package comment: say what it owns and what it never does", p)
		}
	}
}

// TestArchitecturePage compares the table of ARCHITECTURE.md with the shelves, so that the map cannot rot.
func TestArchitecturePage(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, line := range strings.Split(string(page), "\n") {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(rest, "`")
			listed = append(listed, name)
		}
	}
	if fmt.Sprint(listed) != fmt.Sprint(shelves) {
		t.Errorf("ARCHITECTURE.md lists\n%v\nbut the code has\n%v", listed, shelves)
	}
	for _, p := range shelves {
		if _, err := os.Stat(p); err != nil {
			t.Errorf("%s is on the shelves but not in the tree", p)
		}
	}
}

// exported wants a comment on what other packages see: what it is, units, shapes, errors a caller must handle.
func exported(t *testing.T, s source, d ast.Decl) {
	if s.gen || s.test || s.pkg == "cmd/yarrow" || s.ast.Name.Name == "main" {
		return
	}
	missing := func(n ast.Node, name string) {
		t.Errorf("%s: %s has no comment", s.fset.Position(n.Pos()), name)
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.IsExported() && d.Doc == nil {
			missing(d, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, sp := range d.Specs {
			if ts, ok := sp.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
				missing(ts, ts.Name.Name)
			}
		}
	}
}

// TestTexts holds what every text of the tree must keep, whatever its language: nothing of the machine it was written on, no place
// that packages are fetched from, no page that steps round escaping or the content policy.
func TestTexts(t *testing.T) {
	anywhere := regexp.MustCompile(`(^|[^\w.{}])/(work|home|root|Users)/|proxy\.golang\.org|registry\.npmjs\.org|sum\.golang\.org`)
	inTempl := regexp.MustCompile(`templ\.(Raw|JSUnsafeFuncCall|SafeCSS)|<style|<script[^>]*>[^<]|\s(on[a-z]+|style)=["{]|<iframe|javascript:`)
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != "." && (n == ".git" || n == "node_modules" || n == "testdata" || n == "dist" || n == "bin" || n == "artefacts") {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".templ", ".md", ".sql", ".sh", ".ts", ".mjs", ".css", ".txt", ".json", ".yml", ".yaml", ""}, path.Ext(d.Name())) || p == "architecture_test.go" || strings.HasSuffix(p, "_templ.go") {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 1<<20 || !info.Mode().IsRegular() {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		lines := strings.Split(string(text), "\n")
		if n := path.Ext(p); len(lines) > 800 && (n == ".templ" || n == ".ts" || n == ".css") && long[filepath.ToSlash(p)] == "" {
			t.Errorf("%s has %d lines: split it by idea, or list it in `long` with the reason", p, len(lines))
		}
		for i, line := range lines {
			if m := anywhere.FindString(line); m != "" {
				t.Errorf("%s:%d: %q belongs to one machine", p, i+1, m)
			}
			if m := inTempl.FindString(line); m != "" && path.Ext(p) == ".templ" {
				t.Errorf("%s:%d: %q: pages have no inline style or script and escape what they show", p, i+1, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDependenciesPage wants every module that the code imports by itself, and every package of the browser, on the page that says why.
func TestDependenciesPage(t *testing.T) {
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.Contains(f[0], ".") || strings.HasSuffix(strings.TrimSpace(line), "// indirect") {
			continue
		}
		name := strings.TrimPrefix(strings.TrimPrefix(f[0], "github.com/"), "golang.org/")
		name = regexp.MustCompile(`/v\d+$`).ReplaceAllString(name, "")
		if last := path.Base(name); !strings.Contains(string(page), name) && !strings.Contains(string(page), last) {
			t.Errorf("%s is required by go.mod and not on docs/dependencies.md", f[0])
		}
	}
	var web struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	text, err := os.ReadFile("web/package.json")
	if err == nil {
		err = json.Unmarshal(text, &web)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []map[string]string{web.Dependencies, web.DevDependencies} {
		for name := range list {
			if !strings.Contains(string(page), name) {
				t.Errorf("%s is required by web/package.json and not on docs/dependencies.md", name)
			}
		}
	}
}
