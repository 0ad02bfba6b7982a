// Package fhirxml reads and writes FHIR R4 resources as XML (http://hl7.org/fhir/R4/xml.html). It owns the two directions between
// XML text and the trees of package fhirjson, driven by the definitions of package fhir: order, choices, primitives with ids and
// extensions, contained resources, narrative. Decimals, dates and narrative keep their text.
//
// It never validates beyond what it needs to know where a value belongs; fhir.Validate does. It reads no DOCTYPE, no entities but
// XML's own five, no processing instructions, and nothing deeper or longer than its limits.
package fhirxml
