// Package interop_test lets other people's programs judge the server: FHIR clients, an OpenID Connect client, a JWT library, an XML
// converter, and two oracles for our FHIRPath and UCUM engines. They come from npm with a lock file of their own and are never shipped.
package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
	"yarrow.health/internal/standards/ucum"
	"yarrow.health/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// packages says whether the programs are installed; `make interop` installs them.
func packages(t *testing.T) bool {
	t.Helper()
	if _, err := os.Stat("node_modules/.package-lock.json"); errors.Is(err, os.ErrNotExist) {
		t.Log("the npm packages of test/interop are not installed: other people's programs did not run (make interop)")
		return false
	}
	return true
}

// node runs a script and gives what it says.
func node(t *testing.T, stdin []byte, env []string, script string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, errs.String())
	}
	return out
}

// demonstration starts `yarrow demo` until the test ends and gives its demo.json.
func demonstration(t *testing.T) string {
	t.Helper()
	bin, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "demo")
	cmd := exec.Command(bin, "demo", "--data", data, "--listen", "127.0.0.1:0", "--patients", "12")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || strings.Contains(said.String(), "panic") {
			t.Errorf("the server ended with %v\n%s", err, said.String())
		}
	})
	file := filepath.Join(data, "demo.json")
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var d struct {
			URL      string
			Complete bool
			Patients []any
		}
		raw, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(raw, &d) != nil || !d.Complete || len(d.Patients) == 0 {
			continue
		}
		if res, err := http.Get(d.URL + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return file
			}
		}
	}
	t.Fatal("the demonstration does not open")
	return ""
}

// TestClients runs the scripts against one demonstration.
func TestClients(t *testing.T) {
	if !packages(t) {
		return
	}
	env := []string{"YARROW_DEMO_FILE=" + demonstration(t)}
	for _, script := range []string{"rest.mjs", "oauth.mjs", "xml.mjs"} {
		t.Run(script, func(t *testing.T) {
			if out := node(t, nil, env, script); !bytes.Contains(out, []byte("ok ")) {
				t.Errorf("it said nothing: %s", out)
			}
		})
	}
}

// TestTheProgrammersPage runs the commands of docs/api.md in their order, in one shell, against a demonstration of its own address.
func TestTheProgrammersPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatalf("the commands of docs/api.md were not run: %v (apt-get install curl)", err)
	}
	file := demonstration(t)
	var demo struct{ URL string }
	if raw, err := os.ReadFile(file); err != nil || json.Unmarshal(raw, &demo) != nil {
		t.Fatal(err)
	}
	// What each block must say, so that a command which quietly gives nothing is seen.
	want := [][]string{
		{`"resourceType":"Bundle"`, `"birthDate"`},
		{`"CapabilityStatement"`, `"token_endpoint"`, `"openapi":"3.1.0"`},
		{`"mode":"include"`, `"total":`, `birthdate`},
		{`Testwell`, `"gender":"female"`, `"OperationOutcome"`},
		{`"transaction-response"`, `201`, `Patient.birthDate`, `"searchset"`},
		{`202`, `ontent-Location: ` + demo.URL},
	}
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	blocks := strings.Split(string(page), "```sh\n")[1:]
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		script.WriteString(text + "echo; echo '@@@'\n")
	}
	bin, err := webtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c",
		strings.NewReplacer("./yarrow-data/demo", filepath.Dir(file), "http://localhost:8080", demo.URL).Replace(script.String()))
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
	var errs bytes.Buffer
	shell.Stderr = &errs
	out, err := shell.Output()
	said := strings.Split(string(out), "@@@")
	if err != nil || len(blocks) != len(want) || len(said) != len(want)+1 {
		t.Fatalf("%v: %d blocks, %d answers\n%s\n%.3000s", err, len(blocks), len(said)-1, errs.String(), out)
	}
	for i, all := range want {
		for _, w := range all {
			if !strings.Contains(said[i], w) {
				t.Errorf("block %d does not say %q: %.1500s", i+1, w, said[i])
			}
		}
	}
}

const person = `{"resourceType":"Patient","id":"p","active":true,"gender":"female","birthDate":"1990-04-02","multipleBirthInteger":2,
"name":[{"use":"official","family":"Vega","given":["Ana","Luz"]},{"use":"nickname","given":["Lu"]}],
"telecom":[{"system":"phone","value":"555-0100","use":"home","rank":2},{"system":"email","value":"a@example.org","rank":1}],
"address":[{"city":"Lynn","line":["1 Elm","Flat 2"],"period":{"start":"2001-02-03"}}]}`

