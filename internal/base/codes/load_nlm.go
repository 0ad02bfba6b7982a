package codes

import (
	"fmt"
	"slices"
	"strings"

	"yarrow.health/internal/standards/terminology"
)

// rxnormTypes are the term types that are concepts of RxNorm, best name first (RxNorm technical documentation, appendix 5).
var rxnormTypes = map[string]int{"PSN": 1, "SCD": 2, "SBD": 2, "GPCK": 2, "BPCK": 2, "IN": 2, "PIN": 2, "MIN": 2, "BN": 2, "SCDF": 3, "SBDF": 3, "SCDG": 3, "SBDG": 3, "SCDC": 3, "SBDC": 3, "SCDGP": 3, "SCDFP": 3, "SBDFP": 3, "DF": 3, "DFG": 3}

// loadRxNorm reads RXNCONSO.RRF (rows of SAB=RXNORM only: the other sources in it have owners of their own) or an RxTerms file.
func loadRxNorm(in *input) (*draft, error) {
	d := newDraft()
	names := in.find(func(n string) bool { return n == "rxnconso.rrf" })
	terms := in.find(func(n string) bool {
		return strings.HasPrefix(n, "rxterms") && strings.HasSuffix(n, ".txt") && !strings.Contains(n, "ingredient") && !strings.Contains(n, "archive")
	})
	switch {
	case len(names) > 0:
		return d, rxnorm(in, names[0], d)
	case len(terms) > 0:
		return d, rxterms(in, terms[0], d)
	}
	return nil, wrongFiles(in, "rxnorm")
}

