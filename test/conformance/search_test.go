package conformance_test

import (
	"net/url"
	"slices"
	"strings"
)

// matches judges one parameter of a search on a resource.
func (g *group) matches(r resource, name, asked string) bool {
	d := g.Params[name]
	if name == "_id" {
		return text(r["id"]) == asked
	}
	for _, one := range strings.Split(asked, ",") {
		for _, path := range d.Paths {
			for _, v := range walk(r, path, nil) {
				if d.matches(name, one, v) {
					return true
				}
			}
		}
	}
	return false
}

func (d param) matches(name, asked string, v any) bool {
	switch d.Type {
	case "Reference":
		return referenceMatches(asked, v)
	case "date", "dateTime", "instant", "Period":
		return dateMatches(asked, v)
	case "string", "HumanName", "Address":
		for _, s := range texts(v) {
			for _, word := range append(strings.Fields(s), s) {
				if strings.HasPrefix(fold(word), fold(asked)) {
					return true
				}
			}
		}
		return false
	case "canonical":
		s, _, _ := strings.Cut(text(v), "|")
		return text(v) == asked || s == asked
	}
	if name == "description" {
		if o, is := v.(resource); is && strings.HasPrefix(fold(text(o["text"])), fold(asked)) {
			return true
		}
	}
	return tokenMatches(asked, v)
}

func fold(s string) string { return strings.ToLower(s) }

// valueOf gives what to ask a parameter for, so that r is found; full gives tokens with their system.
func (g *group) valueOf(r resource, name string, full bool) string {
	d := g.Params[name]
	if name == "_id" {
		return text(r["id"])
	}
	best := ""
	for _, path := range d.Paths {
		for _, v := range walk(r, path, nil) {
			got := ""
			switch d.Type {
			case "Reference":
				o, _ := v.(resource)
				got = text(o["reference"])
				if strings.HasPrefix(got, "#") || strings.HasPrefix(got, "urn:") {
					continue
				}
				if name == "patient" {
					got = got[strings.LastIndexByte(got, '/')+1:]
				}
			case "date", "dateTime", "instant":
				if got = text(v); got == "" {
					o, _ := v.(resource)
					if s := text(o["start"]); s != "" {
						got = "ge" + s
					}
				}
			case "Period":
				o, _ := v.(resource)
				if s := text(o["start"]); s != "" {
					got = "ge" + s
				}
			case "HumanName":
				o, _ := v.(resource)
				if got = text(o["family"]); got == "" {
					got = text(o["text"])
				}
			case "Address":
				o, _ := v.(resource)
				if got = text(o["city"]); got == "" {
					got = text(o["text"])
				}
			case "string", "canonical":
				got = text(v)
			default:
				got = tokenOf(v, d.Values, full)
			}
			if got = strings.ReplaceAll(got, ",", `\,`); got != "" && (best == "" || slices.Contains(d.Values, got)) {
				best = got
			}
		}
	}
	return best
}

// tokenOf gives a code of a value, one of the wanted ones first.
func tokenOf(v any, wanted []string, full bool) string {
	o, is := v.(resource)
	if !is {
		return text(v)
	}
	codings := list(o["coding"])
	if len(codings) == 0 {
		codings = []resource{o}
	}
	best := ""
	for _, c := range codings {
		code := text(c["code"])
		if c["code"] == nil {
			code = text(c["value"])
		}
		got := code
		if full {
			if c["system"] == nil {
				continue
			}
			got = text(c["system"]) + "|" + code
		}
		if code != "" && (best == "" || slices.Contains(wanted, code)) {
			best = got
		}
	}
	return best
}

// search judges a search: with values from an instance that was found, everything that comes back must match, and everything that
// the server lists for the patient and that matches must come back.
func (c *core) search(g *group, s search) verdict {
	asked := 0
	var patients []string
	for _, r := range c.seen[g] {
		q := url.Values{}
		for _, n := range s.Names {
			if v := g.valueOf(r, n, false); v != "" {
				q.Set(n, v)
			}
		}
		if len(q) < len(s.Names) {
			continue
		}
		who := q.Get("patient")
		if asked >= 4 || slices.Contains(patients, who) && asked > 0 { // one instance a patient, four at most
			continue
		}
		patients = append(patients, who)
		asked++
		if v := c.one(g, q, r); v != fine {
			return v
		}
		if asked == 1 {
			if v := c.variants(g, s, q, r); v != fine {
				return v
			}
		}
	}
	if asked == 0 {
		return wrong("no instance has all of %s", strings.Join(s.Names, ", "))
	}
	return fine
}

// one runs a query and judges what comes; r, if any, must be among it.
func (c *core) one(g *group, q url.Values, r resource) verdict {
	f := c.find(g.Resource, q, false)
	if f.status != 200 {
		return wrong("%s: %d %s", q.Encode(), f.status, f.text)
	}
	seen := map[string]bool{}
	for _, m := range f.match {
		seen[key(m)] = true
		for n, v := range q {
			if !strings.HasPrefix(n, "_include") && !g.matches(m, n, unescaped(v[0])) {
				return wrong("%s brings %s, which does not match %s", q.Encode(), key(m), n)
			}
		}
	}
	if r != nil && !seen[key(r)] {
		return wrong("%s does not bring %s", q.Encode(), key(r))
	}
	if p := q.Get("patient"); p != "" {
		p = p[strings.LastIndexByte(p, '/')+1:]
	every:
		for _, o := range c.everything(g.Resource, p) {
			for n, v := range q {
				if v := unescaped(v[0]); !g.matches(o, n, v) || slices.Contains([]string{"eq", "ge", "le", "gt", "lt"}, v[:min(2, len(v))]) || isDate(g, n) {
					continue every
				}
			}
			if !seen[key(o)] {
				return wrong("%s leaves out %s", q.Encode(), key(o))
			}
		}
	}
	return fine
}

