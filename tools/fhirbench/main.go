// fhirbench: closed-loop load generator for any FHIR R4 server (standard library only).
//
// Example:
//
//	fhirbench -base http://127.0.0.1:8103/fhir/R4 -token-url http://127.0.0.1:8103/oauth2/token \
//	   -client-id X -client-secret Y -bundles 'synthea/*.json.gz' \
//	   -conns 1,8,32 -dur 10s -ops bundle,create,read,update,search-obs,search-name,chart \
//	   -procs 'server=123;pg=456;redis=789' -dbsize-cmd "psql ... -Atc 'select pg_database_size(...)'"
//
// The load is bounded: fixed duration or fixed number of bundles per cell; it stops by itself.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	baseFlag   = flag.String("base", "http://127.0.0.1:8080/fhir", "FHIR base URL(s), comma separated; connections are spread round-robin")
	authFlag   = flag.String("auth", "", "value of the Authorization header (e.g. 'Bearer x' or 'Basic y')")
	tokenURL   = flag.String("token-url", "", "OAuth2 token endpoint for client_credentials")
	clientID   = flag.String("client-id", "", "OAuth2 client id")
	clientSec  = flag.String("client-secret", "", "OAuth2 client secret")
	scope      = flag.String("scope", "", "OAuth2 scope")
	preferFlag = flag.String("prefer", "", "Prefer header on writes (e.g. return=minimal)")
	opsFlag    = flag.String("ops", "bundle,create,read,update,search-obs,search-name,chart", "operations in order")
	connsFlag  = flag.String("conns", "1,8,32", "connection counts")
	durFlag    = flag.Duration("dur", 10*time.Second, "duration of each timed cell")
	warmFlag   = flag.Duration("warm", 2*time.Second, "warm-up before each timed cell (not counted)")
	bundGlob   = flag.String("bundles", "", "glob of Synthea transaction bundles (.json or .json.gz); empty: built-in generator")
	nBundles   = flag.Int("nbundles", 120, "bundles imported per bundle cell")
	seedFlag   = flag.Int("seed", 120, "bundles imported untimed before the first cell (warm-up and search data)")
	entries    = flag.Int("entries", 100, "entries per bundle (0: whole Synthea file)")
	bconns     = flag.String("bundle-conns", "1,8", "connection counts for the bundle op")
	procsFlag  = flag.String("procs", "", "name=pid;name=pid: process trees whose CPU and RSS are reported")
	dbsizeCmd  = flag.String("dbsize-cmd", "", "shell command printing the database size in bytes")
	outFlag    = flag.String("out", "", "write JSON lines here too")
	label      = flag.String("label", "server", "label of the server under test")
	stateFlag  = flag.String("state", "", "file that keeps patient ids between runs")
	rseed      = flag.Int64("rand", 1, "random seed")
	reportFlag = flag.String("report", "", "print the table of the results in a file that -out wrote, and stop")
)

// ---------- minimal HTTP/1.1 client (one keep-alive connection per worker) ----------

type target struct {
	host, hostport, prefix string
	tls                    bool
}

func parseTarget(b string) target {
	u, err := url.Parse(strings.TrimRight(b, "/"))
	if err != nil {
		fatal(err)
	}
	hp := u.Host
	if u.Port() == "" {
		if u.Scheme == "https" {
			hp += ":443"
		} else {
			hp += ":80"
		}
	}
	return target{host: u.Host, hostport: hp, prefix: u.Path, tls: u.Scheme == "https"}
}

type conn struct {
	t    target
	c    net.Conn
	r    *bufio.Reader
	buf  []byte
	body []byte
}

func (c *conn) dial() error {
	nc, err := net.DialTimeout("tcp", c.t.hostport, 10*time.Second)
	if err != nil {
		return err
	}
	if c.t.tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: strings.Split(c.t.host, ":")[0]})
	}
	c.c = nc
	c.r = bufio.NewReaderSize(nc, 64<<10)
	return nil
}

