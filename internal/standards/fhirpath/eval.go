package fhirpath

import (
	"errors"
	"fmt"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

// Expr is a compiled expression. It is safe for use by many goroutines.
type Expr struct {
	src  string
	root node
}

// Compile parses an expression. The error is an *Error with the position.
func Compile(src string) (*Expr, error) {
	n, err := parse(src)
	if err != nil {
		return nil, err
	}
	return &Expr{src, n}, nil
}

// String returns the source.
func (e *Expr) String() string { return e.src }

// Env is what an evaluation may know beyond the resource. A nil *Env and nil fields are allowed.
type Env struct {
	Model Model
	// Resource, RootResource and Context are %resource, %rootResource and %context; each defaults to the
	// root of the evaluation.
	Resource, RootResource, Context *fhirjson.Node
	Vars                            map[string]Collection // further %variables
	// Resolve follows a reference (as written) to a resource and its type. It returns nil when it cannot;
	// the type alone is enough for resolve() is T.
	Resolve func(ref string) (*fhirjson.Node, string)
	Now     time.Time // now() and today(); the zero time makes them empty
	Trace   func(name string, c Collection)
	// Strict makes errors of what is otherwise empty or chance: an element the model does not know, the
	// first of children(), a condition of iif() that is no boolean.
	Strict bool
	// ManyAs lets as take several items, as ofType does: R4's own search expressions need it.
	ManyAs bool
	// EmptyJoin makes join() of nothing the empty text instead of nothing: the conformance cases of SQL on FHIR ask for it.
	EmptyJoin bool
	Steps     int // budget; 0 means DefaultSteps
	// Left, if it is not nil, is a budget for several evaluations: each takes its steps from it, and none takes more.
	Left *int

	// Codes answers memberOf() as profile.Validator.Codes does; Subsumes answers whether code a of a system is b or an
	// ancestor of b; Conforms whether an element meets the profile with a URL. known is false when that cannot be told;
	// then, and where they are nil, the functions are empty (conformsTo() is an error).
	Codes    func(valueSet, system, code string) (ok, known bool)
	Subsumes func(system, a, b string) (ok, known bool)
	Conforms func(it Item, url string) (ok, known bool)
}

// DefaultSteps bounds one evaluation, to about a second of work and 100 MB at worst.
const DefaultSteps = 1_000_000

// ErrTooMuchWork is returned when an evaluation exceeds its step budget.
var ErrTooMuchWork = errors.New("FHIRPath evaluation needs more steps than allowed")

// Eval evaluates the expression on root, an element of type rootType ("" takes its resourceType).
// Errors are ErrTooMuchWork or faults that the specification calls errors (such as a collection where a
// single item is needed).
func (e *Expr) Eval(env *Env, root *fhirjson.Node, rootType string) (Collection, error) {
	if env == nil {
		env = &Env{}
	}
	if rootType == "" {
		rootType = guessType(root)
	}
	c := &evaluator{env: env, model: env.Model, left: env.Steps}
	if c.left <= 0 {
		c.left = DefaultSteps
	}
	if env.Left != nil {
		c.left = min(c.left, max(*env.Left, 0))
		start := c.left
		defer func() { *env.Left -= start - max(c.left, 0) }()
	}
	if env.Strict {
		if err := e.Check(env.Model, rootType); err != nil {
			return nil, err
		}
	}
	if root != nil {
		c.root = Item{Node: root, Type: rootType}
		c.focus = Collection{c.root}
	}
	return e.root.eval(c)
}

// TestItem is Test for an element of which more is known than its node, such as a primitive with its sibling. used is how
// many steps it took, so that a caller can bound the work of many expressions.
func (e *Expr) TestItem(env *Env, root Item) (holds, known bool, used int, err error) {
	if env == nil {
		env = &Env{}
	}
	c := &evaluator{env: env, model: env.Model, left: env.Steps, root: root, focus: Collection{root}}
	if c.left <= 0 {
		c.left = DefaultSteps
	}
	budget := c.left
	col, err := e.root.eval(c)
	used = budget - max(c.left, 0)
	if err != nil {
		return false, false, used, err
	}
	t, err := truth(col)
	return t == isTrue, t != unknown, used, err
}

// Test evaluates a condition such as an invariant. known is false when the result is empty: many R4
// invariants give that for elements they do not speak about (ref-1 for a reference without text), so only
// a known false is a violation.
func (e *Expr) Test(env *Env, root *fhirjson.Node, rootType string) (holds, known bool, err error) {
	col, err := e.Eval(env, root, rootType)
	if err != nil {
		return false, false, err
	}
	t, err := truth(col)
	return t == isTrue, t != unknown, err
}

// node is one operation of a compiled expression.
type node interface {
	eval(c *evaluator) (Collection, error)
}

// evaluator is the state of one evaluation.
type evaluator struct {
	env   *Env
	model Model
	root  Item
	left  int // steps left

	focus Collection // what a path starts from: $this inside a lambda, else the root
	index int        // $index
	total Collection // $total
	inner bool       // $index is defined
	vars  map[string]Collection
}

// spend takes n steps from the budget.
func (c *evaluator) spend(n int) error {
	if c.left -= n + 1; c.left < 0 {
		return ErrTooMuchWork
	}
	return nil
}

// each evaluates n with every item of col as $this, until do returns false.
func (c *evaluator) each(col Collection, n node, do func(it Item, r Collection) (bool, error)) error {
	focus, index, inner, vars := c.focus, c.index, c.inner, c.vars
	defer func() { c.focus, c.index, c.inner, c.vars = focus, index, inner, vars }()
	for i := range col {
		if err := c.spend(1); err != nil {
			return err
		}
		c.focus, c.index, c.inner, c.vars = col[i:i+1:i+1], i, true, vars
		r, err := n.eval(c)
		if err != nil {
			return err
		}
		if more, err := do(col[i], r); err != nil || !more {
			return err
		}
	}
	return nil
}

// tri is three-valued logic.
type tri int8

const (
	unknown tri = iota
	isFalse
	isTrue
)

func triOf(b bool) tri {
	if b {
		return isTrue
	}
	return isFalse
}

// truth reads a collection as a condition: empty is unknown, a boolean itself, any other single item
// true.
func truth(col Collection) (tri, error) {
	switch len(col) {
	case 0:
		return unknown, nil
	case 1:
		if b, ok := col[0].Bool(); ok {
			return triOf(b), nil
		}
		return isTrue, nil
	}
	return unknown, fmt.Errorf("a condition needs one value, not %d", len(col))
}

// one returns the only item of col as a system value where it is primitive; ok is false when it is empty, or a primitive
// that has extensions but no value.
func one(col Collection) (it Item, ok bool, err error) {
	switch len(col) {
	case 0:
		return Item{}, false, nil
	case 1:
		return col[0].system(), col[0].sys != sysNone || col[0].Node != nil, nil
	}
	return Item{}, false, fmt.Errorf("one value is needed, not %d", len(col))
}

// textArg evaluates n to a single text.
func (c *evaluator) textArg(n node) (s string, ok bool, err error) {
	col, err := c.scoped(n)
	if err != nil {
		return "", false, err
	}
	return oneText(col)
}

func oneText(col Collection) (s string, ok bool, err error) {
	it, ok, err := one(col)
	if !ok || err != nil {
		return "", false, err
	}
	if it.sys != sysString {
		return "", false, fmt.Errorf("a text is needed, not a %s", it.Type)
	}
	return it.text, true, nil
}

// intArg evaluates n to a single integer.
func (c *evaluator) intArg(n node) (i int, ok bool, err error) {
	col, err := c.scoped(n)
	if err != nil {
		return 0, false, err
	}
	it, ok, err := one(col)
	if !ok || err != nil {
		return 0, false, err
	}
	if it.sys != sysInteger {
		return 0, false, fmt.Errorf("an integer is needed, not a %s", it.Type)
	}
	if i, ok = smallInt(it.num); !ok {
		return 0, false, errors.New("integer is out of range")
	}
	return i, true, nil
}