// isDate: near its ends a date search depends on time zones, so that only what comes back is judged.
func isDate(g *group, n string) bool {
	switch g.Params[n].Type {
	case "date", "dateTime", "instant", "Period":
		return true
	}
	return false
}

func unescaped(s string) string { return strings.ReplaceAll(s, `\,`, ",") }

// variants asks the same in the other ways that a server must know.
func (c *core) variants(g *group, s search, q url.Values, r resource) verdict {
	base := c.find(g.Resource, q, false)
	if post := c.find(g.Resource, q, true); post.status != 200 || len(post.match) != len(base.match) {
		return wrong("by POST %s gives %d with %d instead of %d: %s", q.Encode(), post.status, len(post.match), len(base.match), post.text)
	}
	with := func(n, v string) url.Values {
		o := url.Values{}
		for k, x := range q {
			o[k] = x
		}
		o.Set(n, v)
		return o
	}
	if p := q.Get("patient"); p != "" {
		if f := c.find(g.Resource, with("patient", "Patient/"+p), false); f.status != 200 || len(f.match) != len(base.match) {
			return wrong("patient=Patient/%s gives %d with %d instead of %d", p, f.status, len(f.match), len(base.match))
		}
	}
	for _, n := range s.Names {
		d := g.Params[n]
		switch d.Type {
		case "CodeableConcept", "Coding", "Identifier":
			if v := g.valueOf(r, n, true); v != "" && n != "description" {
				if v := c.one(g, with(n, v), r); v != fine {
					return v
				}
			}
		case "date", "dateTime", "instant", "Period":
			plain := strings.TrimPrefix(g.valueOf(r, n, false), "ge")
			for _, op := range []string{"gt", "ge", "lt", "le"} {
				by := -1
				if op[0] == 'l' {
					by = 1
				}
				at := days(plain, by)
				if d.Comparators[op] != "SHALL" || at == "" {
					continue
				}
				if d.Type == "Period" && by > 0 {
					at = "2100-01-01"
				}
				if v := c.one(g, with(n, op+at), r); v != fine {
					return v
				}
			}
		}
		if d.Many == "SHALL" && len(d.Values) > 1 {
			if v := c.one(g, with(n, strings.Join(d.Values, ",")), r); v != fine {
				return v
			}
		}
		for _, ch := range d.Chain {
			if v := c.chained(g, r, n, ch.Chain); v != fine {
				return v
			}
		}
	}
	for _, inc := range g.Includes {
		if v := c.include(g, q, inc); v != fine {
			return v
		}
	}
	return fine
}

// chained asks for what a reference leads to: practitioner.name, practitioner.identifier.
func (c *core) chained(g *group, r resource, name, chain string) verdict {
	for _, o := range c.groups {
		if o.Resource != "Practitioner" {
			continue
		}
		to := c.read(g.valueOf(r, name, false))
		if to == nil {
			return wrong("%s of %s does not resolve", name, key(r))
		}
		v := o.valueOf(to, chain, true)
		if v == "" {
			return wrong("%s has no %s", key(to), chain)
		}
		f := c.find(g.Resource, url.Values{name + "." + chain: {v}}, false)
		if f.status != 200 || !slices.ContainsFunc(f.match, func(m resource) bool { return key(m) == key(r) }) {
			return wrong("%s.%s=%s: %d without %s", name, chain, v, f.status, key(r))
		}
		return fine
	}
	return left("no group of Practitioner")
}

// include asks for what is referred to beside the matches: all that can be read must come, and nothing else.
func (c *core) include(g *group, q url.Values, inc string) verdict {
	part := strings.Split(inc, ":")
	paths := map[string]string{"medication": "medication[x]", "participant": "participant.member", "practitioner": "practitioner", "endpoint": "endpoint"}
	path := paths[part[1]]
	o := url.Values{"_include": {inc}}
	for k, v := range q {
		o[k] = v
	}
	f := c.find(g.Resource, o, false)
	if f.status != 200 {
		return wrong("%s: %d %s", o.Encode(), f.status, f.text)
	}
	came := map[string]bool{}
	for _, m := range f.others {
		came[key(m)] = true
	}
	wanted := map[string]bool{}
	for _, r := range f.match {
		for _, v := range walk(r, path, nil) {
			ref, _ := v.(resource)
			t := text(ref["reference"])
			if t == "" || strings.HasPrefix(t, "#") || len(part) > 2 && !strings.HasPrefix(t, part[2]+"/") {
				continue
			}
			wanted[t] = true
			if c.read(t) != nil && !came[t] {
				return wrong("%s does not bring %s", o.Encode(), t)
			}
		}
	}
	for k := range came {
		if !wanted[k] {
			return wrong("%s brings %s, to which nothing refers", o.Encode(), k)
		}
	}
	return fine
}
