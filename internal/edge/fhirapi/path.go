package fhirapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// shape is the form of an address below the base.
type shape uint8

const (
	system          shape = iota // [base]
	metadata                     // [base]/metadata
	systemHistory                // [base]/_history
	systemSearch                 // [base]/_search
	resourceType                 // [base]/Patient
	typeSearch                   // [base]/Patient/_search
	typeHistory                  // [base]/Patient/_history
	instance                     // [base]/Patient/x
	history                      // [base]/Patient/x/_history
	version                      // [base]/Patient/x/_history/3
	compartment                  // [base]/Patient/x/Observation, [base]/Patient/x/*
	compartmentFind              // [base]/Patient/x/Observation/_search
	operation                    // any of them and /$name
)

// target is an address taken apart.
type target struct {
	shape   shape
	typ, id string
	version int64
	inside  string // of a compartment: the type looked for, "*" for all
	op      string // $name
	level   Level  // of the operation
}

// parsePath takes the path below [base]/ apart.
func parsePath(path string) (t target, err error) {
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(parts) == 1 && parts[0] == "" {
		return t, nil
	}
	if last := parts[len(parts)-1]; strings.HasPrefix(last, "$") {
		t.op, parts = last, parts[:len(parts)-1]
		defer func() {
			switch {
			case err != nil:
			case t.shape == system:
				t.level = System
			case t.shape == resourceType:
				t.level = Type
			case t.shape == instance || t.shape == version:
				t.level = Instance
			default:
				err = noSuchAddress()
			}
			t.shape = operation
		}()
		if len(parts) == 0 {
			return t, nil
		}
	}
	if len(parts) == 1 {
		switch parts[0] {
		case "metadata":
			t.shape = metadata
			return t, nil
		case "_history":
			t.shape = systemHistory
			return t, nil
		case "_search":
			t.shape = systemSearch
			return t, nil
		}
	}
	t.typ = parts[0]
	if !fhir.IsResourceType(t.typ) {
		if strings.HasPrefix(t.typ, "_") || strings.HasPrefix(t.typ, ".") {
			return t, noSuchAddress()
		}
		return t, unknownType(t.typ)
	}
	if len(parts) == 1 {
		t.shape = resourceType
		return t, nil
	}
	switch parts[1] {
	case "_search", "_history":
		if len(parts) > 2 {
			return t, noSuchAddress()
		}
		t.shape = typeSearch
		if parts[1] == "_history" {
			t.shape = typeHistory
		}
		return t, nil
	}
	if t.id = parts[1]; !validID(t.id) {
		return t, fhir.Problem("not-found", "There is no such "+t.typ+", or you may not see it.", "Check the id: it has 1 to 64 letters, digits, '-' and '.'.")
	}
	switch len(parts) {
	case 2:
		t.shape = instance
		return t, nil
	case 3:
		if parts[2] == "_history" {
			t.shape = history
			return t, nil
		}
	case 4:
		if parts[2] == "_history" {
			if t.version, err = strconv.ParseInt(parts[3], 10, 64); err != nil || t.version < 1 || parts[3][0] == '+' {
				return t, fhir.Problem("not-found", "There is no such version of this "+t.typ+", or you may not see it.", "Versions are whole numbers from 1; its _history lists them.")
			}
			t.shape = version
			return t, nil
		}
		if parts[3] != "_search" {
			return t, noSuchAddress()
		}
	default:
		return t, noSuchAddress()
	}
	t.inside, t.shape = parts[2], compartment
	if len(parts) == 4 {
		t.shape = compartmentFind
	}
	if t.inside != "*" && !fhir.IsResourceType(t.inside) {
		return t, unknownType(t.inside)
	}
	if !isCompartment(t.typ) {
		return t, fhir.Problem("not-found", t.typ+" has no compartment to search in.", "Compartments are those of Patient, Encounter, RelatedPerson, Practitioner and Device.")
	}
	return t, nil
}

// compartments of R4.
var compartments = []string{"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"}

func isCompartment(typ string) bool { return slices.Contains(compartments, typ) }

func noSuchAddress() *fhir.Issue {
	return fhir.Problem("not-found", "There is nothing at this address.", "Addresses are [base]/Type, [base]/Type/id, [base]/Type/id/_history/version, [base]/metadata and operations such as [base]/Type/$name.")
}

func unknownType(name string) *fhir.Issue {
	return fhir.Problem("not-found", fmt.Sprintf("%q is not a resource type of FHIR R4.", short(name)), fhirsearch.NearestType(name))
}

func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
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
