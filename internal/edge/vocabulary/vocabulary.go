// Package vocabulary is the terminology half of the FHIR interface: $lookup, $validate-code and $subsumes of CodeSystem, $expand and
// $validate-code of ValueSet, $translate and $closure of ConceptMap, and the TerminologyCapabilities.
//
// It owns the parameters of these operations and the form of their answers. What is asked of codes is answered by base/codes and
// standards/terminology. Apart from the closure tables of clients it writes nothing.
package vocabulary

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/codes"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/terminology"
)

type desk struct{ *codes.Server }

// Operations returns the operations, to be registered with the interface.
func Operations(s *codes.Server) []fhirapi.Operation {
	d := desk{s}
	in := func(name, typ string, most int, doc string) fhirapi.Param {
		return fhirapi.Param{Name: name, Type: typ, Max: most, Doc: doc}
	}
	coding := []fhirapi.Param{in("code", "code", 1, "The code."), in("system", "uri", 1, "Its code system."), in("version", "string", 1, "The version of the code system.")}
	judged := append(slices.Clone(coding), in("url", "uri", 1, "The address of the definition; leave it out at an instance."), in("display", "string", 1, "The name to be checked too."),
		in("coding", "Coding", 1, "The code as a Coding."), in("codeableConcept", "CodeableConcept", 1, "Codes of which one must pass."), in("abstract", "boolean", 1, "Whether headings are allowed; the default is that they are not."),
		in("displayLanguage", "code", 1, "The language of the name in the answer."), in("date", "dateTime", 1, "The moment the answer is for; only now is known."))
	sets := []fhirapi.Param{in("valueSetVersion", "string", 1, "The version of the value set."), in("context", "uri", 1, "Not used; give url."), in("systemVersion", "string", 1, "The version of the code system."),
		in("valueSet", "Resource", 1, "The value set itself."), in("system-version", "canonical", -1, "Versions of code systems where the value set says none."), in("force-system-version", "canonical", -1, "Versions of code systems, whatever the value set says.")}
	return []fhirapi.Operation{
		{Name: "$lookup", Levels: fhirapi.Type, Types: []string{"CodeSystem"}, Doc: "Tells everything known of a code: its names, whether it is in force, what lies above and below it.",
			Params: append(slices.Clone(coding), in("coding", "Coding", 1, "The code as a Coding."), in("date", "dateTime", 1, "The moment the answer is for; only now is known."),
				in("displayLanguage", "code", 1, "The language of the name."), in("property", "code", -1, "Properties that are wanted; without it all are given.")), Run: d.lookup},
		{Name: "$validate-code", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"CodeSystem"}, Doc: "Tells whether a code is in a code system.",
			Params: append(slices.Clone(judged), in("codeSystem", "Resource", 1, "The code system itself.")), Run: d.validateInSystem},
		{Name: "$validate-code", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"ValueSet"}, Doc: "Tells whether a code is in a value set.",
			Params: append(slices.Clone(judged), sets...), Run: d.validateInSet},
		{Name: "$subsumes", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"CodeSystem"}, Doc: "Tells whether one code is a kind of the other.",
			Params: []fhirapi.Param{in("codeA", "code", 1, "One code."), in("codeB", "code", 1, "The other code."), in("system", "uri", 1, "Their code system."), in("version", "string", 1, "Its version."),
				in("codingA", "Coding", 1, "One code as a Coding."), in("codingB", "Coding", 1, "The other as a Coding.")}, Run: d.subsumes},
		{Name: "$expand", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"ValueSet"}, Doc: "Lists the codes of a value set, all of them, page by page, or those that a text finds.",
			Params: append([]fhirapi.Param{in("url", "uri", 1, "The address of the value set; leave it out at an instance."), in("filter", "string", 1, "What somebody typed."), in("offset", "integer", 1, "How many codes to leave out."),
				in("count", "integer", 1, "How many codes to give; 0 gives only how many there are."), in("includeDesignations", "boolean", 1, "Give further names too."), in("designation", "string", -1, "Uses or languages of names that are wanted."),
				in("includeDefinition", "boolean", 1, "Give the definition too."), in("activeOnly", "boolean", 1, "Leave out codes that are not in force."), in("excludeNested", "boolean", 1, "Give a flat list."),
				in("excludeNotForUI", "boolean", 1, "Leave out headings."), in("excludePostCoordinated", "boolean", 1, "There are none."), in("displayLanguage", "code", 1, "The language of the names."), in("exclude-system", "canonical", -1, "Code systems to leave out."),
				in("check-system-version", "canonical", -1, "Versions the code systems must have."), in("contextDirection", "code", 1, "Not used."), in("date", "dateTime", 1, "The moment the answer is for; only now is known.")}, sets...), Run: d.expand},
		{Name: "$translate", Levels: fhirapi.Type | fhirapi.Instance, Types: []string{"ConceptMap"}, Doc: "Gives the codes that a map has for a code.",
			Params: append(slices.Clone(coding), in("url", "uri", 1, "The address of the map; leave it out at an instance."), in("conceptMap", "Resource", 1, "The map itself."), in("conceptMapVersion", "string", 1, "The version of the map."),
				in("source", "uri", 1, "The value set the code comes from."), in("coding", "Coding", 1, "The code as a Coding."), in("codeableConcept", "CodeableConcept", 1, "Several codes."), in("target", "uri", 1, "The value set to translate to."),
				in("targetsystem", "uri", 1, "The code system to translate to."), in("reverse", "boolean", 1, "Go the other way."), in("dependency", "", -1, "What the translation may depend on.")), Run: d.translate},
		{Name: "$closure", Levels: fhirapi.System | fhirapi.Type, Types: []string{"ConceptMap"}, Affects: true, Doc: "Keeps a table of which codes are kinds of which others for a client, which grows with the codes it sends.",
			Params: []fhirapi.Param{{Name: "name", Type: "string", Min: 1, Max: 1, Doc: "The client's name of the table."}, in("concept", "Coding", -1, "Codes to add."), in("version", "string", 1, "Give what came after this version.")}, Run: d.closure},
	}
}

