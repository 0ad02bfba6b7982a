package profile

import (
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

const (
	measureHead = `{"resourceType":"Measure","url":"test:m","status":"active",`
	group       = `"group":[{"population":[{"code":{"coding":[{"system":"s:p","code":"initial"}]},"criteria":{"language":"text/x","expression":"a"}},{"code":{"coding":[{"system":"s:p","code":"numerator"}]},"criteria":{"language":"text/x","expression":"b"}}],` +
		`"stratifier":[{"code":{"text":"by age"},"criteria":{"language":"text/x","expression":"c"}}]}]}`
	proportion = measureHead + `"scoring":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/measure-scoring","code":"proportion"}]},` + group
	cohort     = measureHead + `"scoring":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/measure-scoring","code":"cohort"}]},` + group

	reportHead = `{"resourceType":"MeasureReport","status":"complete","type":"summary","measure":"test:m","period":{"start":"2024","end":"2024"},`
	initial    = `{"code":{"coding":[{"system":"s:p","code":"initial"}]},"count":9}`
	numerator  = `{"code":{"coding":[{"system":"s:p","code":"numerator"}]},"count":3}`
	scored     = `"measureScore":{"value":0.33},`
)

// TestReportsAgainstTheirMeasure: R4 MeasureReport.group repeats the groups of the Measure.
func TestReportsAgainstTheirMeasure(t *testing.T) {
	both := `"population":[` + initial + `,` + numerator + `]`
	for name, c := range map[string]struct{ measure, report, want string }{
		"all is well":            {proportion, reportHead + `"group":[{` + scored + both + `}]}`, ""},
		"no score":               {proportion, reportHead + `"group":[{` + both + `}]}`, "scores by proportion has a measureScore"},
		"pending has no score":   {proportion, strings.Replace(reportHead, "complete", "pending", 1) + `"group":[{` + both + `}]}`, ""},
		"a score in a cohort":    {cohort, reportHead + `"group":[{` + scored + both + `}]}`, "scores by cohort has no score"},
		"a cohort without":       {cohort, reportHead + `"group":[{` + both + `}]}`, ""},
		"unknown population":     {cohort, reportHead + `"group":[{"population":[` + initial + `,` + numerator + `,{"code":{"coding":[{"system":"s:p","code":"other"}]},"count":1}]}]}`, "group[0].population[2]: The measure has nothing with this code"},
		"other system":           {cohort, reportHead + `"group":[{"population":[` + initial + `,{"code":{"coding":[{"system":"s:q","code":"numerator"}]},"count":1}]}]}`, "population[1]"},
		"no code":                {cohort, reportHead + `"group":[{"population":[` + initial + `,` + numerator + `,{"count":1}]}]}`, "It has no code"},
		"twice":                  {cohort, reportHead + `"group":[{"population":[` + initial + `,` + numerator + `,` + initial + `]}]}`, "reported twice"},
		"one is missing":         {cohort, reportHead + `"group":[{"population":[` + initial + `]}]}`, "The measure has a population that this complete report lacks"},
		"the group is missing":   {cohort, reportHead + `"date":"2024"}`, "The measure has a group that this complete report lacks"},
		"stratified":             {cohort, reportHead + `"group":[{` + both + `,"stratifier":[{"code":[{"text":"by age"}]}]}]}`, ""},
		"unknown stratifier":     {cohort, reportHead + `"group":[{` + both + `,"stratifier":[{"code":[{"text":"by weight"}]}]}]}`, "no stratifier with this code"},
		"subjects in a summary":  {cohort, reportHead + `"group":[{"population":[` + numerator + `,{"code":{"coding":[{"system":"s:p","code":"initial"}]},"count":1,"subjectResults":{"reference":"List/1"}}]}]}`, "Only a report that lists subjects"},
		"a list of subjects":     {cohort, strings.Replace(reportHead, "summary", "subject-list", 1) + `"group":[{` + both + `}]}`, "has them for every population"},
		"data only":              {cohort, strings.Replace(reportHead, "summary", "data-collection", 1) + `"group":[{` + both + `}]}`, "has no groups"},
		"an unknown measure":     {`{"resourceType":"Library","status":"active"}`, reportHead + `"group":[{` + both + `}]}`, ""},
		"no group code, several": {strings.Replace(cohort, `"group":[`, `"group":[{"code":{"text":"x"}},`, 1), reportHead + `"group":[{` + both + `}]}`, "group[0]: It has no code"},
	} {
		measure := parse(t, c.measure)
		v := &Validator{Find: func(string) *fhirjson.Node { return measure }}
		faults(t, name, v, Options{}, c.report, c.want)
	}
}

// faults checks that the errors about a document hold want, or that there are none.
func faults(t *testing.T, name string, v *Validator, o Options, doc, want string) {
	t.Helper()
	var lines []string
	for _, i := range v.Validate(parse(t, doc), o) {
		if i.Severity == "error" {
			lines = append(lines, i.Path+": "+i.Text)
		}
	}
	got := strings.Join(lines, "\n")
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s: %q does not say %q", name, got, want)
	}
}

