package operations

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
	"yarrow.health/internal/standards/viewdef"
)

// What one run of a view may read and write.
const (
	viewResources = 100_000
	viewBytes     = 64 << 20
)

// views returns $viewdefinition-run of SQL on FHIR version 2 (https://sql-on-fhir.org).
func views() fhirapi.Operation {
	return fhirapi.Operation{Name: "$viewdefinition-run", Levels: fhirapi.System, Run: runView,
		URL:   "http://sql-on-fhir.org/OperationDefinition/$viewdefinition-run",
		Forms: []string{"csv", "ndjson", "json", "text/csv", "application/x-ndjson", "application/ndjson", "application/json"},
		Params: []fhirapi.Param{
			{Name: "viewResource", Type: "Resource", Min: 1, Max: 1, Doc: "The ViewDefinition."},
			{Name: "_format", Type: "code", Max: 1, Doc: "ndjson, json or csv; ndjson unless it says otherwise."},
			{Name: "header", Type: "boolean", Max: 1, Doc: "false leaves out the first line of a csv, which names the columns."},
			{Name: "patient", Type: "Reference", Max: 1, Doc: "Only resources of this patient's record."},
			{Name: "_since", Type: "instant", Max: 1, Doc: "Only resources changed at or after this time."},
			{Name: "_limit", Type: "integer", Max: 1, Doc: "At most this many rows."},
			{Name: "resource", Type: "Resource", Max: -1, Doc: "Resources to make rows of, instead of those that are stored."},
		},
		Doc: "Makes flat rows of resources by a view definition of SQL on FHIR.",
	}
}

// viewRun is one run of a view.
type viewRun struct {
	c     *fhirapi.Call
	v     *viewdef.View
	w     rowWriter
	limit int // rows left, -1 for no limit
}

func runView(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	v, err := viewdef.Compile(c.Parameters.First("viewResource").Resource)
	if err != nil {
		return nil, err
	}
	r := viewRun{c: c, v: v, limit: -1, w: rowWriter{columns: v.Columns}}
	form := c.Form()
	if form == "" || form == "json" || form == "application/json" {
		// Accept: application/json is what clients send without thinking; the parameter says what they mean.
		if p := c.Parameters.Text("_format"); p != "" {
			form = p
		}
	}
	switch form {
	case "", "ndjson", "application/x-ndjson", "application/ndjson":
		r.w.form = "ndjson"
	case "json", "application/json":
		r.w.form = "json"
	case "csv", "text/csv":
		r.w.form = "csv"
	default:
		return nil, fhir.Problem("not-supported", "_format asks for a form in which rows are not written here.", "Use ndjson, json or csv.").At("_format")
	}
	if s := c.Parameters.Text("_limit"); s != "" {
		if r.limit, err = strconv.Atoi(s); err != nil || r.limit < 1 {
			return nil, fhir.Problem("value", "_limit is not a whole number from 1.", "Send how many rows you want at most.").At("_limit")
		}
	}
	r.w.begin(c.Parameters.Text("header") != "false")
	if given := c.Parameters.All("resource"); len(given) > 0 {
		for _, p := range given {
			if err := r.take(p.Resource); err != nil {
				return nil, err
			}
		}
	} else if err := r.stored(ctx); err != nil {
		return nil, err
	}
	body, media := r.w.end()
	if c.Nested() {
		out := fhir.Object("resourceType", "Binary", "contentType", media, "data", base64.StdEncoding.EncodeToString(body))
		return &fhirapi.Answer{Resource: out.AppendJSON(nil)}, nil
	}
	return &fhirapi.Answer{Media: media, Body: body}, nil
}

