package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/examples/internal/program"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/tidingstest"
)

// newPlatform is a platform on a broker.
func newPlatform(t *testing.T, broker string) *platform.Platform {
	t.Helper()
	c := trial.Open(t, broker, trial.SQLite(t, "tickets.db"))
	p, err := platform.New(t.Context(), platform.Config{Broker: c.Broker, Store: c.Store, DB: c.DB, Shared: true, Addr: "127.0.0.1:0", Log: trial.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Modules, events, topics, scopes and keys are as in testdata/topology-tickets.json.
func TestTopology(t *testing.T) {
	tidingstest.Topology(t, newPlatform(t, "memory:").App())
}

// Streams, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
// There is one partition, since the internal events have the booking as their key, which differs from run to run.
func TestWire(t *testing.T) {
	t.Parallel()
	server := trial.Redis(t)
	options, err := redis.ParseURL(server)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	p := newPlatform(t, server+"?partitions=1")
	trial.Run(t, func(ctx context.Context, work func(ctx context.Context) error) error {
		return program.During(ctx, work, p.App())
	})
	booking, err := p.Book(t.Context(), platform.Request{Show: "hamlet", Customer: "Ada", Seats: 2})
	if err != nil {
		t.Fatal(err)
	}
	awaitEntries(t, client, 4*copies)
	if err = p.Refund(t.Context(), booking.ID); err != nil {
		t.Fatal(err)
	}
	entries := awaitEntries(t, client, 5*copies)
	var w trial.Wire
	for _, e := range entries {
		e.add(&w)
	}
	trial.Golden(t, w.Await(t, len(entries)), "/tickets", "/tickets")
}

// copies is how many messages there are of each event: itself, forwarded to the topic of its own, and the one that tells the pages of it.
const copies = 3

// entry is an entry of a stream.
type entry struct {
	stream string
	fields map[string]string
}

// add adds the entry to what is compared.
func (e entry) add(w *trial.Wire) {
	var attributes []string
	for name, value := range e.fields {
		if name != "data" {
			attributes = append(attributes, fmt.Sprintf("%s: %s", name, value))
		}
	}
	w.Add(e.stream, attributes, []byte(e.fields["data"]))
}

// awaitEntries waits until there are n entries in all streams, without the one where platforms write themselves down.
func awaitEntries(t *testing.T, client *redis.Client, n int) []entry {
	t.Helper()
	var entries []entry
	testenv.Eventually(t, time.Minute, func() error {
		entries = nil
		streams, err := client.Keys(t.Context(), "tidings:{*}").Result()
		if err != nil {
			return err
		}
		for _, stream := range streams {
			if strings.HasPrefix(stream, "tidings:{tickets-platforms/") {
				continue
			}
			messages, err := client.XRange(t.Context(), stream, "-", "+").Result()
			if err != nil {
				return err
			}
			for _, m := range messages {
				entries = append(entries, newEntry(stream, m.Values))
			}
		}
		if len(entries) != n {
			return fmt.Errorf("%d entries, want %d", len(entries), n)
		}
		return nil
	})
	return sorted(entries)
}

func newEntry(stream string, values map[string]any) entry {
	e := entry{stream: stream, fields: map[string]string{}}
	for name, value := range values {
		e.fields[name] = fmt.Sprint(value)
	}
	return e
}

// sorted are entries by stream and type, and those that tell the pages by the type of what they tell: receipts and prints are made side by side.
func sorted(entries []entry) []entry {
	types := map[string]string{}
	for _, e := range entries {
		types[e.fields["ce-id"]] = e.fields["ce-type"]
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(
			cmp.Compare(a.stream, b.stream),
			cmp.Compare(a.fields["ce-type"], b.fields["ce-type"]),
			cmp.Compare(types[a.fields["ce-causationid"]], types[b.fields["ce-causationid"]]))
	})
	return entries
}
