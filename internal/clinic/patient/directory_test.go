package patient_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/clinic/clinictest"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/standards/fhir"
)

var ctx = context.Background()

func names(t *testing.T, p *clinictest.Practice, text string) string {
	t.Helper()
	hits, err := p.Patients.Search(ctx, p.Desk, text, 10)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, h := range hits {
		out += h.ID
		if h.Alike {
			out += "*"
		}
		out += " "
	}
	return out
}

func TestSearch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		p.Patient(t, "maria", "Okafor-Reyes", "Maria", "1968-03-14", "female", "0048 2913")
		p.Patient(t, "marian", "Okafor", "Marian", "1965-09-02", "female", "00317720")
		p.Patient(t, "mariam", "Okafor", "Mariam", "1970-01-01", "female", "00317721")
		p.Patient(t, "jose", "Núñez", "José", "1990-12-31", "male", "555")
		p.Patient(t, "wei", "Chen", "Wei", "1966-05-06", "male", "777")
		for _, c := range []struct{ text, want string }{
			{"okaf", "mariam* marian* maria "},
			{"marian oka", "marian* "},
			{"OKAFOR, Mariam", "mariam* marian* "[:8]},
			{"okafro", "mariam* marian* maria "},
			{"nunez", "jose "},
			{"jos", "jose "},
			{"nunes", "jose "},
			{"3/14/68", "maria "},
			{"1968-03-14", "maria "},
			{"okafor 3/14/68", "maria "},
			{"0048 2913", "maria "},
			{"00482913", "maria "},
			{"xyzzy", ""},
			{"chen okafor", ""},
		} {
			if got := names(t, p, c.text); got != c.want {
				t.Errorf("%q finds %q, want %q", c.text, got, c.want)
			}
		}
		// The list keeps up with changes, deletions of names included.
		p.Patient(t, "wei", "Zhao", "Wei", "1966-05-06", "male", "777")
		if got := names(t, p, "chen"); got != "" {
			t.Errorf("the former name still finds %q", got)
		}
		if got := names(t, p, "zhao"); got != "wei " {
			t.Errorf("the new name finds %q", got)
		}
		err := d.Do(ctx, auth.SystemScope(1, "test"), func(tx *db.Tx) error { return p.Store.Delete(ctx, tx, "Patient", "wei", 0) })
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, p, "zhao"); got != "" {
			t.Errorf("a deleted patient is found: %q", got)
		}
		hits, _ := p.Patients.Search(ctx, p.Desk, "maria", 10)
		if h := hits[0]; h.Name.Display() != "OKAFOR-REYES, Maria" || h.Age != "57 y" || h.Sex != "F" || h.MRN != "0048 2913" {
			t.Errorf("%+v", h)
		}
		if n, err := p.Patients.Count(ctx, p.Desk); err != nil || n != 4 {
			t.Errorf("%d patients, %v", n, err)
		}
		// Another practice sees nothing of them; a zero scope sees nothing at all.
		if other, err := p.Patients.Search(ctx, auth.AsStaff(2, 1, "x", "", auth.FrontDesk), "okafor", 10); err != nil || len(other) != 0 {
			t.Errorf("practice 2 finds %v %v", other, err)
		}
		if _, err := p.Patients.Search(ctx, auth.Staff{}, "okafor", 10); err == nil {
			t.Error("nobody may search")
		}
	})
}

