package oauth

import (
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/auth"
)

func TestParseScope(t *testing.T) {
	const look, all = auth.CanRead | auth.CanSearch, everything
	for text, want := range map[string]Scope{
		"launch":                    {},
		"launch/patient":            {},
		"launch/encounter":          {},
		"openid":                    {},
		"fhirUser":                  {},
		"profile":                   {},
		"offline_access":            {},
		"online_access":             {},
		"patient/Observation.rs":    {Level: LevelPatient, Type: "Observation", Bits: look},
		"patient/*.cruds":           {Level: LevelPatient, Type: "*", Bits: all},
		"user/Patient.r":            {Level: LevelUser, Type: "Patient", Bits: auth.CanRead},
		"system/*.rs":               {Level: LevelSystem, Type: "*", Bits: look},
		"user/Condition.cud":        {Level: LevelUser, Type: "Condition", Bits: auth.CanCreate | auth.CanUpdate | auth.CanDelete},
		"patient/Observation.read":  {Level: LevelPatient, Type: "Observation", Bits: look, V1: true},
		"patient/Observation.write": {Level: LevelPatient, Type: "Observation", Bits: auth.CanCreate | auth.CanUpdate | auth.CanDelete, V1: true},
		"user/*.*":                  {Level: LevelUser, Type: "*", Bits: all, V1: true},
		"patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory": {Level: LevelPatient, Type: "Observation", Bits: look,
			Params: "category=http%3A%2F%2Fterminology.hl7.org%2FCodeSystem%2Fobservation-category%7Claboratory"},
		"patient/Observation.rs?status=final&category=laboratory": {Level: LevelPatient, Type: "Observation", Bits: look, Params: "category=laboratory&status=final"},
	} {
		got, ok := ParseScope(text)
		want.Text = text
		if !ok || got != want {
			t.Errorf("%s is %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "patient", "patient/", "patient/.rs", "patient/Observation", "patient/Observation.", "patient/Observation.sr", "patient/Observation.rr",
		"patient/Observation.x", "patient/observation.rs", "patient/Nothing.rs", "Patient/Observation.rs", "practice/*.rs", "patient/*.rs?category=x", "patient/Observation.read?category=x",
		"patient/Observation.rs?", "patient/Observation.rs?nothing=x", "patient/Observation.rs?category=", "patient/Observation.rs?_count=1", "patient/Observation.rs?_include=Observation:subject",
		"patient/Observation.rs?subject.name=x", "patient/Observation.rs?_has:Group:member:_id=1", "patient/Observation.rs?subject:Patient.name=x", "patient/Observation.rs?_filter=x",
		"patient/Observation.rs?category=%zz", "patient/Observation.rs?category=a\nb", "patient/Observation.rs?category=\"", "OPENID", "launch/practitioner", "fhiruser",
		"patient/Observation.rs?category=" + strings.Repeat("x", 600), "patient/*.rs/x", "*/*.*"} {
		if s, ok := ParseScope(text); ok {
			t.Errorf("%q was read as %+v", text, s)
		}
	}
	got, unknown := ParseScopes(" openid  openid patient/*.rs x ")
	if JoinScopes(got) != "openid patient/*.rs" || !slices.Equal(unknown, []string{"x"}) {
		t.Errorf("%v %v", got, unknown)
	}
	if got, _ := ParseScopes(strings.Repeat("x ", maxScopeText)); got != nil {
		t.Error("a list without end was read")
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct{ asked, allowed, want string }{
		{"patient/*.rs", "patient/*.cruds", "patient/*.rs"},
		{"patient/*.cruds", "patient/*.rs", "patient/*.rs"},
		{"patient/*.rs", "patient/Observation.rs patient/Condition.r", "patient/Observation.rs patient/Condition.r"},
		{"patient/Observation.rs", "patient/Observation.rs?category=laboratory", "patient/Observation.rs?category=laboratory"},
		{"patient/Observation.rs?category=laboratory", "patient/Observation.rs", "patient/Observation.rs?category=laboratory"},
		{"patient/Observation.rs?category=laboratory", "patient/Observation.rs?category=vital-signs", ""},
		{"patient/Observation.read", "patient/*.rs", "patient/Observation.read"},
		{"user/Observation.rs", "patient/*.cruds", ""},
		{"openid launch", "openid", "openid"},
		{"patient/Observation.cr", "patient/Observation.rs patient/Observation.c", "patient/Observation.r patient/Observation.c"},
	} {
		a, _ := ParseScopes(c.asked)
		b, unknown := ParseScopes(c.allowed)
		if len(unknown) > 0 {
			t.Fatal(unknown)
		}
		if got := JoinScopes(Limit(a, b)); got != c.want {
			t.Errorf("%s within %s is %q, wanted %q", c.asked, c.allowed, got, c.want)
		}
	}
}

// S-07: what scopes allow, before the person narrows it.
func TestAccessOfScopes(t *testing.T) {
	read := func(scopes, patient, self string) auth.Access {
		s, unknown := ParseScopes(scopes)
		if len(unknown) > 0 {
			t.Fatal(unknown)
		}
		return accessOf(s, patient, self)
	}
	a := read("patient/Observation.rs?category=laboratory patient/Observation.rs?category=vital-signs patient/Observation.c patient/Condition.rs user/Practitioner.r", "p1", "")
	if a.Compartment != "Patient/p1" || a.All {
		t.Errorf("%+v", a)
	}
	if q, on := a.Narrowed("Observation", auth.CanRead); !on || !slices.Equal(q, []string{"category=laboratory", "category=vital-signs"}) {
		t.Errorf("reading observations is narrowed to %v", q)
	}
	if _, on := a.Narrowed("Observation", auth.CanCreate); on || !a.Allows("Observation", auth.CanCreate) || a.Allows("Observation", auth.CanUpdate) {
		t.Error("creating observations is not what was granted")
	}
	if _, on := a.Narrowed("Condition", auth.CanSearch); on || a.Allows("Patient", auth.CanRead) {
		t.Error("conditions are narrowed, or patients open")
	}
	a = read("patient/*.rs patient/Observation.rs?category=laboratory", "p1", "")
	if _, on := a.Narrowed("Observation", auth.CanRead); on || !a.Allows("Observation", auth.CanRead) {
		t.Error("a wider scope is narrowed by another one")
	}
	a = read("patient/*.r patient/Observation.rs?category=laboratory", "p1", "")
	if q, on := a.Narrowed("Observation", auth.CanSearch); !on || len(q) != 1 {
		t.Error("searching goes beyond its filter")
	}
	if a = read("patient/*.cruds user/*.cruds", "", ""); a.All || len(a.Types) > 0 {
		t.Errorf("a patient's scope without a patient reaches %+v", a)
	}
	if a = read("user/*.rs", "p1", ""); a.Compartment != "" || !a.Allows("Observation", auth.CanRead) {
		t.Errorf("%+v", a)
	}
	a = read("openid fhirUser patient/Observation.rs", "p1", "Practitioner/ann")
	if q, on := a.Narrowed("Practitioner", auth.CanRead); !on || !slices.Equal(q, []string{"_id=ann"}) || a.Allows("Practitioner", auth.CanSearch) {
		t.Errorf("one's own record: %v %v", q, on)
	}
	if a = read("openid patient/Observation.rs", "p1", "Practitioner/ann"); a.Allows("Practitioner", auth.CanRead) {
		t.Error("who the person is was not granted")
	}
	if a = read("openid fhirUser offline_access launch", "p1", ""); len(a.Types) > 0 {
		t.Errorf("%+v", a)
	}
}

func FuzzScopes(f *testing.F) {
	for _, s := range []string{"patient/Observation.rs?category=laboratory|x", "launch openid", "system/*.cruds", "user/*.*", "patient/Observation.rs?a=b&c"} {
		f.Add(s, "patient/*.cruds user/Observation.rs?status=final")
	}
	f.Fuzz(func(t *testing.T, asked, allowed string) {
		a, _ := ParseScopes(asked)
		b, _ := ParseScopes(allowed)
		for _, s := range a {
			if strings.ContainsAny(s.Text, " \t\n\"\\") {
				t.Fatalf("%q is a scope", s.Text)
			}
			if s.Level == "" {
				continue
			}
			if r, ok := ParseScope(s.write()); !ok || r.Level != s.Level || r.Type != s.Type || r.Bits != s.Bits || r.Params != s.Params {
				t.Fatalf("%q is written %q, which is another scope", s.Text, s.write())
			}
		}
		// What is let through is within what was asked and within what is allowed.
		for _, g := range Limit(a, b) {
			if !slices.ContainsFunc(a, func(s Scope) bool { return s.Covers(g) }) || !slices.ContainsFunc(b, func(s Scope) bool { return s.Covers(g) }) {
				t.Fatalf("%q within %q gave %q", asked, allowed, g.Text)
			}
		}
		accessOf(a, "p", "Practitioner/x")
	})
}

func FuzzAssertion(f *testing.F) {
	head := b64([]byte(`{"alg":"RS384","kid":"r1"}`))
	f.Add(head + "." + b64([]byte(`{"iss":"a","sub":"a","aud":["x"],"exp":1,"jti":"j"}`)) + ".AAAA")
	f.Add("..")
	f.Add(head + "." + head + ".")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := readAssertion(text)
		if err != nil {
			return
		}
		if a.alg != "RS384" && a.alg != "ES384" || a.kid == "" || a.iss == "" || a.iss != a.sub || a.jti == "" || a.exp == 0 || len(a.aud) == 0 {
			t.Fatalf("%q was read as %+v", text, a)
		}
		set, err := publicKeys([]byte(fuzzKeys))
		if err != nil {
			t.Fatal(err)
		}
		if a.signedBy(set) {
			t.Fatal("a signature was made up")
		}
	})
}

// fuzzKeys is a key set whose private half nobody kept: the generator of the curve itself is its public point.
const fuzzKeys = `{"keys":[{"kty":"EC","kid":"r1","crv":"P-384","x":"qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3","y":"NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f"}]}`
