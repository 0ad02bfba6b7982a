package guides

import (
	"context"
	"fmt"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Policy says what becomes of a resource that breaks a profile it declares. Breaking R4 itself is always refused.
type Policy string

// The policies: the first is what holds until a practice chooses.
const (
	Reject   Policy = "reject"
	WarnOnly Policy = "warn"
)

// A practice's choice is a Basic resource with this id, so that it is backed up, exported and audited with the rest.
const (
	policyID  = "validation-policy"
	policyURL = "https://yarrow.health/fhir/StructureDefinition/validation-policy"
)

// SetPolicy stores a practice's choice.
func (g *Guides) SetPolicy(ctx context.Context, s auth.System, p Policy) error {
	if p != Reject && p != WarnOnly {
		return fhir.Problem("value", fmt.Sprintf("There is no validation policy %q.", string(p)), "Choose reject or warn.")
	}
	raw := fmt.Appendf(nil, `{"resourceType":"Basic","id":%q,"extension":[{"url":%q,"valueCode":%q}],"code":{"text":"Yarrow: validation policy"}}`, policyID, policyURL, string(p))
	prepared, err := g.store.Prepare(ctx, raw)
	if err != nil {
		return err
	}
	err = g.db.Do(ctx, s, func(tx *db.Tx) error {
		_, err := g.store.Update(ctx, tx, prepared, 0)
		return err
	})
	g.forget(s.Practice())
	return err
}

func (g *Guides) readPolicy(ctx context.Context, tx *db.Tx) (Policy, error) {
	r, err := g.store.ReadMany(ctx, tx, []string{"Basic/" + policyID})
	if err != nil {
		return "", err
	}
	if b := r["Basic/"+policyID]; b != nil {
		return policyOf(b.Node()), nil
	}
	return Reject, nil
}

func policyOf(n *fhirjson.Node) Policy {
	for _, x := range n.Get("extension").Items() {
		if x.Get("url").Text() == policyURL && x.Get("valueCode").Text() == string(WarnOnly) {
			return WarnOnly
		}
	}
	return Reject
}
