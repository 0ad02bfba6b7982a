package breakin_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"yarrow.health/internal/base/auth"
)

// T-42. Sessions are the server's to give, end when they end, and are not used from other sites.
func TestSessionsHold(t *testing.T) {
	h := onSQLite(t)
	t.Run("before the second factor", func(t *testing.T) { // no way round: not the interface for programs, not the old addresses
		p := h.visitor("willow", "192.0.2.1")
		if a := p.post("/sign-in", url.Values{"login": {"fay"}, "password": {password}}); a.status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.status, a.text())
		}
		for _, path := range []string{"/fhir/Patient", "/fhir/Patient/x", "/fhir/metadata?x", "/fhir/$export", "/patients", "/schedule"} {
			a := p.get(path, "Sec-Fetch-Site", "same-origin", "Accept", "application/fhir+json")
			if a.status == http.StatusOK && !strings.Contains(path, "metadata") {
				t.Errorf("%s: %d %s", path, a.status, a.text())
			}
		}
		if a := p.send("POST", "/fhir/Patient", url.Values{}, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/fhir+json"); a.status < 400 {
			t.Errorf("%d %s", a.status, a.text())
		}
	})
	ann := h.signIn("willow", "ann")
	t.Run("fixed", func(t *testing.T) {
		p := h.visitor("willow", "192.0.2.2")
		p.cookies["__Host-yarrow-session-willow"] = "chosen-by-the-attacker-0123456789abcdef"
		code, _ := auth.TOTPCode(ann.secret, time.Now().Add(30*time.Second))
		a := p.post("/sign-in", url.Values{"login": {"ann"}, "password": {password}, "code": {code}})
		if a.status != http.StatusSeeOther || strings.HasPrefix(p.cookies["__Host-yarrow-session-willow"], "chosen") {
			t.Fatalf("%d %v", a.status, p.cookies)
		}
		flags := 0
		for _, line := range a.header.Values("Set-Cookie") {
			if strings.Contains(line, "-session-") || strings.Contains(line, "-device-") {
				flags++
				if !strings.HasPrefix(line, "__Host-") || !strings.Contains(line, "Secure") || !strings.Contains(line, "HttpOnly") || !strings.Contains(line, "SameSite=") || strings.Contains(line, "SameSite=None") || !strings.Contains(line, "Path=/") || strings.Contains(line, "Domain") {
					t.Errorf("a cookie's flags: %s", regexp.MustCompile(`=[^;]*`).ReplaceAllString(line, "=…"))
				}
			}
		}
		if flags == 0 {
			t.Error("no cookie is set")
		}
		old := h.visitor("willow", "192.0.2.2")
		old.cookies["__Host-yarrow-session-willow"] = "chosen-by-the-attacker-0123456789abcdef"
		if a := old.get("/schedule"); a.status == http.StatusOK {
			t.Error("the attacker's cookie opens the session")
		}
	})
	t.Run("another practice", func(t *testing.T) {
		p := h.visitor("elm", "192.0.2.3")
		for name, v := range ann.cookies {
			p.cookies[name], p.cookies[strings.Replace(name, "willow", "elm", 1)] = v, v
		}
		for _, path := range []string{"/schedule", "/patients", "/fhir/Patient"} {
			if a := p.get(path, "Sec-Fetch-Site", "same-origin"); a.status == http.StatusOK {
				t.Errorf("%s: %d", path, a.status)
			}
		}
	})
	t.Run("other sites", func(t *testing.T) {
		for _, path := range []string{"/sign-in", "/sign-out", "/patients/new", "/schedule", "/people/new", "/roles", "/support", "/agreement", "/security", "/apps/programs/new", "/account/totp", "/account/codes", "/theme", "/lock", "/find", "/join", "/unlock", "/sign-in/demo", "/sign-in/passkey/begin"} {
			for _, from := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site", "Origin", "null"}} {
				if a := ann.post(path, url.Values{"family": {"Forged"}, "login": {"ann"}, "password": {password}}, from...); a.status != http.StatusForbidden {
					t.Errorf("%s %v: %d", path, from, a.status)
				}
			}
			r, _ := http.NewRequest("POST", "http://"+h.at+"/willow"+path, strings.NewReader("family=Forged")) // an old browser says where it comes from only here
			if a := h.send(r, "Origin", "https://evil.example", "Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", "192.0.2.3"); a.status != http.StatusForbidden {
				t.Errorf("%s with a foreign Origin: %d", path, a.status)
			}
			if a := ann.get(path + "?family=Forged&login=x"); strings.Contains(a.body, "Forged") && path == "/patients" {
				t.Errorf("GET %s changes something", path)
			}
		}
		for _, from := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "same-origin", "Origin", "https://evil.example"}} {
			if a := ann.get("/fhir/Patient", from...); a.status != http.StatusUnauthorized {
				t.Errorf("the interface for programs %v: %d", from, a.status)
			}
		}
		for _, name := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"} {
			if a := ann.get("/schedule", name, "POST"); a.status != http.StatusOK {
				t.Errorf("%s: %d", name, a.status)
			}
		}
	})
	t.Run("names of other hosts", func(t *testing.T) {
		for _, path := range []string{"/willow/sign-in", "/willow/schedule", "/willow/join?invite=x", "/willow/fhir/metadata", "/willow/fhir/.well-known/smart-configuration", "/willow/.well-known/openid-configuration", "/willow/fhir/Patient", "/", "/nothing"} {
			for _, set := range [][]string{{"Host", "evil.example"}, {"X-Forwarded-Host", "evil.example"}, {"Forwarded", "host=evil.example"}, {"X-Original-URL", "/evil.example"}, {"X-Rewrite-URL", "/evil.example"}, {"X-Forwarded-Prefix", "//evil.example"}} {
				a := h.ask("GET", path, "", set...)
				if strings.Contains(a.body, "evil.example") || strings.Contains(fmt.Sprint(a.header), "evil.example") {
					t.Errorf("%s %v: %d %s %v", path, set, a.status, a.text(), a.header)
				}
			}
		}
	})
	t.Run("framed", func(t *testing.T) {
		for _, path := range []string{"/willow/sign-in", "/willow/nothing", "/willow/unlock", "/willow/join", "/nothing", "/willow/oauth/authorize"} {
			hd := h.ask("GET", path, "").header
			if hd.Get("X-Frame-Options") != "DENY" || !strings.Contains(hd.Get("Content-Security-Policy"), "frame-ancestors 'none'") || hd.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", path, hd)
			}
		}
		for _, path := range []string{"/schedule", "/patients", "/people", "/audit"} {
			if a := ann.get(path); !strings.Contains(a.header.Get("Cache-Control"), "no-store") || a.header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s: %v", path, a.header)
			}
		}
	})
	t.Run("signed out", func(t *testing.T) {
		kept := h.visitor("willow", "192.0.2.10")
		for name, v := range ann.cookies {
			kept.cookies[name] = v
		}
		ann.post("/sign-out", url.Values{})
		for _, path := range []string{"/schedule", "/fhir/Patient", "/people"} {
			if a := kept.get(path, "Sec-Fetch-Site", "same-origin"); a.status == http.StatusOK {
				t.Errorf("%s is still open", path)
			}
		}
	})
	t.Run("people of a demonstration", func(t *testing.T) {
		for _, id := range []string{"1", "2", "3"} {
			if a := h.visitor("willow", "192.0.2.4").post("/sign-in/demo", url.Values{"person": {id}}); a.status < 400 {
				t.Errorf("person %s: %d", id, a.status)
			}
		}
	})
}

