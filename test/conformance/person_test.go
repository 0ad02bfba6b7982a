package conformance_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/auth"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// person is somebody at a browser who is signed in.
type person struct {
	p  *place
	hc *http.Client
}

// page is what a browser shows, and where; away is the address of another origin that it was sent to instead.
type page struct {
	at, away string
	status   int
	body     string
}

// signIn signs the clinician in with password and authenticator, enrolling the latter as everybody does at the first sign-in.
func (p *place) signIn() (*person, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	hc := *p.client
	hc.Jar = jar
	w := &person{p, &hc}
	got, err := w.post("/willow/sign-in", url.Values{"login": {"ann"}, "password": {annPassword}})
	if err != nil {
		return nil, err
	}
	got, err = w.post("/willow/account/totp", url.Values{})
	if err != nil {
		return nil, err
	}
	in := inputs(got.body)
	secret := first(in, "secret")
	code, err := auth.TOTPCode(secret, time.Now())
	if err != nil || secret == "" {
		return nil, fmt.Errorf("no authenticator can be enrolled at %s (%d): %w", got.at, got.status, err)
	}
	if got, err = w.post("/willow/account/totp/finish", url.Values{"ticket": {first(in, "ticket")}, "code": {code}}); err != nil {
		return nil, err
	}
	if got, err = w.get("/willow/schedule"); err != nil || got.status != 200 || !strings.HasSuffix(got.at, "/schedule") {
		return nil, fmt.Errorf("the clinician does not get in: %d at %s %w", got.status, got.at, err)
	}
	return w, nil
}

func (w *person) get(address string) (page, error) { return w.send("GET", address, nil) }

func (w *person) post(address string, v url.Values) (page, error) { return w.send("POST", address, v) }

// send follows redirects as a browser does, but never leaves the server.
func (w *person) send(method, address string, v url.Values) (page, error) {
	if strings.HasPrefix(address, "/") {
		address = w.p.origin + address
	}
	for range 12 {
		var body io.Reader
		if method == "POST" {
			body = strings.NewReader(v.Encode())
		}
		r, err := http.NewRequest(method, address, body)
		if err != nil {
			return page{}, err
		}
		if method == "POST" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		res, err := w.hc.Do(r)
		if err != nil {
			return page{}, err
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return page{}, err
		}
		to := res.Header.Get("Location")
		if res.StatusCode < 300 || res.StatusCode > 399 || to == "" {
			to = ""
			if _, u, is := strings.Cut(res.Header.Get("Refresh"), "url="); is {
				to = u
			}
		}
		if to == "" {
			return page{at: address, status: res.StatusCode, body: string(raw)}, nil
		}
		u, err := r.URL.Parse(to)
		if err != nil {
			return page{}, err
		}
		if !strings.HasPrefix(u.String(), w.p.origin+"/") {
			return page{at: address, away: u.String(), status: res.StatusCode}, nil
		}
		method, address, v = "GET", u.String(), nil
	}
	return page{}, fmt.Errorf("too many redirects at %s", address)
}

var (
	inputTag = regexp.MustCompile(`<(?:input|button)\b[^>]*>`)
	attrOf   = regexp.MustCompile(`\s(name|value|type)="([^"]*)"`)
)

type input struct{ name, value, kind string }

// inputs gives the fields of a page's forms.
func inputs(body string) (out []input) {
	for _, tag := range inputTag.FindAllString(body, -1) {
		var in input
		for _, m := range attrOf.FindAllStringSubmatch(tag, -1) {
			switch v := html.UnescapeString(m[2]); m[1] {
			case "name":
				in.name = v
			case "value":
				in.value = v
			default:
				in.kind = v
			}
		}
		if strings.HasPrefix(tag, "<button") {
			in.kind = "button"
		}
		out = append(out, in)
	}
	return out
}

func first(in []input, name string) string {
	for _, i := range in {
		if i.name == name {
			return i.value
		}
	}
	return ""
}

// wish is a launch: who asks for what, and what the person does.
type wish struct {
	app     *app
	scopes  string
	patient string                  // chosen at the standalone launch, or whose chart it is started from
	ehr     bool                    // started from the chart
	post    bool                    // the request goes by POST
	off     func(scope string) bool // switches that the person turns off
	aud     string                  // "" is the right one
}

