// Package consume is the engine between a broker and handlers: lanes by key, retries, batches and dead letters, the same for every broker.
//
// A [Consumer] is offered partitions by a source, which is a broker's Consume or a store's Lanes. Messages of one key are a lane: they
// are handled one at a time and in order. Lanes run in parallel, and a message that waits for its next attempt holds back only its own lane.
//
//	c := consume.New(consume.Config{
//		Group:      "shop.mailer",
//		Route:      func(d *broker.Delivery) *consume.Reaction { return mail },
//		DeadLetter: func(ctx context.Context, dead *consume.Dead) error { return store(ctx, dead) },
//	})
//	err := c.Run(ctx, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
//		return b.Consume(ctx, broker.Reader{Group: "shop.mailer", Topics: []string{"orders"}}, each)
//	})
//
// A handler answers with the error that it returns: nil finishes the message; [Discard], [RetryAfter] and [DeadLetter] say what else to do; any
// other error, a panic included, is retried as [Config.Retry] says, and after the last attempt [Config.OnFailure] decides. With a [Holder] what
// comes later of the key is kept until that message is resolved.
//
// What is finished is settled with the broker, what is not is delivered again to the partition's next owner. Attempts are counted
// in memory: a new owner begins with the first.
package consume

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Config says how to consume. Route and DeadLetter are needed; other zero fields have the defaults.
type Config struct {
	// Group names the consumer in logs, errors and dead letters.
	Group string
	// Concurrency is how many handlers run at once, over all partitions. A batch counts as one. Default 16.
	Concurrency int
	// MaxMessages is how many messages are held at once: fetched and not finished. The partitions share it evenly, so that one whose
	// messages fail doesn't starve the others, and each may hold at least one. When a partition is added, the others keep what they have fetched
	// by then, so more may be held for a while. Default 4096, and never less than 4 × Concurrency.
	MaxMessages int
	// MaxBytes bounds the same by size, give or take a message for each partition. Default 32 MiB.
	MaxBytes int
	// Retry is how often and how fast a failed message is tried again.
	Retry Retry
	// OnFailure is what happens after the last attempt. Default [Park].
	OnFailure OnFailure
	// Breaker stops all handling while nothing but failures comes of it. Default never.
	Breaker Breaker
	// Unordered makes every message its own lane, whatever its key.
	Unordered bool
	// ToEnd says that the end of a partition is the end of its messages, as for a [broker.Reader] with ToEnd: everything that was
	// fetched is finished, retries included, before the partition is given back.
	ToEnd bool
	// Stop is how long handlers may go on when the consumer stops or hands a partition over, before their contexts are cancelled. One second
	// later they are left behind. Default 30 s.
	Stop time.Duration
	// Log takes what goes wrong. Default [slog.Default].
	Log *slog.Logger

	// Route says what is done with a delivery. Nil skips it: it counts as finished and costs no lane. Route is called
	// once for each delivery, must be quick and must not panic; what can't be understood gets a reaction that answers with [DeadLetter].
	Route func(d *broker.Delivery) *Reaction
	// DeadLetter keeps a message that was given up on, and returns once it is stored. While it fails, it is called again and the
	// message's lane waits. Without it nothing is ever given up.
	DeadLetter func(ctx context.Context, dead *Dead) error
}

// Reaction is what is done with a delivery: exactly one of Handle and Batch.
type Reaction struct {
	// Name is for logs and dead letters.
	Name string
	// Timeout is when the handler's context ends. Zero: never. A handler that does not return then keeps its lane.
	Timeout time.Duration
	// Handle handles one message. The delivery must not be changed.
	Handle func(ctx context.Context, d *broker.Delivery) error
	// Batch handles many at once.
	Batch *Batch
}

// Consumer consumes partitions. It is safe for concurrent use.
type Consumer struct {
	cfg Config
	log *slog.Logger

	// mu guards everything below, and the partitions, lanes, messages and batches too. It is taken once when messages are fetched and
	// once when one is done; nothing that can block is called while it is held.
	mu         sync.Mutex
	partitions map[*partition]struct{}
	ready      ring                 // what workers can take, oldest first
	batches    map[*Reaction]*batch // those that still gather
	workers    int
	starting   bool // a worker was started and has not looked for work yet
	paused     bool
	circuit    circuit
	total      Stats // only its counters

	// tripped says that the breaker is open, for who doesn't hold mu.
	tripped atomic.Bool
}

// New makes a consumer. It does nothing before Run.
func New(cfg Config) *Consumer {
	cfg = cfg.withDefaults()
	return &Consumer{
		cfg:        cfg,
		log:        cfg.Log.With(slog.String("group", cfg.Group)),
		partitions: make(map[*partition]struct{}),
		batches:    make(map[*Reaction]*batch),
	}
}

// Pause starts no more handlers and fetches nothing until [Consumer.Resume]. Handlers that run finish; the partitions are kept.
func (c *Consumer) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
}

// Resume ends a pause.
func (c *Consumer) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
	c.startWorker()
	c.wakeFetchers()
}

// Paused says whether the consumer is paused.
func (c *Consumer) Paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused
}

func (cfg Config) withDefaults() Config {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 16
	}
	if cfg.MaxMessages <= 0 {
		cfg.MaxMessages = 4096
	}
	cfg.MaxMessages = max(cfg.MaxMessages, 4*cfg.Concurrency)
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 32 << 20
	}
	if cfg.Breaker.Wait <= 0 {
		cfg.Breaker.Wait = 10 * time.Second
	}
	if cfg.Stop <= 0 {
		cfg.Stop = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.DeadLetter == nil {
		cfg.DeadLetter = func(context.Context, *Dead) error { return errNoDeadLetter }
	}
	cfg.Retry = cfg.Retry.withDefaults()
	return cfg
}
