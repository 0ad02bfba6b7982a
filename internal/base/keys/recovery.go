package keys

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"yarrow.health/internal/standards/fhir"
)

// The alphabet is Crockford's: no I, L, O or U, so that a key read from paper is not misread.
var paper = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

const (
	recoveryVersion = 1
	recoverySum     = 4
	recoveryGroup   = 5
)

// recoveryText prints a master key: version, 32 bytes and 4 bytes of SHA-256, as 12 groups of five characters.
func recoveryText(master []byte) string {
	raw := append([]byte{recoveryVersion}, master...)
	sum := sha256.Sum256(raw)
	text := paper.EncodeToString(append(raw, sum[:recoverySum]...))
	var b strings.Builder
	for i := 0; i < len(text); i += recoveryGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[i:min(i+recoveryGroup, len(text))])
	}
	return b.String()
}

// parseRecovery reads what recoveryText printed, as a person may type it: any case, spaces or dashes anywhere,
// O for 0 and I or L for 1.
func parseRecovery(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "", " ", "", "\n", "", "\r", "", "\t", "", "O", "0", "I", "1", "L", "1").
		Replace(strings.ToUpper(text))
	wrong := func(what string) error {
		return fhir.Problem("value", "This is not a Yarrow recovery key: "+what+".",
			"Type it again from the paper: 60 letters and digits in 12 groups of five.")
	}
	raw, err := paper.DecodeString(text)
	if err != nil {
		return nil, wrong("it holds a character no recovery key has")
	}
	if len(raw) != 1+secretSize+recoverySum {
		return nil, wrong("it is too short or too long")
	}
	body := raw[:1+secretSize]
	sum := sha256.Sum256(body)
	if string(sum[:recoverySum]) != string(raw[1+secretSize:]) {
		return nil, wrong("its check digits do not agree, so at least one character is mistyped")
	}
	if body[0] != recoveryVersion {
		return nil, wrong("it comes from a version of Yarrow this one does not know")
	}
	return body[1:], nil
}