// do sends one request and reads the whole response. keep=false discards the body.
func (c *conn) do(method, path string, body []byte, keep bool) (int, []byte, error) {
	if c.c == nil {
		if err := c.dial(); err != nil {
			return 0, nil, err
		}
	}
	b := c.buf[:0]
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, c.t.prefix...)
	b = append(b, path...)
	if c.t.prefix == "" && path == "" {
		b = append(b, '/')
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.t.host...)
	b = append(b, "\r\nAccept: application/fhir+json\r\n"...)
	if a := authHeader; a != "" {
		b = append(b, "Authorization: "...)
		b = append(b, a...)
		b = append(b, "\r\n"...)
	}
	if body != nil {
		b = append(b, "Content-Type: application/fhir+json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n"...)
		if *preferFlag != "" {
			b = append(b, "Prefer: "...)
			b = append(b, *preferFlag...)
			b = append(b, "\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	if len(body) < 16<<10 {
		b = append(b, body...)
		body = nil
	}
	c.buf = b
	c.c.SetDeadline(time.Now().Add(120 * time.Second))
	if _, err := c.c.Write(b); err != nil {
		c.close()
		return 0, nil, err
	}
	if body != nil {
		if _, err := c.c.Write(body); err != nil {
			c.close()
			return 0, nil, err
		}
	}
	status, bd, err := c.read(keep)
	if err != nil {
		c.close()
	}
	return status, bd, err
}

func (c *conn) close() {
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

func (c *conn) read(keep bool) (int, []byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, errors.New("bad status line")
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, err
	}
	cl := int64(-1)
	chunked, closeAfter := false, false
	for {
		line, err = c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		switch {
		case len(line) > 15 && bytes.EqualFold(line[:15], []byte("Content-Length:")):
			cl, _ = strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64)
		case len(line) > 18 && bytes.EqualFold(line[:18], []byte("Transfer-Encoding:")):
			chunked = bytes.Contains(bytes.ToLower(line[18:]), []byte("chunked"))
		case len(line) > 11 && bytes.EqualFold(line[:11], []byte("Connection:")):
			closeAfter = bytes.Contains(bytes.ToLower(line[11:]), []byte("close"))
		}
	}
	c.body = c.body[:0]
	take := func(n int64) error {
		if keep || status >= 300 {
			off := len(c.body)
			need := off + int(n)
			if cap(c.body) < need {
				nb := make([]byte, off, need*2)
				copy(nb, c.body)
				c.body = nb
			}
			c.body = c.body[:need]
			_, err := io.ReadFull(c.r, c.body[off:])
			return err
		}
		for n > 0 {
			k := n
			if k > 1<<20 {
				k = 1 << 20
			}
			d, err := c.r.Discard(int(k))
			if err != nil {
				return err
			}
			n -= int64(d)
		}
		return nil
	}
	switch {
	case status == 204 || status == 304:
	case chunked:
		for {
			line, err = c.r.ReadSlice('\n')
			if err != nil {
				return 0, nil, err
			}
			s := strings.TrimSpace(string(line))
			if i := strings.IndexByte(s, ';'); i >= 0 {
				s = s[:i]
			}
			n, err := strconv.ParseInt(s, 16, 64)
			if err != nil {
				return 0, nil, err
			}
			if n > 0 {
				if err := take(n); err != nil {
					return 0, nil, err
				}
			}
			if _, err := c.r.Discard(2); err != nil {
				return 0, nil, err
			}
			if n == 0 {
				break
			}
		}
	case cl > 0:
		if err := take(cl); err != nil {
			return 0, nil, err
		}
	case cl < 0:
		b, err := io.ReadAll(c.r)
		if err != nil {
			return 0, nil, err
		}
		c.body = append(c.body, b...)
		closeAfter = true
	}
	if closeAfter {
		c.close()
	}
	return status, c.body, nil
}

var authHeader string

func login() {
	authHeader = *authFlag
	if *tokenURL == "" {
		return
	}
	v := url.Values{"grant_type": {"client_credentials"}, "client_id": {*clientID}, "client_secret": {*clientSec}}
	if *scope != "" {
		v.Set("scope", *scope)
	}
	res, err := http.PostForm(*tokenURL, v)
	if err != nil {
		fatal(err)
	}
	defer res.Body.Close()
	var m struct {
		AccessToken string `json:"access_token"`
	}
	b, _ := io.ReadAll(res.Body)
	if json.Unmarshal(b, &m); m.AccessToken == "" {
		fatal(fmt.Errorf("no token: %s", b))
	}
	authHeader = "Bearer " + m.AccessToken
}

// ---------- data ----------

type patient struct {
	ID     string   `json:"id"`
	Family string   `json:"family"`
	Codes  []string `json:"codes"`
}

type prepared struct {
	body    []byte
	n       int
	family  string
	codes   []string
	patient bool
}

