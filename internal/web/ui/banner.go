package ui

// Banner is what must be seen on every page until it is over or somebody has dealt with it.
type Banner struct {
	Words, Path     string // where the words lead
	Post, PostWords string // an action on it, "" for none
	Quiet           bool   // news rather than a warning
}

func (b Banner) role() string {
	if b.Quiet {
		return "status"
	}
	return "alert"
}

// banners are those of the request. A page is shown without them rather than not at all when they cannot be read; the
// fault is logged.
func (q *Request) banners() []Banner {
	f := q.router.o.Banners
	if f == nil || !q.Staff.Valid() || q.State.MustEnrol {
		return nil
	}
	list, err := f(q.Context(), q)
	if err != nil {
		q.router.o.Log.Error("banners could not be read", "request", q.ID, "error", err)
	}
	return list
}
