package keys

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzRecovery(f *testing.F) {
	f.Add(recoveryText(make([]byte, secretSize)))
	f.Add("0000-0000")
	f.Fuzz(func(t *testing.T, text string) {
		master, err := parseRecovery(text)
		if err != nil {
			return
		}
		again, err := parseRecovery(strings.ToLower(recoveryText(master)))
		if err != nil || !bytes.Equal(again, master) {
			t.Fatalf("%q does not survive printing: %v", text, err)
		}
	})
}
