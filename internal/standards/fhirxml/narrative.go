package fhirxml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// div reads narrative: the text of the element as it stands in the document, which JSON keeps as a string.
func (r *reader) div(start xml.StartElement) (string, error) {
	from := r.at
	if start.Name.Space != xhtml || start.Name.Local != "div" {
		return "", r.fail("Narrative is not a div of XHTML.", `Write <div xmlns="http://www.w3.org/1999/xhtml">…</div>.`)
	}
	own := false
	for _, a := range start.Attr {
		own = own || a.Name.Space == "" && a.Name.Local == "xmlns"
	}
	if !own || !bytes.HasPrefix(r.data[from:], []byte("<div")) {
		return "", r.fail("Narrative takes its namespace from outside.", `Write it on the div itself: <div xmlns="http://www.w3.org/1999/xhtml">.`)
	}
	for depth := 1; depth > 0; {
		r.at = r.d.InputOffset()
		t, err := r.d.Token()
		if err != nil {
			return "", r.fail("The narrative is not well-formed XML.", "Check its tags; only the entities &amp; &lt; &gt; &quot; &apos; and numbers are known.").Because(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if twice(t) {
				return "", r.fail("An attribute stands twice on one element.", "Remove one; readers differ in which they take.")
			}
			if t.Name.Space != xhtml || bytes.ContainsRune(tagName(r.data[r.at:]), ':') {
				return "", r.fail("Narrative holds something that is not XHTML.", "Keep to elements of XHTML without a prefix.")
			}
			if depth++; r.depth+depth > r.lim.Depth {
				return "", r.fail("The narrative is nested too deeply.", "Simplify it.")
			}
		case xml.EndElement:
			depth--
		case xml.ProcInst, xml.Directive:
			return "", r.fail("Narrative holds a declaration or processing instruction.", "Remove it.")
		}
	}
	r.depth--
	return string(r.data[from:r.d.InputOffset()]), nil
}

// tagName is the name in a start tag.
func tagName(b []byte) []byte {
	end := bytes.IndexAny(b, " \t\r\n/>")
	if end < 0 {
		return nil
	}
	return b[:end]
}

// errNarrative says that narrative from JSON cannot stand in an XML document.
var errNarrative = errors.New("fhirxml: the narrative is not well-formed XHTML")

// checkDiv reads narrative through before it goes into a document. Entities of HTML become characters, which XML does not know.
func checkDiv(div string) (string, error) {
	if checked := wellFormed(div); checked == nil {
		return div, nil
	}
	replaced := withoutEntities(div)
	return replaced, wellFormed(replaced)
}

func wellFormed(div string) error {
	d := xml.NewDecoder(strings.NewReader(div))
	depth, roots := 0, 0
	for {
		at := d.InputOffset()
		t, err := d.Token()
		if err == io.EOF {
			if depth == 0 && roots == 1 {
				return nil
			}
			return errNarrative
		}
		if err != nil {
			return errNarrative
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			own := false
			for _, a := range t.Attr {
				own = own || a.Name.Space == "" && a.Name.Local == "xmlns"
			}
			if twice(t) || depth == 0 && (!own || t.Name.Local != "div") || t.Name.Space != xhtml || strings.ContainsRune(string(tagName([]byte(div[at:min(len(div), int(at)+80)]))), ':') {
				return errNarrative
			}
			if depth++; depth > 60 {
				return errNarrative
			}
		case xml.EndElement:
			depth--
		case xml.ProcInst, xml.Directive:
			return errNarrative
		case xml.CharData:
			if depth == 0 {
				return errNarrative
			}
		case xml.Comment:
			if depth == 0 {
				return errNarrative
			}
		}
	}
}

// withoutEntities replaces the named entities of HTML by their characters.
func withoutEntities(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		if end := strings.IndexByte(s[:min(len(s), 12)], ';'); end > 0 {
			if c, ok := xml.HTMLEntity[s[1:end]]; ok && !strings.Contains("amp lt gt quot apos", s[1:end]) {
				b.WriteString(c)
				s = s[end+1:]
				continue
			}
		}
		b.WriteByte('&')
		s = s[1:]
	}
}
