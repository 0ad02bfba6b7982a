package fhirsearch

// Kind says which fields of a Value are filled and how values of it compare.
type Kind uint8

// The kinds of indexable values. A composite parameter has no kind of its own: each of its
// components is a Value with Part and Group set.
const (
	Token     Kind = iota + 1 // System, Code
	Reference                 // RefType, RefID | RefURL (+RefVersion)
	URI                       // Text
	String                    // Text as written; fold with Fold or Words before comparing
	Date                      // Low, High
	Number                    // Num, NumLow, NumHigh
	Quantity                  // Num, NumLow, NumHigh, System, Code, Text (the unit)
	Position                  // NumLow = latitude, NumHigh = longitude in degrees (Location.near)
)

// String returns the R4 search parameter type that the kind answers.
func (k Kind) String() string {
	switch k {
	case Token:
		return "token"
	case Reference:
		return "reference"
	case URI:
		return "uri"
	case String:
		return "string"
	case Date:
		return "date"
	case Number:
		return "number"
	case Quantity:
		return "quantity"
	case Position:
		return "special"
	}
	return "none"
}

// Value is one indexable value of a resource for one search parameter.
type Value struct {
	Param string // canonical code of the search parameter (see Alias)
	Kind  Kind

	// Modifier is empty for values that answer the plain parameter. Otherwise the value answers only
	// the parameter with that modifier:
	//   "text"        Kind String: display, CodeableConcept.text or Identifier.type.text of a token
	//   "of-type"     Kind Token:  System|Code is one coding of Identifier.type, Text is Identifier.value
	//   "identifier"  Kind Token:  System|Code is Reference.identifier of a logical reference
	Modifier string

	System, Code, Text string

	// Low and High are UTC microseconds since 1970, half-open [Low, High). A partial date covers all
	// it may mean; an open Period ends at math.MinInt64 or math.MaxInt64.
	Low, High int64

	// Num is the number as written. NumLow and NumHigh, both inclusive, are the same number, or the ends
	// of a Range, or ±Inf on the side that a comparator or an open Range leaves free. Stored numbers count
	// as exact; how many digits were meant is a matter of the query (ValueTerm).
	Num, NumLow, NumHigh float64

	// Base is a Quantity in base units, when it is in a UCUM unit.
	Base Canonical

	// RefType and RefID name a resource of this server. RefURL is set instead of RefID for everything
	// else: absolute URLs of other servers, urn:uuid, canonicals without their |version (which is in
	// RefVersion) and contained resources ("#id"); RefType is then set when the text or the contained
	// resource tells it.
	RefType, RefID, RefURL, RefVersion string

	// Part is the component's own parameter code when Param is a composite, and Group (from 1) binds
	// the parts that belong to the same element: a composite matches when all its parts match values
	// of the same Group.
	Part  string
	Group int
}
