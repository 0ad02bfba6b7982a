package safety_test

import (
	"regexp"
	"testing"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
)

var consentAt = regexp.MustCompile(`/privacy/consents/([^/"]+)/end`)

// A chart is restricted and opened again by people with the right, and holds for everybody from the next request on.
func TestRestrictingAChart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		at := "/patients/ann/privacy"
		h.walk(t,
			step{"open", "quill", "GET", at, nil, 200, []string{"open to everybody", "Restrict this chart", "ASH-OKORO"}, nil},
			step{"led there from the chart", "quill", "GET", "/patients/ann", nil, 200, []string{at}, nil},
			step{"the desk sees, and restricts nothing", "ferris", "GET", at, nil, 200, []string{"Record a decision"}, []string{"Restrict this chart"}},
			step{"nor by hand", "ferris", "POST", at + "/restrict", form("patient", "ann", "label", "vip"), 403, nil, nil},
			step{"an administrator neither", "okafor", "POST", at + "/consents", form("patient", "ann", "kind", "deny"), 403, nil, nil},
			step{"another patient's form", "quill", "POST", at + "/restrict", form("patient", "vip", "label", "restricted"), 409, nil, nil},
			step{"a label that is none", "quill", "POST", at + "/restrict", form("patient", "ann", "label", "psychotherapy"), 400, []string{"No restriction was chosen"}, nil},
			step{"restricted", "quill", "POST", at + "/restrict", form("patient", "ann", "label", "restricted"), 303, nil, nil},
			step{"shown", "quill", "GET", at, nil, 200, []string{"only those who care for patients", "Take the restriction away"}, []string{"open to everybody"}},
			step{"those who care keep it", "strand", "GET", "/patients/ann", nil, 200, nil, nil},
			step{"the desk lost it", "ferris", "GET", at, nil, 403, []string{"This chart is restricted"}, []string{"ASH-OKORO"}},
			step{"why is needed", "quill", "POST", at + "/unrestrict", form("patient", "ann", "label", "restricted", "reason", ""), 400, []string{"Say why"}, nil},
			step{"taken away", "quill", "POST", at + "/unrestrict", form("patient", "ann", "label", "restricted", "reason", "set by mistake"), 303, nil, nil},
			step{"the desk has it again", "ferris", "GET", at, nil, 200, []string{"ASH-OKORO"}, nil},
		)
	})
}

// What a patient decided is recorded at the desk, holds at once, and ends when it is taken back.
func TestRecordingAConsent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		at := "/patients/ann/privacy"
		h.Put(t, `{"resourceType":"Condition","id":"mh","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}]},"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"text":"Zyxhidden"},"subject":{"reference":"Patient/ann"}}`)
		h.walk(t,
			step{"strand sees it", "strand", "GET", "/patients/ann", nil, 200, []string{"Zyxhidden"}, nil},
			step{"permit whom", "ferris", "POST", at + "/consents", form("patient", "ann", "kind", "permit", "who", ""), 400, []string{"Nobody was chosen"}, nil},
			step{"a day that is over", "ferris", "POST", at + "/consents", form("patient", "ann", "kind", "deny", "who", "Practitioner/doc2", "until", "2026-02-01"), 400, []string{"is over"}, nil},
			step{"strand is denied HIV", "ferris", "POST", at + "/consents", form("patient", "ann", "kind", "deny", "who", "Practitioner/doc2", "labels", "hiv", "until", "2026-12-31"), 303, nil, nil},
			step{"strand sees it no more", "strand", "GET", "/patients/ann", nil, 200, nil, []string{"Zyxhidden"}},
			step{"quill does", "quill", "GET", "/patients/ann", nil, 200, []string{"Zyxhidden"}, nil},
			step{"the page says so", "ferris", "GET", at, nil, 200, []string{"Denies", "HIV", "until 2026-12-31"}, nil},
		)
		_, body := h.ask(t, "ferris", "GET", at, nil)
		m := consentAt.FindStringSubmatch(body)
		if m == nil {
			t.Fatal("no consent to end")
		}
		h.walk(t,
			step{"another chart's address", "quill", "POST", "/patients/vip/privacy/consents/" + m[1] + "/end", form("patient", "vip", "version", "1"), 409, nil, nil},
			step{"taken back", "ferris", "POST", at + "/consents/" + m[1] + "/end", form("patient", "ann", "version", "1"), 303, nil, nil},
			step{"strand sees it again", "strand", "GET", "/patients/ann", nil, 200, []string{"Zyxhidden"}, nil},
			step{"it stays in the list", "ferris", "GET", at, nil, 200, []string{"no longer"}, []string{consentAt.FindString(body)}},
			step{"strand is denied the chart", "quill", "POST", at + "/consents", form("patient", "ann", "kind", "deny", "who", "Practitioner/doc2"), 303, nil, nil},
			step{"only the door", "strand", "GET", "/patients/ann", nil, 303, nil, []string{"Zyxhidden"}},
			step{"the front desk is let nowhere new", "quill", "POST", at + "/consents", form("patient", "ann", "kind", "permit", "who", "role:"+string(auth.FrontDesk), "labels", "psychotherapy"), 303, nil, nil},
			step{"both are shown", "quill", "GET", at, nil, 200, []string{"Permits", "Front desk", "the whole chart"}, nil},
		)
	})
}
