package subscription

import (
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirsearch"
)

// what says in which ways a resource changed.
type what uint8

const (
	created what = 1 << iota
	updated
	deleted

	written = created | updated
)

// trigger is one way in which an event of a topic comes about, as SubscriptionTopic.resourceTrigger of R5 has it.
type trigger struct {
	Type string
	On   what
	// Before and Now are searches that the version before and the new one answer; "" for any. What is new has no version before.
	Before, Now string
	// Says looks at what no search parameter tells; nil for nothing.
	Says func(n *fhirjson.Node) bool

	before, now []fhirsearch.Clause
}

// Topic is something that can be subscribed to.
type Topic struct {
	URL      string // canonical
	Title    string
	Triggers []trigger // none: the types that the subscription's filters name
}

const topicBase = "https://yarrow.health/fhir/SubscriptionTopic/"

// AnyTopic is the topic of every change of the types that a subscription's filters name.
const AnyTopic = topicBase + "resource-changed"

// Topics are the topics there are. The capability statement lists them.
func Topics() []Topic { return slices.Clone(topics) }

var topics = prepared([]Topic{
	{AnyTopic, "Any change of the types that the filters name", nil},
	{topicBase + "encounter-start", "A visit began", []trigger{{Type: "Encounter", On: written, Before: "status:not=in-progress", Now: "status=in-progress"}}},
	{topicBase + "encounter-end", "A visit ended", []trigger{{Type: "Encounter", On: written, Before: "status:not=finished", Now: "status=finished"}}},
	{topicBase + "appointment-booked", "An appointment was booked", []trigger{{Type: "Appointment", On: written, Before: "status:not=booked", Now: "status=booked"}}},
	{topicBase + "appointment-changed", "An appointment was made, changed or removed", []trigger{{Type: "Appointment", On: written | deleted}}},
	{topicBase + "result", "A laboratory result or a report is there, or was changed", []trigger{
		{Type: "Observation", On: written, Now: "category=laboratory&status=final,amended,corrected,cancelled,entered-in-error"},
		{Type: "DiagnosticReport", On: written, Now: "status=final,amended,corrected,appended,cancelled,entered-in-error"},
	}},
	{topicBase + "document-signed", "A document was signed", []trigger{{Type: "DocumentReference", On: written, Now: "status=current", Says: func(n *fhirjson.Node) bool {
		s := n.Get("docStatus").Text()
		return s == "final" || s == "amended"
	}}}},
	{topicBase + "patient-changed", "A patient was registered, changed or removed", []trigger{{Type: "Patient", On: written | deleted}}},
	{topicBase + "medication-request", "A medicine was prescribed, or a prescription changed", []trigger{{Type: "MedicationRequest", On: written | deleted}}},
	{topicBase + "task", "A task was given, changed or done", []trigger{{Type: "Task", On: written | deleted}}},
	{topicBase + "message", "A message was written or changed", []trigger{{Type: "Communication", On: written | deleted}}},
})

// prepared reads the searches of topics, which are constants of the program: a test reads them all.
func prepared(list []Topic) []Topic {
	for i := range list {
		for j := range list[i].Triggers {
			t := &list[i].Triggers[j]
			t.before, _ = clausesOf(t.Type, t.Before)
			t.now, _ = clausesOf(t.Type, t.Now)
		}
	}
	return list
}

func topicOf(url string) *Topic {
	url, _, _ = strings.Cut(url, "|")
	for i := range topics {
		if topics[i].URL == url {
			return &topics[i]
		}
	}
	return nil
}

// fires says whether a change is an event of the trigger. before is nil for what is new, now for what was deleted.
func (t *trigger) fires(on what, before, now *fhirjson.Node) bool {
	if t.On&on == 0 {
		return false
	}
	if on == deleted {
		return true
	}
	if before != nil && !answers(before, t.before) || !answers(now, t.now) {
		return false
	}
	// What was said before is no news, unless the trigger is for every change.
	if t.Says != nil {
		return t.Says(now) && (before == nil || !t.Says(before))
	}
	return true
}

func answers(n *fhirjson.Node, clauses []fhirsearch.Clause) bool {
	return !slices.ContainsFunc(clauses, func(c fhirsearch.Clause) bool { return !fhirsearch.Match(n, c) })
}

// Extension tells in the capability statement which topics there are.
func Extension(typ string) []byte {
	if typ != "Subscription" {
		return nil
	}
	list := fhirjson.NewArray()
	for _, t := range topics {
		list.Append(object("url", guide+"StructureDefinition/capabilitystatement-subscriptiontopic-canonical", "valueCanonical", t.URL))
	}
	return list.AppendJSON(nil)
}
