package main

// One cell of the table: a warm-up, then one operation over some connections for a while.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

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
