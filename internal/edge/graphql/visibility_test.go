package graphql

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"pgregory.net/rapid"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
)

// world is a practice in which records refer to each other, some with labels.
func world(t *rapid.T) []string {
	pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }
	label := func() string {
		switch pick(6) {
		case 0:
			return `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},`
		case 1:
			return `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSYTHPN"}]},`
		}
		return ""
	}
	out := []string{`{"resourceType":"Practitioner","id":"d0","name":[{"family":"Ash"}]}`, `{"resourceType":"Practitioner","id":"d1","name":[{"family":"Birch"}]}`}
	for i := range 3 {
		out = append(out, fmt.Sprintf(`{"resourceType":"Patient","id":"p%d",%s"name":[{"family":"%s"}],"generalPractitioner":[{"reference":"Practitioner/d%d"}]}`, i, label(), []string{"Ash", "Birch"}[pick(2)], pick(2)))
	}
	for i := range 2 {
		out = append(out, fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d",%s"status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p%d"}}`, i, label(), pick(3)))
	}
	for i := range 6 {
		out = append(out, fmt.Sprintf(`{"resourceType":"Observation","id":"o%d",%s"status":"%s","category":[{"coding":[{"code":"%s"}]}],"code":{"coding":[{"system":"s","code":"%s"}]},"subject":{"reference":"Patient/p%d"},"encounter":{"reference":"Encounter/e%d"},"performer":[{"reference":"%s"}]}`,
			i, label(), []string{"final", "preliminary"}[pick(2)], []string{"laboratory", "survey"}[pick(2)], []string{"a", "b"}[pick(2)], pick(3), pick(2), []string{"Patient/p0", "Practitioner/d1", "Practitioner/gone"}[pick(3)]))
	}
	return out
}

var kinds = []string{"Patient", "Observation", "Encounter", "Practitioner"}

// scope is what somebody may reach.
func scope(t *rapid.T) db.Scope {
	a := auth.Access{All: rapid.Bool().Draw(t, "all"), Forbidden: rapid.SampledFrom([]int64{0, auth.LabelRestricted, auth.LabelPsychotherapy, auth.LabelRestricted | auth.LabelPsychotherapy}).Draw(t, "forbidden")}
	if !a.All {
		a.Types = map[string]auth.Bits{}
		for _, typ := range kinds {
			a.Types[typ] = rapid.SampledFrom([]auth.Bits{auth.CanRead | auth.CanSearch, auth.CanRead | auth.CanSearch, auth.CanRead | auth.CanSearch, auth.CanRead, auth.CanSearch, 0}).Draw(t, typ)
		}
	}
	if rapid.Bool().Draw(t, "confined") {
		a.Compartment = rapid.SampledFrom([]string{"Patient/p0", "Patient/p1", "Patient/p2"}).Draw(t, "compartment")
	}
	if rapid.IntRange(0, 2).Draw(t, "narrow") == 0 {
		a.Narrow = map[string][]auth.Narrowing{"Observation": {{Params: rapid.SampledFrom([]string{"category=laboratory", "code=a&status=final", "subject:Patient.family=ash"}).Draw(t, "way"), Bits: rapid.SampledFrom([]auth.Bits{auth.CanRead | auth.CanSearch, auth.CanSearch, auth.CanRead}).Draw(t, "bits")}}}
	}
	if rapid.IntRange(0, 2).Draw(t, "charts") == 0 {
		a.Charts = map[string]auth.ChartRule{rapid.SampledFrom([]string{"p0", "p1", "p2"}).Draw(t, "shut"): {Closed: true}}
	}
	return auth.AsApp(1, a)
}

// twins are one search as REST and as GraphQL ask it.
type twins struct{ typ, rest, list string }

