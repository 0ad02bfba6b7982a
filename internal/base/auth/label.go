package auth

// Label is a sensitivity of a resource as one bit of the mask that is stored with every resource row. The bits are
// stored, so they never change their meaning.
type Label = int64

// The labels. Their sources are the codings of meta.security named in [LabelOf].
const (
	LabelRestricted     Label = 1 << iota // confidentiality R
	LabelVeryRestricted                   // confidentiality V
	LabelPart2                            // record of a 42 CFR Part 2 programme
	LabelSubstanceUse                     // substance use, whoever recorded it
	LabelMentalHealth                     // mental health
	LabelPsychotherapy                    // psychotherapy note (45 CFR 164.501)
	LabelSUDCounseling                    // SUD counseling note (42 CFR 2.11)
	LabelHIV                              // HIV/AIDS
	LabelSexualHealth                     // sexual and reproductive health
	LabelViolence                         // domestic violence, abuse
	LabelGenetic                          // genetic information
	LabelAdolescent                       // confidential care of a minor: hidden from proxies
	LabelVIP                              // person of public interest, or a colleague
	LabelPatientHidden                    // taboo: not to be shown to the patient
	LabelDeclassified                     // somebody with the right took labels away: codes do not bring them back
)

const (
	systemConfidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	systemActCode         = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
)

// LabelOf is the label of one coding of meta.security, or 0. Codes are those of HL7 v3 Confidentiality and ActCode
// as FHIR DS4P 1.0.0 uses them.
func LabelOf(system, code string) Label {
	switch system {
	case systemConfidentiality:
		switch code {
		case "R":
			return LabelRestricted
		case "V":
			return LabelVeryRestricted
		}
	case systemActCode:
		return sensitivity[code]
	}
	return 0
}

var sensitivity = map[string]Label{
	"42CFRPart2": LabelPart2,
	"ETH":        LabelSubstanceUse, "ETHUD": LabelSubstanceUse, "OPIOIDUD": LabelSubstanceUse, "SUD": LabelSubstanceUse,
	"PSY": LabelMentalHealth, "MH": LabelMentalHealth, "BH": LabelMentalHealth,
	"PSYTHPN": LabelPsychotherapy,
	"SUDCN":   LabelSUDCounseling,
	"HIV":     LabelHIV,
	"SEX":     LabelSexualHealth, "SPI": LabelSexualHealth, "STD": LabelSexualHealth, "REPRO": LabelSexualHealth,
	"SDV": LabelViolence, "DVD": LabelViolence,
	"GDIS": LabelGenetic,
	"ADOL": LabelAdolescent,
	"CEL":  LabelVIP, "VIP": LabelVIP, "EMP": LabelVIP,
	"TBOO": LabelPatientHidden,

	"DECLASSIFYLABEL": LabelDeclassified,
}

// notesApart are the notes that general access to the record never opens (45 CFR 164.508(a)(2), 42 CFR 2.31(b)).
const notesApart = LabelPsychotherapy | LabelSUDCounseling

// beyondCare is what people who do not treat the patient never see.
const beyondCare = notesApart | LabelRestricted | LabelVeryRestricted | LabelPart2 | LabelSubstanceUse |
	LabelMentalHealth | LabelHIV | LabelSexualHealth | LabelViolence | LabelGenetic | LabelAdolescent

// ruledLabels are the labels a practice may open or close for a role. Notes kept apart stay closed for all.
const ruledLabels = beyondCare | LabelVIP

// labelTable names the labels, in the order screens show them.
var labelTable = []struct {
	label Label
	name  string
}{
	{LabelRestricted, "restricted"}, {LabelVeryRestricted, "very-restricted"}, {LabelPart2, "part2"}, {LabelSubstanceUse, "substance-use"},
	{LabelMentalHealth, "mental-health"}, {LabelPsychotherapy, "psychotherapy"}, {LabelSUDCounseling, "sud-counseling"}, {LabelHIV, "hiv"},
	{LabelSexualHealth, "sexual-health"}, {LabelViolence, "violence"}, {LabelGenetic, "genetic"}, {LabelAdolescent, "adolescent"},
	{LabelVIP, "vip"}, {LabelPatientHidden, "patient-hidden"},
}

// LabelNames are the names of the labels of a mask, in table order; of -1, all of them.
func LabelNames(mask int64) (out []string) {
	for _, l := range labelTable {
		if mask&l.label != 0 {
			out = append(out, l.name)
		}
	}
	return out
}

// LabelsNamed is the mask of names; unknown names give nothing.
func LabelsNamed(names ...string) (mask int64) {
	for _, n := range names {
		mask |= labelNamed(n)
	}
	return mask
}

func labelNamed(name string) Label {
	for _, l := range labelTable {
		if l.name == name {
			return l.label
		}
	}
	return 0
}
