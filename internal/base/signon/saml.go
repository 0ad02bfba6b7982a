package signon

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

// Entity is the name under which a practice is known to a SAML provider: the address of its metadata.
func (s *SignOn) Entity(p auth.Practice, id string) string {
	return s.base + "/" + p.Slug + "/sign-in/with/" + id + "/metadata"
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}

// Metadata describes the practice to a SAML provider (saml-metadata-2.0-os §2.4.4). It holds nothing secret.
func (s *SignOn) Metadata(ctx context.Context, p auth.Practice, id string) ([]byte, error) {
	c, err := s.one(ctx, p.ID, id)
	if err != nil {
		return nil, err
	}
	if c.Kind != SAML {
		return nil, noSuchConnection()
	}
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="` + nsMetadata + `" entityID="` + escaped(s.Entity(p, id)) + `">
  <md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true" protocolSupportEnumeration="` + nsProtocol + `">
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
    <md:AssertionConsumerService Binding="` + bindingPost + `" Location="` + escaped(s.Return(p, id)) + `" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
`), nil
}

// askSAML is the address that a person is sent to (saml-bindings-2.0-os §3.4, HTTP-Redirect).
func (s *SignOn) askSAML(p auth.Practice, c *Connection, state string, a ask) (string, error) {
	force := ""
	if a.fresh() {
		force = ` ForceAuthn="true"`
	}
	wanted := ""
	if len(c.Contexts) > 0 {
		wanted = `<samlp:RequestedAuthnContext Comparison="exact">`
		for _, x := range c.Contexts {
			wanted += `<saml:AuthnContextClassRef>` + escaped(x) + `</saml:AuthnContextClassRef>`
		}
		wanted += `</samlp:RequestedAuthnContext>`
	}
	text := `<samlp:AuthnRequest xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `" ID="` + a.Request + `" Version="2.0" IssueInstant="` +
		a.Begun.UTC().Format(time.RFC3339) + `" Destination="` + escaped(c.Address) + `" ProtocolBinding="` + bindingPost + `" AssertionConsumerServiceURL="` + escaped(s.Return(p, c.ID)) + `"` + force +
		`><saml:Issuer>` + escaped(s.Entity(p, c.ID)) + `</saml:Issuer><samlp:NameIDPolicy AllowCreate="true"/>` + wanted + `</samlp:AuthnRequest>`
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	u, err := url.Parse(c.Address)
	if err != nil {
		return "", err
	}
	v := u.Query()
	v.Set("SAMLRequest", base64.StdEncoding.EncodeToString(packed.Bytes()))
	v.Set("RelayState", state)
	u.RawQuery = v.Encode()
	return u.String(), nil
}

// answerSAML turns the response that Receive kept into what the provider says about the person (saml-profiles-2.0-os §4.1.4.3).
func (s *SignOn) answerSAML(ctx context.Context, p auth.Practice, c *Connection, a ask) (statement, error) {
	if a.Response == "" {
		return statement{}, lost()
	}
	raw, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "", " ", "").Replace(a.Response))
	if err != nil {
		return statement{}, wrongf("the response is not in base64")
	}
	response, err := parseXML(raw)
	if err != nil {
		return statement{}, err
	}
	if !is(response, nsProtocol, "Response") {
		return statement{}, wrongf("the provider sent something else than a response")
	}
	// What the response says around the assertion is not signed as a rule: it can only make us refuse.
	if code := only(only(response, nsProtocol, "Status"), nsProtocol, "StatusCode"); code == nil || code.SelectAttrValue("Value", "") != success {
		words := ""
		if code != nil {
			words = code.SelectAttrValue("Value", "")
			if inner := only(code, nsProtocol, "StatusCode"); inner != nil {
				words = inner.SelectAttrValue("Value", "")
			}
		}
		return statement{}, wrongf("the provider did not sign the person in: %s", clip(words))
	}
	if to := response.SelectAttrValue("Destination", ""); to != "" && to != s.Return(p, c.ID) {
		return statement{}, wrongf("the response is for %q", clip(to))
	}
	if response.SelectAttrValue("InResponseTo", "") != a.Request {
		return statement{}, wrongf("the response answers another request")
	}
	now := s.clock.Now()
	assertion, err := verified(response, []byte(c.Certificates), now)
	if err != nil {
		return statement{}, err
	}
	st, until, err := s.asserted(assertion, p, c, a, now)
	if err != nil {
		return statement{}, err
	}
	once, err := s.spend(ctx, p.ID, c.ID+"|"+assertion.SelectAttrValue("ID", ""), until.Add(2*clockSkew))
	if err == nil && !once {
		err = wrongf("the assertion was used before")
	}
	return st, err
}

