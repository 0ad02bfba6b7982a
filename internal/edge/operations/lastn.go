package operations

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// observationsRead bounds the observations that $lastn looks through.
const observationsRead = 20000

// lastN answers Observation/$lastn (http://hl7.org/fhir/R4/observation-operation-lastn.html): the newest observations of each
// patient and code. Codes are the same when they have a coding in common, and without codings when their texts are.
func lastN(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	params := c.Texts()
	most := 1
	if s := params.Get("max"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1000 {
			return nil, fhir.Problem("value", "max is not a whole number from 1 to 1000.", "Send how many observations of each code you want, such as max=3.").At("max")
		}
		most = n
	}
	var who, what bool
	for name := range params {
		base, _, _ := strings.Cut(name, ":")
		switch base, _, _ = strings.Cut(base, "."); base {
		case "patient", "subject":
			who = true
		case "category", "code":
			what = true
		case "_sort", "_count", "_page", "_include", "_revinclude", "_summary", "_elements", "_total":
			return nil, fhir.Problem("not-supported", "$lastn has an order and size of its own and takes no "+base+".", "Leave it out.").At(base)
		}
	}
	if !who || !what {
		return nil, fhir.Problem("required", "$lastn needs a patient, and a category or a code.", "Ask as in Observation/$lastn?patient=x&category=vital-signs.")
	}
	params.Del("max")
	q, issues := fhirsearch.ParseQuery("Observation", params)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	q.Count = 1000
	var set fhirapi.Set
	err := c.View(ctx, func(tx *db.Tx) error {
		var g groups
		for looked := 0; ; {
			page, err := c.Store().Search(ctx, tx, q)
			if err != nil {
				return err
			}
			for _, r := range page.Resources {
				g.add(r)
			}
			if q.Page = page.Next; q.Page == "" {
				break
			}
			if looked += len(page.Resources); looked >= observationsRead {
				return fhir.Problem("too-costly", "There are more than 20,000 observations to look through.", "Narrow them with a code, a category or a date.")
			}
		}
		set = fhirapi.Set{Matches: g.newest(most), Whole: true}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.SeeAll("$lastn", set.Matches)
	return c.Searchset(set), nil
}

// groups gathers observations by patient and code: a forest in which every observation points to its group.
type groups struct {
	all    []*fhirstore.Resource // newest first
	parent []int
	first  map[string]int // the first observation with a coding
}

func (g *groups) root(i int) int {
	for g.parent[i] != i {
		g.parent[i] = g.parent[g.parent[i]]
		i = g.parent[i]
	}
	return i
}

func (g *groups) add(r *fhirstore.Resource) {
	if g.first == nil {
		g.first = map[string]int{}
	}
	at := len(g.all)
	g.all, g.parent = append(g.all, r), append(g.parent, at)
	for _, key := range codeKeys(fhirapi.PatientOf(r), r.Node().Get("code")) {
		if other, ok := g.first[key]; ok {
			a, b := g.root(at), g.root(other)
			g.parent[max(a, b)] = min(a, b)
		} else {
			g.first[key] = at
		}
	}
}

func codeKeys(patient string, code *fhirjson.Node) (out []string) {
	codings := code.Get("coding").Items()
	for i := range codings {
		if v := codings[i].Get("code").Text(); v != "" {
			out = append(out, patient+"\x00"+codings[i].Get("system").Text()+"\x00"+v)
		}
	}
	if len(out) == 0 {
		out = append(out, patient+"\x00\x00"+fhirsearch.Fold(code.Get("text").Text()))
	}
	return out
}

// newest gives the first of each group, group by group.
func (g *groups) newest(most int) (out []*fhirstore.Resource) {
	at := map[int]int{} // root to its place in sets
	var sets [][]*fhirstore.Resource
	for i, r := range g.all {
		root := g.root(i)
		n, ok := at[root]
		if !ok {
			n = len(sets)
			at[root], sets = n, append(sets, nil)
		}
		if len(sets[n]) < most {
			sets[n] = append(sets[n], r)
		}
	}
	return slices.Concat(sets...)
}
