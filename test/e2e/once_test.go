package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAFormCountsOnceThroughAKill registers a patient and kills the server a moment later: before the change, between the commit
// and the answer, or after it. The browser's repeat of the form to the server that starts again gives one patient and one answer.
func TestAFormCountsOnceThroughAKill(t *testing.T) {
	y := startDemo(t, "--patients", "3")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(path string, form url.Values) (status int, to, body string, err error) {
		var r *http.Response
		if form == nil {
			r, err = c.Get(y.Demo.URL + path)
		} else {
			r, err = c.PostForm(y.Demo.URL+path, form)
		}
		if err != nil {
			return 0, "", "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return r.StatusCode, r.Header.Get("Location"), string(b), err
	}
	must := func(path string, form url.Values) (int, string, string) {
		t.Helper()
		status, to, body, err := send(path, form)
		if err != nil {
			t.Fatal(err)
		}
		return status, to, body
	}
	_, _, page := must("/demo/sign-in", nil)
	who := ""
	for _, m := range regexp.MustCompile(`(?s)<button name="person" value="(\d+)">(.*?)</button>`).FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[2], "Front desk") {
			who = m[1]
		}
	}
	if status, to, _ := must("/demo/sign-in/demo", url.Values{"person": {who}}); status != 303 || strings.Contains(to, "sign-in") {
		t.Fatalf("sign-in: %d %s", status, to)
	}
	hidden := regexp.MustCompile(`name="once" value="([0-9a-f]+)"`)
	committed := 0
	for round, wait := range []time.Duration{0, 2, 4, 7, 12, 40} {
		_, _, page := must("/demo/patients/new", nil)
		// The page holds other forms before it; the registration's own key is the last.
		keys := hidden.FindAllStringSubmatch(page, -1)
		family := fmt.Sprintf("Quern%c", 'a'+round)
		form := url.Values{"once": {keys[len(keys)-1][1]}, "family": {family}, "given": {"Ida"}, "birthDate": {fmt.Sprintf("19%d-02-03", 60+round)}, "sex": {"female"}}
		first := make(chan string, 1)
		go func() {
			_, to, _, _ := send("/demo/patients/new", form)
			first <- to
		}()
		time.Sleep(wait * time.Millisecond)
		y.restart()
		heard := <-first
		_, _, found := must("/demo/patients", url.Values{"q": {family}})
		was := strings.Count(found, family)
		status, to, body := must("/demo/patients/new", form)
		if status != 303 || !strings.HasPrefix(to, "/demo/patients/") || heard != "" && to != heard {
			t.Fatalf("round %d: repeated: %d %q, first heard %q: %.400s", round, status, to, heard, body)
		}
		if heard == "" && was > 0 {
			committed++
		}
		if status, again, _ := must("/demo/patients/new", form); status != 303 || again != to {
			t.Errorf("round %d: a third time: %d %q, before %q", round, status, again, to)
		}
		_, _, found = must("/demo/patients", url.Values{"q": {family}})
		if n := len(regexp.MustCompile(`href="/demo/patients/[^"]+"[^>]*>[^<]*`+strings.ToUpper(family)).FindAllString(found, -1)); n != 1 {
			t.Errorf("round %d: %d patients are called %s: %.2000s", round, n, family, found)
		}
	}
	t.Logf("killed between the commit and the answer in %d rounds", committed)
}
