package yarrow_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages that tests make")

// docs/security.md is made from docs/threats.txt, and every test that it names exists.
func TestSecurityPage(t *testing.T) {
	text, err := os.ReadFile("docs/threats.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Threats, what stands against them, and the tests that try\n\nMade from `docs/threats.txt` by `go test . -run TestSecurityPage -update`; a test that is named here and does not exist fails the build. " +
		"How to report a weakness: [SECURITY.md](../SECURITY.md). The proofs (`yarrow prove`) are described in [operations.md](operations.md).\n")
	ids := map[string]bool{}
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
			continue
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(&b, "\n%s\n\n| | Threat | Control | Tests |\n|---|---|---|---|\n", line)
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) == 3 { // nothing stands against it yet, or there is nothing to stand against
			parts = append(parts[:2], "–", parts[2])
		}
		if len(parts) != 4 || ids[parts[0]] {
			t.Errorf("docs/threats.txt:%d: this is not a threat of its own with a control and tests", n+1)
			continue
		}
		ids[parts[0]] = true
		var tests []string
		if open, ok := strings.CutPrefix(parts[3], "open: "); ok {
			tests = []string{"**Open:** " + open}
		} else {
			for _, one := range strings.Fields(parts[3]) {
				dir, name, _ := strings.Cut(one, ":")
				if !hasTest(t, dir, name) {
					t.Errorf("docs/threats.txt:%d: there is no test %s in %s", n+1, name, dir)
				}
				tests = append(tests, fmt.Sprintf("`%s` %s", dir, name))
			}
			if len(tests) == 0 {
				t.Errorf("docs/threats.txt:%d: %s has no test", n+1, parts[0])
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", parts[0], parts[1], parts[2], strings.Join(tests, "<br>"))
	}
	if *update {
		if err := os.WriteFile("docs/security.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := os.ReadFile("docs/security.md"); err != nil || string(page) != b.String() {
		t.Errorf("docs/security.md is not what docs/threats.txt says (%v): run go test . -run TestSecurityPage -update", err)
	}
}

// hasTest says whether a folder has a test of a name.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	find := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if find.Match(b) {
			return true
		}
	}
	return false
}

// comparedSlowly are the files that compare secrets, and at how many places at least: always all of a secret, however much of it
// is right. What takes one away must say why here.
var comparedSlowly = map[string]int{
	"internal/base/auth/password.go": 1, // passwords
	"internal/base/auth/totp.go":     1, // one-time codes
	"internal/base/oauth/ask.go":     1, // the browser that a request for consent belongs to
	"internal/base/oauth/secret.go":  2, // secrets of programs, the present one and the one before it
	"internal/base/oauth/token.go":   1, // verifiers of PKCE
	"internal/base/signon/flow.go":   1, // the browser that a sign-on belongs to
	"internal/base/signon/oidc.go":   2, // nonces, hashes of tokens
	"internal/edge/bulk/files.go":    1, // the secret in the address of an export
}

func TestSecretsAreComparedInConstantTime(t *testing.T) {
	used := regexp.MustCompile(`subtle\.ConstantTimeCompare\(`)
	for file, want := range comparedSlowly {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if n := len(used.FindAll(b, -1)); n < want {
			t.Errorf("%s compares %d secrets in constant time and had %d: compare with crypto/subtle, or say in this list why not", file, n, want)
		}
	}
}
