package ui

import (
	"strings"
	"testing"
)

func TestOwnCommandsDoNotClash(t *testing.T) {
	r := NewRouter(nil, nil, Options{})
	if c := Clashes(r.Commands()); len(c) > 0 {
		t.Error(c)
	}
}

func TestClashesAreFound(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want string
	}{
		{[]string{"G S", "G P", "N", "?", "Ctrl K"}, ""},
		{[]string{"G S", "g s"}, "g s"},
		{[]string{"G S", "G"}, "hides"},
		{[]string{"J"}, "move down"},
		{[]string{"U"}, "undo"},
	} {
		var all []Command
		for i, k := range c.keys {
			all = append(all, Command{ID: string(rune('a' + i)), Keys: k})
		}
		got := strings.Join(Clashes(all), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.keys, got, c.want)
		}
	}
}

func TestMatchingCommands(t *testing.T) {
	for _, c := range []struct {
		name, typed string
		want        bool
	}{{"sign-in and security", "sec", true}, {"sign-in and security", "sec sign", true}, {"sign-in and security", "curity", false}, {"lock now", "", true}} {
		if matches(c.name, c.typed) != c.want {
			t.Errorf("%q %q", c.name, c.typed)
		}
	}
}
