package main

import (
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/profile"
)

// smart tells in the capability statement where programs sign in (SMART App Launch 2.2, section 8.1, in the form of its first
// version that clients still read).
func (h *house) smart(p auth.Practice, base string) []byte {
	issuer := h.oauth.Issuer(p)
	uris := fhirjson.NewArray()
	for _, e := range [][2]string{{"authorize", "authorize"}, {"token", "token"}, {"introspect", "introspect"}, {"revoke", "revoke"}} {
		uris.Append(object("url", e[0], "valueUri", issuer+"/oauth/"+e[1]))
	}
	extension := object("url", "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris")
	extension.Set("extension", uris)
	coding := object("system", "http://terminology.hl7.org/CodeSystem/restful-security-service", "code", "SMART-on-FHIR")
	concept := fhirjson.NewObject(fhirjson.Member{Name: "coding", Value: fhirjson.NewArray(coding)})
	concept.Set("text", fhirjson.NewString("OAuth 2.0 with SMART App Launch"))
	out := fhirjson.NewObject(fhirjson.Member{Name: "extension", Value: fhirjson.NewArray(extension)}, fhirjson.Member{Name: "cors", Value: fhirjson.NewBool(true)})
	out.Set("service", fhirjson.NewArray(concept))
	return out.AppendJSON(nil)
}

// object makes a JSON object of names and texts.
func object(pairs ...string) fhirjson.Node {
	n := fhirjson.NewObject()
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Set(pairs[i], fhirjson.NewString(pairs[i+1]))
	}
	return n
}

// usCore lists the profiles of US Core that a type has, and that of Subscriptions.
func usCore() func(typ string) []string {
	byType := map[string][]string{}
	for _, u := range profile.Builtin().URLs() {
		if !strings.HasPrefix(u, "http://hl7.org/fhir/us/core/StructureDefinition/") {
			continue
		}
		if d := profile.Builtin().Find(u); d != nil && fhir.IsResourceType(d.Type) {
			byType[d.Type] = append(byType[d.Type], u)
		}
	}
	for _, list := range byType {
		slices.Sort(list)
	}
	byType["Subscription"] = []string{subscription.Profile}
	return func(typ string) []string { return byType[typ] }
}
