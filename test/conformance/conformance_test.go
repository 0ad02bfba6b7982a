// Package conformance_test asks a running server what ONC's certification kit and its parts ask, and writes docs/conformance.md.
// It speaks to the program from outside: the command line, HTTPS, and the screens a person launches programs with. It owns no
// conformance texts: ids and metadata of the kits come from the corpus at the time of the run, the words are ours.
package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"yarrow.health/internal/standards/corpustest"
)

var (
	engines = flag.String("engine", "SQLite", "SQLite, PostgreSQL or both")
	write   = flag.Bool("write", false, "write docs/conformance.md")
	only    = flag.String("guide", "", "one version of US Core alone")
	show    = flag.Bool("show", false, "print every row")
)

// TestRows judges every row and compares with the page.
func TestRows(t *testing.T) {
	if corpustest.Folder(t, "inferno") == "" {
		return
	}
	list := []string{*engines}
	if *engines == "both" {
		list = []string{"SQLite", "PostgreSQL"}
	}
	var all table
	for i, engine := range list {
		t.Run(engine, func(t *testing.T) {
			rows := run(t, engine)
			for _, r := range rows {
				if r.state == red {
					t.Errorf("%s is red: %s (%s)", r.id, r.why, r.asks)
				} else if *show {
					fmt.Println(r.state, r.id, r.why)
				}
			}
			fmt.Printf("%s: %d rows green, %d red, %d open\n", engine, rows.count(green), rows.count(red), rows.count(open))
			if i == 0 {
				all = rows
				return
			}
			for j, r := range rows { // the page shows the worse of two engines
				if all[j].id != r.id {
					t.Fatalf("the engines have other rows: %s, %s", all[j].id, r.id)
				}
				if r.state == red && all[j].state != red {
					all[j].state, all[j].why = red, engine+": "+r.why
				}
			}
		})
	}
	if *write {
		if err := os.WriteFile(docPath, []byte(all.markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if *only != "" {
		return
	}
	for _, d := range all.compare(written(t)) {
		t.Errorf("docs/conformance.md: %s", d)
	}
}

// run judges every row on one engine. Each version of US Core has an installation of its own, so that records are judged by its profiles.
func run(t *testing.T, engine string) (out table) {
	for _, v := range guides[1:] {
		if *only == "" || *only == v {
			out = append(out, guided(t, engine, v)...)
		}
	}
	if *only != "" && *only != guides[0] {
		return out
	}
	p := newPlace(t, engine)
	p.records(guides[0], 1)
	p.programs()
	p.serve()
	c := p.core(guides[0])
	out = append(c.judge("US Core "+guides[0]), out...)
	w, err := p.signIn()
	if err != nil {
		t.Fatal(err)
	}
	return append(out, newSmart(p, w, c, out).judge(g10Rows(t))...)
}

// guided judges a version of US Core that a practice takes in as a guide.
func guided(t *testing.T, engine, version string) table {
	p := newPlace(t, engine)
	p.run("import", "guide", "--practice", "willow", filepath.Join(corpustest.Folder(t, "us-core"), version, "definitions.tar.gz"))
	p.records(version, 0)
	p.register("backend", "keys", "system/*.cruds")
	p.serve()
	return p.core(version).judge("US Core " + version)
}

// core reads what the practice has for the profiles of a version of US Core.
func (p *place) core(version string) *core {
	p.t.Helper()
	a := p.backend(p.clients["backend"], "system/*.rs")
	token := text(a.json()["access_token"])
	if token == "" {
		p.t.Fatalf("no token: %d %s", a.status, a.text())
	}
	c := newCore(p, token, p.patients(token), kit(p.t, version))
	c.collect()
	return c
}

// patients gives whose records are asked for: those of the examples, the harness's own and two of Synthea's.
func (p *place) patients(token string) (out []string) {
	c := &core{p: p, token: token}
	for _, r := range c.find("Patient", map[string][]string{"_count": {"100"}}, false).match {
		out = append(out, text(r["id"]))
	}
	return out
}
