// Package endpoints owns the public list of FHIR addresses: which practices chose to be found by programs, and who they are. ONC
// wants it of certified software, § 170.404(b)(2). It owns no data: a practice is on the list while its records hold an active
// Endpoint for its own address, managed by an Organization of its own, and it leaves the list when that Endpoint is off.
//
// It never shows anything but these two resources, and of the Organization only what identifies it.
package endpoints

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Path is where the list is.
const Path = "/fhir-endpoints.json"

const (
	connections = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
	rest        = "hl7-fhir-rest"
	versionURL  = "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version"
	ownID       = "fhir-base" // of the Endpoint that Publish makes
)

// Options say where the list comes from.
type Options struct {
	DB     *db.DB
	Store  *fhirstore.Store
	Auth   *auth.Auth
	People *practice.Profiles // knows which Organization is the practice itself
	Origin string             // what addresses begin with, such as "https://ehr.example.org"
}

// List is the list. It is safe for concurrent use.
type List struct {
	o Options

	mu   sync.Mutex
	body []byte
	made time.Time
}

// kept is how long the list is not made anew, here and at those who asked for it.
const kept = 10 * time.Minute

// New gives the list of an installation.
func New(o Options) *List { return &List{o: o} }

// Publish puts the practice of s, whose slug is given, on the list. It is for the command line and for administrators.
func (l *List) Publish(ctx context.Context, s db.Scope, slug, name string) (address string, err error) {
	address = l.o.Origin + "/" + slug + "/fhir"
	own, err := l.o.People.Get(ctx, s)
	if err != nil {
		return "", err
	}
	if own.ID == "" {
		return "", fhir.Problem("required", "The practice has no Organization to be listed under.", "Store an Organization with its name, address and NPI first, for instance with yarrow import fhir.")
	}
	return address, l.keep(ctx, s, "active", address, name, own.ID)
}

// Withdraw takes the practice of s off the list, as Publish puts it on. Errors: a not-found Issue when Publish had not put it there.
func (l *List) Withdraw(ctx context.Context, s db.Scope) error {
	var was *fhirstore.Resource
	err := l.o.DB.View(ctx, s, func(tx *db.Tx) (err error) {
		all, err := l.o.Store.ReadMany(ctx, tx, []string{"Endpoint/" + ownID})
		was = all["Endpoint/"+ownID]
		return err
	})
	if err != nil {
		return err
	}
	if was == nil || was.Node().Get("status").Text() != "active" {
		return fhir.Problem("not-found", "The practice was not put on the list by this command.", "An Endpoint stored in another way is switched off by giving it the status off.")
	}
	n := was.Node()
	_, org, _ := fhir.ParseReference(n.At("managingOrganization", "reference").Text())
	return l.keep(ctx, s, "off", n.Get("address").Text(), n.Get("name").Text(), org)
}

// keep stores the Endpoint of the practice's address.
func (l *List) keep(ctx context.Context, s db.Scope, status, address, name, org string) error {
	n := fhirjson.NewObject(
		field("resourceType", "Endpoint"), field("id", ownID),
		fhirjson.Member{Name: "extension", Value: fhirjson.NewArray(fhirjson.NewObject(field("url", versionURL), field("valueCode", "4.0.1")))},
		field("status", status),
		fhirjson.Member{Name: "connectionType", Value: fhirjson.NewObject(field("system", connections), field("code", rest))},
		field("name", name),
		fhirjson.Member{Name: "managingOrganization", Value: fhirjson.NewObject(field("reference", "Organization/"+org))},
		fhirjson.Member{Name: "payloadType", Value: fhirjson.NewArray(fhirjson.NewObject(fhirjson.Member{Name: "coding", Value: fhirjson.NewArray(
			fhirjson.NewObject(field("system", "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"), field("code", "none")))}))},
		fhirjson.Member{Name: "payloadMimeType", Value: fhirjson.NewArray(fhirjson.NewString("application/fhir+json"), fhirjson.NewString("application/fhir+xml"))},
		field("address", address),
	)
	prepared, err := l.o.Store.PrepareNode(ctx, &n)
	if err != nil {
		return err
	}
	err = l.o.DB.Do(ctx, s, func(tx *db.Tx) error {
		_, err := l.o.Store.Update(ctx, tx, prepared, 0)
		return err
	})
	l.mu.Lock()
	l.body = nil
	l.mu.Unlock()
	return err
}

