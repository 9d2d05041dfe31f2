package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// restTime is for how long a lane whose function returned early is left to other processes.
const restTime = 100 * time.Millisecond

// Why a lane ends.
var (
	errExpired = errors.New("its lease could not be renewed in time")
	errTaken   = errors.New("another process has its lease")
)

// member is one call of Lanes in the life of one link.
type member struct {
	link     *link
	register *register
	each     func(ctx context.Context, lane broker.Partition)
	wake     chan struct{}
	done     <-chan struct{} // closed when Lanes is to end
	calls    sync.WaitGroup

	mu      sync.Mutex
	held    map[int]*holding
	renewed time.Time // when the last renewal that arrived was sent
	leaving bool
	short   bool              // it has less than its share
	others  bool              // there are other members
	rested  map[int]time.Time // until when a lane that was given back early is left to others
}

// holding is a lane whose function runs.
type holding struct {
	lane    *lane
	epoch   int64
	stop    chan struct{}
	stopped bool
}

func newMember(k *link, r *register, each func(ctx context.Context, lane broker.Partition)) *member {
	return &member{link: k, register: r, each: each, wake: make(chan struct{}, 1), held: map[int]*holding{}, rested: map[int]time.Time{}}
}

// run holds lanes until ctx ends or the link fails, and every call has returned.
func (m *member) run(ctx context.Context) error {
	m.done = ctx.Done()
	moved := m.link.s.hint.watchLanes()
	defer m.link.s.hint.unwatch(moved)
	defer m.calls.Wait()
	if err := m.register.make(); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	watching, end := context.WithCancel(m.link.ctx)
	m.calls.Go(func() { m.watch(watching) })
	defer end()
	defer context.AfterFunc(ctx, m.stopAll)()
	for !m.finished() {
		if err := m.step(); err != nil {
			m.link.s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "leases could not be renewed, trying again",
				slog.String("queue", m.register.queue), slog.Any("error", err))
		}
		timer := time.NewTimer(m.pause())
		select {
		case <-timer.C:
		case <-m.wake:
		case <-moved:
		case <-m.link.ctx.Done():
			timer.Stop()
			m.loseAll(context.Cause(m.link.ctx))
			return context.Cause(m.link.ctx)
		}
		timer.Stop()
	}
	err := m.register.leave()
	m.link.s.hint.moved()
	return err
}

// pause is how long to wait before the next step.
func (m *member) pause() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.register.ttl * 3 / 10
	if m.short || len(m.rested) > 0 {
		d = min(d, m.register.ttl/20)
	}
	return d*9/10 + rand.N(d/5)
}

// step renews what is held, and claims or gives back what is missing or too much.
func (m *member) step() error {
	sent := time.Now()
	now, err := m.register.renew(m.epochs())
	if err != nil {
		return err
	}
	if now.came {
		m.link.s.hint.moved() // The others have to make room.
	}
	missing := m.reconcile(sent, now)
	if missing <= 0 {
		return nil
	}
	claimed, err := m.register.claim(missing, m.resting())
	if err != nil {
		return err
	}
	m.begin(claimed)
	return nil
}

func (m *member) epochs() map[int]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	epochs := make(map[int]int64, len(m.held))
	for number, h := range m.held {
		epochs[number] = h.epoch
	}
	return epochs
}

// reconcile takes note of what renewing found, and returns how many lanes are missing.
func (m *member) reconcile(sent time.Time, now standing) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renewed, m.others = sent, now.live > 1
	share := (m.register.lanes + now.live - 1) / max(now.live, 1)
	if m.leaving {
		share = 0
	}
	kept := map[int]bool{}
	for _, number := range now.kept {
		kept[number] = true
	}
	mine, surplus := 0, 0
	for number := m.register.lanes - 1; number >= 0; number-- {
		h := m.held[number]
		switch {
		case h == nil:
		case !kept[number]:
			h.lane.lose(errTaken)
		case !h.stopped:
			mine++
		}
	}
	for number := m.register.lanes - 1; number >= 0 && mine-surplus > share; number-- {
		if h := m.held[number]; h != nil && !h.stopped {
			h.halt()
			surplus++
		}
	}
	m.short = mine < share
	return min(share-mine, m.register.lanes-len(m.held))
}

// resting are the lanes not to be claimed: those that are held, and those that others may have now.
func (m *member) resting() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	numbers := []int{}
	for number := range m.held {
		numbers = append(numbers, number)
	}
	for number, until := range m.rested {
		if time.Now().Before(until) {
			numbers = append(numbers, number)
		} else {
			delete(m.rested, number)
		}
	}
	return numbers
}

// begin starts the calls for lanes that were claimed.
func (m *member) begin(claimed map[int]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for number, epoch := range claimed {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(m.link.ctx))
		h := &holding{epoch: epoch, stop: make(chan struct{})}
		h.lane = m.newLane(number, h.stop, cancel)
		m.held[number] = h
		if m.leaving {
			h.halt()
		}
		m.calls.Go(func() {
			m.hold(ctx, h)
			cancel(errReturned)
		})
	}
	m.tellIfAlone()
}

func (m *member) newLane(number int, stop <-chan struct{}, lost context.CancelCauseFunc) *lane {
	l := &lane{
		r: m.link.letters, number: number, name: m.register.queue, wire: m.register.queue,
		stop: stop, done: m.done, fresh: m.fresh, lost: lost, wake: make(chan struct{}, 1), open: map[int64]int16{},
	}
	if m.register.queue == "" {
		l.r, l.name, l.wire = m.link.outbox, strconv.Itoa(number), string([]byte{0, byte(number)})
	}
	return l
}

// hold calls each with a lane, and gives it back afterwards.
func (m *member) hold(ctx context.Context, h *holding) {
	l := h.lane
	l.r.add(l)
	if l.number == 0 {
		m.link.chores.add(m.register.queue)
	}
	m.each(ctx, l)
	if l.number == 0 {
		m.link.chores.remove(m.register.queue)
	}
	l.r.remove(l)
	l.lose(errReturned)
	// If it can't be given back the lease ends by itself, or this member claims it again.
	_ = m.register.release(l.number, h.epoch)
	m.mu.Lock()
	delete(m.held, l.number)
	if !h.stopped && m.others {
		m.rested[l.number] = time.Now().Add(restTime)
	}
	m.tellIfAlone()
	m.mu.Unlock()
	m.link.s.hint.moved()
	wake(m.wake)
}

// tellIfAlone notes whether anybody else can have lanes of the outbox; the lock is held.
func (m *member) tellIfAlone() {
	if m.register.queue == "" {
		m.link.s.hint.alone.Store(len(m.held) == m.register.lanes)
	}
}

// fresh reports an error when so much of the lease has passed that another process may soon have it.
func (m *member) fresh() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if elapsed(m.renewed) >= m.register.ttl*4/5 {
		return errExpired
	}
	return nil
}

// watch ends all lanes when the leases have not been renewed for too long.
func (m *member) watch(ctx context.Context) {
	tick := time.NewTicker(max(m.register.ttl/50, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := m.fresh(); err != nil {
			m.loseAll(err)
		}
	}
}

func (m *member) loseAll(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.held {
		h.lane.lose(why)
	}
}

// stopAll is what the end of the context of Lanes does.
func (m *member) stopAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving = true
	for _, h := range m.held {
		h.halt()
	}
	wake(m.wake)
}

// finished reports whether this member is leaving and every call has returned.
func (m *member) finished() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leaving && len(m.held) == 0
}

// halt asks for the lane back; the lock is held.
func (h *holding) halt() {
	if !h.stopped {
		h.stopped = true
		close(h.stop)
	}
}