var syll = []string{"ba", "ber", "cor", "dan", "el", "fer", "gar", "hol", "in", "jo", "kel", "lan", "mor", "nor", "ol", "per", "quin", "ros", "sal", "ter", "ul", "ver", "wil", "yor", "zan"}

func surname(r *rand.Rand) string {
	s := syll[r.Intn(len(syll))] + syll[r.Intn(len(syll))] + []string{"", "son", "ez", "man", "ski"}[r.Intn(5)]
	return strings.ToUpper(s[:1]) + s[1:]
}

func given(r *rand.Rand) string {
	s := syll[r.Intn(len(syll))] + []string{"a", "o", "y", "ie", "an"}[r.Intn(5)]
	return strings.ToUpper(s[:1]) + s[1:]
}

func uuid(r *rand.Rand) string {
	b := make([]byte, 16)
	r.Read(b)
	return fmt.Sprintf("%x-%x-4%x-a%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])[:36]
}

// patientJSON gives a Patient of about 2 KB, US Core shaped.
func patientJSON(r *rand.Rand, id string) ([]byte, string) {
	fam := surname(r)
	p := map[string]any{
		"resourceType": "Patient",
		"text":         map[string]any{"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Generated for a load test</div>"},
		"extension": []any{
			map[string]any{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", "extension": []any{
				map[string]any{"url": "ombCategory", "valueCoding": map[string]any{"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3", "display": "White"}},
				map[string]any{"url": "text", "valueString": "White"}}},
			map[string]any{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity", "extension": []any{
				map[string]any{"url": "ombCategory", "valueCoding": map[string]any{"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2186-5", "display": "Not Hispanic or Latino"}},
				map[string]any{"url": "text", "valueString": "Not Hispanic or Latino"}}},
			map[string]any{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"},
		},
		"identifier": []any{
			map[string]any{"type": map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR", "display": "Medical Record Number"}}, "text": "Medical Record Number"}, "system": "http://hospital.smarthealthit.org", "value": uuid(r)},
			map[string]any{"type": map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS", "display": "Social Security Number"}}, "text": "Social Security Number"}, "system": "http://hl7.org/fhir/sid/us-ssn", "value": fmt.Sprintf("999-%02d-%04d", r.Intn(100), r.Intn(10000))},
		},
		"active":               true,
		"name":                 []any{map[string]any{"use": "official", "family": fam, "given": []any{given(r), given(r)}, "prefix": []any{"Ms."}}},
		"telecom":              []any{map[string]any{"system": "phone", "value": fmt.Sprintf("555-%03d-%04d", r.Intn(1000), r.Intn(10000)), "use": "home"}, map[string]any{"system": "email", "value": strings.ToLower(fam) + fmt.Sprint(r.Intn(99999)) + "@example.com"}},
		"gender":               []string{"female", "male"}[r.Intn(2)],
		"birthDate":            fmt.Sprintf("%04d-%02d-%02d", 1930+r.Intn(90), 1+r.Intn(12), 1+r.Intn(28)),
		"address":              []any{map[string]any{"line": []any{fmt.Sprintf("%d Main Street", r.Intn(9999))}, "city": "Springfield", "state": "MA", "postalCode": fmt.Sprintf("%05d", r.Intn(99999)), "country": "US"}},
		"maritalStatus":        map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}}, "text": "Married"},
		"multipleBirthBoolean": false,
		"communication":        []any{map[string]any{"language": map[string]any{"coding": []any{map[string]any{"system": "urn:ietf:bcp:47", "code": "en-US", "display": "English"}}, "text": "English"}}},
	}
	if id != "" {
		p["id"] = id
	}
	b, _ := json.Marshal(p)
	return b, fam
}

func coding(sys, code, disp string) map[string]any {
	return map[string]any{"coding": []any{map[string]any{"system": sys, "code": code, "display": disp}}, "text": disp}
}

