package profile

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// extension judges an extension of an object against its definition.
func (r *run) extension(n *fhirjson.Node, f *field, k *kind, parent *fhirjson.Node) {
	typ, path := k.name, r.holderPath(k)
	r.extensionAt(n, f, typ, path, parent)
}

// holderPath is the path without indexes of the object at hand, from the innermost resource.
func (r *run) holderPath(k *kind) string {
	if k.resource || strings.Contains(k.name, ".") {
		return k.name
	}
	return r.plainPath()
}

// plainPath is the path from the innermost resource without indexes, without the extension at its end.
func (r *run) plainPath() string {
	start := 0
	for i, p := range r.path {
		if p.name == "resource" || p.name == "contained" {
			start = i + 1
		}
	}
	var names []string
	if start > 0 && len(r.res) > 0 {
		names = append(names, r.env.Resource.Get("resourceType").Text())
	}
	end := len(r.path)
	if end > start && (r.path[end-1].name == "extension" || r.path[end-1].name == "modifierExtension") {
		end--
	}
	for _, p := range r.path[start:end] {
		names = append(names, p.name)
	}
	return strings.Join(names, ".")
}

// extensionAt judges an extension on an element of a type at a path.
func (r *run) extensionAt(n *fhirjson.Node, f *field, typ, path string, parent *fhirjson.Node) {
	url := n.Get("url")
	text := url.Text()
	if text == "" {
		return // fhir.Validate said so
	}
	if !strings.Contains(text, ":") {
		if typ != "Extension" {
			r.fail("value", url, "The url of an extension is absolute.", "Write the whole canonical address of its definition.")
		}
		return
	}
	if i := strings.IndexByte(text, '|'); i >= 0 {
		r.fail("value", url, "The url of an extension has no version.", "Leave out what follows the bar.")
		text = text[:i]
	}
	d := r.set.Find(text)
	if d == nil {
		r.unknownExtension(n, f, text)
		return
	}
	if d.Type != "Extension" {
		r.fail("value", url, "This address is not that of an extension.", "Write the canonical address of an extension's definition.")
		return
	}
	if r.o.Light {
		return
	}
	t := r.set.tree(d)
	switch {
	case t.root.modifier && f.name != "modifierExtension":
		r.fail("structure", n, "This extension changes the meaning of what holds it, so it cannot stand here.", "Put it into modifierExtension.")
	case !t.root.modifier && f.name == "modifierExtension":
		r.fail("structure", n, "This extension does not change the meaning of what holds it, so it is no modifier.", "Put it into extension.")
	}
	if !r.inContext(d, typ, path, parent) {
		r.by(r.strict(), "extension", n, "The extension "+shown(text)+" may not stand here.", "It is for "+orList(places(d))+".")
	}
	r.conform(n, nil, "Extension", d)
}

func (r *run) unknownExtension(n *fhirjson.Node, f *field, url string) {
	policy := r.o.UnknownExtensions
	if policy == Default {
		policy = Ignore
		if f.name == "modifierExtension" {
			policy = Warn
		}
	}
	for _, d := range r.o.ExtensionDomains {
		if strings.HasPrefix(url, d) {
			return
		}
	}
	what := "The extension " + shown(url) + " is not known here."
	if f.name == "modifierExtension" {
		what = "The extension " + shown(url) + " is not known here, yet it changes the meaning of what holds it."
	}
	r.by(policy, "extension", n, what, "Import the guide that defines it (yarrow import guide), or leave it out.")
}

// inContext reports whether an extension may stand on an element.
func (r *run) inContext(d *Definition, typ, path string, parent *fhirjson.Node) bool {
	if len(d.Contexts) == 0 {
		return true
	}
	for _, c := range d.Contexts {
		switch c.Kind {
		case "element", "":
			if r.onElement(c.Expression, typ, path) {
				return true
			}
		case "extension":
			if typ == "Extension" && parent.Get("url").Text() == c.Expression || r.holds(parent, c.Expression) {
				return true
			}
		case "fhirpath":
			if r.onPath(c.Expression, parent) {
				return true
			}
		}
	}
	return false
}

// holds reports whether what carries an extension is the value of an extension with this url.
func (r *run) holds(parent *fhirjson.Node, url string) bool {
	at := r.env.Resource
	var last *fhirjson.Node
	for _, p := range r.path[r.resourceAt():] {
		at = at.Get(p.name)
		if p.index >= 0 {
			if p.index >= len(at.Items()) {
				return false
			}
			at = &at.Items()[p.index]
		}
		if at == nil {
			break
		}
		if p.name == "extension" || p.name == "modifierExtension" {
			last = at
		}
	}
	return last != nil && last.Get("url").Text() == url && (last.Get("_value") != nil || hasChoice(last, "value"))
}

// resourceAt is where the path of the innermost resource begins.
func (r *run) resourceAt() int {
	start := 1
	for i, p := range r.path {
		if p.name == "resource" || p.name == "contained" {
			start = i + 1
		}
	}
	return start
}

// onElement reports whether an element context covers an element: by its path, its type, or a type that these
// specialise.
func (r *run) onElement(context, typ, path string) bool {
	context = strings.TrimPrefix(context, structureBase)
	if i := strings.IndexByte(context, '#'); i >= 0 {
		context = context[i+1:]
	}
	plain := strings.ReplaceAll(context, "[x]", "")
	if plain == "Element" || plain == path || plain == typ {
		return true
	}
	if model.IsSubtype(typ, plain) {
		return true
	}
	root, rest, deep := strings.Cut(plain, ".")
	if !deep {
		return false
	}
	// DomainResource.text, or Address.line of an address anywhere.
	res, below, _ := strings.Cut(path, ".")
	if below == rest && model.IsSubtype(res, root) {
		return true
	}
	return r.typePath(path, root, rest)
}

// typePath reports whether the end of a path lies at rest below an element of type root.
func (r *run) typePath(path, root, rest string) bool {
	n := strings.Count(rest, ".") + 1
	parts := strings.Split(path, ".")
	if len(parts) <= n || strings.Join(parts[len(parts)-n:], ".") != rest {
		return false
	}
	typ := parts[0]
	for _, name := range parts[1 : len(parts)-n] {
		k := kinds()[typ]
		if k == nil {
			return false
		}
		f := k.fields[name]
		if f == nil {
			return false
		}
		typ = f.typ
	}
	return typ == root || model.IsSubtype(typ, root)
}

// onPath reports whether a FHIRPath context selects the element that holds the extension.
func (r *run) onPath(expression string, parent *fhirjson.Node) bool {
	e, err := fhirpath.Compile(expression)
	if err != nil {
		return true // not ours to judge
	}
	col, err := e.Eval(&r.env, r.env.Resource, "")
	if err != nil {
		return true
	}
	for _, it := range col {
		if it.Node == parent || it.Extra == parent {
			return true
		}
		if ok, isBool := it.Bool(); isBool && ok && len(col) == 1 {
			return true
		}
	}
	return false
}

func places(d *Definition) []string {
	var out []string
	for _, c := range d.Contexts {
		if !slices.Contains(out, c.Expression) {
			out = append(out, shown(c.Expression))
		}
	}
	if len(out) > 8 {
		out = append(out[:8], "others")
	}
	return out
}
