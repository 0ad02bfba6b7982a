package profile

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// bundle is a Bundle with its entries found by address.
type bundle struct {
	node    *fhirjson.Node
	typ     string
	entries []*fhirjson.Node
	byURL   map[string]int
	byID    map[string]int // Type/id
	byNode  map[*fhirjson.Node]int
}

func newBundle(n *fhirjson.Node) *bundle {
	b := &bundle{node: n, typ: n.Get("type").Text(), byURL: map[string]int{}, byID: map[string]int{}, byNode: map[*fhirjson.Node]int{}}
	items := n.Get("entry").Items()
	for i := range items {
		e := &items[i]
		b.entries = append(b.entries, e)
		if u := e.Get("fullUrl").Text(); u != "" {
			if _, dup := b.byURL[u]; !dup {
				b.byURL[u] = i
			}
			if v := e.At("resource", "meta", "versionId").Text(); v != "" {
				b.byURL[u+"/_history/"+v] = i
			}
		}
		res := e.Get("resource")
		b.byNode[res] = i
		if res.Get("id").Text() != "" {
			key := res.Get("resourceType").Text() + "/" + res.Get("id").Text()
			if _, dup := b.byID[key]; !dup {
				b.byID[key] = i
			}
		}
	}
	return b
}

// enter makes an entry's resource the one that references are resolved from; the result undoes it.
func (r *run) enter(n *fhirjson.Node) func() {
	here := r.res[len(r.res)-1]
	if here.bundle == nil || here.node == n {
		return func() {}
	}
	i, ok := here.bundle.byNode[n]
	if !ok {
		return func() {}
	}
	saved := r.env
	r.res = append(r.res, scope{node: n, bundle: here.bundle, base: here.bundle.entries[i].Get("fullUrl").Text(), seen: &inside{}})
	r.env.Resource, r.env.RootResource = n, n
	return func() { r.res, r.env = r.res[:len(r.res)-1], saved }
}

// find returns the resource that a reference from an entry with the fullUrl base names (R4 Bundle, "Resolving
// references in Bundles"), or nil.
func (b *bundle) find(ref, base string) *fhirjson.Node {
	if i := b.entry(ref, base); i >= 0 {
		return b.entries[i].Get("resource")
	}
	return nil
}

func (b *bundle) entry(ref, base string) int {
	full := ref
	if !strings.Contains(ref, ":") {
		root, ok := serverOf(base)
		if !ok {
			return -1
		}
		full = root + ref
	}
	if i, ok := b.byURL[full]; ok {
		return i
	}
	if at := strings.IndexByte(full, '#'); at > 0 {
		if i, ok := b.byURL[full[:at]]; ok {
			return i
		}
	}
	if at := strings.Index(full, "/_history/"); at > 0 {
		if i, ok := b.byURL[full[:at]]; ok && b.entries[i].At("resource", "meta", "versionId") == nil {
			return i
		}
	}
	return -1
}

// serverOf cuts Type/id off an address of a RESTful server.
func serverOf(full string) (string, bool) {
	if !strings.HasPrefix(full, "http") {
		return "", false
	}
	typ := fhirpath.TypeOfReference(full)
	if typ == "" {
		return "", false
	}
	i := strings.LastIndex(full, "/"+typ+"/")
	return full[:i+1], true
}

// bundleRules judges what R4 says about bundles beyond the invariants in FHIRPath.
func (r *run) bundleRules(n *fhirjson.Node, b *bundle) {
	r.links(n)
	of := map[string]int{}
	for i, e := range b.entries {
		r.push("entry", i)
		r.entry(e, b)
		if len(r.o.Entries) > 0 && len(r.res) == 1 {
			typ := e.At("resource", "resourceType").Text()
			r.asked(e.Get("resource"), typ, of[typ])
			of[typ]++
		}
		r.pop()
	}
	if b.typ == "document" && len(b.entries) > 0 {
		r.documentRules(b)
	}
}

// asked checks an entry, the index-th of its type, against the profiles that Options.Entries ask of it.
func (r *run) asked(res *fhirjson.Node, typ string, index int) {
	for _, e := range r.o.Entries {
		if e.Type != typ || e.Index != index {
			continue
		}
		r.push("resource", -1)
		if d := r.set.Find(e.Profile); d == nil {
			r.fail("not-found", res, "The profile "+shown(e.Profile)+" is not known here, so it cannot be checked.", "Import the guide that defines it (yarrow import guide), or name another profile.")
		} else {
			r.conform(res, nil, typ, d)
		}
		r.pop()
	}
}

// links: a relation such as self occurs once.
func (r *run) links(n *fhirjson.Node) {
	seen := map[string]bool{}
	items := n.Get("link").Items()
	for i := range items {
		rel := items[i].Get("relation").Text()
		if seen[rel] && slices.Contains([]string{"self", "first", "previous", "next", "last", "prev"}, rel) {
			r.push("link", i)
			r.fail("structure", &items[i], "The relation of this link occurs more than once.", "Keep one link of each relation.")
			r.pop()
		}
		seen[rel] = true
	}
}

