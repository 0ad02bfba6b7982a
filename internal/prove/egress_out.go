package prove

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/edge/subscription"
)

// Hosts that somebody listed: an administrator for hooks, files and sign-on, or the registration of a program for its keys. Whole
// records may go to one alone, which a subscription names.
const (
	hooksHost   = "hooks.partner.example.net"
	recordsHost = "records.partner.example.net"
	filesHost   = "files.partner.example.net"
	idHost      = "id.partner.example.net"
	nobodysHost = "elsewhere.example.net" // never listed
)

var listedHosts = []string{keysHost, hooksHost, recordsHost, filesHost, idHost}

const importedLine = `{"resourceType":"Patient","name":[{"family":"From-a-file"}],"birthDate":"1980-01-01"}`

// partner is every host on the list.
func (d *drive) partner(w http.ResponseWriter, r *http.Request) {
	host := strings.TrimSuffix(r.Host, ":443")
	d.mu.Lock()
	d.visits[host+" "+r.URL.Path]++
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	issuer := "https://" + idHost
	switch host + r.URL.Path {
	case keysHost + "/keys.json", idHost + "/keys":
		point, err := d.key.PublicKey.Bytes()
		if err != nil {
			http.Error(w, "no key", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-384","alg":"ES384","use":"sig","kid":"1","x":%q,"y":%q}]}`, part(point[1:49]), part(point[49:]))
	case idHost + "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, issuer, issuer+"/authorize", issuer+"/token", issuer+"/keys")
	case idHost + "/token":
		now := clock.System().Now()
		d.mu.Lock()
		nonce := d.nonce
		d.mu.Unlock()
		text := part([]byte(`{"alg":"ES384","typ":"JWT","kid":"1"}`)) + "." + part(fmt.Appendf(nil, `{"iss":%q,"aud":"a-client","sub":"somebody","nonce":%q,"email":"nobody@example.org","email_verified":true,"iat":%d,"exp":%d}`,
			issuer, nonce, now.Unix(), now.Add(time.Minute).Unix()))
		signature, err := d.signature(text)
		if err != nil {
			http.Error(w, "no signature", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"access_token":"x","token_type":"Bearer","id_token":%q}`, text+"."+signature)
	case filesHost + "/patients.ndjson":
		fmt.Fprintln(w, importedLine)
	case filesHost + "/moved", hooksHost + "/moved":
		http.Redirect(w, r, "https://"+nobodysHost+"/x", http.StatusTemporaryRedirect)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// visited waits until a listed host was asked for something.
func (d *drive) visited(ctx context.Context, at string) error {
	for range 300 {
		d.mu.Lock()
		n := d.visits[at]
		d.mu.Unlock()
		if n > 0 {
			return nil
		}
		if err := clock.System().Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("prove: %s was never asked, so that nothing was tried", at)
}

// outside has everything done for which the program speaks to others: hooks of subscriptions, imports by address, and sign-on with its
// description, its token and its keys, each with listed hosts, and beside them with a host that nobody listed, with addresses inside
// and with a listed host that redirects elsewhere.
func (d *drive) outside(ctx context.Context) error {
	if d.key == nil {
		return nil // no network apart: nobody is there to be spoken to
	}
	if err := d.enterAs(ctx, "/demo/organisation/new"); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.allow, d.hooks, d.fetches, d.signOn} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// enterAs signs in somebody who may open a page.
func (d *drive) enterAs(ctx context.Context, path string) error {
	reply, err := d.ask(ctx, "GET", "/demo/sign-in", "", nil)
	if err != nil {
		return err
	}
	for _, m := range personButton.FindAllSubmatch(reply.Body, -1) {
		d.cookies = nil
		if _, err := d.page(ctx, "POST", "/demo/sign-in/demo", url.Values{"person": {string(m[1])}}.Encode()); err != nil {
			return err
		}
		if reply, err := d.page(ctx, "GET", path, ""); err != nil {
			return err
		} else if reply.Status == http.StatusOK {
			return nil
		}
	}
	return errors.New("prove: nobody of the demonstration is an administrator")
}

// allow puts hosts on the practice's list, as an administrator does, and tries what may not be on it.
func (d *drive) allow(ctx context.Context) error {
	for host, may := range map[string]bool{hooksHost: true, recordsHost: true, filesHost: true, "169.254.169.254": false, "localhost": false, "127.0.0.1:22": false} {
		reply, err := d.page(ctx, "POST", "/demo/apps/subscriptions", url.Values{"do": {"allow"}, "host": {host}, "agreement": {"A proof"}}.Encode())
		if err != nil {
			return err
		}
		if may && reply.Status != http.StatusSeeOther {
			return fmt.Errorf("prove: %s cannot be listed: %d", host, reply.Status)
		}
		d.r.Count("hosts listed or refused", 1)
	}
	return nil
}

// hooks has subscriptions made: to a listed host that is told ids, to one that is told whole records, to one that redirects, to one that
// nobody listed and to addresses inside; then something happens.
func (d *drive) hooks(ctx context.Context) error {
	h, err := d.token(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct{ endpoint, shows string }{
		{"https://" + hooksHost + "/hook", "id-only"}, {"https://" + recordsHost + "/hook", "full-resource"}, {"https://" + hooksHost + "/moved", "id-only"},
		{"https://" + nobodysHost + "/hook", "full-resource"}, {"https://169.254.169.254/latest", "full-resource"}, {"https://[::1]:8080/", "full-resource"}, {"http://" + hooksHost + "/plain", "full-resource"},
	} {
		const guide = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
		body := `{"resourceType":"Subscription","status":"requested","reason":"A proof","criteria":"` + subscription.AnyTopic + `","_criteria":{"extension":[{"url":"` + guide + `backport-filter-criteria","valueString":"Patient?"}]},` +
			`"channel":{"type":"rest-hook","endpoint":"` + c.endpoint + `","payload":"application/fhir+json","_payload":{"extension":[{"url":"` + guide + `backport-payload-content","valueCode":"` + c.shows + `"}]}}}`
		if _, err := d.ask(ctx, "POST", "/demo/fhir/Subscription", body, h); err != nil {
			return err
		}
		d.r.Count("subscriptions asked for", 1)
	}
	for _, at := range []string{hooksHost + " /hook", recordsHost + " /hook"} { // their handshakes
		if err := d.visited(ctx, at); err != nil {
			return err
		}
	}
	d.mu.Lock()
	clear(d.visits)
	d.mu.Unlock()
	body := `{"resourceType":"Patient","name":[{"family":"` + plant{typ: "Patient", patient: 1}.canary(home) + `"}]}`
	if reply, err := d.ask(ctx, "POST", "/demo/fhir/Patient", body, h); err != nil || reply.Status != http.StatusCreated {
		return errors.Join(err, errors.New("prove: nothing could be made that is told of"))
	}
	return errors.Join(d.visited(ctx, hooksHost+" /hook"), d.visited(ctx, recordsHost+" /hook"))
}

// token is what a program sends that may do everything.
func (d *drive) token(ctx context.Context) (http.Header, error) {
	out, err := d.command(ctx, "token", "--practice", "demo", "--data", d.data, "--scope", "system/*.cruds", "--ttl", "1h")
	return http.Header{"Authorization": {"Bearer " + strings.TrimSpace(out)}, "Accept": {"application/fhir+json"}, "Content-Type": {"application/fhir+json"}}, err
}

// fetches has imports take files from elsewhere.
func (d *drive) fetches(ctx context.Context) error {
	h, err := d.token(ctx)
	if err != nil {
		return err
	}
	h.Set("Prefer", "respond-async")
	for _, at := range []string{"https://" + nobodysHost + "/x.ndjson", "https://169.254.169.254/latest", "http://" + filesHost + "/patients.ndjson", "file:///etc/passwd", "https://" + filesHost + "/moved", "https://" + filesHost + "/patients.ndjson"} {
		body := `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueCode":"application/fhir+ndjson"},{"name":"inputSource","valueUri":"https://old.example.org/fhir"},` +
			`{"name":"storageDetail","part":[{"name":"type","valueCode":"https"}]},{"name":"input","part":[{"name":"type","valueCode":"Patient"},{"name":"url","valueUri":"` + at + `"}]}]}`
		reply, err := d.ask(ctx, "POST", "/demo/fhir/$import", body, h)
		if err != nil {
			return err
		}
		d.r.Count("imports by address", 1)
		if reply.Status == http.StatusAccepted {
			d.r.Count("imports that were begun", 1)
		}
	}
	return errors.Join(d.visited(ctx, filesHost+" /patients.ndjson"), d.visited(ctx, filesHost+" /moved"))
}

var connectionForm = regexp.MustCompile(`/demo/organisation/([A-Za-z0-9_-]{8,})`)

// signOn has an administrator connect an identity provider and try it: its description is read, a code exchanged, its keys fetched.
func (d *drive) signOn(ctx context.Context) error {
	for _, issuer := range []string{"https://169.254.169.254", "https://localhost", "https://" + idHost} {
		form := url.Values{"kind": {"oidc"}, "name": {"A provider"}, "domains": {"example.org"}, "issuer": {issuer}, "client": {"a-client"}, "secret": {"a-secret-of-the-proof"}}
		reply, err := d.page(ctx, "POST", "/demo/organisation/new", form.Encode())
		if err != nil {
			return err
		}
		m := connectionForm.FindStringSubmatch(reply.Header.Get("Location"))
		if m == nil {
			if strings.Contains(issuer, idHost) {
				return fmt.Errorf("prove: the provider cannot be connected: %d", reply.Status)
			}
			continue
		}
		if reply, err = d.page(ctx, "GET", "/demo/organisation/"+m[1]+"/test", ""); err != nil {
			return err
		}
		d.r.Count("sign-ons tried", 1)
		to, err := url.Parse(reply.Header.Get("Location"))
		if err != nil || to.Host != idHost {
			continue
		}
		d.mu.Lock()
		d.nonce = to.Query().Get("nonce")
		d.mu.Unlock()
		back := url.Values{"code": {"a-code"}, "state": {to.Query().Get("state")}, "iss": {issuer}}
		if _, err := d.page(ctx, "GET", "/demo/sign-in/with/"+m[1]+"/back?"+back.Encode(), ""); err != nil {
			return err
		}
	}
	var all []error
	for _, path := range []string{"/.well-known/openid-configuration", "/token", "/keys"} {
		all = append(all, d.visited(ctx, idHost+" "+path))
	}
	return errors.Join(all...)
}
