package office

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/viewdef"
	"yarrow.health/internal/web/ui"
)

// export gives what the filter found as CSV for people or NDJSON for programs. A whole log that proves itself is written by
// `yarrow audit export`.
func (o *Office) export(w *ui.Reply, q *ui.Request) error {
	form := q.Path("form")
	if form != "csv" && form != "ndjson" {
		return fhir.Problem("not-found", q.T("error.page"), q.T("error.page.fix"))
	}
	g, err := o.gather(q)
	if err != nil {
		return err
	}
	w.See(g.looked(audit.ActionExport))
	var out bytes.Buffer
	mediaType := "text/csv; charset=utf-8"
	if form == "csv" {
		err = g.csv(q, &out)
	} else {
		mediaType = "application/x-ndjson"
		enc := json.NewEncoder(&out)
		for i := range g.entries {
			if err = enc.Encode(audit.WordsOf(&g.entries[i])); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	w.Header("Content-Disposition", `attachment; filename="audit.`+form+`"`)
	w.Bytes(http.StatusOK, mediaType, out.Bytes())
	return nil
}

func (g *gathered) csv(q *ui.Request, out *bytes.Buffer) error {
	c := csv.NewWriter(out)
	c.UseCRLF = true
	head := []string{"time", "who", "kind", "user", "role", "behalf", "action", "patient", "name", "resource", "version", "outcome", "purpose", "category", "labels", "detail", "program", "address", "session", "request", "link"}
	for i, h := range head {
		head[i] = q.T("audit.fact." + h)
	}
	if err := c.Write(head); err != nil {
		return err
	}
	for i := range g.entries {
		e := &g.entries[i]
		w := audit.WordsOf(e)
		line := []string{w.At, g.who(e.Actor), w.Kind, number(w.User), w.Role, w.OnBehalf, w.Action, w.Patient, g.patient(e.Patient), strings.TrimSuffix(w.Type+"/"+w.Resource, "/"),
			number(w.Version), w.Outcome, w.Purpose, strings.Join(w.Categories, " | "), number(w.Labels), w.Detail, w.Program, w.Address, w.Session, w.Request, strings.Join(w.Links, " ")}
		for n, cell := range line {
			line[n] = viewdef.Neutral(cell)
		}
		if err := c.Write(line); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
