package fhirapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/base/guides"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// capabilities answers GET [base]/metadata with what the server really does: the interactions it routes, the search parameters
// its parser takes, and the operations that are registered.
func (a *API) capabilities(ctx context.Context, c *Call) (*Answer, error) {
	if err := c.controls("mode", "_summary", "_elements"); err != nil {
		return nil, err
	}
	switch c.Query.Get("mode") {
	case "", "full", "normative":
	case "terminology":
		if a.o.Terminology == nil {
			return nil, fhir.Problem("not-supported", "There is no TerminologyCapabilities here.", "Leave mode out.").At("http.mode")
		}
		return &Answer{Resource: a.o.Terminology(c.Practice, c.Base), narrow: true, typ: "TerminologyCapabilities", Header: public}, nil
	default:
		return nil, fhir.Problem("value", "mode has a value it does not know.", "Use full, normative or terminology.").At("http.mode")
	}
	var own *guides.Supported
	if a.o.Supported != nil {
		var err error
		if own, err = a.o.Supported(ctx, c.Practice); err != nil {
			return nil, err
		}
	}
	rest := a.rest(own)
	b := &bundleWriter{b: make([]byte, 0, len(rest)+4096)}
	b.raw(`{"resourceType":"CapabilityStatement","url":`).text(c.Base + "/metadata").raw(`,"version":`).text(a.o.Version)
	b.raw(`,"name":"Yarrow","title":`).text("FHIR interface of " + c.Practice.Name).raw(`,"status":"active","date":`).text(a.started.Format("2006-01-02T15:04:05Z"))
	b.raw(`,"publisher":`).text(c.Practice.Name).raw(`,"kind":"instance"`)
	a.list(b, "instantiates", a.o.Instantiates)
	b.raw(`,"software":{"name":"Yarrow","version":`).text(a.o.Version).raw(`},"implementation":{"description":`).text(c.Practice.Name).raw(`,"url":`).text(c.Base)
	b.raw(`},"fhirVersion":"4.0.1","format":["application/fhir+json","application/fhir+xml","json","xml"],"patchFormat":["application/json-patch+json","application/fhir+json","application/fhir+xml"]`)
	kept := a.o.Guides
	if own != nil {
		kept = united(kept, own.Guides)
	}
	a.list(b, "implementationGuide", kept)
	b.raw(`,"rest":[{"mode":"server","security":`)
	security := []byte(`{"cors":true}`)
	if a.o.Security != nil {
		if s := a.o.Security(c.Practice, c.Base); len(s) > 0 {
			security = s
		}
	}
	b.bytes(security).bytes(rest).raw(`}]}`)
	return &Answer{Resource: b.b, Updated: a.started, narrow: true, typ: "CapabilityStatement", Header: public}, nil
}

// public lets caches keep what is nobody's secret, for a short while.
var public = http.Header{"Cache-Control": {"public, max-age=300"}}

// list writes a member that is an array of strings, unless it is empty.
func (a *API) list(b *bundleWriter, name string, values []string) {
	for i, v := range values {
		if i == 0 {
			b.raw(`,"` + name + `":[`)
		} else {
			b.raw(`,`)
		}
		b.text(v)
	}
	if len(values) > 0 {
		b.raw(`]`)
	}
}

