package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
)

// printReport prints the table of the results in a file. Of the turns of a cell the median counts; the ratio is that of each turn to
// the turn of the first label beside it, so that noise which lasts longer than a turn falls out of it.
func printReport(path string) {
	f, err := os.Open(path)
	if err != nil {
		fatal(err)
	}
	defer f.Close()
	type cell struct {
		op    string
		conns int
	}
	var labels []string
	var cells []cell
	by := map[cell]map[string][]result{}
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var r result
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			fatal(err)
		}
		c := cell{r.Op, r.Conns}
		if by[c] == nil {
			by[c] = map[string][]result{}
			cells = append(cells, c)
		}
		known := false
		for _, l := range labels {
			known = known || l == r.Label
		}
		if !known {
			labels = append(labels, r.Label)
		}
		by[c][r.Label] = append(by[c][r.Label], r)
	}
	if len(labels) == 0 {
		fatal(fmt.Errorf("%s holds no results", path))
	}
	first := labels[0]
	fmt.Printf("| | connections | | per second | of %s | p50 ms | p95 ms | p99 ms | CPU ms an operation | its database | bytes a resource | MB resident | errors |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n", first)
	for _, c := range cells {
		for _, l := range labels {
			turns := by[c][l]
			if len(turns) == 0 {
				continue
			}
			pick := func(of func(r result) float64) float64 {
				var all []float64
				for _, r := range turns {
					all = append(all, of(r))
				}
				return median(all)
			}
			var ratios []float64
			errors := 0
			for i, r := range turns {
				errors += r.Errors
				if i < len(by[c][first]) && by[c][first][i].RPS > 0 {
					ratios = append(ratios, r.RPS/by[c][first][i].RPS)
				}
			}
			rate := pick(func(r result) float64 {
				if c.op == "bundle" || c.op == "chart" {
					return r.Extra["units_per_s"]
				}
				return r.RPS
			})
			fmt.Printf("| %s | %d | %s | %.0f | %.2f | %.2f | %.1f | %.1f | %.3f | %.3f | %.0f | %.0f | %d |\n", c.op, c.conns, l, rate, median(ratios),
				pick(func(r result) float64 { return r.P50 }), pick(func(r result) float64 { return r.P95 }), pick(func(r result) float64 { return r.P99 }),
				pick(func(r result) float64 { return r.Extra["cpu_server_ms_per_op"] }), pick(func(r result) float64 { return r.Extra["cpu_pg_ms_per_op"] }),
				pick(func(r result) float64 { return r.Extra["db_bytes_per_resource"] }), pick(func(r result) float64 { return r.Extra["rss_server_mb"] }), errors)
		}
	}
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sort.Float64s(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}
