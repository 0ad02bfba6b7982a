package safety_test

import (
	"slices"
	"strings"
	"testing"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db/dbtest"
)

// biller adds somebody who reads problems and is shown no sensitive ones.
func (h *house) biller(t *testing.T) {
	t.Helper()
	uid, err := h.auth.AddUser(ctx, auth.SystemScope(h.ID, "test"), auth.User{Login: "penn", Display: "Ira Penn", Roles: []auth.Role{auth.Biller}})
	if err != nil {
		t.Fatal(err)
	}
	// The practice lets billers into charts; what is sensitive stays closed to them.
	if err := h.auth.ChangeMatrix(ctx, auth.SystemScope(h.ID, "test"), []auth.RoleRule{{Role: auth.Biller, Kind: auth.RulePermission, Name: string(auth.ChartRead), Value: 1}}); err != nil {
		t.Fatal(err)
	}
	h.users["penn"] = uid
	h.signIn(t, "penn")
}

func (h *house) records(t *testing.T) {
	t.Helper()
	h.biller(t)
	h.Put(t, `{"resourceType":"Condition","id":"plain","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},"code":{"text":"Zyxgrief"},"subject":{"reference":"Patient/ann"}}`,
		`{"resourceType":"Condition","id":"coded","code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"B20"}],"text":"Zyxvirus"},"subject":{"reference":"Patient/ann"}}`,
		`{"resourceType":"Encounter","id":"visit","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SDV"}]},"status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},"subject":{"reference":"Patient/ann"}}`,
		`{"resourceType":"Observation","id":"taken","status":"final","code":{"text":"Zyxbruise"},"encounter":{"reference":"Encounter/visit"},"subject":{"reference":"Patient/ann"},"effectiveDateTime":"2026-03-01T10:00:00Z","valueQuantity":{"value":3,"unit":"cm"}}`,
		`{"resourceType":"DocumentReference","id":"note","status":"current","description":"Zyxtalk","subject":{"reference":"Patient/ann"},"content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8="}}]}`,
		`{"resourceType":"DocumentReference","id":"added","status":"current","description":"Addendum","relatesTo":[{"code":"appends","target":{"reference":"DocumentReference/note"}}],"subject":{"reference":"Patient/ann"},"content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8="}}]}`)
}

// A record is marked by hand after the page has said who loses it, is gone for them without a trace, and comes back
// with a reason that is on record.
func TestMarkingARecord(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		h.records(t)
		at := "/patients/ann/records/Condition/plain/privacy"
		loss := "These roles will not see it any more: Biller."
		h.walk(t,
			step{"led there from the problem", "quill", "GET", "/patients/ann/problems/plain", nil, 200, []string{at, "Who may see this"}, nil},
			step{"what it means is said first", "quill", "GET", at, nil, 200, []string{"Zyxgrief", "ASH-OKORO", "no mark", "Biller", loss, `value="psychotherapy" disabled`, "cannot mark one so"}, []string{"vip", "Take away “"}},
			step{"the biller sees and marks nothing", "penn", "GET", at, nil, 200, []string{"Zyxgrief"}, []string{"Mark it as sensitive", "/mark"}},
			step{"nor by hand", "penn", "POST", at + "/mark", form("patient", "ann", "version", "1", "label", "mental-health"), 403, nil, nil},
			step{"the desk reads no problems", "ferris", "GET", at, nil, 403, nil, []string{"Zyxgrief"}},
			step{"another patient's form", "quill", "POST", at + "/mark", form("patient", "vip", "version", "1", "label", "hiv"), 409, nil, nil},
			step{"another patient's chart", "quill", "GET", "/patients/vip/records/Condition/plain/privacy", nil, 404, nil, []string{"Zyxgrief"}},
			step{"nor marked there", "quill", "POST", "/patients/vip/records/Condition/plain/privacy/mark", form("patient", "vip", "version", "1", "label", "hiv"), 404, nil, nil},
			step{"the chart itself is no record of it", "quill", "GET", "/patients/ann/records/Patient/ann/privacy", nil, 404, nil, nil},
			step{"a closed chart", "strand", "GET", "/patients/vip/records/Condition/vc/privacy", nil, 303, nil, []string{"Zyxitis"}},
			step{"no such type", "quill", "GET", "/patients/ann/records/Nonsense/plain/privacy", nil, 404, nil, nil},
			step{"nothing chosen", "quill", "POST", at + "/mark", form("patient", "ann", "version", "1"), 400, []string{"No mark was chosen"}, nil},
			step{"a version that is none", "quill", "POST", at + "/mark", form("patient", "ann", "version", "x", "label", "hiv"), 400, nil, nil},
			step{"another version", "quill", "POST", at + "/mark", form("patient", "ann", "version", "7", "label", "hiv"), 409, []string{"changed meanwhile", `value="hiv" checked`}, nil},
			step{"marked", "quill", "POST", at + "/mark", form("patient", "ann", "version", "1", "label", "mental-health"), 303, nil, nil},
			step{"and says so", "quill", "GET", at, nil, 200, []string{"Mental health", "A person put it there", "these roles see the record again: Biller"}, []string{"no mark"}},
			step{"those who care see it", "strand", "GET", "/patients/ann", nil, 200, []string{"Zyxgrief"}, nil},
			step{"no trace in the biller's chart", "penn", "GET", "/patients/ann", nil, 200, []string{"ASH-OKORO"}, []string{"Zyxgrief", "plain", "Mental health"}},
			step{"nor in its lists", "penn", "GET", "/patients/ann/lists", nil, 200, nil, []string{"Zyxgrief"}},
			step{"a reason is needed", "quill", "POST", at + "/unmark", form("patient", "ann", "version", "2", "label", "mental-health", "reason", ""), 400, []string{"Say why"}, nil},
			step{"a mark that it does not bear", "quill", "POST", at + "/unmark", form("patient", "ann", "version", "2", "label", "hiv", "reason", "set by mistake"), 422, nil, nil},
		)
		was, hidden := h.ask(t, "penn", "GET", at, nil)
		none, absent := h.ask(t, "penn", "GET", strings.Replace(at, "plain", "never", 1), nil)
		if was.StatusCode != none.StatusCode || len(hidden) != len(absent) {
			t.Errorf("a hidden record is answered otherwise than none:\n%.600s\n%.600s", hidden, absent)
		}
		h.walk(t,
			step{"hidden", "penn", "GET", at, nil, 404, nil, []string{"Zyxgrief"}},
			step{"taken away", "quill", "POST", at + "/unmark", form("patient", "ann", "version", "2", "label", "mental-health", "reason", "set by mistake"), 303, nil, nil},
			step{"seen again", "penn", "GET", "/patients/ann/lists", nil, 200, []string{"Zyxgrief"}, nil},
			step{"and told", "quill", "GET", at, nil, 200, []string{"no mark", "Somebody took marks away here"}, nil},
		)
		var actions []string
		for _, e := range h.on(t, audit.Filter{Patient: "Patient/ann"}) {
			if e.Event.ID == "plain" {
				actions = append(actions, e.Action)
				if e.Action == audit.ActionPrivilege && !strings.Contains(e.Detail, "mental-health; set by mistake") {
					t.Errorf("on record: %s", e.Detail)
				}
			}
		}
		for _, want := range []string{audit.ActionRead, audit.ActionUpdate, audit.ActionPrivilege} {
			if !slices.Contains(actions, want) {
				t.Errorf("no %s on record: %v", want, actions)
			}
		}
	})
}

