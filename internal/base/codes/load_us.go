package codes

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"

	"yarrow.health/internal/standards/terminology"
)

var hcpcsCode = regexp.MustCompile(`^([A-Z][0-9]{4}|[A-Z0-9]{2})$`)

// loadHCPCS reads the alpha-numeric file of CMS, in its fixed columns or as CSV. Two-character codes are modifiers.
func loadHCPCS(in *input) (*draft, error) {
	d := newDraft()
	fixed := in.find(func(n string) bool {
		return strings.HasPrefix(n, "hcpc") && strings.HasSuffix(n, ".txt") && !strings.Contains(n, "recordlayout")
	})
	tables := in.find(func(n string) bool { return strings.HasSuffix(n, ".csv") })
	if len(fixed)+len(tables) == 0 {
		return nil, wrongFiles(in, "hcpcs")
	}
	dental := 0
	add := func(code, long, short, added, ended string) {
		if strings.HasPrefix(code, "D") && len(code) == 5 {
			dental++
			return
		}
		e := terminology.Entry{Code: code, Display: long}
		if long == "" {
			e.Display = short
		} else if short != "" && !strings.EqualFold(long, short) {
			e.Designations = append(e.Designations, synonym(short))
		}
		if len(code) == 2 {
			e.Properties = append(e.Properties, terminology.Property{Code: "modifier", Type: "boolean", Value: "true"})
		}
		e.Properties = append(e.Properties, fact("added", "dateTime", added)...)
		e.Properties = append(e.Properties, fact("ended", "dateTime", ended)...)
		d.put(e)
	}
	name := ""
	for _, m := range tables {
		name = m.name
		err := in.table(m, ',', []need{{"hcpc", "hcpcs", "code"}, {"long description", "description"}}, func(r *row) error {
			code := r.get("hcpc", "hcpcs", "code")
			if !hcpcsCode.MatchString(code) {
				return r.fault(fmt.Sprintf("%q is not a HCPCS code.", code), "Check the column HCPC.")
			}
			add(code, r.get("long description", "description"), r.get("short description"), day(r.get("add dt")), day(r.get("term dt")))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, m := range fixed {
		name = m.name
		var code, long, short, added, ended string
		flush := func() {
			if code != "" {
				add(code, long, short, added, ended)
			}
		}
		err := in.lines(m, func(n int, line string) error {
			if strings.TrimSpace(line) == "" {
				return nil
			}
			if len(line) < 92 || line[10] < '1' || line[10] > '9' {
				return problem("structure", fmt.Sprintf("%s, line %d: this is no line of the HCPCS alpha-numeric file.", m.name, n), "Give HCPCYYYY_…_ANWEB.txt unchanged, as CMS publishes it.")
			}
			cell := func(from, to int) string {
				if len(line) < from {
					return ""
				}
				return strings.TrimSpace(line[from-1 : min(to, len(line))])
			}
			switch line[10] { // record id: 3 procedure, 4 its continuation, 7 modifier, 8 its continuation
			case '3', '7':
				flush()
				code = cell(1, 5)
				if !hcpcsCode.MatchString(code) {
					return problem("value", fmt.Sprintf("%s, line %d: %q is not a HCPCS code.", m.name, n, code), "Give the file unchanged.")
				}
				long, short, added, ended = cell(12, 91), cell(92, 119), day(cell(269, 276)), day(cell(285, 292))
			case '4', '8':
				long += " " + cell(12, 91)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		flush()
	}
	if dental > 0 {
		d.note("%d dental codes (D…) were left out: they belong to the American Dental Association.", dental)
	}
	d.version = quarter(name)
	for i := range d.entries { // a code that ends later than the edition begins is still in force
		for _, p := range d.entries[i].Properties {
			if p.Code == "ended" && (d.version == "" || p.Value <= d.version+"-01") {
				d.entries[i].Inactive = true
			}
		}
	}
	return d, nil
}

var months = map[string]string{"jan": "01", "apr": "04", "jul": "07", "oct": "10", "january": "01", "april": "04", "july": "07", "october": "10"}

// quarter finds the edition in a name such as HCPC2026_JAN_ANWEB.txt or hcpcs-2025-10.csv.
func quarter(name string) string {
	y := year.FindStringSubmatch(name)
	if y == nil {
		return ""
	}
	rest := name[strings.Index(name, y[1])+4:]
	for _, w := range strings.FieldsFunc(strings.ToLower(rest), func(r rune) bool { return r == '_' || r == '-' || r == '.' || r == ' ' }) {
		if m := months[w]; m != "" {
			return y[1] + "-" + m
		}
		if len(w) == 2 && w >= "01" && w <= "12" {
			return y[1] + "-" + w
		}
	}
	return y[1]
}

// cdcRow is a record of the CDC's XML files, in either of their two shapes: named elements, or pairs of Name and Value.
type cdcRow map[string]string

// cdc reads the records of a CDC XML file, or of the text file with bars and without head line, whose columns are named here.
func cdc(in *input, m member, element string, columns []string, fn func(cdcRow) error) error {
	if strings.HasSuffix(strings.ToLower(m.name), ".txt") {
		return in.lines(m, func(n int, line string) error {
			if strings.TrimSpace(line) == "" {
				return nil
			}
			cells := strings.Split(line, "|")
			if len(cells) < len(columns)-1 {
				return problem("structure", fmt.Sprintf("%s, line %d: %d columns with bars were expected, there are %d.", m.name, n, len(columns), len(cells)), "Give the text file of the CDC unchanged.")
			}
			r := cdcRow{}
			for i, c := range columns {
				if i < len(cells) {
					r[c] = strings.TrimSpace(cells[i])
				}
			}
			return fn(r)
		})
	}
	return in.read(m, func(f io.Reader) error {
		x := xml.NewDecoder(f)
		x.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return latin(r), nil }
		found := false
		var r cdcRow
		var name, text string
		for {
			t, err := x.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			switch t := t.(type) {
			case xml.Directive:
				return problem("structure", m.name+" has a DOCTYPE.", "Give the file of the CDC unchanged.")
			case xml.StartElement:
				if t.Name.Local == element {
					r, found, name = cdcRow{}, true, ""
				}
				text = ""
			case xml.CharData:
				if text += string(t); len(text) > longestLine {
					return problem("structure", m.name+" holds a text of more than 4 MB.", "Give the file of the CDC unchanged.")
				}
			case xml.EndElement:
				s := strings.TrimSpace(text)
				switch {
				case t.Name.Local == element:
					if err := in.tick(m.name); err != nil {
						return err
					}
					if err := fn(r); err != nil {
						return err
					}
					r = nil
				case r == nil:
				case t.Name.Local == "Name":
					name = s
				case t.Name.Local == "Value":
					r[name] = s
				default:
					r[t.Name.Local] = s
				}
				text = ""
			}
		}
		if !found {
			return problem("structure", fmt.Sprintf("%s has no <%s> records.", m.name, element), "Give the file of the CDC unchanged.")
		}
		return nil
	})
}

// latin reads ISO-8859-1 as UTF-8.
func latin(r io.Reader) io.Reader { return &latinReader{r: r} }

type latinReader struct {
	r    io.Reader
	rest []byte
}

func (l *latinReader) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		buf := make([]byte, 4096)
		n, err := l.r.Read(buf)
		if n == 0 {
			return 0, err
		}
		for _, b := range buf[:n] {
			if b < 0x80 {
				l.rest = append(l.rest, b)
			} else {
				l.rest = append(l.rest, 0xC0|b>>6, 0x80|b&0x3F)
			}
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func isInactive(status string) bool {
	switch strings.ToLower(status) {
	case "inactive", "never active", "non-us", "pending":
		return true
	}
	return false
}

// loadCVX reads the CDC's vaccines administered, with brand names as search words when tradename.xml is there.
func loadCVX(in *input) (*draft, error) {
	d := newDraft()
	files := in.find(func(n string) bool { return n == "cvx.xml" || n == "cvx.txt" })
	if len(files) == 0 {
		return nil, wrongFiles(in, "cvx")
	}
	newest := ""
	err := cdc(in, files[0], "CVXInfo", []string{"CVXCode", "ShortDescription", "FullVaccinename", "Notes", "Status", "NonVaccine", "LastUpdated"}, func(r cdcRow) error {
		code := first(r["CVXCode"], r["CVX Code"])
		if code == "" || len(code) > 4 {
			return problem("value", fmt.Sprintf("%s: %q is not a CVX code.", files[0].name, code), "Give the file of the CDC unchanged.")
		}
		if len(code) == 1 {
			code = "0" + code
		}
		e := terminology.Entry{Code: code, Display: first(r["ShortDescription"], r["FullVaccinename"]), Inactive: isInactive(r["Status"])}
		e.Designations = append(e.Designations, synonym(r["FullVaccinename"]))
		e.Properties = append(fact("status", "string", r["Status"]), fact("notes", "string", r["Notes"])...)
		d.put(e)
		newest = max(newest, day(r["LastUpdated"]))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, m := range in.find(func(n string) bool { return n == "tradename.xml" }) {
		err := cdc(in, m, "prodInfo", nil, func(r cdcRow) error {
			if code := first(r["CVXCode"], r["CVX Code"]); d.has(code) || d.has("0"+code) {
				if !d.has(code) {
					code = "0" + code
				}
				e := &d.entries[d.at[code]]
				e.Words = append(e.Words, strings.ReplaceAll(first(r["CDC Product Name"], r["CDC_Product_Name"]), ";", ","))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	d.version = newest
	return d, nil
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// loadMVX reads the CDC's manufacturers.
func loadMVX(in *input) (*draft, error) {
	d := newDraft()
	files := in.find(func(n string) bool { return n == "mvx.xml" || n == "mvx.txt" })
	if len(files) == 0 {
		return nil, wrongFiles(in, "mvx")
	}
	newest := ""
	err := cdc(in, files[0], "MVXInfo", []string{"MVX_CODE", "Manufacturer Name", "Notes", "Status", "Last Updated"}, func(r cdcRow) error {
		code := first(r["MVX_CODE"], r["MVXCode"])
		if code == "" || len(code) > 5 {
			return problem("value", fmt.Sprintf("%s: %q is not an MVX code.", files[0].name, code), "Give the file of the CDC unchanged.")
		}
		d.put(terminology.Entry{Code: code, Display: first(r["Manufacturer Name"], r["ManufacturerName"]), Inactive: isInactive(r["Status"]), Properties: fact("notes", "string", r["Notes"])})
		newest = max(newest, day(first(r["Last Updated"], r["LastUpdated"])))
		return nil
	})
	d.version = newest
	return d, err
}

// loadNDC reads the FDA's directory (product.txt, package.txt) or the CDC's vaccine packages. Codes are the eleven digits without
// hyphens that claims carry; the printed form with hyphens is a designation.
func loadNDC(in *input) (*draft, error) {
	d := newDraft()
	products := in.find(func(n string) bool { return n == "product.txt" })
	packages := in.find(func(n string) bool { return n == "package.txt" })
	vaccines := in.find(func(n string) bool { return n == "ndc_unit_sale.txt" || n == "ndc_unit_use.txt" })
	if len(products)+len(vaccines) == 0 {
		return nil, wrongFiles(in, "ndc")
	}
	if len(products) > 0 && len(packages) == 0 {
		return nil, problem("not-found", "product.txt is there, package.txt is not.", "Give both files of the FDA's directory; the packages carry the codes.")
	}
	type product struct{ name, words, ended string }
	by := map[string]product{}
	for _, m := range products {
		err := in.table(m, '\t', []need{{"productndc"}, {"proprietaryname"}, {"nonproprietaryname"}}, func(r *row) error {
			name := strings.TrimSpace(r.get("proprietaryname") + " " + r.get("proprietarynamesuffix"))
			strength := strings.TrimSpace(r.get("active_numerator_strength") + " " + r.get("active_ingred_unit"))
			by[r.get("productndc")] = product{strings.Join(strings.Fields(name+" "+strength+" "+strings.ToLower(r.get("dosageformname"))), " "), r.get("nonproprietaryname"), day(r.get("endmarketingdate"))}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, m := range packages {
		err := in.table(m, '\t', []need{{"productndc"}, {"ndcpackagecode"}}, func(r *row) error {
			printed := r.get("ndcpackagecode")
			code, ok := ElevenDigits(printed)
			if !ok {
				return r.fault(fmt.Sprintf("%q is not an NDC.", printed), "Give the file of the FDA unchanged.")
			}
			p := by[r.get("productndc")]
			ended := first(day(r.get("endmarketingdate")), p.ended)
			e := terminology.Entry{Code: code, Display: strings.TrimSpace(p.name + ", " + r.get("packagedescription")), Designations: []terminology.Designation{synonym(printed)}, Properties: fact("ended", "dateTime", ended)}
			if p.words != "" {
				e.Words = []string{strings.ReplaceAll(p.words, ";", ",")}
			}
			d.put(e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, m := range vaccines {
		err := in.lines(m, func(n int, line string) error {
			c := strings.Split(line, "|")
			if strings.TrimSpace(line) == "" {
				return nil
			}
			if len(c) < 13 {
				return problem("structure", fmt.Sprintf("%s, line %d: 13 columns with bars were expected, there are %d.", m.name, n, len(c)), "Give the text file of the CDC unchanged.")
			}
			printed := strings.TrimSpace(c[1]) + "-" + strings.TrimSpace(c[2]) + "-" + strings.TrimSpace(c[3])
			code, ok := ElevenDigits(printed)
			if !ok {
				d.note("%s, line %d: %s is not an NDC and was left out.", m.name, n, printed)
				return nil
			}
			d.put(terminology.Entry{Code: code, Display: strings.TrimSpace(c[4] + ", " + strings.TrimSpace(c[9])), Words: []string{strings.ReplaceAll(strings.TrimSpace(c[5]), ";", ",")},
				Designations: []terminology.Designation{synonym(printed)}, Properties: fact("ended", "dateTime", day(c[8]))})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// ElevenDigits gives the form of an NDC that claims carry: labeler, product and package filled up with zeros to 5, 4 and 2 digits
// (45 CFR 162.1002 names the NDC; the filling is HIPAA practice). Without hyphens only eleven digits are unambiguous.
func ElevenDigits(ndc string) (string, bool) {
	parts := strings.Split(strings.TrimSpace(ndc), "-")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if len(parts) == 1 && len(ndc) == 11 && digits(ndc) {
		return ndc, true
	}
	if len(parts) != 3 {
		return "", false
	}
	out := ""
	for i, n := range []int{5, 4, 2} {
		if p := parts[i]; p == "" || len(p) > n || !digits(p) {
			return "", false
		}
		out += strings.Repeat("0", n-len(parts[i])) + parts[i]
	}
	return out, true
}
