package conformance_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

type resource = map[string]any

// core judges the rows of a version of US Core with one token.
type core struct {
	p        *place
	token    string
	patients []string
	groups   []*group
	seen     map[*group][]resource // what the first search of each group found
	listed   map[string][]resource // everything of "Type patient"
	got      map[string]resource   // resources read, by "Type/id"; nil when they cannot be
	valid    map[string]string     // problems of "Type/id profile"
}

func newCore(p *place, token string, patients []string, groups []*group) *core {
	return &core{p: p, token: token, patients: patients, groups: groups, seen: map[*group][]resource{}, listed: map[string][]resource{},
		got: map[string]resource{}, valid: map[string]string{}}
}

func (c *core) get(path string) answer {
	if !strings.HasPrefix(path, "http") {
		path = c.p.base + "/" + path
	}
	return c.p.ask("GET", path, nil, "Authorization", "Bearer "+c.token, "Accept", "application/fhir+json")
}

// found is what a search gave.
type found struct {
	status int
	text   string
	match  []resource
	others []resource // included, and outcomes
}

// find searches and follows all pages.
func (c *core) find(typ string, q url.Values, post bool) found {
	a := c.get(typ + "?" + q.Encode())
	if post {
		a = c.p.form(c.p.base+"/"+typ+"/_search", q, "Authorization", "Bearer "+c.token, "Accept", "application/fhir+json")
	}
	f := found{status: a.status, text: a.text()}
	for pages := 0; pages < 200; pages++ {
		b := a.json()
		if a.status != 200 || b == nil || b["resourceType"] != "Bundle" {
			f.status, f.text = a.status, a.text()
			return f
		}
		for _, e := range list(b["entry"]) {
			r, _ := e["resource"].(resource)
			mode, _ := e["search"].(resource)
			if r["resourceType"] == typ && mode["mode"] != "include" && mode["mode"] != "outcome" {
				f.match = append(f.match, r)
			} else {
				f.others = append(f.others, r)
			}
		}
		next := ""
		for _, l := range list(b["link"]) {
			if l["relation"] == "next" {
				next = text(l["url"])
			}
		}
		if next == "" {
			return f
		}
		a = c.get(next)
	}
	return f
}

func list(v any) (out []resource) {
	all, _ := v.([]any)
	for _, x := range all {
		if o, is := x.(resource); is {
			out = append(out, o)
		}
	}
	return out
}

func key(r resource) string { return text(r["resourceType"]) + "/" + text(r["id"]) }

// everything of a type the server lists for a patient, to see what a search leaves out.
func (c *core) everything(typ, patient string) []resource {
	k := typ + " " + patient
	if all, is := c.listed[k]; is {
		return all
	}
	q := url.Values{"patient": {patient}, "_count": {"500"}}
	if typ == "Patient" {
		q = url.Values{"_id": {patient}}
	}
	all := c.find(typ, q, false).match
	c.listed[k] = all
	return all
}

// read reads a resource once.
func (c *core) read(ref string) resource {
	if r, is := c.got[ref]; is {
		return r
	}
	a := c.get(ref)
	r := a.json()
	if a.status != 200 || key(r) != ref {
		r = nil
	}
	c.got[ref] = r
	return r
}

// problems gives what $validate says against a profile, "" for nothing.
func (c *core) problems(r resource, profile string) string {
	k := key(r) + " " + profile
	if s, is := c.valid[k]; is {
		return s
	}
	raw, _ := json.Marshal(r)
	a := c.p.ask("POST", c.p.base+"/"+text(r["resourceType"])+"/$validate?profile="+url.QueryEscape(profile), raw, "Authorization", "Bearer "+c.token,
		"Content-Type", "application/fhir+json", "Accept", "application/fhir+json")
	s := ""
	o := a.json()
	if o["resourceType"] != "OperationOutcome" {
		s = "no outcome: " + a.text()
	}
	for _, i := range list(o["issue"]) {
		if v := text(i["severity"]); s == "" && (v == "error" || v == "fatal") {
			words, _ := i["details"].(resource)
			s = strings.Join(texts(i["expression"]), " ") + ": " + text(words["text"]) + " " + text(i["diagnostics"])
		}
	}
	c.valid[k] = s
	return s
}

// collect runs the first search of every group, and finds the members of those that are only referred to.
func (c *core) collect() {
	for _, g := range c.groups {
		if g.Delayed {
			continue
		}
		for _, q := range c.firsts(g) {
			for _, r := range c.find(g.Resource, q, false).match {
				c.add(g, r)
			}
		}
	}
	for _, g := range c.groups {
		if !g.Delayed {
			continue
		}
		for _, o := range c.groups {
			for _, r := range c.seen[o] {
				for _, ref := range references(r) {
					if strings.HasPrefix(ref, g.Resource+"/") {
						if m := c.read(ref); m != nil {
							c.add(g, m)
						}
					}
				}
			}
		}
		for _, patient := range c.patients {
			switch g.Resource {
			case "RelatedPerson", "Specimen":
				for _, r := range c.everything(g.Resource, patient) {
					c.add(g, r)
				}
			case "Provenance":
				for _, r := range c.find("Patient", url.Values{"_id": {patient}, "_revinclude": {"Provenance:target"}}, false).others {
					c.add(g, r)
				}
			}
		}
		if g.Resource == "PractitionerRole" {
			for _, r := range c.find(g.Resource, url.Values{"_count": {"50"}}, false).match {
				c.add(g, r)
			}
		}
	}
}