// T-43. Guesses from many addresses slow down who guesses; nobody else waits longer than the machine is busy, and nobody is locked out.
func TestGuessesHurtNobody(t *testing.T) {
	h := onSQLite(t)
	ann := h.signIn("willow", "ann")
	var tried, judged, slowed, busy atomic.Int64
	stop := make(chan struct{})
	var crowd errgroup.Group
	for worker := range 12 {
		crowd.Go(func() error {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				p := h.visitor("willow", fmt.Sprintf("198.51.100.%d", 1+(worker*17+n)%200))
				login := "ann"
				if n%3 == 0 {
					login = fmt.Sprintf("user%d", n%500)
				}
				a := p.post("/sign-in", url.Values{"login": {login}, "password": {fmt.Sprintf("Winter202%d!%d", n%10, worker)}})
				tried.Add(1)
				switch {
				case a.err != nil:
				case a.status == http.StatusUnauthorized:
					judged.Add(1)
				case a.status == http.StatusTooManyRequests:
					slowed.Add(1)
				case a.status < 400:
					return fmt.Errorf("a guess got in: %d", a.status)
				default:
					busy.Add(1)
				}
			}
		})
	}
	time.Sleep(5 * time.Second)
	// The person, who has signed in with this browser before.
	ann.post("/sign-out", url.Values{})
	var a answer
	for step := range 4 {
		code, _ := auth.TOTPCode(ann.secret, time.Now().Add(time.Duration(step%2+1)*30*time.Second))
		if a = ann.post("/sign-in", url.Values{"login": {"ann"}, "password": {password}, "code": {code}}); a.status == http.StatusSeeOther {
			break
		}
		time.Sleep(time.Second)
	}
	took := a.took
	close(stop)
	if err := crowd.Wait(); err != nil {
		t.Error(err)
	}
	if a.status != http.StatusSeeOther {
		t.Errorf("the person is kept out by others' guesses: %d %s", a.status, a.text())
	}
	if a := ann.get("/schedule"); a.status != http.StatusOK {
		t.Errorf("the person's session: %d", a.status)
	}
	t.Logf("%d guesses, %d judged, %d slowed down, %d turned away; the person got in after %v", tried.Load(), judged.Load(), slowed.Load(), busy.Load(), took)
	if slowed.Load() == 0 {
		t.Error("nobody was slowed down")
	}
}

