package fhirstore

import (
	"net/url"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// bundle is a Bundle taken apart, in the order its entries stand.
type bundle struct {
	kind    string // transaction, batch, collection
	entries []*entry
	targets map[string]string // fullUrl, or "Type/id" of an entry that gets another id → "Type/id"
}

// entry is one entry and what it asks for.
type entry struct {
	index   int // in the Bundle
	nth     int // among those applied together
	fullURL string
	node    *fhirjson.Node // the resource, nil for DELETE, GET and PATCH
	patch   *fhirjson.Node // what a PATCH entry holds
	method  string         // POST, PUT, PATCH, DELETE, GET; POST for entries of a collection
	typ, id string
	query   string // of a conditional update or delete, or a search
	ifNone  string // ifNoneExist
	ifMatch int64

	exists string // "Type/id" that a condition found
	p      *Prepared
	issue  *fhir.Issue
	issues fhir.Issues // from validation
	result EntryResult
}

// at places an issue in the bundle.
func (e *entry) at(i *fhir.Issue) *fhir.Issue {
	path := "Bundle.entry[" + strconv.Itoa(e.index) + "]"
	if i.Path != "" {
		path += ".resource.ofType(" + e.typ + ")" + strings.TrimPrefix(i.Path, e.typ)
	}
	c := *i
	c.Path = path
	return &c
}

func (e *entry) fail(i *fhir.Issue) {
	if e.issue == nil {
		e.issue = e.at(i)
	}
}

// EntryResult is what became of an entry.
type EntryResult struct {
	Status   string // "201 Created", "200 OK", "204 No Content", "404 Not Found" …
	Resource *Resource
	Created  bool
	Same     bool        // nothing had to be written
	Page     *Page       // of a search
	Body     []byte      // what Look answered
	Method   string      // of the entry
	Issues   fhir.Issues // why it failed
	Warnings fhir.Issues // references that lead nowhere
}

// parseBundle takes a Bundle apart. Faults of the whole are returned; faults of an entry stay with it.
func parseBundle(n *fhirjson.Node, keepIDs bool) (*bundle, *fhir.Issue) {
	if n.Get("resourceType").Text() != "Bundle" {
		return nil, fhir.Problem("structure", "This is not a Bundle.", "Send a resource whose resourceType is Bundle.").At("resourceType")
	}
	b := &bundle{kind: n.Get("type").Text(), targets: map[string]string{}}
	switch b.kind {
	case "transaction", "batch", "collection":
	default:
		return nil, fhir.Problem("not-supported", "A Bundle of this type cannot be applied.", "Use transaction, batch or collection.").At("Bundle.type")
	}
	if list := n.Get("entry"); list != nil && list.Kind() != fhirjson.Array {
		return nil, fhir.Problem("structure", "Bundle.entry is not an array.", "Put the entries into an array.").At("Bundle.entry")
	}
	items := n.Get("entry").Items()
	for i := range items {
		e := &entry{index: i, fullURL: items[i].Get("fullUrl").Text(), method: items[i].At("request", "method").Text()}
		if r := items[i].Get("resource"); r.Kind() == fhirjson.Object {
			e.node = r
			e.typ, e.id = r.Get("resourceType").Text(), r.Get("id").Text()
		}
		if b.kind == "collection" {
			e.method = "POST"
			if e.id != "" {
				e.method = "PUT"
			}
		} else {
			e.request(items[i].Get("request"))
		}
		b.entries = append(b.entries, e)
	}
	b.assign(keepIDs)
	return b, nil
}

// request reads what the entry asks for.
func (e *entry) request(n *fhirjson.Node) {
	target := n.Get("url").Text()
	path, query, conditional := strings.Cut(target, "?")
	typ, id, _ := strings.Cut(strings.Trim(path, "/"), "/")
	e.ifNone = n.Get("ifNoneExist").Text()
	if m := n.Get("ifMatch").Text(); m != "" {
		v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(m, "W/"), `"`), 10, 64)
		if err != nil {
			e.fail(fhir.Problem("value", "ifMatch is not the ETag of a version.", `Write it as W/"3".`))
		}
		e.ifMatch = v
	}
	switch e.method {
	case "POST":
		if e.node == nil {
			e.fail(fhir.Problem("required", "A POST entry has no resource.", "Add entry.resource."))
		} else if typ != e.typ {
			e.fail(fhir.Problem("value", "The request URL and the resource name different types.", "Make entry.request.url the type of the resource."))
		}
	case "PUT":
		if e.node == nil {
			e.fail(fhir.Problem("required", "A PUT entry has no resource.", "Add entry.resource."))
		} else if typ != e.typ || !conditional && id != e.id {
			e.fail(fhir.Problem("value", "The request URL and the resource name different resources.",
				"Make entry.request.url type/id of the resource."))
		}
		if conditional {
			e.query = query
		}
	case "PATCH":
		if e.patch = e.node; e.patch == nil {
			e.fail(fhir.Problem("required", "A PATCH entry has no resource.", "Add the patch as entry.resource, a Parameters, or a Binary with a JSON Patch."))
		}
		fallthrough
	case "DELETE", "GET", "HEAD":
		if e.method == "HEAD" {
			e.method = "GET"
		}
		e.typ, e.id, e.query, e.node = typ, id, query, nil
		if e.method != "GET" && (typeCode(typ) == 0 || strings.Contains(id, "/") || id == "" && query == "") {
			e.fail(fhir.Problem("value", "The request URL of a "+e.method+" entry is not understood.", "Write Type/id or Type?search."))
		}
	case "":
		e.fail(fhir.Problem("required", "The entry has no request.method.", "Say POST, PUT, PATCH, DELETE or GET."))
	default:
		e.fail(fhir.Problem("not-supported", "This method is not supported in a Bundle.", "Use POST, PUT, PATCH, DELETE or GET."))
	}
}

