package tidings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidings-go/tidings/internal/outbox"
)

// Run checks the app, migrates the store, makes missing topics, and then runs everything until ctx ends: relay, subscriptions, listeners
// and modules. It drains before it returns: no more messages are fetched, running handlers finish, modules stop in reverse order, and what
// is still in the outbox waits for the next start. Each of these three may take Config.Stop; what takes longer is left behind and named in the
// error. Run returns nil when ctx ended and all of that went well. An app runs once.
func (a *App) Run(ctx context.Context) error {
	a.mu.Lock()
	again := a.ran
	a.ran = true
	a.mu.Unlock()
	if again {
		return errors.New("tidings: run: the app runs or has run; make a new one")
	}
	defer close(a.ended)
	if err := a.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // nothing has begun, and nobody waits for it any more
		}
		return err
	}
	r := &running{app: a}
	r.failed, r.fail = context.WithCancelCause(context.Background())
	err := r.start(ctx)
	if err == nil {
		close(a.ready)
		select {
		case <-ctx.Done():
		case <-r.failed.Done():
		case err = <-a.late:
		}
	}
	r.stop(context.WithoutCancel(ctx))
	r.mu.Lock() // who was left behind may still report something
	defer r.mu.Unlock()
	return errors.Join(append([]error{err}, r.errs...)...)
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
		if err := a.nothingLeft(ctx); err != nil {
			return err
		}
	}
	if err := a.provision(ctx); err != nil {
		return err
	}
	return a.bind()
}

// discover runs the Discover functions that were not run yet, which may register more, even more of their kind.
func (a *App) discover() error {
	a.discovering.Lock()
	defer a.discovering.Unlock()
	for again := true; again; {
		again = false
		a.mu.Lock()
		modules := slices.Clone(a.modules)
		a.mu.Unlock()
		for _, m := range modules {
			for ; m.discovered < len(m.discover); m.discovered++ {
				again = true
				if err := m.discover[m.discovered](a.Catalog()); err != nil {
					return fmt.Errorf("tidings: discover in module %s: %w", m.name, err)
				}
			}
		}
	}
	return nil
}

// bind makes the engine's side of subscriptions and listeners.
func (a *App) bind() error {
	a.plain = a.plainTopics()
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
	app *App
	// failed ends when something that should run has ended.
	failed context.Context //nolint:containedctx // it is a signal between Run's own parts
	fail   context.CancelCauseFunc

	intake     sync.WaitGroup // subscriptions and listeners
	endIntake  context.CancelFunc
	endHearing context.CancelFunc // what listeners still handle
	relay      sync.WaitGroup
	endRelay   context.CancelFunc
	modules    []*Module // started, or about to, in that order
	endModules context.CancelFunc

	mu   sync.Mutex
	errs []error
}

// start starts relay, subscriptions and listeners, and then the modules, so that nothing that a module publishes at start is missed.
func (r *running) start(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	var intake, hearing, relay, modules context.Context
	relay, r.endRelay = context.WithCancel(base)
	intake, r.endIntake = context.WithCancel(base)
	hearing, r.endHearing = context.WithCancel(base)
	modules, r.endModules = context.WithCancel(base)
	if st := r.app.cfg.Store; st != nil && !r.app.cfg.NoRelay {
		r.spawn(&r.relay, func() error {
			return outbox.Run(relay, st, r.app.cfg.Broker, outbox.Config{Stop: r.app.cfg.Stop, Log: r.app.log})
		})
	}
	for _, s := range r.app.checked {
		r.spawn(&r.intake, func() error { return s.run(intake) })
		if r.app.cfg.Store != nil {
			r.spawn(&r.intake, func() error { return s.retry(intake) })
		}
		if s.keys != nil {
			r.spawn(&r.intake, func() error { return s.release(intake) })
		}
	}
	if r.app.cfg.Remote {
		r.spawn(&r.relay, func() error { return r.app.collect(relay) })
	}
	r.listen(ctx, intake, hearing)
	// A hook that waits for something must not keep the app from ending.
	defer context.AfterFunc(ctx, r.endModules)()
	order, _ := startOrder(r.app.modules)
	for _, m := range order {
		r.modules = append(r.modules, m)
		for _, fn := range m.onStart {
			if err := fn(modules); err != nil && ctx.Err() == nil {
				return fmt.Errorf("tidings: start module %s: %w", m.name, err)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		close(m.started)
	}
	if r.app.cfg.Remote && len(r.app.offered()) > 0 {
		r.hear(ctx, intake, func(ready func()) error { return r.app.answerOthers(intake, hearing, ready) })
	}
	return nil
}

// listen starts the listeners and waits until each one hears.
func (r *running) listen(ctx, intake, hearing context.Context) {
	var listens []func(ready func()) error
	for _, m := range r.app.modules {
		for _, l := range m.listeners {
			listens = append(listens, func(ready func()) error { return l.run(intake, hearing, ready) })
		}
	}
	r.hear(ctx, intake, listens...)
}

// hear starts what listens and waits until all of it hears, or something has ended; stop reports that.
func (r *running) hear(ctx, intake context.Context, listens ...func(ready func()) error) {
	heard := make(chan struct{})
	for _, listen := range listens {
		r.spawn(&r.intake, func() error {
			return listen(func() {
				select {
				case heard <- struct{}{}:
				case <-intake.Done():
				}
			})
		})
	}
	for range listens {
		select {
		case <-heard:
		case <-r.failed.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// spawn runs fn in the group; an error ends the app.
func (r *running) spawn(group *sync.WaitGroup, fn func() error) {
	group.Go(func() {
		if err := fn(); err != nil {
			r.trouble(err)
			r.fail(err)
		}
	})
}

func (r *running) trouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// stop ends what runs: intake first, then the modules in reverse, then the relay.
func (r *running) stop(ctx context.Context) {
	limit := r.app.cfg.Stop
	r.endIntake()
	hearing := time.AfterFunc(limit, r.endHearing)
	// Subscriptions bound themselves; a second and a half is for what they do then.
	r.within(limit+3*time.Second/2, "subscriptions and listeners", r.intake.Wait)
	hearing.Stop()
	r.endHearing()
	hooks, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, m := range slices.Backward(r.modules) {
		for _, fn := range slices.Backward(m.onStop) {
			r.within(limit+time.Second, "module "+m.name, func() {
				if err := fn(hooks); err != nil {
					r.trouble(fmt.Errorf("tidings: stop module %s: %w", m.name, err))
				}
			})
		}
	}
	r.endModules()
	r.endRelay()
	r.within(limit+3*time.Second/2, "the relay", r.relay.Wait)
	r.fail(nil)
}

// within waits for do, and goes on without it when it takes longer than limit.
func (r *running) within(limit time.Duration, what string, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		r.trouble(fmt.Errorf("tidings: stop: %s did not end within %v and was left behind", what, limit))
	}
}
