package main

// What it costs: processor time and memory of the process trees that are measured, and the size of their database.

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

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
