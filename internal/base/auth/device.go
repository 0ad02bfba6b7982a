package auth

import (
	"net/netip"
	"strings"
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
