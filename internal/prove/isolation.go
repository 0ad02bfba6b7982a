package prove

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
)

// Origin is the address of a program under proof.
const Origin = "https://prove.example.org"

// Base is the throw-away installation a program is stood on.
type Base struct {
	Keys  *keys.Ring
	DB    *db.DB
	Audit *audit.Log
	Auth  *auth.Auth
	Store *fhirstore.Store
}

// Program is the whole program as it would be served.
type Program struct {
	Handler    http.Handler
	OAuth      *oauth.Server
	Screens    []Screen
	Routes     []string // patterns of what is neither a screen nor the FHIR interface, with or without a method
	Operations []fhirapi.Operation

	// Work does what a node does in the background, until ctx ends; RunDue what is due now.
	Work   func(ctx context.Context) error
	RunDue func(ctx context.Context) error
	// Furnish gives a practice what it has beside records (a sign-on, a hold, a host, a program), each with a word in its name.
	Furnish func(ctx context.Context, p auth.Practice, admin auth.Staff, word string) (Furniture, error)
}

// Furniture is what a practice has beside records.
type Furniture struct {
	IDs       map[string]string // by the place they have in addresses, such as "{connection}"
	Directory string            // a key of the practice's directory
}

// Screen is a line of the route table.
type Screen struct{ Method, Pattern string }

// Isolation is the proof that nobody reads what is not theirs. Three practices hold a resource of every type about each of two
// patients, plain and kept apart, with a word in every string that nothing else holds. Every kind of person and program asks in
// every way there is. No answer may hold a word its receiver may not read; and every answer must be the same as that of a twin
// practice in which what may not be read was never written, so that neither counts nor orders nor refusals tell of it.
//
// Streams are read while records change (screens' news, subscriptions as events and over WebSocket), and exports and imports to their
// files. How long refusals take is compared too: see [differs].
//
// Cycles below 100 take that share of the probes, in per cent; streams and files are then read by three principals, and times are not
// judged. The control takes the guard away from one type, adds a route nobody declared, and answers later where something is hidden;
// each must be noticed. Not covered: more than one right at once (granular scopes, consents, restricted charts), which the tests of the
// store try.
func Isolation(stand func(Base) Program) Proof {
	return Proof{Name: "isolation", Promise: "Nobody reads what is not theirs: not another practice's, not another patient's, not what is kept apart; nor learns that it is there.",
		Try: func(ctx context.Context, r *Run) error { return tryIsolation(ctx, r, stand) }}
}

// unguardedType is the type whose guard the control takes away.
const unguardedType = "Observation"

// principal is somebody who asks.
type principal struct {
	name    string
	role    auth.Role // of staff
	scopes  string    // of a program; with role, it acts for that person
	patient int       // whose record a program is confined to
	// directory says that it has the key of the practice's directory.
	directory bool
	brief     bool // reads streams and files in short runs too
}

// principals are all kinds of them.
var principals = []principal{
	{name: "patient's app", role: auth.Clinician, scopes: "launch/patient patient/*.rs", patient: 1},
	{name: "front desk", role: auth.FrontDesk},
	{name: "nobody"},
	{name: "clinician", role: auth.Clinician},
	{name: "nurse", role: auth.Nurse, brief: true},
	{name: "biller", role: auth.Biller},
	{name: "administrator", role: auth.Administrator},
	{name: "clinician's app", role: auth.Clinician, scopes: "user/Patient.rs user/Condition.cruds user/Encounter.rs user/Observation.rs"},
	{name: "backend program", scopes: "system/*.cruds", brief: true},
	{name: "narrow program", scopes: "system/Subscription.cruds system/Patient.rs system/Observation.rs system/Condition.rs", brief: true},
	{name: "directory", directory: true},
}

// key is how a principal gets into one practice.
type key struct {
	practice auth.Practice
	header   http.Header
	access   auth.Access
}

