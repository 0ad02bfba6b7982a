package apps

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/edge/subscription"
	"yarrow.health/internal/web/ui"
)

func id(prefix string, parts ...int) string {
	for _, p := range parts {
		prefix += fmt.Sprint("-", p)
	}
	return prefix
}

// goTo is the link to an address that base/oauth named. A program on the person's own machine may have a scheme of its own, which
// is let through only in the form in which it can be registered: with a dot in it, as no scheme of a browser has.
func goTo(to string) templ.SafeURL {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" && !strings.Contains(u.Scheme, ".") {
		return "about:invalid"
	}
	return templ.SafeURL(to)
}

func kinds(q *ui.Request) (out []ui.Option) {
	for _, k := range []oauth.Kind{oauth.Public, oauth.Secret, oauth.Keys} {
		out = append(out, ui.Option{Value: string(k), Label: q.T("apps.kind." + string(k))})
	}
	return out
}

// grantName is what a connection is called: on a program's page by the person, otherwise by the program.
func grantName(q *ui.Request, g oauth.Grant, program string) string {
	switch {
	case program != "" && g.Name != "":
		return g.Name
	case program != "":
		return q.T("apps.itself")
	case g.Client != nil:
		return g.Client.Name
	}
	return q.T("apps.gone")
}

// topicKey is the last part of a topic's address, under which the catalogue has its words.
func topicKey(v subscription.View) string { return v.Topic[strings.LastIndexByte(v.Topic, '/')+1:] }
