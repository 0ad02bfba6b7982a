package fhirstore

import (
	"context"
	"crypto/rand"
	"fmt"

	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
	"yarrow.health/internal/standards/synthetic"
)

// Prepared is a resource ready to be written: parsed, validated, its search values extracted and its body
// compressed. It belongs to no practice yet and may be prepared outside any transaction.
type Prepared struct {
	Type, ID string
	Warnings fhir.Issues // of the checker (see Store.Checking): they did not keep the resource out

	fresh  bool // the id was made here, so nothing can be stored under it yet
	node   *fhirjson.Node
	values []fhirsearch.Value
	body   *decoded
	packed []byte
	labels int64 // of meta.security as it is written
	own    int64 // of meta.security as it came
	sensed int64 // what the codes call for

	real []synthetic.Finding // what looks like the data of a real person

	targets Targets        // what becomes of references that lead nowhere
	among   map[int64]bool // what is written together with it, by idh
	unmet   fhir.Issues

	context map[int64]string // what it must not refer to unseen, see contextOf

	practice int64 // of rows
	rows     *indexed
}

// Node is the resource. It must not be changed.
func (p *Prepared) Node() *fhirjson.Node { return p.node }

// Prepare parses and validates a resource and readies it for Create or Update. A resource without id gets
// a new one. What is wrong with it comes back as fhir.Issues, each with its place and remedy.
func (s *Store) Prepare(ctx context.Context, raw []byte) (*Prepared, error) {
	n, issues := fhir.Parse(raw)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return s.checked(ctx, n, raw)
}

// PrepareNew is Prepare for a create whose id the server assigns: an id in the body is replaced.
func (s *Store) PrepareNew(ctx context.Context, raw []byte) (*Prepared, error) {
	n, issues := fhir.Parse(raw)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	n.Delete("id")
	return s.checked(ctx, n, raw)
}

// PrepareNode is Prepare for a tree. It takes the tree over.
func (s *Store) PrepareNode(ctx context.Context, n *fhirjson.Node) (*Prepared, error) {
	if err := fhir.Validate(n).Err(); err != nil {
		return nil, err
	}
	return s.checked(ctx, n, nil)
}

// prepare readies a validated tree.
func (s *Store) prepare(n *fhirjson.Node) (*Prepared, error) {
	p := &Prepared{Type: n.Get("resourceType").Text(), ID: n.Get("id").Text(), node: n}
	if typeCode(p.Type) == 0 {
		return nil, fhir.Problem("not-supported", "This is not a resource type of FHIR R4.", "Give a resourceType of R4.").At("resourceType")
	}
	if p.ID == "" {
		p.ID, p.fresh = newID(), true
		n.Set("id", fhirjson.NewString(p.ID))
	} else if !validID(p.ID) {
		return nil, fhir.Problem("value", "The id is not valid.", "Use 1 to 64 letters, digits, '-' and '.'.").At(p.Type + ".id")
	}
	if s.HoldsReal != nil {
		p.real = synthetic.Find(n)
	}
	p.own = labelsOf(n)
	p.labels = p.own
	if s.Labels != nil {
		if p.sensed = s.Labels(p.Type, n); p.sensed&^p.own != 0 {
			p.labels |= p.sensed
			setLabels(n, p.labels)
		}
	}
	return p, s.pack(p)
}

// pack computes what follows from the tree: search values, body.
func (s *Store) pack(p *Prepared) (err error) {
	n := p.node
	if p.values, err = fhirsearch.Extract(p.Type, n); err != nil {
		return fhir.Problem("exception", "The search values of this "+p.Type+" cannot be determined.",
			"Report this with the resource's structure.").Because(err)
	}
	if issue := manyValues(p.Type, p.values); issue != nil {
		return issue
	}
	p.body = splitBody(p.Type, p.ID, n)
	if limit := s.resourceLimit(); p.body.size() > limit {
		return fhir.Problem("too-long", fmt.Sprintf("This %s has %.1f MB, and a resource may have %d MB.", p.Type, float64(p.body.size())/(1<<20), limit>>20),
			"Store large attachments as Binary or as files of their own, or raise the limit for resources.")
	}
	p.packed, err = p.body.pack(&s.z)
	return err
}

// resourceLimit is how many bytes a resource may have: more would not be read back.
func (s *Store) resourceLimit() int {
	if s.MaxResource <= 0 {
		return defaultMaxResource
	}
	return min(s.MaxResource, largestResource)
}

const (
	defaultMaxResource = 20 << 20
	largestResource    = maxBody - 1<<20 // id, version and time come on top
)

// index returns the rows of the resource under a practice's keys, computed once.
func (p *Prepared) index(k *keys.Practice) *indexed {
	if p.rows == nil || p.practice != k.ID() {
		x := index(keyspaceOf(k), p.Type, p.ID, p.values, p.labels, fhirsearch.SortDate(p.Type, p.node))
		p.rows, p.practice = &x, k.ID()
	}
	return p.rows
}

// newID returns a random UUID (RFC 9562 version 4).
func newID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails: crypto/rand ends the process instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return uuidText(u)
}

// validID is the id datatype of R4.
func validID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}
