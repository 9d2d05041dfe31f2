package brokertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// replica is one running copy of a service, in a process of its own or, where there can be none, in this one.
type replica interface {
	// terminate asks it to end and waits until it has, in good order.
	terminate()
	// kill ends it as rudely as can be.
	kill()
	// freeze stops it where it is, without a word to anybody, and thaw lets it go on. What it was told before counts only then.
	freeze()
	thaw()
}

// role is what a replica is to do. A child process gets it as JSON.
type role struct {
	URL    string   `json:"url"` // of the broker
	Group  string   `json:"group"`
	Topics []string `json:"topics"`
	// Types are the types of records that the service knows; it skips all others. Empty: it knows all.
	Types []string `json:"types"`
	// Unordered switches the order of each key off: for controls.
	Unordered bool `json:"unordered"`
}

// typeHeader says of which type a record is.
const typeHeader = "x-type"

// report is what a replica says of a record, before it is finished with it.
type report struct {
	ID   int    `json:"id"` // numbers what one replica says
	What string `json:"what"`
	Key  string `json:"key"`
	N    int    `json:"n"`
}

// What a replica does with a record, and says in its report.
const (
	wasHandled = "handled"
	wasSkipped = "skipped"
	wasBuried  = "buried"
	hasFailed  = "failed" // not of a record: the replica itself can't go on, and Key says why
)

// run reads as the role says, with the engine that services read with, until ctx ends. Each record is finished when tell has returned.
func (o *role) run(ctx context.Context, b broker.Broker, log *slog.Logger, tell func(context.Context, report) error) error {
	say := func(what string) func(context.Context, *broker.Delivery) error {
		return func(ctx context.Context, d *broker.Delivery) error {
			n, err := strconv.Atoi(string(d.Value))
			if err != nil {
				n = -1
			}
			if o.Unordered && n%2 == 0 {
				<-time.After(5 * time.Millisecond) // lets others overtake it for certain
			}
			return tell(ctx, report{What: what, Key: d.Key, N: n})
		}
	}
	handle := &consume.Reaction{Name: "handle", Handle: say(wasHandled)}
	skip := &consume.Reaction{Name: "skip", Handle: say(wasSkipped)}
	known := make(map[string]bool, len(o.Types))
	for _, t := range o.Types {
		known[t] = true
	}
	c := consume.New(consume.Config{
		Group: o.Group, Unordered: o.Unordered, Stop: 5 * time.Second, Log: log,
		Retry: consume.Retry{Max: time.Second},
		Route: func(d *broker.Delivery) *consume.Reaction {
			if t, _ := d.Header(typeHeader); len(known) > 0 && !known[t] {
				return skip
			}
			return handle
		},
		DeadLetter: func(ctx context.Context, dead *consume.Dead) error { return say(wasBuried)(ctx, dead.Delivery) },
	})
	return c.Run(ctx, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
		return b.Consume(ctx, broker.Reader{Group: o.Group, Topics: o.Topics}, each)
	})
}

// service is replicas that share a group, and what they have said.
type service struct {
	k      *kit
	role   role
	oracle Oracle
	// heed is called with every report after it was noted, before it is answered. It may be nil.
	heed func(from replica, r report)

	mu      sync.Mutex // guards what follows
	skipped int
	buried  int
}

// service makes a service without replicas that reads topics.
func (k *kit) service(topics ...string) *service {
	return &service{k: k, role: role{Group: k.unique("service"), Topics: topics, Unordered: k.unordered}}
}

// start starts a replica, in a process where the fixture allows it.
func (s *service) start() replica {
	s.k.Helper()
	if s.k.has(NeedProcesses) {
		return s.fork()
	}
	return s.imitate()
}

// note notes a report. Skipping is a way of handling: it has its place in the order too.
func (s *service) note(from replica, r report) {
	switch r.What {
	case wasHandled:
		s.oracle.Handled(r.Key, r.N)
	case wasSkipped, wasBuried:
		s.oracle.Handled(r.Key, r.N)
		s.mu.Lock()
		if r.What == wasSkipped {
			s.skipped++
		} else {
			s.buried++
		}
		s.mu.Unlock()
	default:
		s.k.Errorf("a replica %s: %s", r.What, r.Key)
	}
	if s.heed != nil {
		s.heed(from, r)
	}
}

// skips is how many records were skipped so far.
func (s *service) skips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skipped
}

func (s *service) burials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buried
}

// imitation is a replica in this process: a client of its own with an engine of its own, whose death and standstill are imitated.
type imitation struct {
	s           *service
	cancel      context.CancelFunc
	closeClient func()
	ended       chan struct{}
	err         error // valid once it ended

	mu     sync.Mutex // guards what follows
	dead   bool
	frozen chan struct{} // nil: it runs; closed when it goes on
}

var errDead = errors.New("the replica is dead")

func (s *service) imitate() replica {
	s.k.Helper()
	b, closeClient := s.k.openClosable()
	ctx, cancel := context.WithCancel(s.k.Context())
	r := &imitation{s: s, cancel: cancel, closeClient: closeClient, ended: make(chan struct{})}
	what := s.role // The service may give its next replica another one.
	go func() {
		defer close(r.ended)
		r.err = what.run(ctx, standing{b, r}, slog.New(slog.DiscardHandler), r.tell)
	}()
	s.k.Cleanup(func() {
		r.thaw()
		r.kill()
	})
	return r
}

func (r *imitation) tell(_ context.Context, said report) error {
	r.mu.Lock()
	dead := r.dead
	r.mu.Unlock()
	if dead {
		return errDead
	}
	r.s.note(r, said)
	r.wait()
	return nil
}

// wait returns when the replica runs.
func (r *imitation) wait() {
	r.mu.Lock()
	frozen := r.frozen
	r.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

func (r *imitation) terminate() {
	r.s.k.Helper()
	r.cancel()
	select {
	case <-r.ended:
	case <-r.s.k.after(r.s.k.patience):
		r.s.k.Fatalf("a replica did not end within %s", r.s.k.patience)
	}
	if r.err != nil {
		r.s.k.Errorf("a replica that was asked to end: %v", r.err)
	}
	r.closeClient()
}

func (r *imitation) kill() {
	r.mu.Lock()
	r.dead = true
	r.mu.Unlock()
	r.closeClient()
	r.cancel()
	<-r.ended
}

// freeze also takes its client away, as the server does with one of which it hears nothing.
func (r *imitation) freeze() {
	r.mu.Lock()
	r.frozen = make(chan struct{})
	r.mu.Unlock()
	go r.closeClient()
}

func (r *imitation) thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

// standing is a broker whose partitions stand still while their replica does: they return nothing, and don't notice their loss.
type standing struct {
	broker.Broker
	r *imitation
}

// awakening is how long a replica that goes on does not know yet what it has missed.
const awakening = 200 * time.Millisecond

func (b standing) Consume(ctx context.Context, reader broker.Reader, each func(context.Context, broker.Partition)) error {
	return b.Broker.Consume(ctx, reader, func(owned context.Context, p broker.Partition) {
		unaware, notice := context.WithCancelCause(context.WithoutCancel(owned))
		noticing := make(chan struct{})
		stop := context.AfterFunc(owned, func() {
			defer close(noticing)
			if b.r.isFrozen() {
				b.r.wait()
				<-time.After(awakening)
			}
			notice(context.Cause(owned))
		})
		each(unaware, still{p, b.r})
		if !stop() {
			<-noticing
		}
		notice(nil)
	})
}

func (r *imitation) isFrozen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.frozen != nil
}

type still struct {
	broker.Partition
	r *imitation
}

func (p still) Fetch(ctx context.Context, limit, maxBytes int) ([]broker.Delivery, error) {
	deliveries, err := p.Partition.Fetch(ctx, limit, maxBytes)
	p.r.wait()
	return deliveries, err
}

func (p still) Settle(ctx context.Context, s broker.Settlement) error {
	p.r.wait()
	if err := p.Partition.Settle(ctx, s); err != nil {
		return fmt.Errorf("a replica settles: %w", err)
	}
	return nil
}
