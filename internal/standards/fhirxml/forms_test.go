package fhirxml

import (
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

// TestForms: what XML may look like and mean the same (R4 xml.html).
func TestForms(t *testing.T) {
	const want = `{"resourceType":"Patient","id":"a","active":true}`
	for name, doc := range map[string]string{
		"plain":            `<Patient xmlns="http://hl7.org/fhir"><id value="a"/><active value="true"/></Patient>`,
		"declared":         `<?xml version="1.0" encoding="utf-8"?><Patient xmlns="http://hl7.org/fhir"><id value="a"/><active value="true"/></Patient>`,
		"byte order mark":  "\ufeff" + `<Patient xmlns="http://hl7.org/fhir"><id value="a"/><active value="true"/></Patient>`,
		"comments":         `<!-- a --><Patient xmlns="http://hl7.org/fhir"><!-- b --><id value="a"/><active value="true"><!-- c --></active></Patient><!-- d -->`,
		"white space":      "\n<Patient\n xmlns='http://hl7.org/fhir' >\n\t<id value='a' />\r\n<active value='true'></active></Patient >\n",
		"a prefix":         `<f:Patient xmlns:f="http://hl7.org/fhir"><f:id value="a"/><f:active value="true"/></f:Patient>`,
		"schema location":  `<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir fhir-all.xsd"><id value="a"/><active value="true"/></Patient>`,
		"character ref":    `<Patient xmlns="http://hl7.org/fhir"><id value="&#97;"/><active value="&#x74;rue"/></Patient>`,
		"section of text":  `<Patient xmlns="http://hl7.org/fhir"><id value="a"/><![CDATA[ ]]><active value="true"/></Patient>`,
		"unused namespace": `<Patient xmlns="http://hl7.org/fhir" xmlns:x="urn:x"><id value="a"/><active value="true"/></Patient>`,
	} {
		n, err := Decode([]byte(doc), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !fhirjson.Equal(n, parse(t, want)) {
			t.Errorf("%s: %s", name, n)
		}
	}
}
