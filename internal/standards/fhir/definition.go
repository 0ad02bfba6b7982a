package fhir

// Type is the definition of a resource type, a datatype or a primitive.
type Type struct {
	Name     string
	Base     string // the type it specialises: DomainResource, Element, Quantity …; "" for Resource and Element
	Kind     string // resource, complex-type or primitive-type
	Abstract bool
	Elements []Element // all, inherited and nested ones too, in the published order
}

// Element is one element of a type, such as Observation.component.value[x].
type Element struct {
	Path       string   // with [x] for choices
	Min, Max   int      // Max -1 is *
	Types      []string // type names; more than one for choices; BackboneElement or Element for inline structure
	Targets    []string // resource types that a Reference may name; nil means any
	Canonicals []string // resource types that a canonical may name; nil means any
	Binding    string   // strength of the binding: required, extensible, preferred, example, or ""
	ValueSet   string   // canonical URL of the bound value set
	ContentRef string   // path of the element whose content this one repeats, such as Questionnaire.item
	Modifier   bool     // changes the meaning of the element that holds it
	Summary    bool     // part of _summary=true
}

// Rule is an invariant that a type adds to those of its base. Its expression is kept for package fhirpath;
// Validate does not evaluate it.
type Rule struct {
	Key, Severity string // ele-1, error
	Path          string // element it constrains, from which the expression is evaluated
	Expression    string // FHIRPath
}

// SearchParam is one R4 search parameter as it applies to one resource type.
type SearchParam struct {
	Code       string
	Type       string // token, reference, date, string, quantity, number, uri, composite or special
	Expression string // the published FHIRPath; for all its base types, "|" between them
	URL        string
	Targets    []string // resource types a reference may name
	Components []Component
}

// Component is a part of a composite search parameter.
type Component struct {
	Code       string // code of the parameter that the part is like
	Definition string // canonical URL of that parameter
	Expression string // relative to what the composite's expression gives
}
