package profile

import (
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// answers judges a QuestionnaireResponse against its Questionnaire, where that can be found.
func (r *run) answers(n *fhirjson.Node, typ string) {
	if typ != "QuestionnaireResponse" || r.o.Light {
		return
	}
	url := n.Get("questionnaire")
	if url == nil || url.Kind() != fhirjson.String {
		r.push("questionnaire", -1)
		r.warn("not-found", n, "The answers name no questionnaire, so they were not checked.", "Add questionnaire.")
		r.pop()
		return
	}
	var q *fhirjson.Node
	if strings.HasPrefix(url.Text(), "#") {
		q, _ = r.find(url.Text())
	} else if r.v.Find != nil {
		q = r.v.Find(url.Text())
	}
	if q.Get("resourceType").Text() != "Questionnaire" {
		r.push("questionnaire", -1)
		r.warn("not-found", url, "The questionnaire is not known here, so the answers were not checked.", "Store the questionnaire first.")
		r.pop()
		return
	}
	status := n.Get("status").Text()
	f := &form{run: r, response: n, form: q, complete: status != "in-progress" && status != "stopped" && status != "entered-in-error"}
	f.items(n, n, q)
}

// form is a response being judged.
type form struct {
	run      *run
	response *fhirjson.Node
	form     *fhirjson.Node // the Questionnaire
	complete bool
}

// items judges the items below holder (the response, an item or an answer) against those of def. around is the item
// list in which conditions look first.
func (f *form) items(holder, around, def *fhirjson.Node) {
	r := f.run
	given := holder.Get("item").Items()
	defs := def.Get("item").Items()
	last := -1
	for i := range given {
		link := given[i].Get("linkId").Text()
		at := slices.IndexFunc(defs, func(d fhirjson.Node) bool { return d.Get("linkId").Text() == link })
		r.push("item", i)
		switch {
		case at < 0:
			r.fail("not-found", &given[i], "The questionnaire has no item with this linkId here.", "Correct the linkId, or the item it stands in.")
		case at < last:
			r.fail("structure", &given[i], "The items are not in the order of the questionnaire.", "Put them into its order.")
		default:
			last = at
		}
		r.pop()
	}
	for i := range defs {
		f.item(given, &defs[i], holder, around)
	}
}

// item judges the items given for one item of the questionnaire.
func (f *form) item(given []fhirjson.Node, d, holder, around *fhirjson.Node) {
	r := f.run
	link, typ := d.Get("linkId").Text(), d.Get("type").Text()
	enabled := f.enabled(d, around)
	found := 0
	for i := range given {
		if given[i].Get("linkId").Text() != link || !r.spend() {
			continue
		}
		found++
		r.push("item", i)
		f.one(&given[i], d, typ, enabled)
		if found == 2 && typ == "group" && d.Get("repeats").Text() != "true" || found == 2 && typ != "group" {
			r.fail("structure", &given[i], "This item occurs more than once.", "Give one item with all answers; only repeating groups occur several times.")
		}
		r.pop()
	}
	if found == 0 && enabled && d.Get("required").Text() == "true" {
		f.required(holder, "A required item has no answer.", "Answer the item with this linkId: "+shown(link)+".")
	}
}

// required reports what is missing: an error once the response is complete.
func (f *form) required(n *fhirjson.Node, text, fix string) {
	if f.complete {
		f.run.fail("required", n, text, fix)
	} else if f.run.silent == 0 {
		f.run.warn("required", n, text, fix)
	}
}

func (f *form) one(n, d *fhirjson.Node, typ string, enabled bool) {
	r := f.run
	answers := n.Get("answer").Items()
	if !enabled {
		if len(answers) > 0 || n.Get("item") != nil {
			r.fail("business-rule", n, "The item is answered although its condition (enableWhen) is not met.", "Remove the answer, or correct the answer it depends on.")
		}
		return
	}
	required := d.Get("required").Text() == "true"
	switch typ {
	case "group":
		if len(answers) > 0 {
			r.fail("structure", n, "A group has no answers of its own.", "Answer the items in it.")
		}
		if required && n.Get("item") == nil {
			f.required(n, "A required group is empty.", "Answer its items.")
		}
		f.items(n, n, d)
		return
	case "display":
		if len(answers) > 0 {
			r.fail("structure", n, "An item that only shows text has no answers.", "Remove the answers.")
		}
		return
	}
	if n.Get("item") != nil {
		r.fail("structure", n, "Items below a question stand in its answer.", "Move them into answer.item.")
	}
	if required && len(answers) == 0 {
		f.required(n, "A required item has no answer.", "Answer it.")
	}
	if len(answers) > 1 && d.Get("repeats").Text() != "true" {
		r.fail("structure", n, "This question takes one answer only.", "Keep one.")
	}
	for i := range answers {
		r.push("answer", i)
		f.answer(&answers[i], d, typ)
		f.items(&answers[i], n, d)
		r.pop()
	}
	f.exclusive(n, answers, d)
	f.amount(n, len(answers), d)
}

// amount judges how many answers there are (extensions questionnaire-minOccurs and questionnaire-maxOccurs).
func (f *form) amount(n *fhirjson.Node, count int, d *fhirjson.Node) {
	if least, err := strconv.Atoi(extensionOf(d, "questionnaire-minOccurs").Get("valueInteger").Text()); err == nil && count > 0 && count < least {
		f.required(n, "There are fewer answers than the "+itoa(least)+" the question asks for.", "Add the others.")
	}
	if most, err := strconv.Atoi(extensionOf(d, "questionnaire-maxOccurs").Get("valueInteger").Text()); err == nil && count > most {
		f.run.fail("structure", n, "There are more answers than the "+itoa(most)+" the question takes.", "Remove some.")
	}
}

// exclusive: an option that excludes the others stands alone.
func (f *form) exclusive(n *fhirjson.Node, answers []fhirjson.Node, d *fhirjson.Node) {
	if len(answers) < 2 {
		return
	}
	for _, o := range d.Get("answerOption").Items() {
		if extensionOf(&o, "questionnaire-optionExclusive").Get("valueBoolean").Text() != "true" {
			continue
		}
		_, want := choiceOf(&o, "value")
		for i := range answers {
			if _, got := choiceOf(&answers[i], "value"); got != nil && sameAnswer(got, want) {
				f.run.fail("business-rule", n, "An answer that excludes all others stands beside others.", "Keep it alone, or remove it.")
				return
			}
		}
	}
}

// enabled evaluates enableWhen.
func (f *form) enabled(d, around *fhirjson.Node) bool {
	conditions := d.Get("enableWhen").Items()
	if len(conditions) == 0 {
		return f.enabledBy(d)
	}
	any := d.Get("enableBehavior").Text() == "any"
	for i := range conditions {
		if ok := f.condition(&conditions[i], around); ok == any {
			return any
		}
	}
	return !any
}

// enableExpressions are the extensions that state the condition of an item in FHIRPath over the response, with the element
// that holds the expression: SDC's, and that of Finland's national forms, which is older.
var enableExpressions = []struct{ url, path string }{
	{"http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression", "valueExpression"},
	{"http://phr.kanta.fi/StructureDefinition/fiphr-ext-questionnaire-enablewhen", "valueString"},
}

// enabledBy evaluates a condition in FHIRPath. What cannot be evaluated here enables the item.
func (f *form) enabledBy(d *fhirjson.Node) bool {
	for _, x := range d.Get("extension").Items() {
		for _, e := range enableExpressions {
			if x.Get("url").Text() != e.url {
				continue
			}
			v := x.Get(e.path)
			if v.Kind() == fhirjson.Object {
				if v.Get("language").Text() != "text/fhirpath" {
					return true
				}
				v = v.Get("expression")
			}
			expr, err := fhirpath.Compile(v.Text())
			if err != nil {
				return true
			}
			env := f.run.env
			env.Resource, env.RootResource, env.Context = f.response, f.response, f.response
			holds, known, used, err := expr.TestItem(&env, fhirpath.NewElement(f.response, "QuestionnaireResponse"))
			f.run.left -= used / 100
			return err != nil || known && holds
		}
	}
	return true
}

// condition evaluates one enableWhen: some answer to the question meets it.
func (f *form) condition(c, around *fhirjson.Node) bool {
	answers := answersTo(around, c.Get("question").Text(), nil, 0)
	if len(answers) == 0 {
		answers = answersTo(f.response, c.Get("question").Text(), nil, 0)
	}
	op := c.Get("operator").Text()
	typ, want := choiceOf(c, "answer")
	if op == "exists" {
		return (len(answers) > 0) == (want.Text() != "false")
	}
	for _, a := range answers {
		_, got := choiceOf(a, "value")
		if op == "=" && sameAnswer(got, want) || op == "!=" && !sameAnswer(got, want) {
			return true
		}
		sign, known := f.run.compare(value{node: got, typ: typ}, &Value{typ, want})
		if known && (op == ">" && sign > 0 || op == "<" && sign < 0 || op == ">=" && sign >= 0 || op == "<=" && sign <= 0) {
			return true
		}
	}
	return false
}

// answersTo collects the answers to a question below n.
func answersTo(n *fhirjson.Node, link string, out []*fhirjson.Node, depth int) []*fhirjson.Node {
	items := n.Get("item").Items()
	for i := range items {
		answers := items[i].Get("answer").Items()
		for j := range answers {
			if items[i].Get("linkId").Text() == link {
				out = append(out, &answers[j])
			}
			out = answersTo(&answers[j], link, out, depth+1)
		}
		out = answersTo(&items[i], link, out, depth+1)
	}
	return out
}

// choiceOf returns the member value[x] of an object and its type.
func choiceOf(n *fhirjson.Node, name string) (string, *fhirjson.Node) {
	for i := range n.Members() {
		m := &n.Members()[i]
		if typ, ok := strings.CutPrefix(m.Name, name); ok && typ != "" && typ[0] >= 'A' && typ[0] <= 'Z' {
			return typeOfSuffix(typ), &m.Value
		}
	}
	return "", nil
}

// sameAnswer compares a given answer with an option: of codes the system and code count.
func sameAnswer(got, want *fhirjson.Node) bool {
	if got == nil || want == nil {
		return false
	}
	if got.Kind() == fhirjson.Object && want.Kind() == fhirjson.Object && want.Get("code") != nil {
		return got.Get("code").Text() == want.Get("code").Text() && got.Get("system").Text() == want.Get("system").Text() &&
			(got.Get("value") == nil || got.Get("value").Text() == want.Get("value").Text())
	}
	if got.Kind() == fhirjson.Object && want.Get("reference") != nil {
		return got.Get("reference").Text() == want.Get("reference").Text()
	}
	return sameValue(got, want)
}

// extensionOf returns the extension whose url ends in /name, or nil.
func extensionOf(n *fhirjson.Node, name string) *fhirjson.Node {
	items := n.Get("extension").Items()
	for i := range items {
		if strings.HasSuffix(items[i].Get("url").Text(), "/"+name) {
			return &items[i]
		}
	}
	return nil
}
