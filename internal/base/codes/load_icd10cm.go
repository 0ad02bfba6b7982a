package codes

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"

	"yarrow.health/internal/standards/terminology"
)

var icdCode = regexp.MustCompile(`^[A-Z][0-9A-Z][0-9A-Z]([0-9A-Z]{1,4})?$`)

// loadICD10CM reads the CMS order file, or a CSV of codes, and the tabular XML for chapters, sections and inclusion terms.
func loadICD10CM(in *input) (*draft, error) {
	d := newDraft()
	orders := in.find(func(n string) bool {
		return strings.HasPrefix(n, "icd10cm") && strings.Contains(n, "order") && strings.HasSuffix(n, ".txt") && !strings.Contains(n, "addenda")
	})
	tables := in.find(func(n string) bool { return strings.HasSuffix(n, ".csv") })
	tabular := in.find(func(n string) bool {
		return strings.HasSuffix(n, ".xml") && strings.Contains(n, "tabular") && !strings.Contains(n, "addenda")
	})
	if len(orders)+len(tables)+len(tabular) == 0 {
		return nil, wrongFiles(in, "icd10cm")
	}
	said := ""
	for _, m := range orders {
		if err := icdOrder(in, m, d); err != nil {
			return nil, err
		}
		said = m.name
	}
	for _, m := range tables {
		if err := icdTable(in, m, d); err != nil {
			return nil, err
		}
		if said == "" {
			said = m.name
		}
	}
	complete := len(d.entries) > 0
	for _, m := range tabular {
		if err := icdTabular(in, m, d, complete); err != nil {
			return nil, err
		}
		if said == "" {
			said = d.version
		}
	}
	d.version = ""
	if y := year.FindStringSubmatch(said); y != nil {
		d.fiscal(y[1])
	}
	// The parent of a code is its longest beginning that is a code; sections come from the tabular file.
	for i := range d.entries {
		e := &d.entries[i]
		if len(e.Parents) > 0 || !icdCode.MatchString(strings.ReplaceAll(e.Code, ".", "")) {
			continue
		}
		for c := strings.ReplaceAll(e.Code, ".", ""); len(c) > 3; {
			c = c[:len(c)-1]
			if d.has(dotted(c)) {
				e.Parents = []string{dotted(c)}
				break
			}
		}
	}
	return d, nil
}

// fiscal sets edition and dates: the edition of 2026 is in force from 1 October 2025 to 30 September 2026.
func (d *draft) fiscal(y string) {
	n := 0
	fmt.Sscan(y, &n)
	d.version, d.from, d.until = "FY"+y, fmt.Sprintf("%d-10-01", n-1), fmt.Sprintf("%d-09-30", n)
}

func dotted(code string) string {
	if len(code) > 3 {
		return code[:3] + "." + code[3:]
	}
	return code
}

// icdOrder reads the order file (CMS, "ICD-10-CM order file format"): columns 7-13 the code, 15 whether it is billable, 17-76 the short
// and from 78 the long title.
func icdOrder(in *input, m member, d *draft) error {
	return in.lines(m, func(n int, line string) error {
		if strings.TrimSpace(line) == "" {
			return nil
		}
		if len(line) < 78 || line[5] != ' ' || line[14] != '0' && line[14] != '1' || line[15] != ' ' {
			return problem("structure", fmt.Sprintf("%s, line %d: this is no line of the ICD-10-CM order file.", m.name, n), "Give icd10cm-order-YYYY.txt unchanged, as CMS publishes it. If the line is the last one, the file is cut short.")
		}
		code := strings.TrimSpace(line[6:13])
		if !icdCode.MatchString(code) {
			return problem("value", fmt.Sprintf("%s, line %d: %q is not an ICD-10-CM code.", m.name, n, code), "Give the file unchanged.")
		}
		billable := line[14] == '1'
		e := terminology.Entry{Code: dotted(code), Display: line[77:], Heading: !billable, Properties: fact("billable", "boolean", fmt.Sprint(billable))}
		if short := strings.TrimSpace(line[16:76]); short != "" && !strings.EqualFold(short, strings.TrimSpace(line[77:])) {
			e.Designations = append(e.Designations, synonym(short))
		}
		d.put(e)
		return nil
	})
}

