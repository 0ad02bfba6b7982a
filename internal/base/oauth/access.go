package oauth

import (
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

// accessOf is what scopes allow by themselves, before the kernel narrows it to what the person and the practice allow.
//
// With any scope of level patient the whole access is confined to the patient in context, scopes of level user too: a token that
// was launched for one patient never reaches another's record. A type reached by several scopes gives the union of them; what one
// of them gives without a query is not narrowed by the queries of the others.
func accessOf(scopes []Scope, patient, fhirUser string) auth.Access {
	a := auth.Access{Types: map[string]auth.Bits{}}
	confined := false
	var wild auth.Bits
	for _, s := range scopes {
		if s.Level == "" {
			continue
		}
		confined = confined || s.Level == LevelPatient
		if s.Type == "*" {
			wild |= s.Bits
		} else {
			a.Types[s.Type] |= s.Bits
		}
	}
	if confined && patient == "" {
		return auth.Access{} // a patient's scope without a patient is no scope on everybody
	}
	if confined {
		a.Compartment = "Patient/" + patient
	}
	if wild != 0 {
		for _, t := range allTypes() {
			a.Types[t] |= wild
		}
	}
	for _, s := range scopes {
		if s.Params == "" || wild&a.Types[s.Type] == a.Types[s.Type] {
			continue
		}
		free := wild // what some scope gives without a query
		for _, o := range scopes {
			if o.Level != "" && o.Type == s.Type && o.Params == "" {
				free |= o.Bits
			}
		}
		if a.Narrow == nil {
			a.Narrow = map[string][]auth.Narrowing{}
		}
		if len(a.Narrow[s.Type]) == 0 && free != 0 {
			a.Narrow[s.Type] = append(a.Narrow[s.Type], auth.Narrowing{Bits: free})
		}
		if bits := s.Bits &^ free; bits != 0 {
			a.Narrow[s.Type] = append(a.Narrow[s.Type], auth.Narrowing{Params: s.Params, Bits: bits})
		}
	}
	addSelf(&a, scopes, fhirUser)
	return a
}

// addSelf lets a program that may know who the person is read the one resource that says so.
func addSelf(a *auth.Access, scopes []Scope, fhirUser string) {
	typ, id, ok := strings.Cut(fhirUser, "/")
	if !ok || id == "" || !Has(scopes, ScopeOpenID) || !Has(scopes, ScopeFHIRUser) && !Has(scopes, ScopeProfile) || a.Types[typ]&auth.CanRead != 0 {
		return
	}
	if a.Narrow == nil {
		a.Narrow = map[string][]auth.Narrowing{}
	}
	if before := a.Types[typ]; before != 0 && len(a.Narrow[typ]) == 0 {
		a.Narrow[typ] = append(a.Narrow[typ], auth.Narrowing{Bits: before})
	}
	a.Types[typ] |= auth.CanRead
	a.Narrow[typ] = append(a.Narrow[typ], auth.Narrowing{Params: "_id=" + id, Bits: auth.CanRead})
}

// allTypes are the types that "*" stands for.
func allTypes() []string { return fhir.ResourceTypes() }
