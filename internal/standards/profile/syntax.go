package profile

import (
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/ucum"
)

const loinc = "http://loinc.org"

// form judges the form of a code whose system tells it: a code of that form may still not exist, one of another cannot.
// Only strictly: what others recorded long ago is theirs.
func (r *run) form(system, code *fhirjson.Node) {
	wrong := ""
	switch s, c := system.Text(), code.Text(); s {
	case snomed:
		// An expression (SNOMED CT compositional grammar) is no single identifier.
		if !strings.ContainsAny(c, " :|+={}(),") && !isSCTID(c) {
			wrong = "an identifier of SNOMED CT: 6 to 18 digits of which the last is a check digit"
		}
	case loinc:
		if !isLOINC(c) {
			wrong = "a code of LOINC: digits, a hyphen and a check digit"
		}
	}
	if wrong != "" {
		r.push("code", -1)
		r.fail("code-invalid", code, "This is not "+wrong+".", "Check the code for a slip.")
		r.pop()
	}
}

// isLOINC reports whether a text has the form of a LOINC term (number, hyphen, Luhn check digit) or of a part, answer, list or group.
func isLOINC(s string) bool {
	for _, prefix := range []string{"LA", "LP", "LL", "LG", "MTHU"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	number, check, ok := strings.Cut(s, "-")
	if !ok || number == "" || len(number) > 7 || len(check) != 1 || strings.Trim(number+check, "0123456789") != "" {
		return false
	}
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return (10-sum%10)%10 == int(check[0]-'0')
}

// quantity judges the unit of a quantity that names UCUM as its system.
func (r *run) quantity(n *fhirjson.Node) {
	code := n.Get("code")
	if code.Kind() != fhirjson.String || n.Get("system").Text() != ucumSystem {
		return
	}
	if _, err := ucum.Parse(code.Text()); err != nil {
		r.push("code", -1)
		r.by(r.strict(), "code-invalid", code, "This is not a unit of UCUM.", shown(err.Error()))
		r.pop()
	}
}

// identifier judges the system of an identifier, and the value where the system says that it is a URI (R4 Identifier.value).
func (r *run) identifier(n *fhirjson.Node) {
	system, value := n.Get("system"), n.Get("value")
	switch {
	case system.Kind() != fhirjson.String:
	case !strings.Contains(system.Text(), ":"):
		r.push("system", -1)
		r.by(r.strict(), "value", system, "The system of an identifier is an absolute address.", "Write the whole URI, such as urn:oid:… or https://….")
		r.pop()
	case system.Text() == "urn:ietf:rfc:3986" && value.Kind() == fhirjson.String && !strings.Contains(value.Text(), ":"):
		r.push("value", -1)
		r.by(r.strict(), "value", value, "The value of an identifier of this system is a whole URI.", "Write it with its scheme, such as urn:uuid:….")
		r.pop()
	}
}

// address judges URIs that say by their beginning what follows.
func (r *run) address(n *fhirjson.Node) {
	s := n.Text()
	switch {
	case strings.HasPrefix(s, "urn:oid:") && !isOID(s[len("urn:oid:"):]):
		r.by(r.strict(), "value", n, "What follows urn:oid: is no OID.", "Write numbers with points between them, beginning with 0, 1 or 2.")
	case strings.HasPrefix(s, "urn:uuid:") && !isUUID(s[len("urn:uuid:"):]):
		r.by(r.strict(), "value", n, "What follows urn:uuid: is no UUID.", "Write 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.")
	case strings.HasPrefix(s, "oid:") || strings.HasPrefix(s, "uuid:"):
		r.by(r.strict(), "value", n, "An OID or UUID as an address begins with urn:.", "Put urn: before it.")
	}
}

func isOID(s string) bool {
	if s == "" || s[0] > '2' {
		return false
	}
	arcs := 0
	for arc := range strings.SplitSeq(s, ".") {
		if arc == "" || strings.Trim(arc, "0123456789") != "" || len(arc) > 1 && arc[0] == '0' {
			return false
		}
		arcs++
	}
	return arcs > 1
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (c == '-') || !hyphen && !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}
	return true
}

// identities: an id occurs once in a resource (R4 Element.id), those of contained resources too (R4 references, "contained").
func (r *run) identities(n *fhirjson.Node) {
	if !r.o.Strict {
		return
	}
	seen := map[string]bool{}
	contained := n.Get("contained").Items()
	for i := range contained {
		id := contained[i].Get("id").Text()
		if seen[id] && id != "" {
			r.push("contained", i)
			r.fail("business-rule", &contained[i], "Another contained resource has this id.", "Give each contained resource an id of its own.")
			r.pop()
		}
		seen[id] = true
	}
	elements := map[string]bool{}
	for i := range n.Members() {
		m := &n.Members()[i]
		if m.Name == "snapshot" || m.Name == "differential" { // the same elements twice, by design
			elements = map[string]bool{}
		}
		if m.Name != "contained" && m.Name != "id" && !r.unique(&m.Value, elements) {
			r.push(strings.TrimPrefix(m.Name, "_"), -1)
			r.fail("business-rule", &m.Value, "Two elements of the resource have the same id.", "Give each element an id of its own.")
			r.pop()
			return
		}
	}
}

// unique notes the ids of elements below n; false when one occurs again. Resources inside have ids of their own.
func (r *run) unique(n *fhirjson.Node, seen map[string]bool) bool {
	if r.left--; r.left < 1 {
		r.charged()
		return true
	}
	for i := range n.Items() {
		if !r.unique(&n.Items()[i], seen) {
			return false
		}
	}
	if n.Get("resourceType") != nil {
		return true
	}
	for i := range n.Members() {
		switch m := &n.Members()[i]; {
		case m.Name == "id" && m.Value.Kind() == fhirjson.String:
			if seen[m.Value.Text()] {
				return false
			}
			seen[m.Value.Text()] = true
		case !r.unique(&m.Value, seen):
			return false
		}
	}
	return true
}
