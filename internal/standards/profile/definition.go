package profile

import "yarrow.health/internal/standards/fhirjson"

// Definition is a StructureDefinition reduced to what validation needs.
type Definition struct {
	URL, Version, Name string
	Type               string // the type it constrains or defines: Patient, Extension, Quantity
	Base               string // canonical URL of what it derives from
	Specialization     bool   // defines a type of its own instead of constraining one
	Abstract           bool
	Contexts           []Context // where an extension may stand; empty means anywhere
	Elements           []Element
	Whole              bool // Elements is a snapshot, so Base need not be known
}

// Context is a place where an extension may be used (R4 StructureDefinition.context).
type Context struct {
	Kind       string // element, extension or fhirpath
	Expression string // path of an element or type, URL of an extension, or FHIRPath
}

// Unset is the Min or Max of an Element that does not speak about it; Many is the Max "*".
const (
	Unset = -1
	Many  = 1 << 30
)

// Element is what a Definition says about one element or slice (R4 ElementDefinition).
type Element struct {
	ID        string // Observation.component:systolic.value[x], always present
	Min, Max  int    // Unset if not spoken about
	Types     []Type
	Fixed     *Value // the value must equal this
	Pattern   *Value // the value must contain this
	MinValue  *Value
	MaxValue  *Value
	MaxLength int // in characters; 0 is no limit
	Bindings  []Binding
	Rules     []Rule
	Slicing   *Slicing
	Must      bool   // mustSupport
	Modifier  bool   // isModifier
	Content   string // path of the element whose content this one repeats
	Narrative *Narrative
	Bounds    *Bounds
}

// Type is a type an element may have, and what its values must conform to.
type Type struct {
	Code        string   // Quantity, Reference, or a System type of FHIRPath
	Profiles    []string // one of these must be conformed to
	Targets     []string // for Reference and canonical: what the target must conform to, one of these
	Aggregation []string // contained, referenced, bundled; empty is any
	Versioning  string   // either, independent or specific
}

// Value is a fixed value, a pattern or a limit with its type.
type Value struct {
	Type string // Quantity, code
	Node *fhirjson.Node
}

// Binding ties an element to a value set.
type Binding struct {
	Strength string // required, extensible, preferred, example
	ValueSet string // canonical URL, perhaps with |version, or "#" and the id of a value set contained in the definition
	Local    Local  // the codes of a contained value set; nil if there is none or its codes are not listed
}

// Local is a value set that a definition contains: the names of its codes by "system|code".
type Local map[string][]string

// Rule is an invariant in FHIRPath.
type Rule struct {
	Key      string
	Warning  bool   // severity warning instead of error
	Human    string // the guide's own words
	FHIRPath string
}

// Slicing says how values of a repeating element are told apart (R4 ElementDefinition.slicing).
type Slicing struct {
	By      []Discriminator
	Ordered bool
	Rules   string // open, closed or openAtEnd
}

// Discriminator is one way in which slices differ.
type Discriminator struct {
	Kind string // value, pattern, type, profile or exists
	Path string // restricted FHIRPath, $this for the value itself
}
