package ui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// spoken are the sources whose Problems reach people at screens.
var spoken = []string{"../../clinic/*/*.go", "../*/*.go", "../../base/oauth/*.go", "../../base/auth/*.go", "../../base/signon/*.go", "../../edge/scim/key.go", "../../base/jobs/*.go", "../../base/audit/log.go",
	"../../standards/synthetic/*.go", "../../edge/subscription/reason.go", "../../edge/subscription/manage.go", "../../base/fhirstore/owner.go", "../../base/fhirstore/access_store.go", "../../base/fhirstore/write_store.go", "../../base/fhirstore/label_store.go"}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

// wording is an argument of Problem as the catalogue writes it: what varies is {0}, {1}…
func wording(e ast.Expr, n *int) string {
	next := func() string { *n++; return "{" + strconv.Itoa(*n-1) + "}" }
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.BinaryExpr:
		return wording(e.X, n) + wording(e.Y, n)
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sprintf" {
			return verb.ReplaceAllStringFunc(wording(e.Args[0], n), func(string) string { return next() })
		}
	}
	return next()
}

// TestProblemsAreSpokenInSpanish finds every Problem that a screen can show and wants its words in the catalogue.
func TestProblemsAreSpokenInSpanish(t *testing.T) {
	es := loadSayings("es")
	used := map[string]bool{}
	for _, pattern := range spoken {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || strings.HasSuffix(f, "_templ.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(node ast.Node) bool {
				call, ok := node.(*ast.CallExpr)
				if !ok || len(call.Args) != 3 {
					return true
				}
				if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Problem" {
					return true
				}
				for _, a := range call.Args[1:] {
					n := 0
					words := wording(a, &n)
					if words == "" || words == "{0}" { // said by somebody else, or in the person's language already
						continue
					}
					used[words] = true
					if said := es.say(words); said == words {
						t.Errorf("%s: locale/es-issues.txt lacks: %s", f, words)
					} else if strings.Contains(said, "{"+strconv.Itoa(n)+"}") {
						t.Errorf("%q has more places to fill than %q", said, words)
					}
				}
				return true
			})
		}
	}
	if len(used) < 150 {
		t.Errorf("%d texts found", len(used))
	}
}

func TestIssuesInSpanish(t *testing.T) {
	q := &Request{router: NewRouter(nil, nil, Options{Clock: dbtest.SQLite(t, nil).Clock}), locale: "es"}
	for _, c := range []struct{ text, want string }{
		{"The patient has died.", "El paciente ha fallecido."},
		{"“Aspirin (81 mg)” is already on the medication list.", "«Aspirin (81 mg)» ya está en la lista de medicación."},
		{"This Condition was changed meanwhile: you worked on version 1, the current version is 3.", "Este recurso Condition cambió entretanto: usted trabajaba con la versión 1 y la actual es la 3."},
		{"Somebody else said this.", "Somebody else said this."},
	} {
		if got := q.Says(fhir.Problem("value", c.text, "")); got != c.want {
			t.Errorf("%q", got)
		}
	}
	q.locale = "en"
	if got := q.Says(fhir.Problem("value", "The patient has died.", "Check that this is the right patient.")); got != "The patient has died. Check that this is the right patient." {
		t.Error(got)
	}
}
