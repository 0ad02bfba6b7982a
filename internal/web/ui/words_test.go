package ui

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sources are the templates and handlers of all screens, by path, and whatever else speaks to people in the words of the catalogue;
// generated files say nothing new.
func sources(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	read := func(p string) error {
		b, err := os.ReadFile(p)
		out[p] = string(b)
		return err
	}
	err := filepath.WalkDir("..", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(p, "_templ.go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		if ext := filepath.Ext(p); ext == ".go" || ext == ".templ" {
			return read(p)
		}
		return nil
	})
	for _, p := range []string{"../../base/audit/said.go", "../../edge/operations/whosaw.go"} {
		if err == nil {
			err = read(p)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	said     = regexp.MustCompile(`\b([a-z]+)\.T\("([^"]+)"([^)]?)`)
	quoted   = regexp.MustCompile(`"([a-z0-9.-]+)"`)
	holes    = regexp.MustCompile(`\{\d[^}]*\}`)
	inOffice = regexp.MustCompile(`Title:\s+"([a-z.]+)".*Office:`)
	command  = regexp.MustCompile(`Title:\s+"([a-z.]+)".*Rail:\s+true`)
)

func TestEveryWordIsThereAndUsed(t *testing.T) {
	w := loadWords()
	en := w.Keys("en")
	known := map[string]bool{}
	for _, k := range en {
		known[k] = true
	}
	used := map[string]bool{}
	var stems []string // keys that are put together: everything that begins so is used
	for p, text := range sources(t) {
		inChart := strings.Contains(p, "/chart/")
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			key := m[2]
			if inChart && m[1] == "x" { // the chart's pages speak in keys of their own
				key = "chart." + key
			}
			if strings.HasSuffix(key, ".") {
				stems = append(stems, key)
				if !slices.ContainsFunc(en, func(k string) bool { return strings.HasPrefix(k, key) }) {
					t.Errorf("%s: no word begins with %q", p, key)
				}
				continue
			}
			used[key] = true
			if !known[key] {
				t.Errorf("%s: %q is in no catalogue", p, key)
			}
		}
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			used[m[1]+".short"] = true
			if !known[m[1]+".short"] {
				t.Errorf("%s: the rail needs %q", p, m[1]+".short")
			}
		}
		for _, m := range inOffice.FindAllStringSubmatch(text, -1) {
			used[m[1]+".about"] = true
			if !known[m[1]+".about"] {
				t.Errorf("%s: the page of the practice needs %q", p, m[1]+".about")
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if inChart {
				used["chart."+m[1]] = true
			}
			if strings.HasSuffix(m[1], ".") {
				stems = append(stems, m[1], "chart."+m[1])
			}
		}
	}
	for _, k := range en {
		if used[k] || slices.ContainsFunc(stems, func(s string) bool { return strings.HasPrefix(k, s) }) ||
			strings.HasPrefix(k, "flag.") || strings.HasPrefix(k, "keys.group.") {
			continue
		}
		t.Errorf("%q is in the catalogue and on no screen", k)
	}
}

func TestLanguagesSayTheSame(t *testing.T) {
	w := loadWords()
	en := w.Keys("en")
	for _, l := range Languages[1:] {
		other := w.Keys(l)
		for _, k := range en {
			if !slices.Contains(other, k) {
				t.Errorf("%s lacks %q", l, k)
				continue
			}
			numbers := func(s string) (out []string) {
				for _, h := range holes.FindAllString(s, -1) {
					if n := h[1:2]; !slices.Contains(out, n) {
						out = append(out, n)
					}
				}
				slices.Sort(out)
				return out
			}
			if a, b := numbers(w.by["en"][k]), numbers(w.by[l][k]); !slices.Equal(a, b) {
				t.Errorf("%s %q fills in %v, English %v", l, k, b, a)
			}
		}
		for _, k := range other {
			if !slices.Contains(en, k) {
				t.Errorf("%s has %q, English has not", l, k)
			}
		}
	}
}

func TestFillingIn(t *testing.T) {
	w := &Words{by: map[string]map[string]string{"en": {"a": "{0} {0|result|results} of {1}", "b": "plain", "c": "{x} {5}"}, "es": {"b": "llano"}}}
	for _, c := range []struct {
		lang, key string
		args      []any
		want      string
	}{
		{"en", "a", []any{1, "Ann"}, "1 result of Ann"},
		{"en", "a", []any{"12", "{0}"}, "12 results of {0}"},
		{"es", "b", nil, "llano"},
		{"es", "a", []any{0, "x"}, "0 results of x"},
		{"en", "c", []any{1}, "{x} {5}"},
		{"en", "nothing", nil, "⟨nothing⟩"},
	} {
		if got := w.Say(c.lang, c.key, c.args...); got != c.want {
			t.Errorf("%s %s %v: %q, want %q", c.lang, c.key, c.args, got, c.want)
		}
	}
}

func TestPickingALanguage(t *testing.T) {
	w := loadWords()
	for _, c := range []struct{ chosen, accept, want string }{
		{"", "", "en"}, {"es", "en", "es"}, {"", "es-MX,en;q=0.5", "es"}, {"", "fr, es;q=0.8", "es"}, {"xx", "fr", "en"}, {"", "EN-us", "en"},
	} {
		if got := w.pick(c.chosen, c.accept); got != c.want {
			t.Errorf("%q %q: %s, want %s", c.chosen, c.accept, got, c.want)
		}
	}
}

func TestDates(t *testing.T) {
	q := &Request{router: &Router{words: loadWords()}, locale: "en"}
	for in, want := range map[string]string{"1968-03-14": "14 Mar 1968", "2024-03": "Mar 2024", "2024": "2024", "": "", "sometime": "sometime"} {
		if got := q.Partial(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	q.locale = "es"
	for age, want := range map[string]string{"58 y": "58 a", "about 58 y": "unos 58 a", "14 mo": "14 m", "5 wk": "5 sem", "3 d": "3 d", "": ""} {
		if got := q.Age(age); got != want {
			t.Errorf("Age(%q) = %q, want %q", age, got, want)
		}
	}
	if got := q.Partial("1968-03-14"); got != "14 mar 1968" {
		t.Error(got)
	}
}
