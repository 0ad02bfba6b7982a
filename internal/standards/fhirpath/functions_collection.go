package fhirpath

import (
	"errors"
	"fmt"

	"yarrow.health/internal/standards/fhirjson"
)

func runEmpty(_ *evaluator, _ *call, in Collection) (Collection, error) {
	return boolCol(len(in) == 0), nil
}

func runExists(c *evaluator, f *call, in Collection) (Collection, error) {
	if len(f.args) == 0 {
		return boolCol(len(in) > 0), nil
	}
	found := false
	err := c.each(in, f.args[0], func(_ Item, r Collection) (bool, error) {
		t, err := truth(r)
		found = found || t == isTrue
		return !found, err
	})
	return boolCol(found), err
}

func runAll(c *evaluator, f *call, in Collection) (Collection, error) {
	all := true
	err := c.each(in, f.args[0], func(_ Item, r Collection) (bool, error) {
		t, err := truth(r)
		all = all && t == isTrue
		return all, err
	})
	return boolCol(all), err
}

// runTruths makes allTrue and its like: found is the result as soon as an item is the wanted value.
func runTruths(want tri, found bool) func(*evaluator, *call, Collection) (Collection, error) {
	return func(_ *evaluator, _ *call, in Collection) (Collection, error) {
		for _, it := range in {
			b, ok := it.Bool()
			if !ok {
				return nil, fmt.Errorf("needs booleans, not %s", describe(it))
			}
			if triOf(b) == want {
				return boolCol(found), nil
			}
		}
		return boolCol(!found), nil
	}
}

// argument evaluates an argument that is a collection of its own, relative to $this and not to the input.
func (c *evaluator) argument(f *call, i int) (Collection, error) { return c.scoped(f.args[i]) }

func (c *evaluator) subset(part, of Collection) (Collection, error) {
	s, err := c.setOf(of)
	if err != nil {
		return nil, err
	}
	for i := range part {
		if found, err := s.has(part[i]); err != nil || !found {
			return boolCol(false), err
		}
	}
	return boolCol(true), nil
}

func runSubsetOf(c *evaluator, f *call, in Collection) (Collection, error) {
	other, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	return c.subset(in, other)
}

func runSupersetOf(c *evaluator, f *call, in Collection) (Collection, error) {
	other, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	return c.subset(other, in)
}

func runCount(_ *evaluator, _ *call, in Collection) (Collection, error) {
	return single(intItem(int64(len(in)))), nil
}

func runIsDistinct(c *evaluator, _ *call, in Collection) (Collection, error) {
	d, err := c.distinct(in)
	return boolCol(len(d) == len(in)), err
}

func runNot(_ *evaluator, _ *call, in Collection) (Collection, error) {
	t, err := truth(in)
	if err != nil || t == unknown {
		return nil, err
	}
	return boolCol(t == isFalse), nil
}

func (it Item) hasValue() bool {
	return it.sys != sysNone || it.Node != nil && it.isPrimitive()
}

func runHasValue(_ *evaluator, _ *call, in Collection) (Collection, error) {
	return boolCol(len(in) == 1 && in[0].hasValue()), nil
}

func runGetValue(_ *evaluator, _ *call, in Collection) (Collection, error) {
	if len(in) != 1 || !in[0].hasValue() {
		return nil, nil
	}
	return single(in[0].system()), nil
}

func runCoalesce(c *evaluator, f *call, _ Collection) (Collection, error) {
	for _, a := range f.args {
		if r, err := c.scoped(a); err != nil || len(r) > 0 {
			return r, err
		}
	}
	return nil, nil
}

func runWhere(c *evaluator, f *call, in Collection) (Collection, error) {
	var out Collection
	err := c.each(in, f.args[0], func(it Item, r Collection) (bool, error) {
		t, err := truth(r)
		if t == isTrue {
			out = append(out, it)
		}
		return true, err
	})
	return out, err
}

func runSelect(c *evaluator, f *call, in Collection) (Collection, error) {
	var out Collection
	err := c.each(in, f.args[0], func(_ Item, r Collection) (bool, error) {
		out = append(out, r...)
		return true, c.spend(len(r))
	})
	return out, err
}

