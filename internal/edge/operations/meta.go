package operations

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// showMeta answers Type/x/$meta, Type/$meta and $meta.
func showMeta(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	if c.ID == "" {
		return allMeta(ctx, c)
	}
	var r *fhirstore.Resource
	err := c.View(ctx, func(tx *db.Tx) (err error) {
		r, err = c.Store().Read(ctx, tx, c.Type, c.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.SeeResource(audit.ActionRead, r)
	return metaOf(r), nil
}

// metaLimit bounds how many resources $meta of a type or of everything looks at.
const metaLimit = 50_000

// allMeta gathers what occurs in the meta of the resources that the caller may see, each once. It shows no resource.
func allMeta(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	types := fhir.ResourceTypes()
	if c.Type != "" {
		types = []string{c.Type}
	}
	access := auth.AccessOf(c.Scope)
	all := fhirjson.NewObject()
	seen := map[string]bool{}
	left := metaLimit
	err := c.View(ctx, func(tx *db.Tx) error {
		for _, typ := range types {
			if c.Type == "" && !(access.Allows(typ, auth.CanSearch) && access.Allows(typ, auth.CanRead)) {
				continue
			}
			q := fhirsearch.Query{Type: typ, Count: 1000}
			for {
				page, err := c.Store().Search(ctx, tx, q)
				if err != nil {
					return err
				}
				if left -= len(page.Resources); left < 0 {
					return fhir.Problem("too-costly", fmt.Sprintf("More than %d resources would have to be looked at.", metaLimit), "Ask at one type, or at a resource.")
				}
				for _, r := range page.Resources {
					gatherMeta(&all, r.Node().Get("meta"), seen)
				}
				if q.Page = page.Next; q.Page == "" {
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.See(audit.Event{Action: audit.ActionSearch, Type: c.Type, Detail: "$meta"})
	out := fhir.Object("resourceType", "Parameters")
	if len(all.Members()) > 0 {
		out.Set("parameter", fhir.Array(fhir.Object("name", "return", "valueMeta", all)))
	}
	return &fhirapi.Answer{Resource: out.AppendJSON(nil)}, nil
}

// gatherMeta adds profiles, tags and labels that were not seen before.
func gatherMeta(all, meta *fhirjson.Node, seen map[string]bool) {
	for _, name := range []string{"profile", "security", "tag"} {
		for i := range meta.Get(name).Items() {
			v := &meta.Get(name).Items()[i]
			key := name + " " + v.Text() + v.Get("system").Text() + "|" + v.Get("code").Text()
			if seen[key] {
				continue
			}
			seen[key] = true
			list := all.Get(name)
			if list == nil {
				all.Set(name, fhirjson.NewArray())
				list = all.Get(name)
			}
			list.Append(v.Clone())
		}
	}
}

func metaOf(r *fhirstore.Resource) *fhirapi.Answer {
	meta := r.Node().Get("meta")
	out := fhir.Object("resourceType", "Parameters", "parameter", fhir.Array(fhir.Object("name", "return", "valueMeta", meta.Clone())))
	return &fhirapi.Answer{Resource: out.AppendJSON(nil)}
}

// sentMeta is the parameter meta. What the store says itself of a resource nobody can set.
func sentMeta(c *fhirapi.Call) (*fhirjson.Node, error) {
	p := c.Parameters.First("meta")
	if p.Value.Kind() != fhirjson.Object {
		return nil, fhir.Problem("structure", "The parameter meta is not a Meta.", "Send it as valueMeta, with profile, tag or security.").At("meta")
	}
	for _, m := range p.Value.Members() {
		switch m.Name {
		case "profile", "tag", "security":
			if m.Value.Kind() != fhirjson.Array {
				return nil, fhir.Problem("structure", "meta."+m.Name+" is not a list.", "Send it as a JSON array.").At("meta." + m.Name)
			}
		default:
			return nil, fhir.Problem("not-supported", "Only profile, tag and security of a Meta can be added or taken away.", "Leave the rest out.").At("meta")
		}
	}
	return p.Value, nil
}

// same says whether two entries of meta are one: profiles by their text, codings by system and code.
func same(a, b *fhirjson.Node) bool {
	if a.Kind() == fhirjson.String || b.Kind() == fhirjson.String {
		return a.Kind() == b.Kind() && a.Text() == b.Text()
	}
	return a.Get("system").Text() == b.Get("system").Text() && a.Get("code").Text() == b.Get("code").Text()
}

func in(list *fhirjson.Node, e *fhirjson.Node) bool {
	items := list.Items()
	for i := range items {
		if same(&items[i], e) {
			return true
		}
	}
	return false
}

var metaLists = []string{"profile", "security", "tag"}

// addMeta answers $meta-add: what is there stays and is not doubled.
func addMeta(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	sent, err := sentMeta(c)
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, func(tx *db.Tx) (*fhirapi.Answer, error) {
		r, err := c.Store().Read(ctx, tx, c.Type, c.ID)
		if err != nil {
			return nil, err
		}
		r, err = changeMeta(ctx, c, tx, r, func(name string, have *fhirjson.Node) (keep []fhirjson.Node) {
			items := have.Items()
			for i := range items {
				keep = append(keep, items[i].Clone())
			}
			more := sent.Get(name).Items()
			for i := range more {
				if !in(have, &more[i]) {
					keep = append(keep, more[i].Clone())
				}
			}
			return keep
		})
		if err != nil {
			return nil, err
		}
		c.SeeResource(audit.ActionRead, r)
		return metaOf(r), nil
	})
}

// deleteMeta answers $meta-delete. Sensitivity labels go by the store's own rule: with the right to remove them and a reason.
func deleteMeta(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	sent, err := sentMeta(c)
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, func(tx *db.Tx) (*fhirapi.Answer, error) {
		r, err := c.Store().Read(ctx, tx, c.Type, c.ID)
		if err != nil {
			return nil, err
		}
		labels := int64(0)
		r, err = changeMeta(ctx, c, tx, r, func(name string, have *fhirjson.Node) (keep []fhirjson.Node) {
			items := have.Items()
			for i := range items {
				gone := in(sent.Get(name), &items[i])
				if gone && name == "security" {
					if l := auth.LabelOf(items[i].Get("system").Text(), items[i].Get("code").Text()); l != 0 {
						labels |= l
						gone = false
					}
				}
				if !gone {
					keep = append(keep, items[i].Clone())
				}
			}
			return keep
		})
		if err != nil {
			return nil, err
		}
		if labels != 0 {
			if r, err = c.Store().Unlabel(ctx, tx, r.Type, r.ID, r.Version, labels, c.Parameters.Text("reason")); err != nil {
				return nil, err
			}
		}
		c.SeeResource(audit.ActionRead, r)
		return metaOf(r), nil
	})
}

// changeMeta writes a version whose lists of meta are what fn makes of them; when nothing changes there is no new version.
func changeMeta(ctx context.Context, c *fhirapi.Call, tx *db.Tx, r *fhirstore.Resource, fn func(name string, have *fhirjson.Node) []fhirjson.Node) (*fhirstore.Resource, error) {
	tree := r.Node().Clone()
	meta, changed := tree.Get("meta"), false
	for _, name := range metaLists {
		have := meta.Get(name)
		keep := fn(name, have)
		if len(keep) == have.Len() {
			continue
		}
		if changed = true; len(keep) == 0 {
			meta.Delete(name)
		} else {
			meta.Set(name, fhirjson.NewArray(keep...))
		}
	}
	if !changed {
		return r, nil
	}
	meta.Delete("versionId")
	meta.Delete("lastUpdated")
	if meta.Len() == 0 {
		tree.Delete("meta")
	}
	p, err := c.Store().PrepareNode(ctx, &tree)
	if err != nil {
		return nil, err
	}
	return c.Owner(r.Type).Update(ctx, tx, p, r.Version)
}