type isolation struct {
	*world
	p         Program
	clients   map[db.PracticeID]oauth.Client
	furniture map[byte]Furniture // of the other practices
}

func tryIsolation(ctx context.Context, r *Run, stand func(Base) Program) error {
	w, err := r.newWorld(ctx, "isolation", nil)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }()
	w.auth = auth.New(w.db, w.log, auth.Options{Demo: true, RPID: "prove.example.org", Origins: []string{Origin}})
	if r.Control {
		if w.store, err = fhirstore.Unguarded(ctx, w.db, w.log, unguardedType); err != nil {
			return err
		}
	}
	t := &isolation{world: w, clients: map[db.PracticeID]oauth.Client{}, furniture: map[byte]Furniture{}}
	t.p = stand(Base{Keys: w.ring, DB: w.db, Audit: w.log, Auth: w.auth, Store: w.store})
	if r.Control {
		t.p.Screens = append(slices.Clone(t.p.Screens), Screen{"GET", "/{practice}/somewhere/{undeclared}"})
		t.p.Handler = slower(t.p.Handler, w.clock)
	}
	everything := func(plant) bool { return true }
	practice := func(slug string, letter byte, want func(plant) bool) (auth.Practice, error) {
		id, err := w.auth.AddPractice(ctx, slug, "The practice")
		if err != nil {
			return auth.Practice{}, err
		}
		if err := w.sow(ctx, id, letter, want); err != nil {
			return auth.Practice{}, err
		}
		return w.auth.PracticeByID(ctx, id)
	}
	b, err := practice("south", other, everything)
	if err != nil {
		return err
	}
	c, err := practice("ended", closed, everything)
	if err != nil {
		return err
	}
	for _, p := range []auth.Practice{b, c} {
		letter := letterOf(p)
		if t.furniture[letter], err = t.furnish(ctx, p, plant{typ: "Organization"}.canary(letter)); err != nil {
			return err
		}
	}
	t.undeclared()
	for i, who := range principals {
		r.Say("%s", who.name)
		a, err := practice(fmt.Sprintf("north%d", i), home, everything) // one each: they write in it
		if err != nil {
			return err
		}
		if err := t.unlabelled(ctx, a.ID); err != nil {
			return err
		}
		in, err := t.enter(ctx, a, who)
		if err != nil {
			return err
		}
		at, err := practice(fmt.Sprintf("twin%d", i), home, func(x plant) bool { return in.sees(x) || published(x) })
		if err != nil {
			return err
		}
		twin, err := t.enter(ctx, at, who)
		if err != nil {
			return err
		}
		ended, err := t.enter(ctx, c, who)
		if err != nil {
			return err
		}
		j := &judge{isolation: t, who: who.name, role: who.role, in: in, twin: twin, allowed: map[string]bool{}, draw: r.random(uint64(i))}
		for _, x := range plants() {
			if in.sees(x) {
				j.allowed[x.canary(home)] = true
			}
		}
		j.fhir(ctx)
		if who.brief || !j.short() {
			if err := j.files(ctx); err != nil {
				return err
			}
			if err := j.streams(ctx, b); err != nil {
				return err
			}
		}
		j.screens(ctx)
		j.elsewhere(ctx, b, in)
		if err := j.timing(ctx, r.random(uint64(100+i))); err != nil {
			return err
		}
		sys := auth.SystemScope(c.ID, "prove")
		set := func(to auth.Contract) error {
			return w.auth.ChangeAccessState(ctx, sys, func(s *auth.AccessState) { s.Contract = to })
		}
		if err := set(auth.ContractClosed); err != nil {
			return err
		}
		j.elsewhere(ctx, c, ended)
		if err := set(auth.ContractActive); err != nil {
			return err
		}
		if len(j.allowed) > 0 && j.shown.Load() == 0 {
			r.Fail("%s: nothing was shown of what may be seen, so that nothing was tried", who.name)
		}
		r.Count("principals", 1)
	}
	return t.noticed()
}

