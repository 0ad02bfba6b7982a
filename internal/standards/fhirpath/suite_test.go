package fhirpath_test

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

type suite struct {
	Groups []struct {
		Name  string      `xml:"name,attr"`
		Tests []suiteTest `xml:"test"`
	} `xml:"group"`
}

type suiteTest struct {
	Name       string `xml:"name,attr"`
	Input      string `xml:"inputfile,attr"`
	Predicate  bool   `xml:"predicate,attr"`
	Mode       string `xml:"mode,attr"`
	Expression struct {
		Text    string `xml:",chardata"`
		Invalid string `xml:"invalid,attr"`
	} `xml:"expression"`
	Outputs []struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
	} `xml:"output"`
}

// TestOfficialSuite runs HL7's FHIRPath tests for R4. A test in excluded must fail; the reasons are in
// the list.
func TestOfficialSuite(t *testing.T) {
	dir := corpustest.Folder(t, "fhirpath")
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "tests-fhir-r4*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no suite in %s (%v)", dir, err)
	}
	inputs := map[string]*fhirjson.Node{}
	total, failed, out := 0, 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s suite
		if err := xml.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		for _, g := range s.Groups {
			for _, x := range g.Tests {
				total++
				if x.Input != "" && inputs[x.Input] == nil {
					data, err := os.ReadFile(filepath.Join(dir, "inputs", x.Input))
					if err != nil {
						t.Fatal(err)
					}
					if strings.HasSuffix(x.Input, ".xml") {
						inputs[x.Input] = fromXML(t, data)
					} else {
						inputs[x.Input] = mustParse(t, string(data))
					}
				}
				fault := runSuiteTest(x, inputs[x.Input])
				reason, excluded := excluded[x.Name]
				switch {
				case excluded && fault == "":
					t.Errorf("%s passes, but is excluded (%s)", x.Name, reason)
				case excluded:
					out++
				case fault != "":
					failed++
					t.Errorf("%s %q: %s", x.Name, x.Expression.Text, fault)
				}
			}
		}
	}
	t.Logf("%d tests, %d failed, %d excluded", total, failed, out)
}

// runSuiteTest returns what is wrong, or "".
func runSuiteTest(x suiteTest, input *fhirjson.Node) string {
	env := &fhirpath.Env{Model: model, Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Strict: x.Expression.Invalid == "semantic"}
	var got fhirpath.Collection
	e, err := fhirpath.Compile(x.Expression.Text)
	if err == nil {
		got, err = e.Eval(env, input, "")
	}
	if x.Expression.Invalid != "" {
		if err == nil {
			return fmt.Sprintf("should be refused (%s), gave %v", x.Expression.Invalid, show(got))
		}
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if x.Predicate {
		if len(x.Outputs) == 1 && x.Outputs[0].Text == fmt.Sprint(len(got) > 0) {
			return ""
		}
		return fmt.Sprintf("predicate: %v", show(got))
	}
	if len(got) != len(x.Outputs) {
		return fmt.Sprintf("want %d items, got %v", len(x.Outputs), show(got))
	}
	for i, want := range x.Outputs {
		text := want.Text
		if strings.HasPrefix(text, "@") {
			text = strings.TrimPrefix(text[1:], "T")
		}
		if got[i].String() != text {
			return fmt.Sprintf("item %d: want %s, got %s", i, want.Text, got[i].String())
		}
	}
	return ""
}

func show(c fhirpath.Collection) string {
	var parts []string
	for _, it := range c {
		parts = append(parts, it.Type+" "+it.String())
	}
	return "[" + strings.Join(parts, "; ") + "]"
}

// excluded names the tests that must fail, with the reason.
var excluded = map[string]string{
	"HighBoundaryDateTimeMillisecond1": "expects hour 08 to end at 08:00:59.999; the last moment of an hour is 08:59:59.999",
	"HighBoundaryDateTimeMillisecond3": "expects hour 08 to end at 08:00:59.999; the last moment of an hour is 08:59:59.999",
}