// The page says why a record bears a mark: by its code, by the visit, by hand.
func TestWhyARecordIsMarked(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		h.records(t)
		coded, taken, note := "/patients/ann/records/Condition/coded/privacy", "/patients/ann/records/Observation/taken/privacy", "/patients/ann/records/DocumentReference/note/privacy"
		h.walk(t,
			step{"by code", "quill", "GET", coded, nil, 200, []string{"Zyxvirus", "HIV", "Its own code calls for it"}, []string{"A person put it there"}},
			step{"by the visit", "quill", "GET", taken, nil, 200, []string{"Violence", "The visit it was recorded in bears it"}, []string{"A person put it there"}},
			step{"led there from the result", "quill", "GET", "/patients/ann/results/taken", nil, 200, []string{taken}, nil},
			step{"led there from the note", "quill", "GET", "/patients/ann/notes/note", nil, 200, []string{note}, nil},
			step{"another mark, by hand", "quill", "POST", coded + "/mark", form("patient", "ann", "version", "1", "label", "genetic"), 303, nil, nil},
			step{"both", "quill", "GET", coded, nil, 200, []string{"Its own code calls for it", "A person put it there"}, nil},
			step{"one away changes nothing for the biller, and the page says so", "quill", "GET", coded, nil, 200, []string{"no further role sees"}, nil},
			step{"restricted besides", "quill", "POST", "/patients/ann/privacy/restrict", form("patient", "ann", "label", "restricted"), 303, nil, nil},
			step{"said", "quill", "GET", coded, nil, 200, []string{"The whole chart is restricted besides"}, nil},
			step{"nobody marks what they may not see", "quill", "POST", note + "/mark", form("patient", "ann", "version", "1", "label", "psychotherapy"), 403, nil, nil},
			step{"and nothing changed", "quill", "GET", note, nil, 200, []string{"Zyxtalk", "no mark"}, nil},
			step{"the patient lets the doctor see such notes", "quill", "POST", "/patients/ann/privacy/consents", form("patient", "ann", "kind", "permit", "who", "Practitioner/doc1", "labels", "psychotherapy"), 303, nil, nil},
			step{"another one sees it still", "strand", "GET", note, nil, 200, []string{"Zyxtalk"}, nil},
			step{"a note kept apart", "quill", "POST", note + "/mark", form("patient", "ann", "version", "1", "label", "psychotherapy"), 303, nil, nil},
			step{"seen by who was named", "quill", "GET", note, nil, 200, []string{"Zyxtalk", "No role", "Psychotherapy"}, nil},
			step{"gone for the other", "strand", "GET", note, nil, 404, nil, []string{"Zyxtalk"}},
			step{"its addendum with it", "strand", "GET", "/patients/ann/records/DocumentReference/added/privacy", nil, 404, nil, nil},
			step{"not among the notes", "strand", "GET", "/patients/ann/notes", nil, 200, nil, []string{"Zyxtalk"}},
			step{"both are unmarked", "quill", "POST", note + "/unmark", form("patient", "ann", "version", "2", "label", "psychotherapy", "reason", "no note of a session"), 303, nil, nil},
			step{"the addendum is back", "strand", "GET", "/patients/ann/records/DocumentReference/added/privacy", nil, 200, []string{"no mark"}, nil},
		)
	})
}