// generated bundle for when no Synthea files are at hand
func genBundle(r *rand.Rand, n int) prepared {
	if n == 0 {
		n = 100
	}
	var es []any
	add := func(res map[string]any) string {
		u := "urn:uuid:" + uuid(r)
		es = append(es, map[string]any{"fullUrl": u, "resource": res, "request": map[string]any{"method": "POST", "url": res["resourceType"]}})
		return u
	}
	pb, fam := patientJSON(r, "")
	var pm map[string]any
	json.Unmarshal(pb, &pm)
	pu := add(pm)
	ref := func(u string) map[string]any { return map[string]any{"reference": u} }
	prac := add(map[string]any{"resourceType": "Practitioner", "active": true, "identifier": []any{map[string]any{"system": "http://hl7.org/fhir/sid/us-npi", "value": fmt.Sprint(9000000000 + r.Int63n(999999999))}}, "name": []any{map[string]any{"family": surname(r), "given": []any{given(r)}}}})
	loinc := []string{"8302-2", "29463-7", "39156-5", "85354-9", "4548-4", "2339-0", "6299-2", "38483-4", "49765-1", "6298-4", "2069-3", "20565-8", "2093-3", "2571-8", "18262-6", "2085-9", "33914-3", "72166-2"}
	used := map[string]bool{}
	enc := ""
	day := time.Date(2015, 1, 1, 9, 0, 0, 0, time.UTC)
	for len(es) < n {
		if len(es)%10 == 2 {
			day = day.AddDate(0, 0, 20+r.Intn(90))
			d := day.Format(time.RFC3339)
			enc = add(map[string]any{"resourceType": "Encounter", "status": "finished", "class": map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}, "type": []any{coding("http://snomed.info/sct", "162673000", "General examination of patient (procedure)")}, "subject": ref(pu), "participant": []any{map[string]any{"individual": ref(prac)}}, "period": map[string]any{"start": d, "end": d}})
			continue
		}
		d := day.Format(time.RFC3339)
		switch x := r.Intn(10); {
		case x < 7:
			c := loinc[r.Intn(len(loinc))]
			used["http://loinc.org|"+c] = true
			add(map[string]any{"resourceType": "Observation", "status": "final", "category": []any{coding("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "laboratory")}, "code": coding("http://loinc.org", c, "Measurement "+c), "subject": ref(pu), "encounter": ref(enc), "effectiveDateTime": d, "issued": d, "valueQuantity": map[string]any{"value": float64(r.Intn(20000)) / 100, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}})
		case x == 7:
			add(map[string]any{"resourceType": "Condition", "clinicalStatus": coding("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active"), "verificationStatus": coding("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed", "Confirmed"), "code": coding("http://snomed.info/sct", "44054006", "Diabetes"), "subject": ref(pu), "encounter": ref(enc), "onsetDateTime": d, "recordedDate": d})
		case x == 8:
			add(map[string]any{"resourceType": "MedicationRequest", "status": "active", "intent": "order", "medicationCodeableConcept": coding("http://www.nlm.nih.gov/research/umls/rxnorm", "860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet"), "subject": ref(pu), "encounter": ref(enc), "authoredOn": d, "requester": ref(prac)})
		default:
			add(map[string]any{"resourceType": "Procedure", "status": "completed", "code": coding("http://snomed.info/sct", "430193006", "Medication Reconciliation (procedure)"), "subject": ref(pu), "encounter": ref(enc), "performedPeriod": map[string]any{"start": d, "end": d}})
		}
	}
	b, _ := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": es})
	var cs []string
	for c := range used {
		cs = append(cs, c)
	}
	sort.Strings(cs)
	return prepared{body: b, n: len(es), family: fam, codes: cs}
}

func walkRefs(v any, f func(m map[string]any, ref string)) {
	switch x := v.(type) {
	case map[string]any:
		if s, ok := x["reference"].(string); ok {
			f(x, s)
		}
		for _, y := range x {
			walkRefs(y, f)
		}
	case []any:
		for _, y := range x {
			walkRefs(y, f)
		}
	}
}

// loadSynthea reads the files; each becomes a self-contained transaction of at most max entries
// (first entries whose references resolve inside the cut; conditional references become display only).
func loadSynthea(glob string, max int) []map[string]any {
	fs, _ := filepath.Glob(glob)
	sort.Strings(fs)
	var out []map[string]any
	for _, f := range fs {
		fh, err := os.Open(f)
		if err != nil {
			fatal(err)
		}
		var rd io.Reader = fh
		if strings.HasSuffix(f, ".gz") {
			if rd, err = gzip.NewReader(fh); err != nil {
				fatal(err)
			}
		}
		dec := json.NewDecoder(rd)
		dec.UseNumber()
		var b map[string]any
		err = dec.Decode(&b)
		fh.Close()
		if err != nil || b["resourceType"] != "Bundle" {
			continue
		}
		es, _ := b["entry"].([]any)
		have := map[string]bool{}
		var keep []any
		hasPatient := false
		for _, e := range es {
			em := e.(map[string]any)
			res, _ := em["resource"].(map[string]any)
			fu, _ := em["fullUrl"].(string)
			if res == nil {
				continue
			}
			ok := true
			walkRefs(res, func(m map[string]any, ref string) {
				if strings.Contains(ref, "?") {
					delete(m, "reference")
					if _, d := m["display"]; !d {
						m["display"] = "external"
					}
					return
				}
				if strings.HasPrefix(ref, "urn:") && ref != fu && !have[ref] {
					ok = false
				}
			})
			if !ok && max > 0 {
				continue
			}
			rt := res["resourceType"].(string)
			if rt == "Patient" {
				if hasPatient {
					continue
				}
				hasPatient = true
			}
			delete(res, "id")
			have[fu] = true
			keep = append(keep, map[string]any{"fullUrl": fu, "resource": res, "request": map[string]any{"method": "POST", "url": rt}})
			if max > 0 && len(keep) >= max {
				break
			}
		}
		if !hasPatient || (max > 0 && len(keep) < max*9/10) {
			continue
		}
		out = append(out, map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": keep})
	}
	return out
}

func prepareFromSynthea(b map[string]any, r *rand.Rand) prepared {
	p := prepared{}
	used := map[string]bool{}
	es := b["entry"].([]any)
	for _, e := range es {
		res := e.(map[string]any)["resource"].(map[string]any)
		switch res["resourceType"] {
		case "Patient":
			p.family = surname(r)
			res["name"] = []any{map[string]any{"use": "official", "family": p.family, "given": []any{given(r), given(r)}}}
			res["birthDate"] = fmt.Sprintf("%04d-%02d-%02d", 1930+r.Intn(80), 1+r.Intn(12), 1+r.Intn(28))
		case "Observation":
			if cc, ok := res["code"].(map[string]any); ok {
				if cs, ok := cc["coding"].([]any); ok && len(cs) > 0 {
					c := cs[0].(map[string]any)
					used[fmt.Sprint(c["system"], "|", c["code"])] = true
				}
			}
		}
	}
	for c := range used {
		p.codes = append(p.codes, c)
	}
	sort.Strings(p.codes)
	p.n = len(es)
	p.body, _ = json.Marshal(b)
	return p
}

// ---------- process accounting ----------

type procGroup struct {
	name string
	pid  int
}

func procGroups() (gs []procGroup) {
	for _, s := range strings.Split(*procsFlag, ";") {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			continue
		}
		for _, x := range strings.Split(v, ",") {
			n, _ := strconv.Atoi(strings.TrimSpace(x))
			gs = append(gs, procGroup{k, n})
		}
	}
	return
}

type usage struct {
	cpu float64 // seconds
	rss int64   // bytes
}

func sampleProcs(gs []procGroup) map[string]usage {
	if len(gs) == 0 {
		return nil
	}
	type st struct {
		ppid int
		cpu  float64
		rss  int64
	}
	all := map[int]st{}
	kids := map[int][]int{}
	ds, _ := os.ReadDir("/proc")
	for _, d := range ds {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue
		}
		i := bytes.LastIndexByte(b, ')')
		f := strings.Fields(string(b[i+2:]))
		ppid, _ := strconv.Atoi(f[1])
		var t float64
		for _, k := range []int{11, 12, 13, 14} {
			x, _ := strconv.ParseFloat(f[k], 64)
			t += x
		}
		rss, _ := strconv.ParseInt(f[21], 10, 64)
		all[pid] = st{ppid, t / 100, rss * 4096}
		kids[ppid] = append(kids[ppid], pid)
	}
	out := map[string]usage{}
	for _, g := range gs {
		u := out[g.name]
		stack := []int{g.pid}
		for len(stack) > 0 {
			p := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			u.cpu += all[p].cpu
			u.rss += all[p].rss
			stack = append(stack, kids[p]...)
		}
		out[g.name] = u
	}
	return out
}

func dbsize() int64 {
	if *dbsizeCmd == "" {
		return 0
	}
	b, err := exec.Command("bash", "-c", *dbsizeCmd).Output()
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// ---------- runner ----------

type result struct {
	Label   string             `json:"label"`
	Op      string             `json:"op"`
	Conns   int                `json:"conns"`
	N       int                `json:"n"`
	Errors  int                `json:"errors"`
	Seconds float64            `json:"seconds"`
	RPS     float64            `json:"rps"`
	P50     float64            `json:"p50_ms"`
	P95     float64            `json:"p95_ms"`
	P99     float64            `json:"p99_ms"`
	Max     float64            `json:"max_ms"`
	Extra   map[string]float64 `json:"extra,omitempty"`
	FirstE  string             `json:"first_error,omitempty"`
}

var results []result
var outFile *os.File

type opFunc func(w int, c *conn, r *rand.Rand) (status int, body []byte, extra int, err error)

var targets []target

func runCell(name string, conns int, dur time.Duration, limit int64, f opFunc) result {
	gs := procGroups()
	run := func(d time.Duration, limit int64, record bool) result {
		lats := make([][]int64, conns)
		var errsN, extraN, done int64
		var firstErr atomic.Value
		var wg sync.WaitGroup
		before := sampleProcs(gs)
		selfBefore := selfCPU()
		start := time.Now()
		end := start.Add(d)
		for w := 0; w < conns; w++ {
			wg.Add(1)
			go func(w int) {
				defer wg.Done()
				c := &conn{t: targets[w%len(targets)]}
				defer c.close()
				r := rand.New(rand.NewSource(*rseed*1000003 + int64(w)*7919 + time.Now().UnixNano()))
				for {
					if limit > 0 {
						if atomic.AddInt64(&done, 1) > limit {
							return
						}
					} else if time.Now().After(end) {
						return
					}
					t0 := time.Now()
					st, body, ex, err := f(w, c, r)
					el := time.Since(t0).Nanoseconds()
					if err != nil || st >= 300 {
						atomic.AddInt64(&errsN, 1)
						if err == nil {
							if len(body) > 300 {
								body = body[:300]
							}
							err = fmt.Errorf("status %d: %s", st, body)
						}
						firstErr.CompareAndSwap(nil, err.Error())
						continue
					}
					atomic.AddInt64(&extraN, int64(ex))
					lats[w] = append(lats[w], el)
				}
			}(w)
		}
		wg.Wait()
		el := time.Since(start).Seconds()
		selfAfter := selfCPU()
		after := sampleProcs(gs)
		var all []int64
		for _, l := range lats {
			all = append(all, l...)
		}
		sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
		pct := func(p float64) float64 {
			if len(all) == 0 {
				return 0
			}
			i := int(p * float64(len(all)))
			if i >= len(all) {
				i = len(all) - 1
			}
			return float64(all[i]) / 1e6
		}
		res := result{Label: *label, Op: name, Conns: conns, N: len(all), Errors: int(errsN), Seconds: el, RPS: float64(len(all)) / el, P50: pct(.5), P95: pct(.95), P99: pct(.99), Max: pct(1), Extra: map[string]float64{}}
		if e, ok := firstErr.Load().(string); ok {
			res.FirstE = e
		}
		if extraN > 0 {
			res.Extra["units"] = float64(extraN)
			res.Extra["units_per_s"] = float64(extraN) / el
		}
		for k, u := range after {
			res.Extra["cpu_"+k+"_cores"] = (u.cpu - before[k].cpu) / el
			res.Extra["rss_"+k+"_mb"] = float64(u.rss) / 1048576
			if len(all) > 0 {
				res.Extra["cpu_"+k+"_ms_per_op"] = (u.cpu - before[k].cpu) * 1000 / float64(len(all))
			}
		}
		res.Extra["cpu_loadgen_cores"] = (selfAfter - selfBefore) / el
		return res
	}
	if *warmFlag > 0 && limit == 0 {
		run(*warmFlag, 0, false)
	}
	res := run(dur, limit, true)
	return res
}

func selfCPU() float64 {
	b, _ := os.ReadFile("/proc/self/stat")
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+2:]))
	u, _ := strconv.ParseFloat(f[11], 64)
	s, _ := strconv.ParseFloat(f[12], 64)
	return (u + s) / 100
}

