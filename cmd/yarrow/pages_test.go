package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

// elsewhere stands for addresses that are none.
const elsewhere = "/elsewhere"

// notPages are the addresses people read that show no page of ours, and why.
var notPages = map[string]string{
	"/live":                               "a stream that does not end",
	"/audit/export/{form}":                "a file",
	"/audit/checkpoint":                   "a file",
	"/audit/entries/{entry}/receipt":      "a file",
	"/agreement/copy":                     "a file",
	"/holds/receipts/{receipt}":           "a file",
	"/sign-in/with/{connection}/metadata": "a file for another program",
	"/sign-in/with/{connection}":          "leads to another server",
	"/account/prove/with/{connection}":    "leads to another server",
	"/organisation/{connection}/test":     "leads to another server",
	"/oauth/authorize":                    "leads to /apps/ask/{ask}, or back to the program",
}

// TestEveryPage takes every address that people read from the route table and looks at its page wide and on a phone, light and dark:
// axe finds nothing that keeps people out, nothing is wider than the window, nothing is refused by the page's policy, the console
// stays empty. An address that nobody wrote down below fails, so that a new page cannot be forgotten.
func TestEveryPage(t *testing.T) {
	h := newPages(t)
	at := h.pages()
	var todo []string
	for _, r := range h.router.Routes() {
		pattern := strings.TrimPrefix(r.Pattern, "/{practice}")
		if r.Method != http.MethodGet {
			continue
		}
		switch _, not := notPages[pattern]; {
		case not == (len(at[pattern]) > 0):
			t.Errorf("%s needs a visit in pages, or a reason in notPages, and not both", pattern)
		case !not:
			todo = append(todo, pattern)
		}
	}
	for pattern := range at {
		if !slices.Contains(todo, pattern) {
			t.Errorf("%s is visited, but is no page", pattern)
		}
	}
	if t.Failed() {
		return
	}
	at[elsewhere] = []visit{{who: amara, path: "/nothing-of-this-name", status: http.StatusNotFound}}
	todo = append(todo, elsewhere)
	// Two people look at once, as the machines that run this have two cores at least.
	for half, name := range []string{"one", "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := webtest.Open(t, h.base, 8*time.Minute)
			for n, pattern := range todo {
				for i, v := range at[pattern] {
					if n%2 == half {
						h.look(w, fmt.Sprintf("%s%s %s", pattern, strings.Repeat("'", i), v.who), v)
					}
				}
			}
		})
	}
}

// sizes are the windows that people have.
var sizes = []struct {
	name          string
	width, height int64
}{{"wide", 1440, 900}, {"phone", 390, 844}}

// look looks at a page in every window and theme. It is loaded once: width and theme are the style sheet's alone.
func (h *pages) look(w *webtest.Window, name string, v visit) {
	w.T.Helper()
	cookie := network.SetCookie("yarrow-session-"+demoSlug, h.tokens[v.who]).WithURL(h.base).WithHTTPOnly(true)
	if v.who == "" {
		cookie = network.SetCookie("yarrow-session-"+demoSlug, "none").WithURL(h.base)
	}
	w.Size(sizes[0].width, sizes[0].height, "light")
	w.Do(cookie)
	resp, err := chromedp.RunResponse(w.Ctx, chromedp.Navigate(h.base+"/"+demoSlug+v.path))
	if err != nil {
		w.T.Fatalf("%s: %v", name, err)
	}
	if want := max(v.status, http.StatusOK); resp.Status != int64(want) {
		w.T.Errorf("%s: %d, want %d, at %s", name, resp.Status, want, resp.URL)
		return
	}
	if v.then != "" {
		w.Do(chromedp.Evaluate(v.then, nil), chromedp.Poll(v.until, nil, chromedp.WithPollingTimeout(30*time.Second)))
	}
	for _, size := range sizes {
		for _, theme := range []string{"light", "dark"} {
			w.Size(size.width, size.height, theme)
			w.Glance("pages", strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "", " ", "-").Replace(name), "-")+"-"+size.name+"-"+theme, theme == "dark")
		}
	}
}
