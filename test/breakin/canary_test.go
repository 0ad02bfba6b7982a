package breakin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"yarrow.health/internal/web/webtest"
)

// canary is a word that stands in every field of the story, and nowhere else on this machine.
const canary = "Zqcanary"

// search says which files under a folder hold the canary, in the encodings a program might write it in.
func search(t *testing.T, root string) (held []string, files int) {
	t.Helper()
	needles := [][]byte{[]byte(canary), []byte(strings.ToLower(canary)), []byte(strings.ToUpper(canary))}
	var wide []byte
	for _, c := range []byte(canary) {
		wide = append(wide, c, 0)
	}
	needles = append(needles, wide)
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		files++
		for _, n := range needles {
			if i := bytes.Index(raw, n); i >= 0 {
				held = append(held, fmt.Sprintf("%s: %q", strings.TrimPrefix(path, root), raw[max(0, i-60):min(len(raw), i+60)]))
				break
			}
		}
		return nil
	})
	return held, files
}

// T-60, T-63. What patients say stays sealed: a word that stands in every field, also in those that were refused, is found in no log,
// no file of the server or its database, and nothing that the browser keeps.
func TestNothingSaidIsLeftBehind(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.token("willow")
		f := &filler{all: []string{canary + " One", canary + " Two", canary}}
		var ids []string
		for range 3 {
			a := h.fhir(token, "POST", "/Patient", f.fill(baitedPatient, ""))
			if a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.text())
			}
			at := strings.Split(a.header.Get("Location"), "/")
			ids = append(ids, at[len(at)-3])
			for _, template := range bait {
				if a := h.fhir(token, "POST", "/"+strings.Split(template, `"`)[3], f.fill(template, "Patient/"+ids[len(ids)-1])); a.status >= 500 {
					t.Errorf("%d %s", a.status, a.text())
				}
			}
		}
		// Everything that goes wrong: values that are none, conflicts, searches that cannot be, bodies that end, types that are not.
		for _, body := range []string{`{"resourceType":"Patient","birthDate":"` + canary + `"}`, `{"resourceType":"Patient","gender":"` + canary + `"}`, `{"resourceType":"` + canary + `"}`, `{"` + canary + `":1}`, `{"resourceType":"Patient","name":[{"family":"` + canary, `{"resourceType":"Patient","` + canary + `":"x"}`,
			`{"resourceType":"Patient","link":[{"other":{"reference":"Patient/` + canary + `"},"type":"seealso"}]}`, `{"resourceType":"Patient","identifier":[{"system":"` + canary + ` x","value":"` + canary + `"}]}`} {
			for _, path := range []string{"/Patient", "/Patient/$validate", "", "/Patient/" + ids[0]} {
				method := "POST"
				if strings.HasSuffix(path, ids[0]) {
					method = "PUT"
				}
				if a := h.fhir(token, method, path, body, "If-None-Exist", "identifier="+canary+"&"+canary+"=x", "X-Request-Id", canary, "User-Agent", canary); a.status >= 500 {
					t.Errorf("%s: %d", body, a.status)
				}
			}
		}
		q := url.QueryEscape(canary)
		for _, path := range []string{"/Patient?name=" + q, "/Patient?" + q + "=x", "/Patient?birthdate=" + q, "/Patient?_sort=" + q, "/Patient?_page=" + q, "/" + q, "/Patient/" + q, "/Patient/" + ids[0] + "/_history/" + q, "/Patient?name:" + q + "=x", "/Patient?_id=" + q + "&_include=" + q, "/Patient/$" + q, "/ValueSet/$expand?url=" + q + "&filter=" + q, "/Patient?_format=" + q} {
			if a := h.fhir(token, "GET", path, "", "Referer", "https://"+canary+".example/", "Accept-Language", canary); a.status >= 500 {
				t.Errorf("%s: %d", path, a.status)
			}
		}
		h.fhir(canary, "GET", "/Patient?name="+q, "")
		ann := h.signIn("willow", "ann")
		for _, path := range []string{"/patients", "/patients/" + ids[0], "/patients/" + q, "/" + q, "/audit?who=" + q, "/people/" + q, "/docs/api/" + q, "/schedule?day=" + q, "/patients/" + ids[1] + "/access"} {
			ann.get(path, "Referer", "https://x.example/"+canary)
		}
		for path, v := range map[string]url.Values{"/find": {"q": {canary}}, "/patients": {"q": {canary}}, "/patients/new": {"family": {canary}, "given": {canary}, "birth": {canary}, "phone": {canary}}, "/schedule": {"patient": {canary}, "reason": {canary}},
			"/sign-in": {"login": {canary}, "password": {canary}}, "/join": {"invite": {canary}, "password": {canary}}, "/people/new": {"login": {canary}, "name": {canary}, "role": {canary}}, "/patients/" + ids[2] + "/problems": {"text": {canary}}, "/patients/" + ids[2] + "/restricted": {"reason": {canary}, "text": {canary}}} {
			if a := ann.post(path, v); a.status >= 500 {
				t.Errorf("%s: %d %s", path, a.status, a.text())
			}
		}
		h.ask("POST", "/willow/oauth/token", url.Values{"grant_type": {canary}, "client_id": {canary}, "code": {canary}, "client_assertion": {canary}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/vars", "/healthz", "/readyz", "/.git/config", "/willow/fhir/metadata", "/server-status"} {
			a := h.ask("GET", path, "")
			if strings.Contains(a.body, canary) || strings.HasPrefix(path, "/debug") && a.status == http.StatusOK || strings.HasPrefix(path, "/.git") && a.status == http.StatusOK {
				t.Errorf("%s: %d %s", path, a.status, a.text())
			}
		}
		if said := h.log.String(); strings.Contains(strings.ToLower(said), strings.ToLower(canary)) {
			i := strings.Index(strings.ToLower(said), strings.ToLower(canary))
			t.Errorf("the log says: %s", said[max(0, i-300):min(len(said), i+200)])
		}
		held, files := search(t, h.dir)
		for _, x := range held {
			t.Errorf("a file of the server holds it: %s", x)
		}
		for _, place := range h.disk() {
			more, n := search(t, place)
			for _, x := range more {
				t.Errorf("PostgreSQL wrote it: %s", x)
			}
			files += n
		}
		if files < 3 {
			t.Errorf("%d files were looked at", files)
		}
		control := t.TempDir()
		if err := os.WriteFile(filepath.Join(control, "x"), []byte("\x00"+strings.ToUpper(canary)), 0o600); err != nil {
			t.Fatal(err)
		}
		if held, _ := search(t, control); len(held) != 1 {
			t.Error("what is there is not found")
		}
		// It is there for who may read it.
		if a := h.fhir(token, "GET", "/Patient/"+ids[0], ""); !strings.Contains(a.body, canary) {
			t.Errorf("%s", a.text())
		}
		t.Logf("%d files", files)
	})
}

