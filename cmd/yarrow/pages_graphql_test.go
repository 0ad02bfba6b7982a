package main

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

// TestStartingQueries sends every query that the page of GraphQL begins with, as it stands there, and wants an answer with something
// in it and nothing wrong.
func TestStartingQueries(t *testing.T) {
	h := newPages(t)
	page := h.serve(amara, httptest.NewRequest(http.MethodGet, h.base+"/"+demoSlug+"/docs/graphql", nil)).Body.String()
	all := regexp.MustCompile(`<option value="\d+" data-query="([^"]*)" data-variables="([^"]*)">([^<]*)`).FindAllStringSubmatch(page, -1)
	if len(all) < 8 {
		t.Fatalf("%d queries to begin with", len(all))
	}
	day := h.db.Clock().Now().Format("2006-01-02")
	for _, m := range all {
		vars := strings.NewReplacer("ID of a patient", h.ids["{patient}"], "Patient/ID", "Patient/"+h.ids["{patient}"], "2026-01-31", day).Replace(html.UnescapeString(m[2]))
		if vars == "" {
			vars = "{}"
		}
		body, err := json.Marshal(map[string]any{"query": html.UnescapeString(m[1]), "variables": json.RawMessage(vars)})
		if err != nil {
			t.Fatal(m[3], err)
		}
		r := httptest.NewRequest(http.MethodPost, h.base+"/"+demoSlug+"/fhir/$graphql", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := h.serve(amara, r)
		var got struct {
			Data   map[string]json.RawMessage
			Errors []struct{ Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || len(got.Errors) > 0 {
			t.Errorf("%s: %d %v %.300s", m[3], w.Code, err, w.Body)
		}
		for name, v := range got.Data {
			if s := string(v); s == "null" || s == "[]" && !strings.Contains(m[3], "day") {
				t.Errorf("%s: %s is empty", m[3], name)
			}
		}
	}
}

// TestGraphQLByKeyboard sends a query by its keys, is shown what is wrong at its place, goes back to what was asked before, and looks
// a field up in the schema.
func TestGraphQLByKeyboard(t *testing.T) {
	h := newPages(t)
	w := webtest.Open(t, h.base, 2*time.Minute)
	becomes := func(js string) chromedp.Action {
		return chromedp.Poll(js, nil, chromedp.WithPollingTimeout(30*time.Second), chromedp.WithPollingInterval(50*time.Millisecond))
	}
	write := func(field, text string) chromedp.Action {
		return chromedp.Tasks{chromedp.Focus(field), chromedp.Evaluate(`document.activeElement.select()`, nil), chromedp.KeyEvent(text)}
	}
	w.Size(1440, 900, "light")
	for _, step := range []struct {
		name string
		do   chromedp.Tasks
	}{
		{"the page", chromedp.Tasks{network.SetCookie("yarrow-session-"+demoSlug, h.tokens[amara]).WithURL(h.base).WithHTTPOnly(true), chromedp.Navigate(h.base + "/" + demoSlug + "/docs/graphql"),
			becomes(`document.querySelectorAll("[data-types] details:not([hidden])").length > 50`)}},
		{"a query by its keys", chromedp.Tasks{chromedp.Focus("#f-query"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(2)), becomes(`/birthDate/.test(document.querySelector("[data-got]").textContent)`)}},
		{"a fault at its place", chromedp.Tasks{write("#f-query", "{PatientList(nmae: 1) {id}}"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(2)), becomes(`!!document.querySelector("#gql-errors li button")`),
			becomes(`document.querySelector("#f-query").getAttribute("aria-invalid") === "true" && document.activeElement.id === "f-query"`)}},
		{"variables that are none", chromedp.Tasks{write("#f-variables", "{no"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(2)), becomes(`!document.querySelector("#gql-badvars").hidden && document.activeElement.id === "f-variables"`)}},
		{"what was asked before", chromedp.Tasks{chromedp.Evaluate(`document.querySelectorAll("[data-past] button")[1].click()`, nil), becomes(`/query Find/.test(document.querySelector("#f-query").value)`)}},
		{"the schema", chromedp.Tasks{write("#f-types", "humanname"), becomes(`document.querySelectorAll("[data-types] details:not([hidden])").length === 1`),
			chromedp.Focus("[data-types] details:not([hidden]) summary"), chromedp.KeyEvent("\r"), becomes(`/family/.test(document.querySelector("[data-types] details[open]").textContent)`)}},
		{"nothing is kept", chromedp.Tasks{chromedp.Reload(), becomes(`document.querySelector("[data-past]").hidden && localStorage.length + sessionStorage.length === 0`)}},
	} {
		if err := webtest.Run(w.Ctx, step.do); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	w.Blame("GraphQL")
}
