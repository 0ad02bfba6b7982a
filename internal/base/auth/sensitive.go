package auth

import (
	"strings"
	"unicode"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhirjson"
)

// Sensitivity is the labels that the codes and code texts of a resource call for, such as those of a substance use
// disorder, whoever records it. Facts, not judgement: what must be hidden further is labelled by people. Notes kept
// apart are never recognised here; their authors label them.
//
// Sources: ICD-10-CM chapters (F10-F19 without tobacco and caffeine, 42 CFR 2.11; B20, Z21, R75, O98.7; A50-A64;
// T74, T76; Z15), names of ingredients and tests as they stand in code texts. Money and administration are left
// out: what a claim must say is not hidden from who sends it.
func Sensitivity(resourceType string, n *fhirjson.Node) (mask int64) {
	if !coded[resourceType] {
		return 0
	}
	sense(n, &mask)
	return mask
}

// coded are the types whose codes say something about a patient's health.
var coded = func() map[string]bool {
	m := map[string]bool{}
	for t := range strings.FieldsSeq("Condition Observation DiagnosticReport Procedure ServiceRequest MedicationRequest MedicationStatement " +
		"MedicationAdministration MedicationDispense AllergyIntolerance CarePlan Goal ClinicalImpression RiskAssessment Flag " +
		"EpisodeOfCare DetectedIssue AdverseEvent QuestionnaireResponse Composition DocumentReference Media List DeviceRequest") {
		m[t] = true
	}
	return m
}()

// proseOf are members whose words are prose, not the name of a code: nothing is concluded from them.
func proseOf(name string) bool {
	return name == "note" || name == "div" || name == "meta" || name == "contained" || name == "comment"
}

func sense(n *fhirjson.Node, mask *int64) {
	switch n.Kind() {
	case fhirjson.Array:
		items := n.Items()
		for i := range items {
			sense(&items[i], mask)
		}
	case fhirjson.Object:
		members := n.Members()
		system, code := "", ""
		for i := range members {
			m := &members[i]
			switch {
			case proseOf(m.Name):
			case m.Value.Kind() != fhirjson.String:
				sense(&m.Value, mask)
			case m.Name == "system":
				system = m.Value.Text()
			case m.Name == "code":
				code = m.Value.Text()
			case m.Name == "display" || m.Name == "text" || m.Name == "title":
				*mask |= textSensitivity(m.Value.Text())
			}
		}
		if system != "" && code != "" {
			*mask |= codeSensitivity(system, code)
		}
	}
}

// codeSensitivity is the label of one coding.
func codeSensitivity(system, code string) Label {
	switch system {
	case "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10":
		for _, row := range icdSensitivity {
			if strings.HasPrefix(code, row.begins) {
				return row.label
			}
		}
	case "http://www.nlm.nih.gov/research/umls/rxnorm":
		return ingredients[code]
	case "http://loinc.org":
		return tests[code]
	}
	return 0
}

// icdSensitivity goes by the beginnings of codes.
var icdSensitivity = []struct {
	begins string
	label  Label
}{
	{"F10", LabelSubstanceUse}, {"F11", LabelSubstanceUse}, {"F12", LabelSubstanceUse}, {"F13", LabelSubstanceUse},
	{"F14", LabelSubstanceUse}, {"F15", LabelSubstanceUse}, {"F16", LabelSubstanceUse}, {"F18", LabelSubstanceUse},
	{"F19", LabelSubstanceUse}, {"Z71.41", LabelSubstanceUse}, {"Z71.51", LabelSubstanceUse},
	{"O99.31", LabelSubstanceUse}, {"O99.32", LabelSubstanceUse}, {"T40.1", LabelSubstanceUse}, {"T40.5", LabelSubstanceUse},
	{"B20", LabelHIV}, {"Z21", LabelHIV}, {"R75", LabelHIV}, {"O98.7", LabelHIV}, {"B97.35", LabelHIV},
	{"A50", LabelSexualHealth}, {"A51", LabelSexualHealth}, {"A52", LabelSexualHealth}, {"A53", LabelSexualHealth},
	{"A54", LabelSexualHealth}, {"A55", LabelSexualHealth}, {"A56", LabelSexualHealth}, {"A57", LabelSexualHealth},
	{"A58", LabelSexualHealth}, {"A59", LabelSexualHealth}, {"A60", LabelSexualHealth}, {"A63", LabelSexualHealth},
	{"A64", LabelSexualHealth}, {"Z33.2", LabelSexualHealth}, {"O04", LabelSexualHealth},
	{"T74", LabelViolence}, {"T76", LabelViolence}, {"Z69", LabelViolence},
	{"Z15", LabelGenetic},
}

