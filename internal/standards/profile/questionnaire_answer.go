package profile

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"yarrow.health/internal/standards/fhirjson"
)

// answerTypes are the types of value[x] that the answer to an item of a type may have (R4 Questionnaire.item.type).
var answerTypes = map[string][]string{
	"boolean": {"boolean"}, "decimal": {"decimal"}, "integer": {"integer"}, "date": {"date"}, "dateTime": {"dateTime"}, "time": {"time"},
	"string": {"string"}, "text": {"string"}, "url": {"uri"}, "choice": {"Coding", "integer", "date", "time", "string", "Reference"},
	"open-choice": {"Coding", "integer", "date", "time", "string", "Reference"}, "attachment": {"Attachment"}, "reference": {"Reference"}, "quantity": {"Quantity"},
}

// answer judges one answer against the item of the questionnaire.
func (f *form) answer(n, d *fhirjson.Node, itemType string) {
	r := f.run
	typ, v := choiceOf(n, "value")
	if v == nil {
		return
	}
	allowed := answerTypes[itemType]
	if itemType == "choice" && d.Get("answerValueSet") != nil {
		allowed = []string{"Coding"}
	}
	if options := optionTypes(d); itemType == "choice" && len(options) > 0 {
		allowed = options
	}
	if allowed != nil && !slices.Contains(allowed, typ) {
		r.fail("structure", v, "The answer is of type "+typ+", which the question does not take.", "Answer with "+orList(allowed)+".")
		return
	}
	f.options(v, typ, d, itemType)
	f.bounds(v, typ, d)
	switch typ {
	case "string":
		f.lengths(v, d)
	case "decimal":
		f.decimals(v, d)
	case "Quantity":
		f.units(v, d)
	case "Attachment":
		f.attached(v, d)
	case "Reference":
		f.target(v, d)
	}
}

func optionTypes(d *fhirjson.Node) []string {
	var out []string
	for _, o := range d.Get("answerOption").Items() {
		if typ, _ := choiceOf(&o, "value"); typ != "" && !slices.Contains(out, typ) {
			out = append(out, typ)
		}
	}
	return out
}

// options: the answer is one of those offered. Free text is an open choice's way out.
func (f *form) options(v *fhirjson.Node, typ string, d *fhirjson.Node, itemType string) {
	r := f.run
	options := d.Get("answerOption").Items()
	free := itemType == "open-choice" && typ == "string" || typ == "string" && itemType != "choice" && extensionOf(d, "questionnaire-answerConstraint").Get("valueCode").Text() != ""
	if len(options) > 0 && !free {
		if !slices.ContainsFunc(options, func(o fhirjson.Node) bool {
			_, want := choiceOf(&o, "value")
			return sameAnswer(v, want)
		}) {
			r.fail("code-invalid", v, "The answer is none of those the question offers.", "Choose one of its options.")
		}
		return
	}
	vs := d.Get("answerValueSet")
	if vs == nil {
		return
	}
	list := Binding{Strength: "required", ValueSet: vs.Text()}
	if id, inside := strings.CutPrefix(vs.Text(), "#"); inside {
		if list.Local = readLocal(f.form, id); list.Local == nil {
			return
		}
	}
	if typ == "string" && itemType != "open-choice" {
		if ok, known := r.listed(list, "", v.Text()); known && !ok {
			r.fail("code-invalid", v, "The answer is not in the list the question takes it from.", "Choose one of its options.")
		}
		return
	}
	if typ != "Coding" {
		return
	}
	if v.Get("system") == nil && itemType == "open-choice" {
		return
	}
	if ok, known := r.listed(list, v.Get("system").Text(), v.Get("code").Text()); known && !ok {
		r.fail("code-invalid", v, "The answer is not in the value set of the question.", "Choose a code of "+shown(vs.Text())+".")
	}
}

// bounds judges minValue, maxValue and the limits of quantities.
func (f *form) bounds(v *fhirjson.Node, typ string, d *fhirjson.Node) {
	for _, b := range []struct {
		names []string
		sign  int
		word  string
	}{{[]string{"minValue", "sdc-questionnaire-minQuantity"}, -1, "smallest"}, {[]string{"maxValue", "sdc-questionnaire-maxQuantity"}, 1, "largest"}} {
		for _, name := range b.names {
			limitType, limit := choiceOf(extensionOf(d, name), "value")
			if limit == nil {
				continue
			}
			got := v
			if typ == "Quantity" && limitType != "Quantity" {
				got = v.Get("value")
			} else if typ == "Quantity" && v.Get("code") == nil {
				f.run.fail("value", v, "The quantity cannot be compared with the limit of the question, for it has no coded unit.", "Give the unit's system and code.")
				continue
			}
			sign, known := f.run.compare(value{node: got, typ: typ}, &Value{limitType, limit})
			switch {
			case known && sign == b.sign:
				f.run.fail("value", v, "The answer lies beyond the "+b.word+" value the question takes.", "The "+b.word+" is "+written(&Value{limitType, limit})+".")
			case !known && limitType == "Quantity":
				f.run.fail("value", v, "The unit of the answer cannot be compared with that of the question's limit.", "Answer in the unit of the limit.")
			}
		}
	}
}

