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

func loadScenarios() []scenario {
	return []scenario{
		{name: "100,000 keys are each in order", run: manyKeys, alone: true, long: true},
		{name: "a poison message in every hundred becomes a dead letter and disturbs nobody", run: poison, long: true},
	}
}

// engine reads topics with the engine that services read with, until the scenario ends.
func (k *kit) engine(b broker.Broker, cfg consume.Config, topics ...string) {
	k.Helper()
	cfg.Group = k.unique("engine")
	cfg.Unordered = k.unordered
	cfg.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(k.Context())
	k.start(cancel, func() error {
		return consume.New(cfg).Run(ctx, func(ctx context.Context, each func(context.Context, broker.Partition)) error {
			return b.Consume(ctx, broker.Reader{Group: cfg.Group, Topics: topics}, each)
		})
	})
}

// publishAll publishes numbered records of keys until all are stored, a few calls ahead of their answers.
func (k *kit) publishAll(b broker.Broker, oracle *Oracle, topic string, count int, key func(i int) string) {
	k.Helper()
	const together, perCall = 4000, 500
	for from := 0; from < count; from += together {
		records := make([]broker.Record, min(together, count-from))
		for i := range records {
			records[i] = numbered(oracle, topic, key(from+i))
		}
		k.insistOn(b, records, perCall, oracle)
	}
}

// handler notes everything with the oracle.
func handler(oracle *Oracle) *consume.Reaction {
	return &consume.Reaction{Name: "handle", Handle: func(_ context.Context, d *broker.Delivery) error {
		handled(oracle, []broker.Delivery{*d})
		return nil
	}}
}

// manyKeys has a record of each key, and then, when all the others have passed, another one of every tenth.
func manyKeys(k *kit) {
	const keys = 100_000
	b := k.open()
	topic := k.topic(b, 4)
	var oracle Oracle
	handle := handler(&oracle)
	k.engine(b, consume.Config{Route: func(*broker.Delivery) *consume.Reaction { return handle }}, topic)
	began := time.Now()
	k.publishAll(b, &oracle, topic, keys, func(i int) string { return "key" + strconv.Itoa(i) })
	k.publishAll(b, &oracle, topic, keys/10, func(i int) string { return "key" + strconv.Itoa(10*i) })
	v := k.judgeAll(&oracle)
	k.Logf("%d records of %d keys in %s", v.Handled, v.Keys, time.Since(began).Round(time.Millisecond))
}

var errPoison = errors.New("the message is poison")

func poison(k *kit) {
	const records, keys, every = 5000, 37, 100
	b := k.open()
	topic := k.topic(b, 2)
	var oracle Oracle
	var mu sync.Mutex
	dead := make(map[string]bool)
	note := func(d *broker.Delivery) string { return d.Key + "/" + string(d.Value) }
	handle := handler(&oracle)
	healthy := handle.Handle
	handle.Handle = func(ctx context.Context, d *broker.Delivery) error {
		if n, err := strconv.Atoi(string(d.Value)); err != nil || n%every == 0 {
			return errPoison
		}
		return healthy(ctx, d)
	}
	k.engine(b, consume.Config{
		Route: func(*broker.Delivery) *consume.Reaction { return handle },
		Retry: consume.Retry{Attempts: 3, Min: time.Millisecond, Max: 5 * time.Millisecond},
		DeadLetter: func(_ context.Context, letter *consume.Dead) error {
			mu.Lock()
			defer mu.Unlock()
			d := letter.Delivery
			n, _ := strconv.Atoi(string(d.Value))
			oracle.Excused(d.Key, n)
			dead[note(d)] = len(letter.History) == 3
			return nil
		},
	}, topic)
	k.publishAll(b, &oracle, topic, records, func(i int) string { return fmt.Sprint("key", i%keys) })
	k.judgeAll(&oracle)
	mu.Lock()
	defer mu.Unlock()
	want := 0
	for i := range keys {
		want += (records/keys + min(1, max(0, records%keys-i))) / every
	}
	if len(dead) != want {
		k.Errorf("%d messages are poison; dead letters: %d", want, len(dead))
	}
	for at, whole := range dead {
		if !whole {
			k.Errorf("the dead letter of %s does not tell of three attempts", at)
		}
	}
}