// icdTable reads a CSV of billable codes. A column last_fy names the last year of a code that is retired.
func icdTable(in *input, m member, d *draft) error {
	return in.table(m, ',', []need{{"dotted", "code"}, {"description", "long description", "long_description"}}, func(r *row) error {
		code := strings.ToUpper(strings.ReplaceAll(r.get("code", "dotted"), ".", ""))
		if !icdCode.MatchString(code) {
			return r.fault(fmt.Sprintf("%q is not an ICD-10-CM code.", code), "Check the column code.")
		}
		e := terminology.Entry{Code: dotted(code), Display: r.get("description", "long description", "long_description"), Properties: fact("billable", "boolean", "true")}
		if last := r.get("last_fy"); last != "" {
			e.Inactive = true
			e.Properties = append(e.Properties, terminology.Property{Code: "lastEdition", Type: "string", Value: "FY" + last})
		}
		d.put(e)
		return nil
	})
}

type tabularDiag struct {
	Name       string        `xml:"name"`
	Desc       string        `xml:"desc"`
	Inclusions []string      `xml:"inclusionTerm>note"`
	Diags      []tabularDiag `xml:"diag"`
}

type tabularSection struct {
	ID    string        `xml:"id,attr"`
	Desc  string        `xml:"desc"`
	Diags []tabularDiag `xml:"diag"`
}

type tabularChapter struct {
	Name     string           `xml:"name"`
	Desc     string           `xml:"desc"`
	Sections []tabularSection `xml:"section"`
}

// icdTabular reads the tabular list: chapters and sections become headings above the codes, inclusion terms synonyms. When another file
// has told the codes, those it lacks are left out, so that last year's tabular list adds no code.
func icdTabular(in *input, m member, d *draft, known bool) error {
	return in.read(m, func(r io.Reader) error {
		x := xml.NewDecoder(r)
		x.Strict = true
		seen := false
		for {
			t, err := x.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if _, bad := t.(xml.Directive); bad {
				return problem("structure", m.name+" has a DOCTYPE.", "Give the file of the CDC unchanged.")
			}
			start, ok := t.(xml.StartElement)
			if !ok {
				continue
			}
			switch start.Name.Local {
			case "version":
				if err := x.DecodeElement(&d.version, &start); err != nil {
					return err
				}
			case "chapter":
				var c tabularChapter
				if err := x.DecodeElement(&c, &start); err != nil {
					return err
				}
				seen = true
				if err := icdChapter(in, m, d, &c, known); err != nil {
					return err
				}
			}
		}
		if !seen {
			return problem("structure", m.name+" has no chapters of the ICD-10-CM tabular list.", "Give icd10cm-tabular-YYYY.xml of the CDC.")
		}
		return nil
	})
}

func icdChapter(in *input, m member, d *draft, c *tabularChapter, known bool) error {
	chapter := "chapter-" + strings.TrimSpace(c.Name)
	d.put(terminology.Entry{Code: chapter, Display: c.Desc, Abstract: true})
	for _, s := range c.Sections {
		section := "section-" + s.ID
		if s.ID == "" {
			continue
		}
		desc := strings.TrimSpace(s.Desc)
		d.put(terminology.Entry{Code: section, Display: desc, Abstract: true, Parents: []string{chapter}})
		var walk func(list []tabularDiag, parent string) error
		walk = func(list []tabularDiag, parent string) error {
			for _, g := range list {
				if err := in.tick(m.name); err != nil {
					return err
				}
				code := dotted(strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(g.Name), ".", "")))
				below := parent
				if icdCode.MatchString(strings.ReplaceAll(code, ".", "")) && (!known || d.has(code) || len(g.Diags) > 0) {
					billable := len(g.Diags) == 0
					e := d.put(terminology.Entry{Code: code, Display: g.Desc, Heading: !billable})
					if len(e.Parents) == 0 {
						e.Parents = []string{parent}
					}
					for _, n := range g.Inclusions {
						e.Designations = append(e.Designations, synonym(n))
					}
					below = code
				}
				if err := walk(g.Diags, below); err != nil {
					return err
				}
			}
			return nil
		}
		if err := walk(s.Diags, section); err != nil {
			return err
		}
	}
	return nil
}