// T-62. A browser that was closed keeps nothing of the charts it showed: not in its cache, its storage or the addresses it remembers.
func TestTheBrowserKeepsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	h := &house{t: t, dir: dir, place: []string{"--data", dir}, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	begin(t, h.command("demo", "--listen", "127.0.0.1:0", "--patients", "4"), &h.log, "file://"+filepath.Join(dir, "demo.json"))
	var demo struct{ URL string }
	raw, _ := os.ReadFile(filepath.Join(dir, "demo.json"))
	if json.Unmarshal(raw, &demo) != nil {
		t.Fatal("no demo.json")
	}
	h.at = strings.TrimPrefix(demo.URL, "http://")
	bearer := []string{"Authorization", "Bearer " + h.token("demo"), "Content-Type", "application/fhir+json"}
	f := &filler{all: []string{canary, canary + " two"}}
	a := h.ask("POST", "/demo/fhir/Patient", f.fill(baitedPatient, ""), bearer...)
	at := strings.Split(a.header.Get("Location"), "/")
	if len(at) < 4 {
		t.Fatal(a.text())
	}
	id := at[len(at)-3]
	for _, template := range bait {
		h.ask("POST", "/demo/fhir/"+strings.Split(template, `"`)[3], f.fill(template, "Patient/"+id), bearer...)
	}
	doctor := h.visitor("demo", "127.0.0.1")
	doctor.post("/sign-in/demo", url.Values{"person": {"1"}})
	profile := filepath.Join(t.TempDir(), "profile")
	win := webtest.Open(t, demo.URL, 2*time.Minute, chromedp.UserDataDir(profile))
	for name, value := range doctor.cookies {
		win.Do(network.SetCookie(name, value).WithURL(demo.URL).WithHTTPOnly(true))
	}
	shown := 0
	for _, path := range []string{"/demo/patients/" + id, "/demo/patients/" + id + "/results", "/demo/patients/" + id + "/notes", "/demo/patients", "/demo/patients/" + id + "/lists", "/demo/patients/" + id + "/privacy", "/demo/patients/" + id + "/apps", "/demo/patients/" + id + "/problems/new", "/demo/schedule"} {
		var text string
		win.Do(chromedp.Navigate(demo.URL+path), chromedp.Sleep(200*time.Millisecond), chromedp.Evaluate(`document.body.textContent`, &text))
		if strings.Contains(text, canary) {
			shown++
		}
	}
	if shown < 2 {
		t.Fatalf("%d screens show it", shown)
	}
	win.Do(chromedp.Evaluate(`fetch('/demo/sign-out', {method: 'POST', body: new URLSearchParams()}).then(() => location = '/demo/sign-in')`, nil), chromedp.Sleep(500*time.Millisecond))
	win.Take()
	pid := chromedp.FromContext(win.Ctx).Browser.Process().Pid
	if err := chromedp.Cancel(win.Ctx); err != nil {
		t.Logf("closing: %v", err)
	}
	for range 100 {
		if syscall.Kill(pid, 0) != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	held, files := search(t, profile)
	for _, x := range held {
		t.Errorf("the profile holds it: %s", x)
	}
	if files < 10 {
		t.Errorf("%d files were looked at", files)
	}
	t.Logf("%d screens, %d files", shown, files)
}
