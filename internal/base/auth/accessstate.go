package auth

import (
	"context"
	"slices"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Contract is what the agreement with the hosting company allows at present.
type Contract string

// The contract states.
const (
	ContractActive   Contract = "active"
	ContractReadOnly Contract = "read-only" // suspended: people see and export, nothing is written
	ContractClosed   Contract = "closed"    // nobody signs in; export and erasure run as System
)

// AccessState is what higher shelves decided for a whole practice and the kernel obeys.
type AccessState struct {
	Contract     Contract
	BAA          time.Time // when a business associate agreement was executed; zero: only synthetic data may be held
	Modules      []string  // modules the practice is entitled to, sorted; none means the ones everybody has
	ConsentEpoch int64     // grows with every change of consents or labels, so that caches of decisions lapse
}

// Entitled says whether a module is among those of the practice.
func (s AccessState) Entitled(module string) bool { return slices.Contains(s.Modules, module) }

// apply narrows an access to what the practice's state allows.
func (s AccessState) apply(a *Access) *Access {
	switch s.Contract {
	case ContractActive:
		return a
	case ContractReadOnly:
		return a.readOnly()
	}
	return &Access{}
}

// ChangeAccessState changes the state of sys's practice. change must have no other effect. It takes effect on every
// node within a second.
func (a *Auth) ChangeAccessState(ctx context.Context, sys System, change func(*AccessState)) error {
	return a.changeAccessState(ctx, sys, "access state changed", change)
}

func (a *Auth) changeAccessState(ctx context.Context, by db.Scope, why string, change func(*AccessState)) error {
	e := audit.Event{Action: audit.ActionPrivilege, Type: "Practice", Detail: why}
	defer a.forgetPractice(by.Practice())
	return a.change(ctx, by, e, func(tx *db.Tx) error {
		s, err := accessState(ctx, tx, by.Practice())
		if err != nil {
			return err
		}
		change(&s)
		switch s.Contract {
		case ContractActive, ContractReadOnly, ContractClosed:
		default:
			return fhir.Problem("value", "The contract state is not one Yarrow knows.", "Use active, read-only or closed.")
		}
		slices.Sort(s.Modules)
		s.Modules = slices.Compact(s.Modules)
		return writeAccessState(ctx, tx, by.Practice(), s)
	})
}
