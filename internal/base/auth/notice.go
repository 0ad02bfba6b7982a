package auth

import (
	"context"
	"time"

	"yarrow.health/internal/base/db"
)

// Kinds of notices.
const (
	NoticeGlass   = "break-glass"      // a restricted chart was opened in an emergency
	NoticeFailed  = "sign-in-failures" // somebody keeps failing to sign in
	NoticeDevice  = "new-device"       // somebody signed in with a browser that was not known, and has others
	NoticeMine    = "own-device"       // the same, told to the person; see NewBrowsers
	NoticeNotMine = "not-own-device"   // somebody says that a sign-in was not theirs
	NoticeSupport = "support"          // the hosting company used, or was given, access
)

// Notice is something people who hold a permission must be told.
type Notice struct {
	ID      int64
	For     Permission
	Kind    string
	At      time.Time
	Patient string // id, or ""
	Person  string // display name of who did it, or ""
	Detail  string
	Ref     int64  // what it is about, such as Opening.ID
	Device  string // Device.ID, or ""
}

// OnNotice sets what publishes the kind of a notice in the transaction that stores it, so that open screens hear of
// it at once. Set it before use; without it screens see a notice when they are next opened.
func (a *Auth) OnNotice(publish func(ctx context.Context, tx *db.Tx, kind string) error) {
	a.tell = publish
}

// notify stores a notice in the transaction of its cause, and rings for open screens.
func (a *Auth) notify(ctx context.Context, tx *db.Tx, n Notice) error {
	n.ID = newNumber()
	if err := saveNotice(tx, n); err != nil {
		return err
	}
	if a.tell != nil {
		return a.tell(ctx, tx, n.Kind)
	}
	return nil
}

// Notices lists what the person must be told and nobody has marked as seen, newest first, at most 100.
func (a *Auth) Notices(ctx context.Context, s Staff) (out []Notice, err error) {
	err = a.db.View(ctx, s, func(tx *db.Tx) error {
		out, err = listNotices(ctx, tx, held(s))
		return err
	})
	return out, err
}

// SeeNotice marks a notice as seen.
func (a *Auth) SeeNotice(ctx context.Context, s Staff, id int64) error {
	return a.db.Do(ctx, s, func(tx *db.Tx) error { return markNotice(ctx, tx, id, held(s)) })
}

// held are the permissions of a person that notices are addressed to.
func held(s Staff) (out []string) {
	for _, p := range []Permission{PrivacyReview, UserAdmin, SupportGrant} {
		if s.Can(p) {
			out = append(out, string(p))
		}
	}
	return out
}