func field(name, value string) fhirjson.Member {
	return fhirjson.Member{Name: name, Value: fhirjson.NewString(value)}
}

// ServeHTTP answers with the list as a Bundle, to anybody and to scripts of any origin.
func (l *List) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := l.bundle(r.Context())
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/fhir+json; charset=utf-8")
	if err != nil {
		h.Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient","details":{"text":"The list cannot be made now."},"diagnostics":"Ask again in a minute."}]}`)
		return
	}
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(kept/time.Second)))
	w.Write(body)
}

// bundle gives the list, made anew when it is older than kept.
func (l *List) bundle(ctx context.Context) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.o.DB.Clock().Now()
	if l.body != nil && now.Sub(l.made) < kept {
		return l.body, nil
	}
	all, err := l.o.Auth.Practices(ctx)
	if err != nil {
		return nil, err
	}
	var entries []fhirjson.Node
	for _, p := range all {
		some, err := l.of(ctx, p)
		if err != nil {
			return nil, err
		}
		entries = append(entries, some...)
	}
	n := fhirjson.NewObject(field("resourceType", "Bundle"), field("type", "collection"), field("timestamp", now.UTC().Format(time.RFC3339)))
	if len(entries) > 0 {
		n.Set("entry", fhirjson.NewArray(entries...))
	}
	l.body, l.made = n.AppendJSON(nil), now
	return l.body, nil
}

// of gives the entries of a practice: its Organization and the Endpoint of its address, or nothing.
func (l *List) of(ctx context.Context, p auth.Practice) ([]fhirjson.Node, error) {
	base := l.o.Origin + "/" + p.Slug + "/fhir"
	var out []fhirjson.Node
	err := l.o.DB.View(ctx, auth.SystemScope(p.ID, "list of addresses"), func(tx *db.Tx) error {
		out = nil
		ends, err := l.o.Store.Find(ctx, tx, "Endpoint", "status", "active", "connection-type", connections+"|"+rest)
		if err != nil {
			return err
		}
		for _, e := range ends {
			n := e.Node()
			ref := n.At("managingOrganization", "reference").Text()
			if n.Get("address").Text() != base || ref == "" {
				continue // another server's, or nobody's
			}
			orgs, err := l.o.Store.ReadMany(ctx, tx, []string{ref})
			if err != nil {
				return err
			}
			if org := orgs[ref]; org != nil && org.Type == "Organization" && org.Node().Get("name").Text() != "" {
				who := shorn(org.Node())
				who.Set("endpoint", fhirjson.NewArray(fhirjson.NewObject(field("reference", "Endpoint/"+e.ID))))
				out = []fhirjson.Node{entry(base, ref, who), entry(base, "Endpoint/"+e.ID, shorn(n))}
				return nil
			}
		}
		return nil
	})
	return out, err
}

func entry(base, ref string, resource fhirjson.Node) fhirjson.Node {
	return fhirjson.NewObject(field("fullUrl", base+"/"+ref), fhirjson.Member{Name: "resource", Value: resource})
}

// shown are the parts of the two resources that the list needs.
var shown = map[string]bool{"resourceType": true, "id": true, "identifier": true, "active": true, "type": true, "name": true, "telecom": true, "address": true,
	"extension": true, "status": true, "connectionType": true, "managingOrganization": true, "payloadType": true, "payloadMimeType": true}

func shorn(n *fhirjson.Node) fhirjson.Node {
	var out []fhirjson.Member
	for _, m := range n.Members() {
		if shown[m.Name] && (m.Name != "extension" || n.Get("resourceType").Text() == "Endpoint") {
			out = append(out, m)
		}
	}
	return fhirjson.NewObject(out...)
}
