package main

import (
	"bytes"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// lists knows the value sets and code systems that were read.
type lists struct {
	sets    map[string]*fhirjson.Node
	systems map[string]*fhirjson.Node
}

func newLists() *lists {
	return &lists{map[string]*fhirjson.Node{}, map[string]*fhirjson.Node{}}
}

func (l *lists) add(n *fhirjson.Node) error {
	switch n.Get("resourceType").Text() {
	case "ValueSet":
		l.sets[n.Get("url").Text()] = n
	case "CodeSystem":
		l.systems[n.Get("url").Text()] = n
	}
	return nil
}

// most is the size up to which a value set is listed.
const most = 400

// rows writes the value sets that can be listed completely: V url, then S system codes….
func (l *lists) rows(urls []string) []byte {
	slices.Sort(urls)
	var b bytes.Buffer
	for _, url := range slices.Compact(urls) {
		if _, listed := fhir.Codes(url); listed {
			continue
		}
		bySystem := map[string][]string{}
		if !l.collect(url, bySystem, 0) || len(bySystem) == 0 {
			continue
		}
		b.WriteString("V\t" + url + "\n")
		var systems []string
		for s := range bySystem {
			systems = append(systems, s)
		}
		slices.Sort(systems)
		for _, s := range systems {
			slices.Sort(bySystem[s])
			b.WriteString("S\t" + s + "\t" + strings.Join(slices.Compact(bySystem[s]), "\t") + "\n")
		}
	}
	return b.Bytes()
}

// collect adds the codes of a value set; false means it cannot be listed completely.
func (l *lists) collect(url string, into map[string][]string, depth int) bool {
	url, _, _ = strings.Cut(url, "|")
	vs := l.sets[url]
	if vs == nil || depth > 5 || vs.At("compose", "exclude") != nil {
		return false
	}
	for _, inc := range vs.At("compose", "include").Items() {
		system := inc.Get("system").Text()
		switch {
		case inc.Get("filter") != nil, system != "" && inc.Get("valueSet") != nil:
			return false
		case inc.Get("valueSet") != nil:
			if len(inc.Get("valueSet").Items()) != 1 || !l.collect(inc.Get("valueSet").Items()[0].Text(), into, depth+1) {
				return false
			}
			continue
		case !free(system):
			return false
		}
		if concepts := inc.Get("concept").Items(); len(concepts) > 0 {
			for _, c := range concepts {
				into[system] = append(into[system], c.Get("code").Text())
			}
		} else if cs := l.systems[system]; system == "http://loinc.org" || cs == nil || cs.Get("content").Text() != "complete" {
			return false
		} else {
			flatten(cs.Get("concept"), system, into)
		}
		if len(into[system]) > most {
			return false
		}
	}
	return true
}

func flatten(n *fhirjson.Node, system string, into map[string][]string) {
	for _, c := range n.Items() {
		into[system] = append(into[system], c.Get("code").Text())
		flatten(c.Get("concept"), system, into)
	}
}

// free reports whether the codes of a system may stand in the tree.
func free(system string) bool {
	for _, p := range []string{"http://hl7.org/fhir/", "http://terminology.hl7.org/", "urn:oid:2.16.840.1.113883.6.238", "https://www.usps.com/"} {
		if strings.HasPrefix(system, p) {
			return !slices.Contains([]string{"http://terminology.hl7.org/CodeSystem/v3-ICD10", "http://terminology.hl7.org/CodeSystem/nubc-UB92"}, system)
		}
	}
	return system == "http://loinc.org"
}
