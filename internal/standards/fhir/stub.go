package fhir

import "yarrow.health/internal/standards/fhirjson"

func isID(s string) bool { return s != "" }

// Validate checks the structure of a resource.
func Validate(n *fhirjson.Node) Issues { return nil }

// IsResourceType reports whether R4 has a resource type of this name.
func IsResourceType(name string) bool { return name != "" }

// ResourceTypes returns the 148 resource types of R4, sorted.
func ResourceTypes() []string { return nil }

// Definition returns the definition of a type, or nil.
func Definition(typeName string) *Type { return nil }

// SearchParams returns the search parameters of a resource type.
func SearchParams(resourceType string) []SearchParam { return nil }

// Compartment returns the search parameters that place a resource.
func Compartment(name, resourceType string) []string { return nil }

// Model describes FHIR types to package fhirpath.
type Model struct{}

// ElementType returns the type of an element.
func (*Model) ElementType(parentType, element string) (typ string, isChoice, ok bool) {
	return "", false, false
}

// IsSubtype reports whether typ is ancestor or specialises it.
func (*Model) IsSubtype(typ, ancestor string) bool { return typ == ancestor }

// Decode reads JSON into a generated struct.
func Decode(raw []byte, into any) error { return nil }

// Encode writes a generated struct as JSON.
func Encode(v any) ([]byte, error) { return nil, nil }

// Merge applies what changed from before to after to raw.
func Merge(raw []byte, before, after any) ([]byte, error) { return raw, nil }
