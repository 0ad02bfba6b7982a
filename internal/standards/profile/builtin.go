package profile

import "sync"

// Builtin returns the definitions that Yarrow knows without loading any guide. It is shared: build a set of your own on top with NewSet.
var Builtin = sync.OnceValue(func() *Set { return NewSet(nil) })

// codeLists holds the value sets whose codes are built in.
type codeLists struct {
	sets map[string]map[string]map[string]bool
}

func (c *codeLists) has(valueSet, system, code string) (ok, known bool) {
	set, known := c.sets[valueSet]
	if !known {
		return false, false
	}
	if system != "" {
		return set[system][code], true
	}
	for _, codes := range set {
		if codes[code] {
			return true, true
		}
	}
	return false, true
}

var builtinSets = sync.OnceValue(func() *codeLists { return &codeLists{} })
