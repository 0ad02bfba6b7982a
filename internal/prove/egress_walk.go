package prove

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"yarrow.health/internal/base/egress"
)

var (
	personButton = regexp.MustCompile(`name="person" value="(\d+)"`)
	linkForm     = regexp.MustCompile(`(?:href|hx-get|data-[a-z]*src|data-url)="([^"#]+)`)
	formForm     = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	fieldForm    = regexp.MustCompile(`<(input|select|textarea|button)\b([^>]*)>`)
	attribute    = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
	optionForm   = regexp.MustCompile(`<option[^>]*value="([^"]+)"`)
)

// people has each role of the practice walk through its pages and send every form there is, with canaries in its fields.
func (d *drive) people(ctx context.Context) error {
	reply, err := d.ask(ctx, "GET", "/demo/sign-in", "", nil)
	if err != nil {
		return err
	}
	var there []string
	for _, m := range personButton.FindAllSubmatch(reply.Body, -1) {
		there = append(there, string(m[1]))
	}
	if len(there) < 5 {
		return fmt.Errorf("prove: the sign-in page names %d people: %d", len(there), reply.Status)
	}
	pages := d.r.Cycles
	if pages <= 0 {
		pages = 120
	}
	for _, person := range []string{there[0], there[len(there)/2], there[len(there)-1]} {
		d.cookies = nil
		reply, err := d.page(ctx, "POST", "/demo/sign-in/demo", url.Values{"person": {person}}.Encode())
		if err != nil {
			return err
		}
		if len(d.cookies) == 0 {
			return fmt.Errorf("prove: nobody could sign in: %d", reply.Status)
		}
		if err := d.walk(ctx, d.here(reply.Header.Get("Location")), pages); err != nil {
			return err
		}
	}
	return nil
}

// page asks for a page as a browser with its cookies.
func (d *drive) page(ctx context.Context, method, path, form string) (*egress.Reply, error) {
	h := http.Header{"Accept": {"text/html"}, "Sec-Fetch-Site": {"same-origin"}, "Accept-Language": {"en"}}
	if len(d.cookies) > 0 {
		h.Set("Cookie", strings.Join(d.cookies, "; "))
	}
	if form != "" {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	reply, err := d.ask(ctx, method, path, form, h)
	if err != nil {
		return nil, err
	}
	for _, c := range reply.Header.Values("Set-Cookie") {
		if pair, _, _ := strings.Cut(c, ";"); (strings.Contains(pair, "session") || strings.Contains(pair, "on-")) && !strings.HasSuffix(pair, "=") {
			d.cookies = append(d.cookies, pair)
		}
	}
	return reply, nil
}

// ends are pages that end the session or do not end.
var ends = regexp.MustCompile(`sign-?out|/lock|/live|/idle|language|/leave|/sessions?/`)

// walk follows the links of pages, and sends their forms.
func (d *drive) walk(ctx context.Context, from string, most int) error {
	next, been := []string{from}, map[string]bool{from: true}
	for at := 0; at < len(next) && at < most; at++ {
		reply, err := d.page(ctx, "GET", next[at], "")
		if err != nil {
			return err
		}
		d.r.Count("pages", 1)
		if reply.Status >= 500 {
			d.r.Fail("GET %s is answered %d", next[at], reply.Status)
		}
		if to := d.here(reply.Header.Get("Location")); to != "" && !been[to] {
			been[to] = true
			next = append(next, to)
		}
		for _, m := range linkForm.FindAllSubmatch(reply.Body, -1) {
			to := d.here(html.UnescapeString(string(m[1])))
			if kind := shape(to); to == "" || been[to] || ends.MatchString(to) || been[kind+"3"] {
				continue
			} else { // three pages of a kind are enough
				for _, n := range []string{"1", "2", "3"} {
					if !been[kind+n] {
						been[kind+n] = true
						break
					}
				}
			}
			been[to] = true
			next = append(next, to)
		}
		for _, m := range formForm.FindAllSubmatch(reply.Body, -1) {
			if err := d.submit(ctx, next[at], string(m[1]), string(m[2]), been); err != nil {
				return err
			}
		}
	}
	return nil
}

var idForm = regexp.MustCompile(`[0-9a-f-]{8,}|\d+|\?.*`)

// shape is an address without what names one of many.
func shape(path string) string { return "\x00" + idForm.ReplaceAllString(path, "*") }

// submit sends a form once for each shape of its address.
func (d *drive) submit(ctx context.Context, at, head, body string, been map[string]bool) error {
	attrs := attributes(head)
	to := attrs["action"]
	if to == "" {
		to = at
	}
	to = d.here(to)
	key := "\x01" + attrs["method"] + shape(to)
	if to == "" || been[key] || ends.MatchString(to) {
		return nil
	}
	been[key] = true
	form := url.Values{}
	canary := plant{typ: "Patient", patient: 2}.canary(home)
	for _, f := range fieldForm.FindAllStringSubmatchIndex(body, -1) {
		a := attributes(body[f[4]:f[5]])
		if a["name"] == "" {
			continue
		}
		value := a["value"]
		switch kind := body[f[2]:f[3]]; {
		case kind == "textarea" || kind == "input" && (a["type"] == "text" || a["type"] == "" || a["type"] == "search"):
			value = canary
		case kind == "input" && a["type"] == "date":
			value = "1980-02-03"
		case kind == "input" && a["type"] == "tel":
			value = "555-0100"
		case kind == "input" && a["type"] == "email":
			value = canary + "@example.org"
		case kind == "select":
			if m := optionForm.FindStringSubmatch(body[f[5]:]); m != nil {
				value = html.UnescapeString(m[1])
			}
		}
		form.Add(a["name"], value)
	}
	method, text := "POST", form.Encode()
	if !strings.EqualFold(attrs["method"], "post") {
		method, to, text = "GET", strings.SplitN(to, "?", 2)[0]+"?"+text, ""
	}
	reply, err := d.page(ctx, method, to, text)
	if err != nil {
		return err
	}
	d.r.Count("forms", 1)
	if reply.Status >= 500 {
		d.r.Fail("%s %s is answered %d", method, strings.SplitN(to, "?", 2)[0], reply.Status)
	}
	return nil
}

func attributes(text string) map[string]string {
	out := map[string]string{}
	for _, m := range attribute.FindAllStringSubmatch(text, -1) {
		out[m[1]] = html.UnescapeString(m[2])
	}
	return out
}
