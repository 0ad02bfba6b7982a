package terminology

import (
	"regexp"
	"strings"

	"golang.org/x/text/language"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/ucum"
)

// Code systems with a grammar instead of a list.
const (
	UCUM      = "http://unitsofmeasure.org"
	Languages = "urn:ietf:bcp:47"
	MimeTypes = "urn:ietf:bcp:13"
	URIs      = "urn:ietf:rfc:3986"
)

// mimeType is RFC 6838's type/subtype with RFC 2045's parameters. Values with spaces are taken without quotes too, as R4's own
// examples write them (Endpoint.payloadMimeType).
var mimeType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}(\s*;\s*[A-Za-z0-9!#$&^_.+-]+=("[^"]*"|[^\s;"]+( [^\s;"]+)*))*$`)

func grammars() []*CodeSystem {
	return []*CodeSystem{
		Grammar(Head{URL: UCUM, Version: ucum.Version(), Name: "UCUM", CaseSensitive: true}, func(c string) bool { _, err := ucum.Parse(c); return err == nil }),
		Grammar(Head{URL: Languages, Name: "Languages (BCP 47)"}, func(c string) bool {
			if len(c) > 60 || strings.Contains(c, "_") {
				return false
			}
			_, err := language.Parse(c)
			return err == nil
		}),
		Grammar(Head{URL: MimeTypes, Name: "MIME types (BCP 13)"}, func(c string) bool { return len(c) < 500 && mimeType.MatchString(c) }),
		Grammar(Head{URL: Subdivisions, Name: "Parts of countries (ISO 3166-2)", CaseSensitive: true}, isSubdivision),
		Grammar(Head{URL: Regions, Name: "Regions of the world (UN M49)", CaseSensitive: true}, isRegion),
		Grammar(Head{URL: URIs, Name: "Addresses (RFC 3986)", CaseSensitive: true}, func(c string) bool { return c != "" && !strings.ContainsAny(c, " \t\n<>") }),
	}
}

// whyNot explains a refused code of a grammar.
func whyNot(system, code string) string {
	if system == UCUM {
		if _, err := ucum.Parse(code); err != nil {
			return err.Error()
		}
	}
	return ""
}

// nameOf is the name of a code of a grammar.
func nameOf(system, code string) string {
	if system == UCUM {
		if u, err := ucum.Parse(code); err == nil {
			return u.Name()
		}
	}
	return code
}

// grammarFilter knows the filters that make sense on a grammar: units comparable with another (canonical), and parts of a language.
func grammarFilter(s *CodeSystem, f Filter) (func(string) bool, error) {
	switch {
	case s.URL == UCUM && f.Property == "canonical" && f.Op == "=":
		return func(c string) bool { return ucum.Comparable(c, f.Value) }, nil
	case s.URL == UCUM && f.Property == "property" && f.Op == "=":
		return nil, fhir.Problem("not-supported", "Units cannot be filtered by the kind of property.", "Filter by canonical, which names a unit of the kind.")
	case s.URL == Regions && f.Property == "class" && f.Op == "=" && f.Value == "region": // as R4's jurisdictions ask
		return func(c string) bool {
			r, err := language.ParseRegion(c)
			return err == nil && r.IsGroup()
		}, nil
	case f.Op == "regex" && f.Property == "code" && len(f.Value) <= longestPattern:
		re, err := regexp.Compile("^(?:" + f.Value + ")$")
		if err != nil {
			return nil, fhir.Problem("value", "The filter's expression is not a regular expression.", "Mend it.")
		}
		return re.MatchString, nil
	case s.URL == Languages && (f.Property == "ext-lang" || f.Property == "script" || f.Property == "region" || f.Property == "variant" || f.Property == "extension" || f.Property == "private-use") && f.Op == "exists":
		return func(c string) bool {
			plain := !strings.Contains(c, "-")
			return plain == (f.Value == "false") || f.Property != "region" && f.Value == "false"
		}, nil
	}
	return nil, fhir.Problem("not-supported", "The filter "+f.Property+" "+f.Op+" cannot be used on "+s.Name+".", "Name the codes instead.")
}
