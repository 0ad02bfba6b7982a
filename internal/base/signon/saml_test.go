package signon

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
)

const entity = "https://idp.example.org/entity"

// saml is a connection to a SAML provider that signs with the test's key.
func (w *world) saml(change func(*Connection)) string {
	w.t.Helper()
	text, _ := certificate(w.t, signingKey(), w.d.Clock.Now())
	c := Connection{Kind: SAML, Name: "Alder SAML", Enabled: true, Domains: []string{"alder.example"}, Entity: entity, Address: "https://idp.example.org/sso?x=1", Certificates: text}
	if change != nil {
		change(&c)
	}
	return w.save(c)
}

// request reads the request that a browser carries to the provider.
func (w *world) request(b Begun) *etree.Element {
	w.t.Helper()
	u, err := url.Parse(b.To)
	if err != nil {
		w.t.Fatal(err)
	}
	packed, err := base64.StdEncoding.DecodeString(u.Query().Get("SAMLRequest"))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		w.t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil {
		w.t.Fatal(err)
	}
	if u.Query().Get("RelayState") != b.State || u.Query().Get("x") != "1" {
		w.t.Errorf("sent to %s", b.To)
	}
	return doc.Root()
}

// answer is what a provider says, with the places that tests bend.
type answer struct {
	ID, Issuer, Recipient, Request, Audience, NameID, Format, Mail, Context string
	End, From, At                                                           time.Time
	Hash                                                                    string // "" is SHA-256
	Conditions                                                              string
}

func (w *world) good(id string, b Begun) answer {
	now := w.d.Clock.Now()
	return answer{ID: "_a" + random()[:8], Issuer: entity, Recipient: w.s.Return(w.p, id), Request: w.request(b).SelectAttrValue("ID", ""), Audience: w.s.Entity(w.p, id), NameID: "p-1",
		Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", Mail: "ann@alder.example", Context: "https://refeds.org/profile/mfa", End: now.Add(5 * time.Minute), From: now.Add(-time.Minute), At: now}
}

func (a answer) assertion() string {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return fmt.Sprintf(`<saml:Assertion xmlns:saml="%s" ID="%s" Version="2.0" IssueInstant="%s"><saml:Issuer>%s</saml:Issuer><saml:Subject><saml:NameID Format="%s">%s</saml:NameID>`+
		`<saml:SubjectConfirmation Method="%s"><saml:SubjectConfirmationData InResponseTo="%s" Recipient="%s" NotOnOrAfter="%s"/></saml:SubjectConfirmation></saml:Subject>`+
		`<saml:Conditions NotBefore="%s" NotOnOrAfter="%s">%s<saml:AudienceRestriction><saml:Audience>%s</saml:Audience></saml:AudienceRestriction></saml:Conditions>`+
		`<saml:AuthnStatement AuthnInstant="%s" SessionIndex="1"><saml:AuthnContext><saml:AuthnContextClassRef>%s</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`+
		`<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>%s</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`,
		nsAssertion, a.ID, at(a.At), a.Issuer, a.Format, a.NameID, bearer, a.Request, a.Recipient, at(a.End), at(a.From), at(a.End), a.Conditions, a.Audience, at(a.At), a.Context, a.Mail)
}

func parse(t *testing.T, text string) *etree.Element {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		t.Fatal(err)
	}
	return doc.Root()
}

// sign puts a signature into an element, as providers do.
func (a answer) sign(t *testing.T, e *etree.Element, key *rsa.PrivateKey, now time.Time) *etree.Element {
	t.Helper()
	_, cert := certificate(t, key, now)
	ctx := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}))
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if a.Hash != "" {
		if err := ctx.SetSignatureMethod(a.Hash); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := ctx.SignEnveloped(e)
	if err != nil {
		t.Fatal(err)
	}
	signed = parse(t, write(t, signed)) // read anew, so that every element knows where it is
	for _, sig := range signed.ChildElements() {
		if sig.Tag == "Signature" { // by the key alone: which certificate, the connection decides
			if info := sig.SelectElement("KeyInfo"); info != nil {
				sig.RemoveChild(info)
			}
		}
	}
	return signed
}

