package safety_test

import (
	"regexp"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
)

// Somebody signs in as a person with a browser that was not known: the person is asked on every page of their own, the other is not,
// and "not me" ends it and tells the administrator.
func TestWasThisYou(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		h := open(t, d)
		enter := func(as, agent string) {
			t.Helper()
			d.Clock.Advance(time.Minute)
			h.signIn(t, "quill")
			s, _, err := h.auth.Resume(ctx, "millrace", h.tokens["quill"])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.auth.RememberDevice(ctx, s, "", "203.0.113.9:4711", agent); err != nil {
				t.Fatal(err)
			}
			h.tokens[as] = h.tokens["quill"]
		}
		enter("home", "Firefox/1 Linux")
		enter("thief", "Chrome/1 Windows")
		const asks = "Somebody signed in as you with a new browser: Chrome on Windows"
		h.walk(t,
			step{"on every page", "home", "GET", "/patients", nil, 200, []string{asks, `href="/millrace/account/security"`}, nil},
			step{"with both answers", "home", "GET", "/account/security", nil, 200, []string{"This was me", "This was not me", "203.0.113.9", "Firefox on Linux"}, nil},
			step{"not where it was", "thief", "GET", "/patients", nil, 200, nil, []string{asks}},
			step{"nor on its account", "thief", "GET", "/account/security", nil, 200, []string{"Chrome on Windows"}, []string{"This was me"}},
			step{"a notice that is none", "home", "POST", "/account/browsers", form("notice", "x", "answer", "mine"), 400, nil, nil},
			step{"still asked", "home", "GET", "/patients", nil, 200, []string{asks}, nil},
		)
		_, page := h.ask(t, "home", "GET", "/account/security", nil)
		m := regexp.MustCompile(`name="notice" value="(\d+)"`).FindStringSubmatch(page)
		if m == nil {
			t.Fatal("no form")
		}
		h.walk(t,
			step{"the other answers for itself", "thief", "POST", "/account/browsers", form("notice", m[1], "answer", "mine"), 303, nil, nil},
			step{"in vain", "home", "GET", "/patients", nil, 200, []string{asks}, nil},
			step{"not me", "home", "POST", "/account/browsers", form("notice", m[1], "answer", "theirs"), 303, nil, nil},
			step{"asked no more", "home", "GET", "/patients", nil, 200, nil, []string{asks}},
			step{"the other is out", "thief", "GET", "/patients", nil, 303, nil, nil},
			step{"the administrator is told", "okafor", "GET", "/patients", nil, 200, []string{"Amara Quill, MD says that a sign-in was not theirs"}, nil},
		)
	})
}
