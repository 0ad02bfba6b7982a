package profile

import (
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// object judges what R4 itself asks of an object and everything in it, beyond structure.
func (r *run) object(n *fhirjson.Node, k *kind) {
	if !r.spend() || n.Kind() != fhirjson.Object {
		return
	}
	if !r.o.Light {
		for _, c := range k.rules {
			r.test(c, value{node: n, typ: k.name})
		}
	}
	switch k.name {
	case "Reference":
		r.reference(n)
	case "Narrative":
		r.narrative(n)
		if !r.o.Light {
			r.textLinks(n)
		}
	case "Coding":
		r.coding(n)
	case "Attachment":
		r.attachment(n)
	case "Identifier":
		r.identifier(n)
	case "Quantity", "Age", "Count", "Distance", "Duration":
		if !r.o.Light {
			r.quantity(n)
		}
	}
	members := n.Members()
	for i := range members {
		name, v := members[i].Name, &members[i].Value
		if name != "" && name[0] == '_' {
			if f := k.fields[name[1:]]; f != nil && f.prim {
				r.extras(v, f)
				if f.coded && n.Get(f.json) == nil && r.o.Strict {
					r.push(f.name, -1)
					r.fail("required", v, "A code is required here; a reason why there is none is not enough.", "Give a code of the value set.")
					r.pop()
				}
			}
			continue
		}
		f := k.fields[name]
		if f == nil || f.prim && f.quiet() {
			continue
		}
		if v.Kind() != fhirjson.Array {
			r.push(f.name, -1)
			r.member(n, v, f, k)
			r.pop()
			continue
		}
		items := v.Items()
		r.push(f.name, -1)
		for j := range items {
			r.path[len(r.path)-1].index = j
			r.member(n, &items[j], f, k)
		}
		r.pop()
	}
}

// quiet reports whether R4 says nothing about a primitive beyond its structure.
func (f *field) quiet() bool {
	return len(f.rules) == 0 && len(f.bindings) == 0 && f.typ != "string" && f.typ != "markdown" && f.typ != "canonical" && f.typ != "url" && f.typ != "uri"
}

// member judges one value of an element.
func (r *run) member(parent, n *fhirjson.Node, f *field, k *kind) {
	for _, b := range f.bindings {
		r.bound(value{node: n, typ: f.typ}, b, "FHIR R4")
	}
	if !r.o.Light {
		for _, c := range f.rules {
			r.test(c, value{node: n, typ: f.typ})
		}
	}
	switch {
	case f.prim:
		r.text(n, f)
	case f.typ == "Resource":
		r.inner(parent, n, f)
	case f.kind == nil:
	case f.typ == "Extension":
		r.extension(n, f, k, parent)
		r.object(n, f.kind)
	default:
		r.object(n, f.kind)
	}
}

// inner judges a resource inside another.
func (r *run) inner(parent, n *fhirjson.Node, f *field) {
	k := kinds()[n.Get("resourceType").Text()]
	if k == nil {
		return
	}
	outer := r.res[len(r.res)-1]
	if f.name == "contained" {
		r.contained(n, k, outer)
		return
	}
	r.resource(n, outer.bundle, parent.Get("fullUrl").Text(), nil)
}

// contained judges a contained resource: its references look into the resource that holds it.
func (r *run) contained(n *fhirjson.Node, k *kind, outer scope) {
	saved := r.env
	r.res = append(r.res, scope{node: outer.node, bundle: outer.bundle, base: outer.base, seen: outer.seen})
	r.env.Resource = n
	r.object(n, k)
	r.declared(n, nil)
	r.res = r.res[:len(r.res)-1]
	r.env = saved
	if !r.o.Light && n.Get("id").Text() != "" && !r.used(outer, n) {
		r.fail("invariant", n, "Nothing in the resource refers to this contained resource (dom-3).", `Refer to it with "#" and its id, or remove it.`)
	}
}

// used reports whether the holder refers to the contained resource or the contained resource to its holder (dom-3).
func (r *run) used(holder scope, n *fhirjson.Node) bool {
	return holder.look().mentioned["#"+n.Get("id").Text()] || mentions(n, "#")
}

// mentions reports whether a text is exactly this anywhere below n.
func mentions(n *fhirjson.Node, text string) bool {
	switch n.Kind() {
	case fhirjson.String:
		return n.Text() == text
	case fhirjson.Array:
		for i := range n.Items() {
			if mentions(&n.Items()[i], text) {
				return true
			}
		}
	case fhirjson.Object:
		for i := range n.Members() {
			if mentions(&n.Members()[i].Value, text) {
				return true
			}
		}
	}
	return false
}

// extras judges the extensions that stand beside primitives.
func (r *run) extras(n *fhirjson.Node, f *field) {
	one := func(x *fhirjson.Node) {
		for i, e := range x.Get("extension").Items() {
			r.push("extension", i)
			ext := &field{json: "extension", name: "extension", typ: "Extension", many: true, kind: kinds()["Extension"]}
			r.extensionAt(&e, ext, f.typ, r.plainPath(), x)
			r.object(&e, ext.kind)
			r.pop()
		}
	}
	if n.Kind() != fhirjson.Array {
		r.push(f.name, -1)
		one(n)
		r.pop()
		return
	}
	for i := range n.Items() {
		r.push(f.name, i)
		one(&n.Items()[i])
		r.pop()
	}
}

// test evaluates an invariant.
func (r *run) test(c *rule, it value) {
	if r.left <= 0 {
		return
	}
	if c.holds != nil && it.node.Kind() == fhirjson.Object {
		switch c.holds(r, it.node) {
		case yes:
			return
		case no:
			r.broken(c, it)
			return
		}
	}
	if c.expr == nil {
		if r.silent == 0 {
			r.warn("not-supported", it.any(), "The rule "+c.Key+" cannot be checked: its FHIRPath is not valid.", "Report this to who publishes the profile.")
		}
		return
	}
	holds, known, used, err := c.expr.TestItem(&r.env, fhirpath.Item{Node: it.node, Extra: it.extra, Type: it.typ})
	if r.left = max(r.left-used/2, 1); !r.spend() {
		return
	}
	switch {
	case err == fhirpath.ErrTooMuchWork:
		r.warn("too-costly", it.any(), "The rule "+c.Key+" needs too much work on this value, so it was not checked.", "Split the resource, or simplify the rule.")
	case err != nil:
		// The rule does not fit the value (two telecoms where a condition needs one): a fault of the rule.
	case known && !holds, !known && r.o.Strict && c.source == "":
		r.broken(c, it)
	}
}

// broken reports an invariant that does not hold.
func (r *run) broken(c *rule, it value) {
	severity := "error"
	if c.Warning {
		severity = "warning"
	}
	text, fix := explain(c)
	r.report(severity, "invariant", it.any(), text, fix)
}

// text judges a primitive.
func (r *run) text(n *fhirjson.Node, f *field) {
	if n.Kind() != fhirjson.String {
		return
	}
	switch f.typ {
	case "string", "markdown":
		if policy := r.tags(f.typ); policy > Ignore && looksLikeTag(n.Text()) {
			r.by(policy, "security", n, "The text looks like HTML markup.", "Write plain text: markup is shown as it stands, and some readers would run it.")
		}
	case "uri":
		r.address(n)
	case "url":
		if r.o.Strict && !r.o.Examples && strings.Contains(n.Text(), "example.org") {
			r.fail("value", n, "The address is that of an example.", "Write the real address.")
		}
	case "canonical":
		if s := n.Text(); s != "" && s[0] != '#' && !strings.Contains(s, ":") {
			r.by(r.strict(), "value", n, "A canonical address is absolute.", "Write the whole URL, such as https://example.org/Library/x.")
		}
	}
}

// tags is how markup in a text is taken: markdown may hold it unless it is refused altogether.
func (r *run) tags(typ string) Policy {
	switch {
	case typ == "markdown" && r.o.Markup != Refuse:
		return Ignore
	case r.o.Markup == Default:
		return Warn
	}
	return r.o.Markup
}

// attachment checks base64 data and the stated size.
func (r *run) attachment(n *fhirjson.Node) {
	data, size := n.Get("data"), n.Get("size")
	if data == nil || size == nil || size.Kind() != fhirjson.Number {
		return
	}
	if got := base64Len(data.Text()); got >= 0 && size.Text() != itoa(got) {
		r.push("size", -1)
		r.fail("value", size, "The stated size of the attachment is not the size of its data.", "Write "+itoa(got)+", or leave the size out.")
		r.pop()
	}
}

// base64Len is how many bytes base64 text stands for, or -1 if that cannot be told from its length.
func base64Len(s string) int {
	n, pad := 0, 0
	for i := range len(s) {
		switch s[i] {
		case ' ', '\n', '\r', '\t':
		case '=':
			pad++
			n++
		default:
			n++
		}
	}
	if n%4 != 0 {
		return -1
	}
	return n/4*3 - pad
}

// value is one value at hand: an element, or a primitive with what stands beside it.
type value struct {
	node  *fhirjson.Node // nil for a primitive that has only extensions
	extra *fhirjson.Node // "_name" sibling of a primitive
	typ   string         // model type
}

func (v value) any() *fhirjson.Node {
	if v.node != nil {
		return v.node
	}
	return v.extra
}

// get returns the values of an element below v, of all choices if it is one. buf is reused.
func (v value) get(name string, buf []value) []value {
	n := v.node
	if n.Kind() != fhirjson.Object {
		n = v.extra
		if name != "extension" && name != "id" {
			return buf
		}
	}
	typ, choice := "", false
	if k := kinds()[v.typ]; k != nil {
		if f := k.fields[name]; f != nil {
			typ = f.typ
		} else {
			choice = true
		}
	} else if name == "extension" {
		typ = "Extension"
	} else if name == "value" || name == "id" {
		typ = "string"
	}
	if !choice {
		return collect(n, name, typ, buf)
	}
	members := n.Members()
	k := kinds()[v.typ]
	for i := range members {
		m := strings.TrimPrefix(members[i].Name, "_")
		if len(m) <= len(name) || !strings.HasPrefix(m, name) {
			continue
		}
		f := k.fields[m]
		if f == nil || f.name != name {
			continue
		}
		if m != members[i].Name && n.Get(m) != nil {
			continue // its value brought it along
		}
		buf = collect(n, m, f.typ, buf)
	}
	return buf
}

// collect adds the values of one JSON member and its sibling.
func collect(n *fhirjson.Node, name, typ string, buf []value) []value {
	v := n.Get(name)
	var x *fhirjson.Node
	if d := fhir.Definition(typ); d != nil && d.Kind == "primitive-type" {
		x = n.Get("_" + name)
	}
	if v == nil && x == nil {
		return buf
	}
	if v.Kind() != fhirjson.Array && x.Kind() != fhirjson.Array {
		return append(buf, value{v, x, resourceOr(v, typ)})
	}
	items, extras := v.Items(), x.Items()
	for i := range max(len(items), len(extras)) {
		var one value
		if i < len(items) && items[i].Kind() != fhirjson.Null {
			one.node = &items[i]
		}
		if i < len(extras) && extras[i].Kind() == fhirjson.Object {
			one.extra = &extras[i]
		}
		one.typ = resourceOr(one.node, typ)
		if one.any() != nil {
			buf = append(buf, one)
		}
	}
	return buf
}

// resourceOr is the type of a value: of any resource its own.
func resourceOr(n *fhirjson.Node, typ string) string {
	if typ == "Resource" {
		return n.Get("resourceType").Text()
	}
	return typ
}