// moment reads a time of an element; zero when it is not given.
func moment(e *etree.Element, name string) (time.Time, error) {
	text := e.SelectAttrValue(name, "")
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, wrongf("%s is no time with a zone", name)
	}
	return t, nil
}

// asserted reads a verified assertion, and says until when it may be used.
func (s *SignOn) asserted(e *etree.Element, p auth.Practice, c *Connection, a ask, now time.Time) (st statement, until time.Time, err error) {
	if issuer := content(only(e, nsAssertion, "Issuer")); issuer != c.Entity {
		return st, until, wrongf("the assertion is of %q", clip(issuer))
	}
	if v := e.SelectAttrValue("Version", ""); v != "2.0" {
		return st, until, wrongf("the assertion is of version %q", clip(v))
	}
	if until, err = s.conditions(e, p, c, now); err != nil {
		return st, until, err
	}
	subject := only(e, nsAssertion, "Subject")
	name := only(subject, nsAssertion, "NameID")
	st.subject = content(name)
	if st.subject == "" || len(st.subject) > 255 {
		return st, until, wrongf("the assertion names nobody")
	}
	if name.SelectAttrValue("Format", "") == transient {
		return st, until, wrongf("the provider gives people another name each time: have it send a persistent NameID")
	}
	confirmed := false
	for _, conf := range children(subject, nsAssertion, "SubjectConfirmation") {
		data := only(conf, nsAssertion, "SubjectConfirmationData")
		if conf.SelectAttrValue("Method", "") != bearer || data == nil {
			continue
		}
		end, err := moment(data, "NotOnOrAfter")
		if err != nil {
			return st, until, err
		}
		if data.SelectAttrValue("Recipient", "") == s.Return(p, c.ID) && data.SelectAttrValue("InResponseTo", "") == a.Request &&
			!end.IsZero() && now.Before(end.Add(clockSkew)) && data.SelectAttr("NotBefore") == nil {
			confirmed = true
			if end.After(until) {
				until = end
			}
		}
	}
	if !confirmed {
		return st, until, wrongf("the assertion is not meant for this practice, this request and this time (SubjectConfirmation)")
	}
	statements := children(e, nsAssertion, "AuthnStatement")
	if len(statements) == 0 {
		return st, until, wrongf("the assertion does not say that the person signed in")
	}
	at, err := moment(statements[0], "AuthnInstant")
	if err != nil || at.IsZero() || at.Sub(now) > clockSkew {
		return st, until, wrongf("the assertion does not say when the person signed in")
	}
	if at.After(now) {
		at = now
	}
	if end, err := moment(statements[0], "SessionNotOnOrAfter"); err != nil || !end.IsZero() && !now.Before(end) {
		return st, until, wrongf("the person's session at the provider has ended")
	}
	if a.fresh() && at.Before(a.Begun.Add(-clockSkew)) {
		return st, until, wrongf("the provider did not ask the person again (AuthnInstant)")
	}
	st.at = at
	st.context = content(only(only(statements[0], nsAssertion, "AuthnContext"), nsAssertion, "AuthnContextClassRef"))
	st.contexts = []string{st.context}
	st.attributes(e, c, name.SelectAttrValue("Format", "") == emailFormat)
	return st, until, nil
}

// conditions checks what an assertion may be used for.
func (s *SignOn) conditions(e *etree.Element, p auth.Practice, c *Connection, now time.Time) (until time.Time, err error) {
	cond := only(e, nsAssertion, "Conditions")
	if cond == nil {
		return until, wrongf("the assertion has no conditions")
	}
	from, err := moment(cond, "NotBefore")
	if err != nil {
		return until, err
	}
	if until, err = moment(cond, "NotOnOrAfter"); err != nil {
		return until, err
	}
	switch {
	case from.Sub(now) > clockSkew:
		return until, wrongf("the assertion is not valid yet")
	case until.IsZero() || !now.Before(until.Add(clockSkew)):
		return until, wrongf("the assertion has expired")
	}
	meant := false
	for _, k := range cond.ChildElements() {
		switch {
		case is(k, nsAssertion, "AudienceRestriction"):
			here := slices.ContainsFunc(children(k, nsAssertion, "Audience"), func(x *etree.Element) bool { return content(x) == s.Entity(p, c.ID) })
			if !here {
				return until, wrongf("the assertion is for another audience than %s", s.Entity(p, c.ID))
			}
			meant = true
		case is(k, nsAssertion, "OneTimeUse"), is(k, nsAssertion, "ProxyRestriction"):
		default:
			return until, wrongf("the assertion has a condition that is not understood: %s", clip(k.Tag))
		}
	}
	if !meant {
		return until, wrongf("the assertion names no audience")
	}
	return until, nil
}

