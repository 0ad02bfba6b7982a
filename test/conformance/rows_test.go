package conformance_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// state is what a row came to.
type state string

const (
	green state = "green" // the server does what the row asks
	red   state = "red"   // it does not: a defect of ours
	open  state = "open"  // not judged here, for a reason that is given
)

// row is one question of a conformance kit: its id is theirs, the words are ours.
type row struct {
	part, id, asks string
	state          state
	why            string
}

// verdict is what a check finds: no words, or what is wrong. A reason that begins with "open: " leaves the row open.
type verdict string

const fine verdict = ""

func wrong(form string, args ...any) verdict { return verdict(fmt.Sprintf(form, args...)) }
func left(form string, args ...any) verdict  { return verdict("open: " + fmt.Sprintf(form, args...)) }

func (v verdict) row(part, id, asks string) row {
	r := row{part: part, id: id, asks: asks, state: green}
	if why, is := strings.CutPrefix(string(v), "open: "); is {
		r.state, r.why = open, why
	} else if v != fine {
		r.state, r.why = red, string(v)
	}
	return r
}

// table is every row that was judged, in order.
type table []row

func (t table) count(s state) (n int) {
	for _, r := range t {
		if r.state == s {
			n++
		}
	}
	return n
}

// parts gives the parts in the order in which they come first.
func (t table) parts() (out []string) {
	for _, r := range t {
		if !slices.Contains(out, r.part) {
			out = append(out, r.part)
		}
	}
	return out
}

func (t table) of(part string) (out table) {
	for _, r := range t {
		if r.part == part {
			out = append(out, r)
		}
	}
	return out
}

const docPath = "../../docs/conformance.md"

const docHead = `# Conformance

What the server answers to the questions of ONC's (g)(10) certification kit and of the kits it is made of (US Core 6.1.0, 7.0.0
and 8.0.0, SMART App Launch 2.2, Bulk Data 2.0). The kits themselves are not run here: ` + "`test/conformance`" + ` asks the same questions with its own code and in its
own words, under the kits' ids, so that a run of Inferno elsewhere can be laid beside it. This page is written by ` + "`make conformance`" + `,
which starts ` + "`yarrow serve`" + ` over TLS on throw-away data for each engine, takes in the published US Core examples, Synthea patients and
our own records, registers programs, launches them as a person would through the screens, and judges the answers. US Core 6.1.0 is
built in; for 7.0.0 and 8.0.0 a practice of its own takes in the published package with ` + "`yarrow import guide`" + ` and that version's examples.

**green** it does what the row asks · **red** it does not · **open** not judged here, with the reason.

How far to trust it: searches are judged by a matcher of the harness's own and against everything of the type that the server lists for
the patient. Validity is judged by the server's own ` + "`$validate`" + `, which is tested elsewhere against official cases, without ONC's full
terminology. An instance that declares other profiles than the group's is judged under those. Must-support elements and references are
found by the harness. Where published examples show nothing of an element, a record written for the harness does.

`

// markdown is docs/conformance.md.
func (t table) markdown() string {
	var b strings.Builder
	b.WriteString(docHead)
	b.WriteString("| Part | green | red | open |\n|---|---|---|---|\n")
	for _, p := range t.parts() {
		some := t.of(p)
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", p, some.count(green), some.count(red), some.count(open))
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d |\n", t.count(green), t.count(red), t.count(open))
	for _, p := range t.parts() {
		fmt.Fprintf(&b, "\n## %s\n\n| Row | Result | Reason if not green |\n|---|---|---|\n", p)
		for _, r := range t.of(p) {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.id, r.state, strings.ReplaceAll(r.why, "|", "\\|"))
		}
	}
	return b.String()
}

var docRow = regexp.MustCompile(`(?m)^\| ([^|]+?) \| (green|red|open) \|`)

// written gives the rows of the page as it stands.
func written(t *testing.T) map[string]state {
	t.Helper()
	raw, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatalf("the table of rows is missing: %v; make it with `make conformance`", err)
	}
	out := map[string]state{}
	for _, m := range docRow.FindAllStringSubmatch(string(raw), -1) {
		if m[1] != "Part" { // the head of the sums
			out[m[1]] = state(m[2])
		}
	}
	return out
}

// compare says where a run differs from the page.
func (t table) compare(doc map[string]state) (out []string) {
	here := map[string]bool{}
	for _, r := range t {
		here[r.id] = true
		if was, is := doc[r.id]; !is {
			out = append(out, r.id+" is not on the page")
		} else if was != r.state {
			out = append(out, fmt.Sprintf("%s is %s on the page and %s now: %s", r.id, was, r.state, r.why))
		}
	}
	for id := range doc {
		if !here[id] {
			out = append(out, id+" is on the page and was not judged")
		}
	}
	slices.Sort(out)
	return out
}