// TestControlOfNarrative: what a profile asks of a narrative's sources and languages.
func TestControlOfNarrative(t *testing.T) {
	asks := func(name, code string) string {
		return `{"path":"Patient.text","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/` + name + `","valueCode":"` + code + `"}]}`
	}
	in := func(language, body string) string {
		return patient + `"language":"` + language + `","text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'>` + body + `</div>"}}`
	}
	de, en := `<div lang='de' xml:lang='de'>a</div>`, `<div lang='en' xml:lang='en'>a</div>`
	for name, c := range map[string]struct{ asks, doc, want string }{
		"sources":              {asks("narrative-source-control", "error"), in("en", `<p class='generated'>a <b>b</b></p><h1 class='x original'>c</h1>`), ""},
		"no source":            {asks("narrative-source-control", "error"), in("en", `<p class='generated'>a</p><p>b</p>`), "does not say by its class"},
		"text after a source":  {asks("narrative-source-control", "error"), in("en", `<p class='generated'>a</p> b`), "does not say by its class"},
		"not asked for":        {asks("other", "error"), in("en", `b`), ""},
		"no sections":          {asks("narrative-language-control", "_no"), in("en", `a`), ""},
		"sections against it":  {asks("narrative-language-control", "_no"), in("en", de), "sections by language"},
		"some sections":        {asks("narrative-language-control", "_yes"), in("en", de), ""},
		"sections are missing": {asks("narrative-language-control", "_yes"), in("en", `<p lang='de'>a</p>`), "has no sections by language"},
		"the resource's":       {asks("narrative-language-control", "_resource"), in("en", de+en), ""},
		"not the resource's":   {asks("narrative-language-control", "_resource"), in("en", de), "no section in en"},
		"one language":         {asks("narrative-language-control", "de"), in("en", en+de), ""},
		"not that language":    {asks("narrative-language-control", "de"), in("en", en), "no section in de"},
	} {
		faults(t, name, &Validator{Profiles: setOf(t, "p", "Patient", c.asks)}, Options{Profiles: []string{"test:p"}}, c.doc, c.want)
	}
}

// TestLinksFromNarrative: extension textLink.
func TestLinksFromNarrative(t *testing.T) {
	doc := func(htmlid, data, selector string) string {
		x := `{"url":"htmlid","valueString":"` + htmlid + `"},{"url":"data","valueUri":"` + data + `"}`
		if selector != "" {
			x += `,{"url":"selector","valueString":"` + selector + `"}`
		}
		twice := ""
		if data == "#c" {
			twice = `{"id":"c","name":{"family":"x"}},{"name":{"id":"c","family":"y"}},`
		}
		return patient + `"id":"p","contact":[` + twice + `{"name":{"id":"d","family":"z"}}],"text":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/textLink","extension":[` + x + `]}],"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'><p id='here'>a</p></div>"}}`
	}
	for name, c := range map[string]struct{ doc, want string }{
		"good":             {doc("here", "#d", ""), ""},
		"no such place":    {doc("there", "#d", ""), "names an id that the narrative does not have"},
		"no such element":  {doc("here", "#e", ""), "has no element with the id"},
		"several elements": {doc("here", "#c", ""), "several elements have it"},
		"selector":         {doc("here", "#d", "Patient.contact.name"), ""},
		"selector astray":  {doc("here", "#d", "Practitioner.name"), "leads nowhere"},
		"broken selector":  {doc("here", "#d", "name.("), "leads nowhere"},
	} {
		faults(t, name, &Validator{Profiles: NewSet(Builtin())}, Options{Strict: true}, c.doc, c.want)
	}
}

