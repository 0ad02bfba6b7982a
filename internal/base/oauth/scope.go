package oauth

import (
	"net/url"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// The scopes that are no permission on a resource type (SMART App Launch 2.2 §2.0.10–14, OpenID Connect Core §5.4).
const (
	ScopeLaunch          = "launch"
	ScopeLaunchPatient   = "launch/patient"
	ScopeLaunchEncounter = "launch/encounter"
	ScopeOpenID          = "openid"
	ScopeFHIRUser        = "fhirUser"
	ScopeProfile         = "profile"
	ScopeOffline         = "offline_access"
	ScopeOnline          = "online_access"
)

var plainScopes = []string{ScopeLaunch, ScopeLaunchPatient, ScopeLaunchEncounter, ScopeOpenID, ScopeFHIRUser, ScopeProfile,
	ScopeOffline, ScopeOnline}

// Level says whose data a scope is about.
type Level string

// The levels of SMART's scopes on resources.
const (
	LevelPatient Level = "patient" // one patient's record, the one in context
	LevelUser    Level = "user"    // whatever the person may reach
	LevelSystem  Level = "system"  // whatever the client was given, without a person
)

// Scope is one scope as it was asked for, read.
type Scope struct {
	Text   string    // as it was written; this is what answers and lists repeat
	Level  Level     // "" for the scopes that are no permission on a type
	Type   string    // resource type, or "*"
	Bits   auth.Bits // interactions
	Params string    // the query that resources must match, in the canonical form of url.Values.Encode; "" for none
	V1     bool      // written as SMART 1 does (.read, .write, .*)
}

// Limits of what is read: more than any application needs, little enough to keep in a row.
const (
	maxScopes    = 200
	maxScopeText = 16 << 10
	maxOneScope  = 500
)

// ParseScope reads one scope. It says no to anything that is not exactly of the grammar: level/Type.cruds?query with the letters
// in this order (SMART 2), level/Type.read|write|* (SMART 1, which maps to rs, cud and cruds), or one of the plain words.
func ParseScope(text string) (Scope, bool) {
	if slices.Contains(plainScopes, text) {
		return Scope{Text: text}, true
	}
	if len(text) > maxOneScope || strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }) {
		return Scope{}, false
	}
	level, rest, ok := strings.Cut(text, "/")
	s := Scope{Text: text, Level: Level(level)}
	if !ok || s.Level != LevelPatient && s.Level != LevelUser && s.Level != LevelSystem {
		return Scope{}, false
	}
	rest, query, narrowed := strings.Cut(rest, "?")
	var letters string
	if s.Type, letters, ok = strings.Cut(rest, "."); !ok || s.Type != "*" && !fhir.IsResourceType(s.Type) {
		return Scope{}, false
	}
	switch letters {
	case "read":
		s.Bits, s.V1 = auth.CanRead|auth.CanSearch, true
	case "write":
		s.Bits, s.V1 = auth.CanCreate|auth.CanUpdate|auth.CanDelete, true
	case "*":
		s.Bits, s.V1 = everything, true
	default:
		if s.Bits, ok = parseLetters(letters); !ok {
			return Scope{}, false
		}
	}
	if narrowed {
		if s.V1 || s.Type == "*" {
			return Scope{}, false
		}
		if s.Params, ok = parseNarrowing(s.Type, query); !ok {
			return Scope{}, false
		}
	}
	return s, true
}

const everything = auth.CanRead | auth.CanSearch | auth.CanCreate | auth.CanUpdate | auth.CanDelete

// letterBits has the letters in the one order in which they may be written.
var letterBits = []struct {
	letter byte
	bit    auth.Bits
}{{'c', auth.CanCreate}, {'r', auth.CanRead}, {'u', auth.CanUpdate}, {'d', auth.CanDelete}, {'s', auth.CanSearch}}

func parseLetters(s string) (b auth.Bits, ok bool) {
	for _, l := range letterBits {
		if s != "" && s[0] == l.letter {
			b |= l.bit
			s = s[1:]
		}
	}
	return b, b != 0 && s == ""
}

