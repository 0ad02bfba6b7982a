package guides

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
)

// A practice supports what is built in and what it took in, by version; another practice's guides are not its own.
func TestSupported(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		look := func(p db.PracticeID) *Supported {
			t.Helper()
			s, err := g.Supported(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		before := look(1)
		if !slices.Equal(before.Guides, []string{builtinGuide}) || !slices.Contains(before.Profiles["Patient"], usCore+"us-core-patient") || len(before.Profiles["Extension"]) > 0 || look(2) != before {
			t.Errorf("built in: %+v", before)
		}
		for _, version := range []string{"1.0.0", "2.0.0"} {
			if _, err := g.Import(t.Context(), auth.SystemScope(1, "test"), bytes.NewReader(guide(version))); err != nil {
				t.Fatal(err)
			}
		}
		after := look(1)
		for _, u := range []string{"https://guide.example.org/born", "https://guide.example.org/born|1.0.0", "https://guide.example.org/born|2.0.0", usCore + "us-core-patient"} {
			if n := len(slices.DeleteFunc(slices.Clone(after.Profiles["Patient"]), func(s string) bool { return s != u })); n != 1 {
				t.Errorf("%s is listed %d times: %v", u, n, after.Profiles["Patient"])
			}
		}
		for _, u := range []string{"https://guide.example.org/ImplementationGuide/test.guide|1.0.0", "https://guide.example.org/ImplementationGuide/test.guide|2.0.0", builtinGuide} {
			if !slices.Contains(after.Guides, u) {
				t.Errorf("%s is not among %v", u, after.Guides)
			}
		}
		if look(1) != after || look(2) != before || len(before.Guides) != 1 {
			t.Error("the same is not told as the same, or one practice's guide as another's")
		}
	})
}

// Answers are judged against the stored questionnaire as soon as it is there, in the version that they name.
func TestAnswersFollowTheirQuestionnaire(t *testing.T) {
	each(t, func(t *testing.T, d *dbtest.DB, g *Guides) {
		scope := auth.SystemScope(1, "test")
		put := func(raw string) error {
			ctx, err := g.store.Checking(context.Background(), scope)
			if err != nil {
				t.Fatal(err)
			}
			p, err := g.store.Prepare(ctx, []byte(raw))
			if err != nil {
				return err
			}
			return d.DB.Do(ctx, scope, func(tx *db.Tx) error {
				_, err := g.store.Update(ctx, tx, p, 0)
				return err
			})
		}
		asks := func(id, version, linkID string) string {
			return `{"resourceType":"Questionnaire","id":"` + id + `","url":"https://forms.example.org/sleep","version":"` + version + `","status":"active","item":[{"linkId":"` + linkID + `","type":"integer","text":"Hours","required":true}]}`
		}
		says := func(form, linkID, value string) string {
			return `{"resourceType":"QuestionnaireResponse","id":"r","status":"completed","questionnaire":"` + form + `","item":[{"linkId":"` + linkID + `","answer":[{` + value + `}]}]}`
		}
		const form, hours = "https://forms.example.org/sleep", `"valueInteger":7`
		if err := put(says(form, "made-up", hours)); err != nil {
			t.Errorf("answers to a questionnaire that is not here: %v", err)
		}
		if err := put(asks("one", "1", "hours")); err != nil {
			t.Fatal(err)
		}
		d.Clock.Advance(time.Second)
		if err := put(asks("two", "2", "night")); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ form, link, value, want string }{
			{form + "|1", "hours", hours, ""}, {form + "|2", "night", hours, ""}, {form, "night", hours, ""},
			{form + "|1", "night", hours, "item"}, {form + "|2", "hours", hours, "item"}, {form, "hours", hours, "item"},
			{form + "|1", "hours", `"valueString":"seven"`, "item"}, {form + "|3", "anything", hours, ""},
		} {
			err := put(says(c.form, c.link, c.value))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %s %s: %v", c.form, c.link, c.value, err)
			}
		}
		// A change of the questionnaire holds for the next answers, long before the definitions would be looked at anyway.
		d.Clock.Advance(2 * time.Second)
		if err := put(asks("two", "2", "evening")); err != nil {
			t.Fatal(err)
		}
		if err := put(says(form, "evening", hours)); err != nil {
			t.Errorf("the changed questionnaire is not followed: %v", err)
		}
	})
}
