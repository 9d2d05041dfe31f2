package lease

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// member is one process's part in a cell. Its loop is the only one that talks to the register; the watchdog beside it ends
// the leases in time also while the register does not answer.
type member struct {
	reg  Register
	cfg  Config
	each func(context.Context, Lease)
	// patience is how long another member's beat may stand still: the TTL.
	patience time.Duration
	// base is what the contexts of the leases are made from.
	base context.Context

	count     uint64 // this member's beat
	seen      map[string]sighting
	failing   bool
	waiting   bool // for somebody to give a name up
	wake      chan struct{}
	goroutine sync.WaitGroup

	mu      sync.Mutex
	renewed time.Time // when the last beat that arrived was sent
	held    map[string]*holding
	leaving bool
}

// Why a lease ends: the cause of its context.
var (
	errReturned = errors.New("the lease was given back")
	errExpired  = errors.New("the lease could not be renewed in time")
	errTaken    = errors.New("the lease has another owner")
)

// sighting is when this process first saw a beat.
type sighting struct {
	count uint64
	at    time.Time
}

// holding is a lease whose call runs here. All fields but the first two are under the member's lock.
type holding struct {
	name    string
	epoch   uint64
	stop    chan struct{}
	stopped bool
	cancel  context.CancelCauseFunc
	lost    bool
	// over is when the call returned; zero while it runs. early says that nobody had asked it to.
	over  time.Time
	early bool
}

func newMember(ctx context.Context, reg Register, cfg Config, each func(context.Context, Lease)) *member {
	return &member{
		reg: reg, cfg: cfg, each: each, patience: cfg.TTL, base: context.WithoutCancel(ctx),
		seen: map[string]sighting{}, held: map[string]*holding{}, wake: make(chan struct{}, 1),
	}
}

func (m *member) run(ctx context.Context) {
	watching, stopWatching := context.WithCancel(m.base)
	m.goroutine.Go(func() { m.watch(watching) })
	defer m.goroutine.Wait()
	defer stopWatching()
	defer context.AfterFunc(ctx, m.stopAll)()

	for !m.finished() {
		m.step()
		timer := time.NewTimer(m.pause())
		select {
		case <-m.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	m.leave()
}

// pause is how long to wait before the cell is read again: short while a name is about to come free.
func (m *member) pause() time.Duration {
	if m.waiting || m.failing {
		return m.soon()
	}
	return jitter(min(m.cfg.Poll, m.cfg.Renew))
}

// soon is the interval of one who waits for something to happen now.
func (m *member) soon() time.Duration { return jitter(min(150*time.Millisecond, m.cfg.Poll)) }

func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }

// step reads the cell, works out what should be, and writes that if it differs or a beat is due.
func (m *member) step() {
	// Half the interval, so that one lost request is not a lost lease.
	ctx, cancel := context.WithTimeout(m.base, m.cfg.Renew/2)
	defer cancel()
	for {
		err := m.exchange(ctx)
		switch {
		case err == nil:
			if m.failing {
				m.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "leases are renewed again", slog.String("member", m.cfg.Member))
			}
			m.failing = false
			return
		case errors.Is(err, ErrConflict) && ctx.Err() == nil:
			wait(ctx, rand.N(20*time.Millisecond))
		default:
			if !m.failing {
				m.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "leases could not be renewed, trying again",
					slog.String("member", m.cfg.Member), slog.Any("error", err))
			}
			m.failing = true
			return
		}
	}
}

func (m *member) exchange(ctx context.Context) error {
	value, version, err := m.reg.Load(ctx)
	if err != nil {
		return err
	}
	now, err := decode(value)
	if err != nil {
		return err
	}
	m.observe(now)
	next, claims := m.plan(now)
	if next.equal(now) && elapsed(m.lastRenewal()) < m.cfg.Renew {
		return nil
	}
	m.count++
	next.Members[m.cfg.Member] = beat{Count: m.count, Leaving: next.Members[m.cfg.Member].Leaving}
	if value, err = next.encode(); err != nil {
		return err
	}
	sent := time.Now()
	if _, err = m.reg.Swap(ctx, value, version); err != nil {
		return err
	}
	m.begin(claims, sent)
	return nil
}

// begin starts the calls for what a swap that was sent at that time has claimed, unless it took so long that others may
// already think that this member is gone.
func (m *member) begin(claims []*holding, sent time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renewed = sent
	if m.expired() {
		return
	}
	for _, h := range claims {
		ctx, cancel := context.WithCancelCause(m.base)
		h.cancel = cancel
		m.held[h.name] = h
		if m.leaving {
			h.halt()
		}
		m.goroutine.Go(func() {
			defer m.end(h)
			m.each(ctx, Lease{Name: h.name, Epoch: h.epoch, Stop: h.stop})
		})
	}
}

// end notes that a call has returned, and wakes the loop so that the name is given back now.
func (m *member) end(h *holding) {
	m.mu.Lock()
	h.over = time.Now()
	h.early = !h.stopped && !h.lost
	m.mu.Unlock()
	h.cancel(errReturned)
	m.hurry()
}

// hurry makes the loop look at the cell now.
func (m *member) hurry() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// watch ends every lease when no beat has arrived for too long.
func (m *member) watch(ctx context.Context) {
	tick := time.NewTicker(min(max(m.cfg.TTL/50, time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.mu.Lock()
		if m.expired() {
			for _, h := range m.held {
				h.lose(errExpired)
			}
		}
		m.mu.Unlock()
	}
}

// expired leaves a fifth of the TTL for what a call does after its context has ended, and for clocks that differ in speed.
func (m *member) expired() bool { return elapsed(m.renewed) >= m.cfg.TTL*4/5 }

func (m *member) lastRenewal() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.renewed
}

// stopAll is what the end of Run's context does.
func (m *member) stopAll() {
	m.mu.Lock()
	m.leaving = true
	for _, h := range m.held {
		h.halt()
	}
	m.mu.Unlock()
	m.hurry()
}

// finished reports whether this member is leaving and every call has returned.
func (m *member) finished() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.held {
		if h.over.IsZero() {
			return false
		}
	}
	return m.leaving
}

// leave takes this member out of the cell. If that does not work soon, the others find out after the TTL.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(m.base, m.cfg.Renew)
	defer cancel()
	for {
		err := m.withdraw(ctx)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrConflict) || ctx.Err() != nil {
			m.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "leases could not be given back, they end with their TTL",
				slog.String("member", m.cfg.Member), slog.Any("error", err))
			return
		}
		wait(ctx, rand.N(20*time.Millisecond))
	}
}

func (m *member) withdraw(ctx context.Context) error {
	value, version, err := m.reg.Load(ctx)
	if err != nil {
		return err
	}
	t, err := decode(value)
	if err != nil {
		return err
	}
	t.remove(m.cfg.Member)
	if value, err = t.encode(); err != nil {
		return err
	}
	_, err = m.reg.Swap(ctx, value, version)
	return err
}

func (h *holding) halt() {
	if !h.stopped {
		h.stopped = true
		close(h.stop)
	}
}

func (h *holding) lose(why error) {
	if h.over.IsZero() && !h.lost {
		h.lost = true
		h.cancel(why)
	}
}

// elapsed is the time since then by whichever clock has gone further: the monotonic one stands still while the machine sleeps.
func elapsed(since time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// wait pauses for d, less if ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
