package fhir

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// Issue is Yarrow's error for people: the issue of an R4 OperationOutcome.
// Text and Fix are shown to whoever asked, so they hold no patient data; what
// only the log may know goes into Cause.
type Issue struct {
	Severity string // fatal, error, warning or information; empty means error
	Code     string // an R4 issue-type code: required, value, not-found, conflict …
	Text     string // what is wrong
	Fix      string // what to do about it
	Path     string // FHIRPath of the element, with indexes: Patient.name[1].given[0]
	Line     int    // in the JSON document, from 1; 0 if unknown
	Column   int    // in characters, from 1; 0 if unknown
	Cause    error  // for the log only, never shown

	offset int // of the value in the document, for Locate
}

// Problem returns an error Issue. Every error tells what to do, so fix is not
// optional.
func Problem(code, text, fix string) *Issue {
	return &Issue{Severity: "error", Code: code, Text: text, Fix: fix}
}

// At sets the path of the element the issue is about and returns the issue.
func (i *Issue) At(path string) *Issue {
	i.Path = path
	return i
}

// On remembers the value the issue is about, so that Locate can tell its line, and returns the issue.
func (i *Issue) On(n *fhirjson.Node) *Issue {
	i.offset = n.Offset()
	return i
}

// Because sets the private cause and returns the issue.
func (i *Issue) Because(err error) *Issue {
	i.Cause = err
	return i
}

// Error returns place, text and remedy in one line, without the cause.
func (i *Issue) Error() string {
	var b strings.Builder
	if i.Path != "" {
		b.WriteString(i.Path)
		if i.Line > 0 {
			b.WriteString(" (line " + strconv.Itoa(i.Line) + ")")
		}
		b.WriteString(": ")
	} else if i.Line > 0 {
		b.WriteString("line " + strconv.Itoa(i.Line) + ", column " + strconv.Itoa(i.Column) + ": ")
	}
	b.WriteString(i.message())
	return b.String()
}

func (i *Issue) message() string {
	if i.Fix == "" {
		return i.Text
	}
	return i.Text + " " + i.Fix
}

// Unwrap returns the private cause.
func (i *Issue) Unwrap() error { return i.Cause }

// Issues is several issues as one error.
type Issues []Issue

// Error joins the issues, one per line.
func (is Issues) Error() string {
	lines := make([]string, len(is))
	for i := range is {
		lines[i] = is[i].Error()
	}
	return strings.Join(lines, "\n")
}

// HasErrors reports whether any issue is an error or fatal, so that the
// resource or request must be refused.
func (is Issues) HasErrors() bool {
	for i := range is {
		switch is[i].Severity {
		case "", "error", "fatal":
			return true
		}
	}
	return false
}

// Err returns the issues as an error if there are errors among them, or nil.
func (is Issues) Err() error {
	if is.HasErrors() {
		return is
	}
	return nil
}

// Locate fills in Line and Column of issues that Validate found in the
// document raw, which must be the bytes the tree was parsed from. It reads raw
// once, however many issues there are.
func (is Issues) Locate(raw []byte) {
	order := make([]int, 0, len(is))
	for i := range is {
		if is[i].Line == 0 && is[i].offset > 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return is[a].offset - is[b].offset })
	at, line, column := 0, 1, 1
	for _, i := range order {
		l, c := fhirjson.Position(raw[at:], is[i].offset-at)
		if l > 1 {
			line, column = line+l-1, c
		} else {
			column += c - 1
		}
		at = min(is[i].offset, len(raw))
		is[i].Line, is[i].Column = line, column
	}
}

// Parse reads a resource from JSON and validates its structure. The Issues
// hold what is wrong, with places; the node is nil only if the JSON itself
// could not be read.
func Parse(raw []byte) (*fhirjson.Node, Issues) {
	n, err := fhirjson.Parse(raw, fhirjson.Limits{})
	if err != nil {
		return nil, Issues{*SyntaxIssue(err)}
	}
	issues := Validate(n)
	issues.Locate(raw)
	return n, issues
}

