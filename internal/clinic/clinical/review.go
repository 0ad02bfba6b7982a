package clinical

import (
	"context"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// A review is a completed Task that names the results a person has looked at.
const (
	systemTask   = "https://yarrow.health/fhir/CodeSystem/task"
	reviewTask   = "result-review"
	reviewWindow = 30 * 24 * time.Hour // older results no longer ask for attention
)

// ReviewResults records that the person has seen these results of the patient: new ones
// are no longer marked new, critical ones leave the alert bar. It returns the id of the
// Task, for putting it back.
func (r *Record) ReviewResults(ctx context.Context, s auth.Staff, patientID string, observations []string) (string, error) {
	if err := need(s, auth.ResultSign); err != nil {
		return "", err
	}
	if len(observations) == 0 {
		return "", fhir.Problem("required", "No result was chosen.", "Choose at least one.")
	}
	if len(observations) > 200 {
		return "", fhir.Problem("too-long", "More than 200 results at once.", "Review them in parts.")
	}
	c, err := r.Chart(ctx, s, patientID)
	if err != nil {
		return "", err
	}
	known := map[string]bool{}
	for _, res := range c.Results {
		known[res.ID] = true
		for _, p := range res.Trend {
			known[p.ID] = true
		}
	}
	var inputs []fhirjson.Node
	for _, id := range observations {
		if !known[id] {
			return "", otherPatient()
		}
		inputs = append(inputs, fhir.Object("type", fhir.Object("text", "result"), "valueReference", fhir.RefTo("Observation/"+id, "")))
	}
	now := instant(r.db.Clock().Now(), r.zone(ctx, s))
	ids, err := r.add(ctx, s, patientID, fhir.Object(
		"resourceType", "Task",
		"status", "completed",
		"intent", "order",
		"code", fhir.Concept(systemTask, reviewTask, "Result review", ""),
		"focus", fhir.RefTo("Observation/"+observations[0], ""),
		"for", subject(patientID),
		"executionPeriod", fhir.Object("end", now),
		"authoredOn", now,
		"lastModified", now,
		"requester", me(s),
		"owner", me(s),
		"input", inputs,
	))
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// Unreview takes a review back, so that its results ask for attention again.
func (r *Record) Unreview(ctx context.Context, s auth.Staff, patientID, task string) error {
	if err := need(s, auth.ResultSign); err != nil {
		return err
	}
	return r.change(ctx, s, patientID, "Task", task, 0, func(n *fhirjson.Node) error {
		if _, code := fhir.ConceptCode(n.Get("code"), systemTask); code != reviewTask {
			return fhir.Problem("not-found", "There is no such review.", "Reload the page.")
		}
		n.Set("status", fhirjson.NewString("entered-in-error"))
		return nil
	})
}

// reviewsOf maps Observation ids to who reviewed them and when.
func reviewsOf(tasks []*fhirstore.Resource, zone *time.Location) map[string]string {
	out := map[string]string{}
	for _, t := range tasks {
		n := t.Node()
		if n.Get("status").Text() != "completed" {
			continue
		}
		who := person(n.Get("owner"))
		if when, _, ok := fhir.Moment(n.Get("authoredOn").Text(), zone); ok {
			who += ", " + when.In(zone).Format("02 Jan 2006 15:04")
		}
		for _, in := range n.Get("input").Items() {
			if _, id, ok := fhir.ParseReference(in.At("valueReference", "reference").Text()); ok {
				out[id] = who
			}
		}
	}
	return out
}

// markReviews fills in what has been reviewed, what is new, and what is critical and unseen.
func (c *Chart) markReviews(reviewed map[string]string, now time.Time) {
	for i := range c.Results {
		res := &c.Results[i]
		res.Reviewed = reviewed[res.ID]
		recent := now.Sub(res.When) < reviewWindow
		res.New = recent && res.Reviewed == ""
		if res.New {
			c.NewResults++
			if res.Flag.Critical() {
				c.Critical = append(c.Critical, *res)
			}
		}
	}
}
