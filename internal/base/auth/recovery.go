package auth

import (
	"context"
	"crypto/rand"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

// Recovery codes stand in for the second factor when it is lost. Each works once, together with the password.
const (
	recoveryCodes = 10
	recoveryChars = 12 // of 5 bits
	kindRecovery  = "recovery"
	kindInvite    = "invite"
)

// recoveryAlphabet leaves out letters that read like digits.
const recoveryAlphabet = "abcdefghjkmnpqrstvwxyz0123456789"

// newRecoveryCode is a code as people write it: xxxx-xxxx-xxxx.
func newRecoveryCode() string {
	b := make([]byte, recoveryChars)
	rand.Read(b)
	var out strings.Builder
	for i, c := range b {
		if i > 0 && i%4 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(recoveryAlphabet[c%32])
	}
	return out.String()
}

// plainCode takes away what people add when they type a code, or returns "" for what is no recovery code.
func plainCode(code string) string {
	s := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(code)))
	if len(s) != recoveryChars || strings.Trim(s, recoveryAlphabet) != "" {
		return ""
	}
	return s
}

// NewRecoveryCodes replaces the person's recovery codes and returns the new ones, to be shown once.
func (a *Auth) NewRecoveryCodes(ctx context.Context, s Staff) ([]string, error) {
	if err := a.recentOwn(ctx, s); err != nil {
		return nil, err
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		codes[i] = newRecoveryCode()
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "recovery codes replaced"}
	err := a.change(ctx, s, e, func(tx *db.Tx) error {
		return replaceRecoveryCodes(ctx, tx, s.UserID(), codes)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}
