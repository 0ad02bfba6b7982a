package fhirapi

import (
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// controls refuses parameters after the question mark that an interaction does not know, or passes over them with a warning when
// the client prefers that.
func (c *Call) controls(known ...string) error {
	var unknown []string
	for name := range c.Query {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		fix := "Leave it out."
		if len(known) > 0 {
			fix = "Known here are: " + strings.Join(known, ", ") + ", _format, _pretty."
		}
		i := fhir.Problem("not-supported", fmt.Sprintf("The parameter %q means nothing at this address.", short(name)), fix).At("http." + short(name))
		if !c.x.prefer.lenient {
			return i
		}
		c.Warn(*i)
	}
	return nil
}
