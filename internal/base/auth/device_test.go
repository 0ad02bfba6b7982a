package auth

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/db/dbtest"
)

// A browser is known by the token it was given, to each person at it by themself; a new one is told of when there are others, and
// forgetting it ends what is open in it and nothing else.
func TestDevices(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		first, s := c.signIn("ann.ash")
		admin := c.admin()
		told := func() (n int) {
			t.Helper()
			all, err := c.a.Notices(t.Context(), admin)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range all {
				if one.Kind == NoticeDevice {
					n++
				}
			}
			return n
		}
		remember := func(s Staff, device string) string {
			t.Helper()
			given, err := c.a.RememberDevice(t.Context(), s, device, "203.0.113.9:4711", "Firefox/1 Linux")
			if err != nil {
				t.Fatal(err)
			}
			return given
		}
		home := remember(s, "chosen-by-somebody-else")
		if strings.Contains(home, "chosen") || told() != 0 {
			t.Errorf("the first device is %q, %d notices", home, told())
		}
		if again := remember(s, home); again != home || told() != 0 {
			t.Error("a device is new when it comes back")
		}
		d.Clock.Advance(time.Minute)
		second, s2 := c.signIn("ann.ash")
		away := remember(s2, strings.Replace(home, ".", ".0", 1)) // its mark is wrong
		if away == home || told() != 1 {
			t.Errorf("a forged device is taken, or a new one not told of: %d notices", told())
		}
		all, err := c.a.Devices(t.Context(), s, home)
		if err != nil || len(all) != 2 || all[0].Here || !all[1].Here || all[0].Address != "203.0.113.9" || all[0].Browser != "Firefox on Linux" || all[0].Passkey || !all[0].Seen.After(all[1].Seen) {
			t.Fatalf("%+v, %v", all, err)
		}
		if err := c.a.ForgetDevice(t.Context(), s, s.UserID(), "0123456789abcdef"); err == nil {
			t.Error("a device that is not there was forgotten")
		}
		if err := c.a.ForgetDevice(t.Context(), s, s.UserID(), all[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.a.Resume(t.Context(), slug, second); err == nil {
			t.Error("the session in a forgotten device goes on")
		}
		if _, _, err := c.a.Resume(t.Context(), slug, first); err != nil {
			t.Errorf("the session in another device ended: %v", err)
		}
		if all, err := c.a.Devices(t.Context(), s, home); err != nil || len(all) != 1 || !all[0].Here {
			t.Errorf("afterwards: %+v, %v", all, err)
		}
	})
}

// Of a new browser the person is told in those they had before, and nowhere else; their answer ends it, or leaves it, once.
func TestNewBrowsers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) {
		c := newClinic(t, d)
		asked := func(s Staff) []NewBrowser {
			t.Helper()
			all, err := c.a.NewBrowsers(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		enter := func(agent string) (string, Staff) {
			t.Helper()
			d.Clock.Advance(time.Minute)
			token, s := c.signIn("ann.ash")
			if _, err := c.a.RememberDevice(t.Context(), s, "", "203.0.113.9:4711", agent); err != nil {
				t.Fatal(err)
			}
			return token, s
		}
		_, home := enter("Firefox/1 Linux")
		if len(asked(home)) != 0 {
			t.Error("the first browser is asked about")
		}
		strange, thief := enter("Chrome/1 Windows")
		_, again := enter("Safari/1 Mac OS X")
		if len(asked(thief)) != 1 || asked(thief)[0].Browser != "Safari on macOS" || len(asked(again)) != 0 {
			t.Errorf("a new browser is asked about itself or about older ones: %v %v", asked(thief), asked(again))
		}
		all := asked(home)
		if len(all) != 2 || all[0].Browser != "Safari on macOS" || all[1].Browser != "Chrome on Windows" || all[1].Address != "203.0.113.9" {
			t.Fatalf("%+v", all)
		}
		if err := c.a.OwnBrowser(t.Context(), thief, all[1].Notice, true); err != nil || len(asked(home)) != 2 {
			t.Error("a new browser answered for itself")
		}
		if err := c.a.SeeNotice(t.Context(), home, all[1].Notice); err != nil || len(asked(home)) != 2 {
			t.Error("it was waved away as other notices are")
		}
		if err := c.a.OwnBrowser(t.Context(), home, all[0].Notice, true); err != nil || len(asked(home)) != 1 {
			t.Errorf("one's own: %v, %d left", err, len(asked(home)))
		}
		if err := c.a.OwnBrowser(t.Context(), home, all[1].Notice, false); err != nil || len(asked(home)) != 0 {
			t.Errorf("not one's own: %v, %d left", err, len(asked(home)))
		}
		if _, _, err := c.a.Resume(t.Context(), slug, strange); err == nil {
			t.Error("what was not the person's is still signed in")
		}
		if devices, err := c.a.Devices(t.Context(), home, ""); err != nil || len(devices) != 2 {
			t.Errorf("%d browsers are known: %v", len(devices), err)
		}
		told, err := c.a.Notices(t.Context(), c.admin())
		if err != nil || !slices.ContainsFunc(told, func(n Notice) bool { return n.Kind == NoticeNotMine && n.Ref == home.UserID() }) {
			t.Errorf("the administrators are not told: %v %v", told, err)
		}
		if err := c.a.OwnBrowser(t.Context(), home, all[1].Notice, false); err != nil {
			t.Errorf("a second answer: %v", err)
		}
	})
}