// SyntaxIssue turns an error of fhirjson.Parse into an Issue.
func SyntaxIssue(err error) *Issue {
	var e *fhirjson.SyntaxError
	if !errors.As(err, &e) {
		return Problem("structure", "The JSON could not be read.", "Send a FHIR resource as JSON.").Because(err)
	}
	return &Issue{Severity: "error", Code: "structure", Text: e.Msg, Fix: e.Fix, Path: e.Path, Line: e.Line, Column: e.Column}
}

// Outcome returns an OperationOutcome resource as JSON. Causes are left out.
func Outcome(issues ...Issue) []byte {
	dst := []byte(`{"resourceType":"OperationOutcome","issue":[`)
	if len(issues) == 0 {
		issues = []Issue{{Severity: "information", Code: "informational", Text: "All is well."}}
	}
	for i := range issues {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = issues[i].appendJSON(dst)
	}
	return append(dst, "]}"...)
}

// printable replaces control characters, which come from names that a client made up and which no FHIR string may hold.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}

func (i *Issue) appendJSON(dst []byte) []byte {
	severity, code := i.Severity, i.Code
	if severity == "" {
		severity = "error"
	}
	if code == "" {
		code = "processing"
	}
	dst = append(dst, `{"severity":`...)
	dst = fhirjson.AppendString(dst, severity)
	dst = append(dst, `,"code":`...)
	dst = fhirjson.AppendString(dst, code)
	if i.Text != "" {
		dst = append(dst, `,"details":{"text":`...)
		dst = fhirjson.AppendString(dst, printable(i.Text))
		dst = append(dst, '}')
	}
	if i.Fix != "" {
		dst = append(dst, `,"diagnostics":`...)
		dst = fhirjson.AppendString(dst, printable(i.Fix))
	}
	if i.Line > 0 {
		// The position has no element of its own in R4 but this extension
		// that HL7's own validator uses.
		dst = append(dst, `,"location":["Line[`...)
		dst = strconv.AppendInt(dst, int64(i.Line), 10)
		dst = append(dst, `] Col[`...)
		dst = strconv.AppendInt(dst, int64(i.Column), 10)
		dst = append(dst, `]"]`...)
	}
	if i.Path != "" {
		dst = append(dst, `,"expression":[`...)
		dst = fhirjson.AppendString(dst, printable(i.Path))
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// HTTPStatus returns the HTTP status of a reply whose worst issue has this
// issue-type code (http://hl7.org/fhir/R4/codesystem-issue-type.html).
// Unknown codes give 500.
func HTTPStatus(code string) int {
	switch code {
	case "invalid", "structure", "required", "value", "not-supported":
		return 400 // Bad Request
	case "invariant", "business-rule", "code-invalid", "extension", "processing":
		return 422 // Unprocessable Content
	case "login", "unknown", "expired":
		return 401 // Unauthorized
	case "security", "forbidden", "suppressed":
		return 403 // Forbidden
	case "not-found":
		return 404 // Not Found
	case "deleted":
		return 410 // Gone
	case "conflict", "duplicate", "lock-error":
		return 409 // Conflict
	case "multiple-matches":
		return 412 // Precondition Failed
	case "too-long", "too-costly":
		return 413 // Content Too Large
	case "throttled":
		return 429 // Too Many Requests
	case "timeout", "transient", "incomplete":
		return 503 // Service Unavailable
	case "informational":
		return 200 // OK
	}
	return 500 // Internal Server Error
}

// ParseReference splits a relative or absolute literal reference to a
// resource, "Patient/123", "Patient/123/_history/2" or
// "https://host/base/Patient/123". It refuses urn: references, fragments,
// conditional references and types that R4 does not have.
func ParseReference(s string) (typ, id string, ok bool) {
	if i := strings.Index(s, "/_history/"); i >= 0 {
		s = s[:i]
	}
	slash := strings.LastIndexByte(s, '/')
	if slash <= 0 {
		return "", "", false
	}
	id, rest := s[slash+1:], s[:slash]
	if !isID(id) {
		return "", "", false
	}
	typ = rest[strings.LastIndexByte(rest, '/')+1:]
	if len(typ) < len(rest) && !strings.Contains(rest, "://") {
		return "", "", false
	}
	return typ, id, IsResourceType(typ)
}
