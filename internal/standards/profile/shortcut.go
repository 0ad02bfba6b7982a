package profile

import (
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// answer is what a shortcut finds out about an invariant.
type answer uint8

const (
	ask answer = iota // FHIRPath must tell
	yes
	no
)

// shortcut decides an invariant of R4 without FHIRPath, or says that it cannot. A test compares each with its
// expression.
type shortcut func(r *run, n *fhirjson.Node) answer

// shortcuts are for the invariants that hold for nearly every element of nearly every resource.
var shortcuts = map[string]shortcut{
	"dom-3": func(*run, *fhirjson.Node) answer { return yes }, // judged in run.contained
	"dom-4": func(_ *run, n *fhirjson.Node) answer { return noneContained(n, "versionId", "lastUpdated") },
	"dom-5": func(_ *run, n *fhirjson.Node) answer { return noneContained(n, "security") },
	"ref-1": func(*run, *fhirjson.Node) answer { return yes }, // judged in run.reference
	"qty-3": func(_ *run, n *fhirjson.Node) answer { return when(n.Get("code") == nil || n.Get("system") != nil) },
	"att-1": func(_ *run, n *fhirjson.Node) answer {
		return when(n.Get("data") == nil || n.Get("contentType") != nil)
	},
	"cpt-2": func(_ *run, n *fhirjson.Node) answer { return when(n.Get("value") == nil || n.Get("system") != nil) },
	"per-1": periodInOrder,
	"obs-3": func(_ *run, n *fhirjson.Node) answer {
		return when(n.Get("low") != nil || n.Get("high") != nil || n.Get("text") != nil)
	},
	"obs-6": func(_ *run, n *fhirjson.Node) answer {
		return when(n.Get("dataAbsentReason") == nil || !hasChoice(n, "value"))
	},
	"que-7": func(_ *run, n *fhirjson.Node) answer {
		// The published expression says Boolean, the type of FHIRPath, and means boolean, that of FHIR.
		return when(n.Get("operator").Text() != "exists" || n.Get("answerBoolean") != nil)
	},
	"obs-7": func(_ *run, n *fhirjson.Node) answer {
		if n.Get("component") == nil || !hasChoice(n, "value") {
			return yes
		}
		return ask
	},
}

func when(b bool) answer {
	if b {
		return yes
	}
	return no
}

func noneContained(n *fhirjson.Node, members ...string) answer {
	for _, c := range n.Get("contained").Items() {
		for _, m := range members {
			if c.At("meta", m) != nil {
				return no
			}
		}
	}
	return yes
}

func hasChoice(n *fhirjson.Node, name string) bool {
	for i := range n.Members() {
		m := strings.TrimPrefix(n.Members()[i].Name, "_")
		if len(m) > len(name) && strings.HasPrefix(m, name) && m[len(name)] >= 'A' && m[len(name)] <= 'Z' {
			return true
		}
	}
	return false
}

// periodInOrder decides the common case: both ends are written alike, with the same zone.
func periodInOrder(_ *run, n *fhirjson.Node) answer {
	a, b := n.Get("start").Text(), n.Get("end").Text()
	switch {
	case a == "" || b == "":
		return yes
	case len(a) != len(b) || len(a) > 19 && a[19:] != b[19:]:
		return ask
	}
	return when(a <= b)
}

// explain says in plain words what an invariant asks and how to meet it.
func explain(c *rule) (text, fix string) {
	if w, ok := plainRules[c.Key]; ok && c.source == "" {
		return w[0] + " (" + c.Key + ").", w[1]
	}
	who := "of FHIR R4"
	if c.source != "" {
		who = "of the profile " + shown(c.source)
	}
	text = "The rule " + c.Key + " " + who + " is not met here"
	if human := plain(c.Human); human != "" {
		text += ": " + human
	}
	return strings.TrimSuffix(text, ".") + ".", "It asks for: " + plain(c.FHIRPath) + "."
}

// plain shortens a text of a guide to one line.
func plain(s string) string {
	s = strings.TrimSuffix(strings.Join(strings.Fields(s), " "), ".")
	if len(s) > 400 {
		s = s[:400] + "…"
	}
	return s
}

// plainRules are our own words for the invariants that people meet most often.
var plainRules = map[string][2]string{
	"ait-1":  {"An allergy that is not entered in error has a clinical status", "Add clinicalStatus."},
	"ait-2":  {"An allergy that was entered in error has no clinical status", "Remove clinicalStatus."},
	"app-2":  {"An appointment has both a start and an end, or neither", "Add the other one."},
	"app-3":  {"Only a proposed, cancelled or waiting appointment may lack its time", "Add start and end."},
	"app-1":  {"A participant has a type or an actor", "Add one."},
	"att-1":  {"Data of an attachment needs its content type", "Add contentType."},
	"bdl-1":  {"Only a search result or a history has a total", "Remove total, or correct the type."},
	"bdl-2":  {"Only a search result has entries with search", "Remove search, or correct the type."},
	"bdl-3":  {"Entries of a transaction, batch or history have a request, others have none", "Add or remove request."},
	"bdl-4":  {"Entries of a response or history have a response, others have none", "Add or remove response."},
	"bdl-5":  {"An entry holds a resource, a request or a response", "Add one, or remove the entry."},
	"bdl-7":  {"Two entries have the same fullUrl", "Give each resource a fullUrl of its own."},
	"bdl-8":  {"A fullUrl does not name a version", "Leave out /_history/ and what follows."},
	"bdl-9":  {"A document has an identifier with system and value", "Add them."},
	"bdl-10": {"A document has a date", "Add timestamp."},
	"bdl-11": {"The first entry of a document is a Composition", "Put it first."},
	"bdl-12": {"The first entry of a message is a MessageHeader", "Put it first."},
	"con-3":  {"A condition should have a clinical status, unless it was entered in error", "Add clinicalStatus."},
	"con-4":  {"A condition with an abatement is inactive, resolved or in remission", "Correct clinicalStatus, or remove the abatement."},
	"con-5":  {"A condition that was entered in error has no clinical status", "Remove clinicalStatus."},
	"cpt-2":  {"A phone number or address of contact needs its system", "Add system, such as phone or email."},
	"dom-4":  {"A contained resource has no version and no lastUpdated of its own", "Remove them from its meta."},
	"dom-5":  {"A contained resource has no security labels of its own", "Move them to the outer resource."},
	"eld-19": {"The path of an element holds characters that names may not have", "Use letters and digits."},
	"obs-3":  {"A reference range has a low, a high or a text", "Add one."},
	"obs-6":  {"An observation has a value or a reason why there is none, not both", "Remove one of the two."},
	"obs-7":  {"The value of an observation with components is not that of a component with the same code", "Remove one of the two."},
	"pat-1":  {"A contact of a patient needs a name, a telecom, an address or an organisation", "Add one."},
	"per-1":  {"A period does not end before it starts", "Correct start or end."},
	"qty-3":  {"The code of a unit needs its system", "Add system, for UCUM http://unitsofmeasure.org."},
	"que-2":  {"Two items of the questionnaire have the same linkId", "Give each a linkId of its own."},
	"rng-2":  {"The low end of a range is not above its high end", "Correct low or high."},
}
