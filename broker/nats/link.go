package nats

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
)

// link knows whether the connection is up, and how often it was lost.
type link struct {
	nc     *natsgo.Conn
	events chan natsgo.Status
	done   sync.WaitGroup

	// maxPayload is the server's limit. To ask the connection for it would wait for whoever writes to it.
	maxPayload atomic.Int64

	mu   sync.Mutex
	seen linkState
	// turn is closed and made anew with every change.
	turn chan struct{}
}

type linkState struct {
	up, closed bool
	// reconnects tells one connection from the next, also if nobody saw what was between them.
	reconnects uint64
}

func newLink(nc *natsgo.Conn) *link {
	l := &link{nc: nc, events: nc.StatusChanged(), turn: make(chan struct{})}
	l.look()
	l.done.Go(func() {
		for range l.events {
			l.look()
		}
	})
	return l
}

func (l *link) close() {
	l.nc.RemoveStatusListener(l.events)
	l.done.Wait()
}

// look asks the connection instead of trusting an event, because events are dropped when there are many.
func (l *link) look() {
	now := linkState{up: l.nc.IsConnected(), closed: l.nc.IsClosed(), reconnects: l.nc.Stats().Reconnects}
	l.maxPayload.Store(l.nc.MaxPayload())
	l.mu.Lock()
	defer l.mu.Unlock()
	if now != l.seen {
		l.seen = now
		close(l.turn)
		l.turn = make(chan struct{})
	}
}

// state is how the link is, and what is closed when that changes.
func (l *link) state() (linkState, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen, l.turn
}

// wait returns once the link is up, with ctx's error, or because the link will never be up again.
func (l *link) wait(ctx context.Context) error {
	for {
		now, turn := l.state()
		if now.closed {
			return fmt.Errorf("the NATS connection was closed: %w", broker.ErrClosed)
		}
		if now.up {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("there is no connection to the server: %w", context.Cause(ctx))
		case <-turn:
		}
	}
}