// response wraps assertions into a response.
func (a answer) response(inside ...*etree.Element) *etree.Element {
	doc := etree.NewDocument()
	_ = doc.ReadFromString(fmt.Sprintf(`<samlp:Response xmlns:samlp="%s" ID="_r1" Version="2.0" Destination="%s" InResponseTo="%s"><samlp:Status><samlp:StatusCode Value="%s"/></samlp:Status></samlp:Response>`,
		nsProtocol, a.Recipient, a.Request, success))
	for _, e := range inside {
		doc.Root().AddChild(e)
	}
	return doc.Root()
}

func write(t *testing.T, e *etree.Element) string {
	t.Helper()
	doc := etree.NewDocument()
	doc.SetRoot(e.Copy())
	text, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// post brings a response back: the post of the provider's page, then our own page.
func (w *world) post(id string, b Begun, text string) (Outcome, error) {
	w.t.Helper()
	state, err := w.s.Receive(w.t.Context(), w.p, id, url.Values{"RelayState": {b.State}, "SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(text))}})
	if err != nil {
		return Outcome{}, err
	}
	return w.s.Finish(w.t.Context(), w.p, id, url.Values{"state": {state}}, Browser{Held: b.Browser, Remote: "192.0.2.7"})
}

func TestSAML(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id := w.saml(nil)
		now := d.Clock.Now()
		b := w.away(id, In)
		r := w.request(b)
		if r.SelectAttrValue("AssertionConsumerServiceURL", "") != base+"/alder/sign-in/with/"+id+"/back" || r.SelectAttr("ForceAuthn") != nil || content(r.SelectElement("Issuer")) != w.s.Entity(w.p, id) {
			t.Errorf("the request: %s", write(t, r))
		}
		a := w.good(id, b)
		signed := a.sign(t, parse(t, a.assertion()), signingKey(), now)
		out, err := w.post(id, b, write(t, a.response(signed)))
		if err != nil {
			t.Fatal(err, w.trouble(id))
		}
		if out.Staff.UserID() != w.ann || out.To != "/alder/patients" {
			t.Errorf("came in as %d to %s", out.Staff.UserID(), out.To)
		}
		// Also when the provider signs the response around it, and formats its XML.
		b = w.away(id, In)
		a = w.good(id, b)
		a.Mail = ""
		whole := a.response(a.sign(t, parse(t, a.assertion()), signingKey(), now))
		whole.CreateAttr("ID", "_r2")
		if out, err = w.post(id, b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"+write(t, a.sign(t, whole, signingKey(), now))+"\n"); err != nil || out.Staff.UserID() != w.ann {
			t.Errorf("a signed response: %v (%s)", err, w.trouble(id))
		}
		text, err := w.s.Metadata(t.Context(), w.p, id)
		if err != nil || !bytes.Contains(text, []byte(`WantAssertionsSigned="true"`)) || !bytes.Contains(text, []byte(w.s.Return(w.p, id))) {
			t.Errorf("metadata: %s %v", text, err)
		}
	})
}

// T-44: whatever has been tried with SAML. Nothing of it opens anything.
func TestForgedAssertions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		w := newWorld(t, d)
		id := w.saml(nil)
		other := w.saml(func(c *Connection) { c.Name = "Other" })
		w.person("eve@alder.example", auth.Administrator)
		now := d.Clock.Now()
		stranger, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		key := signingKey()
		// evil is an assertion that names somebody else, unsigned.
		evil := func(a answer) *etree.Element {
			a.ID, a.NameID, a.Mail = "_evil", "eve", "eve@alder.example"
			return parse(t, a.assertion())
		}
		good := func(a answer) *etree.Element { return a.sign(t, parse(t, a.assertion()), key, now) }
		signature := func(e *etree.Element) *etree.Element { return e.SelectElement("Signature") }
		object := func(a answer, inside *etree.Element) *etree.Element {
			o := etree.NewElement("ds:Object")
			o.CreateAttr("xmlns:ds", nsSignature)
			o.AddChild(inside)
			return o
		}
		bent := func(change func(*answer)) func(answer) string {
			return func(a answer) string {
				change(&a)
				return write(t, a.response(good(a)))
			}
		}
		wrapped := func(make func(a answer, evil, good *etree.Element) *etree.Element) func(answer) string {
			return func(a answer) string { return write(t, make(a, evil(a), good(a))) }
		}
		for _, c := range []struct {
			name string
			make func(a answer) string
			says string
		}{
			{"no signature", func(a answer) string { return write(t, a.response(parse(t, a.assertion()))) }, "not signed"},
			{"only the response is signed", func(a answer) string { return write(t, a.sign(t, a.response(parse(t, a.assertion())), key, now)) }, "not signed"},
			{"another key", func(a answer) string {
				return write(t, a.response(a.sign(t, parse(t, a.assertion()), stranger, now)))
			}, "signature is wrong"},
			{"SHA-1", bent(func(a *answer) { a.Hash = dsig.RSASHA1SignatureMethod }), "SHA-256"},
			{"changed after it was signed", func(a answer) string {
				return strings.Replace(write(t, a.response(good(a))), "ann@alder.example", "eve@alder.example", 1)
			}, "signature is wrong"},
			{"a comment inside the name", func(a answer) string {
				a.NameID = "eve@alder.example.evil.example"
				return strings.Replace(write(t, a.response(good(a))), "eve@alder.example.evil", "eve@alder.example<!-- -->.evil", 1)
			}, "comment"},
			{"CDATA inside the name", func(a answer) string {
				return strings.Replace(write(t, a.response(good(a))), ">p-1<", "><![CDATA[p-1]]><", 1)
			}, "CDATA"},
			{"a processing instruction", func(a answer) string {
				return strings.Replace(write(t, a.response(good(a))), ">p-1<", ">p<?x y?>-1<", 1)
			}, "processing instruction"},
			{"a document type", func(a answer) string {
				return `<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + write(t, a.response(good(a)))
			}, "document type"},
			{"another encoding", func(a answer) string {
				return `<?xml version="1.0" encoding="UTF-7"?>` + write(t, a.response(good(a)))
			}, "no XML"},
			{"an identifier twice", func(a answer) string {
				return strings.Replace(write(t, a.response(good(a))), "<samlp:Status>", `<samlp:Status ID="`+a.ID+`">`, 1)
			}, "identifier twice"},
			{"another issuer", bent(func(a *answer) { a.Issuer = "https://evil.example" }), "is of"},
			{"another audience", bent(func(a *answer) { a.Audience = "https://elsewhere.example" }), "another audience"},
			{"for another connection", bent(func(a *answer) { a.Audience, a.Recipient = w.s.Entity(w.p, other), w.s.Return(w.p, other) }), "is for"},
			{"another recipient", func(a answer) string {
				b := a
				b.Recipient = "https://evil.example/acs"
				return write(t, a.response(good(b)))
			}, "not meant for this practice"},
			{"another request inside", func(a answer) string {
				b := a
				b.Request = "_other"
				return write(t, a.response(good(b)))
			}, "not meant for this practice"},
			{"another request", bent(func(a *answer) { a.Request = "_other" }), "another request"},
			{"expired", bent(func(a *answer) { a.End = now.Add(-2 * time.Minute) }), "expired"},
			{"not valid yet", bent(func(a *answer) { a.From = now.Add(3 * time.Minute) }), "not valid yet"},
			{"signed in in the future", bent(func(a *answer) { a.At = now.Add(3 * time.Minute) }), "when the person signed in"},
			{"a condition that is not understood", bent(func(a *answer) { a.Conditions = "<saml:Condition/>" }), "not understood"},
			{"a name for one time", bent(func(a *answer) { a.Format = transient }), "another name each time"},
			{"nobody", bent(func(a *answer) { a.NameID = "" }), "names nobody"},
			{"no second factor", bent(func(a *answer) { a.Context = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password" }), ""},
			{"a failure", func(a answer) string {
				return strings.Replace(write(t, a.response(good(a))), success, "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed", 1)
			}, "AuthnFailed"},
			{"something else than a response", func(a answer) string { return write(t, good(a)) }, "something else"},
			// The wrappings of Somorovsky et al., "On Breaking SAML".
			{"XSW1", wrapped(func(a answer, evil, good *etree.Element) *etree.Element { // a forged response around, the signed one inside the signature
				whole := a.response(good)
				forged := a.response(evil)
				sig := signature(good).Copy()
				sig.AddChild(object(a, whole))
				forged.AddChild(sig)
				return forged
			}), ""},
			{"XSW2", wrapped(func(a answer, evil, good *etree.Element) *etree.Element { // the same, the signature beside what it covers
				forged := a.response(evil)
				sig := signature(good).Copy()
				good.RemoveChild(signature(good))
				forged.AddChild(sig)
				forged.AddChild(a.response(good))
				return forged
			}), ""},
			{"XSW3", wrapped(func(a answer, evil, good *etree.Element) *etree.Element { return a.response(evil, good) }), "exactly one assertion"},
			{"XSW3 turned round", wrapped(func(a answer, evil, good *etree.Element) *etree.Element { return a.response(good, evil) }), "exactly one assertion"},
			{"XSW4", wrapped(func(a answer, evil, good *etree.Element) *etree.Element {
				evil.AddChild(good)
				return a.response(evil)
			}), "exactly one assertion"},
			{"XSW5", wrapped(func(a answer, evil, good *etree.Element) *etree.Element { // the signature moves into the forged one
				sig := signature(good)
				good.RemoveChild(sig)
				evil.AddChild(sig)
				return a.response(evil, good)
			}), "exactly one assertion"},
			{"XSW6", wrapped(func(a answer, evil, good *etree.Element) *etree.Element { // and the signed one into the signature
				sig := signature(good)
				good.RemoveChild(sig)
				sig.AddChild(good)
				evil.AddChild(sig)
				return a.response(evil)
			}), "exactly one assertion"},
			{"XSW7", wrapped(func(a answer, evil, good *etree.Element) *etree.Element {
				ext := etree.NewElement("samlp:Extensions")
				ext.AddChild(evil)
				return a.response(ext, good)
			}), "exactly one assertion"},
			{"XSW8", wrapped(func(a answer, evil, good *etree.Element) *etree.Element {
				sig := signature(good)
				good.RemoveChild(sig)
				sig.AddChild(object(a, good))
				evil.AddChild(sig)
				return a.response(evil)
			}), "exactly one assertion"},
			{"a signature that covers another element", func(a answer) string {
				e := good(a)
				signature(e).FindElement(".//Reference").CreateAttr("URI", "#_r1")
				return write(t, a.response(e))
			}, "does not cover"},
			{"a signature that covers the document", func(a answer) string {
				e := good(a)
				signature(e).FindElement(".//Reference").CreateAttr("URI", "")
				return write(t, a.response(e))
			}, "does not cover"},
			{"two references", func(a answer) string {
				e := good(a)
				info := signature(e).FindElement("./SignedInfo")
				info.AddChild(info.FindElement("./Reference").Copy())
				return write(t, a.response(e))
			}, "does not cover"},
			{"another transform", func(a answer) string {
				e := good(a)
				for _, x := range signature(e).FindElements(".//Transform") {
					x.CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
				}
				return write(t, a.response(e))
			}, "other transforms"},
			{"an encrypted assertion", func(a answer) string {
				x := etree.NewElement("saml:EncryptedAssertion")
				x.CreateAttr("xmlns:saml", nsAssertion)
				return write(t, a.response(x))
			}, "encrypted"},
		} {
			b := w.away(id, In)
			a := w.good(id, b)
			out, err := w.post(id, b, c.make(a))
			if err == nil || out.Token != "" || !strings.HasPrefix(issue(err), "login: Your organisation") {
				t.Errorf("%s: %v, token %q", c.name, err, out.Token)
			}
			if !strings.Contains(w.trouble(id), c.says) {
				t.Errorf("%s: the administrator reads %q, not %q", c.name, w.trouble(id), c.says)
			}
			d.Clock.Advance(time.Second) // so many begin in one second only
			now = d.Clock.Now()
		}
		// The same assertion again, for a request that it would fit.
		b := w.away(id, In)
		a := w.good(id, b)
		text := write(t, a.response(good(a)))
		if _, err := w.post(id, b, text); err != nil {
			t.Fatal(err, w.trouble(id))
		}
		if _, err := w.post(id, b, text); issue(err) != issue(lost()) {
			t.Errorf("replayed: %v", err)
		}
		if once, err := w.s.spend(t.Context(), w.p.ID, id+"|"+a.ID, now.Add(time.Hour)); err != nil || once {
			t.Errorf("the assertion is not remembered as used: %v", err)
		}
		// Another one's answer cannot be put under somebody's request after the first, nor without one.
		b = w.away(id, In)
		a = w.good(id, b)
		form := url.Values{"RelayState": {b.State}, "SAMLResponse": {base64.StdEncoding.EncodeToString([]byte("<x/>"))}}
		if _, err := w.s.Receive(t.Context(), w.p, other, form); issue(err) != issue(lost()) {
			t.Errorf("received at another connection: %v", err)
		}
		if _, err := w.s.Receive(t.Context(), w.p, id, form); err != nil {
			t.Fatal(err)
		}
		if _, err := w.post(id, b, write(t, a.response(good(a)))); issue(err) != issue(lost()) {
			t.Errorf("a second response: %v", err)
		}
		form.Set("RelayState", random())
		if _, err := w.s.Receive(t.Context(), w.p, id, form); issue(err) != issue(lost()) {
			t.Errorf("without a request: %v", err)
		}
	})
}

func TestReadMetadata(t *testing.T) {
	text, cert := certificate(t, signingKey(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	der := base64.StdEncoding.EncodeToString(cert.Raw)
	doc := `<?xml version="1.0"?><!-- from the provider --><md:EntityDescriptor xmlns:md="` + nsMetadata + `" xmlns:ds="` + nsSignature + `" entityID="` + entity + `"><md:IDPSSODescriptor>
		<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
` + der[:64] + "\n" + der[64:] + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
		<md:KeyDescriptor use="encryption"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
		<md:SingleSignOnService Binding="` + bindingPost + `" Location="https://idp.example.org/post"/><md:SingleSignOnService Binding="` + bindingRedirect + `" Location="https://idp.example.org/sso"/>
		</md:IDPSSODescriptor></md:EntityDescriptor>`
	name, address, pems, err := ReadMetadata([]byte(doc))
	if err != nil || name != entity || address != "https://idp.example.org/sso" || pems != text {
		t.Errorf("%q %q %q %v", name, address, pems, err)
	}
	for _, bad := range []string{"", "x", "<a/>", `<!DOCTYPE a []>` + doc, strings.ReplaceAll(doc, bindingRedirect, "other"), strings.Replace(doc, der[:64], "*", 1)} {
		if _, _, _, err := ReadMetadata([]byte(bad)); err == nil {
			t.Errorf("taken: %.60s", bad)
		}
	}
}

func FuzzPlainXML(f *testing.F) {
	f.Add([]byte(`<a ID="1"><b/></a>`))
	f.Add([]byte(`<!DOCTYPE a><a/>`))
	f.Add([]byte("<?xml version=\"1.0\"?><a xmlns:x=\"y\"><x:b>c</x:b></a>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := parseXML(text)
		if err != nil {
			return
		}
		each(root, func(e *etree.Element) {
			for _, c := range e.Child {
				switch c.(type) {
				case *etree.Comment, *etree.Directive, *etree.ProcInst:
					t.Errorf("%q passes with a %T", text, c)
				}
			}
		})
	})
}
