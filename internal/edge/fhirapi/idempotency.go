package fhirapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// errAnswered carries the answer to an earlier request with the same key out of a transaction.
type errAnswered struct{ ans *Answer }

func (errAnswered) Error() string { return "fhirapi: answered before" }

// Do runs fn in a transaction of the practice, as the one who asks; what it returns is sent after the commit. With an
// Idempotency-Key header fn runs once for the key: the answer is kept in fn's own transaction, and whoever sends the same request
// again gets it. fn may be run again after a collision and must have no effect outside the transaction.
func (c *Call) Do(ctx context.Context, fn func(tx *db.Tx) (*Answer, error)) (*Answer, error) {
	return c.do(ctx, c.x.api.o.DB.Do, fn)
}

// join is Do for a change of one resource that nothing slow goes before, which shares its commit with others (see [db.DB.Join]).
func (c *Call) join(ctx context.Context, fn func(tx *db.Tx) (*Answer, error)) (*Answer, error) {
	if len(c.Body) > joinBody {
		return c.Do(ctx, fn)
	}
	return c.do(ctx, func(ctx context.Context, s db.Scope, fn func(*db.Tx) error) error {
		if c.ID == "" {
			return c.x.api.o.DB.Join(ctx, s, fn)
		}
		return c.x.api.o.DB.Join(ctx, s, fn, c.Type+"/"+c.ID)
	}, fn)
}

// joinWhere is join for a change with a condition, "" for none: only one that asks for an identifier is sure to be answered at once.
func (c *Call) joinWhere(ctx context.Context, condition string, fn func(tx *db.Tx) (*Answer, error)) (*Answer, error) {
	if condition == "" {
		return c.join(ctx, fn)
	}
	values, err := url.ParseQuery(condition)
	if err != nil || len(values) != 1 || len(values["identifier"]) != 1 {
		return c.Do(ctx, fn)
	}
	if system, value, _ := strings.Cut(values["identifier"][0], "|"); system == "" || value == "" || strings.Contains(value, ",") {
		return c.Do(ctx, fn)
	}
	return c.join(ctx, fn)
}

// joinBody is from how many bytes on a body would keep others waiting.
const joinBody = 256 << 10

func (c *Call) do(ctx context.Context, run func(context.Context, db.Scope, func(*db.Tx) error) error, fn func(tx *db.Tx) (*Answer, error)) (*Answer, error) {
	key, err := c.idempotency()
	if err != nil {
		return nil, err
	}
	seen := len(c.events)
	var ans *Answer
	err = again(func() error {
		return run(ctx, c.Scope, func(tx *db.Tx) error {
			c.events = c.events[:seen]
			if err := c.before(ctx, tx, key); err != nil {
				return err
			}
			var err error
			if ans, err = fn(tx); err != nil {
				return err
			}
			return c.after(ctx, tx, key, ans)
		})
	})
	if before, ok := answeredBefore(err); ok {
		return before, nil
	}
	if err != nil {
		c.events = c.events[:seen]
		return nil, err
	}
	return ans, nil
}

// again repeats what met a row that somebody else wrote at the same moment: the next try sees it.
func again(do func() error) (err error) {
	for range 3 {
		if err = do(); !db.IsUnique(err) {
			break
		}
	}
	return err
}

// answeredBefore is the answer to an earlier request that an error carries.
func answeredBefore(err error) (*Answer, bool) {
	var before errAnswered
	ok := errors.As(err, &before)
	return before.ans, ok
}

// before looks whether the key was answered already.
func (c *Call) before(ctx context.Context, tx *db.Tx, key *jobs.Key) error {
	if key == nil {
		return nil
	}
	old, err := jobs.Answered(ctx, tx, *key)
	if err != nil || old == nil {
		return err
	}
	ans, err := unpackAnswer(old)
	if err != nil {
		return err
	}
	c.See(audit.Event{Action: audit.ActionRead, Type: c.Type, ID: c.ID, Detail: "answer repeated for an idempotency key"})
	return errAnswered{ans}
}

// after keeps the answer beside its effect.
func (c *Call) after(ctx context.Context, tx *db.Tx, key *jobs.Key, ans *Answer) error {
	if key == nil {
		return nil
	}
	return jobs.Keep(ctx, tx, *key, packAnswer(ans))
}

// idempotency is the key of the request, nil without one. A key belongs to the one who asks and to the address.
func (c *Call) idempotency() (*jobs.Key, error) {
	value := c.key
	if value == "" && !c.nested {
		value = c.Header("Idempotency-Key")
	}
	if value == "" {
		return nil, nil
	}
	if len(value) > 255 {
		return nil, fhir.Problem("value", "The Idempotency-Key is longer than 255 characters.", "Send a random key, such as a UUID.").At("http.Idempotency-Key")
	}
	a := c.Scope.Actor()
	sum := sha256.New()
	for _, part := range []string{c.x.r.URL.RawQuery, c.Header("If-None-Exist"), c.Header("If-Match"), c.Header("Content-Type")} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	sum.Write(c.Body)
	return &jobs.Key{
		Principal: a.Kind + ":" + strconv.FormatInt(a.UserID, 10) + ":" + a.Client + ":" + a.FHIR,
		Route:     c.x.r.Method + " " + c.x.r.URL.Path,
		Value:     value,
		Request:   base64.RawStdEncoding.EncodeToString(sum.Sum(nil)),
	}, nil
}

// packAnswer is an answer as it is kept: version, time, type and where work that it began is followed, then the resource.
func packAnswer(ans *Answer) jobs.Reply {
	head := strconv.FormatInt(ans.Version, 10) + " " + strconv.FormatInt(ans.Updated.UnixMicro(), 10) + " " + ans.typ
	if at := ans.Header.Get("Content-Location"); at != "" {
		head += " " + at
	}
	head += "\n"
	return jobs.Reply{Status: ans.Status, Location: ans.Location, Body: append([]byte(head), ans.Resource...)}
}

func unpackAnswer(r *jobs.Reply) (*Answer, error) {
	head, resource, ok := bytes.Cut(r.Body, []byte("\n"))
	parts := bytes.Split(head, []byte(" "))
	if !ok || len(parts) != 3 && len(parts) != 4 {
		return nil, errors.New("fhirapi: a kept answer cannot be read")
	}
	ans := &Answer{Status: r.Status, Location: r.Location, wrote: true, typ: string(parts[2])}
	if len(resource) > 0 {
		ans.Resource = resource
	}
	if len(parts) == 4 {
		ans.Header = http.Header{"Content-Location": {string(parts[3])}}
	}
	var err error
	if ans.Version, err = strconv.ParseInt(string(parts[0]), 10, 64); err != nil {
		return nil, err
	}
	micro, err := strconv.ParseInt(string(parts[1]), 10, 64)
	if err != nil {
		return nil, err
	}
	if ans.Version > 0 {
		ans.Updated = time.UnixMicro(micro).UTC()
	}
	return ans, nil
}
