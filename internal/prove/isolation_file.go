package prove

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// files has exports and imports run to their end, and reads everything that came of them, here and in the twin.
func (j *judge) files(ctx context.Context) error {
	if err := j.p.RunDue(ctx); err != nil { // what earlier probes began
		return err
	}
	if j.r.Control { // without its guard the type has been written over and deleted by the probes before
		for _, k := range []key{j.in, j.twin} {
			if err := j.sow(ctx, k.practice.ID, letterOf(k.practice), func(x plant) bool {
				return x.typ == unguardedType && (k.practice.ID == j.in.practice.ID || j.in.sees(x) || published(x))
			}); err != nil {
				return err
			}
		}
	}
	hidden := plant{typ: unguardedType, patient: 2, apart: true}
	lines := `{"resourceType":"` + hidden.typ + `","id":"` + hidden.id(home) + `","status":"final","code":{"text":"x"}}` + "\n" + `{"resourceType":"Patient","id":"` + strings.Repeat("n", 12) + `"}` + "\n{}\n"
	asks := []probe{
		{method: "GET", path: "/$export", header: [2]string{"Prefer", "respond-async"}},
		{method: "GET", path: "/Patient/$export?_type=" + unguardedType + ",Condition,Patient", header: [2]string{"Prefer", "respond-async"}},
		{method: "POST", path: "/../bulk/import", kind: "application/fhir+ndjson", body: lines},
		{method: "POST", path: "/$import", kind: "application/fhir+ndjson", body: lines},
	}
	keys := []key{j.in, j.twin}
	begun := make([][2]string, len(asks))
	for n, p := range asks {
		var seen [2]int
		for i, k := range keys {
			q := p
			if q.path = "/" + k.practice.Slug + "/fhir" + p.path; strings.HasPrefix(p.path, "/../") {
				q.path = "/" + k.practice.Slug + "/" + p.path[4:]
			}
			s := send(ctx, j.p.Handler, q, k.header)
			j.r.Count("probes", 1)
			j.clean(q, s, "")
			seen[i], begun[n][i] = s.status, pathOf(s.header.Get("Content-Location"))
		}
		if seen[0] != seen[1] {
			j.fail(tellsOfIt, "%s: %s %s is answered %d, and %d in the twin", j.who, p.method, p.path, seen[0], seen[1])
		}
	}
	if err := j.p.RunDue(ctx); err != nil {
		return err
	}
	for n, at := range begun {
		if at[0] == "" || at[1] == "" {
			continue
		}
		var seen [2]string
		for i, k := range keys {
			seen[i] = j.fetched(ctx, asks[n], at[i], k)
		}
		if seen[0] != seen[1] {
			a, b := apartFrom(seen[0], seen[1])
			j.fail(filesIt, "%s: the files of %s %s tell of what is hidden: %q, and %q", j.who, asks[n].method, asks[n].path, a, b)
		}
	}
	return nil
}

// pathOf is the path and query of an address of the program.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return ""
	}
	return u.RequestURI()
}

// apartFrom are two texts from where they part.
func apartFrom(a, b string) (string, string) {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	cut := func(s string) string { return s[max(0, min(at-60, len(s))):min(len(s), at+100)] }
	return cut(a), cut(b)
}

// fetched reads a manifest and every file it names, as text that is the same for the same contents. Nobody else gets a file.
func (j *judge) fetched(ctx context.Context, of probe, at string, k key) string {
	read := func(path string) said {
		p := probe{method: "GET", path: path}
		s := send(ctx, j.p.Handler, p, k.header)
		j.r.Count("probes", 1)
		for _, c := range canaryForm.FindAll(s.body, -1) {
			if !j.allowed[strings.ToLower(string(c))] {
				j.fail(filesIt, "%s: a file of %s %s shows %s", j.who, of.method, of.path, c)
				break
			}
			j.shown.Add(1)
		}
		return s
	}
	s := read(at)
	var manifest struct {
		Output, Error, Deleted []struct {
			Type  string
			URL   string
			Count int
		}
	}
	if err := json.Unmarshal(s.body, &manifest); err != nil || s.status != http.StatusOK {
		return fmt.Sprintf("%d %s", s.status, j.steady(s, k.practice))
	}
	var out []string
	for _, f := range append(append(manifest.Output, manifest.Error...), manifest.Deleted...) {
		path := pathOf(f.URL)
		if path == "" { // a count alone, of what an import took
			out = append(out, fmt.Sprint(f.Type, f.Count))
			continue
		}
		body := read(path)
		j.r.Count("files read", 1)
		lines := strings.Split(j.steady(said{status: body.status, header: http.Header{}, body: body.body}, k.practice), "\n")
		slices.Sort(lines)
		out = append(out, fmt.Sprintf("%s %d\n%s", f.Type, f.Count, strings.Join(lines, "\n")))
		elsewhere := j.twin.header
		if k.practice.ID == j.twin.practice.ID {
			elsewhere = j.in.header
		}
		for _, key := range []http.Header{{}, {"Authorization": {"Bearer none"}}, elsewhere} {
			if s := send(ctx, j.p.Handler, probe{method: "GET", path: path}, key); s.status == http.StatusOK {
				j.fail(filesIt, "%s: a file of %s %s is given to somebody else", j.who, of.method, of.path)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