// TestDesignOfProfiles: what a StructureDefinition says can hold at all.
func TestDesignOfProfiles(t *testing.T) {
	def := func(base, elements string) string {
		return `{"resourceType":"StructureDefinition","url":"test:x","name":"X","status":"draft","kind":"resource","abstract":false,"type":"Observation","baseDefinition":"` + base + `","derivation":"constraint","differential":{"element":[` + elements + `]}}`
	}
	obs := structureBase + "Observation"
	sliced := func(kind, path string) string {
		return `{"id":"Observation.category","path":"Observation.category","slicing":{"discriminator":[{"type":"` + kind + `","path":"` + path + `"}],"rules":"open"}}`
	}
	for name, c := range map[string]struct{ doc, want string }{
		"good":                {def(obs, `{"id":"Observation.subject","path":"Observation.subject","min":1}`), ""},
		"of itself":           {def("test:x", `{"id":"Observation","path":"Observation"}`), "derives from itself"},
		"in a circle":         {def("test:y", `{"id":"Observation","path":"Observation"}`), "derives from itself"},
		"of another type":     {def(structureBase+"Patient", `{"id":"Observation","path":"Observation"}`), "not that of the definition it derives from"},
		"no such path":        {def(obs, `{"id":"Observation.shoe","path":"Observation.shoe"}`), "leads to no element"},
		"below a text":        {def(obs, `{"id":"Observation.issued.extension","path":"Observation.issued.extension"}`), ""},
		"below a choice":      {def(obs, `{"id":"Observation.value[x].coding","path":"Observation.value[x].coding"}`), ""},
		"repeated content":    {def(obs, `{"id":"Observation.component.referenceRange.low","path":"Observation.component.referenceRange.low"}`), ""},
		"another path":        {def(obs, `{"id":"Patient.name","path":"Patient.name"}`), "does not begin with the type"},
		"two ids":             {def(obs, `{"id":"Observation.code","path":"Observation.code"},{"id":"Observation.code","path":"Observation.code"}`), "Two elements have this id"},
		"by pattern":          {def(obs, sliced("pattern", "$this")), ""},
		"by nested value":     {def(obs, sliced("value", "coding.system")), ""},
		"by extension":        {def(obs, sliced("value", "extension('http://x').value")), ""},
		"of an inner part":    {def(obs, `{"id":"Observation.component","path":"Observation.component","type":[{"code":"BackboneElement"}],"slicing":{"discriminator":[{"type":"value","path":"code.coding.code"}],"rules":"open"}}`), ""},
		"by nothing":          {def(obs, sliced("value", "system")), "leads to no element"},
		"by nothing, nested":  {def(obs, sliced("value", "coding.family")), "leads to no element"},
		"through a reference": {def(obs, `{"id":"Observation.performer","path":"Observation.performer","slicing":{"discriminator":[{"type":"type","path":"resolve()"}],"rules":"open"}}`), ""},
		"by a choice's type":  {def(obs, `{"id":"Observation.value[x]","path":"Observation.value[x]","slicing":{"discriminator":[{"type":"type","path":"$this"}],"rules":"open"}}`), ""},
		"fixed type":          {def(obs, `{"id":"Observation.status","path":"Observation.status","fixedCode":"final"}`), ""},
		"wrong fixed type":    {def(obs, `{"id":"Observation.status","path":"Observation.status","fixedBoolean":true}`), "a type that the element does not have"},
		"pattern of a choice": {def(obs, `{"id":"Observation.value[x]","path":"Observation.value[x]","patternQuantity":{"unit":"x"}}`), ""},
		"wrong pattern":       {def(obs, `{"id":"Observation.code","path":"Observation.code","patternCoding":{"code":"x"}}`), "a type that the element does not have"},
		"expression":          {def(obs, `{"id":"Observation","path":"Observation","constraint":[{"key":"x-1","severity":"error","human":"x","expression":"status.exists("}]}`), "not FHIRPath"},
	} {
		y, err := Read(parse(t, strings.Replace(def("test:x", `{"id":"Observation","path":"Observation"}`), `"url":"test:x"`, `"url":"test:y"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		s := NewSet(Builtin())
		s.Add(y)
		faults(t, name, &Validator{Profiles: s}, Options{Strict: true}, c.doc, c.want)
	}
}

// TestNamesOfCodes: a display is one of the names that the code system, or the value set of a profile, gives.
func TestNamesOfCodes(t *testing.T) {
	def := parse(t, `{"resourceType":"StructureDefinition","url":"test:p","type":"Patient","baseDefinition":"`+structureBase+`Patient","derivation":"constraint",
		"contained":[{"resourceType":"ValueSet","id":"vs","compose":{"include":[{"system":"s:s","concept":[{"code":"a","display":"Another name"},{"code":"b","designation":[{"value":"Bee"}]}]}]}}],
		"differential":{"element":[{"path":"Patient.maritalStatus","binding":{"strength":"required","valueSet":"#vs"}}]}}`)
	d, err := Read(def)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSet(Builtin())
	s.Add(d)
	v := &Validator{Profiles: s, Displays: func(system, code string) []string {
		return map[string][]string{"s:s|a": {"Name of A"}}[system+"|"+code]
	}}
	doc := func(code, display string) string {
		return patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"` + code + `","display":"` + display + `"}]}}`
	}
	by := Options{Strict: true, Profiles: []string{"test:p"}}
	for name, c := range map[string]struct {
		o         Options
		doc, want string
	}{
		"its name":               {Options{Strict: true}, doc("a", "Name of A"), ""},
		"case and spacing":       {Options{Strict: true}, doc("a", "name  of a"), ""},
		"another":                {Options{Strict: true}, doc("a", "Name of B"), "coding[0].display: This is not what the code system calls the code"},
		"another, not strict":    {Options{}, doc("a", "Name of B"), ""},
		"not known":              {Options{Strict: true}, doc("c", "Anything"), ""},
		"the value set's":        {by, doc("a", "Another name"), ""},
		"neither":                {by, doc("a", "Name of B"), "display"},
		"not in the value set":   {by, doc("c", "x"), "not in the value set"},
		"a designation in there": {by, doc("b", "Bee"), ""},
	} {
		faults(t, name, v, c.o, c.doc, c.want)
	}
}

// TestConditionsInFHIRPath: SDC's enableWhenExpression.
func TestConditionsInFHIRPath(t *testing.T) {
	form := func(language, expression string) *fhirjson.Node {
		return parse(t, `{"resourceType":"Questionnaire","url":"test:q","status":"active","item":[{"linkId":"1","type":"boolean"},
			{"linkId":"2","type":"string","required":true,"extension":[{"url":"http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression","valueExpression":{"language":"`+language+`","expression":"`+expression+`"}}]}]}`)
	}
	answers := func(first, second string) string {
		items := `{"linkId":"1","answer":[{"valueBoolean":` + first + `}]}`
		if second != "" {
			items += `,{"linkId":"2","answer":[{"valueString":"` + second + `"}]}`
		}
		return `{"resourceType":"QuestionnaireResponse","questionnaire":"test:q","status":"completed","item":[` + items + `]}`
	}
	when := `%resource.item.where(linkId = '1').answer.value`
	for name, c := range map[string]struct{ language, expression, doc, want string }{
		"enabled":          {"text/fhirpath", when, answers("true", "x"), ""},
		"enabled, missing": {"text/fhirpath", when, answers("true", ""), "required item"},
		"disabled":         {"text/fhirpath", when, answers("false", ""), ""},
		"disabled, there":  {"text/fhirpath", when, answers("false", "x"), "condition (enableWhen) is not met"},
		"other language":   {"text/cql", when, answers("false", "x"), ""},
		"cannot be read":   {"text/fhirpath", "item.(", answers("false", "x"), ""},
		"unknown variable": {"text/fhirpath", "%mine", answers("false", "x"), ""},
	} {
		q := form(c.language, c.expression)
		faults(t, name, &Validator{Find: func(string) *fhirjson.Node { return q }}, Options{}, c.doc, c.want)
	}
}

// TestBehaviourOfConditions: que-12 as its words say it.
func TestBehaviourOfConditions(t *testing.T) {
	when := `{"question":"1","operator":"exists","answerBoolean":true}`
	for n, want := range map[string]string{when: "", when + "," + when: "que-12"} {
		faults(t, n, &Validator{}, Options{}, `{"resourceType":"Questionnaire","status":"active","item":[{"linkId":"1","type":"string"},{"linkId":"2","type":"string","enableWhen":[`+n+`]}]}`, want)
	}
}

// TestEntriesOfBundles: profiles asked of single entries.
func TestEntriesOfBundles(t *testing.T) {
	s := setOf(t, "p", "Patient", `{"path":"Patient.name","min":1}`)
	doc := `{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:11111111-1111-4111-8111-111111111111","resource":{"resourceType":"Patient","name":[{"text":"x"}]}},
		{"fullUrl":"urn:uuid:11111111-1111-4111-8111-111111111112","resource":{"resourceType":"Patient","active":true}}]}`
	for index, want := range []string{"", `Bundle.entry[1].resource.name: The element "name" is required`, ""} {
		faults(t, "", &Validator{Profiles: s}, Options{Entries: []Entry{{"Patient", index, "test:p"}}}, doc, want)
	}
	faults(t, "unknown", &Validator{Profiles: s}, Options{Entries: []Entry{{"Patient", 0, "test:none"}}}, doc, "is not known here")
}

// TestFunctionsOfInvariants: invariants that ask about value sets and profiles.
func TestFunctionsOfInvariants(t *testing.T) {
	s := setOf(t, "n", "HumanName", `{"path":"HumanName.family","min":1}`,
		"p", "Patient", `{"path":"Patient","constraint":[{"key":"t-1","severity":"error","human":"x","expression":"maritalStatus.memberOf('test:vs')"},{"key":"t-2","severity":"error","human":"x","expression":"name.all(conformsTo('test:n'))"}]}`)
	for doc, want := range map[string]string{
		patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"good"}]},"name":[{"family":"x"}]}`: "",
		patient + `"maritalStatus":{"coding":[{"system":"s:s","code":"bad"}]}}`:                          "t-1",
		patient + `"name":[{"family":"x"},{"text":"x"}]}`:                                                "t-2",
	} {
		if got := judged(t, s, doc, Options{}); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", doc, got, want)
		}
	}
}

// TestDiscriminators: slices told apart in every way that R4 has (ElementDefinition.slicing.discriminator.type).
func TestDiscriminators(t *testing.T) {
	observation := func(more string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"contained":[{"resourceType":"Practitioner","id":"a"},{"resourceType":"Organization","id":"b","name":"x"}],"performer":[{"reference":"#a"},{"reference":"#b"}],` + more + `}`
	}
	component := func(items string) string { return observation(`"component":[` + items + `]`) }
	by := func(kind, path, inside string) string {
		return `{"id":"Observation.component","path":"Observation.component","slicing":{"discriminator":[{"type":"` + kind + `","path":"` + path + `"}],"rules":"open"}},
			{"id":"Observation.component:s","path":"Observation.component","sliceName":"s","min":1,"max":"1"},` + inside
	}
	code := `{"id":"Observation.component:s.code","path":"Observation.component.code","patternCodeableConcept":{"coding":[{"code":"1"}]}}`
	one, two := `{"code":{"coding":[{"code":"1"}]},"valueString":"x"}`, `{"code":{"coding":[{"code":"2"}]},"valueInteger":2}`
	performer := func(kind, typ string) string {
		return `{"id":"Observation.performer","path":"Observation.performer","slicing":{"discriminator":[{"type":"` + kind + `","path":"resolve()"}],"rules":"open"}},
			{"id":"Observation.performer:s","path":"Observation.performer","sliceName":"s","min":1,"max":"1","type":[{"code":"Reference","targetProfile":["` + structureBase + typ + `"]}]}`
	}
	for name, c := range map[string]struct{ differential, doc, want string }{
		"value":                {by("value", "code.coding.code", `{"id":"Observation.component:s.code.coding.code","path":"Observation.component.code.coding.code","fixedCode":"1"}`), component(one + "," + two), ""},
		"value, none":          {by("value", "code.coding.code", `{"id":"Observation.component:s.code.coding.code","path":"Observation.component.code.coding.code","fixedCode":"1"}`), component(two), `The slice "s"`},
		"pattern":              {by("pattern", "code", code), component(one + "," + two), ""},
		"pattern, none":        {by("pattern", "code", code), component(two), `The slice "s"`},
		"pattern, twice":       {by("pattern", "code", code), component(one + "," + one), "allowed once"},
		"type":                 {by("type", "value", `{"id":"Observation.component:s.value[x]","path":"Observation.component.value[x]","type":[{"code":"integer"}]}`), component(one + "," + two), ""},
		"type, none":           {by("type", "value", `{"id":"Observation.component:s.value[x]","path":"Observation.component.value[x]","type":[{"code":"Range"}]}`), component(one + "," + two), `The slice "s"`},
		"exists":               {by("exists", "interpretation", `{"id":"Observation.component:s.interpretation","path":"Observation.component.interpretation","max":"0"}`), component(one), ""},
		"exists, none":         {by("exists", "interpretation", `{"id":"Observation.component:s.interpretation","path":"Observation.component.interpretation","min":1}`), component(one), `The slice "s"`},
		"profile":              {by("profile", "code", `{"id":"Observation.component:s.code","path":"Observation.component.code","type":[{"code":"CodeableConcept","profile":["test:c"]}]}`), component(`{"code":{"text":"x"}},` + one), ""},
		"profile, none":        {by("profile", "code", `{"id":"Observation.component:s.code","path":"Observation.component.code","type":[{"code":"CodeableConcept","profile":["test:c"]}]}`), component(one), `The slice "s"`},
		"type of the target":   {performer("type", "Organization"), observation(`"valueInteger":1`), ""},
		"no target of it":      {performer("type", "CareTeam"), observation(`"valueInteger":1`), `The slice "s"`},
		"profile of target":    {performer("profile", "Organization"), observation(`"valueInteger":1`), ""},
		"several ways":         {strings.Replace(by("pattern", "code", code+`,{"id":"Observation.component:s.value[x]","path":"Observation.component.value[x]","type":[{"code":"string"}]}`), `{"type":"pattern","path":"code"}`, `{"type":"pattern","path":"code"},{"type":"type","path":"value"}`, 1), component(one + `,{"code":{"coding":[{"code":"1"}]},"valueInteger":2}`), ""},
		"content of a nesting": {`{"id":"Observation.component.referenceRange.text","path":"Observation.component.referenceRange.text","min":1}`, component(`{"code":{"text":"x"},"referenceRange":[{"age":{"low":{"value":1}}}]}`), "referenceRange"},
	} {
		s := setOf(t, "c", "CodeableConcept", `{"path":"CodeableConcept.text","min":1}`, "p", "Observation", c.differential)
		if got := judged(t, s, c.doc, Options{}); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q does not say %q", name, got, c.want)
		}
	}
}

