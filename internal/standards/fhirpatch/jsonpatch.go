package fhirpatch

import (
	"fmt"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Limits of a patch: operations, and nodes that copies and additions may bring.
const (
	maxOperations = 1000
	maxNodes      = 1_000_000
)

// JSON applies a JSON Patch to a tree and returns the changed copy. Errors are *fhir.Issue.
func JSON(doc, patch *fhirjson.Node) (*fhirjson.Node, error) {
	if patch.Kind() != fhirjson.Array {
		return nil, fhir.Problem("structure", "A JSON Patch is an array of operations.", `Send [{"op":"replace","path":"/status","value":"final"}].`)
	}
	if patch.Len() > maxOperations {
		return nil, fhir.Problem("too-costly", fmt.Sprintf("The patch has more than %d operations.", maxOperations), "Send the whole resource instead.")
	}
	root := doc.Clone()
	p := &patcher{root: &root}
	for i := range patch.Items() {
		if issue := p.operation(&patch.Items()[i]); issue != nil {
			return nil, issue.At("[" + strconv.Itoa(i) + "]")
		}
	}
	return p.root, nil
}

// Resource is JSON for a resource of FHIR, which has no empty arrays and objects: what removals leave empty goes too. An empty
// value that the patch itself brings stays, to be found by who validates the result.
func Resource(doc, patch *fhirjson.Node) (*fhirjson.Node, error) {
	n, err := JSON(doc, patch)
	if err != nil {
		return nil, err
	}
	removes := false
	for _, op := range patch.Items() {
		if v := op.Get("value"); v != nil && hollow(v) {
			return n, nil
		}
		removes = removes || op.Get("op").Text() == "remove" || op.Get("op").Text() == "move"
	}
	if removes {
		fill(n, false)
	}
	return n, nil
}

// hollow reports whether a value is, or holds, an empty array or object.
func hollow(n *fhirjson.Node) bool {
	if k := n.Kind(); (k == fhirjson.Array || k == fhirjson.Object) && n.Len() == 0 {
		return true
	}
	for i := range n.Items() {
		if hollow(&n.Items()[i]) {
			return true
		}
	}
	for i := range n.Members() {
		if hollow(&n.Members()[i].Value) {
			return true
		}
	}
	return false
}

// fill drops empty arrays and objects from the inside out. What stands beside primitives (beside) keeps its places: an empty one
// becomes null.
func fill(n *fhirjson.Node, beside bool) {
	switch n.Kind() {
	case fhirjson.Array:
		kept := make([]fhirjson.Node, 0, n.Len())
		something := false
		for i := range n.Items() {
			item := &n.Items()[i]
			fill(item, false)
			empty := item.Kind() == fhirjson.Object && item.Len() == 0
			switch {
			case empty && beside:
				kept = append(kept, fhirjson.NewNull())
			case !empty:
				kept = append(kept, *item)
				something = something || item.Kind() != fhirjson.Null
			}
		}
		if beside && !something {
			kept = kept[:0]
		}
		n.SetItems(kept)
	case fhirjson.Object:
		var gone []string
		for i := range n.Members() {
			m := &n.Members()[i]
			fill(&m.Value, strings.HasPrefix(m.Name, "_"))
			if k := m.Value.Kind(); (k == fhirjson.Array || k == fhirjson.Object) && m.Value.Len() == 0 {
				gone = append(gone, m.Name)
			}
		}
		for _, name := range gone {
			n.Delete(name)
		}
	}
}

type patcher struct {
	root  *fhirjson.Node
	nodes int // added so far
}

func (p *patcher) operation(op *fhirjson.Node) *fhir.Issue {
	if op.Kind() != fhirjson.Object {
		return fhir.Problem("structure", "An operation of the patch is not an object.", `Write {"op":…,"path":…,"value":…}.`)
	}
	path, issue := pointer(op, "path")
	if issue != nil {
		return issue
	}
	value := op.Get("value")
	name := op.Get("op").Text()
	switch name {
	case "add", "replace", "test":
		if value == nil {
			return fhir.Problem("required", "The operation "+name+" has no value.", "Add a value.")
		}
	}
	switch name {
	case "add":
		return p.copied(path, value)
	case "remove":
		_, issue := p.remove(path)
		return issue
	case "replace":
		at, issue := p.find(path)
		if issue != nil {
			return issue
		}
		if issue := p.spend(value); issue != nil {
			return issue
		}
		*at = value.Clone()
		return nil
	case "test":
		at, issue := p.find(path)
		if issue != nil {
			return issue
		}
		if !same(at, value) {
			return fhir.Problem("processing", "A test of the patch fails: the value is another one.", "Read the resource again and make the patch anew.")
		}
		return nil
	case "move", "copy":
		from, issue := pointer(op, "from")
		if issue != nil {
			return issue
		}
		if name == "copy" {
			at, issue := p.find(from)
			if issue != nil {
				return issue
			}
			return p.copied(path, at)
		}
		if len(path) > len(from) && equal(path[:len(from)], from) {
			return fhir.Problem("processing", "A value cannot be moved into itself.", "Move it elsewhere.")
		}
		v, issue := p.remove(from)
		if issue != nil {
			return issue
		}
		if issue := p.spend(&v); issue != nil {
			return issue
		}
		return p.add(path, v)
	case "":
		return fhir.Problem("required", "An operation of the patch has no op.", "Use add, remove, replace, move, copy or test.")
	}
	return fhir.Problem("value", "The patch has an operation that does not exist.", "Use add, remove, replace, move, copy or test.")
}

// spend bounds what a patch adds, so that copies of copies end.
func (p *patcher) spend(v *fhirjson.Node) *fhir.Issue {
	if p.nodes += count(v); p.nodes > maxNodes {
		return fhir.Problem("too-costly", "The patch adds more than a resource can hold.", "Send the whole resource instead.")
	}
	return nil
}

func count(v *fhirjson.Node) int {
	n := 1
	for i := range v.Items() {
		n += count(&v.Items()[i])
	}
	for i := range v.Members() {
		n += count(&v.Members()[i].Value)
	}
	return n
}

// pointer reads a JSON Pointer (RFC 6901).
func pointer(op *fhirjson.Node, member string) ([]string, *fhir.Issue) {
	n := op.Get(member)
	if n.Kind() != fhirjson.String {
		return nil, fhir.Problem("required", "An operation of the patch has no "+member+".", `Write it as a JSON Pointer, such as "/name/0/family".`)
	}
	s := n.Text()
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fhir.Problem("value", "The "+member+" is not a JSON Pointer.", `Begin it with a slash, such as "/name/0/family".`)
	}
	parts := strings.Split(s[1:], "/")
	for i, part := range parts {
		if strings.Contains(part, "~") {
			for rest := part; ; {
				_, after, ok := strings.Cut(rest, "~")
				if !ok {
					break
				}
				if after == "" || after[0] != '0' && after[0] != '1' {
					return nil, fhir.Problem("value", "The "+member+" is not a JSON Pointer.", "Write ~ as ~0 and / inside a name as ~1.")
				}
				rest = after
			}
			parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		}
	}
	return parts, nil
}

