package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// bodyLimit is the most that a request to an endpoint for programs may send, in bytes.
const bodyLimit = 64 << 10

// ServeHTTP answers the endpoints for programs: all of [Routes]. The mux that calls it has set the path value "practice".
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if strings.HasPrefix(s.base, "https:") {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
	p, err := s.auth.PracticeBySlug(r.Context(), r.PathValue("practice"))
	if auth.NoPractice(err) {
		s.answer(w, http.StatusNotFound, map[string]any{"error": "not_found", "error_description": "there is no such practice here"})
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	public := strings.Contains(path, ".well-known/") || path == "oauth/jwks" || path == "oauth/style.json"
	allowed := []string{http.MethodPost}
	if public || path == "oauth/userinfo" {
		allowed = []string{http.MethodGet, http.MethodHead}
	}
	s.cross(w, r, p, public, allowed)
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
		w.WriteHeader(http.StatusNoContent)
		return
	case !slices.Contains(allowed, r.Method):
		h.Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
		s.answer(w, http.StatusMethodNotAllowed, map[string]any{"error": "invalid_request", "error_description": "this address is for " + allowed[0]})
		return
	}
	var body any
	switch path {
	case ".well-known/smart-configuration", "fhir/.well-known/smart-configuration", ".well-known/openid-configuration":
		body = s.configuration(p)
	case "oauth/jwks":
		body, err = s.keySetJSON(r.Context(), p)
	case "oauth/style.json":
		body = style
	case "oauth/userinfo":
		bearer, _ := Bearer(r)
		body, err = s.userinfo(r.Context(), p, bearer)
		if err != nil {
			h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
	case "oauth/token":
		body, err = s.withForm(w, r, func(cr credentials) (any, error) { return s.exchange(r.Context(), p, cr) })
	case "oauth/introspect":
		body, err = s.withForm(w, r, func(cr credentials) (any, error) { return s.introspect(r.Context(), p, cr) })
	case "oauth/revoke":
		body, err = s.withForm(w, r, func(cr credentials) (any, error) { return s.revoke(r.Context(), p, cr) })
	default:
		s.answer(w, http.StatusNotFound, map[string]any{"error": "not_found"})
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, http.StatusOK, body)
}

// cross says which other origins' scripts may read an answer: anybody what is public, otherwise the pages of registered programs.
// Cookies are never taken from them.
func (s *Server) cross(w http.ResponseWriter, r *http.Request, p auth.Practice, public bool, methods []string) {
	h := w.Header()
	origin := r.Header.Get("Origin")
	if public {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Add("Vary", "Origin")
		if origin == "" || !s.Origin(r.Context(), p.ID, origin) {
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept")
		h.Set("Access-Control-Max-Age", "600")
	}
}

// Origin says whether an origin is that of a page of a program the practice has approved. The FHIR API asks it too.
func (s *Server) Origin(ctx context.Context, p db.PracticeID, origin string) bool {
	all, err := s.Clients(ctx, p)
	return err == nil && slices.ContainsFunc(all, func(c *Client) bool {
		return c.Usable() && slices.Contains(c.Origins(), origin)
	})
}

// withForm reads what a program sent, once and strictly: a form in the body, nothing of it in the address.
func (s *Server) withForm(w http.ResponseWriter, r *http.Request, do func(credentials) (any, error)) (any, error) {
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(t), "application/x-www-form-urlencoded") {
		return nil, invalidRequest("send application/x-www-form-urlencoded")
	}
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("parameters belong into the body, never into the address")
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	if err := r.ParseForm(); err != nil {
		return nil, invalidRequest("the body is too large or cannot be read")
	}
	cr := credentials{form: r.PostForm}
	if h := r.Header.Get("Authorization"); h != "" {
		id, secret, ok := r.BasicAuth()
		if !ok {
			return nil, invalidClient()
		}
		var err1, err2 error
		cr.basicID, err1 = url.QueryUnescape(id) // RFC 6749 §2.3.1
		cr.secret, err2 = url.QueryUnescape(secret)
		if cr.basic = true; err1 != nil || err2 != nil {
			return nil, invalidClient()
		}
	}
	return do(cr)
}

// Bearer gives the access token of a request; ok is false when it carries none, not even an empty one.
func Bearer(r *http.Request) (token string, ok bool) {
	h := r.Header.Get("Authorization")
	kind, token, _ := strings.Cut(h, " ")
	return strings.TrimSpace(token), strings.EqualFold(kind, "Bearer")
}

func (s *Server) answer(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var o *oauthError
	var i *fhir.Issue
	switch {
	case errors.As(err, &o):
		if o.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="yarrow", charset="UTF-8"`)
		}
		s.answer(w, o.status, map[string]any{"error": o.code, "error_description": o.why})
	case errors.As(err, &i) && i.Code == "login":
		s.answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token", "error_description": i.Text})
	default:
		s.log.Error("an endpoint for programs failed", "path", r.URL.Path, "error", err)
		s.answer(w, http.StatusInternalServerError, map[string]any{"error": "server_error", "error_description": "something broke here; try again"})
	}
}

// userinfo says who the person behind a token is (OpenID Connect Core §5.3).
func (s *Server) userinfo(ctx context.Context, p auth.Practice, bearer string) (any, error) {
	t, _, err := s.acting(ctx, p, bearer)
	if err != nil {
		return nil, err
	}
	scopes, _ := ParseScopes(t.Scopes)
	if !Has(scopes, ScopeOpenID) {
		return nil, unauthorized()
	}
	sub, err := s.subjectID(ctx, p, &t.grant)
	if err != nil {
		return nil, err
	}
	out := s.personClaims(p, &t.grant, scopes)
	out["sub"] = sub
	return out, nil
}

// introspect tells a client about its own tokens, and a resource server about all (RFC 7662). Whatever stands not, or is not the
// asker's, is inactive and nothing else.
func (s *Server) introspect(ctx context.Context, p auth.Practice, cr credentials) (any, error) {
	c, err := s.identify(ctx, p, cr)
	if err != nil {
		return nil, err
	}
	if c.Kind == Public {
		return nil, invalidClient()
	}
	inactive := map[string]any{"active": false}
	if len(cr.form["token"]) != 1 {
		return nil, invalidRequest("token is required, once")
	}
	text := cr.form.Get("token")
	out := map[string]any{"active": true, "iss": s.Issuer(p), "aud": s.FHIRBase(p)}
	var t token
	var g grant
	live, _, err := s.acting(ctx, p, text)
	var i *fhir.Issue
	switch {
	case err == nil:
		t, g = live.token, live.grant
		out["token_type"], out["scope"] = "Bearer", t.Scopes
	case errors.As(err, &i) && i.Code == "login":
		ok := false
		err = s.db.View(ctx, work(p.ID), func(tx *db.Tx) error {
			t, g, ok, err = tokenAndGrant(ctx, tx, kindRefresh, text)
			return err
		})
		if err == nil && ok {
			_, ok, err = s.stands(ctx, p, &g)
		}
		if err != nil || !ok {
			return inactive, err
		}
		out["scope"] = g.Scopes
	default:
		return nil, err
	}
	if g.client != c.ID && !c.Introspects {
		return inactive, nil
	}
	out["client_id"], out["exp"], out["iat"] = g.client, t.expires/1e6, t.created/1e6
	if g.user != 0 || g.Granter != "" {
		if out["sub"], err = s.subjectID(ctx, p, &g); err != nil {
			return nil, err
		}
		if g.FHIRUser != "" {
			out["fhirUser"] = s.FHIRBase(p) + "/" + g.FHIRUser
		}
	}
	if g.Patient != "" {
		out["patient"] = g.Patient
	}
	if g.Encounter != "" {
		out["encounter"] = g.Encounter
	}
	return out, nil
}

// revoke ends a token of the client that asks (RFC 7009): a refresh token with its whole family, an access token alone. A token that
// is not there, or is another client's, gets the same answer and stays what it is.
func (s *Server) revoke(ctx context.Context, p auth.Practice, cr credentials) (any, error) {
	c, err := s.identify(ctx, p, cr)
	if err != nil {
		return nil, err
	}
	if len(cr.form["token"]) != 1 {
		return nil, invalidRequest("token is required, once")
	}
	text := cr.form.Get("token")
	e := audit.Event{Action: audit.ActionSignOut, Type: "Client", ID: c.ID, Detail: "token given back"}
	err = s.change(ctx, work(p.ID), e, func(tx *db.Tx) error {
		for _, kind := range []int64{kindRefresh, kindAccess} {
			t, g, ok, err := tokenAndGrant(ctx, tx, kind, text)
			if err != nil {
				return err
			}
			if !ok || g.client != c.ID {
				continue
			}
			if kind == kindRefresh {
				return finishGrant(ctx, tx, t.grant, "given back by the program")
			}
			_, _, err = spend(ctx, tx, kind, text)
			return err
		}
		return nil
	})
	return map[string]any{}, err
}

// Sweep deletes from a practice what has expired so long ago that nobody asks for it: a day for everything but signing keys, which
// are shown a week longer than they sign.
func (s *Server) Sweep(ctx context.Context, p db.PracticeID) error {
	return s.db.Do(ctx, work(p), func(tx *db.Tx) error {
		before := tx.Now().Add(-24 * time.Hour).UnixMicro()
		for _, q := range []*db.Stmt{sweepAsks, sweepLaunches, sweepTokens, sweepGrants, sweepAssertions} {
			tx.Queue(q, int64(p), before)
		}
		tx.Queue(dropKeys, int64(p), tx.Now().Add(-keyShown).UnixMicro())
		return nil
	})
}
