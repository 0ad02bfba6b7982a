package fhirpath

import (
	"strings"

	"github.com/cockroachdb/apd/v3"

	"yarrow.health/internal/standards/fhirjson"
)

// Model tells the evaluator what FHIR elements are. fhir.Model implements it.
type Model interface {
	// ElementType returns the type of an element of parentType (a type name, or the path of a nested
	// element such as "Patient.contact"). A choice element ("Observation", "value") has isChoice set and
	// its typ is not used. ok is false when the element does not exist.
	ElementType(parentType, element string) (typ string, isChoice, ok bool)
	// IsSubtype reports whether typ is ancestor or derives from it.
	IsSubtype(typ, ancestor string) bool
}

// Collection is the value of every FHIRPath expression: an ordered list, empty for "nothing".
type Collection []Item

// Item is one member of a Collection: an element of the tree (Node or Extra set) or a system value.
type Item struct {
	Node  *fhirjson.Node // the element; nil for a system value and for a primitive that has only extensions
	Extra *fhirjson.Node // the "_name" sibling of a primitive (id and extensions), or nil
	Type  string         // FHIR type name or path of a nested element; "" when unknown; for system values "System.String"…

	sys  sysKind
	flag bool         // Boolean
	text string       // String; unit of a Quantity; name of a type
	num  *apd.Decimal // Integer, Decimal, Quantity
	when *temporal    // Date, DateTime, Time
}

type sysKind uint8

const (
	sysNone sysKind = iota // an element
	sysBoolean
	sysString
	sysInteger
	sysDecimal
	sysDate
	sysDateTime
	sysTime
	sysQuantity
	sysType // the result of type(): Type is the namespace, text the name
)

var sysNames = [...]string{"", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity", "TypeInfo"}

func (k sysKind) typeName() string { return "System." + sysNames[k] }

func boolItem(b bool) Item {
	return Item{Type: "System.Boolean", sys: sysBoolean, flag: b}
}
func stringItem(s string) Item { return Item{Type: "System.String", sys: sysString, text: s} }
func intItem(n int64) Item {
	return Item{Type: "System.Integer", sys: sysInteger, num: apd.New(n, 0)}
}
func decimalItem(d *apd.Decimal) Item { return Item{Type: "System.Decimal", sys: sysDecimal, num: d} }
func timeItem(t *temporal) Item       { return Item{Type: t.kind.typeName(), sys: t.kind, when: t} }
func quantityItem(d *apd.Decimal, unit string) Item {
	return Item{Type: "System.Quantity", sys: sysQuantity, num: d, text: unit}
}

// NewString, NewBool and NewElement make items for Env.Vars.
func NewString(s string) Item { return stringItem(s) }

// NewBool returns a System.Boolean.
func NewBool(b bool) Item { return boolItem(b) }

// NewElement returns an element of a tree with its FHIR type name.
func NewElement(n *fhirjson.Node, typ string) Item { return Item{Node: n, Type: typ} }

func single(it Item) Collection   { return Collection{it} }
func boolCol(b bool) Collection   { return Collection{boolItem(b)} }
func (it Item) isElement() bool   { return it.sys == sysNone }
func (it Item) isPrimitive() bool { return it.sys == sysNone && it.Node.Kind() != fhirjson.Object }

// Bool returns the item's truth value; ok is false when it is not a boolean.
func (it Item) Bool() (value, ok bool) {
	it = it.system()
	return it.flag, it.sys == sysBoolean
}

// String returns the text of a primitive or system value as toString() gives it, "" for other items.
func (it Item) String() string {
	s, _ := it.asText()
	return s
}

// system converts a FHIR primitive or Quantity to the system value that operators work on. Other
// elements, and primitives without a value, come back unchanged.
func (it Item) system() Item {
	if it.sys != sysNone || it.Node == nil {
		return it
	}
	n := it.Node
	switch n.Kind() {
	case fhirjson.Bool:
		return boolItem(n.Text() == "true")
	case fhirjson.Number:
		d, ok := parseDecimal(n.Text())
		if !ok {
			return it
		}
		if it.Type == "decimal" || it.Type == "" && strings.ContainsAny(n.Text(), ".eE") {
			return decimalItem(d)
		}
		return Item{Type: "System.Integer", sys: sysInteger, num: d}
	case fhirjson.String:
		var k sysKind
		switch it.Type {
		case "date":
			k = sysDate
		case "dateTime", "instant":
			k = sysDateTime
		case "time":
			k = sysTime
		default:
			return stringItem(n.Text())
		}
		if t, ok := parseTemporal(n.Text(), k); ok {
			return timeItem(t)
		}
		return stringItem(n.Text())
	case fhirjson.Object:
		if q, ok := it.quantity(); ok {
			return q
		}
	}
	return it
}

// quantity converts a FHIR Quantity (or Age, Duration…) to System.Quantity: UCUM codes keep their code,
// anything else keeps its unit text.
func (it Item) quantity() (Item, bool) {
	switch it.Type {
	case "Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity":
	default:
		return it, false
	}
	v := it.Node.Get("value")
	if v.Kind() != fhirjson.Number || it.Node.Get("comparator") != nil {
		return it, false
	}
	d, ok := parseDecimal(v.Text())
	if !ok {
		return it, false
	}
	unit := it.Node.Get("code").Text()
	if unit == "" {
		unit = it.Node.Get("unit").Text()
	}
	if unit == "" {
		unit = "1"
	}
	return quantityItem(d, unit), true
}

// typeParts splits the item's type into namespace and name.
func (it Item) typeParts(m Model) (space, name string) {
	if it.sys != sysNone {
		return "System", sysNames[it.sys]
	}
	name = it.Type
	if name == "" {
		name = guessType(it.Node)
	}
	if strings.Contains(name, ".") {
		name = "BackboneElement"
		if m != nil && !m.IsSubtype(it.Type, "BackboneElement") {
			name = "Element"
		}
	}
	return "FHIR", name
}

// guessType names a primitive by its JSON kind where no model said more.
func guessType(n *fhirjson.Node) string {
	switch n.Kind() {
	case fhirjson.Bool:
		return "boolean"
	case fhirjson.Number:
		if strings.ContainsAny(n.Text(), ".eE") {
			return "decimal"
		}
		return "integer"
	case fhirjson.String:
		return "string"
	case fhirjson.Object:
		return n.Get("resourceType").Text()
	}
	return ""
}
