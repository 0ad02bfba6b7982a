package guides

import (
	"context"
	"fmt"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
)

// Policy says what becomes of a resource that breaks a profile it declares. Breaking R4 itself is always refused.
type Policy string

// The policies: the first is what holds until a practice chooses.
const (
	Reject   Policy = "reject"
	WarnOnly Policy = "warn"
)

// How a practice takes references that lead nowhere (fhirstore.Targets), by its name. A warning holds until it chooses: R4
// does not ask for an order. The context of what is written must be there in any case, see fhirstore.
var targets = map[string]fhirstore.Targets{"reject": fhirstore.MustTarget, "warn": fhirstore.WarnTarget, "off": fhirstore.AnyTarget}

// A practice's choice is a Basic resource with this id, so that it is backed up, exported and audited with the rest.
const (
	policyID  = "validation-policy"
	policyURL = "https://yarrow.health/fhir/StructureDefinition/validation-policy"
	targetURL = "https://yarrow.health/fhir/StructureDefinition/reference-policy"
)

// SetPolicy stores a practice's choice about profiles and leaves the other one alone.
func (g *Guides) SetPolicy(ctx context.Context, s auth.System, p Policy) error {
	if p != Reject && p != WarnOnly {
		return fhir.Problem("value", fmt.Sprintf("There is no validation policy %q.", string(p)), "Choose reject or warn.")
	}
	return g.choose(ctx, s, policyURL, string(p))
}

// SetTargets stores a practice's choice about references that lead nowhere: reject, warn or off.
func (g *Guides) SetTargets(ctx context.Context, s auth.System, choice string) error {
	if _, ok := targets[choice]; !ok {
		return fhir.Problem("value", fmt.Sprintf("There is no policy for references %q.", choice), "Choose reject, warn or off.")
	}
	return g.choose(ctx, s, targetURL, choice)
}

func (g *Guides) choose(ctx context.Context, s auth.System, url, choice string) error {
	err := g.db.Do(ctx, s, func(tx *db.Tx) error {
		chosen, err := g.readChoices(ctx, tx)
		if err != nil {
			return err
		}
		chosen[url] = choice
		var extensions []string
		for _, url := range []string{policyURL, targetURL} {
			if chosen[url] != "" {
				extensions = append(extensions, fmt.Sprintf(`{"url":%q,"valueCode":%q}`, url, chosen[url]))
			}
		}
		raw := fmt.Appendf(nil, `{"resourceType":"Basic","id":%q,"extension":[%s],"code":{"text":"Yarrow: validation policy"}}`, policyID, strings.Join(extensions, ","))
		prepared, err := g.store.Prepare(ctx, raw)
		if err != nil {
			return err
		}
		_, err = g.store.Update(ctx, tx, prepared, 0)
		return err
	})
	g.forget(s.Practice())
	return err
}

// readChoices are a practice's choices by their address.
func (g *Guides) readChoices(ctx context.Context, tx *db.Tx) (map[string]string, error) {
	r, err := g.store.ReadMany(ctx, tx, []string{"Basic/" + policyID})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	if b := r["Basic/"+policyID]; b != nil {
		for _, x := range b.Node().Get("extension").Items() {
			out[x.Get("url").Text()] = x.Get("valueCode").Text()
		}
	}
	return out, nil
}

// readPolicies reads both choices, or what holds without one.
func (g *Guides) readPolicies(ctx context.Context, tx *db.Tx) (Policy, fhirstore.Targets, error) {
	chosen, err := g.readChoices(ctx, tx)
	policy := Reject
	if chosen[policyURL] == string(WarnOnly) {
		policy = WarnOnly
	}
	t, ok := targets[chosen[targetURL]]
	if !ok {
		t = fhirstore.WarnTarget
	}
	return policy, t, err
}

// Targets is a practice's choice about references that lead nowhere (fhirstore.Store.Targets). It must not be called inside a
// transaction.
func (g *Guides) Targets(ctx context.Context, s db.Scope) (fhirstore.Targets, error) {
	l, err := g.of(ctx, s.Practice())
	if err != nil {
		return fhirstore.AnyTarget, err
	}
	return l.targets, nil
}