// T-51, T-50. What fails is answered alike, whether it exists or not.
func TestAnswersTellNothing(t *testing.T) {
	h := onSQLite(t)
	unsteady := regexp.MustCompile(`[0-9a-f]{16,}|value="[^"]*"|[A-Z2-7]{26}`)
	same := func(name string, a, b answer) {
		t.Helper()
		x, y := unsteady.ReplaceAllString(a.body, "~"), unsteady.ReplaceAllString(b.body, "~")
		if a.status != b.status || x != y {
			t.Errorf("%s: %d and %d\n%s\n%s", name, a.status, b.status, a.text(), b.text())
		}
	}
	at := func(n int) *person { return h.visitor("willow", fmt.Sprintf("203.0.113.%d", n)) }
	same("somebody and nobody", at(1).post("/sign-in", url.Values{"login": {"ann"}, "password": {"wrong password here"}}), at(2).post("/sign-in", url.Values{"login": {"bob"}, "password": {"wrong password here"}}))
	same("somebody of another practice", at(3).post("/sign-in", url.Values{"login": {"eve"}, "password": {password}}), at(4).post("/sign-in", url.Values{"login": {"bob"}, "password": {password}}))
	same("invitations", at(5).post("/join", url.Values{"invite": {"A2345-B2345-C2345-D2345-E2345"}, "password": {"a long enough pass phrase of mine"}}), at(6).post("/join", url.Values{"invite": {"nothing"}, "password": {"a long enough pass phrase of mine"}}))
	tokens := []string{"", "x", "Bearer", h.token("elm"), strings.Repeat("a.", 500_000), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.", base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
	var first answer
	for i, token := range tokens {
		r, _ := http.NewRequest("GET", "http://"+h.at+"/willow/fhir/Patient/x", nil)
		if len(token) > 20_000 {
			if a := h.send(r, "Authorization", "Bearer "+token); a.err == nil && a.status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("a token of a megabyte: %d", a.status)
			}
			continue
		}
		a := h.send(r, "Authorization", "Bearer "+token)
		if a.status != http.StatusUnauthorized {
			t.Errorf("token %d: %d", i, a.status)
		}
		if i == 1 {
			first = a
		}
		if i > 2 {
			same(fmt.Sprint("token ", i), first, a)
		}
	}
	// A practice that is not there, and one that is: strangers see a sign-in page, or nothing.
	if a := h.ask("GET", "/oak/sign-in", ""); a.status != http.StatusNotFound {
		t.Errorf("%d", a.status)
	}
}

// T-45. Programs that open the links of a mail use nothing up; the person can, once.
func TestLinksAreNotUsedUp(t *testing.T) {
	h := onSQLite(t)
	said := h.run("user", "add", "--practice", "willow", "--login", "gus", "--name", "Gus Guest", "--role", "nurse")
	invite := strings.TrimSpace(said[strings.LastIndex(said, ":")+1:])
	p := h.visitor("willow", "203.0.113.9")
	for _, method := range []string{"GET", "HEAD", "GET", "OPTIONS"} {
		p.send(method, "/join?invite="+url.QueryEscape(invite), nil)
		p.send(method, "/join", nil)
	}
	form := url.Values{"invite": {invite}, "password": {"eleven calm otters by the lake"}}
	if a := p.post("/join", form, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
		t.Errorf("another site's form: %d", a.status)
	}
	if a := p.post("/join", form); a.status != http.StatusSeeOther {
		t.Fatalf("the person's own: %d %s", a.status, a.text())
	}
	if a := p.post("/join", url.Values{"invite": {invite}, "password": {"twelve other otters by the sea"}}); a.status < 400 {
		t.Errorf("the link works twice: %d", a.status)
	}
	if a := p.post("/sign-in", url.Values{"login": {"gus"}, "password": {"eleven calm otters by the lake"}}); a.status != http.StatusSeeOther {
		t.Errorf("%d %s", a.status, a.text())
	}
}

