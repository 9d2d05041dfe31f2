package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

// Services whose replicas break a promise, on a broker that keeps them all: order switched off, and fencing switched off.
func TestBrokenServicesAreFound(t *testing.T) {
	t.Parallel()
	noBroken := func(s sound) sound { return s }
	for _, c := range []struct {
		name      string
		scenario  func(*kit)
		broken    func(sound) sound
		unordered bool
		want      string
	}{
		{name: "keys have no order while replicas are killed", scenario: replicasAreKilled, broken: noBroken, unordered: true, want: "out of order"},
		{name: "keys have no order while replicas come and go", scenario: replicasComeAndGo, broken: noBroken, unordered: true, want: "out of order"},
		{name: "poison lets the messages behind it pass", scenario: poison, broken: noBroken, unordered: true, want: "out of order"},
		{name: "a stale owner's settlement moves the position back", scenario: ownerStandsStill, broken: lastWriterWins(), want: "position went back by"},
		{name: "settlements of those who leave are lost", scenario: replicasComeAndGo, broken: func(s sound) sound { return partitions{s, forgetting} }, want: "records again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := memory.New(memory.Config{})
			defer server.Close()
			said := record(t, func(tb testing.TB) {
				tb.Helper()
				k := newKit(tb, Fixture{
					Open: func(testing.TB) (broker.Broker, func()) {
						client := server.Connect()
						return c.broken(client), func() { client.Close() }
					},
					Restart: func(testing.TB) {},
				})
				k.unordered = c.unordered
				k.drain = 5 * time.Second
				c.scenario(k)
			})
			if !strings.Contains(said, c.want) {
				t.Errorf("the scenario was to say %q, and said %q", c.want, said)
			}
		})
	}
}

// lastWriterWins takes every settlement for the group's position, whoever makes it, as Kafka does with a commit that is not checked. Its lag tells.
func lastWriterWins() func(sound) sound {
	var position sync.Map // of a sequence; the scenario has one partition
	return func(s sound) sound {
		return careless{partitions{s, func(p broker.Partition) broker.Partition { return unchecked{p, &position} }}, &position}
	}
}

type unchecked struct {
	broker.Partition
	position *sync.Map
}

func (p unchecked) Settle(ctx context.Context, s broker.Settlement) error {
	p.position.Store("next", s.Next)
	return p.Partition.Settle(ctx, s)
}

type careless struct {
	partitions
	position *sync.Map
}

func (b careless) Topics(ctx context.Context, op broker.Op, want ...broker.Topic) ([]broker.TopicState, error) {
	states, err := b.partitions.Topics(ctx, op, want...)
	for i := range states {
		for group := range states[i].Lag {
			if next, ok := b.position.Load("next"); ok {
				states[i].Lag[group] = states[i].Messages + 1 - next.(uint64)
			}
		}
	}
	return states, err
}

// What the suite says of errors that say too little or too much.
func TestBadErrorsAreFound(t *testing.T) {
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"a wrong password is let in", "was opened", nil},
		{"a refusal does not say that it is one", `does not say "authentication failed"`, errors.New("stranger at host:1: connection lost")},
		{"a refusal does not say of whom", `does not say "stranger"`, errors.New("host:1: authentication failed")},
		{"a refusal shows the password", "shows the password", errors.New("host:1: authentication failed for stranger:x-wrong-password-x")},
		{"a refusal takes for ever", "was tried for", fmt.Errorf("host:1: authentication failed for stranger: %w", context.DeadlineExceeded)},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := record(t, func(tb testing.TB) {
				tb.Helper()
				strangers(newKit(tb, Fixture{Stranger: func(context.Context, string, string) (string, error) { return "host:1", c.err }}))
			})
			if !strings.Contains(said, c.want) {
				t.Errorf("the scenario was to say %q, and said %q", c.want, said)
			}
		})
	}
}
