package vocabulary

import (
	"context"
	"slices"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

// Capabilities gives the TerminologyCapabilities of a practice.
func Capabilities(s *codes.Server, version string) func(p auth.Practice, base string) []byte {
	return func(p auth.Practice, base string) []byte {
		var list []fhirjson.Node
		systems, err := s.Systems(context.Background(), p.ID)
		if err != nil {
			systems = terminology.BuiltInSystems()
		}
		type edition struct{ version, content string }
		by := map[string][]edition{}
		for _, h := range systems {
			by[h.URL] = append(by[h.URL], edition{h.Version, h.Content})
		}
		urls := make([]string, 0, len(by))
		for u := range by {
			urls = append(urls, u)
		}
		slices.Sort(urls)
		for _, u := range urls {
			var versions []fhirjson.Node
			for i, e := range by[u] {
				if e.version != "" {
					v := fhir.Object("code", e.version)
					if i == 0 {
						v.Set("isDefault", fhirjson.NewBool(true))
					}
					versions = append(versions, v)
				}
			}
			list = append(list, fhir.Object("uri", u, "version", versions, "subsumption", true))
		}
		n := fhir.Object("resourceType", "TerminologyCapabilities", "url", base+"/metadata?mode=terminology", "version", version, "name", "Yarrow", "title", "Yarrow terminology of "+p.Name,
			"status", "active", "date", s.Now().UTC().Format(time.RFC3339), "kind", "instance", "software", fhir.Object("name", "Yarrow", "version", version), "implementation", fhir.Object("description", "Yarrow terminology", "url", base),
			"codeSystem", list,
			"expansion", fhir.Object("hierarchical", true, "paging", true, "incomplete", false, "parameter", expansionParams(), "textFilter", "Words in any order, cut short, misspelled or in shorthand; or the beginning of a code."),
			"codeSearch", "all", "validateCode", fhir.Object("translations", true), "translation", fhir.Object("needsMap", true), "closure", fhir.Object("translation", false))
		return n.AppendJSON(nil)
	}
}

func expansionParams() (out []fhirjson.Node) {
	for _, p := range []string{"url", "filter", "offset", "count", "includeDesignations", "designation", "activeOnly", "excludeNested", "excludeNotForUI", "displayLanguage", "exclude-system", "system-version", "force-system-version", "check-system-version"} {
		out = append(out, fhir.Object("name", p))
	}
	return out
}
