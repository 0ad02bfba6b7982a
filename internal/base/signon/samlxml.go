package signon

import (
	"bytes"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// Namespaces and names of SAML 2.0.
const (
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	bearer          = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	transient       = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	emailFormat     = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	success         = "urn:oasis:names:tc:SAML:2.0:status:Success"
	excC14N         = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped       = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
)

// maxResponse is the most that a provider may have posted, in base64.
const maxResponse = 512 << 10

// Limits of an XML document.
const (
	maxXMLDepth    = 40
	maxXMLElements = 5000
)

// plainXML refuses whatever has been used to make two readers see two documents in one text: document types and entities,
// comments, processing instructions, other encodings, CDATA, names bound twice, identifiers given twice.
func plainXML(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = true
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("signon: only UTF-8") }
	if bytes.Contains(text, []byte("<![")) || bytes.IndexByte(text, 0) >= 0 {
		return wrongf("the document has a CDATA section or a NUL")
	}
	depth, elements, roots := 0, 0, 0
	ids := map[string]bool{}
	for {
		before := d.InputOffset()
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &wrong{"the document is no XML", err}
		}
		switch t := t.(type) {
		case xml.Directive:
			return wrongf("the document has a document type")
		case xml.Comment:
			return wrongf("the document has a comment")
		case xml.ProcInst:
			if t.Target != "xml" || before != 0 {
				return wrongf("the document has a processing instruction")
			}
		case xml.StartElement:
			if depth++; depth == 1 {
				roots++
			}
			if elements++; elements > maxXMLElements || depth > maxXMLDepth || len(t.Attr) > 50 {
				return wrongf("the document is too large")
			}
			seen := map[xml.Name]bool{}
			for _, a := range t.Attr {
				if seen[a.Name] {
					return wrongf("the document has an attribute twice")
				}
				seen[a.Name] = true
				if strings.EqualFold(a.Name.Local, "ID") {
					if ids[a.Value] {
						return wrongf("the document has an identifier twice")
					}
					ids[a.Value] = true
				}
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && strings.TrimSpace(string(t)) != "" {
				return wrongf("the document has text outside")
			}
		}
	}
	if roots != 1 || depth != 0 {
		return wrongf("the document is not one element")
	}
	return nil
}

// parseXML reads a document that plainXML let pass.
func parseXML(text []byte) (*etree.Element, error) {
	if err := plainXML(text); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil || doc.Root() == nil {
		return nil, &wrong{"the document is no XML", err}
	}
	return doc.Root(), nil
}

func is(e *etree.Element, ns, name string) bool { return e.Tag == name && e.NamespaceURI() == ns }

// each visits an element and all beneath it.
func each(e *etree.Element, visit func(*etree.Element)) {
	visit(e)
	for _, c := range e.ChildElements() {
		each(c, visit)
	}
}

// children are the elements of a name directly beneath another.
func children(e *etree.Element, ns, name string) (out []*etree.Element) {
	for _, c := range e.ChildElements() {
		if is(c, ns, name) {
			out = append(out, c)
		}
	}
	return out
}

// only is the one child of a name; nil when there is none or more.
func only(e *etree.Element, ns, name string) *etree.Element {
	if e == nil {
		return nil
	}
	if all := children(e, ns, name); len(all) == 1 {
		return all[0]
	}
	return nil
}

// content is an element's text when it holds nothing else.
func content(e *etree.Element) string {
	if e == nil || len(e.ChildElements()) > 0 {
		return ""
	}
	return strings.TrimSpace(e.Text())
}