// Kinds of failures. The control must be noticed as each of them.
const (
	showsIt    = "shows what is not theirs"
	tellsOfIt  = "tells that it is there"
	undeclared = "undeclared"
	streamsIt  = "in a stream"
	filesIt    = "in a file"
	takesTime  = "takes another time"
)

// fail notes a failure of a kind.
func (t *isolation) fail(kind, format string, args ...any) {
	t.r.Count("failures: "+kind, 1)
	t.r.Fail(format, args...)
}

// noticed says, of the control, that something it broke was not noticed.
func (t *isolation) noticed() error {
	if !t.r.Control {
		return nil
	}
	kinds := []string{showsIt, tellsOfIt, undeclared, streamsIt, filesIt}
	if t.whole() {
		kinds = append(kinds, takesTime)
	}
	for _, kind := range kinds {
		if t.r.Counted("failures: "+kind) == 0 {
			return fmt.Errorf("prove: the control was not noticed: %s", kind)
		}
	}
	return nil
}

// whole says that the run takes every probe.
func (t *isolation) whole() bool { return t.r.Cycles <= 0 || t.r.Cycles >= 100 }

// furnish gives a practice what it has beside records.
func (t *isolation) furnish(ctx context.Context, p auth.Practice, word string) (Furniture, error) {
	id, err := t.auth.AddUser(ctx, auth.SystemScope(p.ID, "prove"), auth.User{Login: "furnisher." + p.Slug, Display: word, Roles: []auth.Role{auth.Administrator}})
	if err != nil {
		return Furniture{}, err
	}
	_, admin, err := t.auth.DemoSignIn(ctx, p.ID, id)
	if err != nil {
		return Furniture{}, err
	}
	return t.p.Furnish(ctx, p, admin, word)
}

// sees is the model that answers are compared with: what a principal may read, from what their role or scope says of types, from
// whose record it is, and from whether it is kept apart. How the program comes to the same is no business of the model's.
func (k key) sees(x plant) bool {
	switch {
	case !k.access.Allows(x.typ, auth.CanRead), x.apart:
		return false
	case k.access.Compartment == "":
		return true
	}
	return fhirstore.Shared(x.typ) || x.patient > 0 && k.access.Compartment == plant{typ: "Patient", patient: x.patient}.ref(home)
}

// published says that a practice tells everybody of a resource on purpose: its capability statement, which needs no sign-in, names the
// guides it has imported. They are therefore in the twin too, and shown there alone.
func published(x plant) bool { return x.typ == "ImplementationGuide" }

// unlabelled makes sure that what is planted plain is plain: a label that travelled would make the twins differ.
func (t *isolation) unlabelled(ctx context.Context, p db.PracticeID) error {
	return t.db.View(ctx, auth.SystemScope(p, "prove"), func(tx *db.Tx) error {
		for _, x := range plants() {
			r, err := t.store.Read(ctx, tx, x.typ, x.id(home))
			if err != nil {
				return err
			}
			if x.apart != (r.Labels != 0) || !strings.Contains(string(r.Raw), x.canary(home)) && x.typ != "Binary" {
				return fmt.Errorf("prove: %s is not as it was meant to be planted", x.ref(home))
			}
			t.r.Count("canaries", int64(strings.Count(string(r.Raw), x.canary(home))))
		}
		return nil
	})
}

// undeclared fails for types that no group of the role table names.
func (t *isolation) undeclared() {
	declared := map[string]bool{}
	for _, group := range auth.TypeGroups() {
		for _, typ := range group {
			declared[typ] = true
		}
	}
	types := fhir.ResourceTypes()
	if t.r.Control {
		types = append(slices.Clone(types), "Forgotten")
	}
	for _, typ := range types {
		t.r.Count("resource types", 1)
		if !declared[typ] {
			t.fail(undeclared, "%s stands in no line of the role table", typ)
		}
	}
}