func search(t *rapid.T) twins {
	typ := rapid.SampledFrom(kinds).Draw(t, "type")
	pools := map[string]map[string][]string{
		"Patient":      {"family": {"ash", "birch"}, "general-practitioner": {"Practitioner/d0", "d1"}, "_id": {"p0", "p1", "p2"}, "_filter": {"general-practitioner:Practitioner.family sw ash", "family eq birch or _id eq p1"}},
		"Observation":  {"status": {"final", "preliminary"}, "code": {"s|a", "b"}, "patient": {"p0", "Patient/p1"}, "performer": {"Patient/p0", "Practitioner/d1"}, "encounter": {"e0", "e1"}, "category": {"laboratory"}, "_filter": {"subject:Patient.family sw ash", "encounter:Encounter.status eq finished", "code ne a", "subject:Patient.general-practitioner:Practitioner.family eq birch"}},
		"Encounter":    {"patient": {"p0", "p2"}, "status": {"finished"}, "_filter": {"subject:Patient.family eq ash"}},
		"Practitioner": {"family": {"ash", "birch"}},
	}[typ]
	var names []string
	for n := range pools {
		names = append(names, n)
	}
	slices.Sort(names)
	q := url.Values{}
	var args []string
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		n := rapid.SampledFrom(names).Draw(t, "parameter")
		if q.Has(n) {
			continue
		}
		list := rapid.SliceOfNDistinct(rapid.SampledFrom(pools[n]), 1, min(2, len(pools[n])), rapid.ID).Draw(t, "values")
		if n == "_filter" {
			list = list[:1]
		}
		q.Set(n, strings.Join(list, ","))
		b, _ := json.Marshal(list)
		args = append(args, strings.ReplaceAll(n, "-", "_")+": "+string(b))
	}
	tw := twins{typ, typ + "?" + q.Encode(), typ + "List"}
	if len(args) > 0 {
		tw.list += "(" + strings.Join(args, ", ") + ")"
	}
	return tw
}

// ids are what a list in REST shows, sorted; ok is false when it was refused.
func (r room) ids(as, path string) (ids []string, ok bool) {
	code, body := r.ask(as, "GET", path, "", "")
	var b struct {
		Entry []struct {
			Resource struct{ ResourceType, ID string }
		}
	}
	if code != 200 || json.Unmarshal([]byte(body), &b) != nil {
		return nil, false
	}
	for _, e := range b.Entry {
		ids = append(ids, e.Resource.ResourceType+"/"+e.Resource.ID)
	}
	slices.Sort(ids)
	return ids, true
}

// TestSameVisibility draws practices, scopes and queries (T-06): what GraphQL shows of lists, counts, single records, references and
// reverse references is what REST shows of them, record by record, and both refuse the same. YARROW_LONG=n multiplies how many.
func TestSameVisibility(t *testing.T) {
	worlds, queries := 2, 50
	if n, err := strconv.Atoi(os.Getenv("YARROW_LONG")); err == nil && n > 0 {
		worlds *= n
	}
	each(t, func(t *testing.T, r room) {
		shown, refused := 0, 0
		for round := range worlds {
			r.put(rapid.Custom(world).Example(round*11 + 1)...)
			for i := range queries {
				seed := round*queries + i + 1
				r.as["drawn"] = rapid.Custom(scope).Example(seed)
				tw := rapid.Custom(search).Example(seed * 7)
				fail := func(what, query, body string, want any) {
					t.Helper()
					t.Fatalf("world %d, query %d: %s: REST has %v\n%s\n%s", round, i, what, want, query, body)
				}
				want, ok := r.ids("drawn", tw.rest)
				// lists and counts
				query := `{list: ` + tw.list + ` {resourceType id} all: ` + strings.Replace(tw.list, "List", "Connection", 1) + ` {count edges {resource {resourceType id}}}}`
				code, body := r.query("drawn", query)
				if (code == 200) != ok {
					fail("refused by one", query, body, ok)
				}
				type ref struct{ ResourceType, ID string }
				if !ok {
					refused++
				} else {
					var a struct {
						Data struct {
							List []ref
							All  struct {
								Count int
								Edges []struct{ Resource ref }
							}
						}
					}
					if err := json.Unmarshal([]byte(body), &a); err != nil {
						t.Fatal(err)
					}
					var list, edges []string
					for _, x := range a.Data.List {
						list = append(list, x.ResourceType+"/"+x.ID)
					}
					for _, x := range a.Data.All.Edges {
						edges = append(edges, x.Resource.ResourceType+"/"+x.Resource.ID)
					}
					slices.Sort(list)
					slices.Sort(edges)
					if !slices.Equal(list, want) || !slices.Equal(edges, want) || a.Data.All.Count != len(want) {
						fail("a list", query, body, want)
					}
					shown += len(want)
				}
				// single records, and what they lead to
				for _, name := range []string{"Patient/p0", "Observation/o" + strconv.Itoa(i%6), "Encounter/e1"} {
					typ, id, _ := strings.Cut(name, "/")
					code, body := r.ask("drawn", "GET", name, "", "")
					query := `{` + typ + `(id: "` + id + `") {id}}`
					if got, answer := r.query("drawn", query); (got == 200) != (code == 200) || got != 200 && got != code {
						fail(name, query, answer, code)
					}
					if code == 200 && typ == "Observation" {
						r.sameReferences(t, name, body)
					}
				}
				// what refers to a patient
				if _, ok := r.ids("drawn", "Patient?_id=p1"); ok {
					if code, _ := r.ask("drawn", "GET", "Patient/p1", "", ""); code == 200 {
						want, ok := r.ids("drawn", "Observation?subject=Patient/p1")
						query := `Patient/p1 {ObservationList(_reference: subject) {resourceType id}}`
						code, body := r.query("drawn", query)
						var a struct {
							Data struct{ ObservationList []ref }
						}
						if json.Unmarshal([]byte(body), &a); (code == 200) != ok {
							fail("reverse references", query, body, want)
						}
						var got []string
						for _, x := range a.Data.ObservationList {
							got = append(got, x.ResourceType+"/"+x.ID)
						}
						if slices.Sort(got); ok && !slices.Equal(got, want) {
							fail("reverse references", query, body, want)
						}
					}
				}
			}
		}
		if shown < 30 || refused < 5 {
			t.Errorf("only %d records shown and %d searches refused: the worlds are too poor to tell", shown, refused)
		}
		t.Logf("%d queries, %d records shown in lists, %d refused", worlds*queries, shown, refused)
	})
}

