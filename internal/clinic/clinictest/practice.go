// Package clinictest gives tests of the clinic a small practice on a real database: two
// sites, two people who see patients, a nurse, a front desk, and patients made on demand.
// All of it is invented.
package clinictest

import (
	"context"
	"fmt"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/clinic/clinical"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
)

// Practice is one practice of a test database, furnished.
type Practice struct {
	*dbtest.DB
	ID       db.PracticeID
	Log      *audit.Log
	Store    *fhirstore.Store
	People   *practice.Profiles
	Patients *patient.Directory
	Book     *scheduling.Book
	Record   *clinical.Record
	Notes    *clinical.Notes
	Events   *jobs.Queue

	Doctor, Other, Nurse, Desk, Biller auth.Staff
}

// Furnish puts the practice into practice 1 of d.
func Furnish(t testing.TB, d *dbtest.DB) *Practice { return FurnishIn(t, d, 1) }

// FurnishIn puts the practice into an empty practice of d.
func FurnishIn(t testing.TB, d *dbtest.DB, id db.PracticeID) *Practice {
	t.Helper()
	p := &Practice{DB: d, ID: id, Log: audit.New(d.DB)}
	p.Wire()
	p.Doctor = auth.AsStaff(id, 11, "Amara Quill, MD", "Practitioner/doc1", auth.Clinician)
	p.Other = auth.AsStaff(id, 12, "Bela Strand, NP", "Practitioner/doc2", auth.Clinician)
	p.Nurse = auth.AsStaff(id, 13, "Noor Vale, RN", "Practitioner/nurse1", auth.Nurse)
	p.Desk = auth.AsStaff(id, 14, "Dot Ferris", "", auth.FrontDesk)
	p.Biller = auth.AsStaff(id, 15, "Bill Marsh", "", auth.Biller)
	p.Put(t, furniture...)
	return p
}

// Wire makes the modules anew over the same database, as a restart would.
func (p *Practice) Wire() {
	p.Store = fhirstore.New(p.DB.DB, p.Log)
	p.Events = jobs.New(p.DB.DB, jobs.Options{})
	p.People = practice.NewProfiles(p.DB.DB, p.Store)
	p.Patients = patient.NewDirectory(p.DB.DB, p.Store)
	p.Book = scheduling.New(p.DB.DB, p.Store, p.People, p.Patients)
	p.Record = clinical.NewRecord(p.DB.DB, p.Store, p.People)
	p.Notes = clinical.NewNotes(clinical.NewDrafts(p.DB.DB, p.Store), p.Record, p.Book, p.Log, p.Events)
}

// Put writes resources as the system would import them and returns their ids.
func (p *Practice) Put(t testing.TB, raw ...string) []string {
	t.Helper()
	ctx := context.Background()
	var ids []string
	err := p.Do(ctx, auth.SystemScope(p.ID, "test"), func(tx *db.Tx) error {
		ids = ids[:0]
		for _, r := range raw {
			q, err := p.Store.Prepare(ctx, []byte(r))
			if err != nil {
				return fmt.Errorf("%w in %s", err, r)
			}
			res, err := p.Store.Update(ctx, tx, q, 0)
			if err != nil {
				return err
			}
			ids = append(ids, res.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// Patient makes a patient and returns the id.
func (p *Practice) Patient(t testing.TB, id, family, given, birth, sex, mrn string) string {
	t.Helper()
	return p.Put(t, fmt.Sprintf(`{"resourceType":"Patient","id":%q,"active":true,
		"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"https://yarrow.health/fhir/NamingSystem/mrn","value":%q}],
		"name":[{"use":"official","family":%q,"given":[%q]}],"birthDate":%q,"gender":%q,
		"telecom":[{"system":"phone","value":"(555) 014-22%02d"}]}`, id, mrn, family, given, birth, sex, len(id)))[0]
}

// Read returns the current JSON of a resource.
func (p *Practice) Read(t testing.TB, typ, id string) *fhirstore.Resource {
	t.Helper()
	var out *fhirstore.Resource
	err := p.View(context.Background(), auth.SystemScope(p.ID, "test"), func(tx *db.Tx) (err error) {
		out, err = p.Store.Read(context.Background(), tx, typ, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Find returns the resources a search gives.
func (p *Practice) Find(t testing.TB, typ string, params ...string) []*fhirstore.Resource {
	t.Helper()
	var out []*fhirstore.Resource
	err := p.View(context.Background(), auth.SystemScope(p.ID, "test"), func(tx *db.Tx) (err error) {
		out, err = p.Store.Find(context.Background(), tx, typ, params...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const zone = `"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/timezone","valueCode":"America/New_York"}]`

var furniture = []string{
	`{"resourceType":"Organization","id":"org1",` + zone + `,"active":true,"type":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/organization-type","code":"prov"}]}],"name":"Millrace Family Health"}`,
	`{"resourceType":"Location","id":"site1","status":"active","name":"Millrace","address":{"line":["1 Mill Lane"],"city":"Ashby","state":"MA","postalCode":"01431"}}`,
	`{"resourceType":"Location","id":"room1","status":"active","name":"Room 1","partOf":{"reference":"Location/site1"}}`,
	`{"resourceType":"Location","id":"site2","status":"active","name":"Riverside"}`,
	`{"resourceType":"Practitioner","id":"doc1","active":true,"name":[{"family":"Quill","given":["Amara"],"suffix":["MD"]}]}`,
	`{"resourceType":"Practitioner","id":"doc2","active":true,"name":[{"family":"Strand","given":["Bela"],"suffix":["NP"]}]}`,
	`{"resourceType":"Practitioner","id":"nurse1","active":true,"name":[{"family":"Vale","given":["Noor"],"suffix":["RN"]}]}`,
	`{"resourceType":"PractitionerRole","id":"role1","active":true,"practitioner":{"reference":"Practitioner/doc1"},"organization":{"reference":"Organization/org1"},
		"code":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/practitioner-role","code":"doctor"}],"text":"Physician"}],"specialty":[{"text":"Family medicine"}],
		"location":[{"reference":"Location/site1"}],"availableTime":[{"daysOfWeek":["mon","tue"],"availableStartTime":"08:00:00","availableEndTime":"17:00:00"}]}`,
	`{"resourceType":"PractitionerRole","id":"role2","active":true,"practitioner":{"reference":"Practitioner/doc2"},"organization":{"reference":"Organization/org1"},
		"code":[{"text":"Nurse practitioner"}],"location":[{"reference":"Location/site1"},{"reference":"Location/site2"}]}`,
	`{"resourceType":"PractitionerRole","id":"role3","active":true,"practitioner":{"reference":"Practitioner/nurse1"},"organization":{"reference":"Organization/org1"},"code":[{"text":"Medical assistant"}]}`,
}