const (
	proofVerifier = "a-verifier-that-is-long-enough-for-the-proof-0123456789"
	proofReturn   = "https://app.example.com/cb"
)

// enter brings a principal into a practice, through the doors that the program has.
func (t *isolation) enter(ctx context.Context, p auth.Practice, who principal) (key, error) {
	k := key{practice: p, header: http.Header{}}
	sys := auth.SystemScope(p.ID, "prove")
	bearer := func(token string) (key, error) {
		app, err := t.p.OAuth.Authenticate(ctx, p, token)
		if err != nil {
			return k, err
		}
		k.header.Set("Authorization", "Bearer "+token)
		k.access = auth.AccessOf(app)
		return k, nil
	}
	if who.directory {
		f, ok := t.furniture[letterOf(p)]
		if !ok || letterOf(p) == home {
			var err error
			if f, err = t.furnish(ctx, p, "A thing"); err != nil {
				return k, err
			}
		}
		k.header.Set("Authorization", "Bearer "+f.Directory)
		return k, nil
	}
	if who.role == "" && who.scopes == "" {
		return k, nil
	}
	if who.role == "" {
		token, err := t.p.OAuth.Mint(ctx, sys, p, who.scopes, time.Hour)
		if err != nil {
			return k, err
		}
		return bearer(token)
	}
	login := strings.ReplaceAll(strings.ReplaceAll(who.name, " ", "."), "'", "") + "." + p.Slug
	id, err := t.auth.AddUser(ctx, sys, auth.User{Login: login, Display: "Somebody", PractitionerID: "practitioner-0", Roles: []auth.Role{who.role}})
	if err != nil {
		return k, err
	}
	token, staff, err := t.auth.DemoSignIn(ctx, p.ID, id)
	if err != nil {
		return k, err
	}
	if who.scopes == "" {
		k.header.Set("Cookie", "__Host-yarrow-session-"+p.Slug+"="+token)
		k.access = auth.AccessOf(staff)
		return k, nil
	}
	client, ok := t.clients[p.ID]
	if !ok {
		client, _, err = t.p.OAuth.Register(ctx, sys, oauth.Client{Kind: oauth.Public, Name: "A program", Redirects: []string{proofReturn}, Scopes: "launch/patient patient/*.cruds user/*.cruds"})
		if err == nil {
			err = t.p.OAuth.Approve(ctx, sys, client.ID, client.Version)
		}
		if err != nil {
			return k, err
		}
		t.clients[p.ID] = client
	}
	sum := sha256.Sum256([]byte(proofVerifier))
	ask, err := t.p.OAuth.Begin(ctx, p, url.Values{"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {proofReturn}, "scope": {who.scopes}, "state": {"state-0123456789"},
		"aud": {Origin + "/" + p.Slug + "/fhir"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}})
	if err != nil {
		return k, err
	}
	answer := oauth.Answer{Scopes: strings.Fields(who.scopes)}
	if who.patient > 0 {
		answer.Patient = plant{typ: "Patient", patient: who.patient}.id(letterOf(p))
	}
	to, err := t.p.OAuth.Grant(ctx, p, staff, ask.ID, ask.Browser, answer)
	if err != nil {
		return k, err
	}
	back, err := url.Parse(to)
	if err != nil {
		return k, err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {proofReturn}, "client_id": {client.ID}, "code_verifier": {proofVerifier}}
	said := send(ctx, t.p.Handler, probe{method: "POST", path: "/" + p.Slug + "/oauth/token", body: form.Encode(), kind: "application/x-www-form-urlencoded"}, nil)
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(said.body, &got); err != nil || got.Token == "" {
		return k, fmt.Errorf("prove: a program got no token: %d", said.status)
	}
	return bearer(got.Token)
}

// letterOf is the letter of a practice's canaries.
func letterOf(p auth.Practice) byte {
	switch p.Slug {
	case "south":
		return other
	case "ended":
		return closed
	}
	return home
}