// assign gives every entry that creates a resource its id, and remembers under which references the other
// entries may know it.
func (b *bundle) assign(keepIDs bool) {
	for _, e := range b.entries {
		if e.node == nil {
			continue
		}
		old := e.id
		if e.method == "POST" && !(keepIDs && validID(e.id)) || e.id == "" {
			e.id = newID()
		}
		b.alias(e, old)
	}
}

// alias maps what others may call the entry to its Type/id.
func (b *bundle) alias(e *entry, old string) {
	ref := e.typ + "/" + e.id
	if e.exists != "" {
		ref = e.exists
	}
	if e.fullURL != "" {
		b.targets[e.fullURL] = ref
		// A RESTful fullUrl ends in Type/id, which references may give alone.
		if strings.HasSuffix(e.fullURL, "/"+e.typ+"/"+old) && old != "" {
			b.targets[e.typ+"/"+old] = ref
		}
	}
}

// references calls fn for every literal reference of a tree; what fn returns replaces it.
func references(n *fhirjson.Node, fn func(ref string) string) {
	switch n.Kind() {
	case fhirjson.Object:
		members := n.Members()
		for i := range members {
			m := &members[i]
			if m.Value.Kind() == fhirjson.String {
				if m.Name == "reference" {
					old := m.Value.Text()
					if now := fn(old); now != old {
						m.Value = fhirjson.NewString(now)
					}
				}
				continue
			}
			references(&m.Value, fn)
		}
	case fhirjson.Array:
		items := n.Items()
		for i := range items {
			references(&items[i], fn)
		}
	}
}

// conditional splits a conditional reference, Type?query.
func conditional(ref string) (typ, query string, ok bool) {
	typ, query, ok = strings.Cut(ref, "?")
	return typ, query, ok && typeCode(typ) != 0
}

// form reads a query of a condition.
func form(query string) (map[string][]string, *fhir.Issue) {
	v, err := url.ParseQuery(query)
	if err != nil || len(v) == 0 {
		return nil, fhir.Problem("value", "The condition is not a search query.", "Write it as parameter=value, for instance identifier=system|value.")
	}
	return v, nil
}