func equal(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func nothingThere() *fhir.Issue {
	return fhir.Problem("processing", "The patch names a place that the resource does not have.", "Read the resource again and make the patch anew.")
}

// find follows a pointer.
func (p *patcher) find(path []string) (*fhirjson.Node, *fhir.Issue) {
	n := p.root
	for _, part := range path {
		switch n.Kind() {
		case fhirjson.Object:
			n = n.Get(part)
		case fhirjson.Array:
			i, ok := index(part, n.Len())
			if !ok || i >= n.Len() {
				return nil, nothingThere()
			}
			n = &n.Items()[i]
		default:
			return nil, nothingThere()
		}
		if n == nil {
			return nil, nothingThere()
		}
	}
	return n, nil
}

// index reads an array index; "-" is the end.
func index(s string, length int) (int, bool) {
	if s == "-" {
		return length, true
	}
	if s == "" || len(s) > 9 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	i, err := strconv.Atoi(s)
	return i, err == nil
}

// copied adds a copy of a value, after it is known to be not too large.
func (p *patcher) copied(path []string, v *fhirjson.Node) *fhir.Issue {
	if issue := p.spend(v); issue != nil {
		return issue
	}
	return p.add(path, v.Clone())
}

func (p *patcher) add(path []string, v fhirjson.Node) *fhir.Issue {
	if len(path) == 0 {
		*p.root = v
		return nil
	}
	at, issue := p.find(path[:len(path)-1])
	if issue != nil {
		return issue
	}
	last := path[len(path)-1]
	switch at.Kind() {
	case fhirjson.Object:
		at.Set(last, v)
		return nil
	case fhirjson.Array:
		i, ok := index(last, at.Len())
		if !ok || i > at.Len() {
			return nothingThere()
		}
		insert(at, i, v)
		return nil
	}
	return nothingThere()
}

func (p *patcher) remove(path []string) (v fhirjson.Node, issue *fhir.Issue) {
	if len(path) == 0 {
		return v, fhir.Problem("processing", "The patch removes the whole resource.", "Use DELETE.")
	}
	at, issue := p.find(path[:len(path)-1])
	if issue != nil {
		return v, issue
	}
	last := path[len(path)-1]
	switch at.Kind() {
	case fhirjson.Object:
		old := at.Get(last)
		if old == nil {
			return v, nothingThere()
		}
		v = *old
		at.Delete(last)
		return v, nil
	case fhirjson.Array:
		i, ok := index(last, at.Len())
		if !ok || i >= at.Len() {
			return v, nothingThere()
		}
		v = at.Items()[i]
		take(at, i)
		return v, nil
	}
	return v, nothingThere()
}

// insert puts an item into an array.
func insert(at *fhirjson.Node, i int, v fhirjson.Node) {
	items := make([]fhirjson.Node, 0, at.Len()+1)
	items = append(append(append(items, at.Items()[:i]...), v), at.Items()[i:]...)
	at.SetItems(items)
}

// take removes an item of an array.
func take(at *fhirjson.Node, i int) {
	items := make([]fhirjson.Node, 0, at.Len())
	at.SetItems(append(append(items, at.Items()[:i]...), at.Items()[i+1:]...))
}

// same compares as RFC 6902 section 4.6 says: numbers by value.
func same(a, b *fhirjson.Node) bool {
	if a.Kind() != b.Kind() || a.Len() != b.Len() {
		return false
	}
	switch a.Kind() {
	case fhirjson.Number:
		return canonical(a.Text()) == canonical(b.Text())
	case fhirjson.Array:
		for i := range a.Items() {
			if !same(&a.Items()[i], &b.Items()[i]) {
				return false
			}
		}
		return true
	case fhirjson.Object:
		for i := range a.Members() {
			m := &a.Members()[i]
			v := b.Get(m.Name)
			if v == nil || !same(&m.Value, v) {
				return false
			}
		}
		return true
	}
	return a.Text() == b.Text()
}

// canonical writes a number in one way: sign, digits without zeros at the ends, exponent.
func canonical(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	e, err := strconv.Atoi(strings.TrimPrefix(exponent, "+"))
	if exponent != "" && err != nil {
		return sign + s // beyond all sense: by its text
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	e -= len(fraction)
	short := strings.TrimRight(digits, "0")
	e += len(digits) - len(short)
	if short = strings.TrimLeft(short, "0"); short == "" {
		return "0"
	}
	return sign + short + "e" + strconv.Itoa(e)
}
