package fhirapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

func bundleOf(kind string, entries ...string) string {
	return `{"resourceType":"Bundle","type":"` + kind + `","entry":[` + strings.Join(entries, ",") + `]}`
}

func entryOf(method, url, resource string, more ...string) string {
	e := `{"request":{"method":"` + method + `","url":"` + url + `"`
	full := ""
	for _, m := range more {
		if v, ok := strings.CutPrefix(m, "fullUrl="); ok {
			full = `"fullUrl":"` + v + `",`
			continue
		}
		name, v, _ := strings.Cut(m, "=")
		e += `,"` + name + `":` + fmt.Sprintf("%q", v)
	}
	e += "}"
	if resource != "" {
		e += `,"resource":` + resource
	}
	return strings.Replace(e, "{", "{"+full, 1) + "}"
}

// statuses are the statuses of an answer Bundle.
func statuses(t *testing.T, r reply) (out []string) {
	t.Helper()
	for _, e := range r.json(t)["entry"].([]any) {
		s, _ := e.(map[string]any)["response"].(map[string]any)["status"].(string)
		out = append(out, s[:3])
	}
	return out
}

func observation(id, patient, code string) string {
	if id != "" {
		id = `"id":"` + id + `",`
	}
	return `{"resourceType":"Observation",` + id + `"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"` + code + `"}]},"subject":{"reference":"` + patient + `"},"valueQuantity":{"value":1.50,"unit":"kg"}}`
}

