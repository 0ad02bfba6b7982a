package fhirpath

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

// pattern is a regular expression with what a step through it costs.
type pattern struct {
	*regexp.Regexp
	size int // instructions of its program
}

// maxPattern bounds a pattern's program: a{1000} repeated inside itself would be millions.
const maxPattern = 20_000

// compilePattern makes a regular expression; dot matches line breaks as the specification says.
func compilePattern(s string, full bool) (*pattern, error) {
	if full {
		s = "^(?:" + s + ")$"
	}
	s = "(?s)" + s
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("bad regular expression: %w", err)
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, fmt.Errorf("bad regular expression: %w", err)
	}
	if len(prog.Inst) > maxPattern {
		return nil, errors.New("regular expression is too large")
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("bad regular expression: %w", err)
	}
	return &pattern{re, len(prog.Inst)}, nil
}

// spend takes the cost of running the pattern over s.
func (p *pattern) spend(c *evaluator, s string) error {
	return c.spend(len(s) * (50 + p.size) / 400)
}
