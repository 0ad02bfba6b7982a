package fhirstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/standards/fhir"
)

// TestAResourceDoesNotFillTheIndex: values beyond the limit are refused, also where the rows are the product of two lists.
func TestAResourceDoesNotFillTheIndex(t *testing.T) {
	s := benchOn(t, dbtest.SQLite(t, nil)).Store
	list := func(n int, form string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	observation := func(n int) string {
		return `{"resourceType":"Observation","status":"final","code":{"coding":[` + list(n, `{"code":"c%d"}`) + `]},"performer":[` + list(n, `{"reference":"Patient/p%d"}`) + `]}`
	}
	for _, c := range []struct {
		name, body string
		refused    bool
	}{
		{"names", `{"resourceType":"Patient","identifier":[` + list(maxValues+1, `{"value":"%d"}`) + `]}`, true},
		{"a thousand", `{"resourceType":"Patient","identifier":[` + list(1000, `{"value":"%d"}`) + `]}`, false},
		{"patients and codes", observation(400), true},
		{"few of each", observation(40), false},
	} {
		_, err := s.Prepare(t.Context(), []byte(c.body))
		var i *fhir.Issue
		if refused := errors.As(err, &i) && i.Code == "too-costly"; refused != c.refused || !refused && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestMembersOfWhatIsNotStored: a resource that does not come from the store has its members too.
func TestMembersOfWhatIsNotStored(t *testing.T) {
	r := &Resource{Raw: []byte(`{"resourceType":"Task","note":[{"text":"\"for\":1"}],"for":{"reference":"Patient/a"},"x":1}`)}
	for name, want := range map[string]string{"resourceType": `"Task"`, "for": `{"reference":"Patient/a"}`, "x": "1", "text": "", "note": `[{"text":"\"for\":1"}]`} {
		if got := string(r.Member(name)); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
}
