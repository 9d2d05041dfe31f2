// Package kafka is the broker on Apache Kafka.
//
//	b, err := kafka.Open(ctx, []string{"localhost:9092"}, kafka.Config{})
//	if err != nil {
//		return err
//	}
//	defer b.Close()
//
// It needs Kafka 2.8 or newer, or what speaks its protocol. What it keeps there, and under which names:
//
//   - A topic is a topic of the same name. Keys are placed as Kafka's own clients do, so others may publish to it and read it.
//   - What is published live goes to the topic "{topic}.live", which keeps records for minutes. It is made with the topic, or at first use.
//   - A group is a consumer group of the same name. Its committed offsets say where the next owner of a partition begins.
//   - Headers follow CloudEvents' Kafka binding: the attribute "ce-type" travels as "ce_type". A record's ID travels only when it differs from
//     the CloudEvents id, as "tidings-id". Kafka does not look for repeated IDs.
//
// A sequence is an offset plus one, because sequences begin at 1.
//
// # Publishing
//
// Records are stored by all replicas in sync before they count as stored, once each, and in order: a partition has one batch on
// its way at a time while the next one gathers. An idle publisher waits for nothing, a busy one makes large batches. When a batch fails for good, everything
// behind it fails too, and is fenced off by a new producer epoch.
//
// # Groups
//
// Partitions move one by one (cooperative-sticky balancing): who must give some up goes on with the others. A partition that
// moves is drained first: its reader gets io.EOF, finishes what it has, and the position is committed before the other replica begins. The brokers
// would accept a late commit of the old owner, so positions are only ever committed for what this replica holds, and only forwards.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// Broker is a [broker.Broker] on a Kafka cluster.
type Broker struct {
	cfg     Config
	options []kgo.Opt
	cl      *kgo.Client
	seeds   string // for errors

	producer *producer
	live     *liveSender

	// gone ends when Close takes partitions away from those who still read.
	gone    context.Context
	leave   context.CancelFunc
	working sync.WaitGroup

	mu     sync.Mutex // guards closed
	closed bool
}

var _ broker.Broker = (*Broker)(nil)

// farewell is how long Close waits for calls of Consume whose partitions it has taken away.
const farewell = 2 * time.Second

// Open connects to the cluster that the seeds ("host:port") belong to. Connections come back by themselves whenever they are lost, for as long as it takes.
// Options are those of franz-go for all connections, for what Config does not have: other SASL mechanisms, dialers, hooks. Options for
// producing and consuming are not for here: the promises of this package rest on its own.
func Open(ctx context.Context, seeds []string, cfg Config, options ...kgo.Opt) (*Broker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(seeds) == 0 {
		return nil, errors.New("kafka: open: no seeds: name at least one broker as host:port")
	}
	common, err := cfg.options(seeds)
	if err != nil {
		return nil, err
	}
	compressor, err := cfg.compressor()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, options: append(common, options...), seeds: strings.Join(seeds, ",")}
	if b.cl, err = kgo.NewClient(b.options...); err != nil {
		return nil, fmt.Errorf("kafka: open %s: %w", b.seeds, err)
	}
	if err = b.greet(ctx); err != nil {
		b.cl.Close()
		return nil, err
	}
	b.producer = newProducer(b, compressor)
	b.live = &liveSender{b: b, known: map[string]bool{}}
	b.gone, b.leave = context.WithCancel(context.WithoutCancel(ctx))
	return b, nil
}

// greet finds out whether the cluster answers, and lets us in.
func (b *Broker) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	err := b.cl.Ping(ctx)
	switch {
	case err == nil:
		return nil
	case isLogin(err):
		return fmt.Errorf("kafka: open %s as %s: %w", b.seeds, b.cfg.SASL, explain(err))
	case errors.Is(err, io.EOF) && b.cfg.SASL.Mechanism != "":
		return fmt.Errorf("kafka: open %s: the broker hung up: check Config.SASL, and whether it wants TLS: %w", b.seeds, err)
	default:
		return fmt.Errorf("kafka: open %s: no broker answers: is Kafka running, the address right, and does it want TLS or SASL? %w", b.seeds, err)
	}
}

// Close waits until everything that Publish has accepted is stored or has failed, which takes at most the publish timeout. Then
// it takes the partitions from calls of Consume that still run, which end with [broker.ErrClosed], and closes all connections.
func (b *Broker) Close() error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	b.mu.Unlock()
	if again {
		return nil
	}
	b.producer.close()
	b.leave()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.working.Wait()
	}()
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		b.cfg.Log.LogAttrs(context.Background(), slog.LevelWarn, "the broker was closed while partitions were still being handled")
	}
	b.live.close()
	b.cl.Close()
	return nil
}

// begin notes a call that works until end is called, unless the broker is closed.
func (b *Broker) begin() (end func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, broker.ErrClosed
	}
	b.working.Add(1)
	return b.working.Done, nil
}

// client opens connections of their own.
func (b *Broker) client(options ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append(append([]kgo.Opt(nil), b.options...), options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return cl, nil
}
