package fhir

import (
	"fmt"

	"yarrow.health/internal/standards/fhirjson"
)

// Object makes an object from alternating names and values. A value is a string, bool,
// int, fhirjson.Node, *fhirjson.Node or []fhirjson.Node (an array). Empty strings, nil,
// empty arrays, nulls and objects without members are left out, as FHIR demands. It
// panics on anything else: the names and kinds are constants of the program.
func Object(pairs ...any) fhirjson.Node {
	if len(pairs)%2 != 0 {
		panic("fhir: Object with a name but no value")
	}
	members := make([]fhirjson.Member, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		var v fhirjson.Node
		switch x := pairs[i+1].(type) {
		case nil:
			continue
		case string:
			if x == "" {
				continue
			}
			v = fhirjson.NewString(x)
		case bool:
			v = fhirjson.NewBool(x)
		case int:
			v = fhirjson.NewNumber(fmt.Sprint(x))
		case fhirjson.Node:
			v = x
		case *fhirjson.Node:
			if x == nil {
				continue
			}
			v = *x
		case []fhirjson.Node:
			v = Array(x...)
		default:
			panic(fmt.Sprintf("fhir: Object cannot hold a %T", x))
		}
		if k := v.Kind(); k == fhirjson.Null || (k == fhirjson.Object || k == fhirjson.Array) && v.Len() == 0 {
			continue
		}
		members = append(members, fhirjson.Member{Name: name, Value: v})
	}
	return fhirjson.NewObject(members...)
}

// Array makes an array of the items that are not null and not empty objects.
func Array(items ...fhirjson.Node) fhirjson.Node {
	keep := make([]fhirjson.Node, 0, len(items))
	for _, n := range items {
		if k := n.Kind(); k == fhirjson.Null || k == fhirjson.Object && n.Len() == 0 {
			continue
		}
		keep = append(keep, n)
	}
	return fhirjson.NewArray(keep...)
}

// Concept makes a CodeableConcept. Without a code it is text only; text may be empty when
// display says it all.
func Concept(system, code, display, text string) fhirjson.Node {
	var coding fhirjson.Node
	if code != "" {
		coding = Array(Object("system", system, "code", code, "display", display))
	}
	if text == "" {
		text = display
	}
	return Object("coding", coding, "text", text)
}

// RefTo makes a Reference with the name to show for it.
func RefTo(reference, display string) fhirjson.Node {
	return Object("reference", reference, "display", display)
}

// Amount makes a Quantity in UCUM with the decimal exactly as given.
func Amount(decimal, unit, ucum string) fhirjson.Node {
	return Object("value", fhirjson.NewNumber(decimal), "unit", unit, "system", "http://unitsofmeasure.org", "code", ucum)
}
