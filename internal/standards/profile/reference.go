package profile

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// where a reference leads
const (
	nowhere   = iota
	contained // in the resource itself
	bundled   // another entry of the bundle
	outside   // a resource of this server, or one that is not here
)

// follow resolves a reference as written, for resolve() in FHIRPath.
func (r *run) follow(ref string) (*fhirjson.Node, string) {
	n, _ := r.find(ref)
	if n != nil {
		return n, n.Get("resourceType").Text()
	}
	return nil, fhirpath.TypeOfReference(ref)
}

// find looks for what a reference names: among contained resources, in the bundle, on this server.
func (r *run) find(ref string) (*fhirjson.Node, int) {
	if ref == "" {
		return nil, nowhere
	}
	here := r.res[len(r.res)-1]
	if id, ok := strings.CutPrefix(ref, "#"); ok {
		if id == "" {
			return here.node, contained
		}
		return here.look().contained[id], contained
	}
	if here.bundle != nil {
		if n := here.bundle.find(ref, here.base); n != nil {
			return n, bundled
		}
	}
	if r.v.Resolve != nil {
		if n := r.v.Resolve(ref); n != nil {
			return n, outside
		}
	}
	return nil, outside
}

// reference judges what R4 asks of every reference: that a fragment leads somewhere and a stated type is right.
func (r *run) reference(n *fhirjson.Node) {
	ref := n.Get("reference")
	if ref == nil || ref.Kind() != fhirjson.String {
		return
	}
	text := ref.Text()
	target, where := r.find(text)
	if where == contained && target == nil {
		r.fail("invariant", ref, "There is no contained resource with this id (ref-1).", `Contain the resource with the id that follows "#", or refer to another.`)
		return
	}
	typ := n.Get("type").Text()
	if typ == "" {
		return
	}
	real := fhirpath.TypeOfReference(text)
	if target != nil {
		real = target.Get("resourceType").Text()
	}
	if real != "" && real != typ {
		r.fail("value", n, "The type of the reference is not that of what it names.", `Write "type": "`+real+`", or leave it out.`)
	}
}

// targets judges a reference against the targets a profile allows.
func (r *run) targets(it value, c *node) {
	var profiles []string
	var one *Type
	for i := range c.types {
		if t := &c.types[i]; t.Code == "Reference" {
			profiles = append(profiles, t.Targets...)
			one = t
		}
	}
	ref := it.node.Get("reference")
	if one == nil || ref == nil {
		return
	}
	target, where := r.find(ref.Text())
	switch versioned := strings.Contains(ref.Text(), "/_history/"); {
	case one.Versioning == "specific" && !versioned && where != contained:
		r.fail("value", it.node, "The reference names no version, which "+r.who(c)+" asks for.", "End it with /_history/ and the version.")
	case one.Versioning == "independent" && versioned:
		r.fail("value", it.node, "The reference names a version, which "+r.who(c)+" does not allow.", "Leave out what begins with /_history/.")
	}
	r.aggregated(it, c, one, where, target != nil)
	if len(profiles) == 0 {
		return
	}
	typ := fhirpath.TypeOfReference(ref.Text())
	if target != nil {
		typ = target.Get("resourceType").Text()
	} else if typ == "" {
		typ = it.node.Get("type").Text()
	}
	if typ == "" {
		return
	}
	fitting, types := []string{}, []string{}
	for _, p := range profiles {
		pt := r.profileType(p)
		if pt == "" || pt == typ || model.IsSubtype(typ, pt) {
			fitting = append(fitting, p)
		}
		if pt != "" && !slices.Contains(types, pt) {
			types = append(types, pt)
		}
	}
	if len(fitting) == 0 {
		r.fail("value", it.node, "A reference to "+safeType(typ)+" is not allowed here by "+r.who(c)+".", "Refer to "+orList(types)+".")
		return
	}
	if target == nil || where == outside && r.silent == 0 && r.v.Resolve == nil {
		return
	}
	r.conformTarget(target, typ, fitting, c, it)
}

// conformTarget judges what a reference leads to: it must meet one of the profiles.
func (r *run) conformTarget(target *fhirjson.Node, typ string, profiles []string, c *node, it value) {
	why := ""
	for _, p := range profiles {
		d := r.set.Find(p)
		if d == nil {
			if r.profileType(p) == "" {
				r.by(r.missing(), "not-found", it.node, "The profile "+shown(p)+", which "+r.who(c)+" asks of the target, is not known, so it was not checked.", "Import the guide that defines it (yarrow import guide).")
			}
			return // R4's own type: nothing more to ask
		}
		if r.quiet(func() { r.conform(target, nil, typ, d) }) {
			return
		}
		if why == "" {
			why = r.why
		}
	}
	r.fail("value", it.node, "What the reference names does not meet the profile that "+r.who(c)+" asks of it.", "It must conform to "+orList(profiles)+". The first fault is at "+why)
}

// aggregated judges where a reference may lead (R4 ElementDefinition.type.aggregation).
func (r *run) aggregated(it value, c *node, t *Type, where int, found bool) {
	if len(t.Aggregation) == 0 || where == nowhere {
		return
	}
	mode := map[int]string{contained: "contained", bundled: "bundled", outside: "referenced"}[where]
	if slices.Contains(t.Aggregation, mode) || mode != "contained" && slices.Contains(t.Aggregation, "referenced") {
		return
	}
	if mode == "referenced" && !r.inBundle() {
		return // whether it will be bundled cannot be known here
	}
	r.fail("value", it.node, "The reference is "+mode+", which "+r.who(c)+" does not allow here.", "It may be "+orList(t.Aggregation)+".")
}

func (r *run) inBundle() bool { return r.res[len(r.res)-1].bundle != nil }

func safeType(typ string) string {
	if fhir.IsResourceType(typ) {
		return typ
	}
	return "this type"
}
