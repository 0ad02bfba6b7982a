package fhirapi

import (
	"encoding/base64"
	"mime"
	"net/http"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// A Binary may be read and written as the bytes it holds (R4 http, section 3.1.0.2.3 and binary.html): when the Accept header asks
// for no form of FHIR, and when the Content-Type is none.

// isBinary says whether an address is that of Binaries that may travel as bytes.
func (t target) isBinary() bool {
	return t.typ == "Binary" && (t.shape == instance || t.shape == version || t.shape == resourceType)
}

// asBytes is the content of a Binary in the form that the Accept header asks for.
func (x *exchange) asBytes(resource []byte) (body []byte, media string, err error) {
	n, err := fhirjson.Parse(resource, fhirjson.Limits{Bytes: len(resource)})
	if err != nil {
		return nil, "", err
	}
	media = n.Get("contentType").Text()
	if !accepts(strings.Join(x.r.Header.Values("Accept"), ","), media) {
		return nil, "", withStatus(http.StatusNotAcceptable, fhir.Problem("not-supported", "This Binary is of another type than the Accept header asks for.", "Ask for "+short(media)+", or for application/fhir+json."))
	}
	body, err = base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, n.Get("data").Text()))
	if err != nil {
		return nil, "", fhir.Problem("exception", "The content of this Binary is not base64.", "Read it as application/fhir+json, and store it again.").Because(err)
	}
	// Never shown as a page of this server, whatever it holds.
	x.w.Header().Set("Content-Disposition", "attachment")
	return body, media, nil
}

// accepts says whether an Accept header takes a media type.
func accepts(accept, media string) bool {
	want, _, err := mime.ParseMediaType(media)
	if err != nil {
		return false
	}
	for part := range strings.SplitSeq(accept, ",") {
		typ, params, err := mime.ParseMediaType(part)
		if err != nil || params["q"] == "0" {
			continue
		}
		if typ == want || typ == "*/*" || strings.HasSuffix(typ, "/*") && strings.HasPrefix(want, strings.TrimSuffix(typ, "*")) {
			return true
		}
	}
	return false
}

// binaryOf makes a Binary of bytes that were sent bare.
func (c *Call) binaryOf(media string) error {
	n := fhirjson.NewObject(fhirjson.Member{Name: "resourceType", Value: fhirjson.NewString("Binary")})
	if c.ID != "" {
		n.Set("id", fhirjson.NewString(c.ID))
	}
	n.Set("contentType", fhirjson.NewString(media))
	if who := c.Header("X-Security-Context"); who != "" {
		if _, _, ok := fhir.ParseReference(who); !ok {
			return fhir.Problem("value", "X-Security-Context is not a reference.", "Write it as Patient/x.").At("http.X-Security-Context")
		}
		n.Set("securityContext", fhirjson.NewObject(fhirjson.Member{Name: "reference", Value: fhirjson.NewString(strings.TrimPrefix(who, c.Base+"/"))}))
	}
	n.Set("data", fhirjson.NewString(base64.StdEncoding.EncodeToString(c.Body)))
	c.Body, c.x.sent = n.AppendJSON(nil), formatJSON
	return nil
}