// shelf opens the practice's shelf with the versions that were asked for.
func (d desk) with(ctx context.Context, c *fhirapi.Call, fn func(sh *terminology.Shelf) error) error {
	return d.With(ctx, c.Scope.Practice(), func(sh *terminology.Shelf) error {
		sh.Default, sh.Force = versions(c.Parameters.All("system-version")), versions(c.Parameters.All("force-system-version"))
		return fn(sh)
	})
}

func versions(ps []*fhirapi.Parameter) map[string]string {
	m := map[string]string{}
	for _, p := range ps {
		if url, v, ok := strings.Cut(p.Text(), "|"); ok {
			m[url] = v
		}
	}
	return m
}

// instance reads the resource an operation is called at, as the one who asks may.
func instance(ctx context.Context, c *fhirapi.Call) (*fhirjson.Node, error) {
	if c.ID == "" {
		return nil, nil
	}
	var n *fhirjson.Node
	err := c.View(ctx, func(tx *db.Tx) error {
		r, err := c.Store().Read(ctx, tx, c.Type, c.ID)
		if err != nil {
			return err
		}
		if r.Deleted {
			return fhir.Problem("deleted", "This definition was deleted.", "Use another.")
		}
		n = r.Node()
		c.SeeResource("read", r)
		return nil
	})
	return n, err
}

func codingOf(n *fhirjson.Node) terminology.Coding {
	return terminology.Coding{System: n.Get("system").Text(), Version: n.Get("version").Text(), Code: n.Get("code").Text(), Display: n.Get("display").Text()}
}

