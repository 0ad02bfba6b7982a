package conformance_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/standards/corpustest"
)

// group is what a kit's metadata say of a profile.
type group struct {
	Resource  string
	URL       string `json:"profile_url"`
	Delayed   bool   `json:"is_delayed"`
	Searches  []search
	Params    map[string]param `json:"search_definitions"`
	Includes  []string         `json:"include_params"`
	Supported struct {
		Extensions []struct{ ID, Path, URL string }
		Slices     []slice
		Elements   []element
		Choices    []struct {
			Paths      []string
			Extensions []string `json:"extension_ids"`
			Elements   []element
			Targets    []string `json:"target_profiles"`
		}
	} `json:"must_supports"`
	tests []kitTest
}

// slices are the named parts of elements, extensions among them.
func (g *group) slices() []slice {
	out := slices.Clone(g.Supported.Slices)
	for _, e := range g.Supported.Extensions {
		_, name, _ := strings.Cut(e.ID, "extension:")
		s := slice{ID: e.ID, Name: name, Path: e.Path}
		s.Discriminator.Type = "url"
		s.Discriminator.Code = e.URL
		out = append(out, s)
	}
	return out
}

type search struct {
	Names       []string
	Expectation string
}

type param struct {
	Paths       []string
	Type        string
	Values      []string
	Comparators map[string]string
	Many        string `json:"multiple_or"`
	Chain       []struct{ Chain, Expectation string }
}

type element struct {
	Path     string
	Fixed    string   `json:"fixed_value"`
	Types    []string `json:"types"`
	Profiles []string `json:"target_profiles"`
}

// kitTest is a test of a kit in the words of the checklist.
type kitTest struct {
	ID, Resource, Profile, Asks string
	Optional                    bool
}

// kit reads the groups of a version of US Core with their tests.
func kit(t *testing.T, version string) []*group {
	t.Helper()
	dir := corpustest.Folder(t, "inferno")
	var groups []*group
	decode(t, corpustest.Gunzip(t, filepath.Join(dir, "us-core-"+version+"-metadata.json.gz")), &groups)
	raw, err := os.ReadFile(filepath.Join(dir, "us-core-"+version+"-tests.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tests []kitTest
	decode(t, raw, &tests)
	for _, k := range tests {
		found := false
		for _, g := range groups {
			if g.URL == k.Profile && g.Resource == k.Resource {
				g.tests, found = append(g.tests, k), true
			}
		}
		if !found {
			t.Errorf("%s belongs to no group", k.ID)
		}
	}
	return groups
}

func decode(t *testing.T, raw []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
}

// searchOf finds the search that a test's id names.
func (g *group) searchOf(id string) *search {
	var found *search
	length := 0
	for i, s := range g.Searches {
		end := "_" + strings.ReplaceAll(strings.Join(s.Names, "_"), "-", "_") + "_search_test"
		if strings.HasSuffix(id, end) && len(end) > length {
			found, length = &g.Searches[i], len(end)
		}
	}
	return found
}

// g10 is a row of the certification kit.
type g10 struct{ short, id, asks string }

func g10Rows(t *testing.T) (out []g10) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(corpustest.Folder(t, "inferno"), "g10-tests.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if f := strings.Split(line, "\t"); i > 0 && len(f) >= 3 && strings.TrimSpace(f[2]) != "" {
			out = append(out, g10{f[0], f[1], f[2]})
		}
	}
	return out
}
