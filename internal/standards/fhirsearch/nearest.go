package fhirsearch

import (
	"fmt"
	"sort"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// controls are the parameters that steer a search instead of narrowing it.
var controls = []string{"_count", "_elements", "_filter", "_format", "_has", "_include", "_list", "_page", "_pretty", "_revinclude", "_sort", "_summary", "_total"}

// unknownParam reports a parameter that the type does not have, with the likeliest ones meant.
func unknownParam(resourceType, code string) *fhir.Issue {
	shown := code
	if len(shown) > 64 {
		shown = shown[:64] + "…"
	}
	var codes []string
	for _, p := range Params(resourceType) {
		if p.plan != nil {
			codes = append(codes, p.Code)
		}
	}
	fix := "Valid are: " + strings.Join(codes, ", ") + "."
	if near := nearest(code, append(codes, controls...)); len(near) > 0 {
		fix = "Did you mean " + strings.Join(near, " or ") + "? " + fix
	}
	return fhir.Problem("not-supported", fmt.Sprintf("%s has no search parameter %q.", resourceType, shown), fix)
}

// NearestType says which resource types somebody may have meant by a name that is none.
func NearestType(name string) string { return nearestType(name) }

func nearestType(name string) string {
	if near := nearest(name, fhir.ResourceTypes()); len(near) > 0 {
		return "Did you mean " + strings.Join(near, " or ") + "?"
	}
	return "Use a type such as Patient; names are case-sensitive."
}

// nearest returns up to three of names that are close to s, best first.
func nearest(s string, names []string) []string {
	if len(s) > 64 {
		return nil
	}
	type scored struct {
		name string
		d    int
	}
	plain := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
	limit := max(1, len(plain)/3)
	var found []scored
	for _, n := range names {
		d := fhir.Edits(plain, strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(n)), limit)
		if d <= limit {
			found = append(found, scored{n, d})
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].d < found[j].d })
	var out []string
	for i := range found {
		if i < 3 && found[i].d <= found[0].d+1 {
			out = append(out, found[i].name)
		}
	}
	return out
}
