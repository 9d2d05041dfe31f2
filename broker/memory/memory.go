// Package memory is a broker that lives in one process: for tests, for examples and for services that may forget.
//
//	b := memory.New(memory.Config{})
//	defer b.Close()
//	b.Topics(ctx, broker.Apply, broker.Topic{Name: "orders"})
//	b.Publish(ctx, []broker.Record{{Topic: "orders", Key: "42", Value: body}}, done)
//
// It keeps every promise of package broker: topics with partitions, order per key, groups whose members share the partitions
// and hand them over drained, positions, readers without a group, live records and listeners. A topic must be applied before
// it is used, as on a real broker. Publishing is synchronous: done has been called for every record when Publish returns.
//
// There are no background goroutines and no timers, so programs on this broker are deterministic in a testing/synctest bubble.
//
// Several replicas of a service are several clients of the same records: [Broker.Connect] makes one more. Closing a client is
// what the death of its process would be to the others: its partitions move at once, and what it had not settled comes again.
package memory

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// Defaults of [Config].
const (
	defaultPartitions     = 4
	defaultRetain         = 65_536
	defaultMaxRecordBytes = 1 << 20
)

// Config has a useful zero value.
type Config struct {
	// Partitions is what a topic gets that does not say how many it wants. Default: 4.
	Partitions int
	// Retain is how many records a partition keeps at least, though every group has settled them; older ones are dropped.
	// Records that a known group has not settled, or that a running reader has not fetched, are never dropped. Default: 65,536.
	Retain int
	// MaxRecordBytes is the largest [broker.Record.Size] that is taken. Default: 1 MiB, as on NATS.
	MaxRecordBytes int
	// Fault is for tests that need a failing broker: an error from it fails that operation ("publish", "live", "consume", "fetch",
	// "settle", "listen" or "topics") on that topic, before it has any effect. It may be called from many goroutines.
	Fault func(op, topic string) error
}

// Broker is a client of records that are kept in memory. It is safe for concurrent use.
type Broker struct {
	server *server
	closed chan struct{}

	mu    sync.Mutex // guards what follows
	ended bool
	calls sync.WaitGroup // running Consume and Listen calls
}

var _ broker.Broker = (*Broker)(nil)

// New returns the first client of a broker that has no topics yet.
func New(config Config) *Broker {
	config.Partitions = cmp.Or(max(config.Partitions, 0), defaultPartitions)
	config.Retain = cmp.Or(max(config.Retain, 0), defaultRetain)
	config.MaxRecordBytes = cmp.Or(max(config.MaxRecordBytes, 0), defaultMaxRecordBytes)
	return connect(newServer(config))
}

// Connect returns another client of the same topics and groups, as a second process would have. Each client is closed by itself.
func (b *Broker) Connect() *Broker { return connect(b.server) }

func connect(s *server) *Broker { return &Broker{server: s, closed: make(chan struct{})} }

// Close ends what this client does, at once: its partitions are lost, and its calls of Consume and Listen return
// [broker.ErrClosed]. It waits for them, so it must not be called from within them. The records stay for other clients.
// Closing again does nothing. The error is always nil.
func (b *Broker) Close() error {
	b.mu.Lock()
	if !b.ended {
		b.ended = true
		close(b.closed)
	}
	b.mu.Unlock()
	b.calls.Wait()
	return nil
}

// begin counts a call that Close waits for; its end is b.calls.Done.
func (b *Broker) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return broker.ErrClosed
	}
	b.calls.Add(1)
	return nil
}

func (b *Broker) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// find returns the topic called name if op may be done to it now.
func (b *Broker) find(op, name string) (*topic, error) {
	if b.isClosed() {
		return nil, broker.ErrClosed
	}
	t, err := b.server.topic(name)
	if err != nil {
		return nil, err
	}
	return t, b.server.fault(op, name)
}

// findAll returns the topics called names, each once, with an error that says which is at fault.
func (b *Broker) findAll(op string, names []string) ([]*topic, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("memory: %s: no topics are named: %w", op, broker.ErrInvalid)
	}
	topics := make([]*topic, 0, len(names))
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		t, err := b.find(op, name)
		if err != nil {
			return nil, fmt.Errorf("memory: %s %q: %w", op, name, err)
		}
		topics = append(topics, t)
	}
	return topics, nil
}
