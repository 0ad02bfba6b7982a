package fhirapi

import (
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// prefer is what a client prefers (RFC 7240, R4 http section 3.1.0.1.9 and search section 3.1.1.1).
type prefer struct {
	ret     string // minimal, representation, OperationOutcome or ""
	lenient bool   // handling=lenient: what is not understood is passed over with a warning
	applied string // Preference-Applied
}

func readPrefer(headers []string) (p prefer) {
	for _, h := range headers {
		for part := range strings.FieldsFuncSeq(h, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "return":
				switch value {
				case "minimal", "representation", "OperationOutcome":
					if p.ret == "" {
						p.ret = value
					}
				}
			case "handling":
				p.lenient = p.lenient || value == "lenient"
			}
		}
	}
	return p
}

// preferred is the resource to send after a write: the resource itself unless something else is preferred.
func (x *exchange) preferred(ans *Answer, hints fhir.Issues) []byte {
	if x.prefer.ret != "" {
		x.w.Header().Set("Preference-Applied", "return="+x.prefer.ret)
	}
	switch x.prefer.ret {
	case "minimal":
		return nil
	case "OperationOutcome":
		done := fhir.Issue{Severity: "information", Code: "informational", Text: "The request was carried out."}
		ans.narrow = false
		return fhir.Outcome(append(fhir.Issues{done}, hints...)...)
	}
	return ans.Resource
}

// etag is a version as an entity tag.
func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// etagVersion reads the version of one entity tag. Weak or not makes no difference, as R4 says.
func etagVersion(tag string) (int64, bool) {
	tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
	if len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		tag = tag[1 : len(tag)-1]
	}
	v, err := strconv.ParseInt(tag, 10, 64)
	return v, err == nil && v > 0
}

// etagMatches says whether a list of entity tags, or "*", names the version.
func etagMatches(list string, version int64) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for tag := range strings.SplitSeq(list, ",") {
		if v, ok := etagVersion(tag); ok && v == version {
			return true
		}
	}
	return false
}

// ifMatch is the version that If-Match insists on, 0 for none.
func (c *Call) ifMatch() (int64, error) {
	m := c.Header("If-Match")
	if m == "" || strings.TrimSpace(m) == "*" {
		return 0, nil
	}
	v, ok := etagVersion(m)
	if !ok {
		return 0, fhir.Problem("value", "If-Match is not the ETag of a version.", `Send the ETag of the version you changed, such as If-Match: W/"3".`).At("http.If-Match")
	}
	return v, nil
}
