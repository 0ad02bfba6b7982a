package prove

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// probe is one request.
type probe struct {
	method, path, body, kind string
	header                   [2]string
	from                     string // address it comes from; "" for this machine's
}

type said struct {
	status int
	header http.Header
	body   []byte
}

// send sends a probe to a program. Answers that do not end are cut.
func send(ctx context.Context, h http.Handler, p probe, credential http.Header) said {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // a busy machine is no refusal
	defer cancel()
	r, err := request(ctx, p, credential)
	if err != nil {
		return said{status: -1, body: []byte(err.Error())}
	}
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return said{w.status, w.header, w.body.Bytes()}
}

// request is a probe as a program gets it.
func request(ctx context.Context, p probe, credential http.Header) (*http.Request, error) {
	u, err := url.Parse(Origin + p.path)
	if err != nil {
		return nil, err
	}
	r := (&http.Request{Method: p.method, URL: u, Host: u.Host, RequestURI: u.RequestURI(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		RemoteAddr: "127.0.0.1:1", Body: io.NopCloser(strings.NewReader(p.body)), ContentLength: int64(len(p.body))}).WithContext(ctx)
	for name, v := range credential {
		r.Header[name] = v
	}
	if p.body != "" {
		r.Header.Set("Content-Type", p.kind)
		if p.kind == "" {
			r.Header.Set("Content-Type", "application/fhir+json")
		}
	}
	if p.body == "" {
		r.Body = http.NoBody
	}
	if p.from != "" {
		r.RemoteAddr = p.from
	}
	if p.header[0] != "" {
		r.Header.Set(p.header[0], p.header[1])
	}
	return r, nil
}

// recorder keeps an answer.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *recorder) Flush() {}

// judge looks at the answers that one principal gets.
type judge struct {
	*isolation
	who      string
	role     auth.Role
	in, twin key
	allowed  map[string]bool // canaries the principal may read
	shown    atomic.Int64    // how many of them were
	crowd    *errgroup.Group // probes under way
	draw     *rand.Rand      // of those that a short run takes
}

// take says whether a short run takes a probe.
func (j *judge) take() bool {
	return j.whole() || j.draw.IntN(100) < j.r.Cycles
}

func (j *judge) short() bool { return !j.whole() }

var (
	canaryForm = regexp.MustCompile(`(?i)cnry[abc][012][ps][0-9]{3}`)
	unsteady   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{16}\b|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+(Z|[+-]\d{2}:\d{2})|/bulk/[A-Za-z0-9_-]{43}|"(first|next|previous|last)":"[A-Za-z0-9_-]{40,}"|(_cursor|page|_page|cursor)=[^"&]*`)
)

// clean looks for canaries that may not be in an answer.
func (j *judge) clean(p probe, s said, sent string) {
	j.r.Count("answers", 1)
	if s.status >= 500 {
		j.r.Fail("%s: %s %s is answered %d", j.who, p.method, p.path, s.status)
	}
	look := func(where string, text []byte) {
		for _, c := range canaryForm.FindAllString(string(text), -1) {
			c = strings.ToLower(c)
			switch {
			case j.allowed[c]:
				j.shown.Add(1)
			case strings.HasSuffix(p.path, "/metadata") && c == (plant{typ: "ImplementationGuide"}).canary(home): // see [published]
			case strings.Contains(sent, c): // what they sent themself
			default:
				j.fail(showsIt, "%s: %s %s shows %s in the %s", j.who, p.method, p.path, c, where)
				return
			}
		}
	}
	if strings.HasPrefix(s.header.Get("Content-Type"), "text/event-stream") {
		j.fail(undeclared, "%s %s is a stream that the proof does not read to its end", p.method, p.path)
	}
	look("body", s.body)
	for name, values := range s.header {
		look(name, []byte(strings.Join(values, "\n")))
	}
}

// both sends a probe to the practice and to its twin: the answers must be the same.
func (j *judge) both(ctx context.Context, p probe) {
	if !j.take() {
		return
	}
	j.r.Count("probes", 1)
	j.crowd.Go(func() error { j.compare(ctx, p); return nil })
}

func (j *judge) compare(ctx context.Context, p probe) {
	var seen [2]string
	for i, k := range []key{j.in, j.twin} {
		q := p
		q.path = "/" + k.practice.Slug + "/fhir" + p.path
		if rest, ok := strings.CutPrefix(p.path, "/../"); ok { // beside the interface
			q.path = "/" + k.practice.Slug + "/" + rest
		}
		s := send(ctx, j.p.Handler, q, k.header)
		sent, _ := url.QueryUnescape(q.path)
		j.clean(q, s, sent+q.body+q.header[1])
		seen[i] = j.steady(s, k.practice)
	}
	// People who may read the audit are told of every look, though not of what was looked at.
	if seen[0] != seen[1] && !(j.role == auth.Administrator && strings.Contains(p.path, "/$who-saw")) {
		a, b := apartFrom(seen[0], seen[1])
		j.fail(tellsOfIt, "%s: %s %s tells of what is hidden: %q, and %q where there is nothing", j.who, p.method, p.path, a, b)
	}
}

// steady is an answer without what differs between any two.
func (j *judge) steady(s said, p auth.Practice) string {
	var b strings.Builder
	fmt.Fprintln(&b, s.status)
	for _, name := range sortedNames(s.header) {
		switch name {
		case "Content-Length", "Date", "Last-Modified", "X-Request-Id", "X-Ratelimit-Remaining", "Ratelimit", "Server-Timing", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset":
			continue
		}
		fmt.Fprintln(&b, name, s.header[name])
	}
	body := bytes.ReplaceAll(s.body, []byte("/"+p.Slug+"/"), []byte("/practice/"))
	head := strings.NewReplacer("/"+p.Slug+"/", "/practice/", `realm="`+p.Slug+`"`, "").Replace(b.String())
	return unsteady.ReplaceAllString(head+string(body), "~")
}

// fhir asks in every way the interface of FHIR has. Many ask at once, who share the commits of the audit.
func (j *judge) fhir(ctx context.Context) {
	j.crowd = &errgroup.Group{}
	j.crowd.SetLimit(24)
	get := func(path string) { j.both(ctx, probe{method: "GET", path: path}) }
	for _, path := range []string{"", "/_history", "/_history?_count=1000", "/metadata", "?_type=Observation,Patient,Condition", "?_type=Patient&_id=patient-2", "/_history?_type=Observation"} {
		get(path)
	}
	byType := map[string][]plant{}
	for _, x := range plants() {
		byType[x.typ] = append(byType[x.typ], x)
	}
	for _, typ := range fhir.ResourceTypes() {
		for _, x := range byType[typ] {
			j.one(ctx, x)
		}
		j.searches(ctx, typ, byType)
		j.graph(ctx, typ, byType[typ])
	}
	for patient := 1; patient <= 2; patient++ {
		get("/Patient/" + plant{typ: "Patient", patient: patient}.id(home) + "/*")
	}
	_ = j.crowd.Wait()
	j.crowd = &errgroup.Group{} // what writes, and what is counted, goes one by one, so that both practices are treated alike
	j.crowd.SetLimit(1)
	j.operations(ctx)
	j.graphs(ctx)
	j.bundles(ctx)
	j.imports(ctx)
	_ = j.crowd.Wait()
}

// imports bring in what has the ids of what is hidden, and name files at addresses that would tell of it: that an import begins, or is
// refused, is the same whether they are taken or not.
func (j *judge) imports(ctx context.Context) {
	for _, x := range plants() {
		if x.typ != unguardedType && x.typ != "Patient" || j.in.sees(x) {
			continue
		}
		j.both(ctx, probe{method: "POST", path: "/$import", kind: "application/fhir+ndjson", body: `{"resourceType":"` + x.typ + `","id":"` + x.id(home) + `"}`})
		j.both(ctx, probe{method: "POST", path: "/$import", header: [2]string{"Prefer", "respond-async"}, body: `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueCode":"ndjson"},` +
			`{"name":"input","part":[{"name":"type","valueCode":"` + x.typ + `"},{"name":"url","valueUri":"https://` + x.canary(home) + `.example.org/x"}]}]}`})
		j.both(ctx, probe{method: "POST", path: "/../bulk/import", kind: "application/fhir+ndjson", body: `{"resourceType":"` + x.typ + `","id":"` + x.id(home) + `"}`})
	}
}

// one asks for one resource.
func (j *judge) one(ctx context.Context, x plant) {
	at := "/" + x.ref(home)
	for _, path := range []string{at, at + "/_history", at + "/_history/1", at + "/_history/2", at + "?_summary=true", at + "?_elements=id", "/" + x.typ + "?_id=" + x.id(home), "/" + x.typ + "/" + x.id(other)} {
		j.both(ctx, probe{method: "GET", path: path})
	}
	j.both(ctx, probe{method: "HEAD", path: at})
	j.both(ctx, probe{method: "GET", path: at, header: [2]string{"If-None-Match", `W/"1"`}})
	if j.in.sees(x) {
		return // writes are tried on what is hidden: what is seen stays as it is
	}
	n, err := (&filler{plant: plant{typ: x.typ, patient: x.patient}, letter: home, little: true}).resource()
	if err != nil {
		j.r.Fail("%v", err)
		return
	}
	n.SetFirst("id", fhirjson.NewString(x.id(home)))
	body := string(n.AppendJSON(nil))
	j.both(ctx, probe{method: "PUT", path: at, body: body})
	j.both(ctx, probe{method: "PUT", path: at, body: body, header: [2]string{"If-Match", `W/"1"`}})
	j.both(ctx, probe{method: "PATCH", path: at, body: `[{"op":"test","path":"/id","value":"` + x.id(home) + `"}]`, kind: "application/json-patch+json"})
	j.both(ctx, probe{method: "DELETE", path: at})
	j.both(ctx, probe{method: "DELETE", path: "/" + x.typ + "?_id=" + x.id(home)})
	for _, in := range contextsOf[x.typ] {
		body := fmt.Sprintf(in, j.in.record(), x.ref(home))
		typ, _, _ := strings.Cut(strings.TrimPrefix(body, `{"resourceType":"`), `"`)
		j.both(ctx, probe{method: "POST", path: "/" + typ, body: body})
		j.both(ctx, probe{method: "POST", path: "/" + typ + "/$validate", body: body})
		j.both(ctx, probe{method: "POST", path: "", body: `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + body + `,"request":{"method":"POST","url":"` + typ + `"}}]}`})
	}
}

// contextsOf are, by the type of what they refer to, resources that take part of their access from it; they are about a patient.
var contextsOf = map[string][]string{
	"Encounter": {`{"resourceType":"Condition","subject":{"reference":"%s"},"encounter":{"reference":"%s"}}`,
		`{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"%s"},"encounter":{"reference":"%s"}}`},
	"Observation":    {`{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"%s"},"derivedFrom":[{"reference":"%s"}]}`},
	"Condition":      {`{"resourceType":"List","status":"current","mode":"working","subject":{"reference":"%s"},"entry":[{"item":{"reference":"%s"}}]}`},
	"ServiceRequest": {`{"resourceType":"Procedure","status":"completed","subject":{"reference":"%s"},"basedOn":[{"reference":"%s"}]}`},
	"Procedure":      {`{"resourceType":"Procedure","status":"completed","subject":{"reference":"%s"},"partOf":[{"reference":"%s"}]}`},
	"Composition":    {`{"resourceType":"Task","status":"requested","intent":"order","for":{"reference":"%s"},"focus":{"reference":"%s"}}`},
	"Patient":        {`{"resourceType":"Condition","subject":{"reference":"%[2]s"},"recorder":{"reference":"%[1]s"}}`},
}

// record is the patient about whom a principal may write.
func (k key) record() string {
	return cmp.Or(k.access.Compartment, plant{typ: "Patient", patient: 1}.ref(home))
}

// searches asks for resources of a type by everything they can be found by.
func (j *judge) searches(ctx context.Context, typ string, all map[string][]plant) {
	get := func(query string) { j.both(ctx, probe{method: "GET", path: "/" + typ + "?" + query}) }
	for _, q := range []string{"", "_summary=count", "_total=accurate&_count=1", "_sort=-_lastUpdated&_count=500", "_lastUpdated=gt2000", "_security=PSYTHPN", "_security:not=PSYTHPN",
		"_include=*&_count=500", "_include=*&_include:iterate=*", "_revinclude=*&_count=500", "_content=" + all[typ][0].canary(home), "_id=" + all[typ][len(all[typ])-1].id(home) + "," + all[typ][0].id(home)} {
		get(q)
	}
	j.both(ctx, probe{method: "POST", path: "/" + typ + "/_search", body: "_total=accurate", kind: "application/x-www-form-urlencoded"})
	j.both(ctx, probe{method: "GET", path: "/" + typ + "/_history"})
	for patient := 1; patient <= 2; patient++ {
		j.both(ctx, probe{method: "GET", path: fmt.Sprintf("/Patient/patient-%d/%s?_total=accurate", patient, typ)})
	}
	hidden := slices.DeleteFunc(slices.Clone(all[typ]), j.in.sees)
	for _, p := range fhirsearch.Params(typ) {
		if !p.Searchable() || strings.HasPrefix(p.Code, "_") {
			continue
		}
		j.r.Count("search parameters", 1)
		get("_total=accurate&" + p.Code + ":missing=true")
		switch p.Type {
		case "string", "token", "uri", "date":
			get("_sort=" + p.Code + "&_count=500")
			get("_sort=-" + p.Code + "&_count=1")
		}
		for _, x := range hidden {
			word := x.canary(home)
			switch p.Type {
			case "string":
				get("_total=accurate&" + p.Code + "=" + word)
				get(p.Code + ":contains=" + word)
				get("_filter=" + url.QueryEscape(p.Code+` co "`+word+`"`))
			case "token":
				get("_total=accurate&" + p.Code + "=" + word)
				get(p.Code + ":text=" + word)
				get(p.Code + ":not=" + word)
			case "uri":
				get(p.Code + "=https://example.org/" + word)
			}
		}
		if p.Type == "reference" {
			j.chains(ctx, typ, p, all)
		}
	}
}

// graph asks by GraphQL for resources of a type: by id, as lists, as pages that count, and through references to them and back.
func (j *judge) graph(ctx context.Context, typ string, all []plant) {
	if !slices.ContainsFunc(j.p.Operations, func(o fhirapi.Operation) bool { return o.Name == "$graphql" }) {
		j.r.Fail("there is no $graphql, whose probes would say nothing")
		return
	}
	ask := func(at, query string) {
		j.both(ctx, probe{method: "GET", path: at + "/$graphql?query=" + url.QueryEscape(query)})
	}
	ask("", "{"+typ+"List(_count: 500) {id resourceType text {div}}}")
	ask("", "{"+typ+"Connection(_count: 1) {count pagesize offset first next last edges {resource {id}}}}")
	ask("", "{"+typ+"List(_count: 500, fhirpath: \"text.exists()\") {id}}")
	for _, x := range all {
		ask("", "{"+typ+"(id: \""+x.id(home)+"\") {id text {div}}}")
		if !j.in.sees(x) {
			ask("", "{"+typ+"Connection(_id: \""+x.id(home)+"\") {count}}")
			ask("/"+x.ref(home), "{id}")
		}
	}
	for _, p := range fhirsearch.Params(typ) {
		if !p.Searchable() || p.Type != "reference" || !slices.Contains(p.Targets, "Patient") {
			continue
		}
		code := strings.ReplaceAll(p.Code, "-", "_")
		ask("", "{PatientList {id "+typ+"List(_reference: "+code+") {id text {div}}}}")
		ask("", "{PatientList {id "+typ+"Connection(_reference: "+code+") {count edges {resource {id}}}}}")
		if p.Code == "subject" || p.Code == "patient" {
			ask("", "{"+typ+"List(_count: 500) {id "+p.Code+" {resource {... on Patient {id name {family}}}}}}")
		}
	}
}

// chains go through a reference to what it names, and back.
func (j *judge) chains(ctx context.Context, typ string, p *fhirsearch.Param, all map[string][]plant) {
	targets := p.Targets
	if len(targets) > 4 {
		targets = []string{"Patient", targets[0], targets[len(targets)/2], targets[len(targets)-1]}
	}
	for _, target := range slices.Compact(targets) {
		for _, x := range all[target] {
			if j.in.sees(x) {
				continue
			}
			j.both(ctx, probe{method: "GET", path: "/" + typ + "?_total=accurate&" + p.Code + "=" + x.ref(home)})
			for _, code := range []string{"_id=" + x.id(home), "identifier=" + x.canary(home), "_security=PSYTHPN"} {
				if name, _, _ := strings.Cut(code, "="); strings.HasPrefix(name, "_") || fhirsearch.Lookup(target, name) != nil {
					j.both(ctx, probe{method: "GET", path: "/" + typ + "?_total=accurate&" + p.Code + ":" + target + "." + code})
				}
			}
		}
		for _, x := range all[typ] {
			if j.in.sees(x) {
				continue
			}
			j.both(ctx, probe{method: "GET", path: "/" + target + "?_total=accurate&_has:" + typ + ":" + p.Code + ":_id=" + x.id(home)})
		}
		j.both(ctx, probe{method: "GET", path: "/" + typ + "?_count=500&_include=" + typ + ":" + p.Code + ":" + target})
		j.both(ctx, probe{method: "GET", path: "/" + target + "?_count=500&_revinclude=" + typ + ":" + p.Code})
	}
}

// operations calls everything that is registered, on what is there and what is hidden.
func (j *judge) operations(ctx context.Context) {
	for _, op := range j.p.Operations {
		j.r.Count("operations", 1)
		types := op.Types
		if len(types) == 0 {
			types = []string{"Patient", "Observation", "ValueSet"}
		}
		paths := []string{}
		if op.Levels&fhirapi.System != 0 {
			paths = append(paths, "/"+op.Name)
		}
		for _, typ := range types {
			if op.Levels&fhirapi.Type != 0 {
				paths = append(paths, "/"+typ+"/"+op.Name)
			}
			for _, x := range plants() {
				if x.typ == typ && op.Levels&fhirapi.Instance != 0 {
					paths = append(paths, "/"+x.ref(home)+"/"+op.Name)
				}
			}
		}
		query := url.Values{}
		for _, p := range op.Params {
			if p.Min > 0 && !p.Out {
				query.Set(p.Name, "https://example.org/"+plant{typ: types[0], apart: true}.canary(home))
			}
		}
		for _, path := range paths {
			j.both(ctx, probe{method: "GET", path: path + "?" + query.Encode()})
			j.both(ctx, probe{method: "POST", path: path, body: `{"resourceType":"Parameters"}`})
		}
	}
}

// graphs ask GraphQL for what is there and what is hidden: alone, in lists, with its count, and through what refers to it.
func (j *judge) graphs(ctx context.Context) {
	for _, x := range plants() {
		name, id, canary := x.typ, x.id(home), x.canary(home)
		for _, query := range []string{
			`{` + name + `(id: "` + id + `") {id meta {versionId}}}`,
			`{` + name + `List(_id: "` + id + `") {id meta {versionId}}}`,
			`{` + name + `Connection(_id: "` + id + `") {count edges {resource {id}}}}`,
			`{` + name + `Connection(_filter: "identifier eq ` + canary + `") {count next}}`,
		} {
			j.both(ctx, probe{method: "GET", path: "/$graphql?query=" + url.QueryEscape(query)})
		}
		for _, p := range []string{"subject", "patient"} {
			query := `{PatientList {id ` + name + `List(_reference: ` + p + `) {id}}}`
			j.both(ctx, probe{method: "GET", path: "/$graphql?query=" + url.QueryEscape(query)})
		}
	}
}

// bundles ask for many things at once, and write on conditions that what is hidden would answer.
func (j *judge) bundles(ctx context.Context) {
	for _, x := range plants() {
		if j.in.sees(x) || x.typ != unguardedType && x.typ != "Condition" && x.typ != "Patient" && x.typ != "Claim" {
			continue
		}
		n, err := (&filler{plant: plant{typ: x.typ, patient: 1}, letter: home, little: true}).resource()
		if err != nil {
			continue
		}
		n.Delete("id")
		body := string(n.AppendJSON(nil))
		n.SetFirst("id", fhirjson.NewString(x.id(home)))
		with := string(n.AppendJSON(nil))
		for _, kind := range []string{"batch", "transaction"} {
			for _, entry := range []string{
				`{"request":{"method":"GET","url":"` + x.ref(home) + `"}}`,
				`{"request":{"method":"GET","url":"` + x.typ + `?identifier=` + x.canary(home) + `&_total=accurate"}}`,
				`{"request":{"method":"PUT","url":"` + x.ref(home) + `"},"resource":` + with + `}`,
				`{"request":{"method":"DELETE","url":"` + x.ref(home) + `"}}`,
				`{"request":{"method":"DELETE","url":"` + x.typ + `?_id=` + x.id(home) + `"}}`,
			} {
				j.both(ctx, probe{method: "POST", path: "", body: `{"resourceType":"Bundle","type":"` + kind + `","entry":[` + entry + `]}`})
			}
		}
		j.both(ctx, probe{method: "POST", path: "/" + x.typ, body: body, header: [2]string{"If-None-Exist", "_id=" + x.id(home)}})
		j.both(ctx, probe{method: "PUT", path: "/" + x.typ + "?_id=" + x.id(home), body: body})
	}
}

var placeholder = regexp.MustCompile(`\{[a-z]+(\.\.\.)?\}`)

// screens opens every screen with every patient's id, and sends every form.
func (j *judge) screens(ctx context.Context) {
	ids := map[string][]string{"{patient}": {"patient-1", "patient-2", "patient-2-b"}, "{id}": {"patient-2", "appointment-1-apart", "1"}, "{appointment}": {"appointment-1", "appointment-1-apart", "appointment-1-b"},
		"{entry}": {"1"}, "{finding}": {"1"}, "{form}": {"problem", "1"}, "{grant}": {"1"}, "{hold}": {"1"}, "{receipt}": {"1"}, "{notice}": {"1"}, "{opening}": {"1"}, "{program}": {"command-line"}, "{connection}": {"x"}, "{user}": {"1"}, "{ask}": {"x"}, "{export}": {"x", "import"}, "{file}": {"x"}, "{subscription}": {"subscription-1", "x"}, "{name}": {"x"}, "{slot}": {"x"}, "{draft}": {"1"}, "{type}": {"Patient", "Observation"}, "{record}": {"observation-2", "observation-1-apart"}, "{consent}": {"consent-2", "consent-1-apart"}, "{kind}": {"statement", "MedicationStatement", "problem"},
		"{note}": {"documentreference-1-apart", "composition-2"}, "{task}": {"task-2", "task-1-apart"}, "{observation}": {"observation-2", "observation-1-apart"}}
	for _, f := range j.furniture {
		for place, id := range f.IDs {
			ids[place] = append(slices.Clone(ids[place]), id)
		}
	}
	posted := map[string]string{}
	all := slices.Clone(j.p.Screens)
	for _, pattern := range j.p.Routes {
		method, path, ok := strings.Cut(pattern, " ")
		if ok {
			all = append(all, Screen{method, path})
			continue
		}
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			all = append(all, Screen{method, pattern})
		}
	}
	for _, s := range all {
		j.r.Count("screens", 1)
		paths := []string{strings.ReplaceAll(s.Pattern, "{practice}", j.in.practice.Slug)}
		for _, hole := range placeholder.FindAllString(paths[0], -1) {
			fill := ids[hole]
			if fill == nil {
				j.fail(undeclared, "the route %s %s has a place that the proof does not know how to fill: %s", s.Method, s.Pattern, hole)
			}
			var next []string
			for _, p := range paths {
				for _, id := range fill {
					next = append(next, strings.Replace(p, hole, id, 1))
				}
			}
			paths = next
		}
		if strings.HasSuffix(s.Pattern, "/signout") || strings.HasSuffix(s.Pattern, "/lock") || strings.Contains(s.Pattern, "sign-out") || strings.HasSuffix(s.Pattern, "/live") {
			j.r.Count("screens that end the session, or are read as streams", 1)
			continue
		}
		for _, path := range paths {
			if !j.take() {
				continue
			}
			for _, word := range []string{"cnrya2s" + plant{typ: "Observation"}.canary(home)[7:], "cnryb1p" + plant{typ: "Patient"}.canary(home)[7:]} {
				form := url.Values{"q": {word}, "text": {word}, "query": {word}, "name": {word}, "find": {word}}.Encode()
				p := probe{method: s.Method, path: path + "?" + form}
				if s.Method != "GET" {
					p = probe{method: s.Method, path: path, body: form, kind: "application/x-www-form-urlencoded"}
				}
				j.r.Count("probes", 1)
				// What a form was sent stands on the pages beside it: names of what somebody made.
				beside := strings.Join(strings.SplitN(s.Pattern, "/", 4)[:min(3, strings.Count(s.Pattern, "/")+1)], "/")
				if s.Method != "GET" {
					posted[beside] += form
				}
				j.clean(p, send(ctx, j.p.Handler, p, j.in.header), form+posted[beside])
			}
		}
	}
}

// elsewhere asks another practice, with a key of its own or of the home practice: nothing is shown, and what is there is refused like
// what is not.
func (j *judge) elsewhere(ctx context.Context, p auth.Practice, k key) {
	letter := letterOf(p)
	was := j.allowed
	j.allowed = nil
	defer func() { j.allowed = was }()
	for _, x := range plants() {
		if !j.take() {
			continue
		}
		var seen []string
		for _, id := range []string{x.id(letter), strings.Repeat("n", len(x.id(letter)))} {
			q := probe{method: "GET", path: "/" + p.Slug + "/fhir/" + x.typ + "/" + id}
			s := send(ctx, j.p.Handler, q, k.header)
			j.clean(q, s, "")
			j.r.Count("probes", 1)
			if s.status == http.StatusOK {
				j.r.Fail("%s: %s is answered 200", j.who, q.path)
			}
			seen = append(seen, strings.ReplaceAll(j.steady(s, p), id, "~"))
		}
		if seen[0] != seen[1] {
			j.r.Fail("%s: %s of the practice %s is refused otherwise than what is not there", j.who, x.ref(letter), p.Slug)
		}
		q := probe{method: "GET", path: "/" + p.Slug + "/fhir/" + x.typ + "?_count=500"}
		j.clean(q, send(ctx, j.p.Handler, q, k.header), "")
		j.r.Count("probes", 1)
	}
}