// TestVitalSignsByTheirCode: R4 asks its profiles of an Observation with a code of a vital sign; strictly that is an error.
func TestVitalSignsByTheirCode(t *testing.T) {
	doc := func(code, unit, more string) string {
		return `{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"` + code + `"}]},"subject":{"reference":"Patient/x"}` + more + `,"valueQuantity":{"value":1,"unit":"x","system":"http://unitsofmeasure.org","code":"` + unit + `"}}`
	}
	on := `,"effectiveDateTime":"2024-03-05"`
	strict := Options{Strict: true}
	for name, c := range map[string]struct {
		o         Options
		doc, want string
	}{
		"good":            {strict, doc("8867-4", "/min", on), ""},
		"no date":         {strict, doc("8867-4", "/min", ""), "effective"},
		"other unit":      {strict, doc("8867-4", "kg", on), "code"},
		"other code":      {strict, doc("2345-7", "kg", ""), ""},
		"not strictly":    {Options{}, doc("8867-4", "/min", ""), ""},
		"unit of a part":  {strict, doc("2708-6", "%", on+`,"component":[{"code":{"coding":[{"system":"http://loinc.org","code":"3151-8"}]},"valueQuantity":{"value":2,"unit":"x","system":"http://unitsofmeasure.org","code":"L/min"}}]`), ""},
		"system is a set": {strict, `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://hl7.org/fhir/ValueSet/x","code":"a"}]}}`, "address of a value set"},
		"local system":    {strict, patient + `"identifier":[{"system":"mrn","value":"1"}]}`, "absolute address"},
	} {
		faults(t, name, &Validator{Profiles: NewSet(Builtin())}, c.o, c.doc, c.want)
	}
}