// T-30. No field that holds an address makes the server ask this machine, its neighbours or the network's own services.
func TestAddressesAreNotFollowed(t *testing.T) {
	h := onSQLite(t)
	outside, hits := trap(t)
	port := outside[strings.LastIndexByte(outside, ':'):]
	var places []string
	for _, host := range []string{"127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "127.0.0.1.nip.io",
		"example.org@127.0.0.1", "example.org%2f@127.0.0.1", "127.0.0.1#.example.org", "127.0.0.1?.example.org", "\u2460\u2461\u2466.0.0.1", "[::1%25lo]"} {
		places = append(places, "http://"+host+port+"/x", "https://"+host+port+"/x")
	}
	places = append(places, "file:///etc/passwd", "gopher://127.0.0.1"+port+"/_x", "ftp://127.0.0.1"+port+"/", "http:127.0.0.1"+port, "http:///127.0.0.1"+port, "//127.0.0.1"+port, "unix:///run/x.sock", "jar:http://127.0.0.1"+port+"!/", "data:application/json,{}", "http://169.254.169.254/latest/meta-data/", "https://[fd00::1]/", "https://10.0.0.1/", "http://127.0.0.1"+port+"/\r\nX: y")
	token := h.token("willow")
	ann := h.signIn("willow", "ann")
	ids := 0
	for i, u := range places {
		raw, _ := json.Marshal(u)
		for _, body := range []string{
			`{"resourceType":"Subscription","status":"requested","reason":"x","criteria":"Patient?name=x","channel":{"type":"rest-hook","endpoint":` + string(raw) + `,"payload":"application/fhir+json"}}`,
			`{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"url":` + string(raw) + `,"contentType":"text/plain"}}]}`,
			`{"resourceType":"Endpoint","status":"active","connectionType":{"system":"x","code":"x"},"payloadType":[{"text":"x"}],"address":` + string(raw) + `}`,
			`{"resourceType":"Patient","photo":[{"url":` + string(raw) + `}],"managingOrganization":{"reference":` + string(raw) + `}}`,
		} {
			if a := h.fhir(token, "POST", "/"+strings.Split(body, `"`)[3], body); a.status >= 500 {
				t.Errorf("%s: %d %s", u, a.status, a.text())
			}
		}
		q := url.QueryEscape(u)
		for _, path := range []string{"/ValueSet/$expand?url=" + q, "/CodeSystem/$lookup?system=" + q + "&code=x", "/Patient/$validate?profile=" + q, "/Patient?organization=" + q, "/Patient?_profile=" + q, "/ConceptMap/$translate?url=" + q + "&code=x&system=y"} {
			if a := h.fhir(token, "GET", path, ""); a.status >= 500 {
				t.Errorf("%s: %d %s", path, a.status, a.text())
			}
		}
		if a := h.fhir(token, "POST", "/$import", `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueCode":"application/fhir+ndjson"},{"name":"inputSource","valueUri":`+string(raw)+`},{"name":"input","part":[{"name":"type","valueCode":"Patient"},{"name":"url","valueUrl":`+string(raw)+`}]}]}`, "Prefer", "respond-async"); a.status >= 500 {
			t.Errorf("$import %s: %d %s", u, a.status, a.text())
		}
		for _, v := range []url.Values{
			{"name": {"Program"}, "kind": {"keys"}, "jwks_url": {u}, "jwks": {u}, "redirects": {u}, "launch": {u}, "logo": {u}, "scope": {"system/*.rs"}, "scopes": {"system/*.rs"}},
		} {
			if a := ann.post("/apps/programs/new", v); a.status >= 500 {
				t.Errorf("a program at %s: %d %s", u, a.status, a.text())
			}
		}
		// A program that an administrator let in; its key set is asked for when it signs.
		if i%3 != 0 || strings.ContainsAny(u, "\r\n") {
			continue
		}
		out, err := h.command("client", "add", "--practice", "willow", "--name", "P", "--kind", "keys", "--scope", "system/*.rs", "--jwks-url", u).CombinedOutput()
		if err != nil {
			continue // refused at once
		}
		ids++
		id := regexp.MustCompile(`Client id: (\S+)`).FindStringSubmatch(string(out))
		if id == nil {
			t.Fatalf("%s", out)
		}
		claims, _ := json.Marshal(map[string]any{"iss": id[1], "sub": id[1], "aud": "https://" + h.at + "/willow/oauth/token", "exp": time.Now().Add(time.Minute).Unix(), "jti": fmt.Sprint("j", i)})
		part := base64.RawURLEncoding.EncodeToString
		assertion := part([]byte(`{"alg":"ES384","typ":"JWT","kid":"k"}`)) + "." + part(claims) + "." + part(bytes.Repeat([]byte{7}, 96))
		a := h.ask("POST", "/willow/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		if a.status < 400 || a.status >= 500 {
			t.Errorf("a key set at %s: %d %s", u, a.status, a.text())
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the server asked %d times", n)
	}
	t.Logf("%d addresses in %d places each; %d of the key sets' were taken and asked for", len(places), 12, ids)
}

// T-13. What a writer says about what the server owns counts for nothing.
func TestServerOwnsItsFields(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token := h.token("willow")
		id := h.put(token, `{"resourceType":"Patient","id":"chosen","meta":{"versionId":"77","lastUpdated":"1999-01-01T00:00:00Z","source":"x","tag":[{"system":"urn:practice","code":"elm"}]},"active":true}`)
		read := func() (m struct {
			Meta struct{ VersionID, LastUpdated string }
			ID   string
		}, text string) {
			a := h.fhir(token, "GET", "/Patient/"+id, "")
			_ = json.Unmarshal([]byte(a.body), &m)
			return m, a.body
		}
		m, text := read()
		if id == "chosen" || m.ID != id || m.Meta.VersionID != "1" || strings.HasPrefix(m.Meta.LastUpdated, "1999") {
			t.Errorf("%s", text)
		}
		// The other practice's record by the same address, in every method.
		elm := h.token("elm")
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			body, kind := "", "application/fhir+json"
			if method == "PUT" {
				body = `{"resourceType":"Patient","id":"` + id + `","active":false}`
			}
			if method == "PATCH" {
				body, kind = `[{"op":"replace","path":"/active","value":false}]`, "application/json-patch+json"
			}
			if a := h.ask(method, "/elm/fhir/Patient/"+id, body, "Authorization", "Bearer "+elm, "Content-Type", kind); a.status < 400 && method != "DELETE" || a.status >= 500 {
				t.Errorf("%s: %d %s", method, a.status, a.text())
			}
		}
		if m, text := read(); m.Meta.VersionID != "1" {
			t.Errorf("the other practice changed it: %s", text)
		}
		for _, op := range []string{`{"op":"replace","path":"/id","value":"other"}`, `{"op":"replace","path":"/meta/versionId","value":"99"}`, `{"op":"add","path":"/meta/lastUpdated","value":"1999-01-01T00:00:00Z"}`, `{"op":"replace","path":"/resourceType","value":"Practitioner"}`, `{"op":"remove","path":"/meta"}`, `{"op":"remove","path":""}`} {
			if a := h.fhir(token, "PATCH", "/Patient/"+id, "["+op+"]", "Content-Type", "application/json-patch+json"); a.status >= 500 {
				t.Errorf("%s: %d %s", op, a.status, a.text())
			}
		}
		m, text = read()
		if m.ID != id || m.Meta.VersionID == "99" || strings.HasPrefix(m.Meta.LastUpdated, "1999") || !strings.Contains(text, `"resourceType":"Patient"`) {
			t.Errorf("%s", text)
		}
		// A front desk gives itself nothing.
		fay := h.signIn("willow", "fay")
		for path, v := range map[string]url.Values{
			"/people/new":     {"login": {"mal"}, "name": {"Mal"}, "role": {"administrator"}},
			"/people/2/roles": {"role": {"administrator"}},
			"/roles":          {"matrix": {"all"}},
			"/security":       {"mfa": {"off"}},
			"/support":        {"hours": {"4"}},
		} {
			if a := fay.post(path, v); a.status != http.StatusForbidden && a.status != http.StatusNotFound {
				t.Errorf("%s: %d %s", path, a.status, a.text())
			}
		}
		if a := fay.post("/account/totp", url.Values{"user": {"1"}, "roles": {"administrator"}, "practice": {"elm"}}); a.status >= 500 {
			t.Errorf("%d", a.status)
		}
		if people := h.run("user", "list", "--practice", "willow"); strings.Contains(people, "mal") || strings.Count(people, "administrator") != 1 {
			t.Errorf("%s", people)
		}
	})
}

