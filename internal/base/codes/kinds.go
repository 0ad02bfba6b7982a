package codes

import (
	"fmt"
	"strings"

	"yarrow.health/internal/standards/terminology"
)

// Kind is a code set that can be imported.
type Kind struct {
	Name    string // icd10cm
	System  string
	Title   string // ICD-10-CM
	Tier    Tier
	Licence string
	Files   string // which files its owner gives out, for help and errors
	load    func(in *input) (*draft, error)
	// retires: a code that the edition before had and this has not stays as a retired one.
	retires       bool
	caseSensitive bool
}

const (
	usWork       = "Public domain (work of the US government)."
	loincLicence = "This material contains content from LOINC (http://loinc.org). LOINC is copyright © Regenstrief Institute, Inc. and the Logical Observation Identifiers Names and Codes (LOINC) Committee and is available at no cost under the license at http://loinc.org/license."
	nlmLicence   = "This product uses publicly available data courtesy of the U.S. National Library of Medicine (NLM), National Institutes of Health, Department of Health and Human Services; NLM is not responsible for the product and does not endorse or recommend this or any other product."
)

// Kinds lists what can be imported.
func Kinds() []Kind {
	return []Kind{
		{Name: "icd10cm", System: terminology.ICD10CM, Title: "ICD-10-CM", Tier: Open, Licence: usWork + " CMS and CDC/NCHS.", load: loadICD10CM, retires: true,
			Files: "icd10cm-order-YYYY.txt, or a CSV with the columns code and description; icd10cm-tabular-YYYY.xml beside it gives chapters and synonyms"},
		{Name: "hcpcs", System: terminology.HCPCS, Title: "HCPCS Level II", Tier: Open, Licence: usWork + " CMS. The dental codes (D…) belong to the American Dental Association and are left out.", load: loadHCPCS, retires: true,
			Files: "HCPCYYYY_…_ANWEB.txt, or the same table as CSV"},
		{Name: "rxnorm", System: terminology.RxNorm, Title: "RxNorm", Tier: Open, Licence: nlmLicence, load: loadRxNorm, retires: true,
			Files: "RXNCONSO.RRF (with RXNREL.RRF and RXNSAT.RRF if wanted), or RxTermsYYYYMM.txt"},
		{Name: "ndc", System: NDC, Title: "NDC", Tier: Open, Licence: usWork + " FDA and CDC.", load: loadNDC, retires: true,
			Files: "product.txt and package.txt of the FDA's directory, or NDC_Unit_sale.txt and NDC_Unit_use.txt of the CDC"},
		{Name: "cvx", System: terminology.CVX, Title: "CVX", Tier: Open, Licence: usWork + " CDC.", load: loadCVX, Files: "cvx.xml or cvx.txt of the CDC; tradename.xml beside it gives brand names"},
		{Name: "mvx", System: MVX, Title: "MVX", Tier: Open, Licence: usWork + " CDC.", load: loadMVX, Files: "mvx.xml or mvx.txt of the CDC"},
		{Name: "loinc", System: terminology.LOINC, Title: "LOINC", Tier: Open, Licence: loincLicence, load: loadLOINC, Files: "Loinc.csv, or the whole release as .zip, whose ComponentHierarchyBySystem.csv gives the hierarchy"},
		{Name: "snomed", System: SNOMED, Title: "SNOMED CT", Tier: Licensed, Licence: "SNOMED CT is owned by SNOMED International. Whoever uses it needs an affiliate licence; in the United States the UMLS licence of the NLM gives one.", load: loadSNOMED, caseSensitive: true,
			Files: "the RF2 release as .zip, or its files sct2_Concept_Snapshot_…, sct2_Description_Snapshot_… and sct2_Relationship_Snapshot_…"},
		{Name: "cpt", System: CPT, Title: "CPT", Tier: Own, Licence: "CPT is a registered trademark of the American Medical Association. The practice brought this file under its own licence.", load: loadCPT, retires: true,
			Files: "LONGULT.txt, or a table with the columns CPT Code and Long Description, from your licensed distribution"},
		{Name: "nucc", System: NUCC, Title: "NUCC provider taxonomy", Tier: Own, Licence: "Copyright American Medical Association on behalf of the National Uniform Claim Committee.", load: loadNUCC, caseSensitive: true,
			Files: "nucc_taxonomy_NNN.csv"},
	}
}

// KindOf finds a kind by name; the Issue lists the names.
func KindOf(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds() {
		if k.Name == strings.ToLower(strings.ReplaceAll(name, "-", "")) {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, problem("value", fmt.Sprintf("There is no kind of code set called %q.", name), "Choose one of "+strings.Join(names, ", ")+".")
}

// wrongFiles says that none of the files is one the kind reads.
func wrongFiles(in *input, kind string) error {
	k, _ := KindOf(kind)
	return problem("not-found", fmt.Sprintf("None of the files is one of %s: given was %s.", k.Title, in.said()), "Give "+k.Files+". Plain, .gz and .zip are read.")
}