// TestQuestionsAskMore: what extensions of an item ask of its answers.
func TestQuestionsAskMore(t *testing.T) {
	ext := func(name, value string) string {
		return `"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/` + name + `",` + value + `}],`
	}
	contained := `"contained":[{"resourceType":"ValueSet","id":"v","compose":{"include":[{"system":"s:s","concept":[{"code":"a"}]}]}}],`
	for name, c := range map[string]struct{ head, item, answers, want string }{
		"few":             {"", ext("questionnaire-minOccurs", `"valueInteger":2`) + `"type":"string","repeats":true`, `{"valueString":"x"}`, "fewer answers"},
		"enough":          {"", ext("questionnaire-minOccurs", `"valueInteger":2`) + `"type":"string","repeats":true`, `{"valueString":"x"},{"valueString":"y"}`, ""},
		"many":            {"", ext("questionnaire-maxOccurs", `"valueInteger":1`) + `"type":"string","repeats":true`, `{"valueString":"x"},{"valueString":"y"}`, "more answers"},
		"form":            {"", ext("regex", `"valueString":"[0-9]+"`) + `"type":"string"`, `{"valueString":"12"}`, ""},
		"other form":      {"", ext("regex", `"valueString":"[0-9]+"`) + `"type":"string"`, `{"valueString":"12a"}`, "does not have the form"},
		"target":          {"", ext("questionnaire-referenceResource", `"valueCode":"Patient"`) + `"type":"reference"`, `{"valueReference":{"reference":"Patient/1"}}`, ""},
		"other target":    {"", ext("questionnaire-referenceResource", `"valueCode":"Patient"`) + `"type":"reference"`, `{"valueReference":{"reference":"Group/1"}}`, "does not take a reference to Group"},
		"profile":         {"", ext("questionnaire-referenceProfile", `"valueCanonical":"http://hl7.org/fhir/StructureDefinition/Patient"`) + `"type":"reference"`, `{"valueReference":{"reference":"Patient/1"}}`, ""},
		"other profile":   {"", ext("questionnaire-referenceProfile", `"valueCanonical":"http://hl7.org/fhir/StructureDefinition/Patient"`) + `"type":"reference"`, `{"valueReference":{"reference":"Group/1"}}`, "none of the profiles"},
		"contained list":  {contained, `"type":"choice","answerValueSet":"#v"`, `{"valueCoding":{"system":"s:s","code":"a"}}`, ""},
		"not in the list": {contained, `"type":"choice","answerValueSet":"#v"`, `{"valueCoding":{"system":"s:s","code":"b"}}`, "not in the value set of the question"},
	} {
		q := parse(t, `{"resourceType":"Questionnaire","url":"test:q",`+c.head+`"status":"active","item":[{"linkId":"1",`+c.item+`}]}`)
		faults(t, name, &Validator{Profiles: NewSet(Builtin()), Find: func(string) *fhirjson.Node { return q }}, Options{},
			`{"resourceType":"QuestionnaireResponse","questionnaire":"test:q","status":"completed","item":[{"linkId":"1","answer":[`+c.answers+`]}]}`, c.want)
	}
}