// expressions are every filter on every path, and every function on the whole.
func expressions() (out []string) {
	paths := []string{"name.given", "name.family", "telecom.value", "telecom.rank", "address.line", "birthDate", "active", "gender", "multipleBirth", "contact.name", "name.given | name.family"}
	on := []string{"", ".first()", ".last()", ".tail()", ".skip(1)", ".take(1)", ".count()", ".empty()", ".exists()", ".distinct()", ".isDistinct()", ".single().empty() or true",
		".where($this.toString().length() > 3)", ".select($this.toString())", ".all($this.toString() != 'x')", ".where($this.toString().startsWith('5'))", ".toString().empty() or true",
		".where($this is string)", ".ofType(integer)", ".where($this.toString().matches('^[A-Z]')).count()", ".combine(telecom.value).count()", ".intersect(name.given)", ".exclude(name.given)",
		".where($index = 0)", ".repeat(child).empty()", ".aggregate($total + 1, 0)"}
	for _, p := range paths {
		for _, f := range on {
			if f != "" {
				out = append(out, "("+p+")"+f)
			} else {
				out = append(out, p)
			}
		}
	}
	for _, a := range []string{"1", "2.5", "-7", "0"} {
		for _, b := range []string{"2", "0.5", "-3"} {
			for _, op := range []string{"+", "-", "*", "div", "mod", "<", "<=", ">", ">=", "=", "!=", "~"} {
				out = append(out, "("+a+") "+op+" ("+b+")")
			}
		}
	}
	for _, a := range []string{"true", "false", "{}"} {
		for _, b := range []string{"true", "false", "{}"} {
			for _, op := range []string{"and", "or", "xor", "implies"} {
				out = append(out, a+" "+op+" "+b)
			}
		}
	}
	for _, a := range []string{"@2024-05", "@2024-05-10", "@2024", "@2024-05-10T10:00:00Z"} {
		for _, b := range []string{"@2024-05-10", "@2023", "@2024-06"} {
			for _, op := range []string{"<", ">", "=", "~"} {
				out = append(out, a+" "+op+" "+b)
			}
		}
	}
	for _, s := range []string{"'abcabc'", "''", "'Ünï'"} {
		for _, f := range []string{"length()", "upper()", "lower()", "substring(1)", "substring(1,2)", "indexOf('b')", "contains('c')", "replace('b','-')", "toChars().count()", "endsWith('c')", "toInteger()", "toBoolean()"} {
			out = append(out, s+"."+f)
		}
	}
	return out
}

// known are differences that are not settled, with what is known of them.
var known = map[string]string{
	"(telecom.rank).ofType(integer)": "fhirpath.js counts a positiveInt as an integer; the official suite has code.ofType(string) empty, and ours treats all primitives so",
}

// counted says that a unit counts particles: UCUM makes the mole a number, ucum-lhc converts it only with a molar mass.
func counted(unit string) bool { return strings.Contains(unit, "mol") || strings.Contains(unit, "eq/") }

// units are converted to each other where they may be.
var units = []string{"kg", "g", "[lb_av]", "[oz_av]", "m", "cm", "[in_i]", "[ft_i]", "L", "mL", "dL", "[foz_us]", "s", "min", "h", "d", "wk", "a", "mm[Hg]", "kPa", "bar", "Cel", "[degF]", "K",
	"mg/dL", "g/L", "ug/mL", "J", "cal", "kcal", "mmol/L", "umol/mL", "meq/L", "%", "10*3/uL", "10*9/L", "/min", "Hz", "deg", "rad", "U/L", "kat/L", "kg/m2", "g/cm2", "N", "dyn", "W", "erg/s"}

// TestOracles compares our engines with fhirpath.js and ucum-lhc.
func TestOracles(t *testing.T) {
	if !packages(t) {
		return
	}
	type conversion [3]any
	q := struct {
		Expressions []string        `json:"expressions"`
		Conversions []conversion    `json:"conversions"`
		Resource    json.RawMessage `json:"resource"`
	}{expressions(), nil, json.RawMessage(person)}
	for _, from := range units {
		for _, to := range units {
			if from != to && ucum.Comparable(from, to) && !counted(from) && !counted(to) {
				q.Conversions = append(q.Conversions, conversion{37.5, from, to})
			}
		}
	}
	in, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Expressions []any
		Conversions []*float64
	}
	if err := json.Unmarshal(node(t, in, nil, "oracle.mjs"), &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Expressions) != len(q.Expressions) || len(a.Conversions) != len(q.Conversions) || len(q.Conversions) < 90 {
		t.Fatalf("%d of %d and %d of %d answers", len(a.Expressions), len(q.Expressions), len(a.Conversions), len(q.Conversions))
	}
	n, err := fhirjson.Parse([]byte(person), fhirjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, src := range q.Expressions {
		ours, theirs := evaluated(n, src), shown(a.Expressions[i])
		if (ours != theirs) != (known[src] != "") { // a difference that is gone is taken off the list
			t.Errorf("%s: ours %s, fhirpath.js %s", src, ours, theirs)
		}
	}
	for i, c := range q.Conversions {
		got, err := ucum.ConvertExact("37.5", c[1].(string), c[2].(string))
		v, _ := strconv.ParseFloat(got, 64)
		if w := a.Conversions[i]; err != nil || w == nil {
			t.Errorf("37.5 %s in %s: ours %s %v, ucum-lhc %v", c[1], c[2], got, err, w)
		} else if math.Abs(v-*w) > 1e-9*math.Max(math.Abs(v), math.Abs(*w)) {
			t.Errorf("37.5 %s in %s: ours %s, ucum-lhc %v", c[1], c[2], got, *w)
		}
	}
	t.Logf("%d expressions, %d conversions", len(q.Expressions), len(q.Conversions))
}

// evaluated gives our answer in the form of shown.
func evaluated(n *fhirjson.Node, src string) string {
	e, err := fhirpath.Compile(src)
	if err != nil {
		return "error"
	}
	items, err := e.Eval(&fhirpath.Env{Model: &fhir.Model{}}, n, "Patient")
	if err != nil {
		return "error"
	}
	var out []string
	for _, it := range items {
		out = append(out, plain(fmt.Sprint(it)))
	}
	return "[" + strings.Join(out, " ") + "]"
}

// shown gives an oracle's answer: its values as text, numbers without needless zeroes.
func shown(v any) string {
	all, is := v.([]any)
	if !is {
		return "error"
	}
	var out []string
	for _, x := range all {
		out = append(out, plain(fmt.Sprint(x)))
	}
	return "[" + strings.Join(out, " ") + "]"
}

func plain(s string) string {
	s = strings.TrimPrefix(strings.Trim(s, "'"), "@")
	if f, err := strconv.ParseFloat(s, 64); err == nil && !slices.Contains([]string{"Inf", "NaN"}, s) {
		return strconv.FormatFloat(f, 'g', 12, 64)
	}
	return s
}
