//go:build unix

package redis_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/redis"
	"github.com/tidings-go/tidings/internal/testenv"
)

const patience = 30 * time.Second

// desk is a topic with one partition on the server that all tests share.
type desk struct {
	t      *testing.T
	b      *redis.Broker
	raw    *goredis.Client
	topic  string
	stream string
	log    *journal
}

func newDesk(t *testing.T, cfg redis.Config, want broker.Topic) *desk {
	t.Helper()
	url := testenv.Redis(t)
	options, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, raw: goredis.NewClient(options), topic: "desk-" + rand.Text()[:10], log: &journal{t: t}}
	t.Cleanup(func() { _ = d.raw.Close() })
	cfg.Log = slog.New(slog.NewTextHandler(d.log, nil))
	d.b = open(t, url, cfg)
	want.Name, want.Partitions = d.topic, 1
	apply(t, d.b, want)
	d.stream = "tidings:{" + d.topic + "/0}"
	return d
}

// journal is a log that a test can look at.
type journal struct {
	t *testing.T

	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.t.Output().Write(p)
	return j.text.Write(p)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), text)
}

// publish publishes records with the values from to to.
func (d *desk) publish(from, to int) {
	d.t.Helper()
	var all sync.WaitGroup
	for i := from; i <= to; i++ {
		all.Add(1)
		d.b.Publish(d.t.Context(), []broker.Record{{Topic: d.topic, Key: "k", Value: fmt.Append(nil, i)}}, func(_ int, _ broker.Receipt, err error) {
			if err != nil {
				d.t.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
}

// reader reads with the group g until the test ends, and settles all.
type reader struct {
	mu     sync.Mutex
	values []string
	all    []broker.Delivery
	stop   func()
}

func (d *desk) read() *reader {
	r := &reader{}
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.b.Consume(ctx, broker.Reader{Group: "g", Topics: []string{d.topic}}, r.each) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(r.stop)
	return r
}

func (r *reader) each(ctx context.Context, p broker.Partition) {
	for {
		deliveries, err := p.Fetch(ctx, 100, 1<<20)
		if err != nil {
			return
		}
		r.mu.Lock()
		for _, x := range deliveries {
			r.values, r.all = append(r.values, string(x.Value)), append(r.all, x)
		}
		r.mu.Unlock()
		if err = p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
			return
		}
	}
}

func (r *reader) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.values)
}

// expect waits until exactly the values from to to were read, in order.
func (r *reader) expect(t *testing.T, from, to int) {
	t.Helper()
	var want []string
	for i := from; i <= to; i++ {
		want = append(want, fmt.Sprint(i))
	}
	testenv.Eventually(t, patience, func() error {
		if got := r.got(); len(got) < len(want) {
			return fmt.Errorf("read %q of %q", got, want)
		}
		return nil
	})
	if got := r.got(); !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
}

// steal reads with the group, as a program does that knows nothing of owners.
func (d *desk) steal(group string, n int64) {
	d.t.Helper()
	err := d.raw.XReadGroup(d.t.Context(), &goredis.XReadGroupArgs{Group: group, Consumer: "thief", Streams: []string{d.stream, ">"}, Count: n, Block: -1}).Err()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) createGroup(group string) {
	d.t.Helper()
	if err := d.raw.XGroupCreate(d.t.Context(), d.stream, group, "0").Err(); err != nil {
		d.t.Fatal(err)
	}
}

func TestANewOwnerFirstTakesOverWhatIsPending(t *testing.T) {
	t.Parallel()
	d := newDesk(t, redis.Config{}, broker.Topic{})
	d.publish(1, 9)
	d.createGroup("g")
	d.steal("g", 4)
	r := d.read()
	r.expect(t, 1, 9)
	testenv.Eventually(t, patience, func() error {
		groups, err := d.raw.XInfoGroups(t.Context(), d.stream).Result()
		if err != nil {
			t.Fatal(err)
		}
		if g := groups[0]; len(groups) != 1 || g.Name != "g" || g.Pending != 0 || g.Lag != 0 {
			return fmt.Errorf("XINFO GROUPS says %+v", groups)
		}
		return nil
	})
}

func TestARivalCostsNoRecords(t *testing.T) {
	t.Parallel()
	d := newDesk(t, redis.Config{}, broker.Topic{})
	r := d.read()
	d.publish(1, 1)
	r.expect(t, 1, 1)
	for i := 2; i < 30; i += 2 {
		d.publish(i, i)
		_ = d.raw.XReadGroup(t.Context(), &goredis.XReadGroupArgs{Group: "g", Consumer: "thief", Streams: []string{d.stream, ">"}, Block: -1}).Err()
		d.publish(i+1, i+1)
	}
	r.stop()
	next := d.read() // what the thief got comes to the next owner at the latest
	testenv.Eventually(t, patience, func() error {
		got := append(r.got(), next.got()...)
		slices.Sort(got)
		if got = slices.Compact(got); len(got) < 29 {
			return fmt.Errorf("read %q", got)
		}
		return nil
	})
}

func TestWhatIsRemovedBeforeItIsSettledIsReported(t *testing.T) {
	t.Parallel()
	d := newDesk(t, redis.Config{}, broker.Topic{})
	d.publish(1, 6)
	d.createGroup("g")
	d.steal("g", 4)
	entries, err := d.raw.XRange(t.Context(), d.stream, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	d.raw.XDel(t.Context(), d.stream, entries[0].ID, entries[1].ID)
	d.read().expect(t, 3, 6)
	if d.b.Lost() != 2 || !d.log.has("records were removed from the server before they were settled") {
		t.Errorf("%d records are counted as lost", d.b.Lost())
	}
}

func TestAPartitionThatWasOpenedAnewIsOpenedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, redis.Config{LeaseTTL: time.Second}, broker.Topic{})
	r := d.read()
	d.publish(1, 5)
	r.expect(t, 1, 5)
	fence := d.stream + ":owner:g"
	for i, change := range []func() error{
		func() error { return d.raw.HIncrBy(t.Context(), fence, "token", 1).Err() }, // somebody with the same lease
		func() error { return d.raw.Del(t.Context(), fence).Err() },                 // the server has lost it
		func() error {
			return d.raw.HSet(t.Context(), fence, "epoch", 1000, "token", 1000).Err() // the server has lost the leases
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		d.publish(6+i, 6+i)
		r.expect(t, 1, 6+i)
	}
}

func TestEntriesOfOthersAreDelivered(t *testing.T) {
	t.Parallel()
	d := newDesk(t, redis.Config{}, broker.Topic{})
	add := func(id string, values ...string) {
		t.Helper()
		if err := d.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: d.stream, ID: id, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	add("5-0", "ce-specversion", "1.0", "ce-id", "7", "data", "{}")
	add("*", "payload", "a&b", "metadata", "\xff\x00")
	add("*", "ce-specversion", "1.0", "ce-id", "\xff")
	d.publish(1, 1)
	add("99999999999999999-5", "ce-specversion", "1.0")
	add("99999999999999999-6", "key", "k", "data", "last")
	r := d.read()
	want := []string{"{}", "payload=a%26b&metadata=%FF%00", "ce-specversion=1.0&ce-id=%FF", "1", "", "last"}
	testenv.Eventually(t, patience, func() error {
		if got := r.got(); len(got) < len(want) {
			return fmt.Errorf("read %q", got)
		}
		return nil
	})
	if got := r.got(); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.IsSortedFunc(r.all, func(a, b broker.Delivery) int { return int(int64(a.Sequence) - int64(b.Sequence)) }) {
		t.Error("sequences do not grow")
	}
	if h, _ := r.all[1].Header("content-type"); h != "application/x-www-form-urlencoded" {
		t.Errorf("the foreign entry is %+v", r.all[1].Record)
	}
	testenv.Eventually(t, patience, func() error {
		if pending, err := d.raw.XPending(t.Context(), d.stream, "g").Result(); err != nil || pending.Count > 0 {
			return fmt.Errorf("pending: %+v, %w", pending, err)
		}
		return nil
	})
}
