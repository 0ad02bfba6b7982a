package viewdef

import "testing"

func TestNeutral(t *testing.T) {
	for text, want := range map[string]string{"": "", "Ann": "Ann", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1"} {
		if got := Neutral(text); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}