// T-08. Requests of two practices that are sent together, and broken off, never get each other's answers.
func TestPracticesDoNotMix(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tokens := map[string]string{}
		for _, practice := range []string{"willow", "elm"} {
			tokens[practice] = h.token(practice)
			for i := range 5 {
				a := h.ask("POST", "/"+practice+"/fhir/Patient", fmt.Sprintf(`{"resourceType":"Patient","name":[{"family":"Canary%s%d"}]}`, practice, i), "Authorization", "Bearer "+tokens[practice], "Content-Type", "application/fhir+json")
				if a.status != http.StatusCreated {
					t.Fatal(a.text())
				}
			}
		}
		var crowd errgroup.Group
		var seen, broken atomic.Int64
		for n := range 24 {
			own, other := "willow", "elm"
			if n%2 == 1 {
				own, other = other, own
			}
			crowd.Go(func() error {
				for i := range 60 {
					path := []string{"Patient?name=canary", "Patient?_sort=family&_count=2", "Patient?_summary=count", "Patient/_history", "Patient?family=canary" + other + "1"}[i%5]
					if i%7 == 3 { // gone before the answer
						hurried := *h.client
						hurried.Timeout = time.Duration(i%4+1) * time.Millisecond
						r, _ := http.NewRequest("GET", "http://"+h.at+"/"+own+"/fhir/"+path, nil)
						r.Header.Set("Authorization", "Bearer "+tokens[own])
						if res, err := hurried.Do(r); err == nil {
							res.Body.Close()
						}
						broken.Add(1)
						continue
					}
					a := h.ask("GET", "/"+own+"/fhir/"+path, "", "Authorization", "Bearer "+tokens[own])
					if a.status != http.StatusOK || strings.Contains(a.body, "Canary"+other) || i%5 == 2 && !strings.Contains(a.body, `"total":5`) {
						return fmt.Errorf("%s %s: %d %s", own, path, a.status, a.text())
					}
					seen.Add(1)
				}
				return nil
			})
		}
		if err := crowd.Wait(); err != nil {
			t.Error(err)
		}
		t.Logf("%d answers, %d broken off", seen.Load(), broken.Load())
	})
}

