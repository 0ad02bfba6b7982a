package codes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"yarrow.health/internal/standards/terminology"
)

// Numbers of SNOMED CT's metadata concepts.
const (
	sctIsA       = "116680003"
	sctFSN       = "900000000000003001"
	sctSynonym   = "900000000000013009"
	sctPreferred = "900000000000548007"
	sctUSEnglish = "900000000000509007"
)

// loadSNOMED reads an RF2 snapshot: concepts, descriptions, is-a relationships, and the language refset for preferred names.
func loadSNOMED(in *input) (*draft, error) {
	d := newDraft()
	part := func(word string) []member {
		return in.find(func(n string) bool {
			return strings.Contains(n, word) && strings.HasSuffix(n, ".txt") && (strings.Contains(n, "_snapshot") || strings.Contains(n, "snapshot-"))
		})
	}
	concepts, names, links := part("_concept_"), part("_description_"), part("_relationship_")
	for _, need := range []struct {
		name string
		have []member
	}{{"sct2_Concept_Snapshot", concepts}, {"sct2_Description_Snapshot", names}, {"sct2_Relationship_Snapshot", links}} {
		if len(need.have) == 0 {
			if len(concepts)+len(names)+len(links) == 0 {
				return nil, wrongFiles(in, "snomed")
			}
			return nil, problem("not-found", "The file "+need.name+"_… is missing.", "Give the whole release as .zip, or all three snapshot files.")
		}
	}
	id := func(r *row, name string) (string, error) {
		s := r.get(name)
		if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
			return "", r.fault(fmt.Sprintf("%q is not a SNOMED CT identifier (column %s).", s, name), "Give the RF2 file unchanged.")
		}
		return s, nil
	}
	for _, m := range concepts {
		err := in.table(m, '\t', []need{{"id"}, {"active"}, {"effectivetime"}, {"definitionstatusid"}}, func(r *row) error {
			code, err := id(r, "id")
			if err != nil {
				return err
			}
			d.put(terminology.Entry{Code: code, Inactive: r.get("active") != "1"})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	preferred := map[string]bool{}
	for _, m := range in.find(func(n string) bool { return strings.Contains(n, "crefset_language") && strings.Contains(n, "snapshot") }) {
		err := in.table(m, '\t', []need{{"refsetid"}, {"referencedcomponentid"}, {"acceptabilityid"}, {"active"}}, func(r *row) error {
			if r.get("active") == "1" && r.get("refsetid") == sctUSEnglish && r.get("acceptabilityid") == sctPreferred {
				preferred[r.get("referencedcomponentid")] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	chosen := make([]uint8, len(d.entries)) // how good the name is that a concept has
	for _, m := range names {
		err := in.table(m, '\t', []need{{"id"}, {"active"}, {"conceptid"}, {"languagecode"}, {"typeid"}, {"term"}}, func(r *row) error {
			if r.get("active") != "1" {
				return nil
			}
			code, err := id(r, "conceptid")
			if err != nil {
				return err
			}
			at, ok := d.at[code]
			if !ok {
				return nil
			}
			e, term, lang := &d.entries[at], r.get("term"), r.get("languagecode")
			if lang != "en" {
				e.Designations = append(e.Designations, terminology.Designation{Language: lang, UseSystem: SNOMED, Use: r.get("typeid"), Value: term})
				return nil
			}
			rank := uint8(1)
			switch {
			case r.get("typeid") == sctSynonym && preferred[r.get("id")]:
				rank = 4
			case r.get("typeid") == sctFSN:
				rank = 2
				if tag := strings.LastIndex(term, " ("); tag > 0 && strings.HasSuffix(term, ")") {
					e.Properties = append(e.Properties, terminology.Property{Code: "semanticTag", Type: "string", Value: term[tag+2 : len(term)-1]})
				}
			case r.get("typeid") != sctSynonym:
				return nil // text definitions
			case len(preferred) == 0:
				rank = 3
			}
			if rank > chosen[at] {
				if e.Display != "" {
					e.Designations = append(e.Designations, terminology.Designation{Language: "en", UseSystem: SNOMED, Use: sctSynonym, Value: e.Display})
				}
				e.Display, chosen[at] = term, rank
			} else {
				e.Designations = append(e.Designations, terminology.Designation{Language: "en", UseSystem: SNOMED, Use: r.get("typeid"), Value: term})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, m := range links {
		if strings.Contains(strings.ToLower(m.name), "stated") {
			continue
		}
		err := in.table(m, '\t', []need{{"active"}, {"sourceid"}, {"destinationid"}, {"typeid"}}, func(r *row) error {
			if r.get("active") != "1" || r.get("typeid") != sctIsA {
				return nil
			}
			from, err := id(r, "sourceid")
			if err != nil {
				return err
			}
			to, err := id(r, "destinationid")
			if err != nil {
				return err
			}
			if at, ok := d.at[from]; ok && d.has(to) && !slices.Contains(d.entries[at].Parents, to) {
				d.entries[at].Parents = append(d.entries[at].Parents, to)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	bare := 0
	for i := range d.entries {
		if d.entries[i].Display == "" {
			d.entries[i].Display = d.entries[i].Code
			bare++
		}
	}
	if bare > 0 {
		d.note("%d concepts have no English name and show their number.", bare)
	}
	d.version = dateIn(concepts[0].name)
	return d, nil
}

var cptCode = regexp.MustCompile(`^[0-9]{4}[0-9A-Z]$`)

// loadCPT reads the practice's own licensed file: LONGULT (a code, a space, the text), or any table with a column for the code and one
// for the description.
func loadCPT(in *input) (*draft, error) {
	d := newDraft()
	plain := in.find(func(n string) bool {
		return strings.HasSuffix(n, ".txt") && (strings.Contains(n, "longult") || strings.Contains(n, "medu") || strings.Contains(n, "shortu"))
	})
	tables := in.find(func(n string) bool {
		return strings.HasSuffix(n, ".csv") || strings.HasSuffix(n, ".tsv") || strings.HasSuffix(n, ".txt") && !strings.Contains(n, "longult") && !strings.Contains(n, "medu") && !strings.Contains(n, "shortu")
	})
	if len(plain)+len(tables) == 0 {
		return nil, wrongFiles(in, "cpt")
	}
	name := ""
	for _, m := range plain {
		name = m.name
		begun := false
		err := in.lines(m, func(n int, line string) error {
			code, text, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok || !cptCode.MatchString(code) {
				if begun && strings.TrimSpace(line) != "" {
					return problem("structure", fmt.Sprintf("%s, line %d: this line has no CPT code in front.", m.name, n), "Give the file unchanged, as you got it with your licence.")
				}
				return nil // the licence's words stand before the first code
			}
			begun = true
			e := d.put(terminology.Entry{Code: code, Display: text})
			if e.Display != text {
				e.Designations = append(e.Designations, synonym(text))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !begun {
			return nil, problem("structure", m.name+" has no line with a CPT code in front.", "Give LONGULT.txt or a table with a head line.")
		}
	}
	for _, m := range tables {
		name = m.name
		sep := '\t'
		if strings.HasSuffix(strings.ToLower(m.name), ".csv") {
			sep = ','
		}
		err := in.table(m, sep, []need{{"cpt code", "cpt", "code", "cpt_code"}, {"long description", "long", "description", "clinician descriptor", "consumer friendly descriptor", "medium", "descriptor"}}, func(r *row) error {
			code := r.get("cpt code", "cpt", "code", "cpt_code")
			if !cptCode.MatchString(code) {
				return r.fault(fmt.Sprintf("%q is not a CPT code.", code), "Check the column with the codes.")
			}
			text := r.get("long description", "long", "description", "clinician descriptor", "consumer friendly descriptor", "medium", "descriptor")
			e := d.put(terminology.Entry{Code: code, Display: text})
			if e.Display != text {
				e.Designations = append(e.Designations, synonym(text))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if y := year.FindStringSubmatch(name); y != nil {
		d.version, d.from, d.until = y[1], y[1]+"-01-01", y[1]+"-12-31"
	}
	return d, nil
}

// loadNUCC reads the provider taxonomy. Groupings and classifications become headings.
func loadNUCC(in *input) (*draft, error) {
	d := newDraft()
	files := in.find(func(n string) bool { return strings.HasSuffix(n, ".csv") && strings.Contains(n, "taxonomy") })
	if len(files) == 0 {
		return nil, wrongFiles(in, "nucc")
	}
	err := in.table(files[0], ',', []need{{"code"}, {"grouping"}, {"classification"}, {"specialization"}}, func(r *row) error {
		code := r.get("code")
		if len(code) != 10 || !strings.HasSuffix(code, "X") {
			return r.fault(fmt.Sprintf("%q is not a taxonomy code.", code), "Give the file unchanged.")
		}
		name := r.get("display name")
		if name == "" {
			name = r.get("classification")
			if s := r.get("specialization"); s != "" {
				name = s + " (" + name + ")"
			}
		}
		e := terminology.Entry{Code: code, Display: name, Definition: r.get("definition")}
		for _, p := range []string{"Grouping", "Classification", "Specialization", "Section"} {
			e.Properties = append(e.Properties, fact(strings.ToLower(p), "string", r.get(strings.ToLower(p)))...)
		}
		if r.get("specialization") != "" && d.has(code[:4]+"00000X") {
			e.Parents = []string{code[:4] + "00000X"}
		}
		d.put(e)
		return nil
	})
	for _, w := range strings.FieldsFunc(files[0].name, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(w) == 3 {
			d.version = w[:2] + "." + w[2:]
		}
	}
	return d, err
}