// The attributes in which providers usually send a mail address and a name.
var (
	mailAttributes = []string{"urn:oid:0.9.2342.19200300.100.1.3", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", "mail", "email", "Email", "emailAddress"}
	nameAttributes = []string{"urn:oid:2.16.840.1.113730.3.1.241", "http://schemas.microsoft.com/identity/claims/displayname", "displayName", "name"}
)

func (st *statement) attributes(e *etree.Element, c *Connection, mailName bool) {
	values := map[string][]string{}
	for _, list := range children(e, nsAssertion, "AttributeStatement") {
		for _, at := range children(list, nsAssertion, "Attribute") {
			for _, v := range children(at, nsAssertion, "AttributeValue") {
				if text := content(v); text != "" {
					name := at.SelectAttrValue("Name", "")
					values[name] = append(values[name], text)
				}
			}
		}
	}
	first := func(names []string) string {
		for _, n := range names {
			if len(values[n]) == 1 { // of several nobody could say which
				return values[n][0]
			}
		}
		return ""
	}
	if c.MailAttribute != "" {
		st.mail = first([]string{c.MailAttribute})
	} else if st.mail = first(mailAttributes); st.mail == "" && mailName {
		st.mail = st.subject
	}
	st.vouched = true // the signature covers it, and the connection names the domains it is believed about
	st.display = first(nameAttributes)
	st.groups = values[c.groupsFrom()]
	if c.GroupsFrom == "" {
		st.groups = append(st.groups, values["http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"]...)
	}
}

// ReadMetadata reads a SAML provider's metadata: its name, the address of its sign-in and its certificates.
func ReadMetadata(text []byte) (entity, address, pems string, err error) {
	bad := func(why string) error {
		return fhir.Problem("value", "The metadata cannot be used: "+why+".", "Paste the whole XML that the provider offers for download.").At("metadata")
	}
	if len(text) > maxDocument {
		return "", "", "", bad("it is too long")
	}
	// Metadata may be signed, and may hold comments; only what an administrator sees in the form afterwards counts.
	root := etree.NewDocument()
	if err := root.ReadFromBytes(text); err != nil || root.Root() == nil {
		return "", "", "", bad("it is no XML")
	}
	for _, t := range root.Child {
		if _, ok := t.(*etree.Directive); ok {
			return "", "", "", bad("it has a document type")
		}
	}
	e := root.Root()
	if !is(e, nsMetadata, "EntityDescriptor") {
		return "", "", "", bad("it does not describe one provider")
	}
	idp := only(e, nsMetadata, "IDPSSODescriptor")
	if idp == nil {
		return "", "", "", bad("it describes no identity provider")
	}
	entity = e.SelectAttrValue("entityID", "")
	for _, sso := range children(idp, nsMetadata, "SingleSignOnService") {
		if sso.SelectAttrValue("Binding", "") == bindingRedirect {
			address = sso.SelectAttrValue("Location", "")
			break
		}
	}
	if address == "" {
		return "", "", "", bad("it names no address for HTTP-Redirect")
	}
	for _, k := range children(idp, nsMetadata, "KeyDescriptor") {
		if use := k.SelectAttrValue("use", ""); use != "" && use != "signing" {
			continue
		}
		each(k, func(x *etree.Element) {
			if !is(x, nsSignature, "X509Certificate") {
				return
			}
			der, derr := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(x.Text()), ""))
			if derr != nil {
				err = bad("a certificate is not in base64")
				return
			}
			pems += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		})
	}
	if err == nil && pems == "" {
		err = bad("it names no certificate to check signatures with")
	}
	return entity, address, pems, err
}
