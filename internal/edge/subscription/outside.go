package subscription

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

// hostOf is the host of an address as the practice's list has it: with its port unless that is 443.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if p := u.Port(); p != "" && p != "443" {
		host += ":" + p
	}
	return host
}

// closed says why nothing may be sent to an address or fetched from it, nil when it may. Hosts that are not on the practice's list are
// answered with what refuse says.
func (h *Hub) closed(ctx context.Context, p db.PracticeID, address string, refuse func(host string) *fhir.Issue) *fhir.Issue {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && !h.o.Private {
		return notReachable()
	}
	name := hostOf(address)
	var host *Host
	if err := h.o.DB.View(ctx, self(p), func(tx *db.Tx) (err error) {
		host, err = loadHost(ctx, tx, name)
		return err
	}); err != nil || host == nil {
		return refuse(name)
	}
	d, err := host.destination()
	if err == nil {
		err = h.o.Egress.Allow(d)
	}
	if err != nil {
		return notReachable()
	}
	return nil
}

// Reach says why a file may not be fetched from an address for an import; nil when its host is on the practice's list.
func (h *Hub) Reach(ctx context.Context, p db.PracticeID, address string) error {
	if why := h.closed(ctx, p, address, notFetched); why != nil {
		return why
	}
	return nil
}

// Fetch gets what is at an address, for an import, if its host is on the practice's list then. Redirects are not followed. Errors are
// those of [Hub.Reach], one of code too-long over 32 MB, and transient ones.
func (h *Hub) Fetch(ctx context.Context, p db.PracticeID, address string) (*egress.Reply, error) {
	if err := h.Reach(ctx, p, address); err != nil {
		return nil, err
	}
	header := http.Header{"Accept": {"application/fhir+ndjson, application/ndjson;q=0.9, */*;q=0.1"}, "User-Agent": {"Yarrow"}}
	return h.o.Egress.Do(ctx, egress.Request{Method: http.MethodGet, URL: address, Header: header})
}
