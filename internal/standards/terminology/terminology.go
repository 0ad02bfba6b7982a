// Package terminology finds codes for what people type: diagnoses, medicines, substances
// people are allergic to, vaccines, common laboratory tests and vital signs.
//
// It owns a committed starter set of some 2,500 concepts in our own compact form, generated
// by gen from the owners' files (data/MANIFEST.md names source, hash and licence of each),
// the search over it, and the table of tests with units and ranges. It never holds CPT,
// never holds SNOMED CT text, and never claims to be complete: Edition says which release
// a search went through. Complete releases are another package's business.
package terminology

import "strings"

// Code systems and lists that can be searched.
const (
	ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
	RxNorm  = "http://www.nlm.nih.gov/research/umls/rxnorm"
	CVX     = "http://hl7.org/fhir/sid/cvx"
	LOINC   = "http://loinc.org"
	HCPCS   = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
	// Allergens is a list: its concepts are RxNorm ingredients or our own codes (OwnSubstance).
	Allergens    = "https://yarrow.health/fhir/ValueSet/allergen"
	OwnSubstance = "https://yarrow.health/fhir/CodeSystem/allergen"
)

// Concept is one thing that can be chosen.
type Concept struct {
	System  string
	Code    string
	Display string
	// Words are everyday names and abbreviations people search by ("high blood pressure",
	// "HTN", brand names). They are ours, not the code system's.
	Words []string
	// Group says what kind of thing it is: for RxNorm "ingredient" or the dose form
	// ("Oral Pill"); for allergens medication, food, environment or biologic; for LOINC
	// vital-sign or laboratory; for CVX the vaccine group.
	Group string
	// Strengths lists the strengths a medicine comes in, weakest first.
	Strengths []Strength
	// Reactions lists the usual reactions to an allergen, likeliest first.
	Reactions []string
	// Retired is set when new records should no longer use the code.
	Retired bool
	common  uint8
}

// Strength is one strength of a medicine. Code is the RxNorm clinical drug (ingredient,
// strength and form) where the starter set knows it, else "".
type Strength struct {
	Text string // "10 mg"
	Code string
}

// Edition says what a search went through; every picker shows it.
type Edition struct {
	System   string
	Name     string // "ICD-10-CM"
	Release  string // of the source, as its owner names it
	Concepts int
	Complete bool   // false: a starter set; the code wanted may exist although it was not found
	Licence  string // the notice its owner asks for
}

// Said is the sentence a picker shows under its results.
func (e Edition) Said() string {
	if e.Complete {
		return e.Name + " " + e.Release
	}
	return e.Name + " starter set, from " + e.Release
}

// Editions lists every system and list that can be searched.
func Editions() []Edition {
	return append([]Edition(nil), load().editions...)
}

// EditionOf tells which release Search goes through for a system or list.
func EditionOf(system string) (Edition, bool) {
	for _, e := range load().editions {
		if e.System == system {
			return e, true
		}
	}
	return Edition{}, false
}

// Lookup finds a concept by its exact code. ICD-10-CM codes are found with or without
// their dot. Allergens are found under Allergens as well as under their own system.
func Lookup(system, code string) (Concept, bool) {
	t := load()
	if i, ok := t.byCode[system+"|"+normal(system, code)]; ok {
		return t.concepts[i], true
	}
	return Concept{}, false
}

// normal is the spelling codes are kept under.
func normal(system, code string) string {
	code = strings.ToUpper(strings.TrimSpace(code))
	if system == ICD10CM {
		code = strings.ReplaceAll(code, ".", "")
	}
	return code
}