// parseNarrowing reads the query of a granular scope. It must be one that a single resource can be compared with: known
// parameters of the type, no chains, no includes, no control parameters.
func parseNarrowing(typ, query string) (string, bool) {
	v, err := url.ParseQuery(query)
	if err != nil || len(v) == 0 {
		return "", false
	}
	for name, values := range v {
		if strings.HasPrefix(name, "_") && name != "_id" && name != "_tag" && name != "_security" && name != "_profile" ||
			strings.Contains(name, ".") || slices.Contains(values, "") {
			return "", false
		}
	}
	q, issues := fhirsearch.ParseQuery(typ, v)
	if len(issues) > 0 || len(q.Clauses) == 0 {
		return "", false
	}
	for _, c := range q.Clauses {
		if len(c.Chain) > 0 || c.Has != nil {
			return "", false
		}
	}
	return v.Encode(), true
}

// ParseScopes reads a space-separated list, leaving out duplicates. What it does not know it leaves out too and names in
// unknown, since a server may grant less than was asked (RFC 6749 §3.3).
func ParseScopes(list string) (scopes []Scope, unknown []string) {
	if len(list) > maxScopeText {
		return nil, []string{"(too long)"}
	}
	seen := map[string]bool{}
	for _, text := range strings.Fields(list) {
		if seen[text] {
			continue
		}
		seen[text] = true
		s, ok := ParseScope(text)
		if !ok || len(scopes) >= maxScopes {
			unknown = append(unknown, text)
			continue
		}
		scopes = append(scopes, s)
	}
	return scopes, unknown
}

// JoinScopes writes a list as it stands in answers.
func JoinScopes(scopes []Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = s.Text
	}
	return strings.Join(texts, " ")
}

// Has says whether a plain scope is among those of a list.
func Has(scopes []Scope, plain string) bool {
	return slices.ContainsFunc(scopes, func(s Scope) bool { return s.Level == "" && s.Text == plain })
}

// HasLevel says whether a list has a scope of a level.
func HasLevel(scopes []Scope, l Level) bool {
	return slices.ContainsFunc(scopes, func(s Scope) bool { return s.Level == l })
}

// Covers says whether whoever holds s may do all that t says.
func (s Scope) Covers(t Scope) bool {
	if s.Level == "" || t.Level == "" {
		return s.Level == t.Level && s.Text == t.Text
	}
	return s.Level == t.Level && (s.Type == "*" || s.Type == t.Type) && s.Bits&t.Bits == t.Bits && (s.Params == "" || s.Params == t.Params)
}

// Limit gives what of the asked scopes the allowed ones let through: a scope that is covered as it was written, and the common
// part of one that is covered partly.
func Limit(asked, allowed []Scope) (out []Scope) {
	add := func(s Scope) {
		if !slices.ContainsFunc(out, func(o Scope) bool { return o.Text == s.Text }) {
			out = append(out, s)
		}
	}
	for _, t := range asked {
		if slices.ContainsFunc(allowed, func(s Scope) bool { return s.Covers(t) }) {
			add(t)
			continue
		}
		for _, s := range allowed {
			if c, ok := s.and(t); ok {
				add(c)
			}
		}
	}
	return out
}

// and is the common part of two scopes on resources.
func (s Scope) and(t Scope) (Scope, bool) {
	c := Scope{Level: s.Level, Type: s.Type, Bits: s.Bits & t.Bits, Params: s.Params}
	if s.Level == "" || s.Level != t.Level || c.Bits == 0 {
		return Scope{}, false
	}
	switch {
	case s.Type == "*":
		c.Type = t.Type
	case t.Type != "*" && t.Type != s.Type:
		return Scope{}, false
	}
	switch {
	case s.Params == "":
		c.Params = t.Params
	case t.Params != "" && t.Params != s.Params:
		return Scope{}, false // two filters have no common text; the narrower must be asked for as it is allowed
	}
	c.Text = c.write()
	return c, true
}

// write is the SMART 2 text of a scope on resources.
func (s Scope) write() string {
	text := string(s.Level) + "/" + s.Type + "."
	for _, l := range letterBits {
		if s.Bits&l.bit != 0 {
			text += string(l.letter)
		}
	}
	if s.Params != "" {
		text += "?" + s.Params
	}
	return text
}
