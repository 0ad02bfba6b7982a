package conformance_test

import (
	"net/url"
	"slices"
	"strings"
)

// provenance searches with _revinclude=Provenance:target.
func (c *core) provenance(g *group) verdict {
	for _, q := range c.firsts(g) {
		q.Set("_revinclude", "Provenance:target")
		f := c.find(g.Resource, q, false)
		if f.status != 200 {
			return wrong("%s: %d %s", q.Encode(), f.status, f.text)
		}
		for _, o := range f.others {
			if o["resourceType"] != "Provenance" {
				return wrong("%s: brings a %s", q.Encode(), o["resourceType"])
			}
			for _, ref := range references(o["target"]) {
				if slices.ContainsFunc(f.match, func(r resource) bool { return key(r) == ref }) {
					return fine
				}
			}
		}
	}
	if g.Delayed {
		for _, r := range c.seen[g] {
			f := c.find(g.Resource, url.Values{"_id": {text(r["id"])}, "_revinclude": {"Provenance:target"}}, false)
			if slices.ContainsFunc(f.others, func(o resource) bool { return o["resourceType"] == "Provenance" }) {
				return fine
			}
		}
	}
	return wrong("no Provenance comes with them")
}

// unsupported gives the must-support items that no instance shows.
func (c *core) unsupported(g *group) (out []string) {
	var mine []resource
	for _, r := range c.seen[g] {
		if c.mine(g, r) {
			mine = append(mine, r)
		}
	}
	shows := func(e element) bool {
		for _, r := range mine {
			for _, v := range walk(r, e.Path, g.slices()) {
				if e.Fixed == "" || text(v) == e.Fixed {
					return true
				}
			}
		}
		return false
	}
	missing := map[string]bool{}
	for _, e := range g.Supported.Elements {
		if !shows(e) {
			missing[e.Path] = true
		}
	}
	for _, s := range g.Supported.Slices {
		there := false
		for _, r := range mine {
			if s.Discriminator.Type == "type" {
				path := strings.TrimSuffix(s.Path, "[x]") + s.Discriminator.Code
				there = there || len(walk(r, path, g.Supported.Slices)) > 0
				continue
			}
			for _, v := range walk(r, s.Path, g.Supported.Slices) {
				there = there || s.has(v)
			}
		}
		if !there {
			missing[s.ID] = true
		}
	}
	for _, e := range g.Supported.Extensions {
		there := false
		for _, r := range mine {
			for _, v := range walk(r, e.Path, nil) {
				if o, is := v.(resource); is && o["url"] == e.URL {
					there = true
				}
			}
		}
		if !there {
			missing[e.ID] = true
		}
	}
	for _, ch := range g.Supported.Choices {
		names := slices.Concat(ch.Paths, ch.Extensions)
		if slices.ContainsFunc(names, func(n string) bool { return !missing[n] }) {
			for _, n := range names {
				delete(missing, n)
			}
		}
	}
	for n := range missing {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// resolution follows each must-support reference to an instance that is valid for one of its profiles.
func (c *core) resolution(g *group) verdict {
	var bad []string
	for _, e := range g.Supported.Elements {
		if !slices.Contains(e.Types, "Reference") {
			continue
		}
		found, why := false, "no reference is there"
		for _, r := range c.seen[g] {
			if found || !c.mine(g, r) {
				continue
			}
			for _, v := range walk(r, e.Path, g.slices()) {
				o, _ := v.(resource)
				ref := text(o["reference"])
				if ref == "" {
					continue
				}
				var to resource
				if id, is := strings.CutPrefix(ref, "#"); is {
					for _, in := range list(r["contained"]) {
						if in["id"] == id {
							to = in
						}
					}
				} else if ref != "" {
					to = c.read(strings.TrimPrefix(ref, c.p.base+"/"))
				}
				if to == nil {
					why = ref + " does not resolve"
					continue
				}
				if len(e.Profiles) == 0 {
					found = true
				}
				for _, p := range e.Profiles {
					if s := c.problems(to, p); s == "" {
						found = true
						break
					} else if !strings.Contains(s, " is for ") { // another type's profile says nothing
						why = ref + " against " + p + ": " + s
					}
				}
				if found {
					break
				}
			}
		}
		if !found && !c.optional(g, e.Path) {
			bad = append(bad, e.Path+": "+why)
		}
	}
	if len(bad) > 0 {
		return wrong("%s", strings.Join(bad, "; "))
	}
	return fine
}

// optional says whether another member of a choice stands in for a path.
func (c *core) optional(g *group, path string) bool {
	for _, ch := range g.Supported.Choices {
		if slices.Contains(ch.Paths, path) {
			for _, p := range ch.Paths {
				if p != path && c.any(g, p) == fine {
					return true
				}
			}
		}
	}
	return false
}
