package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// Device is a browser in which a person has signed in with every factor. It is known by a random cookie alone; nothing of the
// machine is measured.
type Device struct {
	ID          string // names it in lists; opens nothing
	Address     string // of the network, at the last sign-in
	Browser     string // family, such as "Firefox on Windows"
	Passkey     bool   // the last sign-in was by a passkey
	First, Seen time.Time
	Here        bool // it is the one that asks
}

// RememberDevice makes the browser known as the person's own, or notes that it was used again: failures of strangers then never slow
// its sign-ins, and it stands in the person's list. device is the token in its cookie, or ""; given is the one to keep there. Only a
// session with every factor may ask. When the person has other devices, they and those with
// UserAdmin are told of a new one.
func (a *Auth) RememberDevice(ctx context.Context, s Staff, device, remote, agent string) (given string, err error) {
	if !s.Valid() || s.session == 0 {
		return "", db.ErrNoScope
	}
	var seen seenDevice
	err = a.db.View(ctx, system("device"), func(tx *db.Tx) error {
		seen, err = lookAtDevice(ctx, tx, s, device)
		return err
	})
	if err != nil {
		return "", err
	}
	if !seen.known {
		device = seen.given
	}
	body := deviceBody{Address: hostOf(remote), Browser: browserFamily(agent), Practice: int64(s.Practice()), Passkey: seen.how&proofPasskey != 0}
	if !seen.known && seen.others > 0 {
		hash := deviceHash(device)
		told := []Notice{{For: UserAdmin, Kind: NoticeDevice, Person: s.Name(), Detail: body.Browser + " " + body.Address, Ref: s.UserID()},
			{For: toPerson(s.UserID()), Kind: NoticeMine, Person: body.Browser, Detail: body.Address, Device: deviceID(hash[:])}}
		if err := a.db.Do(ctx, SystemScope(s.Practice(), "new device"), func(tx *db.Tx) error {
			for _, n := range told {
				if err := a.notify(ctx, tx, n); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return "", err
		}
	}
	keep := func(tx *db.Tx) error { return rememberDevice(ctx, tx, s, deviceHash(device), body, seen.known) }
	if seen.known {
		return device, a.db.Do(ctx, system("device"), keep)
	}
	return device, a.change(ctx, s, audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "device remembered"}, keep)
}

// Devices lists the browsers in which the person signs in, in all practices, the last used first. here is the token in the cookie of
// the one that asks.
func (a *Auth) Devices(ctx context.Context, s Staff, here string) (out []Device, err error) {
	if !s.Valid() {
		return nil, db.ErrNoScope
	}
	hash := deviceHash(here)
	err = a.db.View(ctx, system("devices"), func(tx *db.Tx) error {
		out, err = listDevices(ctx, tx, s.UserID(), 0)
		return err
	})
	for i := range out {
		out[i].Here = out[i].ID == deviceID(hash[:])
	}
	return out, err
}

// DevicesOf lists the browsers in which a person signs in to the caller's practice, the last used first.
func (a *Auth) DevicesOf(ctx context.Context, by db.Scope, user int64) (out []Device, err error) {
	if err := may(by, UserAdmin); err != nil {
		return nil, err
	}
	err = a.db.View(ctx, system("devices"), func(tx *db.Tx) error {
		out, err = listDevices(ctx, tx, user, by.Practice())
		return err
	})
	return out, err
}

// ForgetDevice ends what is open in a browser and makes it unknown: one's own, or for somebody with UserAdmin one in which a person
// signs in to the caller's practice.
func (a *Auth) ForgetDevice(ctx context.Context, by db.Scope, user int64, id string) error {
	practice := by.Practice()
	if s, ok := by.(Staff); ok && s.UserID() == user {
		practice = 0
	} else if err := may(by, UserAdmin); err != nil {
		return err
	}
	defer a.forgetUser(user)
	e := audit.Event{Action: audit.ActionSignOut, Type: "User", ID: userText(user), Detail: "device forgotten, its sessions ended"}
	return a.change(ctx, by, e, func(tx *db.Tx) error { return forgetDevice(ctx, tx, practice, user, id) })
}

// deviceID names a device in lists.
func deviceID(hash []byte) string { return hex.EncodeToString(hash[:8]) }

// deviceFor is how long a device stays known without being used.
const deviceFor = 90 * 24 * time.Hour