func runRepeat(c *evaluator, f *call, in Collection) (Collection, error) {
	var out Collection
	known := &set{c: c}
	seen := map[*fhirjson.Node]bool{}
	for todo := in; len(todo) > 0; {
		var found Collection
		err := c.each(todo, f.args[0], func(_ Item, r Collection) (bool, error) {
			for _, it := range r {
				if it.Node != nil && it.isElement() { // the same element again, cheaply
					if seen[it.Node] {
						continue
					}
					seen[it.Node] = true
				}
				fresh, err := known.add(it)
				if err != nil {
					return false, err
				}
				if fresh {
					out, found = append(out, it), append(found, it)
				}
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		todo = found
	}
	return out, nil
}

func runSingle(_ *evaluator, _ *call, in Collection) (Collection, error) {
	if len(in) > 1 {
		return nil, fmt.Errorf("there are %d items", len(in))
	}
	return in, nil
}

func between(in Collection, from, to int) Collection {
	from = min(max(from, 0), len(in))
	to = min(max(to, from), len(in))
	return in[from:to:to]
}

func runFirst(_ *evaluator, _ *call, in Collection) (Collection, error) {
	return between(in, 0, 1), nil
}
func runLast(_ *evaluator, _ *call, in Collection) (Collection, error) {
	return between(in, len(in)-1, len(in)), nil
}
func runTail(_ *evaluator, _ *call, in Collection) (Collection, error) {
	return between(in, 1, len(in)), nil
}

func runSkip(c *evaluator, f *call, in Collection) (Collection, error) {
	n, ok, err := c.intArg(f.args[0])
	if err != nil || !ok {
		return nil, err
	}
	return between(in, n, len(in)), nil
}

func runTake(c *evaluator, f *call, in Collection) (Collection, error) {
	n, ok, err := c.intArg(f.args[0])
	if err != nil || !ok {
		return nil, err
	}
	return between(in, 0, n), nil
}

func runIntersect(c *evaluator, f *call, in Collection) (Collection, error) {
	other, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	s, err := c.setOf(other)
	if err != nil {
		return nil, err
	}
	var out Collection
	for _, it := range in {
		found, err := s.has(it)
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, it)
		}
	}
	return c.distinct(out)
}

func runExclude(c *evaluator, f *call, in Collection) (Collection, error) {
	other, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	s, err := c.setOf(other)
	if err != nil {
		return nil, err
	}
	var out Collection
	for _, it := range in {
		found, err := s.has(it)
		if err != nil {
			return nil, err
		}
		if !found {
			out = append(out, it)
		}
	}
	return out, nil
}

func runUnion(c *evaluator, f *call, in Collection) (Collection, error) {
	other, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	return c.distinct(in, other)
}

func runCombine(c *evaluator, f *call, in Collection) (Collection, error) {
	other, err := c.argument(f, 0)
	if err != nil {
		return nil, err
	}
	if err := c.spend(len(in) + len(other)); err != nil {
		return nil, err
	}
	return append(in[:len(in):len(in)], other...), nil
}

func runIif(c *evaluator, f *call, in Collection) (Collection, error) {
	if f.of != nil && len(in) > 1 {
		return nil, fmt.Errorf("works on one item, not %d", len(in))
	}
	var result Collection
	decide := func(_ Item, cond Collection) (bool, error) {
		if len(cond) == 1 {
			if _, ok := cond[0].Bool(); !ok && c.env.Strict {
				return false, errors.New("the condition is not a boolean")
			}
		}
		t, err := truth(cond)
		if err != nil {
			return false, err
		}
		switch {
		case t == isTrue:
			result, err = c.scoped(f.args[1])
		case len(f.args) == 3:
			result, err = c.scoped(f.args[2])
		}
		return false, err
	}
	if f.of != nil && len(in) == 1 {
		// The input is $this, but $index stays that of the surrounding function.
		focus := c.focus
		defer func() { c.focus = focus }()
		c.focus = in
	}
	cond, err := c.scoped(f.args[0])
	if err != nil {
		return nil, err
	}
	_, err = decide(Item{}, cond)
	return result, err
}

func runAggregate(c *evaluator, f *call, in Collection) (Collection, error) {
	outer := c.total
	defer func() { c.total = outer }()
	c.total = nil
	if len(f.args) == 2 {
		start, err := c.scoped(f.args[1])
		if err != nil {
			return nil, err
		}
		c.total = start
	}
	err := c.each(in, f.args[0], func(_ Item, r Collection) (bool, error) {
		c.total = r
		return true, c.spend(len(r))
	})
	return c.total, err
}

func runChildren(c *evaluator, _ *call, in Collection) (out Collection, err error) {
	for _, it := range in {
		if out, err = c.children(out, it); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func runDescendants(c *evaluator, _ *call, in Collection) (out Collection, err error) {
	for _, it := range in {
		if out, err = c.descendants(out, it); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func runTrace(c *evaluator, f *call, in Collection) (Collection, error) {
	name, _, err := c.textArg(f.args[0])
	if err != nil {
		return nil, err
	}
	if c.env.Trace != nil {
		shown := in
		if len(f.args) == 2 {
			shown = nil
			if err := c.each(in, f.args[1], func(_ Item, r Collection) (bool, error) {
				shown = append(shown, r...)
				return true, nil
			}); err != nil {
				return nil, err
			}
		}
		c.env.Trace(name, shown)
	}
	return in, nil
}

func runDefineVariable(c *evaluator, f *call, in Collection) (Collection, error) {
	name, ok, err := c.textArg(f.args[0])
	if err != nil || !ok {
		return nil, errors.Join(err, errors.New("needs a name"))
	}
	value := in
	if len(f.args) == 2 {
		focus := c.focus
		c.focus = in
		value, err = c.scoped(f.args[1])
		c.focus = focus
		if err != nil {
			return nil, err
		}
	}
	if _, taken := c.vars[name]; taken || name == "context" || name == "resource" || name == "rootResource" || name == "sct" || name == "loinc" || name == "ucum" {
		return nil, fmt.Errorf("variable %%%s is already defined", name)
	}
	vars := make(map[string]Collection, len(c.vars)+1)
	for k, v := range c.vars {
		vars[k] = v
	}
	vars[name] = value
	c.vars = vars
	return in, c.spend(len(vars))
}
