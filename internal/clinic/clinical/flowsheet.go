package clinical

import (
	"sort"
	"time"
)

// flowRows are the rows of the vitals flowsheet in order. The two blood pressures share one.
var flowRows = []struct{ key, name string }{
	{"bp", "Blood pressure"}, {"hr", "Heart rate"}, {"rr", "Resp. rate"}, {"temp", "Temperature"},
	{"spo2", "SpO₂"}, {"weight", "Weight"}, {"height", "Height"}, {"bmi", "BMI"}, {"pain", "Pain"},
}

// flowsheetOf arranges vital signs, newest first, into at most n columns. Measurements of
// the same minute share a column. A row nothing was ever measured in is left out, except
// for those every visit begins with.
func flowsheetOf(list []observation, n int) Flowsheet {
	type key struct {
		at  int64
		day bool
	}
	var f Flowsheet
	at := map[key]int{}
	var cells []map[string]Cell
	for i := range list {
		o := &list[i]
		if o.When.IsZero() || o.Status == "cancelled" {
			continue
		}
		k := key{o.When.Truncate(time.Minute).Unix(), !o.Precise}
		col, ok := at[k]
		if !ok {
			col = len(f.Columns)
			at[k] = col
			f.Columns = append(f.Columns, Column{When: o.When, Precise: o.Precise, By: o.By})
			cells = append(cells, map[string]Cell{})
		}
		place(cells[col], o)
	}
	order := make([]int, len(f.Columns))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return f.Columns[order[a]].When.After(f.Columns[order[b]].When) })
	// A column whose every value lost to nothing (all unknown codes) is not a column.
	keep := order[:0]
	for _, c := range order {
		if len(cells[c]) > 0 {
			keep = append(keep, c)
		}
	}
	if n > 0 && len(keep) > n {
		keep = keep[:n]
	}
	columns := make([]Column, len(keep))
	for i, c := range keep {
		columns[i] = f.Columns[c]
	}
	f.Columns = columns
	for _, r := range flowRows {
		row := Row{Key: r.key, Name: r.name, Unit: rowUnit(r.key), Cells: make([]Cell, len(keep))}
		any := false
		for i, c := range keep {
			if cell, ok := cells[c][r.key]; ok {
				row.Cells[i], any = cell, true
			}
		}
		if any {
			f.Rows = append(f.Rows, row)
		}
	}
	return f
}

func rowUnit(key string) string {
	if key == "bp" {
		return "mmHg"
	}
	v, _ := VitalByKey(key)
	return v.Show
}

// place writes an observation into the cells of its column; a wrong one never replaces a right one.
func place(cells map[string]Cell, o *observation) {
	wrong := o.Status == "entered-in-error"
	put := func(key string, c Cell) {
		c.ID, c.Version, c.Wrong = o.ID, o.Version, wrong
		if old, ok := cells[key]; ok && (!old.Wrong || wrong) {
			return
		}
		cells[key] = c
	}
	var sys, dia *observation
	parts := o.parts
	if o.Value != "" {
		parts = append([]observation{*o}, parts...)
	}
	for i := range parts {
		p := &parts[i]
		v, ok := vitalByLOINC(p.Code)
		if !ok {
			continue
		}
		switch v.Key {
		case "systolic":
			sys = p
		case "diastolic":
			dia = p
		default:
			text, num := p.Value, p.Num
			if p.Numeric && p.Unit != "" {
				text, num = inUnit(p, v)
			}
			put(v.Key, Cell{Text: text, Num: num, Numeric: p.Numeric, Flag: p.Flag})
		}
	}
	if sys != nil && dia != nil {
		put("bp", Cell{Text: sys.Value + "/" + dia.Value, Num: sys.Num, Numeric: sys.Numeric, Flag: worse(sys.Flag, dia.Flag)})
	}
}

// worse picks the graver of two flags.
func worse(a, b Flag) Flag {
	if b.rank() > a.rank() {
		return b
	}
	return a
}