// sameReferences follows the references of a record in both ways.
func (r room) sameReferences(t *testing.T, name, body string) {
	t.Helper()
	var o struct {
		Subject, Encounter struct{ Reference string }
		Performer          []struct{ Reference string }
	}
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatal(err)
	}
	type got struct{ Resource *struct{ ID string } }
	var a struct {
		Data struct {
			Subject, Encounter got
			Performer          []got
		}
	}
	const fields = `{subject {resource(optional: true) {id}} encounter {resource(optional: true) {id}} performer {resource(optional: true) {id}}}`
	code, answer := r.query("drawn", name+" "+fields)
	if err := json.Unmarshal([]byte(answer), &a); err != nil || code != 200 {
		t.Fatal(code, answer)
	}
	for _, c := range []struct {
		ref string
		got got
	}{{o.Subject.Reference, a.Data.Subject}, {o.Encounter.Reference, a.Data.Encounter}, {o.Performer[0].Reference, a.Data.Performer[0]}} {
		code, _ := r.ask("drawn", "GET", c.ref, "", "")
		if (code == 200) != (c.got.Resource != nil) {
			t.Fatalf("%s of %s: REST %d, GraphQL %v\n%s", c.ref, name, code, c.got.Resource, answer)
		}
	}
	// Without optional, what may not be seen is refused exactly as what was never there.
	hidden, gone := 0, ""
	for _, c := range []struct{ field, ref string }{{"subject", o.Subject.Reference}, {"encounter", o.Encounter.Reference}, {"performer", o.Performer[0].Reference}} {
		if code, _ := r.ask("drawn", "GET", c.ref, "", ""); code != 200 {
			code, answer := r.query("drawn", fmt.Sprintf("%s {x: %-9s {resource {id}}}", name, c.field)) // the place in the query is told
			if hidden++; hidden > 1 && answer != gone || code != 404 {
				t.Fatalf("%s: %d\n%s\n%s", c.ref, code, answer, gone)
			}
			gone = answer
		}
	}
}

// FuzzQuery sends any text as a query: it is answered or refused in the form of GraphQL, in bounded time, without a panic.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{`{PatientList(name: "x") {id name(use: official) {family}}}`, `query q($a: [String!] = ["x"]) {Patient(id: $a) {...f}} fragment f on Patient {name @flatten @slice(path: "$index") {given @first @singleton}}`,
		`{__schema {types {name fields {name type {ofType {name}}}}}}`, `{ObservationConnection(cursor: "AA", _sort: "-date") {count edges {resource {subject {resource(optional: true, type: Patient) {id}}}}}}`,
		`{Patient(id: ann) {_birthDate {extension(fhirpath: "$index = 0") {valueDateTime}} ObservationList(_reference: subject, _count: 3, _offset: 1) {id}}}`, "{\"\"\"\n\"\"\"}", `subscription {x}`} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, op, err := parse(question{query: text})
		if err != nil {
			return
		}
		for _, root := range []at{{root: true}, {typ: "Patient", root: true, anchor: true}} {
			check := checker{doc: doc, left: maxFields}
			if check.selection(root, op.SelectionSet) != nil {
				continue
			}
			vars, err := variables(op, nil)
			if err != nil {
				continue
			}
			// What does not read records is carried out too.
			r := &run{doc: doc, vars: vars, access: auth.Access{All: true}}
			if picks, err := r.collect([]ast.SelectionSet{op.SelectionSet}, func(string) bool { return true }); err == nil {
				for _, p := range picks {
					if strings.HasPrefix(p.field.Name, "__") && p.field.Name != "__typename" {
						r.schema(p)
					}
				}
			}
		}
	})
}
