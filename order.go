package tidings

import (
	"fmt"
	"slices"
	"strings"
)

// startOrder sorts modules so that each comes after those that it depends on, and otherwise in the order in which they were added.
func startOrder(modules []*Module) ([]*Module, []Problem) {
	s := sorter{byName: map[string]*Module{}, done: map[*Module]bool{}}
	for _, m := range modules {
		if other := s.byName[m.name]; other != nil {
			s.problem(m, "module %q exists already (%s): give one of them another name", m.name, other.where)
			continue
		}
		s.byName[m.name] = m
	}
	for _, m := range modules {
		s.visit(m, nil)
	}
	return s.order, s.problems
}

type sorter struct {
	byName   map[string]*Module
	done     map[*Module]bool
	order    []*Module
	problems []Problem
}

func (s *sorter) problem(m *Module, format string, args ...any) {
	s.problems = append(s.problems, Problem{Wrong, m.where, fmt.Sprintf(format, args...)})
}

func (s *sorter) visit(m *Module, chain []string) {
	if s.done[m] {
		return
	}
	if i := slices.Index(chain, m.name); i >= 0 {
		s.problem(m, "modules depend on each other in a circle: %s → %s", strings.Join(chain[i:], " → "), m.name)
		return
	}
	chain = append(chain, m.name)
	for _, name := range m.dependsOn {
		dep := s.byName[name]
		if dep == nil {
			s.problem(m, "module %q depends on %q, which does not exist: %s → %s", m.name, name, strings.Join(chain, " → "), name)
			continue
		}
		s.visit(dep, chain)
	}
	if !s.done[m] {
		s.done[m] = true
		s.order = append(s.order, m)
	}
}