// demoFolder makes a demonstration in dir and stops it.
func demoFolder(t *testing.T, dir string) {
	t.Run("demonstration", func(t *testing.T) {
		h := &house{t: t, dir: dir, place: []string{"--data", dir}}
		begin(t, h.command("demo", "--listen", "127.0.0.1:0", "--patients", "2"), &h.log, "file://"+filepath.Join(dir, "demo.json"))
	})
}

// What a demonstration made public opens nothing in earnest: its folder is not served, nor one with its people or programs.
func TestDemonstrationsAreNotServed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	demoFolder(t, dir)
	h := &house{t: t, dir: dir, place: []string{"--data", dir}}
	out, err := h.command("serve", "--proxy", "--url", "https://ehr.example.org", "--listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "demonstration") {
		t.Errorf("%v %s", err, out)
	}
	var demo struct {
		Staff []struct{ Password string }
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "demo.json"))
	if json.Unmarshal(raw, &demo) != nil || len(demo.Staff) == 0 {
		t.Fatal("no demo.json")
	}
	real := onSQLite(t)
	for i, s := range demo.Staff {
		file := filepath.Join(real.dir, "demo-password")
		if err := os.WriteFile(file, []byte(s.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := real.command("user", "add", "--practice", "willow", "--login", fmt.Sprint("demo", i), "--name", "Demo", "--role", "nurse", "--password-file", file).CombinedOutput(); err == nil {
			t.Errorf("a password that demo.json shows is taken: %s", out)
		}
	}
	if out, err := real.command("practice", "add", "demo", "Demo").CombinedOutput(); err == nil {
		t.Errorf("a practice takes the demonstration's name on a server: %s", out)
	}
}