func rxnorm(in *input, m member, d *draft) error {
	other, best := 0, map[string]int{}
	err := in.lines(m, func(n int, line string) error {
		c := strings.Split(line, "|")
		// RXCUI LAT TS LUI STT SUI ISPREF RXAUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF
		if len(c) < 18 {
			return problem("structure", fmt.Sprintf("%s, line %d: 18 columns with bars were expected, there are %d.", m.name, n, len(c)), "Give RXNCONSO.RRF unchanged, as the NLM publishes it. If the line is the last one, the file is cut short.")
		}
		if c[11] != "RXNORM" {
			other++
			return nil
		}
		code, typ, name := c[0], c[12], c[14]
		if code == "" || strings.Trim(code, "0123456789") != "" {
			return problem("value", fmt.Sprintf("%s, line %d: %q is not an RxCUI.", m.name, n, code), "Give the file unchanged.")
		}
		rank, isConcept := rxnormTypes[typ]
		if !isConcept { // TMSY, SY, ET: further names
			if d.has(code) {
				e := &d.entries[d.at[code]]
				e.Designations = append(e.Designations, synonym(name))
			} else {
				d.put(terminology.Entry{Code: code, Designations: []terminology.Designation{synonym(name)}, Inactive: c[16] != "N" && c[16] != ""})
			}
			return nil
		}
		e := d.put(terminology.Entry{Code: code, Inactive: c[16] == "O" || c[16] == "Y"})
		if e.Display == "" || rank < best[code] {
			if e.Display != "" {
				e.Designations = append(e.Designations, synonym(e.Display))
			}
			e.Display, best[code] = name, rank
		} else {
			e.Designations = append(e.Designations, synonym(name))
		}
		if typ != "PSN" {
			e.Properties = append(e.Properties, terminology.Property{Code: "TTY", Type: "string", Value: typ})
			e.Inactive = c[16] == "O" || c[16] == "Y"
			// Ingredients and what can be prescribed come before components and groups.
			e.Heading = rank == 3
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range d.entries {
		if e := &d.entries[i]; e.Display == "" && len(e.Designations) > 0 {
			e.Display = e.Designations[0].Value
		}
	}
	if other > 0 {
		d.note("%d names of other sources than RxNorm itself were left out: they have owners of their own.", other)
	}
	for _, rel := range in.find(func(n string) bool { return n == "rxnrel.rrf" }) {
		err := in.lines(rel, func(n int, line string) error {
			c := strings.Split(line, "|")
			// RXCUI1 RXAUI1 STYPE1 REL RXCUI2 RXAUI2 STYPE2 RELA RUI SRUI SAB …; the relation RELA goes from 2 to 1
			if len(c) < 11 {
				return problem("structure", fmt.Sprintf("%s, line %d: 16 columns with bars were expected, there are %d.", rel.name, n, len(c)), "Give RXNREL.RRF unchanged.")
			}
			if c[10] != "RXNORM" || !d.has(c[0]) || !d.has(c[4]) {
				return nil
			}
			e := &d.entries[d.at[c[4]]]
			switch c[7] {
			case "isa":
				e.Parents = append(e.Parents, c[0])
			case "has_ingredient", "has_tradename", "has_dose_form", "consists_of", "form_of":
				e.Properties = append(e.Properties, terminology.Property{Code: c[7], Type: "code", Value: c[0]})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	d.version = rxnormDate(in)
	return nil
}

// rxnormDate finds the date of the release in the names given, such as RxNorm_full_07062026.zip.
func rxnormDate(in *input) string {
	for _, n := range in.names {
		for _, w := range strings.FieldsFunc(n, func(r rune) bool { return r < '0' || r > '9' }) {
			if len(w) == 8 && (strings.HasPrefix(w[4:], "19") || strings.HasPrefix(w[4:], "20")) && w[:2] <= "12" {
				return w[4:] + "-" + w[:2] + "-" + w[2:4]
			}
		}
	}
	return ""
}

// rxterms reads the NLM's interface terms: one row per clinical drug with a display name, strength and form.
func rxterms(in *input, m member, d *draft) error {
	err := in.table(m, '|', []need{{"rxcui"}, {"display_name"}, {"full_name"}}, func(r *row) error {
		code := r.get("rxcui")
		if strings.Trim(code, "0123456789") != "" {
			return r.fault(fmt.Sprintf("%q is not an RxCUI.", code), "Give the file unchanged.")
		}
		name := strings.TrimSpace(r.get("display_name") + " " + r.get("strength"))
		e := terminology.Entry{Code: code, Display: first(r.get("psn"), r.get("full_name"), name), Inactive: r.get("is_retired") != "" || r.get("suppress_for") != ""}
		e.Designations = []terminology.Designation{synonym(r.get("full_name")), synonym(name)}
		for _, w := range []string{r.get("brand_name"), r.get("display_name_synonym")} {
			if w != "" {
				e.Words = append(e.Words, strings.ReplaceAll(w, ";", ","))
			}
		}
		e.Properties = append(fact("TTY", "string", r.get("tty")), fact("strength", "string", r.get("strength"))...)
		e.Properties = append(e.Properties, fact("doseForm", "string", r.get("new_dose_form", "rxn_dose_form"))...)
		d.put(e)
		// The group a prescriber chooses first: name and form without strength.
		if group := r.get("sxdg_rxcui"); group != "" {
			d.put(terminology.Entry{Code: group, Display: r.get("sxdg_name", "display_name")})
			d.entries[d.at[code]].Parents = append(d.entries[d.at[code]].Parents, group)
		}
		return nil
	})
	if y := eightOrSix(m.name); y != "" {
		d.version = y
	}
	return err
}

// eightOrSix finds the month of a name such as RxTerms202606.txt.
func eightOrSix(name string) string {
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(w) >= 6 && strings.HasPrefix(w, "20") && w[4:6] >= "01" && w[4:6] <= "12" {
			return w[:4] + "-" + w[4:6]
		}
	}
	return ""
}

// loadLOINC reads Loinc.csv.
func loadLOINC(in *input) (*draft, error) {
	d := newDraft()
	files := in.find(func(n string) bool { return n == "loinc.csv" })
	if len(files) == 0 {
		return nil, wrongFiles(in, "loinc")
	}
	newest := ""
	err := in.table(files[0], ',', []need{{"loinc_num"}, {"component"}, {"long_common_name"}, {"status"}, {"class"}}, func(r *row) error {
		code := r.get("loinc_num")
		if at := strings.IndexByte(code, '-'); at < 1 || at != len(code)-2 || strings.Trim(code, "0123456789-") != "" {
			return r.fault(fmt.Sprintf("%q is not a LOINC code.", code), "Give Loinc.csv unchanged.")
		}
		status := r.get("status")
		e := terminology.Entry{Code: code, Display: first(r.get("long_common_name"), r.get("shortname"), r.get("component")), Definition: r.get("definitiondescription"), Inactive: status == "DEPRECATED" || status == "DISCOURAGED"}
		e.Designations = []terminology.Designation{synonym(r.get("shortname")), synonym(r.get("displayname")), synonym(r.get("consumer_name"))}
		for _, w := range strings.Split(r.get("relatednames2"), ";") {
			if w = strings.TrimSpace(w); w != "" && len(e.Words) < 40 {
				e.Words = append(e.Words, w)
			}
		}
		for _, p := range []string{"COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS", "CLASSTYPE", "STATUS", "ORDER_OBS", "EXAMPLE_UCUM_UNITS", "VersionLastChanged", "EXTERNAL_COPYRIGHT_NOTICE"} {
			e.Properties = append(e.Properties, fact(p, "string", r.get(strings.ToLower(p)))...)
		}
		if n := r.get("common_test_rank"); n != "" && n != "0" && len(n) <= 3 { // among the thousand most used
			e.Common = true
		}
		if v := r.get("versionlastchanged"); compareVersions(v, newest) > 0 {
			newest = v
		}
		d.put(e)
		return nil
	})
	if err == nil {
		err = loincParts(in, d)
	}
	d.version = newest
	return d, err
}

// loincParts reads the hierarchy of parts (LP…) from ComponentHierarchyBySystem.csv, or MultiAxialHierarchy.csv of editions before
// 2.74, where the release brings it: below each part are the parts and codes that it groups. Parts are headings, not results.
func loincParts(in *input, d *draft) error {
	files := in.find(func(n string) bool { return n == "componenthierarchybysystem.csv" || n == "multiaxialhierarchy.csv" })
	if len(files) == 0 {
		return nil
	}
	return in.table(files[0], ',', []need{{"immediate_parent"}, {"code"}, {"code_text"}}, func(r *row) error {
		code, parent := r.get("code"), r.get("immediate_parent")
		if !d.has(code) {
			if !strings.HasPrefix(code, "LP") {
				return nil // a code that Loinc.csv of this release does not have
			}
			d.put(terminology.Entry{Code: code, Display: r.get("code_text"), Abstract: true})
		}
		if e := &d.entries[d.at[code]]; parent != "" && parent != code && !slices.Contains(e.Parents, parent) {
			e.Parents = append(e.Parents, parent)
		}
		return nil
	})
}
