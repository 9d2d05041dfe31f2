package tidings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/tidings-go/tidings/internal/outbox"
)

// Run checks the app, migrates the store, makes missing topics, and then runs everything until ctx ends: relay, subscriptions, listeners
// and modules. It drains before it returns: no more messages are fetched, running handlers finish (at most Config.Stop), modules stop in reverse
// order, and what is still in the outbox waits for the next start. It returns nil when ctx ended and all of that went well.
func (a *App) Run(ctx context.Context) error {
	a.mu.Lock()
	if a.started {
		a.mu.Unlock()
		return errors.New("tidings: run: the app ran before; make a new one")
	}
	a.mu.Unlock()
	if err := a.prepare(ctx); err != nil {
		return err
	}
	r := &running{app: a, failed: make(chan error, 1)}
	if err := r.start(ctx); err != nil {
		return errors.Join(err, r.stop(context.WithoutCancel(ctx)))
	}
	close(a.ready)
	var err error
	select {
	case <-ctx.Done():
	case err = <-r.failed:
	case err = <-a.late:
	}
	return errors.Join(err, r.stop(context.WithoutCancel(ctx)))
}

// prepare does all that comes before the first goroutine.
func (a *App) prepare(ctx context.Context) error {
	if err := a.discover(); err != nil {
		return err
	}
	a.mu.Lock()
	a.started = true
	a.mu.Unlock()
	problems := a.Problems(ctx)
	if err := joinProblems(problems, Wrong); err != nil {
		return err
	}
	for _, p := range problems {
		a.log.LogAttrs(ctx, slog.LevelWarn, "check", slog.String("where", p.Where), slog.String("problem", p.Text))
	}
	if a.cfg.Store != nil {
		if err := a.cfg.Store.Migrate(ctx); err != nil {
			return fmt.Errorf("tidings: migrate the store: %w", err)
		}
	}
	if err := a.provision(ctx); err != nil {
		return err
	}
	return a.bind()
}

// discover runs the Discover functions, which may register more.
func (a *App) discover() error {
	a.mu.Lock()
	modules := slices.Clone(a.modules)
	a.mu.Unlock()
	catalog := a.Catalog()
	for _, m := range modules {
		for _, fn := range m.discover {
			if err := fn(catalog); err != nil {
				return fmt.Errorf("tidings: discover in module %s: %w", m.name, err)
			}
		}
	}
	return nil
}

// bind makes the engine's side of subscriptions and listeners.
func (a *App) bind() error {
	for _, m := range a.modules {
		for _, s := range m.subs {
			topics, err := a.readTopics(s)
			if err != nil {
				return fmt.Errorf("tidings: subscription %s: %w", s.group, err)
			}
			s.topics = topics
			s.prepare()
			a.mu.Lock()
			a.checked = append(a.checked, s)
			a.mu.Unlock()
		}
		for _, l := range m.listeners {
			if err := l.prepare(); err != nil {
				return err
			}
		}
	}
	return nil
}

// running is what Run has started.
type running struct {
	app    *App
	failed chan error

	intake      sync.WaitGroup // subscriptions and listeners
	endIntake   context.CancelFunc
	relay       sync.WaitGroup
	endRelay    context.CancelFunc
	modules     []*Module // started, in that order
	endModules  context.CancelFunc
	stopOnce    sync.Once
	stopProblem error
}

// start starts relay, subscriptions and listeners, and then the modules, so that nothing that a module publishes at start is missed.
func (r *running) start(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	var intake, relay, modules context.Context
	relay, r.endRelay = context.WithCancel(base)
	intake, r.endIntake = context.WithCancel(base)
	modules, r.endModules = context.WithCancel(base)
	if st := r.app.cfg.Store; st != nil {
		r.spawn(&r.relay, func() error {
			return outbox.Run(relay, st, r.app.cfg.Broker, outbox.Config{Stop: r.app.cfg.Stop, Log: r.app.log})
		})
	}
	for _, s := range r.app.checked {
		r.spawn(&r.intake, func() error { return s.run(intake) })
	}
	if err := r.listen(ctx, intake); err != nil {
		return err
	}
	order, _ := startOrder(r.app.modules)
	for _, m := range order {
		r.modules = append(r.modules, m)
		for _, fn := range m.onStart {
			if err := fn(modules); err != nil {
				return fmt.Errorf("tidings: start module %s: %w", m.name, err)
			}
		}
	}
	return nil
}

// listen starts the listeners and waits until each one hears.
func (r *running) listen(ctx, intake context.Context) error {
	var hearing sync.WaitGroup
	for _, m := range r.app.modules {
		for _, l := range m.listeners {
			hearing.Add(1)
			r.spawn(&r.intake, func() error { return l.run(intake, hearing.Done) })
		}
	}
	heard := make(chan struct{})
	go func() { hearing.Wait(); close(heard) }()
	select {
	case <-heard:
		return nil
	case err := <-r.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("tidings: start listeners: %w", ctx.Err())
	}
}

// spawn runs fn in the group; an error ends the app.
func (r *running) spawn(group *sync.WaitGroup, fn func() error) {
	group.Go(func() {
		if err := fn(); err != nil {
			select {
			case r.failed <- err:
			default:
			}
		}
	})
}

// stop ends what runs: intake first, then the modules in reverse, then the relay. It does so once.
func (r *running) stop(ctx context.Context) error {
	r.stopOnce.Do(func() {
		r.endIntake()
		r.intake.Wait()
		limit, cancel := context.WithTimeout(ctx, r.app.cfg.Stop)
		defer cancel()
		var errs []error
		for _, m := range slices.Backward(r.modules) {
			for _, fn := range slices.Backward(m.onStop) {
				if err := fn(limit); err != nil {
					errs = append(errs, fmt.Errorf("tidings: stop module %s: %w", m.name, err))
				}
			}
		}
		r.endModules()
		r.endRelay()
		r.relay.Wait()
		r.stopProblem = errors.Join(errs...)
	})
	return r.stopProblem
}

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
