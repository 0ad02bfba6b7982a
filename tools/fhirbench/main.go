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
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"net/url"
	"os"
	"regexp"
	"runtime"
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
