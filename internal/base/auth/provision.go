package auth

import (
	"context"
	"slices"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// Provisioned is a person of a practice as a directory (SCIM) sees them.
type Provisioned struct {
	User
	External string    // the directory's own id of the person, or ""
	Changed  time.Time // by the directory; otherwise when the person joined
	deleted  bool
}

// Provisioned lists the people of sys's practice for its directory, in the order of their numbers. Those it deleted are left out.
func (a *Auth) Provisioned(ctx context.Context, sys System) (out []Provisioned, err error) {
	err = a.db.View(ctx, system("directory"), func(tx *db.Tx) error {
		out, err = provisioned(ctx, tx, sys.Practice())
		return err
	})
	out = slices.DeleteFunc(out, func(p Provisioned) bool { return p.deleted })
	slices.SortFunc(out, func(x, y Provisioned) int { return int(x.ID - y.ID) })
	return out, err
}

// Provision adds a person whom a directory looks after, without a role, a password or any right, or takes back one that it deleted.
// An Issue of code "conflict" says that the login is taken, here or in another practice.
func (a *Auth) Provision(ctx context.Context, sys System, u User, external string) (id int64, err error) {
	if !sys.Valid() {
		return 0, db.ErrNoScope
	}
	u.Roles, u.Password, u.TOTPSecret = nil, "", ""
	if err := checkPerson(u); err != nil {
		return 0, err
	}
	err = a.change(ctx, sys, audit.Event{Action: audit.ActionPrivilege, Type: "User", Detail: "person added by the directory"}, func(tx *db.Tx) error {
		all, err := provisioned(ctx, tx, sys.Practice())
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.deleted && foldLogin(p.Login) == foldLogin(u.Login) {
				id = p.ID
				if err := enable(ctx, tx, sys.Practice(), id); err != nil {
					return err
				}
				if err := rename(ctx, tx, id, u.Login, u.Display); err != nil {
					return err
				}
				return setProvisioned(ctx, tx, sys.Practice(), id, external, false)
			}
		}
		if id, err = insertUser(ctx, tx, sys.Practice(), u, ""); err != nil {
			return err
		}
		return setProvisioned(ctx, tx, sys.Practice(), id, external, false)
	})
	a.forgetUser(id)
	return id, err
}

// Reprovision changes what the directory says of a person: login, name, its own id, and whether they may work here. Not active ends
// every session, program, stream and export of the person in the practice within a second. People who keep a way in of their own
// are not the directory's to change.
func (a *Auth) Reprovision(ctx context.Context, sys System, id int64, login, display, external string, active bool) error {
	if err := checkPerson(User{Login: login, Display: display}); err != nil {
		return err
	}
	return a.provision(ctx, sys, id, "changed by the directory", func(tx *db.Tx, was Provisioned) error {
		if foldLogin(login) != foldLogin(was.Login) {
			var n int64
			if err := tx.QueryRow(ctx, otherPractices, 0, id, stateActive).Scan(&n); err != nil {
				return err
			}
			if n > 1 || n == 1 && !was.Active {
				return fhir.Problem("forbidden", "This person works in other practices too.", "Whoever looks after this server changes their login.")
			}
		}
		if login != was.Login || display != was.Display {
			if err := rename(ctx, tx, id, login, display); err != nil {
				return err
			}
		}
		var err error
		switch {
		case was.Active && !active:
			err = disable(ctx, tx, sys.Practice(), id)
		case !was.Active && active:
			err = enable(ctx, tx, sys.Practice(), id)
		}
		if err != nil {
			return err
		}
		return setProvisioned(ctx, tx, sys.Practice(), id, external, false)
	})
}

// Unprovision disables a person, whom the directory does not see any more. What they did stays under their name.
func (a *Auth) Unprovision(ctx context.Context, sys System, id int64) error {
	return a.provision(ctx, sys, id, "deleted by the directory", func(tx *db.Tx, was Provisioned) error {
		if err := disable(ctx, tx, sys.Practice(), id); err != nil {
			return err
		}
		return setProvisioned(ctx, tx, sys.Practice(), id, was.External, true)
	})
}

// ProvisionRoles gives a person the roles of the groups they are in, or none; roles that were retired fall away. Administrators, and
// other roles that decide about rights, are given and taken by the practice itself: whoever holds a directory's key must not be able to
// make themself one.
func (a *Auth) ProvisionRoles(ctx context.Context, sys System, id int64, roles ...Role) error {
	if !sys.Valid() {
		return db.ErrNoScope
	}
	r, err := a.rulesOf(ctx, sys.Practice())
	if err != nil {
		return err
	}
	set := r.matrix.known(rolesOf(roles))
	roles = set.list()
	return a.provision(ctx, sys, id, "roles by the directory are now "+joinRoles(roles), func(tx *db.Tx, was Provisioned) error {
		if (set^rolesOf(was.Roles))&r.matrix.governing() != 0 {
			return fhir.Problem("forbidden", "Administrators are appointed in the practice, not by a directory.", "Leave this group out of what the directory looks after.")
		}
		if err := changeRoles(ctx, tx, sys.Practice(), id, set); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, sys.Practice(), id, "roles changed"); err != nil {
			return err
		}
		return setProvisioned(ctx, tx, sys.Practice(), id, was.External, false)
	})
}

// provision changes one person whom the directory sees.
func (a *Auth) provision(ctx context.Context, sys System, id int64, what string, change func(tx *db.Tx, was Provisioned) error) error {
	if !sys.Valid() {
		return db.ErrNoScope
	}
	p, err := a.PracticeByID(ctx, sys.Practice())
	if err != nil {
		return err
	}
	defer a.forgetUser(id)
	return a.change(ctx, sys, audit.Event{Action: audit.ActionPrivilege, Type: "User", ID: userText(id), Detail: strings.TrimSpace(what)}, func(tx *db.Tx) error {
		all, err := provisioned(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(x Provisioned) bool { return x.ID == id && !x.deleted })
		switch {
		case i < 0:
			return noSuchUser()
		case slices.Contains(p.SignOn.Recovery, id):
			return fhir.Problem("forbidden", "This person keeps a way in of their own and is not the directory's to change.", "An administrator of the practice changes them.")
		}
		return change(tx, all[i])
	})
}