// TestDesignOfDefinitions: what questionnaires, value sets, code systems and search parameters say can be carried out.
func TestDesignOfDefinitions(t *testing.T) {
	questionnaire := func(question string) string {
		return `{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"boolean"}]},{"linkId":"3","type":"string","enableWhen":[{"question":"` + question + `","operator":"exists","answerBoolean":true}]},{"linkId":"4","type":"string"}]}`
	}
	valueSet := func(include string) string {
		return `{"resourceType":"ValueSet","status":"draft","compose":{"include":[` + include + `]}}`
	}
	sct := func(op, value string) string {
		return valueSet(`{"system":"http://snomed.info/sct","filter":[{"property":"concept","op":"` + op + `","value":"` + value + `"}]}`)
	}
	system := func(property string) string {
		return `{"resourceType":"CodeSystem","status":"draft","content":"complete","property":[{"code":"size","type":"integer"}],"concept":[{"code":"a","concept":[{"code":"b","property":[` + property + `]}]}]}`
	}
	search := func(base, expression string) string {
		return `{"resourceType":"SearchParameter","url":"test:s","name":"S","status":"draft","description":"x","code":"s","type":"token","base":["` + base + `"],"expression":"` + expression + `"}`
	}
	for name, c := range map[string]struct{ doc, want string }{
		"condition":            {questionnaire("2"), ""},
		"condition later":      {questionnaire("4"), ""},
		"condition on nothing": {questionnaire("5"), "item[1].enableWhen[0]: The condition looks at a question that the questionnaire does not have"},
		"condition on itself":  {questionnaire("3"), "that question itself"},
		"concept":              {sct("is-a", "404684003"), ""},
		"no concept":           {sct("is-a", "something"), "identifier of SNOMED CT"},
		"wrong check digit":    {sct("descendent-of", "404684004"), "identifier of SNOMED CT"},
		"exists":               {valueSet(`{"system":"s:s","filter":[{"property":"p","op":"exists","value":"true"}]}`), ""},
		"exists, what":         {valueSet(`{"system":"s:s","filter":[{"property":"p","op":"exists","value":"1"}]}`), "true or false"},
		"pattern":              {valueSet(`{"system":"s:s","filter":[{"property":"code","op":"regex","value":"a.*"}]}`), ""},
		"broken pattern":       {valueSet(`{"system":"s:s","filter":[{"property":"code","op":"regex","value":"a("}]}`), "no regular expression"},
		"relative system":      {valueSet(`{"system":"codes","concept":[{"code":"a"}]}`), "not an absolute address"},
		"a set as system":      {valueSet(`{"system":"http://hl7.org/fhir/ValueSet/x"}`), "address of a value set"},
		"property":             {system(`{"code":"size","valueInteger":1}`), ""},
		"undeclared property":  {system(`{"code":"colour","valueString":"x"}`), ""},
		"type of property":     {system(`{"code":"size","valueString":"1"}`), "concept[0].concept[0].property[0]: The value of the property is of type string, but declared as integer"},
		"supplement of what":   {`{"resourceType":"CodeSystem","status":"draft","content":"supplement"}`, "names the code system"},
		"expression":           {search("Patient", "Patient.gender"), ""},
		"broken expression":    {search("Patient", "Patient.gender("), "not FHIRPath"},
		"of another type":      {search("Patient", "Observation.status"), "leads to nothing on Patient"},
	} {
		faults(t, name, &Validator{Profiles: NewSet(Builtin())}, Options{Strict: true}, c.doc, c.want)
	}
}

