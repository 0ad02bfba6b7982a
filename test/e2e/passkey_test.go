package e2e_test

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A person adds a passkey to their account, signs out, and signs in with it alone. The browser's own virtual authenticator stands
// for the key.
func TestPasskey(t *testing.T) {
	y := startDemo(t)
	v := visit(t, y.Demo.URL, desktop)
	v.do("plug in a key", webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
	v.signInAs("Osei")
	v.open("/demo/account/security")
	v.click(`[data-passkey="register"]`)
	v.says("Passkey added")
	v.do("sign out", chromedp.Evaluate(`document.querySelector('form[action$="/sign-out"]').submit()`, nil))
	v.see("#f-login")
	v.click(`[data-passkey="use"]`)
	v.see(".rail")
	v.says("Amara Osei, MD")
}
