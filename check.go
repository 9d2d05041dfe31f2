package tidings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Severity says how bad a problem is.
type Severity int

const (
	// Wrong problems keep the app from running.
	Wrong Severity = iota
	// Doubtful problems are logged when the app starts.
	Doubtful
)

// Problem is something in the app that is wrong or doubtful, where it is, and what to do about it.
type Problem struct {
	Severity Severity
	// Where is a file and line, or the name of a setting.
	Where string
	Text  string
}

// String is the problem in one line.
func (p Problem) String() string { return p.Where + ": " + p.Text }

func joinProblems(problems []Problem, severity Severity) error {
	var errs []error
	for _, p := range problems {
		if p.Severity == severity {
			errs = append(errs, errors.New("tidings: "+p.String()))
		}
	}
	return errors.Join(errs...)
}

// Problems is what [App.Check] finds, with what is only doubtful.
func (a *App) Problems(ctx context.Context) []Problem {
	a.mu.Lock()
	c := &checker{app: a, modules: slices.Clone(a.modules)}
	for _, id := range slices.Sorted(maps.Keys(a.cores)) {
		c.known = append(c.known, *a.cores[id])
	}
	a.mu.Unlock()
	c.config()
	c.definitions()
	c.faults()
	c.emitted()
	c.wireTypes()
	c.plain()
	_, order := startOrder(c.modules)
	c.problems = append(c.problems, order...)
	c.subscriptions()
	c.listeners()
	c.requests(ctx)
	c.topicNames()
	c.external(ctx)
	slices.SortStableFunc(c.problems, func(x, y Problem) int { return cmp.Compare(x.Where, y.Where) })
	return c.problems
}

// checker goes through an app.
type checker struct {
	app      *App
	modules  []*Module
	known    []known // sorted by identity
	problems []Problem
}

func (c *checker) wrong(where, format string, args ...any) {
	c.problems = append(c.problems, Problem{Wrong, where, fmt.Sprintf(format, args...)})
}

func (c *checker) doubtful(where, format string, args ...any) {
	c.problems = append(c.problems, Problem{Doubtful, where, fmt.Sprintf(format, args...)})
}

func (c *checker) config() {
	cfg := c.app.cfg
	if !domainPattern.MatchString(cfg.Service) {
		c.wrong("Config.Service", "%q: want lower-case letters, digits and '-', such as \"tickets\"", cfg.Service)
	}
	if cfg.Broker == nil {
		c.wrong("Config.Broker", "there is none: set it, to embedded.Open or nats.Open, say")
	}
	if cfg.Stop < 0 || cfg.MaxMessageBytes < 0 {
		c.wrong("Config", "Stop %v and MaxMessageBytes %d can't be negative", cfg.Stop, cfg.MaxMessageBytes)
	}
	if cfg.NoRelay && cfg.Store == nil {
		c.wrong("Config.NoRelay", "without Config.Store there is no outbox that somebody could relay: set one, or drop the other")
	}
	seen := map[string]bool{}
	for _, t := range cfg.Topics {
		if err := checkTopic(t.Name); err != nil {
			c.wrong("Config.Topics", "%v", err)
		}
		if seen[t.Name] {
			c.wrong("Config.Topics", "topic %q is there twice", t.Name)
		}
		seen[t.Name] = true
	}
}

// faults reports calls that made no sense.
func (c *checker) faults() {
	for _, m := range c.modules {
		for _, f := range m.faults {
			c.wrong(m.where, "module %s: %s", m.name, f)
		}
	}
}

// definitions reports the mistakes in each definition, and identities that were defined twice.
func (c *checker) definitions() {
	for _, k := range c.known {
		id := k.full.def.identity()
		var first *core
		for _, core := range k.cores {
			for _, err := range core.errs {
				c.wrong(core.def.Where, "event %s: %v", id, err)
			}
			if core.named {
				continue
			}
			if first != nil {
				c.wrong(core.def.Where, "event %s is defined here and at %s: keep one definition and import it, or use Named to read it", id, first.def.Where)
			}
			first = cmp.Or(first, core)
		}
	}
}

// emitted checks that the service owns what it emits, and that the topology has a place for it.
func (c *checker) emitted() {
	for _, m := range c.modules {
		for _, core := range m.emitted {
			d := c.app.definition(core)
			if core.any {
				c.wrong(d.Where, "Any and Every can't be emitted: they stand for all events")
				continue
			}
			if !c.owns(d.Domain) {
				c.wrong(d.Where, "module %s emits %s, and domain %q belongs to nobody here: add it to Config.Owns, or leave the event to its owner", m.name, d.identity(), d.Domain)
			}
			if _, err := c.app.publishTopic(d); err != nil {
				c.wrong(d.Where, "event %s has no topic: %v", d.identity(), err)
			}
		}
	}
}

// owns reports whether a domain is the service's: its name, one of Config.Owns, or the name of a module.
func (c *checker) owns(domain string) bool {
	return slices.Contains(c.app.cfg.Owns, domain) ||
		slices.ContainsFunc(c.modules, func(m *Module) bool { return m.name == domain })
}