// TestBounds: limits that profiles set by extensions, and spans of time from now.
func TestBounds(t *testing.T) {
	by := func(path, name, value string) string {
		return `{"path":"` + path + `","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/` + name + `",` + value + `}]}`
	}
	named := func(family string) string { return patient + `"name":[{"family":"` + family + `"}]}` }
	photo := func(more string) string { return patient + `"photo":[{` + more + `}]}` }
	born := func(date string) string { return patient + `"birthDate":"` + date + `"}` }
	span := func(name, typ string) string {
		return `{"path":"Patient.birthDate","` + name + typ + `":{"value":10,"system":"http://unitsofmeasure.org","code":"a"}}`
	}
	measured := func(value, code string) string {
		return `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":` + value + `,"system":"http://unitsofmeasure.org","code":"` + code + `"}}`
	}
	for name, c := range map[string]struct{ typ, differential, doc, want string }{
		"long enough":       {"Patient", by("Patient.name.family", "minLength", `"valueInteger":3`), named("Ärz"), ""},
		"too short":         {"Patient", by("Patient.name.family", "minLength", `"valueInteger":4`), named("Ärz"), "shorter than the 4"},
		"form":              {"Patient", by("Patient.name.family", "regex", `"valueString":"[A-Z]+"`), named("ABC"), ""},
		"other form":        {"Patient", by("Patient.name.family", "regex", `"valueString":"[A-Z]+"`), named("ABc"), "does not have the form"},
		"broken form":       {"Patient", by("Patient.name.family", "regex", `"valueString":"[A-Z"`), named("ABc"), ""},
		"places":            {"Observation", by("Observation.valueQuantity.value", "maxDecimalPlaces", `"valueInteger":1`), measured("1.5", "kg"), ""},
		"too many places":   {"Observation", by("Observation.valueQuantity.value", "maxDecimalPlaces", `"valueInteger":1`), measured("1.50", "kg"), "more decimal places"},
		"unit":              {"Observation", by("Observation.valueQuantity", "elementdefinition-allowedUnits", `"valueCanonical":"test:vs"`), measured("1", "good"), ""},
		"other unit":        {"Observation", by("Observation.valueQuantity", "elementdefinition-allowedUnits", `"valueCanonical":"test:vs"`), measured("1", "kg"), "unit is not one"},
		"small file":        {"Patient", by("Patient.photo", "maxSize", `"valueDecimal":6`), photo(`"contentType":"image/png","data":"eWFycm93"`), ""},
		"large file":        {"Patient", by("Patient.photo", "maxSize", `"valueDecimal":5`), photo(`"contentType":"image/png","data":"eWFycm93"`), "larger than"},
		"large by its size": {"Patient", by("Patient.photo", "maxSize", `"valueDecimal":5`), photo(`"url":"https://x.org/a","size":9`), "larger than"},
		"kind of file":      {"Patient", by("Patient.photo", "mimeType", `"valueCode":"image/png"`), photo(`"contentType":"image/png"`), ""},
		"other kind":        {"Patient", by("Patient.photo", "mimeType", `"valueCode":"image/png"`), photo(`"contentType":"image/gif"`), "file of this type"},
		"not so long ago":   {"Patient", span("minValue", "Quantity"), born("2020-01-01"), ""},
		"too long ago":      {"Patient", span("minValue", "Duration"), born("1980-01-01"), "smallest"},
		"not so far ahead":  {"Patient", span("maxValue", "Quantity"), born("2030-01-01"), ""},
		"too far ahead":     {"Patient", span("maxValue", "Duration"), born("2050-01-01"), "largest"},
		"by the instant":    {"Observation", `{"path":"Observation.issued","maxValueInstant":"2024-01-01T00:00:00Z"}`, `{"resourceType":"Observation","status":"final","code":{"text":"x"},"issued":"2024-01-01T01:00:00+02:00"}`, ""},
		"after the instant": {"Observation", `{"path":"Observation.issued","maxValueInstant":"2024-01-01T00:00:00Z"}`, `{"resourceType":"Observation","status":"final","code":{"text":"x"},"issued":"2023-12-31T23:30:00-02:00"}`, "largest"},
	} {
		got := judged(t, setOf(t, "p", c.typ, c.differential), c.doc, Options{Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q does not say %q", name, got, c.want)
		}
	}
}