func (c *core) add(g *group, r resource) {
	if text(r["resourceType"]) != g.Resource || slices.ContainsFunc(c.seen[g], func(o resource) bool { return key(o) == key(r) }) {
		return
	}
	c.got[key(r)] = r
	c.seen[g] = append(c.seen[g], r)
}

// firsts gives the queries of a group's first search: each patient with each of the fixed values.
func (c *core) firsts(g *group) (out []url.Values) {
	if len(g.Searches) == 0 {
		return nil
	}
	for _, patient := range c.patients {
		qs := []url.Values{{}}
		for _, n := range g.Searches[0].Names {
			if n == "patient" || n == "_id" {
				for _, q := range qs {
					q.Set(n, patient)
				}
				continue
			}
			var more []url.Values
			for _, v := range g.Params[n].Values {
				for _, q := range qs {
					n2 := url.Values{}
					for k, x := range q {
						n2[k] = x
					}
					n2.Set(n, v)
					more = append(more, n2)
				}
			}
			qs = more
		}
		for _, q := range qs {
			if len(q) == len(g.Searches[0].Names) {
				out = append(out, q)
			}
		}
	}
	return out
}

// mine says whether an instance is to be judged by the group's profile: it names it, or names none of US Core's.
func (c *core) mine(g *group, r resource) bool {
	meta, _ := r["meta"].(resource)
	any := false
	for _, p := range texts(meta["profile"]) {
		p, _, _ = strings.Cut(p, "|")
		if p == g.URL {
			return true
		}
		any = any || strings.HasPrefix(p, "http")
	}
	return !any
}

// references gives every literal reference in a resource.
func references(n any) (out []string) {
	switch v := n.(type) {
	case []any:
		for _, x := range v {
			out = append(out, references(x)...)
		}
	case resource:
		if r := text(v["reference"]); r != "" {
			out = append(out, r)
		}
		for _, x := range v {
			out = append(out, references(x)...)
		}
	}
	return out
}

// judge gives the rows of all groups.
func (c *core) judge(part string) (out table) {
	for _, g := range c.groups {
		for _, k := range g.tests {
			out = append(out, c.test(g, k).row(part, k.ID, k.Asks))
		}
	}
	return out
}

func (c *core) test(g *group, k kitTest) verdict {
	is := func(end string) bool { return strings.HasSuffix(k.ID, end) }
	if len(c.seen[g]) == 0 {
		return wrong("no instance was found")
	}
	switch {
	case is("_provenance_revinclude_search_test"):
		return c.provenance(g)
	case is("_search_test"):
		if s := g.searchOf(k.ID); s != nil {
			return c.search(g, *s)
		}
	case is("_read_test"):
		for _, r := range c.seen[g] {
			a := c.get(key(r))
			if o := a.json(); a.status != 200 || key(o) != key(r) {
				return wrong("%s: %d %s", key(r), a.status, a.text())
			}
		}
		return fine
	case is("_validation_test"):
		n := 0
		for _, r := range c.seen[g] {
			if c.mine(g, r) {
				n++
				if s := c.problems(r, g.URL); s != "" {
					return wrong("%s: %s", key(r), s)
				}
			}
		}
		if n == 0 {
			return wrong("no instance of the profile")
		}
		return fine
	case is("_must_support_test"):
		if m := c.unsupported(g); len(m) > 0 {
			return wrong("not seen: %s", strings.Join(m, ", "))
		}
		return fine
	case is("_reference_resolution_test"):
		return c.resolution(g)
	case is("_custodian_test"):
		return c.any(g, "custodian")
	case is("_interpreter_required_extension_test"): // at the patient or at an encounter
		const needed = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-interpreter-needed"
		for _, o := range c.groups {
			for _, r := range c.seen[o] {
				for _, x := range list(r["extension"]) {
					if (o.Resource == "Patient" || o.Resource == "Encounter") && x["url"] == needed {
						return fine
					}
				}
			}
		}
		return wrong("no patient or encounter says whether an interpreter is needed")
	case is("_practitioner_address_test"):
		if v := c.any(g, "address"); v != fine {
			for _, o := range c.groups {
				if o.Resource == "PractitionerRole" && len(c.seen[o]) > 0 {
					return fine
				}
			}
			return v
		}
		return fine
	}
	return left("the harness has no check for it")
}

func (c *core) any(g *group, path string) verdict {
	for _, r := range c.seen[g] {
		if len(walk(r, path, nil)) > 0 {
			return fine
		}
	}
	return wrong("not seen: %s", path)
}

// days moves a date for searches with prefixes.
func days(v string, n int) string {
	s, is := spanOf(v)
	if !is {
		return ""
	}
	return s.from.AddDate(0, 0, n).In(time.UTC).Format("2006-01-02")
}