func (c *checker) wireTypes() {
	byType := map[string]Definition{}
	for _, k := range c.known {
		d := k.full.def
		if other, ok := byType[d.Type()]; ok {
			c.wrong(d.Where, "events %s and %s (%s) have the same wire type %q: no reader could tell them apart", d.identity(), other.identity(), other.Where, d.Type())
		}
		byType[d.Type()] = d
	}
}

func (c *checker) subscriptions() {
	seen := map[string]string{}
	for _, m := range c.modules {
		for _, s := range m.subs {
			if !domainPattern.MatchString(s.Name) {
				c.wrong(s.where, "subscription name %q: want lower-case letters, digits and '-', such as \"ops-read-model\"", s.Name)
			}
			if at, ok := seen[s.Name]; ok {
				c.wrong(s.where, "subscription %q exists already (%s): names are unique in a service, give one of them another", s.Name, at)
			}
			seen[s.Name] = s.where
			if len(s.reactions) == 0 {
				c.wrong(s.where, "subscription %q has no reactions: pass On, OnTx, OnBatch or OnBatchTx", s.Name)
			}
			if s.Concurrency < 0 || s.Timeout < 0 || s.Retry.Attempts < 0 || s.Retry.Min < 0 || s.Retry.Max < 0 || s.MaxMessages < 0 || s.MaxBytes < 0 {
				c.wrong(s.where, "subscription %q: limits can't be negative", s.Name)
			}
			c.onFailure(s)
			c.reactions("subscription "+s.Name, s.reactions)
			c.reading("subscription "+s.Name, s.reactions, s.Topics)
			c.order(s)
		}
	}
}

func (c *checker) listeners() {
	queues := map[string]string{}
	for _, m := range c.modules {
		for _, l := range m.listeners {
			if l.Queue != "" && checkTopic(l.Queue) != nil {
				c.wrong(l.where, "queue %q: want letters, digits, '.', '_' and '-'", l.Queue)
			}
			if at, ok := queues[l.Queue]; ok && l.Queue != "" {
				c.wrong(l.where, "queue %q has a listener already (%s): they would take each other's messages; give both reactions to one listener, or two names", l.Queue, at)
			}
			queues[l.Queue] = l.where
			if len(l.reactions) == 0 {
				c.wrong(l.where, "the listener has no reactions: pass On")
			}
			c.reactions("the listener", l.reactions)
			c.reading("the listener", l.reactions, nil)
		}
	}
}

// reactions checks the reactions of one subscription or listener.
func (c *checker) reactions(of string, reactions []*reaction) {
	seen := map[string]string{}
	for _, r := range reactions {
		id := r.event.def.identity()
		if r.fault != "" {
			c.wrong(r.where, "%s: %s: %s", of, r.verb, r.fault)
			continue
		}
		if at, ok := seen[id]; ok {
			c.wrong(r.where, "%s reacts to %s twice (also %s): use two subscriptions, each gets every message", of, id, at)
		}
		seen[id] = r.where
		c.native(of, r.native, r.verb, r.where)
		if d := c.app.definition(r.event); d.IsInternal() && !c.owns(d.Domain) {
			c.wrong(r.where, "%s reads %s, which is internal to domain %q of another service: ask its owner for a public event", of, id, d.Domain)
		}
	}
	versions := c.app.versionsOf(reactions)
	for _, clash := range versions.clashes {
		c.wrong(clash.other.where, "%s: %s and %s both evolve from %s: add a reaction to that, or make one evolve from the other", of,
			clash.one.event.def.identity(), clash.other.event.def.identity(), clash.typ)
	}
}

// reading checks that there is something to read: the topics of a subscription's own, or those that the topology has for its events.
func (c *checker) reading(of string, reactions []*reaction, topics []string) {
	for _, name := range topics {
		if err := checkTopic(name); err != nil {
			c.wrong(of, "%v", err)
		}
	}
	if len(topics) > 0 {
		return
	}
	for _, r := range reactions {
		if r.fault != "" {
			continue
		}
		if r.event.any {
			c.wrong(r.where, "%s reacts to Any or Every: name what it reads in Subscription.Topics", of)
			continue
		}
		if _, err := c.app.readTopic(c.app.definition(r.event)); err != nil {
			c.wrong(r.where, "%s: event %s has no topic: %v", of, r.event.def.identity(), err)
		}
	}
}

// native checks that the store begins transactions of the type that a reaction or an endpoint asks for; nil asks for none.
func (c *checker) native(of string, native reflect.Type, verb, where string) {
	switch st := c.app.cfg.Store; {
	case native == nil:
	case st == nil:
		c.wrong(where, "%s: %s needs a store: set Config.Store, or use %s", of, verb, strings.TrimSuffix(verb, "Tx"))
	case reflect.TypeOf(st.Native()) != native:
		c.wrong(where, "%s: %s asks for a %s, and the transactions of this store are %T", of, verb, native, st.Native())
	}
}

// order warns where a subscription reads several topics: there is no order between them.
func (c *checker) order(s *subscriber) {
	topics, err := c.app.readTopics(s)
	if err == nil && len(topics) > 1 && !s.Unordered {
		c.doubtful(s.where, "subscription %q reads the topics %s: messages are in order within each, not between them", s.Name, strings.Join(topics, ", "))
	}
}