// codings reads code and system, coding or codeableConcept, whichever is there.
func codings(c *fhirapi.Call) ([]terminology.Coding, error) {
	ps := c.Parameters
	var out []terminology.Coding
	ways := 0
	if ps.Text("code") != "" {
		ways++
		out = append(out, terminology.Coding{System: ps.Text("system"), Version: pick(ps.Text("systemVersion"), ps.Text("version")), Code: ps.Text("code"), Display: ps.Text("display")})
	}
	if p := ps.First("coding"); p != nil {
		ways++
		if p.Value.Kind() == fhirjson.Object {
			out = append(out, codingOf(p.Value))
		} else if system, code, ok := strings.Cut(p.Text(), "|"); ok { // in an address: system|code
			out = append(out, terminology.Coding{System: system, Code: code})
		}
	}
	if p := ps.First("codeableConcept"); p != nil {
		ways++
		for _, x := range p.Value.Get("coding").Items() {
			out = append(out, codingOf(&x))
		}
	}
	if ways != 1 || len(out) == 0 {
		return nil, fhir.Problem("required", "Which code is meant is not clear.", "Send code and system, or one coding, or one codeableConcept with codings.").At("Parameters.parameter")
	}
	return out, nil
}

func pick(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

func param(name, typ string, value any) fhirjson.Node {
	return fhir.Object("name", name, "value"+typ, value)
}

func answer(ps ...fhirjson.Node) *fhirapi.Answer {
	n := fhir.Object("resourceType", "Parameters", "parameter", ps)
	return &fhirapi.Answer{Resource: n.AppendJSON(nil)}
}

func (d desk) lookup(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	list, err := codings(c)
	if err != nil {
		return nil, err
	}
	if list[0].System == "" {
		return nil, fhir.Problem("required", "The code has no system.", "Send the parameter system.")
	}
	var s *terminology.CodeSystem
	var e terminology.Entry
	if err := d.with(ctx, c, func(sh *terminology.Shelf) error {
		s, e, err = sh.Lookup(list[0])
		return err
	}); err != nil {
		return nil, err
	}
	wanted := func(name string) bool {
		ps := c.Parameters.All("property")
		return len(ps) == 0 || slices.ContainsFunc(ps, func(p *fhirapi.Parameter) bool { return p.Text() == name || p.Text() == "*" })
	}
	display := e.Display
	if lang := c.Parameters.Text("displayLanguage"); lang != "" {
		for _, x := range e.Designations {
			if strings.EqualFold(x.Language, lang) || strings.HasPrefix(strings.ToLower(lang), strings.ToLower(x.Language)+"-") && x.Language != "" {
				display = x.Value
				break
			}
		}
	}
	out := []fhirjson.Node{param("name", "String", s.Name), param("version", "String", s.Version), param("display", "String", pick(display, e.Code))}
	if s.Version == "" {
		out = slices.Delete(out, 1, 2)
	}
	if e.Definition != "" {
		out = append(out, param("definition", "String", e.Definition))
	}
	if wanted("designation") {
		for _, x := range e.Designations {
			parts := []fhirjson.Node{}
			if x.Language != "" {
				parts = append(parts, param("language", "Code", x.Language))
			}
			if x.Use != "" {
				parts = append(parts, param("use", "Coding", fhir.Object("system", x.UseSystem, "code", x.Use)))
			}
			out = append(out, fhir.Object("name", "designation", "part", append(parts, param("value", "String", x.Value))))
		}
	}
	facts := append([]terminology.Property{{Code: "inactive", Type: "boolean", Value: strconv.FormatBool(e.Inactive)}}, e.Properties...)
	if e.Abstract {
		facts = append(facts, terminology.Property{Code: "notSelectable", Type: "boolean", Value: "true"})
	}
	given := map[terminology.Property]bool{}
	for i, p := range facts {
		if !wanted(p.Code) || given[p] || i > 0 && p.Code == "inactive" {
			continue
		}
		given[p] = true
		var v fhirjson.Node
		switch {
		case p.Type == "boolean" && (p.Value == "true" || p.Value == "false"):
			v = param("value", "Boolean", p.Value == "true")
		case p.Type == "code":
			v = param("value", "Code", p.Value)
		case p.Type == "dateTime":
			v = param("value", "DateTime", p.Value)
		default:
			v = param("value", "String", p.Value)
		}
		out = append(out, fhir.Object("name", "property", "part", []fhirjson.Node{param("code", "Code", p.Code), v}))
	}
	return answer(out...), nil
}

func verdict(v terminology.Verdict) *fhirapi.Answer {
	out := []fhirjson.Node{param("result", "Boolean", v.OK)}
	for _, p := range []struct{ name, typ, value string }{{"message", "String", v.Message}, {"display", "String", v.Display}, {"code", "Code", v.Code}, {"system", "Uri", v.System}, {"version", "String", v.Version}} {
		if p.value != "" {
			out = append(out, param(p.name, p.typ, p.value))
		}
	}
	if v.Inactive {
		out = append(out, param("inactive", "Boolean", true))
	}
	return answer(out...)
}

func (d desk) validateInSystem(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	n, err := instance(ctx, c)
	if err != nil {
		return nil, err
	}
	if p := c.Parameters.First("codeSystem"); p != nil {
		n = p.Resource
	}
	list, err := codings(c)
	if err != nil {
		return nil, err
	}
	o := terminology.Judging{Abstract: c.Parameters.Text("abstract") == "true", DisplayLanguage: c.Parameters.Text("displayLanguage")}
	var best terminology.Verdict
	err = d.with(ctx, c, func(sh *terminology.Shelf) error {
		url := pick(c.Parameters.Text("url"), n.Get("url").Text())
		if n != nil {
			own, err := terminology.FromResource(n)
			if err != nil {
				return err
			}
			if own.Len() > 0 {
				held := sh.CodeSystem
				sh.CodeSystem = func(u, v string) (*terminology.CodeSystem, error) {
					if u == own.URL && (v == "" || v == own.Version) {
						return own, nil
					}
					return held(u, v)
				}
			}
		}
		for i, x := range list {
			if x.System == "" {
				x.System = url
			}
			if x.System == "" {
				return fhir.Problem("required", "Which code system is meant is not said.", "Send url or system.")
			}
			if url != "" && x.System != url {
				best = terminology.Verdict{System: x.System, Code: x.Code, Message: fmt.Sprintf("The code is of %s, not of %s.", x.System, url)}
				continue
			}
			v, err := sh.ValidateIn(x, o)
			if err != nil {
				return err
			}
			if i == 0 || v.OK {
				best = v
			}
			if v.OK {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return verdict(best), nil
}

// set gives the value set that a call means: in the call, at the address, or by url.
func (d desk) set(c *fhirapi.Call, sh *terminology.Shelf, at *fhirjson.Node) (*terminology.Set, error) {
	if p := c.Parameters.First("valueSet"); p != nil {
		at = p.Resource
	}
	if at != nil {
		v, err := terminology.ValueSetOf(at)
		if err != nil {
			return nil, err
		}
		return sh.Evaluate(v)
	}
	url := c.Parameters.Text("url")
	if url == "" {
		return nil, fhir.Problem("required", "Which value set is meant is not said.", "Send url, or call the operation at a ValueSet.").At("Parameters.parameter")
	}
	return codes.Evaluate(sh, url, c.Parameters.Text("valueSetVersion"))
}

func (d desk) validateInSet(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	at, err := instance(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := codings(c)
	if err != nil {
		return nil, err
	}
	var v terminology.Verdict
	err = d.with(ctx, c, func(sh *terminology.Shelf) error {
		set, err := d.set(c, sh, at)
		if err != nil {
			return err
		}
		v, err = sh.ValidateInSet(set, list, terminology.Judging{Abstract: c.Parameters.Text("abstract") == "true", DisplayLanguage: c.Parameters.Text("displayLanguage")})
		return err
	})
	if err != nil {
		return nil, err
	}
	return verdict(v), nil
}

func (d desk) subsumes(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	at, err := instance(ctx, c)
	if err != nil {
		return nil, err
	}
	ps := c.Parameters
	system, version, a, b := pick(ps.Text("system"), at.Get("url").Text()), ps.Text("version"), ps.Text("codeA"), ps.Text("codeB")
	for name, into := range map[string]*string{"codingA": &a, "codingB": &b} {
		if p := ps.First(name); p != nil {
			x := codingOf(p.Value)
			if system != "" && x.System != "" && x.System != system {
				return nil, fhir.Problem("invalid", "The two codes are of different code systems.", "Compare codes of one system.")
			}
			*into, system = x.Code, pick(x.System, system)
			version = pick(version, x.Version)
		}
	}
	if system == "" || a == "" || b == "" {
		return nil, fhir.Problem("required", "Two codes and their system are needed.", "Send codeA, codeB and system, or codingA and codingB.").At("Parameters.parameter")
	}
	var outcome string
	err = d.with(ctx, c, func(sh *terminology.Shelf) error {
		outcome, err = sh.Subsumption(system, version, a, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer(param("outcome", "Code", outcome)), nil
}

// whole reads a parameter that is a number, at least 0; without it the default.
func whole(c *fhirapi.Call, name string, without int) (int, error) {
	s := c.Parameters.Text(name)
	if s == "" {
		return without, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fhir.Problem("value", fmt.Sprintf("The parameter %s is not a number from 0.", name), "Write it in digits.").At("Parameters.parameter")
	}
	return n, nil
}

func (d desk) expand(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	at, err := instance(ctx, c)
	if err != nil {
		return nil, err
	}
	ps := c.Parameters
	o := terminology.Expansion{Filter: ps.Text("filter"), ActiveOnly: ps.Text("activeOnly") == "true", IncludeDesignations: ps.Text("includeDesignations") == "true" || len(ps.All("designation")) > 0,
		DisplayLanguage: ps.Text("displayLanguage"), ExcludeNested: ps.Text("excludeNested") != "false", ExcludeNotForUI: ps.Text("excludeNotForUI") == "true"}
	if o.Offset, err = whole(c, "offset", 0); err != nil {
		return nil, err
	}
	if o.Count, err = whole(c, "count", -1); err != nil {
		return nil, err
	}
	for _, p := range ps.All("designation") {
		o.Designations = append(o.Designations, p.Text())
	}
	for _, p := range ps.All("exclude-system") {
		o.ExcludeSystems = append(o.ExcludeSystems, p.Text())
	}
	for _, name := range []string{"filter", "offset", "count", "activeOnly", "includeDesignations", "displayLanguage", "excludeNested", "excludeNotForUI"} {
		if v := ps.Text(name); v != "" {
			typ := map[string]string{"filter": "String", "offset": "Integer", "count": "Integer", "displayLanguage": "Code"}[name]
			o.Said = append(o.Said, terminology.Param{Name: name, Type: pick(typ, "Boolean"), Value: v})
		}
	}
	now := c.Now().UTC().Format(time.RFC3339)
	var expansion fhirjson.Node
	var head *fhirjson.Node
	err = d.with(ctx, c, func(sh *terminology.Shelf) error {
		set, err := d.set(c, sh, at)
		if err != nil {
			return err
		}
		for _, p := range ps.All("check-system-version") {
			url, v, _ := strings.Cut(p.Text(), "|")
			if s, err := sh.CodeSystem(url, ""); err == nil && s != nil && s.Version != v {
				return fhir.Problem("business-rule", fmt.Sprintf("%s is here in version %s, not %s.", url, s.Version, v), "Leave check-system-version out, or import that version.")
			}
		}
		h := fhir.Object("resourceType", "ValueSet", "url", set.URL, "version", set.Version, "name", set.Name, "status", "active")
		head = &h
		expansion, err = set.Expand(o, "urn:uuid:"+c.Request(), now)
		return err
	})
	if err != nil {
		return nil, err
	}
	if at != nil {
		full := at.Clone()
		full.Delete("expansion")
		full.Delete("text")
		if ps.Text("includeDefinition") != "true" {
			full.Delete("compose")
		}
		head = &full
	}
	head.Set("expansion", expansion)
	return &fhirapi.Answer{Resource: head.AppendJSON(nil)}, nil
}
