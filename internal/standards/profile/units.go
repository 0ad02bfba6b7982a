package profile

import (
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/ucum"
)

// ucumSystem is the system of UCUM units.
const ucumSystem = "http://unitsofmeasure.org"

// compareUnits compares quantities of different units; known is false when they do not convert.
func compareUnits(a, b *fhirjson.Node) (int, bool) {
	if a.Get("system").Text() != ucumSystem || b.Get("system").Text() != ucumSystem {
		return 0, false
	}
	limit, err := ucum.Convert(b.Get("value").Text(), b.Get("code").Text(), a.Get("code").Text())
	if err != nil {
		return 0, false
	}
	return compareNumbers(a.Get("value").Text(), limit)
}
