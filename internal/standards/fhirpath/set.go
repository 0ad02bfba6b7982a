package fhirpath

// set finds equal items. Texts, which are most of what is compared in bulk, are looked up at once; other
// items are compared one by one.
type set struct {
	c     *evaluator
	texts map[string]Item
	other Collection
	dates bool // other holds a date or time, which a text may equal
}

func (c *evaluator) setOf(col Collection) (*set, error) {
	s := &set{c: c}
	for _, it := range col {
		if _, err := s.add(it); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// has reports whether an item equal to it is in the set.
func (s *set) has(it Item) (bool, error) {
	if err := s.c.spend(1); err != nil {
		return false, err
	}
	v := it.system()
	if v.sys == sysString {
		if _, ok := s.texts[v.text]; ok || !s.dates {
			return ok, nil
		}
	} else if v.when != nil {
		for _, t := range s.texts {
			if eq, err := s.c.equal(t, it); err != nil || eq == isTrue {
				return eq == isTrue, err
			}
		}
	}
	return s.c.contains(s.other, it)
}

// add puts an item in and reports whether it is new.
func (s *set) add(it Item) (bool, error) {
	found, err := s.has(it)
	if err != nil || found {
		return false, err
	}
	v := it.system()
	if v.sys == sysString {
		if s.texts == nil {
			s.texts = map[string]Item{}
		}
		s.texts[v.text] = v
		return true, nil
	}
	s.dates = s.dates || v.when != nil
	s.other = append(s.other, it)
	return true, nil
}

// distinct joins collections and drops repeated items, keeping the first of each.
func (c *evaluator) distinct(cols ...Collection) (Collection, error) {
	s := &set{c: c}
	var out Collection
	for _, col := range cols {
		for _, it := range col {
			fresh, err := s.add(it)
			if err != nil {
				return nil, err
			}
			if fresh {
				out = append(out, it)
			}
		}
	}
	return out, nil
}
