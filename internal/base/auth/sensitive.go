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
// Sources: ICD-10-CM of the fiscal year 2026 (F10-F19 without tobacco and caffeine, 42 CFR 2.11, and what follows from alcohol; HIV,
// its tests and its prevention; A50-A64, contraception and termination; maltreatment; carriers and susceptibility), names of
// ingredients and tests as they stand in code texts. Money and administration are left
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

// icdSensitivity goes by the beginnings of codes. The children of mothers who used drugs, families of patients and effects of medicines
// that are mostly prescribed are left out: they say less about the patient than they would hide.
var icdSensitivity = beginnings(map[Label]string{
	LabelSubstanceUse: `F10 F11 F12 F13 F14 F15 F16 F18 F19 Z71.41 Z71.51 O99.31 O99.32 T40.1 T40.5 T40.7 T40.8 T40.9 R78.2 R78.3 R11.16
		E24.4 G31.2 G62.1 G72.1 I42.6 K29.2 K70 K85.2 K86.0`,
	LabelHIV:          `B20 B21 B22 B23 B24 F02.4 Z21 R75 O98.7 B97.35 E88.14 Z11.4 Z20.6 Z29.81 Z71.7`, // B21-B24 and F02.4: ICD-10 alone
	LabelSexualHealth: `A50 A51 A52 A53 A54 A55 A56 A57 A58 A59 A60 A63 A64 O98.1 O98.2 O98.3 Z11.3 Z20.2 Z22.4 Z33.2 O04 O07 Z30 Z64.0 Z70 Z72.5 Z79.3 Z92.0 Z97.5 F64 Z87.890`,
	LabelViolence:     `T74 T76 Y07 Z04.4 Z04.7 Z04.8 Z62.81 Z69 Z91.41 Z91.42 O9A.3 O9A.4 O9A.5`,
	LabelGenetic:      `Z13.7 Z14 Z15 Z31.43 Z31.44 Z31.5 Z71.83 Z84.81`,
})

type beginning struct {
	begins string
	label  Label
}

func beginnings(m map[Label]string) (out []beginning) {
	for label, list := range m {
		for begins := range strings.FieldsSeq(list) {
			out = append(out, beginning{begins, label})
		}
	}
	return out // none begins another: their order does not matter
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