// verified gives the assertion of a response as its signature covers it, read anew from the signed bytes: nothing else of the
// response may be believed. The shape is decided first, so that no second assertion, no signature at another place and no reference
// to another element (XSW1 to XSW8) reaches the check of the signature.
func verified(response *etree.Element, trusted []byte, now time.Time) (*etree.Element, error) {
	var assertions, signatures []*etree.Element
	encrypted := false
	each(response, func(e *etree.Element) {
		switch {
		case e.Tag == "Assertion":
			assertions = append(assertions, e)
		case e.Tag == "Signature":
			signatures = append(signatures, e)
		case e.Tag == "EncryptedAssertion":
			encrypted = true
		}
	})
	switch {
	case encrypted:
		return nil, wrongf("the assertion is encrypted: switch that off at the provider, the connection is encrypted already")
	case len(assertions) != 1 || assertions[0].Parent() != response || !is(assertions[0], nsAssertion, "Assertion"):
		return nil, wrongf("the response does not hold exactly one assertion")
	}
	assertion := assertions[0]
	var own *etree.Element
	for _, sig := range signatures {
		switch {
		case !is(sig, nsSignature, "Signature"):
			return nil, wrongf("the response has a signature of another kind")
		case sig.Parent() == assertion && own == nil:
			own = sig
		case sig.Parent() == response && len(signatures) <= 2:
		default:
			return nil, wrongf("the response has a signature at an odd place")
		}
	}
	if own == nil {
		return nil, wrongf("the assertion itself is not signed: have the provider sign assertions")
	}
	if err := soundSignature(own, assertion.SelectAttrValue("ID", "")); err != nil {
		return nil, err
	}
	certs, err := certificates(string(trusted))
	if err != nil {
		return nil, &wrong{"the certificates of the connection cannot be used", err}
	}
	ctx, err := etreeutils.NSBuildParentContext(assertion)
	if err != nil {
		return nil, &wrong{"the namespaces cannot be read", err}
	}
	apart, err := etreeutils.NSDetatch(ctx, assertion)
	if err != nil {
		return nil, &wrong{"the namespaces cannot be read", err}
	}
	for _, cert := range certs {
		check := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
		check.Clock = dsig.NewFakeClockAt(now)
		covered, failed := check.Validate(apart.Copy())
		if failed != nil {
			err = failed
			continue
		}
		if !is(covered, nsAssertion, "Assertion") || covered.SelectAttrValue("ID", "") != assertion.SelectAttrValue("ID", "") {
			return nil, wrongf("the signature covers something else")
		}
		return covered, nil
	}
	return nil, &wrong{"the assertion's signature is wrong, or not made with a certificate of the connection", err}
}

// soundSignature says what is wrong with a signature before it is computed: it must cover one element, the assertion, as a whole, with
// algorithms that count today.
func soundSignature(sig *etree.Element, id string) error {
	info := only(sig, nsSignature, "SignedInfo")
	ref := only(info, nsSignature, "Reference")
	if id == "" || ref == nil || ref.SelectAttrValue("URI", "") != "#"+id {
		return wrongf("the signature does not cover the assertion")
	}
	algorithm := func(e *etree.Element) string {
		if e == nil {
			return ""
		}
		return e.SelectAttrValue("Algorithm", "")
	}
	if c := algorithm(only(info, nsSignature, "CanonicalizationMethod")); c != excC14N {
		return wrongf("the signature uses the canonical form %q", clip(c))
	}
	switch m := algorithm(only(info, nsSignature, "SignatureMethod")); m {
	case "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512":
	default:
		return wrongf("the signature uses %q: have the provider sign with SHA-256", clip(m))
	}
	switch m := algorithm(only(ref, nsSignature, "DigestMethod")); m {
	case "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512":
	default:
		return wrongf("the signature digests with %q: have the provider use SHA-256", clip(m))
	}
	transforms := only(ref, nsSignature, "Transforms")
	if transforms == nil {
		return wrongf("the signature names no transforms")
	}
	var used []string
	for _, t := range transforms.ChildElements() {
		used = append(used, t.SelectAttrValue("Algorithm", ""))
	}
	if !slices.Equal(used, []string{enveloped, excC14N}) {
		return wrongf("the signature uses other transforms than it may")
	}
	return nil
}