// stored makes rows of what the caller may see, page by page in one snapshot, and puts every resource that was read on record.
func (r *viewRun) stored(ctx context.Context) error {
	params := map[string][]string{}
	if s := r.c.Parameters.Text("_since"); s != "" {
		t, err := instant("_since", s)
		if err != nil {
			return err
		}
		params["_lastUpdated"] = []string{"ge" + t.UTC().Format("2006-01-02T15:04:05.000000Z")}
	}
	q, issues := fhirsearch.ParseQuery(r.v.Resource, params)
	if err := issues.Err(); err != nil {
		return err
	}
	if p := r.c.Parameters.First("patient"); p != nil {
		text := p.Text()
		if p.Value.Kind() == fhirjson.Object {
			text = p.Value.Get("reference").Text()
		}
		if !strings.Contains(text, "/") {
			text = "Patient/" + text
		}
		typ, id, ok := fhir.ParseReference(strings.TrimPrefix(text, r.c.Base+"/"))
		if !ok || typ != "Patient" {
			return fhir.Problem("value", "patient does not name a Patient.", "Write it as Patient/id.").At("patient")
		}
		q.Compartment = "Patient/" + id
	}
	q.Count = 1000
	return r.c.View(ctx, func(tx *db.Tx) error {
		for looked := 0; ; {
			page, err := r.c.Store().Search(ctx, tx, q)
			if err != nil {
				return err
			}
			var seen []*fhirstore.Resource
			for _, x := range page.Resources {
				if r.limit == 0 {
					break
				}
				seen = append(seen, x)
				if err := r.take(x.Node()); err != nil {
					return err
				}
			}
			if len(seen) > 0 {
				r.c.SeeAll("$viewdefinition-run", seen)
			}
			if q.Page = page.Next; q.Page == "" || r.limit == 0 {
				return nil
			}
			if looked += len(page.Resources); looked >= viewResources {
				return tooLarge()
			}
		}
	})
}

func tooLarge() error {
	return fhir.Problem("too-costly", "The view reads more than 100,000 resources or writes more than 64 MB.", "Narrow it with patient, _since or _limit.")
}

// take writes the rows of a resource.
func (r *viewRun) take(n *fhirjson.Node) error {
	rows, err := r.v.Rows(n, r.c.Now())
	if err != nil {
		return err
	}
	for _, row := range rows {
		if r.limit == 0 {
			return nil
		}
		r.limit--
		if r.w.row(row); len(r.w.out) > viewBytes {
			return tooLarge()
		}
	}
	return nil
}

// rowWriter writes rows in a form.
type rowWriter struct {
	form    string // ndjson, json, csv
	columns []viewdef.Column
	out     []byte
	rows    int
}

func (w *rowWriter) begin(header bool) {
	switch {
	case w.form == "json":
		w.out = append(w.out, '[')
	case w.form == "csv" && header:
		for i, c := range w.columns {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.out = append(w.out, c.Name...)
		}
		w.out = append(w.out, "\r\n"...)
	}
}

func (w *rowWriter) end() (body []byte, media string) {
	switch w.form {
	case "json":
		return append(w.out, ']'), "application/json"
	case "csv":
		return w.out, "text/csv; charset=utf-8"
	}
	return w.out, "application/x-ndjson"
}

func (w *rowWriter) row(row viewdef.Row) {
	if w.rows++; w.form == "csv" {
		for i := range row {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.out = appendCell(w.out, &row[i])
		}
		w.out = append(w.out, "\r\n"...)
		return
	}
	if w.form == "json" && w.rows > 1 {
		w.out = append(w.out, ',')
	}
	for i, c := range w.columns {
		if i == 0 {
			w.out = append(w.out, '{')
		} else {
			w.out = append(w.out, ',')
		}
		w.out = append(fhirjson.AppendString(w.out, c.Name), ':')
		w.out = row[i].AppendJSON(w.out)
	}
	if w.out = append(w.out, '}'); w.form == "ndjson" {
		w.out = append(w.out, '\n')
	}
}

// appendCell writes a cell of a csv (RFC 4180), which may be opened in a spreadsheet.
func appendCell(out []byte, n *fhirjson.Node) []byte {
	text := n.Text()
	switch n.Kind() {
	case fhirjson.Null:
		return out
	case fhirjson.Array:
		text = n.String()
	case fhirjson.String:
		text = viewdef.Neutral(text)
	}
	if !strings.ContainsAny(text, ",\"\r\n") {
		return append(out, text...)
	}
	out = append(out, '"')
	out = append(out, strings.ReplaceAll(text, `"`, `""`)...)
	return append(out, '"')
}
