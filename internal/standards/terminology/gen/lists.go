package main

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"log"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

//go:embed icd10cm.txt
var icdList string

//go:embed rxnorm.txt
var drugList string

//go:embed allergens.txt
var allergenList string

//go:embed hcpcs.txt
var hcpcsList string

func (g *generator) table(path, what, licence string) [][]string {
	r := csv.NewReader(strings.NewReader(g.read(path, what, licence)))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	check(err)
	return rows
}

// diagnoses takes the chosen ICD-10-CM codes with their long titles.
func (g *generator) diagnoses() {
	rows := g.table("codesets/icd10cm-fy2026-billable.csv.gz", "codes and long titles of common ambulatory diagnoses", publicDomain+" CMS/NCHS.")
	g.head("http://hl7.org/fhir/sid/icd-10-cm", "ICD-10-CM", "FY2026", publicDomain+" CMS and CDC/NCHS.")
	taken := map[string]bool{}
	lines(icdList, func(common bool, f []string) {
		for n, pattern := range strings.Fields(f[0]) {
			re := regexp.MustCompile("^" + strings.NewReplacer(".", `\.`, "*", ".*", "?", ".").Replace(pattern) + "$")
			hit := false
			for _, r := range rows[1:] {
				r[1] = strings.TrimSuffix(r[1], ".")
				if !re.MatchString(r[1]) {
					continue
				}
				hit = true
				if !taken[r[1]] {
					taken[r[1]] = true
					g.row(r[1], r[2], "", words(f[1]), nil, nil, flag(common && n == 0))
				}
			}
			if !hit {
				log.Printf("icd10cm.txt: nothing matches %s", pattern)
			}
		}
	})
	log.Printf("%d diagnoses", len(taken))
}

// rx holds what the VA's NDF-RT map says: ingredient codes by upper-case name, and the
// clinical drugs by their VA product name.
type rx struct {
	ingredient map[string]string
	products   []product
}

type product struct{ code, name string }

func (g *generator) ingredients() rx {
	text := g.read("ddi/ndf-rt/NDFRT_RxNorm_mappings.csv.gz", "RxNorm codes of ingredients and of clinical drugs", publicDomain+" US Department of Veterans Affairs, NDF-RT.")
	m := rx{ingredient: map[string]string{}}
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ";", 3)
		if len(f) != 3 {
			continue
		}
		if name, ok := strings.CutSuffix(f[2], " [Chemical/Ingredient]"); ok {
			m.ingredient[strings.ToUpper(name)] = f[0]
		} else if strings.Contains(f[2], "MG") || strings.Contains(f[2], "UNT") || strings.Contains(f[2], "MCG") {
			m.products = append(m.products, product{f[0], strings.ToUpper(f[2])})
		} else if _, ok := m.ingredient[f[2]]; !ok {
			m.ingredient[f[2]] = f[0]
		}
	}
	return m
}

var salts = `( (HCL|SODIUM|NA|SO4|SULFATE|CALCIUM|CA|MALEATE|TARTRATE|SUCCINATE|BESYLATE|POTASSIUM|K|HBR|OXALATE|TRIHYDRATE|MESYLATE|FUMARATE|CITRATE|HYDROCHLORIDE|DISODIUM|MEDOXOMIL|CILEXETIL|ACETATE|MONOHYDRATE|HYCLATE|VK))?`

// strengthCode finds the clinical drug of an ingredient in one strength as a plain or
// long-acting tablet or capsule; "" when the map has none or several.
func (m rx) strengthCode(name, strength string, long bool) string {
	s := strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(strength, " ", ""), ",", ""))
	tails := []string{`TAB( \[VA| ?\[|,UD|$)`, `CAP( \[VA| ?\[|,UD|$)`} // tablets before capsules
	if long {
		tails = []string{`(TAB,SA|TAB,SA,24HR|TAB,EC)`, `(CAP,SA|CAP,SA,24HR|CAP,EC)`}
	}
	for _, tail := range tails {
		re := regexp.MustCompile(`^` + regexp.QuoteMeta(strings.ToUpper(name)) + salts + ` ` + regexp.QuoteMeta(s) + ` ` + tail)
		best := 0
		for _, p := range m.products {
			if re.MatchString(p.name) {
				if n, _ := strconv.Atoi(p.code); best == 0 || n < best {
					best = n
				}
			}
		}
		if best != 0 {
			return strconv.Itoa(best)
		}
	}
	return ""
}

var outpatient = []string{"Oral Pill", "Oral Liquid", "Chewable", "Inhalant", "Nasal", "Topical", "Ophthalmic", "Otic", "Transdermal", "Vaginal", "Sublingual", "Oral Disintegrating",
	"Oral Powder", "Oral Solution Powder", "Rectal", "Oral Lozenge", "Implant", "Oral Granules", "Oral Solution Granules", "Shampoo", "Oral Gel", "Oral Suspension Powder", "Buccal"}

