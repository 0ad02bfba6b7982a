package fhir

import (
	"errors"
	"net/http"
	"testing"
)

func TestIssue(t *testing.T) {
	cause := errors.New("disk")
	i := Problem("conflict", "The visit was changed.", "Load it again.").At("Encounter.status").Because(cause)
	if got, want := i.Error(), "Encounter.status: The visit was changed. Load it again."; got != want {
		t.Errorf("says %q", got)
	}
	if !errors.Is(i, cause) {
		t.Error("the cause is lost")
	}
	i.Line, i.Column = 3, 7
	want := `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"The visit was changed."},"diagnostics":"Load it again.","location":["Line[3] Col[7]"],"expression":["Encounter.status"]}]}`
	if got := string(Outcome(*i)); got != want {
		t.Errorf("outcome %s", got)
	}
}

func TestOutcomeIsValid(t *testing.T) {
	for _, raw := range [][]byte{Outcome(), Outcome(Issue{Text: "x"}), Outcome(*Problem("required", "a\"\n", "b"), Issue{Severity: "warning", Code: "informational", Path: "Patient", Line: 1, Column: 1})} {
		if _, issues := Parse(raw); len(issues) > 0 {
			t.Errorf("%s: %v", raw, issues)
		}
	}
}

func TestIssues(t *testing.T) {
	warning, fault := Issue{Severity: "warning", Text: "w"}, Issue{Text: "e"}
	if (Issues{warning}).HasErrors() || (Issues{warning}).Err() != nil {
		t.Error("a warning is no error")
	}
	if err := (Issues{warning, fault}).Err(); err == nil || err.Error() != "w\ne" {
		t.Errorf("got %v", err)
	}
}

// TestEveryIssueTypeHasAStatus keeps HTTPStatus in step with the code system.
func TestEveryIssueTypeHasAStatus(t *testing.T) {
	codes, ok := Codes("http://hl7.org/fhir/ValueSet/issue-type")
	if !ok || len(codes) < 30 {
		t.Fatal("issue types are missing")
	}
	internal := map[string]bool{"exception": true, "no-store": true}
	for _, c := range codes {
		if got := HTTPStatus(c.Code); (got == http.StatusInternalServerError) != internal[c.Code] {
			t.Errorf("%s gives %d", c.Code, got)
		}
	}
	for code, want := range map[string]int{"not-found": 404, "deleted": 410, "conflict": 409, "required": 400, "forbidden": 403, "login": 401, "multiple-matches": 412, "business-rule": 422, "throttled": 429} {
		if got := HTTPStatus(code); got != want {
			t.Errorf("%s gives %d, want %d", code, got, want)
		}
	}
}

func TestSyntaxIssue(t *testing.T) {
	_, issues := Parse([]byte("{\"resourceType\":\"Patient\",\n\"id\":\"a\",\"id\":\"b\"}"))
	if len(issues) != 1 || issues[0].Line != 2 || issues[0].Path != "id" || issues[0].Fix == "" {
		t.Errorf("%+v", issues)
	}
}

func TestParseReference(t *testing.T) {
	tests := []struct {
		in, typ, id string
		ok          bool
	}{
		{"Patient/123", "Patient", "123", true},
		{"Patient/123/_history/4", "Patient", "123", true},
		{"https://x.org/fhir/Patient/a.b-c", "Patient", "a.b-c", true},
		{"https://x.org/fhir/Patient/1/_history/2", "Patient", "1", true},
		{"Patient/", "", "", false}, {"/Patient/1", "", "", false}, {"Patient", "", "", false}, {"", "", "", false},
		{"patient/1", "", "", false}, {"x/Patient/1", "", "", false}, {"urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "", "", false},
		{"#a", "", "", false}, {"Patient/a_b", "", "", false}, {"Patient?identifier=1", "", "", false},
	}
	for _, tt := range tests {
		typ, id, ok := ParseReference(tt.in)
		if ok != tt.ok || ok && (typ != tt.typ || id != tt.id) {
			t.Errorf("%q: %q %q %v", tt.in, typ, id, ok)
		}
	}
	if id := (&Reference{Reference: "Patient/1"}).LocalID("Patient"); id != "1" {
		t.Error(id)
	}
	if id := (&Reference{Reference: "http://x/Patient/1"}).LocalID("Patient"); id != "" {
		t.Error(id)
	}
}