// begun is a launch up to the code.
type begun struct {
	wish
	launch     string // the launch parameter that the app was opened with
	iss        string
	asked      url.Values
	back       url.Values // what came back with the browser
	verifier   string
	shown      string // the last page, when nothing came back
	wellFormed bool   // the browser came back to the callback, with the state
}

// begin takes a launch to the code.
func (w *person) begin(l wish) (begun, error) {
	b := begun{wish: l, iss: w.p.base}
	if l.ehr {
		got, err := w.post("/willow/patients/"+l.patient+"/apps", url.Values{"program": {l.app.id}, "patient": {l.patient}})
		if err != nil {
			return b, err
		}
		u, err := url.Parse(got.away)
		if err != nil || got.away == "" {
			return b, fmt.Errorf("the chart opens no program: %d %s", got.status, got.at)
		}
		b.launch, b.iss = u.Query().Get("launch"), u.Query().Get("iss")
	}
	b.verifier = b64([]byte(fmt.Sprintf("%-40d", time.Now().UnixNano())))
	sum := sha256.Sum256([]byte(b.verifier))
	b.asked = url.Values{"response_type": {"code"}, "client_id": {l.app.id}, "redirect_uri": {l.app.callback}, "scope": {l.scopes},
		"state": {fmt.Sprintf("state-%d", time.Now().UnixNano())}, "aud": {w.p.base}, "code_challenge": {b64(sum[:])}, "code_challenge_method": {"S256"}}
	if l.aud != "" {
		b.asked.Set("aud", l.aud)
	}
	if b.launch != "" {
		b.asked.Set("launch", b.launch)
	}
	at := w.p.origin + "/willow/oauth/authorize"
	var got page
	var err error
	if l.post {
		got, err = w.post(at, b.asked)
	} else {
		got, err = w.get(at + "?" + b.asked.Encode())
	}
	for range 4 {
		if err != nil || got.away != "" {
			break
		}
		b.shown = got.body
		in := inputs(got.body)
		v := url.Values{}
		consent := false
		for _, i := range in {
			switch {
			case i.name == "do" && i.value == "allow":
				consent = true
			case i.kind == "hidden" && i.name != "":
				v.Add(i.name, i.value)
			}
		}
		switch {
		case consent:
			for _, i := range in {
				if i.name == "scope" && (l.off == nil || !l.off(i.value)) {
					v.Add("scope", i.value)
				}
			}
			v.Set("do", "allow")
		case slices.ContainsFunc(in, func(i input) bool { return i.kind == "button" && i.name == "patient" }) || strings.Contains(got.body, `id="hits"`):
			v.Set("patient", l.patient)
		default:
			return b, nil
		}
		got, err = w.post(got.at, v)
	}
	if err != nil || got.away == "" {
		return b, err
	}
	u, err := url.Parse(got.away)
	if err != nil {
		return b, err
	}
	b.back = u.Query()
	b.wellFormed = strings.HasPrefix(got.away, l.app.callback+"?") && b.back.Get("state") == b.asked.Get("state")
	return b, nil
}

// proof adds what a program proves itself with to a token request.
func (p *place) proof(a *app, v url.Values) (headers []string) {
	switch {
	case a.secret != "":
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(a.id)+":"+url.QueryEscape(a.secret)))}
	case a.key != nil:
		v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		v.Set("client_assertion", p.assertion(a, a.id, a.id))
	default:
		v.Set("client_id", a.id)
	}
	return nil
}

// exchange trades the code; change may spoil the request.
func (p *place) exchange(b begun, change func(url.Values)) answer {
	v := url.Values{"grant_type": {"authorization_code"}, "code": {b.back.Get("code")}, "redirect_uri": {b.app.callback}, "code_verifier": {b.verifier}}
	h := p.proof(b.app, v)
	if change != nil {
		change(v)
	}
	u, _ := url.Parse(b.app.callback)
	return p.form("/willow/oauth/token", v, append(h, "Origin", u.Scheme+"://"+u.Host)...)
}

func unb64(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }
