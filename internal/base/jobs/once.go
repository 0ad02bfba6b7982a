package jobs

import (
	"context"
	"errors"

	"yarrow.health/internal/base/db"
)

// Once is one request that is to have one effect and one answer, however often it comes. The key and the answer are stored in
// the transaction of the effect: after a crash between the commit and the answer a repeat finds both.
//
// A module carries out the request under Context and knows nothing of it, but for what the answer needs and only the module
// learns (the id of what it made): that it tells with Made, inside its transaction.
type Once struct {
	Key      Key           // without a Value nothing is stored
	Practice db.PracticeID // where the effect is
	Reply    func(made []string) (Reply, error)

	made       []string
	done, late bool
}

type onceKey struct{}

var errTwice = errors.New("jobs: two transactions under one Once")

// Context is what the one method that has the effect is called with. Other writing of the request uses the request's own context.
func (o *Once) Context(ctx context.Context) context.Context {
	return db.Around(context.WithValue(ctx, onceKey{}, o), o.Practice, func(fn func(*db.Tx) error) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			if o.done { // a method with two transactions has not been looked at: half of it would be stored under the key
				return errTwice
			}
			o.made = nil
			if err := fn(tx); err != nil {
				return err
			}
			tx.OnCommit(func() { o.done = true })
			r, err := o.Reply(o.made)
			if err != nil || o.Key.Value == "" {
				return err
			}
			err = Keep(ctx, tx, o.Key, r)
			o.late = errors.Is(err, ErrSameTime)
			return err
		}
	})
}

// Late says that another request under the key was quicker: nothing was changed by this one, and Answered has the answer.
func (o *Once) Late() bool { return o.late }

// Done says whether the effect is durable.
func (o *Once) Done() bool { return o.done }

// Made tells the answer of the request what came about, inside the transaction. Outside a Once it does nothing.
func Made(ctx context.Context, what ...string) {
	if o, ok := ctx.Value(onceKey{}).(*Once); ok {
		o.made = what
	}
}

// Apart gives the context for a transaction that comes before the effect and may be repeated, such as saving what was typed.
func Apart(ctx context.Context) context.Context { return db.Plain(ctx) }

// Answered looks up a request in a transaction of its own, before anything of it is done; see the function Answered. When Keep
// said ErrSameTime, late makes the answer wait until the other's effect is durable.
func (q *Queue) Answered(ctx context.Context, s db.Scope, k Key, late bool) (r *Reply, err error) {
	look := q.db.View
	if late { // a shared commit may be on its way: stand behind it
		look = q.db.Do
	}
	err = look(ctx, s, func(tx *db.Tx) error {
		r, err = Answered(ctx, tx, k)
		return err
	})
	return r, err
}