func TestTransactionOrder(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", ann)
		r := k.must(200, "system", "POST", "", bundleOf("transaction",
			entryOf("GET", "Patient/ann", ""),
			entryOf("GET", "Observation?subject=Patient/ann&_total=accurate", ""),
			entryOf("PATCH", "Patient/ann", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"add"},{"name":"path","valueString":"Patient"},{"name":"name","valueString":"managingOrganization"},{"name":"value","valueReference":{"reference":"urn:uuid:org"}}]}]}`),
			entryOf("POST", "Observation", observation("", "Patient/ann", "1-1"), "fullUrl=urn:uuid:o"),
			entryOf("POST", "Organization", `{"resourceType":"Organization","name":"North"}`, "fullUrl=urn:uuid:org"),
			entryOf("GET", "Patient/ann/_history", ""),
		))
		if got := strings.Join(statuses(t, r), " "); got != "200 200 200 201 201 200" {
			t.Errorf("statuses %s\n%s", got, r.body)
		}
		entries := r.json(t)["entry"].([]any)
		first := entries[0].(map[string]any)["resource"].(map[string]any)
		if ref, _ := first["managingOrganization"].(map[string]any)["reference"].(string); !strings.HasPrefix(ref, "Organization/") {
			t.Errorf("the reference in the patch was not rewritten: %v", first)
		}
		if n := entries[1].(map[string]any)["resource"].(map[string]any)["total"]; n != 1.0 {
			t.Errorf("the search does not see the writes before it: %v", entries[1])
		}
		seen := map[string]int{}
		for _, e := range k.events(30) {
			seen[e.Action+" "+e.Type]++
		}
		for _, want := range []string{"create Observation", "create Organization", "update Patient", "read Patient", "search Observation"} {
			if seen[want] == 0 {
				t.Errorf("not in the audit: %s; there are %v", want, seen)
			}
		}
	})
}

// ward owns Appointments: it takes no more than one for a slot.
type ward struct{ store *fhirstore.Store }

// oneByOne is what a unique row of bookings is to the real owner: entries of a batch run side by side.
var oneByOne = db.SQL(`INSERT INTO fhir_lock (practice_id, slot) VALUES ($1, -4711) ON CONFLICT (practice_id, slot) DO UPDATE SET slot = excluded.slot`)

func (w *ward) check(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared) error {
	if _, err := tx.Exec(ctx, oneByOne, int64(tx.Practice())); err != nil {
		return err
	}
	found, err := w.store.Find(ctx, tx, "Appointment", "status", "booked")
	if err == nil && len(found) > 0 {
		err = fhir.Problem("conflict", "The slot is taken.", "Choose another.")
	}
	return err
}

func (w *ward) Create(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared) (*fhirstore.Resource, error) {
	if err := w.check(ctx, tx, p); err != nil {
		return nil, err
	}
	return w.store.Create(ctx, tx, p)
}

func (w *ward) Update(ctx context.Context, tx *db.Tx, p *fhirstore.Prepared, ifVersion int64) (*fhirstore.Resource, error) {
	if err := w.check(ctx, tx, p); err != nil {
		return nil, err
	}
	return w.store.Update(ctx, tx, p, ifVersion)
}

func (w *ward) Delete(ctx context.Context, tx *db.Tx, typ, id string, ifVersion int64) error {
	return fhir.Problem("business-rule", "Appointments are cancelled, not deleted.", "Set the status to cancelled.")
}

func TestOwnersHoldEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		k := deskOn(t, d, func(o *Options) { o.Owners = map[string]Owner{"Appointment": &ward{o.Store}} })
		const appointment = `{"resourceType":"Appointment","status":"booked","participant":[{"status":"accepted","actor":{"reference":"Patient/ann"}}]}`
		k.must(201, "system", "PUT", "Patient/ann", ann)
		r := k.must(409, "system", "POST", "", bundleOf("transaction",
			entryOf("PUT", "Patient/bob", `{"resourceType":"Patient","id":"bob"}`), entryOf("POST", "Appointment", appointment), entryOf("POST", "Appointment", appointment)))
		if !strings.Contains(r.body, "Bundle.entry[2]") || !strings.Contains(r.body, "slot is taken") {
			t.Errorf("%s", r.body)
		}
		k.must(404, "system", "GET", "Patient/bob", "") // nothing half-written
		r = k.must(200, "system", "POST", "", bundleOf("batch", entryOf("POST", "Appointment", appointment), entryOf("POST", "Appointment", appointment)))
		if got := statuses(t, r); got[0]+got[1] != "201409" && got[0]+got[1] != "409201" {
			t.Errorf("%v", got)
		}
		k.must(409, "system", "POST", "Appointment", appointment)
		r = k.must(200, "system", "GET", "Appointment", "")
		id := r.json(t)["entry"].([]any)[0].(map[string]any)["resource"].(map[string]any)["id"].(string)
		k.must(422, "system", "DELETE", "Appointment/"+id, "")
		k.must(422, "system", "DELETE", "Appointment?status=booked", "")
		k.must(422, "system", "POST", "", bundleOf("transaction", entryOf("DELETE", "Appointment/"+id, "")))
		k.must(409, "system", "PATCH", "Appointment/"+id, `[{"op":"add","path":"/priority","value":1}]`, "Content-Type: application/json-patch+json")
	})
}

func TestBatch(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", ann)
		r := k.must(200, "system", "POST", "", bundleOf("batch",
			entryOf("GET", "Patient/ann", ""),
			entryOf("GET", "Patient?birthdate=1970-03&_elements=id", ""),
			entryOf("POST", "Observation", observation("", "Patient/ann", "1-1")),
			entryOf("POST", "Observation", `{"resourceType":"Observation"}`),
			entryOf("GET", "Patient/none", ""),
			entryOf("PUT", "Patient/ann", ann, `ifMatch=W/"7"`),
			entryOf("PATCH", "Patient/ann", `{"resourceType":"Binary","contentType":"application/json-patch+json","data":"W10="}`),
			entryOf("DELETE", "Patient/never", ""),
			entryOf("GET", "Patient/ann", "", `ifNoneMatch=W/"2"`),
			entryOf("GET", "https://elsewhere.example.org/Patient/ann", ""),
			entryOf("GET", "Pirate", ""),
		))
		if got := strings.Join(statuses(t, r), " "); got != "200 200 201 400 404 412 200 404 304 400 404" {
			t.Errorf("statuses %s\n%s", got, r.body)
		}
		if !strings.Contains(r.body, "Bundle.entry[3].resource.Observation.") {
			t.Errorf("a fault has no place:\n%s", r.body)
		}
		k.must(400, "system", "POST", "", bundleOf("searchset"))
		k.must(400, "system", "POST", "", `{"resourceType":"Patient"}`)
		if r := k.must(200, "system", "POST", "", bundleOf("transaction")); !strings.Contains(r.body, "transaction-response") {
			t.Errorf("%s", r.body)
		}
	})
}

func TestTransactionFails(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", ann)
		before := len(k.events(100))
		for name, c := range map[string]struct {
			status int
			place  string
			entry  string
		}{
			"invalid":           {400, "Bundle.entry[1]", entryOf("POST", "Observation", `{"resourceType":"Observation"}`)},
			"unknown reference": {404, "Bundle.entry[1]", entryOf("POST", "Observation", observation("", "urn:uuid:nobody", "1"))},
			"old version":       {412, "Bundle.entry[1]", entryOf("PUT", "Patient/ann", ann, `ifMatch=W/"9"`)},
			"get of nothing":    {404, "Bundle.entry[1]", entryOf("GET", "Patient/none", "")},
			"delete of nothing": {404, "Bundle.entry[1]", entryOf("DELETE", "Patient/none", "")},
			"bad search":        {400, "Bundle.entry[1]", entryOf("GET", "Patient?nome=x", "")},
			"no method":         {400, "Bundle.entry[1]", entryOf("", "Patient/ann", "")},
			"bad patch":         {422, "Bundle.entry[1]", entryOf("PATCH", "Patient/ann", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Patient.photo"},{"name":"value","valueString":"x"}]}]}`)},
		} {
			t.Run(name, func(t *testing.T) {
				r := k.ask("system", "POST", "", bundleOf("transaction", entryOf("PUT", "Patient/bob", `{"resourceType":"Patient","id":"bob"}`), c.entry))
				if r.status != c.status || !strings.Contains(r.body, c.place) || !strings.Contains(r.body, "diagnostics") {
					t.Errorf("status %d, not %d\n%s", r.status, c.status, r.body)
				}
				k.must(404, "system", "GET", "Patient/bob", "")
			})
		}
		for _, e := range k.events(100)[before:] {
			if e.Action == audit.ActionCreate || e.Action == audit.ActionUpdate {
				t.Errorf("a write that did not happen is in the audit: %+v", e)
			}
		}
	})
}

