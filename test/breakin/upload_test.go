package breakin_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// T-34. What is uploaded is kept as bytes and handed out as bytes: a browser saves it and never opens it as a page of this server. Types
// that run and bytes that are another kind of file than they say are refused. Without a scanner nothing is scanned for viruses: the
// file that all scanners know is kept like any other.
func TestUploadsNeverRun(t *testing.T) {
	h := onSQLite(t)
	token := h.token("willow")
	eicar := `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-` + `ANTIVIRUS-TEST-FILE!$H+H*`
	for name, c := range map[string]struct {
		media, bytes string
		refused      bool
	}{
		"a page":                    {"text/html", `<script>fetch('/willow/fhir/Patient')</script>`, false},
		"a page with a charset":     {"text/html;charset=utf-7", `+ADw-script+AD4-alert(1)+ADw-/script+AD4-`, false},
		"a page of XHTML":           {"application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>`, false},
		"a picture with a script":   {"image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, true},
		"XML with a style sheet":    {"text/xml", `<?xml-stylesheet type="text/xsl" href="#"?><x/>`, false},
		"a PDF that does something": {"application/pdf", "%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\ntrailer<</Root 1 0 R>>", false},
		"a picture that is a page":  {"image/png", `<html><script>alert(1)</script>`, true},
		"a program":                 {"application/x-msdownload", "MZ\x90\x00", true},
		"a script":                  {"text/javascript", `alert(1)`, true},
		"no known type":             {"x/y", `<script>alert(1)</script>`, true},
		"the scanners' test file":   {"application/octet-stream", eicar, false},
		"a type that breaks lines":  {"text/plain; x=\"\r\nSet-Cookie: a=b\"", "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			var id string
			if strings.ContainsAny(c.media, "\r\n") {
				a := h.fhir(token, "POST", "/Binary", `{"resourceType":"Binary","contentType":"text/plain; x=\"\r\nSet-Cookie: a=b\"","data":"eA=="}`)
				if a.status >= 500 {
					t.Errorf("%d %s", a.status, a.text())
				}
				if a.status != http.StatusCreated {
					return // refused
				}
				at := strings.Split(a.header.Get("Location"), "/")
				id = at[len(at)-3]
			} else if body := `{"resourceType":"Binary","contentType":"` + c.media + `","data":"` + base64.StdEncoding.EncodeToString([]byte(c.bytes)) + `"}`; c.refused {
				if a := h.fhir(token, "POST", "/Binary", body); a.status != http.StatusUnprocessableEntity {
					t.Errorf("it is taken: %d %s", a.status, a.text())
				}
				return
			} else {
				id = h.put(token, body)
			}
			for _, accept := range []string{c.media, "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", ""} {
				if strings.ContainsAny(accept, "\r\n") {
					continue
				}
				a := h.fhir(token, "GET", "/Binary/"+id, "", "Accept", accept)
				hd := a.header
				if a.err != nil || a.status >= 500 || hd.Get("Set-Cookie") != "" {
					t.Fatalf("%q: %d %v %v", accept, a.status, hd, a.err)
				}
				if a.status != http.StatusOK {
					continue
				}
				safe := strings.HasPrefix(hd.Get("Content-Type"), "application/fhir+") || hd.Get("Content-Disposition") == "attachment"
				if !safe || hd.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(hd.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(hd.Get("Cache-Control"), "no-store") && !strings.Contains(hd.Get("Cache-Control"), "no-cache") && !strings.Contains(hd.Get("Cache-Control"), "private") {
					t.Errorf("%q: %v", accept, hd)
				}
				if hd.Get("Content-Disposition") == "attachment" && a.body != c.bytes {
					t.Errorf("%q: the bytes changed: %q", accept, a.body)
				}
			}
		})
	}
}
