package profile

import (
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const structureBase = "http://hl7.org/fhir/StructureDefinition/"

// Read takes the constraints out of a StructureDefinition. It prefers the differential, which says what the
// profile itself adds; a definition that has only a snapshot is read as Whole.
func Read(n *fhirjson.Node) (*Definition, error) {
	if n.Get("resourceType").Text() != "StructureDefinition" {
		return nil, fhir.Problem("structure", "This is not a StructureDefinition.", "Give a StructureDefinition of FHIR R4.")
	}
	d := &Definition{URL: n.Get("url").Text(), Version: n.Get("version").Text(), Name: n.Get("name").Text(), Type: n.Get("type").Text(),
		Base: n.Get("baseDefinition").Text(), Specialization: n.Get("derivation").Text() == "specialization", Abstract: n.Get("abstract").Text() == "true"}
	if d.URL == "" || d.Type == "" {
		return nil, fhir.Problem("required", "The StructureDefinition lacks its url or type.", "Add both.").At("StructureDefinition")
	}
	d.Type = strings.TrimPrefix(d.Type, structureBase)
	for _, c := range n.Get("context").Items() {
		d.Contexts = append(d.Contexts, Context{c.Get("type").Text(), c.Get("expression").Text()})
	}
	elements := n.At("differential", "element").Items()
	if len(elements) == 0 {
		elements, d.Whole = n.At("snapshot", "element").Items(), true
	}
	ids := identifier{current: map[string]string{}}
	for i := range elements {
		e := readElement(&elements[i])
		for j, b := range e.Bindings {
			if id, ok := strings.CutPrefix(b.ValueSet, "#"); ok {
				e.Bindings[j].Local = readLocal(n, id)
			}
		}
		e.ID = ids.of(&elements[i])
		d.Elements = append(d.Elements, e)
	}
	return d, nil
}

// IsR4 reports whether an address is that of a type which R4 itself defines.
func IsR4(canonical string) bool {
	name, ok := strings.CutPrefix(bare(canonical), structureBase)
	return ok && fhir.Definition(name) != nil
}

// ReadWhole is Read for a definition whose base is not known: the snapshot is preferred.
func ReadWhole(n *fhirjson.Node) (*Definition, error) {
	whole := n.At("snapshot", "element").Items()
	if len(whole) == 0 {
		return Read(n)
	}
	c := n.Clone()
	c.Delete("differential")
	return Read(&c)
}

// identifier works out element ids from paths and slice names, for differentials that do not give them.
type identifier struct {
	current map[string]string // slice that a path is in
}

// of returns the element's id.
func (x *identifier) of(n *fhirjson.Node) string {
	path, slice := n.Get("path").Text(), n.Get("sliceName").Text()
	id := n.Get("id").Text()
	if fits(id, path, slice) {
		x.current[path] = slice
		return id
	}
	for p := range x.current {
		if p == path || strings.HasPrefix(p, path+".") {
			delete(x.current, p)
		}
	}
	if slice != "" {
		x.current[path] = slice
	}
	var b strings.Builder
	end := 0
	for end < len(path) {
		next := strings.IndexByte(path[end:], '.')
		start := end
		if next < 0 {
			end = len(path)
		} else {
			end += next
		}
		b.WriteString(path[start:end])
		if s := x.current[path[:end]]; s != "" {
			b.WriteString(":" + s)
		}
		if end < len(path) {
			b.WriteByte('.')
			end++
		}
	}
	return b.String()
}

// fits reports whether an id tells the same steps as the path and ends in the slice.
func fits(id, path, slice string) bool {
	if id == "" {
		return false
	}
	steps := splitID(id)
	names := strings.Split(path, ".")
	if len(steps) != len(names) {
		return false
	}
	for i, s := range steps {
		if s.name != names[i] {
			return false
		}
	}
	return steps[len(steps)-1].slice == slice
}

// step is one segment of an element id.
type step struct{ name, slice string }

// splitID splits Observation.component:systolic.value[x]. Slice names may hold dots only inside a URL, which guides
// avoid.
func splitID(id string) []step {
	var steps []step
	for s := range strings.SplitSeq(id, ".") {
		name, slice, _ := strings.Cut(s, ":")
		steps = append(steps, step{name, slice})
	}
	return steps
}

func readElement(n *fhirjson.Node) Element {
	e := Element{Min: Unset, Max: Unset, Must: n.Get("mustSupport").Text() == "true", Modifier: n.Get("isModifier").Text() == "true",
		Content: strings.TrimPrefix(n.Get("contentReference").Text(), "#"), Narrative: readNarrative(n), Bounds: readBounds(n)}
	if m := n.Get("min"); m != nil {
		e.Min, _ = strconv.Atoi(m.Text())
	}
	switch m := n.Get("max").Text(); m {
	case "":
	case "*":
		e.Max = Many
	default:
		e.Max, _ = strconv.Atoi(m)
	}
	e.MaxLength, _ = strconv.Atoi(n.Get("maxLength").Text())
	for _, t := range n.Get("type").Items() {
		e.Types = append(e.Types, readType(&t))
	}
	members := n.Members()
	for i := range members {
		name, v := members[i].Name, &members[i].Value
		for prefix, into := range map[string]**Value{"fixed": &e.Fixed, "pattern": &e.Pattern, "minValue": &e.MinValue, "maxValue": &e.MaxValue} {
			if typ, ok := strings.CutPrefix(name, prefix); ok && typ != "" {
				*into = &Value{typeOfSuffix(typ), v}
			}
		}
	}
	e.Bindings = readBindings(n.Get("binding"))
	for _, c := range n.Get("constraint").Items() {
		if x := c.Get("expression").Text(); x != "" {
			e.Rules = append(e.Rules, Rule{c.Get("key").Text(), c.Get("severity").Text() == "warning", c.Get("human").Text(), x})
		}
	}
	if s := n.Get("slicing"); s != nil {
		e.Slicing = &Slicing{Ordered: s.Get("ordered").Text() == "true", Rules: s.Get("rules").Text()}
		for _, d := range s.Get("discriminator").Items() {
			e.Slicing.By = append(e.Slicing.By, Discriminator{d.Get("type").Text(), d.Get("path").Text()})
		}
	}
	return e
}

func readType(n *fhirjson.Node) Type {
	t := Type{Code: n.Get("code").Text(), Versioning: n.Get("versioning").Text()}
	if x, ok := strings.CutPrefix(t.Code, "http://hl7.org/fhirpath/System."); ok {
		t.Code = strings.ToLower(x[:1]) + x[1:]
		for _, x := range n.Get("extension").Items() {
			if strings.HasSuffix(x.Get("url").Text(), "structuredefinition-fhir-type") {
				t.Code = x.Get("valueUrl").Text()
			}
		}
	}
	t.Profiles = texts(n.Get("profile"))
	for i, x := range n.Get("_profile").Items() {
		// One element of the profile counts, not the whole of it.
		for _, e := range x.Get("extension").Items() {
			if strings.HasSuffix(e.Get("url").Text(), "/elementdefinition-profile-element") && i < len(t.Profiles) {
				t.Profiles[i] += "#" + e.Get("valueString").Text()
			}
		}
	}
	t.Targets = texts(n.Get("targetProfile"))
	t.Aggregation = texts(n.Get("aggregation"))
	return t
}

// readBindings returns the binding, its maximum value set and additional required bindings (the extensions
// elementdefinition-maxValueSet and additional-binding).
func readBindings(n *fhirjson.Node) []Binding {
	if n == nil {
		return nil
	}
	var out []Binding
	if vs := n.Get("valueSet").Text(); vs != "" {
		out = append(out, Binding{Strength: n.Get("strength").Text(), ValueSet: vs})
	}
	for _, x := range n.Get("extension").Items() {
		switch url := x.Get("url").Text(); {
		case strings.HasSuffix(url, "/elementdefinition-maxValueSet"):
			vs := x.Get("valueCanonical").Text()
			if vs == "" {
				vs = x.Get("valueUri").Text()
			}
			out = append(out, Binding{Strength: "required", ValueSet: vs})
		case strings.HasSuffix(url, "/additional-binding"), strings.HasSuffix(url, ".binding.additional"):
			out = append(out, additionalBinding(&x)...)
		}
	}
	return out
}

// readLocal reads the value set that a definition contains under an id. nil if it is not there, or says its codes by
// anything but a list.
func readLocal(n *fhirjson.Node, id string) Local {
	for _, c := range n.Get("contained").Items() {
		if c.Get("resourceType").Text() != "ValueSet" || c.Get("id").Text() != id {
			continue
		}
		out := Local{}
		if x := c.Get("expansion"); x != nil {
			out.expanded(x.Get("contains"))
			return out
		}
		if c.At("compose", "exclude") != nil {
			return nil
		}
		for _, in := range c.At("compose", "include").Items() {
			concepts := in.Get("concept")
			if concepts == nil || in.Get("valueSet") != nil {
				return nil
			}
			for _, x := range concepts.Items() {
				out.take(in.Get("system").Text(), &x)
			}
		}
		return out
	}
	return nil
}

func (l Local) expanded(contains *fhirjson.Node) {
	for _, x := range contains.Items() {
		if x.Get("abstract").Text() != "true" {
			l.take(x.Get("system").Text(), &x)
		}
		l.expanded(x.Get("contains"))
	}
}

// take adds a concept with its name and designations.
func (l Local) take(system string, x *fhirjson.Node) {
	key := system + "|" + x.Get("code").Text()
	names := l[key]
	if d := x.Get("display").Text(); d != "" {
		names = append(names, d)
	}
	for _, d := range x.Get("designation").Items() {
		names = append(names, d.Get("value").Text())
	}
	l[key] = names
}

// has reports whether a code is in the set; an empty system stands for any.
func (l Local) has(system, code string) bool {
	if system != "" {
		_, ok := l[system+"|"+code]
		return ok
	}
	for key := range l {
		if strings.HasSuffix(key, "|"+code) {
			return true
		}
	}
	return false
}

func additionalBinding(n *fhirjson.Node) []Binding {
	purpose, vs, limited := "", "", false
	for _, x := range n.Get("extension").Items() {
		switch x.Get("url").Text() {
		case "purpose":
			purpose = x.Get("valueCode").Text()
		case "valueSet":
			vs = x.Get("valueCanonical").Text()
		case "usage":
			limited = true
		}
	}
	switch {
	case limited || vs == "":
		return nil
	case purpose == "required" || purpose == "maximum":
		return []Binding{{Strength: "required", ValueSet: vs}}
	case purpose == "extensible" || purpose == "preferred":
		return []Binding{{Strength: purpose, ValueSet: vs}}
	}
	return nil
}

func texts(n *fhirjson.Node) []string {
	var out []string
	for _, x := range n.Items() {
		if x.Text() != "" {
			out = append(out, x.Text())
		}
	}
	return out
}

// typeOfSuffix turns the end of valueQuantity or fixedUri into the type's name.
func typeOfSuffix(s string) string {
	if fhir.Definition(s) != nil {
		return s
	}
	lower := strings.ToLower(s[:1]) + s[1:]
	if fhir.Definition(lower) != nil {
		return lower
	}
	return s
}