// drugs takes the chosen generic medicines, one concept per dose form, and their ingredients.
func (g *generator) drugs(m rx) {
	var db [][]any
	check(json.Unmarshal([]byte(g.read("codesets/rxterms-202606/drug-db.json.gz", "codes, names and strengths of common generic medicines", "NLM, free with credit.")), &db))
	g.head("http://www.nlm.nih.gov/research/umls/rxnorm", "RxNorm", "RxTerms 2026-06", nlmNotice)
	count, singles := 0, map[string]bool{}
	var ingredients [][3]string
	lines(drugList, func(common bool, f []string) {
		name, shown, _ := strings.Cut(f[0], " => ")
		name, injectable := strings.CutSuffix(name, " +inj")
		var everyday []string
		if len(f) > 1 {
			everyday = words(f[1])
		}
		found := false
		for _, d := range db {
			show, code := d[0].(string), d[1].(string)
			at := strings.LastIndex(show, " (")
			if at < 0 || code == "NA" {
				continue
			}
			base, form := show[:at], strings.Trim(show[at:], " ()")
			rest, ok := strings.CutPrefix(strings.ToLower(base), strings.ToLower(name))
			if !ok || base == strings.ToUpper(base) && strings.ContainsAny(base, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && len(base) > 3 {
				continue
			}
			long := false
			switch strings.TrimSpace(rest) {
			case "":
			case "xr", "er", "sr", "dr", "ec", "la", "cr", "24hr", "12hr":
				long = true
			default:
				continue
			}
			if !slices.Contains(outpatient, form) && !(injectable && form == "Injectable") {
				continue
			}
			found = true
			if singles[code+show] {
				continue
			}
			singles[code+show] = true
			var strengths []string
			for _, s := range d[2].([]any) {
				strengths = append(strengths, s.(string))
			}
			sort.SliceStable(strengths, func(a, b int) bool { return number(strengths[a]) < number(strengths[b]) })
			if !strings.Contains(name, "/") && form == "Oral Pill" {
				for i, s := range strengths {
					if c := m.strengthCode(name, s, long); c != "" {
						strengths[i] = s + "=" + c
					}
				}
			}
			display := sentence(base)
			if shown != "" {
				display = shown + sentence(base[len(name):])
			}
			g.row(code, display, form, everyday, strengths, nil, flag(common && form == "Oral Pill" || common && form == "Inhalant" || common && form == "Injectable"))
			count++
		}
		if !found {
			log.Printf("rxnorm.txt: RxTerms has no %s", name)
		}
		if c := m.ingredient[strings.ToUpper(name)]; c != "" && !strings.Contains(name, "/") && !singles[c] {
			singles[c] = true
			ingredients = append(ingredients, [3]string{c, orElse(shown, sentence(name)), strings.Join(everyday, ";")})
		}
	})
	for _, i := range ingredients {
		g.row(i[0], i[1], "ingredient", words(i[2]), nil, nil, "")
	}
	log.Printf("%d medicines by form, %d ingredients", count, len(ingredients))
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// sentence undoes tall-man letters: "metFORMIN XR" becomes "Metformin XR".
func sentence(s string) string {
	f := strings.Split(s, " ")
	for i, w := range f {
		if len(w) <= 2 && w == strings.ToUpper(w) || w == "USP" {
			continue
		}
		parts := strings.Split(strings.ToLower(w), "/")
		for k, p := range parts {
			if k == 0 && i == 0 && p != "" {
				parts[k] = strings.ToUpper(p[:1]) + p[1:]
			}
		}
		f[i] = strings.Join(parts, "/")
	}
	return strings.Join(f, " ")
}

func number(s string) float64 {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != ',' })
	if end < 0 {
		end = len(s)
	}
	v, _ := strconv.ParseFloat(strings.ReplaceAll(s[:end], ",", ""), 64)
	if strings.Contains(s, "mcg") {
		v /= 1000
	}
	return v
}

func (g *generator) allergens(m rx) {
	g.head("https://yarrow.health/fhir/ValueSet/allergen", "Allergens", "our own list of common substances", ourWords+" RxNorm codes: "+nlmNotice)
	n := 0
	lines(allergenList, func(_ bool, f []string) {
		kind, name, _ := strings.Cut(f[1], ":")
		code := "https://yarrow.health/fhir/CodeSystem/allergen|" + name
		if kind == "rx" {
			c := m.ingredient[name]
			if c == "" {
				log.Printf("allergens.txt: no RxNorm ingredient %s", name)
				return
			}
			code = "http://www.nlm.nih.gov/research/umls/rxnorm|" + c
		}
		n++
		g.row(code, f[2], f[0], words(f[3]), nil, words(f[4]), "")
	})
	log.Printf("%d allergens", n)
}