func TestRestrictedPatientsAreAStubAtTheDesk(t *testing.T) {
	d := dbtest.SQLite(t, nil)
	p := clinictest.Furnish(t, d)
	p.Put(t, `{"resourceType":"Patient","id":"vip","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"name":[{"family":"Quiet","given":["Una"]}],"birthDate":"1980-01-01"}`)
	hits, err := p.Patients.Search(ctx, p.Desk, "quiet", 5)
	if err != nil || len(hits) != 1 || hits[0].ID != "vip" || !hits[0].Closed || hits[0].Name.Family != "Quiet" || hits[0].BirthDate+hits[0].Age+hits[0].Sex+hits[0].MRN+hits[0].Phone != "" || hits[0].Restricted {
		t.Errorf("the front desk finds %+v %v", hits, err)
	}
	// Nothing else than the name is confirmed, nothing is listed or counted, and programs get nothing.
	for _, text := range []string{"1980-01-01", "quiet 1980", ""} {
		if got := names(t, p, text); got != "" {
			t.Errorf("the front desk finds %q by %q", got, text)
		}
	}
	if n, err := p.Patients.Count(ctx, p.Desk); err != nil || n != 0 {
		t.Errorf("counted %d %v", n, err)
	}
	program := auth.AsApp(p.ID, auth.AccessOf(p.Desk))
	if hits, err := p.Patients.Search(ctx, program, "quiet", 5); err != nil || len(hits) != 0 {
		t.Errorf("a program finds %+v %v", hits, err)
	}
	if h, ok, err := p.Patients.Closed(ctx, p.Desk, "vip"); err != nil || !ok || h.Name.Family != "Quiet" {
		t.Errorf("%+v %v %v", h, ok, err)
	}
	if _, ok, err := p.Patients.Closed(ctx, p.Doctor, "vip"); err != nil || ok {
		t.Errorf("closed to a clinician: %v %v", ok, err)
	}
	hits, err = p.Patients.Search(ctx, p.Doctor, "quiet", 5)
	if err != nil || len(hits) != 1 || !hits[0].Restricted {
		t.Errorf("a clinician finds %+v %v", hits, err)
	}
}

func TestRegister(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		p := clinictest.Furnish(t, d)
		in := patient.Demographics{Family: " Okafor-Reyes ", Given: "Maria", BirthDate: "3/14/68", Sex: "female", Phone: "(555) 014-2238", Language: "es"}
		id, err := p.Patients.Register(ctx, p.Desk, in, false)
		if err != nil {
			t.Fatal(err)
		}
		hits, _ := p.Patients.Search(ctx, p.Desk, "okafor", 5)
		if len(hits) != 1 || hits[0].ID != id || hits[0].BirthDate != "1968-03-14" || len(hits[0].MRN) != 8 {
			t.Fatalf("%+v", hits)
		}
		for _, twin := range []patient.Demographics{
			in,
			{Family: "Okafor-Reyes", Given: "Marie", BirthDate: "1968-03-14", Sex: "female"},
			{Family: "Okafor Reyes", Given: "Maria", BirthDate: "1968-03-14", Sex: "female"},
			{Family: "Maria", Given: "Okafor-Reyes", BirthDate: "1968-03-14", Sex: "female"},
			{Family: "Okafor-Reyes", Given: "Maria", BirthDate: "1968-03-15", Sex: "female"},
		} {
			var dup *patient.Duplicates
			if _, err := p.Patients.Register(ctx, p.Desk, twin, false); !errors.As(err, &dup) || len(dup.Hits) != 1 || dup.Hits[0].ID != id {
				t.Errorf("%s %s %s: %v", twin.Family, twin.Given, twin.BirthDate, err)
			}
		}
		if _, err := p.Patients.Register(ctx, p.Desk, in, true); err != nil {
			t.Errorf("confirmed: %v", err)
		}
		var issues fhir.Issues
		_, err = p.Patients.Register(ctx, p.Desk, patient.Demographics{Given: "X", BirthDate: "2/30/1999", Phone: "12"}, false)
		if !errors.As(err, &issues) || len(issues) != 4 {
			t.Errorf("four fields are wrong: %v", err)
		}
		if _, err := p.Patients.Register(ctx, p.Biller, in, true); err == nil {
			t.Error("a biller registered a patient")
		}
		if _, err := p.Patients.Register(ctx, p.Desk, patient.Demographics{Family: "New", Given: "One", BirthDate: "1/1/1999", Sex: "other", MRN: hits[0].MRN}, true); !errors.As(err, &issues) {
			t.Errorf("an MRN twice: %v", err)
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	d := dbtest.SQLite(b, nil)
	p := clinictest.Furnish(b, d)
	for i := range 50 {
		var raw []string
		for j := range 200 {
			n := i*200 + j
			raw = append(raw, fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","name":[{"family":"F%s","given":["G%s"]}],"birthDate":"19%02d-0%d-1%d"}`, n, word(n), word(n*7), n%90+10, n%9+1, n%9))
		}
		p.Put(b, raw...)
	}
	for _, text := range []string{"fab", "fabcdx", "1/1/1950", "12345"} {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Patients.Search(ctx, p.Desk, text, 8); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func word(n int) string {
	out := ""
	for range 5 {
		out += string(rune('a' + n%13))
		n /= 3
	}
	return out
}
