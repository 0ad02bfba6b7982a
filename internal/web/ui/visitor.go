package ui

import (
	"net/http"
	"net/url"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhir"
)

// Visitor says whose session cookie a request carries that is not for a screen: one to the FHIR interface, sent by a page of this
// server. Requests that another site caused are refused whatever their method, since a cookie comes along with them by itself.
// id goes into the audit. The Issue of a request without a session has the code "login".
func (r *Router) Visitor(hr *http.Request, slug, id string) (auth.Staff, error) {
	if crossSite(hr) || r.cross.Check(hr) != nil {
		return auth.Staff{}, fhir.Problem("login", "A session is not accepted from another site.", "Sign in with an access token of the application's own.")
	}
	c, err := hr.Cookie(r.cookieName("session", slug))
	if err != nil || c.Value == "" {
		return auth.Staff{}, fhir.Problem("login", "You are not signed in.", "Send an access token as Authorization: Bearer, or sign in on this server's pages.")
	}
	staff, state, err := r.auth.Resume(hr.Context(), slug, c.Value)
	switch {
	case state.Locked:
		return auth.Staff{}, fhir.Problem("login", "The session is locked.", "Unlock it on any page of the practice.")
	case err != nil:
		return auth.Staff{}, err
	}
	return staff.ForRequest(id), nil
}

// crossSite says whether a browser sent the request for a page of another origin.
func crossSite(hr *http.Request) bool {
	switch hr.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none": // none: typed into the address bar
	default:
		return true
	}
	if o := hr.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		return err != nil || u.Host != hr.Host
	}
	return false
}