// target judges what a reference leads to (extensions questionnaire-referenceResource and questionnaire-referenceProfile).
func (f *form) target(v, d *fhirjson.Node) {
	n, typ := f.run.follow(v.Get("reference").Text())
	if typ == "" {
		typ = v.Get("type").Text()
	}
	if typ == "" {
		return
	}
	var types, profiles []string
	for _, x := range d.Get("extension").Items() {
		switch url := x.Get("url").Text(); {
		case strings.HasSuffix(url, "/questionnaire-referenceResource"):
			types = append(types, x.Get("valueCode").Text())
		case strings.HasSuffix(url, "/questionnaire-referenceProfile"):
			profiles = append(profiles, x.Get("valueCanonical").Text())
		}
	}
	if len(types) > 0 && !slices.Contains(types, typ) {
		f.run.fail("value", v, "The question does not take a reference to "+safeType(typ)+".", "Refer to "+orList(types)+".")
	}
	for _, p := range profiles {
		d := f.run.set.Find(p)
		if want := f.run.profileType(p); want == "" || want == typ && (n == nil || d == nil) || d != nil && n != nil && f.run.conforms(value{node: n, typ: typ}, d) {
			return // met, or not to be known here
		}
	}
	if len(profiles) > 0 {
		f.run.fail("value", v, "What the answer refers to meets none of the profiles that the question asks for.", "Refer to what conforms to "+orList(profiles)+".")
	}
}

func (f *form) lengths(v, d *fhirjson.Node) {
	n := utf8.RuneCountInString(v.Text())
	if most, err := strconv.Atoi(d.Get("maxLength").Text()); err == nil && n > most {
		f.run.fail("too-long", v, "The answer is longer than the "+itoa(most)+" characters the question takes.", "Shorten it.")
	}
	if least, err := strconv.Atoi(extensionOf(d, "minLength").Get("valueInteger").Text()); err == nil && n < least {
		f.run.fail("value", v, "The answer is shorter than the "+itoa(least)+" characters the question asks for.", "Write more.")
	}
	if x := extensionOf(d, "regex").Get("valueString").Text(); x != "" && len(x) <= maxRegex {
		f.run.left -= len(x)
		f.run.charged()
		if re, err := regexp.Compile("^(?:" + x + ")$"); err == nil && !re.MatchString(v.Text()) {
			f.run.fail("value", v, "The answer does not have the form the question asks for.", "It must match "+shown(x)+".")
		}
	}
}

func (f *form) decimals(v, d *fhirjson.Node) {
	most, err := strconv.Atoi(extensionOf(d, "maxDecimalPlaces").Get("valueInteger").Text())
	if err != nil {
		return
	}
	_, places, _ := strings.Cut(v.Text(), ".")
	if len(places) > most {
		f.run.fail("value", v, "The answer has more decimal places than the "+itoa(most)+" the question takes.", "Round it.")
	}
}

// units: the unit is one of those offered (questionnaire-unitOption, questionnaire-unitValueSet).
func (f *form) units(v, d *fhirjson.Node) {
	offered, found := 0, false
	for _, x := range d.Get("extension").Items() {
		if strings.HasSuffix(x.Get("url").Text(), "/questionnaire-unitOption") {
			offered++
			c := x.Get("valueCoding")
			found = found || c.Get("code").Text() == v.Get("code").Text() && c.Get("system").Text() == v.Get("system").Text()
		}
	}
	if offered > 0 && !found {
		f.run.fail("code-invalid", v, "The unit is none of those the question offers.", "Choose one of its units.")
	}
	if vs := extensionOf(d, "questionnaire-unitValueSet").Get("valueCanonical"); vs != nil {
		if ok, known := f.run.coded(vs.Text(), v.Get("system").Text(), v.Get("code").Text()); known && !ok {
			f.run.fail("code-invalid", v, "The unit is not in the value set of the question.", "Choose a unit of "+shown(vs.Text())+".")
		}
	}
}

// attached judges type and size of a file.
func (f *form) attached(v, d *fhirjson.Node) {
	var types []string
	for _, x := range d.Get("extension").Items() {
		if strings.HasSuffix(x.Get("url").Text(), "/mimeType") {
			types = append(types, x.Get("valueCode").Text())
		}
	}
	if len(types) > 0 && !slices.Contains(types, v.Get("contentType").Text()) {
		f.run.fail("value", v, "The question does not take files of this type.", "Give a file of type "+orList(types)+".")
	}
	_, most := choiceOf(extensionOf(d, "maxSize"), "value")
	if most == nil {
		return
	}
	size := v.Get("size").Text()
	if size == "" {
		size = itoa(base64Len(v.Get("data").Text()))
	}
	if sign, known := compareNumbers(size, most.Text()); known && sign > 0 {
		f.run.fail("too-long", v, "The file is larger than the question takes.", "It takes at most "+most.Text()+" bytes.")
	}
}