func TestCompartments(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", ann)
		k.must(201, "system", "PUT", "Patient/bob", `{"resourceType":"Patient","id":"bob"}`)
		k.must(201, "system", "PUT", "Practitioner/kind", `{"resourceType":"Practitioner","id":"kind"}`)
		k.must(201, "system", "PUT", "Encounter/e1", `{"resourceType":"Encounter","id":"e1","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/ann"},"participant":[{"individual":{"reference":"Practitioner/kind"}}]}`)
		k.must(201, "system", "PUT", "Observation/o1", observation("o1", "Patient/ann", "1-1"))
		k.must(201, "system", "PUT", "Observation/o2", strings.Replace(observation("o2", "Patient/ann", "2-2"), `"status"`, `"encounter":{"reference":"Encounter/e1"},"status"`, 1))
		k.must(201, "system", "PUT", "Observation/o3", observation("o3", "Patient/bob", "1-1"))
		for path, want := range map[string]string{
			"Patient/ann/Observation":              "o1 o2",
			"Patient/ann/Observation?code=1-1":     "o1",
			"Patient/ann/Encounter":                "e1",
			"Patient/ann/*":                        "e1 o1 o2",
			"Patient/bob/*":                        "o3",
			"Encounter/e1/Observation":             "o2",
			"Encounter/e1/Encounter":               "e1",
			"Practitioner/kind/Encounter":          "e1",
			"Patient/ann/*?_lastUpdated=lt2000":    "",
			"Patient/nobody/Observation":           "",
			"Patient/ann/Observation?subject=bob":  "",
			"Patient/ann/Condition?_summary=count": "",
		} {
			r := k.must(200, "system", "GET", path, "")
			var ids []string
			entries, _ := r.json(t)["entry"].([]any)
			for _, e := range entries {
				ids = append(ids, e.(map[string]any)["resource"].(map[string]any)["id"].(string))
			}
			for _, id := range strings.Fields(want) {
				if !strings.Contains(" "+strings.Join(ids, " ")+" ", " "+id+" ") {
					t.Errorf("%s: %v, without %s", path, ids, id)
				}
			}
			if len(ids) != len(strings.Fields(want)) {
				t.Errorf("%s: %v, want %s", path, ids, want)
			}
		}
		r := k.must(200, "system", "GET", "Patient/ann/*?_count=1", "")
		seen := 0
		for pages := 0; pages < 10; pages++ {
			m := r.json(t)
			entries, _ := m["entry"].([]any)
			seen += len(entries)
			next := linkOf(m, "next")
			if next == "" {
				break
			}
			r = k.must(200, "system", "GET", strings.TrimPrefix(next, "https://ehr.example.org"), "")
		}
		if seen != 3 {
			t.Errorf("paging through everything shows %d", seen)
		}
		k.must(400, "system", "GET", "Patient/ann/*?code=1", "")
		k.must(400, "system", "GET", "Encounter/e1/Patient", "")
		k.must(404, "system", "GET", "Organization/x/Patient", "")
		if r := k.must(200, "system", "POST", "Patient/ann/Observation/_search", "code=1-1", "Content-Type: application/x-www-form-urlencoded"); strings.Count(r.body, `"mode":"match"`) != 1 {
			t.Errorf("%s", r.body)
		}
	})
}

func linkOf(bundle map[string]any, relation string) string {
	links, _ := bundle["link"].([]any)
	for _, l := range links {
		if m := l.(map[string]any); m["relation"] == relation {
			return m["url"].(string)
		}
	}
	return ""
}

// TestManyEntries sends five thousand entries in one transaction: all of them are stored, or with one that is wrong none.
func TestManyEntries(t *testing.T) {
	const many = 5000
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", ann)
		entries := make([]string, many)
		for i := range entries {
			entries[i] = entryOf("POST", "Observation", observation("", "Patient/ann", fmt.Sprint(i%50)))
		}
		wrong := append(entries[:many-1:many-1], entryOf("POST", "Observation", `{"resourceType":"Observation","nonsense":1}`))
		k.must(400, "system", "POST", "", bundleOf("transaction", wrong...))
		if r := k.must(200, "system", "GET", "Observation?_summary=count", ""); !strings.Contains(r.body, `"total":0`) {
			t.Errorf("a part of it was stored: %s", r.body)
		}
		r := k.must(200, "system", "POST", "", bundleOf("transaction", entries...))
		if n := strings.Count(r.body, `"status":"201 Created"`); n != many {
			t.Errorf("%d entries are answered with 201", n)
		}
		if r := k.must(200, "system", "GET", "Observation?_summary=count", ""); !strings.Contains(r.body, `"total":5000`) {
			t.Errorf("stored: %s", r.body)
		}
	})
}
