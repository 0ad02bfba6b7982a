package auth

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
)

// hostOf is the address part of a remote address.
func hostOf(remote string) string {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap().String()
	}
	if len(remote) > 64 {
		return remote[:64]
	}
	return remote
}

// browserFamily is what a person recognises of a User-Agent: browser and system, no versions.
func browserFamily(agent string) string {
	if agent == "" {
		return ""
	}
	pick := func(pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if strings.Contains(agent, pairs[i]) {
				return pairs[i+1]
			}
		}
		return ""
	}
	browser := pick("Edg", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "FxiOS", "Firefox", "Chrome/", "Chrome",
		"CriOS", "Chrome", "Safari/", "Safari", "curl/", "curl")
	system := pick("Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Windows", "Windows", "Mac OS X", "macOS",
		"CrOS", "ChromeOS", "Linux", "Linux")
	switch {
	case browser == "" && system == "":
		return "other"
	case system == "":
		return browser
	case browser == "":
		return system
	}
	return browser + " on " + system
}

// deviceHash is how device tokens are kept.
func deviceHash(token string) [sha256.Size]byte { return digest("device|" + token) }

// RememberDevice makes the browser known as the person's own and returns a token for a long-lived cookie: failures
// of strangers then never slow its sign-ins. Only a session with every factor may ask.
func (a *Auth) RememberDevice(ctx context.Context, s Staff, userAgent string) (string, error) {
	if !s.Valid() || s.session == 0 {
		return "", db.ErrNoScope
	}
	token := newToken()
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "device remembered"}
	err := a.change(ctx, s, e, func(tx *db.Tx) error {
		return rememberDevice(ctx, tx, s, deviceHash(token), userAgent)
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// deviceFor is how long a device stays known without being used.
const deviceFor = 90 * 24 * time.Hour
