package fhirstore

import (
	"context"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// Store keeps the resources of all practices of one DB. It is safe for concurrent use.
type Store struct {
	// MaxResource bounds the bytes of one resource: 0 means 20 MB, and at most 31 MB are possible. Set it before use.
	MaxResource int
	// Labels says which sensitivity labels the content of a resource calls for; they are written into meta.security.
	// nil: only the labels a resource brings. Set it before use.
	Labels func(resourceType string, n *fhirjson.Node) int64
	// Rules is told of every version of a Patient or Consent that is written (nil: deleted), in its transaction, so that
	// restricted charts and consents rule access from then on. Set it before use.
	Rules func(ctx context.Context, tx *db.Tx, typ, id string, n *fhirjson.Node, labels int64) error

	// Terms answers :in, :not-in, :above and :below; without it they are refused. Set it before use.
	Terms Terms
	// Judge gives what judges a practice's resources beyond their structure before they are written (see Checking). It is
	// called outside transactions. Set it before use; nil judges structure only.
	Judge func(ctx context.Context, s db.Scope, history bool) (Checker, error)

	// Targets gives what a practice chose about references that lead nowhere, for TargetPolicy. Set it before use; nil: nobody
	// looks.
	Targets func(ctx context.Context, s db.Scope) (Targets, error)

	// HoldsReal says whether a practice may hold data of real people. In one that may not, what looks real (package
	// synthetic) is not written. It is called in transactions and must not use the database. Set it before use; nil: all may.
	HoldsReal func(p db.PracticeID) bool

	db    *db.DB
	log   *audit.Log
	z     zcodec
	cache bodyCache
	bells bells
	rows  rowNumbers
	forms forms
	walks walks

	searchFor time.Duration // how long a search takes at most

	unguarded string // a type the kernel is not asked about, in the control of a proof (Unguarded); "" otherwise
}

// New returns the store over d. Every write is recorded in log, in the transaction of the write.
func New(d *db.DB, log *audit.Log) *Store {
	return &Store{db: d, log: log, cache: bodyCache{limit: 32 << 20}, searchFor: searchFor}
}

// Resource is one version of a resource.
type Resource struct {
	Type, ID string
	Version  int64
	Updated  time.Time // UTC, to the microsecond; distinct for every write of a practice
	Deleted  bool      // Raw is then nil
	Created  bool      // of a write: there was none before, or it was deleted
	Raw      []byte    // JSON with meta.versionId and meta.lastUpdated
	Labels   int64     // auth.Label bits of meta.security

	body *decoded
	node *fhirjson.Node
	at   place // in the order it was found in
}

// Reference is "Type/id".
func (r *Resource) Reference() string { return r.Type + "/" + r.ID }

// Node is the parsed resource; nil for a deleted one. It may be shared and must not be changed: Clone it.
func (r *Resource) Node() *fhirjson.Node {
	if r.node == nil && r.body != nil {
		r.read()
	}
	if r.node == nil && r.Raw != nil {
		// What the store wrote parses: the limits here only guard against a fault of our own.
		r.node, _ = fhirjson.Parse(r.Raw, fhirjson.Limits{Bytes: maxBody})
	}
	return r.node
}

// Get decodes a resource into one of the structs of package fhir.
func Get[T any](r *Resource) (T, error) {
	var v T
	err := fhir.Decode(r.Raw, &v)
	return v, err
}

// Page is one page of a search.
type Page struct {
	Resources []*Resource
	Included  []*Resource // through _include and _revinclude, without those in Resources
	Total     int         // -1 when not asked for
	Next      string      // sealed cursor of the next page, "" on the last
}

// Find returns the resources of a type that answer simple clauses, given as alternating search parameter
// and value: Find(ctx, tx, "Observation", "patient", "Patient/x", "code", "8480-6"). It returns all of them,
// newest first, up to findLimit, beyond which it fails rather than cut.
func (s *Store) Find(ctx context.Context, tx *db.Tx, typ string, params ...string) ([]*Resource, error) {
	if len(params)%2 != 0 {
		return nil, fhir.Problem("exception", "A search has a parameter without a value.", "Report this fault of the program.")
	}
	form := map[string][]string{}
	for i := 0; i < len(params); i += 2 {
		form[params[i]] = append(form[params[i]], params[i+1])
	}
	q, issues := fhirsearch.ParseQuery(typ, form)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	q.Count = findLimit
	page, err := s.Search(ctx, tx, q)
	if err != nil {
		return nil, err
	}
	if page.Next != "" {
		return nil, fhir.Problem("too-costly", "A search gives more than 10,000 resources.", "Narrow it, or page through Search.")
	}
	return page.Resources, nil
}

const findLimit = 10000