// united gives the strings of both lists, each once.
func united(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// maxRests bounds how many practices with guides of their own have their part of the statement kept.
const maxRests = 50

// rest is the part that is the same for all practices that support the same: types and what can be done with them. It is made once.
func (a *API) rest(own *guides.Supported) []byte {
	a.restMu.Lock()
	defer a.restMu.Unlock()
	if a.restBytes[own] == nil {
		if len(a.restBytes) >= maxRests || a.restBytes == nil {
			a.restBytes = map[*guides.Supported][]byte{}
		}
		b := &bundleWriter{}
		b.raw(`,"resource":[`)
		for i, typ := range fhir.ResourceTypes() {
			if i > 0 {
				b.raw(`,`)
			}
			a.restResource(b, typ, own)
		}
		b.raw(`],"interaction":[{"code":"transaction"},{"code":"batch"},{"code":"history-system"},{"code":"search-system"}]`)
		a.searchParams(b, "Patient", func(p *fhirsearch.Param) bool { return strings.HasPrefix(p.Code, "_") })
		a.restOperations(b, System, "")
		b.raw(`,"compartment":[`)
		for i, name := range compartments {
			if i > 0 {
				b.raw(`,`)
			}
			b.text("http://hl7.org/fhir/CompartmentDefinition/" + strings.ToLower(name))
		}
		b.raw(`]`)
		a.restBytes[own] = b.b
	}
	return a.restBytes[own]
}

// interactions of each type, as acts routes them.
var interactions = []struct {
	code, method string
	at           shape
}{
	{"read", "GET", instance}, {"vread", "GET", version}, {"update", "PUT", instance}, {"patch", "PATCH", instance}, {"delete", "DELETE", instance},
	{"history-instance", "GET", history}, {"history-type", "GET", typeHistory}, {"create", "POST", resourceType}, {"search-type", "GET", resourceType},
}

func (a *API) restResource(b *bundleWriter, typ string, own *guides.Supported) {
	b.raw(`{`)
	if a.o.Extension != nil {
		if x := a.o.Extension(typ); len(x) > 0 {
			b.raw(`"extension":`).bytes(x).raw(`,`)
		}
	}
	b.raw(`"type":"` + typ + `","profile":"http://hl7.org/fhir/StructureDefinition/` + typ + `"`)
	var profiles []string
	if a.o.Profiles != nil {
		profiles = a.o.Profiles(typ)
	}
	if own != nil {
		profiles = united(profiles, own.Profiles[typ])
	}
	a.list(b, "supportedProfile", profiles)
	first := true
	b.raw(`,"interaction":[`)
	for _, i := range interactions {
		if a.acts(target{shape: i.at, typ: typ})[i.method] == nil {
			continue
		}
		if !first {
			b.raw(`,`)
		}
		first = false
		b.raw(`{"code":"` + i.code + `"}`)
	}
	b.raw(`],"versioning":"versioned","readHistory":true,"updateCreate":` + strconv.FormatBool(nobodys(typ)) + `,"conditionalCreate":true,"conditionalRead":"full-support","conditionalUpdate":true,"conditionalDelete":"multiple","referencePolicy":["literal","logical","local"]`)
	var include []string
	for _, p := range fhirsearch.Params(typ) {
		if p.Type == "reference" && p.Searchable() {
			include = append(include, typ+":"+p.Code)
		}
	}
	a.list(b, "searchInclude", include)
	a.list(b, "searchRevInclude", referring()[typ])
	a.searchParams(b, typ, func(p *fhirsearch.Param) bool { return !strings.HasPrefix(p.Code, "_") })
	a.restOperations(b, Type|Instance, typ)
	b.raw(`}`)
}

// referring lists, for each type, the reference parameters that name it among few targets.
func referring() map[string][]string {
	out := map[string][]string{}
	for _, typ := range fhir.ResourceTypes() {
		for _, p := range fhirsearch.Params(typ) {
			if p.Type != "reference" || !p.Searchable() || len(p.Targets) > 40 {
				continue
			}
			for _, to := range p.Targets {
				if p.OnlyType == "" || p.OnlyType == to {
					out[to] = append(out[to], typ+":"+p.Code)
				}
			}
		}
	}
	for _, typ := range fhir.ResourceTypes() {
		if !slices.Contains(out[typ], "Provenance:target") {
			out[typ] = append(out[typ], "Provenance:target")
		}
	}
	return out
}

// searchParams lists the parameters of a type that want lets through and that the parser takes.
func (a *API) searchParams(b *bundleWriter, of string, want func(p *fhirsearch.Param) bool) {
	n := 0
	urls := map[string]string{}
	for _, sp := range fhir.SearchParams(of) {
		urls[sp.Code] = sp.URL
	}
	for _, p := range fhirsearch.Params(of) {
		if !want(p) || !p.Searchable() {
			continue
		}
		if n++; n == 1 {
			b.raw(`,"searchParam":[`)
		} else {
			b.raw(`,`)
		}
		b.raw(`{"name":"` + p.Code + `"`)
		if u := urls[p.Code]; u != "" {
			b.raw(`,"definition":`).text(u)
		}
		b.raw(`,"type":"` + p.Type + `"}`)
	}
	if n > 0 {
		b.raw(`]`)
	}
}

// restOperations lists the operations of a type, or of the whole system.
func (a *API) restOperations(b *bundleWriter, level Level, typ string) {
	n := 0
	for _, op := range a.Operations() {
		if op.Levels&level == 0 || level != System && len(op.Types) > 0 && !slices.Contains(op.Types, typ) {
			continue
		}
		if n++; n == 1 {
			b.raw(`,"operation":[`)
		} else {
			b.raw(`,`)
		}
		b.raw(`{"name":`).text(strings.TrimPrefix(op.Name, "$")).raw(`,"definition":`).text(op.definition())
		if op.Doc != "" {
			b.raw(`,"documentation":`).text(op.Doc)
		}
		b.raw(`}`)
	}
	if n > 0 {
		b.raw(`]`)
	}
}

// definition is the canonical address of an operation.
func (op *Operation) definition() string {
	if op.URL != "" {
		return op.URL
	}
	of := "Resource"
	if len(op.Types) > 0 {
		of = op.Types[0]
	}
	return "http://hl7.org/fhir/OperationDefinition/" + of + "-" + strings.TrimPrefix(op.Name, "$")
}
