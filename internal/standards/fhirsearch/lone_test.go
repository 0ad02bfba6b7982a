package fhirsearch

import (
	"errors"
	"testing"
)

func TestParseLone(t *testing.T) {
	for query, want := range map[string]error{
		"code=1234&date=ge2026":          nil,
		"":                               nil,
		"subject:Patient.name=x":         ErrJoin,
		"_has:Provenance:target:agent=x": ErrJoin,
		"_include=Observation:subject":   ErrJoin,
		"_sort=date":                     ErrJoin,
		"_count=3":                       ErrJoin,
		"code:in=http://example.org/vs":  ErrJoin,
		"_list=1":                        ErrJoin,
		"_elements=code":                 ErrJoin,
		"code=%zz":                       ErrForm,
		"_filter=code eq 1":              ErrJoin,
	} {
		clauses, err := ParseLone("Observation", query)
		if !errors.Is(err, want) || want != nil && clauses != nil {
			t.Errorf("%q: %v, want %v", query, err, want)
		}
	}
	if _, err := ParseLone("Observation", "nothing=1"); err == nil || errors.Is(err, ErrJoin) {
		t.Errorf("a parameter there is not: %v", err)
	}
}
