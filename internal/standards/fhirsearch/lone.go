package fhirsearch

import (
	"errors"
	"net/url"
)

// What [ParseLone] refuses besides what [ParseQuery] does.
var (
	ErrForm = errors.New("fhirsearch: not a well-formed query")
	ErrJoin = errors.New("fhirsearch: more is asked than one resource can tell")
)

// ParseLone reads a query, written as after the ? of a search, that one resource alone decides: search parameters of its type without chains,
// _has, lists, value sets, _filter, and without anything that shapes an answer. The error is ErrForm, ErrJoin, or the issues of ParseQuery.
func ParseLone(resourceType, query string) ([]Clause, error) {
	form, err := url.ParseQuery(query)
	if err != nil {
		return nil, ErrForm
	}
	q, issues := ParseQuery(resourceType, form)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if len(q.Include) > 0 || len(q.RevInclude) > 0 || len(q.Sort) > 0 || q.Count != 0 || q.Summary != "" || len(q.Elements) > 0 || q.Page != "" {
		return nil, ErrJoin
	}
	for i := range q.Clauses {
		c := &q.Clauses[i]
		if c.Has != nil || len(c.Chain) > 0 || c.Param == "_list" || c.Filter != nil || c.NeedsTerminology() {
			return nil, ErrJoin
		}
	}
	return q.Clauses, nil
}
