package auth

import (
	"bytes"
	"encoding/csv"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
)

const icd10cm = "http://hl7.org/fhir/sid/icd-10-cm"

func TestSensitivity(t *testing.T) {
	for _, c := range []struct {
		body string
		want int64
	}{
		{`{"resourceType":"Condition","code":{"coding":[{"system":"` + icd10cm + `","code":"F11.20"}]}}`, LabelSubstanceUse},
		{`{"resourceType":"Condition","code":{"coding":[{"system":"` + icd10cm + `","code":"F17.210"}]}}`, 0}, // tobacco
		{`{"resourceType":"Condition","code":{"coding":[{"system":"` + icd10cm + `","code":"K75.81"}]}}`, 0},  // not from alcohol
		{`{"resourceType":"Condition","code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10","code":"B24"}]}}`, LabelHIV},
		{`{"resourceType":"Condition","code":{"coding":[{"system":"` + icd10cm + `","code":"Z29.81"}]}}`, LabelHIV},
		{`{"resourceType":"Condition","code":{"coding":[{"system":"` + icd10cm + `","code":"O9A.311"}]}}`, LabelViolence},
		{`{"resourceType":"Condition","code":{"coding":[{"system":"` + icd10cm + `","code":"Z30.011"},{"system":"` + icd10cm + `","code":"Z15.01"}]}}`, LabelSexualHealth | LabelGenetic},
		{`{"resourceType":"MedicationRequest","medicationCodeableConcept":{"text":"Buprenorphine 8 mg / naloxone 2 mg film"}}`, LabelSubstanceUse},
		{`{"resourceType":"Condition","code":{"text":"Achivement"},"note":[{"text":"HIV was ruled out"}]}`, 0},
		{`{"resourceType":"Claim","diagnosis":[{"diagnosisCodeableConcept":{"coding":[{"system":"` + icd10cm + `","code":"B20"}]}}]}`, 0},
	} {
		n, err := fhirjson.Parse([]byte(c.body), fhirjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		typ := n.Get("resourceType").Text()
		if got := Sensitivity(typ, n); got != c.want {
			t.Errorf("%s: %b, not %b", c.body, got, c.want)
		}
	}
}

// The beginnings of ICD-10-CM codes stand for codes that exist and mean what their label says, and no code whose description says so
// was forgotten, against the codes of the fiscal year 2026. What is left out on purpose is named.
func TestSensitiveCodesExist(t *testing.T) {
	dir := corpustest.Folder(t, "codesets")
	if dir == "" {
		return
	}
	rows, err := csv.NewReader(bytes.NewReader(corpustest.Gunzip(t, filepath.Join(dir, "icd10cm-fy2026-billable.csv.gz")))).ReadAll()
	if err != nil || len(rows) < 70_000 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	elsewhere := strings.Fields("B21 B22 B23 B24 F02.4") // of ICD-10, which is not clinically modified
	must := map[Label]*regexp.Regexp{
		LabelSubstanceUse: regexp.MustCompile(`(?i)alcohol(ic|ism)? (abuse|depend|use|related|induced|fatty|hep|cirr|fib|poly|myo|cardio|gastr|liver)|alcohol-induced|due to alcohol|(opioid|cannabis|cocaine|hallucinogen|inhalant|stimulant|psychoactive substance|hypnotic or anxiolytic) (abuse|depend|use)|drug abuse couns|by (heroin|cocaine|cannabis|lysergide)`),
		LabelHIV:          regexp.MustCompile(`(?i)immunodeficiency virus|\bHIV\b`),
		LabelSexualHealth: regexp.MustCompile(`(?i)syphili|gonoc|gonorr|chlamyd|sexually transm|sexual behav|contracept|termination of pregnancy|trichomon|anogenital|unwanted pregn|gender ident|chancroid`),
		LabelViolence:     regexp.MustCompile(`(?i)(physical|sexual|psychological|child|adult|emotional) (and sexual )?abuse|maltreatment|\brape\b|exploitation`),
		LabelGenetic:      regexp.MustCompile(`(?i)genetic (susceptib|carrier|counsel|disease carrier)|asymptomatic hemophilia a carrier|cystic fibrosis carrier`),
	}
	leftOut := regexp.MustCompile(`^(F55|K75\.8|O35|P04|P96|Q86|Z63|Z71\.[45]2|Z81|Z83|A65|A70|A74|J16|P23|L29|O26|T38|T83)`) // not psychoactive, not from alcohol; of the child or the family; other germs; a device or a drug that failed
	hits := map[string]int{}
	for _, row := range rows[1:] {
		code, says := row[1], row[2]
		label := codeSensitivity(icd10cm, code)
		for _, b := range icdSensitivity {
			if strings.HasPrefix(code, b.begins) {
				hits[b.begins]++
				if b.label != label {
					t.Errorf("%s has two labels", code)
				}
			}
		}
		for want, re := range must {
			if re.MatchString(says) && label&want == 0 && !leftOut.MatchString(code) {
				t.Errorf("%s %q is not labelled", code, says)
			}
		}
	}
	for _, b := range icdSensitivity {
		if hits[b.begins] == 0 && !strings.Contains(" "+strings.Join(elsewhere, " ")+" ", " "+b.begins+" ") {
			t.Errorf("no code begins with %s", b.begins)
		}
	}
	t.Logf("%d codes begin with one of %d beginnings", func() (n int) {
		for _, c := range hits {
			n += c
		}
		return n
	}(), len(icdSensitivity))
}
