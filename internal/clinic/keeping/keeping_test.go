package keeping

import (
	"testing"
	"time"
)

// TestUntil is the table of when records may be destroyed.
func TestUntil(t *testing.T) {
	for _, c := range []struct{ last, born, want string }{
		{"2010-05-01", "1950-01-01", "2020-05-01"}, // an adult: ten years after the last care
		{"2010-05-01", "2008-03-02", "2036-03-02"}, // a child: ten years after it came of age
		{"2010-05-01", "1991-06-01", "2020-05-01"}, // just of age: what is later
		{"2010-05-01", "1994-06-01", "2022-06-01"},
		{"2010-05-01", "", "2038-05-01"}, // nobody knows: as long as it could be
		{"2012-02-29", "1950-01-01", "2022-03-01"},
	} {
		day := func(s string) time.Time { at, _ := time.Parse(time.DateOnly, s); return at }
		until, minor := DefaultRules.Until(day(c.last), day(c.born))
		if adult := day(c.last).AddDate(DefaultRules.Adult, 0, 0); minor != until.After(adult) {
			t.Errorf("%+v: said to be the rule for minors: %v", c, minor)
		}
		if got := until.Format(time.DateOnly); got != c.want {
			t.Errorf("last care %s, born %q: %s, not %s", c.last, c.born, got, c.want)
		}
	}
	for _, bad := range []Rules{{}, {Adult: 4, Minor: 3, Majority: 18, Other: 6}, {Adult: 10, Minor: 3, Majority: 17, Other: 6}, {Adult: 10, Minor: 3, Majority: 18, Other: 5}, {Adult: 101, Minor: 3, Majority: 18, Other: 6}} {
		if bad.Valid() == nil {
			t.Errorf("%+v is taken for valid", bad)
		}
	}
}