func report(r result) {
	results = append(results, r)
	b, _ := json.Marshal(r)
	if outFile != nil {
		fmt.Fprintln(outFile, string(b))
	}
	ks := make([]string, 0, len(r.Extra))
	for k := range r.Extra {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	var sb strings.Builder
	for _, k := range ks {
		if strings.HasSuffix(k, "ms_per_op") {
			fmt.Fprintf(&sb, " %s=%.3f", k, r.Extra[k])
		} else {
			fmt.Fprintf(&sb, " %s=%.2f", k, r.Extra[k])
		}
	}
	fmt.Printf("%-12s conns=%-3d n=%-7d err=%-4d rps=%-9.1f p50=%-8.2f p95=%-8.2f p99=%-8.2f max=%-8.1f%s\n", r.Op, r.Conns, r.N, r.Errors, r.RPS, r.P50, r.P95, r.P99, r.Max, sb.String())
	if r.FirstE != "" {
		fmt.Println("   first error:", r.FirstE)
	}
}

func ints(s string) (out []int) {
	for _, x := range strings.Split(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(x))
		if err == nil {
			out = append(out, n)
		}
	}
	return
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "fhirbench:", err)
	os.Exit(1)
}

var reLoc = regexp.MustCompile(`"location"\s*:\s*"[^"]*Patient/([A-Za-z0-9\-.]{1,64})`)
var reID = regexp.MustCompile(`"id"\s*:\s*"([A-Za-z0-9\-.]{1,64})"`)

