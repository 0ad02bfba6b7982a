package db

import "context"

// Wrap makes one fn of a Do out of another, to write more in the same transaction.
type Wrap func(fn func(*Tx) error) func(*Tx) error

type around struct {
	practice PracticeID
	wrap     Wrap
}

type aroundKey struct{}

// Around gives a context under which the fn of every Do on the practice is wrapped. Whoever answers a request uses it to store
// something with the change that a module makes, without the module's methods knowing of it. A context made from the fn's own
// is plain again.
func Around(ctx context.Context, p PracticeID, w Wrap) context.Context {
	return context.WithValue(ctx, aroundKey{}, &around{p, w})
}

// Plain gives the context without what Around put on it, for writing that stands beside the change.
func Plain(ctx context.Context) context.Context {
	if aroundOf(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, aroundKey{}, (*around)(nil))
}

func aroundOf(ctx context.Context) *around {
	a, _ := ctx.Value(aroundKey{}).(*around)
	return a
}