// vaccines takes the CVX codes in use and those found in the records of living patients.
func (g *generator) vaccines() {
	var codes struct {
		List []struct {
			Short  string `xml:"ShortDescription"`
			Full   string `xml:"FullVaccinename"`
			Code   string `xml:"CVXCode"`
			Status string `xml:"Status"`
		} `xml:"CVXInfo"`
	}
	latin1(g.read("codesets/vaccines-cdc/cvx.xml.gz", "codes, names and status of vaccines", publicDomain+" CDC."), &codes)
	trade, group := map[string][]string{}, map[string]string{}
	for _, e := range pairs(g.read("codesets/vaccines-cdc/tradename.xml.gz", "trade names by CVX code", publicDomain+" CDC.")) {
		if len(e) > 2 {
			code := digits(e)
			if code != "" {
				trade[code] = append(trade[code], e[0])
			}
		}
	}
	for _, e := range pairs(g.read("codesets/vaccines-cdc/vac2vg.xml.gz", "vaccine groups by CVX code", publicDomain+" CDC.")) {
		if len(e) > 3 {
			group[strings.TrimLeft(e[1], "0")] = e[3]
		}
	}
	g.head("http://hl7.org/fhir/sid/cvx", "CVX", "CDC vaccine codes", publicDomain+" CDC.")
	n := 0
	for _, c := range codes.List {
		code, status := strings.TrimSpace(c.Code), strings.TrimSpace(c.Status)
		low := strings.ToLower(c.Full + " " + c.Short)
		if status != "Active" && status != "Inactive" || strings.Contains(low, "unspecified") && status == "Active" && !strings.Contains(low, "influenza") {
			continue
		}
		if status == "Inactive" && group[strings.TrimLeft(code, "0")] == "" {
			continue
		}
		flags := ""
		if status == "Inactive" {
			flags = "r"
		}
		key := strings.TrimLeft(code, "0")
		w := trade[key]
		slices.Sort(w)
		w = append(slices.Compact(w), everydayVaccine(low)...)
		if c.Full != c.Short {
			w = append([]string{c.Full}, w...)
		}
		g.row(code, c.Short, group[key], w, nil, nil, flags)
		n++
	}
	log.Printf("%d vaccines", n)
}

func everydayVaccine(low string) []string {
	var out []string
	for _, p := range [][2]string{{"influenza", "flu shot"}, {"covid", "COVID shot"}, {"tetanus", "tetanus shot"}, {"tdap", "whooping cough"}, {"measles", "MMR"}, {"varicella", "chickenpox"},
		{"zoster", "shingles shot"}, {"pneumococcal", "pneumonia shot"}, {"papilloma", "HPV; Gardasil"}, {"meningococcal", "meningitis"}, {"hepatitis b", "hep B"}, {"hepatitis a", "hep A"}, {"polio", "IPV"}, {"respiratory syncytial", "RSV"}} {
		if strings.Contains(low, p[0]) && !strings.Contains(low, p[0]+"e") {
			out = append(out, words(p[1])...)
		}
	}
	return out
}

func latin1(text string, into any) {
	text = strings.Replace(text, "ISO-8859-1", "UTF-8", 1)
	check(xml.Unmarshal([]byte(strings.ToValidUTF8(text, " ")), into))
}

// pairs reads CDC's crosswalks: the trimmed texts of each record's leaves, in order.
func pairs(text string) [][]string {
	d := xml.NewDecoder(strings.NewReader(strings.ToValidUTF8(strings.Replace(text, "ISO-8859-1", "UTF-8", 1), " ")))
	var out [][]string
	depth := 0
	for {
		t, err := d.Token()
		if err != nil {
			return out
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth == 2 {
				out = append(out, nil)
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if s := strings.TrimSpace(string(t)); s != "" && depth > 2 && s != "Name" && s != "Value" {
				out[len(out)-1] = append(out[len(out)-1], s)
			}
		}
	}
}

func digits(e []string) string {
	for _, s := range e[1:] {
		if _, err := strconv.Atoi(s); err == nil {
			return strings.TrimLeft(s, "0")
		}
	}
	return ""
}

// procedures takes the chosen HCPCS codes with CMS's short texts.
func (g *generator) procedures() {
	rows := g.table("codesets/hcpcs-level2-2025-10.csv.gz", "a few codes and short texts of ambulatory care", publicDomain+" CMS; dental D codes are left out.")
	texts := map[string]string{}
	for _, r := range rows[1:] {
		if c := strings.TrimSpace(r[1]); len(c) == 5 && c[0] != 'D' {
			if texts[c] == "" {
				texts[c] = strings.TrimSpace(r[5])
			}
		}
	}
	g.head("http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "HCPCS Level II", "2025-10", publicDomain+" CMS.")
	n := 0
	lines(hcpcsList, func(_ bool, f []string) {
		for _, c := range strings.Fields(f[0]) {
			if texts[c] == "" {
				log.Printf("hcpcs.txt: no %s", c)
				continue
			}
			n++
			g.row(c, texts[c], "", words(f[1]), nil, nil, "")
		}
	})
	log.Printf("%d procedures and supplies", n)
}