func main() {
	flag.Parse()
	if *reportFlag != "" {
		printReport(*reportFlag)
		return
	}
	for _, b := range strings.Split(*baseFlag, ",") {
		targets = append(targets, parseTarget(b))
	}
	login()
	if *outFlag != "" {
		f, err := os.OpenFile(*outFlag, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			fatal(err)
		}
		outFile = f
	}
	r := rand.New(rand.NewSource(*rseed))
	if *stateFlag == "" {
		r = rand.New(rand.NewSource(*rseed))
	}
	var pats []patient   // from bundles: have observations
	var created []string // from create op
	var mu sync.Mutex
	if *stateFlag != "" {
		if b, err := os.ReadFile(*stateFlag); err == nil {
			var s struct {
				Pats    []patient
				Created []string
			}
			json.Unmarshal(b, &s)
			pats, created = s.Pats, s.Created
		}
	}
	var base []map[string]any
	if *bundGlob != "" {
		base = loadSynthea(*bundGlob, *entries)
		if len(base) == 0 {
			fatal(errors.New("no bundles matched"))
		}
	}
	k := 0
	prep := func() prepared {
		if base == nil {
			return genBundle(r, *entries)
		}
		p := prepareFromSynthea(base[k%len(base)], r)
		k++
		return p
	}
	importBundles := func(op string, conns, n int, timed bool) {
		ps := make([]prepared, n)
		var bytesN int64
		for i := range ps {
			ps[i] = prep()
			bytesN += int64(len(ps[i].body))
		}
		runtime.GC()
		before := dbsize()
		var next int64
		res := runCell(op, conns, 0, int64(n), func(w int, c *conn, r *rand.Rand) (int, []byte, int, error) {
			p := ps[atomic.AddInt64(&next, 1)-1]
			st, b, err := c.do("POST", "", p.body, true)
			if err == nil && st < 300 {
				if m := reLoc.FindSubmatch(b); m != nil {
					mu.Lock()
					pats = append(pats, patient{string(m[1]), p.family, p.codes})
					mu.Unlock()
				}
			}
			return st, b, p.n, err
		})
		after := dbsize()
		res.Extra["request_bytes"] = float64(bytesN)
		if u := res.Extra["units"]; u > 0 {
			res.Extra["json_bytes_per_resource"] = float64(bytesN) / u
			if before > 0 {
				res.Extra["db_bytes_per_resource"] = float64(after-before) / u
			}
		}
		if timed {
			report(res)
		} else {
			fmt.Printf("seeded %d bundles, %.0f resources in %.1fs (%d errors) %s\n", res.N, res.Extra["units"], res.Seconds, res.Errors, res.FirstE)
		}
	}
	ops := strings.Split(*opsFlag, ",")
	if *seedFlag > 0 {
		importBundles("seed", 4, *seedFlag, false)
	}
	esc := url.QueryEscape
	for _, op := range ops {
		switch op {
		case "bundle":
			for _, c := range ints(*bconns) {
				importBundles("bundle", c, *nBundles, true)
			}
		case "create":
			for _, c := range ints(*connsFlag) {
				before := dbsize()
				res := runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					b, _ := patientJSON(r, "")
					st, body, err := cn.do("POST", "/Patient", b, true)
					if err == nil && st < 300 {
						if m := reID.FindSubmatch(body); m != nil {
							mu.Lock()
							created = append(created, string(m[1]))
							mu.Unlock()
						}
					}
					return st, body, 1, err
				})
				if a := dbsize(); before > 0 && res.N > 0 {
					// includes the warm-up rows; scaled by time
					res.Extra["db_bytes_per_resource"] = float64(a-before) / (float64(res.N) * (1 + warmFlag.Seconds()/durFlag.Seconds()))
				}
				report(res)
			}
		case "read":
			ids := append([]string{}, created...)
			for _, p := range pats {
				ids = append(ids, p.ID)
			}
			if len(ids) == 0 {
				fatal(errors.New("no ids to read"))
			}
			for _, c := range ints(*connsFlag) {
				report(runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					st, b, err := cn.do("GET", "/Patient/"+ids[r.Intn(len(ids))], nil, false)
					return st, b, 0, err
				}))
			}
		case "update":
			if len(created) < 64 {
				fatal(errors.New("create first"))
			}
			for _, c := range ints(*connsFlag) {
				report(runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					n := len(created) / c
					id := created[w*n+r.Intn(n)]
					b, _ := patientJSON(r, id)
					st, body, err := cn.do("PUT", "/Patient/"+id, b, false)
					return st, body, 0, err
				}))
			}
		case "search-obs":
			var ps []patient
			for _, p := range pats {
				if len(p.Codes) > 0 {
					ps = append(ps, p)
				}
			}
			if len(ps) == 0 {
				fatal(errors.New("no observations known"))
			}
			for _, c := range ints(*connsFlag) {
				report(runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					p := ps[r.Intn(len(ps))]
					st, b, err := cn.do("GET", "/Observation?patient=Patient/"+p.ID+"&code="+esc(p.Codes[r.Intn(len(p.Codes))])+"&_count=20", nil, false)
					return st, b, 0, err
				}))
			}
		case "search-name":
			for _, c := range ints(*connsFlag) {
				report(runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					st, b, err := cn.do("GET", "/Patient?name="+surname(r)+"&_count=20", nil, false)
					return st, b, 0, err
				}))
			}
		case "chart":
			// what opening one chart asks for: 8 requests one after another on one connection
			for _, c := range ints(*connsFlag) {
				report(runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					p := pats[r.Intn(len(pats))]
					q := "patient=Patient/" + p.ID
					for _, u := range []string{"/Patient/" + p.ID, "/Condition?" + q + "&_count=100", "/MedicationRequest?" + q + "&_count=100", "/AllergyIntolerance?" + q + "&_count=100", "/Immunization?" + q + "&_count=100", "/Encounter?" + q + "&_sort=-date&_count=20", "/Observation?" + q + "&category=vital-signs&_sort=-date&_count=50", "/Observation?" + q + "&category=laboratory&_sort=-date&_count=50"} {
						st, b, err := cn.do("GET", u, nil, false)
						if err != nil || st >= 300 {
							return st, b, 0, err
						}
					}
					return 200, nil, 8, nil
				}))
			}
		case "raw":
			// GET of the base URL itself: for trivial handlers
			for _, c := range ints(*connsFlag) {
				report(runCell(op, c, *durFlag, 0, func(w int, cn *conn, r *rand.Rand) (int, []byte, int, error) {
					st, b, err := cn.do("GET", "/", nil, false)
					return st, b, 0, err
				}))
			}
		default:
			fatal(fmt.Errorf("unknown op %q", op))
		}
	}
	if *stateFlag != "" {
		b, _ := json.Marshal(map[string]any{"Pats": pats, "Created": created})
		os.WriteFile(*stateFlag, b, 0o644)
	}
	fmt.Printf("\n| %s | conns | RPS | p50 ms | p95 ms | p99 ms | errors | note |\n|---|---|---|---|---|---|---|---|\n", *label)
	for _, x := range results {
		note := ""
		if v := x.Extra["units_per_s"]; v > 0 && x.Op != "create" {
			note = fmt.Sprintf("%.0f %s/s", v, map[string]string{"bundle": "resources", "chart": "requests"}[x.Op])
		}
		if v := x.Extra["db_bytes_per_resource"]; v > 0 {
			note += fmt.Sprintf(" %.0f DB bytes/resource", v)
		}
		fmt.Printf("| %s | %d | %.1f | %.2f | %.2f | %.2f | %d | %s |\n", x.Op, x.Conns, x.RPS, x.P50, x.P95, x.P99, x.Errors, note)
	}
}