func (r *run) entry(e *fhirjson.Node, b *bundle) {
	full, res := e.Get("fullUrl"), e.Get("resource")
	switch {
	case full != nil && !strings.Contains(full.Text(), ":"):
		r.push("fullUrl", -1)
		r.fail("value", full, "The fullUrl of an entry is absolute.", "Write urn:uuid: and a UUID, or the whole address of the resource.")
		r.pop()
	case full == nil && res != nil && slices.Contains([]string{"document", "message", "collection", "searchset"}, b.typ):
		if b.typ != "searchset" || e.At("search", "mode").Text() != "outcome" {
			r.by(r.strict(), "required", e, "An entry of a "+b.typ+" has a fullUrl, which is the identity of its resource.", "Add fullUrl: the resource's address, or urn:uuid: and a UUID.")
		}
	case full != nil && res != nil:
		r.identity(full, res)
	}
	if b.typ == "searchset" && res != nil {
		r.searchEntry(e, res)
	}
}

// identity: the fullUrl of a server's resource ends in its type and id.
func (r *run) identity(full, res *fhirjson.Node) {
	id := res.Get("id").Text()
	server, ok := serverOf(full.Text())
	if _, _, known := fhir.ParseReference(full.Text()); !ok || !known {
		return
	}
	if id == "" {
		r.by(r.strict(), "required", res, "The fullUrl is that of a server's resource, but the resource has no id.", "Add the id, or write urn:uuid: and a UUID as fullUrl.")
		return
	}
	if rest := strings.TrimPrefix(full.Text(), server); !strings.HasPrefix(rest+"/", res.Get("resourceType").Text()+"/"+id+"/") {
		r.push("fullUrl", -1)
		r.by(r.strict(), "value", full, "The fullUrl names another type or id than the resource has.", "Let it end in "+res.Get("resourceType").Text()+"/ and the resource's id.")
		r.pop()
	}
}

func (r *run) searchEntry(e, res *fhirjson.Node) {
	typ := res.Get("resourceType").Text()
	r.push("resource", -1)
	if mode := e.At("search", "mode").Text(); mode == "outcome" && typ != "OperationOutcome" {
		r.fail("value", res, "An entry of search mode outcome holds an OperationOutcome.", "Correct search.mode, or the resource.")
	}
	if typ != "OperationOutcome" && res.Get("id") == nil {
		r.by(r.strict(), "required", res, "A resource that a search found has an id.", "Add the id.")
	}
	r.pop()
}

// strict is how faults are taken that readers of a document can live with.
func (r *run) strict() Policy {
	if r.o.Strict {
		return Refuse
	}
	return Warn
}

// documentRules: a document stands alone. What its Composition refers to lies in the bundle, and every entry belongs to
// it (R4 documents, 3.3.1).
func (r *run) documentRules(b *bundle) {
	edges := make([][]int, len(b.entries))
	for i, e := range b.entries {
		base := e.Get("fullUrl").Text()
		eachReference(e.Get("resource"), func(ref *fhirjson.Node) {
			j := b.entry(ref.Text(), base)
			if j < 0 {
				r.unresolved(b, i, ref, base)
				return
			}
			edges[i], edges[j] = append(edges[i], j), append(edges[j], i)
		})
	}
	reached := make([]bool, len(b.entries))
	reached[0] = true
	for queue := []int{0}; len(queue) > 0; queue = queue[1:] {
		for _, j := range edges[queue[0]] {
			if !reached[j] {
				reached[j] = true
				queue = append(queue, j)
			}
		}
	}
	for i, ok := range reached {
		if !ok && b.entries[i].At("resource", "resourceType").Text() != "Binary" {
			r.push("entry", i)
			r.by(r.strict(), "informational", b.entries[i], "Nothing links this entry with the document's Composition.", "Refer to it from the Composition or from an entry that belongs to it, or leave it out.")
			r.pop()
		}
	}
}

// unresolved reports a reference by type and id to an entry that has another fullUrl than the reference means.
func (r *run) unresolved(b *bundle, i int, ref *fhirjson.Node, base string) {
	text := ref.Text()
	if strings.Contains(text, ":") || text == "" || text[0] == '#' || strings.Contains(text, "?") {
		return
	}
	_, same := b.byID[text]
	if i == 0 || same {
		r.push("entry", i)
		r.push("resource", -1)
		fix := "Add the entry."
		if same {
			fix = "There is an entry with this type and id, but its fullUrl does not fit: write the reference as that fullUrl."
		}
		r.by(r.strict(), "not-found", ref, "The reference leads to no entry of the document.", fix)
		r.pop()
		r.pop()
	}
}

// eachReference yields every Reference.reference below a resource, those of contained resources too.
func eachReference(n *fhirjson.Node, yield func(ref *fhirjson.Node)) {
	switch n.Kind() {
	case fhirjson.Array:
		for i := range n.Items() {
			eachReference(&n.Items()[i], yield)
		}
	case fhirjson.Object:
		for i := range n.Members() {
			m := &n.Members()[i]
			if m.Name == "reference" && m.Value.Kind() == fhirjson.String {
				yield(&m.Value)
			} else {
				eachReference(&m.Value, yield)
			}
		}
	}
}