// ingredients are RxNorm ingredient codes.
var ingredients = map[string]Label{
	"1819": LabelSubstanceUse, "6813": LabelSubstanceUse, "7243": LabelSubstanceUse, "3554": LabelSubstanceUse, "82819": LabelSubstanceUse,
	"11413": LabelHIV, "68244": LabelHIV, "190521": LabelHIV, "195085": LabelHIV, "276237": LabelHIV, "719872": LabelHIV, "1433868": LabelHIV,
}

// tests are LOINC codes of laboratory tests and instruments.
var tests = map[string]Label{
	"3397-7": LabelSubstanceUse, "3426-4": LabelSubstanceUse, "3879-4": LabelSubstanceUse, "3349-8": LabelSubstanceUse,
	"82667-7": LabelSubstanceUse, "75626-2": LabelSubstanceUse,
	"7917-8": LabelHIV, "20447-9": LabelHIV, "29893-5": LabelHIV, "56888-1": LabelHIV, "75622-1": LabelHIV,
}

// words are sequences of words that name something sensitive wherever a code's text has them.
var words = spaced([]phrase{
	{"buprenorphine", LabelSubstanceUse}, {"methadone", LabelSubstanceUse}, {"naltrexone", LabelSubstanceUse}, {"disulfiram", LabelSubstanceUse},
	{"acamprosate", LabelSubstanceUse}, {"lofexidine", LabelSubstanceUse}, {"drugs of abuse", LabelSubstanceUse}, {"drug abuse", LabelSubstanceUse},
	{"opioid use disorder", LabelSubstanceUse}, {"opioid dependence", LabelSubstanceUse}, {"opioid abuse", LabelSubstanceUse},
	{"alcohol use disorder", LabelSubstanceUse}, {"alcohol dependence", LabelSubstanceUse}, {"alcohol abuse", LabelSubstanceUse},
	{"alcoholism", LabelSubstanceUse}, {"cocaine", LabelSubstanceUse}, {"heroin", LabelSubstanceUse}, {"methamphetamine", LabelSubstanceUse},
	{"drug dependence", LabelSubstanceUse}, {"substance use disorder", LabelSubstanceUse}, {"cannabis dependence", LabelSubstanceUse},
	{"hiv", LabelHIV}, {"human immunodeficiency virus", LabelHIV}, {"emtricitabine", LabelHIV}, {"dolutegravir", LabelHIV}, {"bictegravir", LabelHIV},
	{"efavirenz", LabelHIV}, {"abacavir", LabelHIV}, {"raltegravir", LabelHIV}, {"zidovudine", LabelHIV},
	{"gonorrhea", LabelSexualHealth}, {"syphilis", LabelSexualHealth}, {"chlamydia trachomatis", LabelSexualHealth},
	{"domestic violence", LabelViolence}, {"intimate partner violence", LabelViolence},
})

type phrase struct {
	text  string
	label Label
}

func spaced(list []phrase) []phrase {
	for i := range list {
		list[i].text = " " + list[i].text + " "
	}
	return list
}

// textSensitivity looks for whole words, in any case.
func textSensitivity(text string) (mask int64) {
	if text == "" || len(text) > 500 {
		return 0
	}
	folded := " " + strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ") + " "
	for i := range words {
		if strings.Contains(folded, words[i].text) {
			mask |= words[i].label
		}
	}
	return mask
}

// SecurityCodings are the codings of meta.security that say a mask, in table order.
func SecurityCodings(mask int64) (out [][2]string) {
	for _, l := range labelTable {
		if mask&l.label != 0 {
			out = append(out, codingOf[l.label])
		}
	}
	if mask&LabelDeclassified != 0 {
		out = append(out, [2]string{systemActCode, "DECLASSIFYLABEL"})
	}
	return out
}

var codingOf = map[Label][2]string{
	LabelRestricted: {systemConfidentiality, "R"}, LabelVeryRestricted: {systemConfidentiality, "V"}, LabelPart2: {systemActCode, "42CFRPart2"},
	LabelSubstanceUse: {systemActCode, "SUD"}, LabelMentalHealth: {systemActCode, "PSY"}, LabelPsychotherapy: {systemActCode, "PSYTHPN"},
	LabelSUDCounseling: {systemActCode, "SUDCN"}, LabelHIV: {systemActCode, "HIV"}, LabelSexualHealth: {systemActCode, "SEX"},
	LabelViolence: {systemActCode, "SDV"}, LabelGenetic: {systemActCode, "GDIS"}, LabelAdolescent: {systemActCode, "ADOL"},
	LabelVIP: {systemActCode, "CEL"}, LabelPatientHidden: {systemActCode, "TBOO"},
}

// MayRemoveLabels says whether a scope may take labels away from a record, with a reason: people with LabelRemove,
// and Yarrow itself.
func MayRemoveLabels(s db.Scope) bool { return may(s, LabelRemove) == nil }
