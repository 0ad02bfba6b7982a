package viewdef

import (
	"strings"
	"testing"
)

// TestEdges: what the specification of SQL on FHIR v2 says beyond the plain cases, in our own words.
func TestEdges(t *testing.T) {
	all := parse(t, `[{"resourceType":"Patient","id":"a","active":true,"birthDate":"1970-05","name":[{"use":"official","family":"Alder","given":["Ann","Bea"]},{"use":"nickname","given":["Bo"]}],"contact":[{"telecom":[{"value":"1"},{"value":"2"}]},{"telecom":[{"value":"3"}]}]},
		{"resourceType":"Patient","id":"b","name":[{"family":"Birch"}]},
		{"resourceType":"QuestionnaireResponse","id":"q","status":"completed","item":[{"linkId":"1","item":[{"linkId":"1.1","answer":[{"valueInteger":4,"item":[{"linkId":"1.1.1"}]}]}]},{"linkId":"2"}]},
		{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"effectiveDateTime":"2024","valueQuantity":{"value":1.50,"code":"kg"}}]`).Items()
	for name, c := range map[string]struct{ view, want, err string }{
		"rows of nothing":            {`{"resource":"Condition","select":[{"column":[{"name":"id","path":"id"}]}]}`, `[]`, ""},
		"forEach leaves out":         {`{"resource":"Patient","select":[{"column":[{"name":"id","path":"id"}]},{"forEach":"contact.telecom","column":[{"name":"t","path":"value"}]}]}`, `[{"id":"a","t":"1"},{"id":"a","t":"2"},{"id":"a","t":"3"}]`, ""},
		"forEachOrNull keeps":        {`{"resource":"Patient","select":[{"column":[{"name":"id","path":"id"}]},{"forEachOrNull":"contact","column":[{"name":"t","path":"telecom.value.first()"}]}]}`, `[{"id":"a","t":"1"},{"id":"a","t":"3"},{"id":"b","t":null}]`, ""},
		"forEach in forEach":         {`{"resource":"Patient","where":[{"path":"id = 'a'"}],"select":[{"forEach":"contact","select":[{"forEach":"telecom","column":[{"name":"t","path":"value"}]}]}]}`, `[{"t":"1"},{"t":"2"},{"t":"3"}]`, ""},
		"null within forEach":        {`{"resource":"Patient","select":[{"forEach":"name","column":[{"name":"f","path":"family"}],"select":[{"forEachOrNull":"given","column":[{"name":"g","path":"$this"}]}]}]}`, `[{"f":"Alder","g":"Ann"},{"f":"Alder","g":"Bea"},{"f":null,"g":"Bo"},{"f":"Birch","g":null}]`, ""},
		"two side by side":           {`{"resource":"Patient","where":[{"path":"id = 'a'"}],"select":[{"forEach":"name","column":[{"name":"u","path":"use"}]},{"forEach":"contact","column":[{"name":"t","path":"telecom.first().value"}]}]}`, `[{"u":"official","t":"1"},{"u":"official","t":"3"},{"u":"nickname","t":"1"},{"u":"nickname","t":"3"}]`, ""},
		"union":                      {`{"resource":"Patient","select":[{"unionAll":[{"forEach":"name","column":[{"name":"x","path":"family"}]},{"forEach":"contact","column":[{"name":"x","path":"telecom.value.join('+')"}]}]}]}`, `[{"x":"Alder"},{"x":null},{"x":"1+2"},{"x":"3"},{"x":"Birch"}]`, ""},
		"union in union":             {`{"resource":"Patient","where":[{"path":"id='b'"}],"select":[{"unionAll":[{"unionAll":[{"column":[{"name":"x","path":"id"}]},{"column":[{"name":"x","path":"'1'"}]}]},{"column":[{"name":"x","path":"'2'"}]}]}]}`, `[{"x":"b"},{"x":"1"},{"x":"2"}]`, ""},
		"union keeps doubles":        {`{"resource":"Patient","where":[{"path":"id='b'"}],"select":[{"unionAll":[{"column":[{"name":"x","path":"id"}]},{"column":[{"name":"x","path":"id"}]}]}]}`, `[{"x":"b"},{"x":"b"}]`, ""},
		"union, other names":         {`{"resource":"Patient","select":[{"unionAll":[{"column":[{"name":"x","path":"id"}]},{"column":[{"name":"y","path":"id"}]}]}]}`, "", "different columns"},
		"union, other order":         {`{"resource":"Patient","select":[{"unionAll":[{"column":[{"name":"x","path":"id"},{"name":"y","path":"id"}]},{"column":[{"name":"y","path":"id"},{"name":"x","path":"id"}]}]}]}`, "", "different columns"},
		"repeat, own before below":   {`{"resource":"QuestionnaireResponse","select":[{"repeat":["item","answer.item"],"column":[{"name":"l","path":"linkId"}]}]}`, `[{"l":"1"},{"l":"1.1"},{"l":"1.1.1"},{"l":"2"}]`, ""},
		"repeat over answers":        {`{"resource":"QuestionnaireResponse","select":[{"repeat":["item"],"column":[{"name":"l","path":"linkId"},{"name":"v","path":"answer.value.ofType(integer)"}]}]}`, `[{"l":"1","v":null},{"l":"1.1","v":4},{"l":"2","v":null}]`, ""},
		"collection":                 {`{"resource":"Patient","select":[{"column":[{"name":"g","path":"name.given","collection":true}]}]}`, `[{"g":["Ann","Bea","Bo"]},{"g":[]}]`, ""},
		"several values":             {`{"resource":"Patient","select":[{"column":[{"name":"g","path":"name.given","collection":false}]}]}`, "", "several values"},
		"where all of them":          {`{"resource":"Patient","where":[{"path":"active"},{"path":"id = 'b'"}],"select":[{"column":[{"name":"id","path":"id"}]}]}`, `[]`, ""},
		"where empty":                {`{"resource":"Patient","where":[{"path":"active"}],"select":[{"column":[{"name":"id","path":"id"}]}]}`, `[{"id":"a"}]`, ""},
		"where no condition":         {`{"resource":"Patient","where":[{"path":"id"}],"select":[{"column":[{"name":"id","path":"id"}]}]}`, "", "neither true nor false"},
		"where with exists":          {`{"resource":"Patient","where":[{"path":"name.exists(use = 'nickname')"}],"select":[{"column":[{"name":"id","path":"id"}]}]}`, `[{"id":"a"}]`, ""},
		"constants of many types":    {`{"resource":"Patient","constant":[{"name":"i","valueInteger":2},{"name":"b","valueBoolean":true},{"name":"d","valueDecimal":1.5},{"name":"c","valueCode":"nickname"},{"name":"t","valueDate":"1970-05"}],"where":[{"path":"birthDate = %t"}],"select":[{"column":[{"name":"n","path":"name.count() = %i and active = %b and %d > 1 and name.exists(use = %c)"}]}]}`, `[{"n":true}]`, ""},
		"constant in backquotes":     {`{"resource":"Patient","constant":[{"name":"c","valueString":"b"}],"where":[{"path":"id = %` + "`c`" + `"}],"select":[{"column":[{"name":"id","path":"id"}]}]}`, `[{"id":"b"}]`, ""},
		"a percent sign in a text":   {`{"resource":"Patient","where":[{"path":"id = 'b'"}],"select":[{"column":[{"name":"x","path":"'100 %x'"}]}]}`, `[{"x":"100 %x"}]`, ""},
		"choice":                     {`{"resource":"Observation","select":[{"column":[{"name":"v","path":"value.ofType(Quantity).value"},{"name":"n","path":"value.ofType(string)"}]}]}`, `[{"v":1.50,"n":null}]`, ""},
		"bounds of a partial date":   {`{"resource":"Observation","select":[{"column":[{"name":"l","path":"effective.ofType(dateTime).lowBoundary()"},{"name":"h","path":"effective.ofType(dateTime).highBoundary()"}]}]}`, `[{"l":"2024-01-01T00:00:00.000+14:00","h":"2024-12-31T23:59:59.999-12:00"}]`, ""},
		"keys":                       {`{"resource":"Observation","select":[{"column":[{"name":"k","path":"getResourceKey() = getResourceKey()"}]}]}`, `[{"k":true}]`, ""},
		"index of a nested forEach":  {`{"resource":"Patient","where":[{"path":"id = 'a'"}],"select":[{"forEach":"contact","column":[{"name":"i","path":"%rowIndex"}],"select":[{"forEach":"telecom","column":[{"name":"j","path":"%rowIndex"}]}]}]}`, `[{"i":0,"j":0},{"i":0,"j":1},{"i":1,"j":0}]`, ""},
		"index without forEach":      {`{"resource":"Observation","select":[{"column":[{"name":"i","path":"%rowIndex"}]}]}`, `[{"i":0}]`, ""},
		"unknown function":           {`{"resource":"Patient","select":[{"column":[{"name":"x","path":"name.frobnicate()"}]}]}`, "", "not FHIRPath"},
		"forEach and forEachOrNull":  {`{"resource":"Patient","select":[{"forEach":"name","forEachOrNull":"name","column":[{"name":"x","path":"family"}]}]}`, "", "more than one of"},
		"a name with a minus":        {`{"resource":"Patient","select":[{"column":[{"name":"a-b","path":"id"}]}]}`, "", "no name of letters"},
		"a name from nested selects": {`{"resource":"Patient","select":[{"column":[{"name":"x","path":"id"}],"select":[{"column":[{"name":"x","path":"id"}]}]}]}`, "", "Two columns"},
		"constant without value":     {`{"resource":"Patient","constant":[{"name":"x"}],"select":[{"column":[{"name":"x","path":"id"}]}]}`, "", "no value"},
		"no resource":                {`{"select":[{"column":[{"name":"x","path":"id"}]}]}`, "", "resource type"},
	} {
		got, _, err := evaluate(all, parse(t, c.view))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case text(got) != c.want:
			t.Errorf("%s: %s, not %s", name, text(got), c.want)
		}
	}
}

// TestWorkIsBounded: a view whose every cell is costly ends with an answer that says so.
func TestWorkIsBounded(t *testing.T) {
	names := strings.TrimSuffix(strings.Repeat(`{"family":"x"},`, 300), ",")
	view := `{"resource":"Patient","select":[{"forEach":"name","column":[{"name":"n","path":"%resource.descendants().select(%resource.descendants().count()).first()"}]}]}`
	_, _, err := evaluate(parse(t, `[{"resourceType":"Patient","name":[`+names+`]}]`).Items(), parse(t, view))
	if err == nil || !strings.Contains(err.Error(), "steps") {
		t.Error(err)
	}
}
