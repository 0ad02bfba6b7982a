package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// NewBrowser is one in which somebody signed in as a person who has others, and of which that person has said nothing yet.
type NewBrowser struct {
	Notice  int64
	Browser string // family, such as "Firefox on Windows"
	Address string
	At      time.Time
	device  string // Device.ID
}

// person is whom a notice to one person alone is addressed to. No permission is called so.
func toPerson(user int64) Permission { return Permission("person " + userText(user)) }

// NewBrowsers lists them, the newest first. It asks only in a browser that was the person's before: whoever signed in with what they
// stole is not asked whether it was them.
func (a *Auth) NewBrowsers(ctx context.Context, s Staff) (out []NewBrowser, err error) {
	if !s.Valid() || s.session == 0 {
		return nil, nil
	}
	var told []Notice
	err = a.db.Glance(ctx, s, func(tx *db.Tx) error {
		told, err = listNotices(ctx, tx, []string{string(toPerson(s.UserID()))})
		return err
	})
	if err != nil || len(told) == 0 {
		return nil, err
	}
	since, err := a.deviceSince(ctx, s)
	if err != nil || since.IsZero() {
		return nil, err
	}
	for _, n := range told {
		if n.Kind == NoticeMine && since.Before(n.At) {
			out = append(out, NewBrowser{n.ID, n.Person, n.Detail, n.At, n.Device})
		}
	}
	return out, nil
}

// deviceSince says since when the browser of a session is known as the person's; zero when it is not.
func (a *Auth) deviceSince(ctx context.Context, s Staff) (since time.Time, err error) {
	err = a.db.View(ctx, system("device"), func(tx *db.Tx) error {
		open, err := listSessions(ctx, tx, s.UserID())
		if err != nil {
			return err
		}
		mine, err := listDevices(ctx, tx, s.UserID(), 0)
		if err != nil {
			return err
		}
		for _, e := range open {
			if i := slices.IndexFunc(mine, func(d Device) bool { return e.ID == s.session && d.ID == e.Device }); i >= 0 {
				since = mine[i].First
			}
		}
		return nil
	})
	return since, err
}

// OwnBrowser takes the person's answer about a new browser. When it was not them, what is open in it ends, it is not known any more,
// and those with UserAdmin are told. An answer that was given before is no error.
func (a *Auth) OwnBrowser(ctx context.Context, s Staff, notice int64, mine bool) error {
	all, err := a.NewBrowsers(ctx, s)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(b NewBrowser) bool { return b.Notice == notice })
	if i < 0 {
		return nil
	}
	e := audit.Event{Action: audit.ActionAdmin, Type: "Credential", Detail: "a new browser is the person's own"}
	if !mine {
		e.Detail = "a new browser is not the person's own"
		var gone *fhir.Issue
		if err := a.ForgetDevice(ctx, s, s.UserID(), all[i].device); err != nil && (!errors.As(err, &gone) || gone.Code != "not-found") {
			return err
		}
	}
	return a.db.Do(ctx, s, func(tx *db.Tx) error {
		if err := markNotice(ctx, tx, notice, []string{string(toPerson(s.UserID()))}); err != nil {
			return err
		}
		a.log.Record(tx, e)
		if mine {
			return nil
		}
		return a.notify(ctx, tx, Notice{For: UserAdmin, Kind: NoticeNotMine, Person: s.Name(), Detail: all[i].Browser + " " + all[i].Address, Ref: s.UserID()})
	})
}
