package fhirsearch

// Query is a parsed search request. Clauses are AND-ed.
type Query struct {
	Type    string // resource type searched
	Clauses []Clause
	// Compartment narrows to a compartment, "Patient/x"; it comes from the address, not from a parameter.
	Compartment string
	Include     []Include // _include
	RevInclude  []Include // _revinclude
	Sort        []Sort
	Count       int      // page size asked for, 0 when not given (_count=0 becomes Summary "count")
	Total       string   // "", none, estimate, accurate
	Summary     string   // "", true, text, data, count, false
	Elements    []string // _elements: top-level element names
	Page        string   // opaque cursor of the server (_page)
	Format      string   // _format as given
	Pretty      bool
}

// Clause is one condition. Its Values are OR-ed.
type Clause struct {
	// Param is the canonical search parameter code of the resource type (see Alias), or one of the
	// parameters common to all: _id, _lastUpdated, _tag, _profile, _security, _source, _text, _content,
	// _list, _has, _filter.
	Param string
	// Type is the parameter's R4 type: token, reference, date, string, quantity, number, uri, composite,
	// special. _id is a token, _lastUpdated a date.
	Type string
	// Modifier is "" or one of exact, contains, missing, not, text, in, not-in, above, below, of-type,
	// identifier.
	Modifier string
	// OnlyType restricts a reference to one target type: from :[type], or from an alias such as
	// patient → subject of type Patient.
	OnlyType string
	// Chain is set for subject:Patient.name=x: the alternatives, one per possible target type, of which
	// at least one must hold. Values is then empty.
	Chain []Link
	// Has is set for _has:Observation:patient:code=x; Param is then "_has".
	Has    *Has
	Filter *Filter // of _filter; Values is then empty
	Values []ValueTerm
}

// Link is one alternative of a chained parameter: the reference leads to a resource of type Target
// that answers Clause.
type Link struct {
	Target string
	Clause *Clause
}

// Has asks that some resource of Type refers to the searched resource through its reference parameter
// Param and answers Clause. OnlyType is the searched type when Param is an alias that restricts it.
type Has struct {
	Type     string
	Param    string
	OnlyType string
	Clause   *Clause
}

// ValueTerm is one alternative value of a clause, already decoded for the clause's Type and Modifier.
type ValueTerm struct {
	Raw    string // the value after unescaping
	Prefix string // date, number, quantity: eq (default), ne, gt, lt, ge, le, sa, eb, ap

	Missing bool // :missing=true

	// Token, and quantity's unit. HasSystem tells "|code" (no system) from "code" (any system);
	// an empty Code with HasSystem means any code of System. Text carries the third part of :of-type.
	System, Code string
	HasSystem    bool
	Text         string // string, uri, :text, :of-type value

	// Low and High are the moment a date term stands for: UTC microseconds, half-open, as wide as the
	// precision given, and already widened for the prefix ap.
	Low, High int64

	// Num is the number; [NumLow, NumHigh) is what its digits mean (± half a unit of the last one),
	// already widened by a tenth for the prefix ap. eq, ne and ap use the interval, the others Num.
	Num, NumLow, NumHigh float64

	// Base is a quantity in base units, when it was asked for in a UCUM unit.
	Base Canonical

	// Reference: RefType may be empty when only an id was given; RefURL (with RefVersion for
	// canonical|version) for absolute URLs, urn: and canonicals.
	RefType, RefID, RefURL, RefVersion string

	Parts []ValueTerm // composite, in the order of the parameter's components
}

// Include is one _include or _revinclude.
type Include struct {
	Source  string // resource type that holds the reference
	Param   string // canonical reference parameter of Source, or "*" for all
	Target  string // only targets of this type; "" for all
	Iterate bool   // :iterate
}

// Sort is one key of _sort.
type Sort struct {
	Param string // canonical search parameter code, _id or _lastUpdated
	Type  string // its R4 parameter type
	Desc  bool
}

// NeedsTerminology reports whether the clause can only be answered after a terminology service has
// replaced its values: :in, :not-in, and token :above and :below. The caller rewrites such a clause
// into one with Modifier "" (or "not") and the expanded Values; Match refuses it until then.
func (c Clause) NeedsTerminology() bool {
	switch c.Modifier {
	case "in", "not-in":
		return true
	case "above", "below":
		return c.Type == "token"
	}
	return false
}
