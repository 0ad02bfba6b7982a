package vocabulary

import (
	"context"
	"fmt"
	"strings"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

func (d desk) translate(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	at, err := instance(ctx, c)
	if err != nil {
		return nil, err
	}
	ps := c.Parameters
	if p := ps.First("conceptMap"); p != nil {
		at = p.Resource
	}
	list, err := codings(c)
	if err != nil {
		return nil, err
	}
	t := terminology.Translation{TargetSystem: ps.Text("targetsystem"), Reverse: ps.Text("reverse") == "true", Dependencies: map[string]string{}}
	for _, p := range ps.All("dependency") {
		concept := p.Parts.First("concept")
		code := ""
		if concept != nil {
			for _, x := range concept.Value.Get("coding").Items() {
				code = x.Get("code").Text()
			}
		}
		t.Dependencies[p.Parts.Text("element")] = code
	}
	var matches []terminology.Match
	found := false
	err = d.with(ctx, c, func(sh *terminology.Shelf) error {
		source, target := ps.Text("source"), ps.Text("target")
		var m *terminology.ConceptMap
		var maps []*terminology.ConceptMap
		var err error
		switch url := ps.Text("url"); {
		case at != nil:
			m, err = terminology.ConceptMapOf(at)
		case url == "" && (source != "" || target != ""):
			from, to := source, target
			if t.Reverse {
				from, to = to, from
			}
			if maps, err = sh.ConceptMaps(from, to); err == nil && len(maps) == 0 {
				err = fhir.Problem("not-found", "There is no map between these value sets here.", "Store it as a ConceptMap whose source and target name them, or send the url of a map.")
			}
		case url == "":
			return fhir.Problem("required", "Which map is meant is not said.", "Send url, or source and target, or call the operation at a ConceptMap.").At("Parameters.parameter")
		default:
			address, version, _ := strings.Cut(url, "|")
			if m, err = sh.ConceptMap(address, pick(version, ps.Text("conceptMapVersion"))); err == nil && m == nil {
				err = fhir.Problem("not-found", "The map "+url+" is not here.", "Store it as a ConceptMap.")
			}
		}
		if err != nil {
			return err
		}
		if m != nil {
			maps = append(maps, m)
		}
		from, err := among(sh, source)
		if err != nil {
			return err
		}
		to, err := among(sh, target)
		if err != nil {
			return err
		}
		for _, x := range list {
			if !from(x) {
				continue
			}
			t.Coding = x
			for _, m := range maps {
				more, _, err := sh.Translate(m, t)
				if err != nil {
					return err
				}
				for _, y := range more {
					if y.Concept.Code != "" && !to(y.Concept) {
						continue
					}
					matches, found = append(matches, y), found || y.Equivalence != "unmatched" && y.Equivalence != "disjoint"
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := []fhirjson.Node{param("result", "Boolean", found)}
	if !found {
		out = append(out, param("message", "String", "The map has no match for this code."))
	}
	for _, m := range matches {
		parts := []fhirjson.Node{param("equivalence", "Code", m.Equivalence)}
		if m.Concept.Code != "" {
			parts = append(parts, param("concept", "Coding", fhir.Object("system", m.Concept.System, "version", m.Concept.Version, "code", m.Concept.Code, "display", m.Concept.Display)))
		}
		if m.Source != "" {
			parts = append(parts, param("source", "Uri", m.Source))
		}
		out = append(out, fhir.Object("name", "match", "part", parts))
	}
	return answer(out...), nil
}

// among gives whether a code is in a value set, as far as that is known here; every code is in "".
func among(sh *terminology.Shelf, canonical string) (func(c terminology.Coding) bool, error) {
	anything := func(terminology.Coding) bool { return true }
	if canonical == "" {
		return anything, nil
	}
	url, version, _ := strings.Cut(canonical, "|")
	v, err := sh.ValueSet(url, version)
	if err != nil || v == nil {
		return anything, err
	}
	set, err := sh.Evaluate(v)
	if err != nil {
		return nil, err
	}
	return func(c terminology.Coding) bool {
		ok, known := set.Has(c.System, c.Version, c.Code)
		return ok || !known
	}, nil
}

func (d desk) closure(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	var list []terminology.Coding
	for _, p := range c.Parameters.All("concept") {
		list = append(list, codingOf(p.Value))
	}
	version, err := whole(c, "version", -1)
	if err != nil {
		return nil, err
	}
	name := c.Parameters.Text("name")
	a := c.Scope.Actor()
	client := fmt.Sprintf("%s|%s|%d", a.Kind, a.Client, a.UserID)
	return c.Do(ctx, func(tx *db.Tx) (*fhirapi.Answer, error) {
		table, pairs, err := d.Grow(ctx, tx, client, name, list, version)
		if err != nil {
			return nil, err
		}
		n := table.Map(name, pairs, c.Request(), c.Now().UTC().Format(time.RFC3339))
		return &fhirapi.Answer{Resource: n.AppendJSON(nil)}, nil
	})
}
