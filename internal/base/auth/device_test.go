package auth

import (
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
