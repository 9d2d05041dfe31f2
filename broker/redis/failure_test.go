//go:build unix

package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/redis"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestAServerThatForgetsIsWarnedOf(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"appendonly is off":              {"--appendonly", "no"},
		"maxmemory-policy is allkeys-lr": {"--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"},
		"":                               durable,
	} {
		var text bytes.Buffer
		s := startServer(t, args...)
		open(t, s.url(), redis.Config{Log: slog.New(slog.NewTextHandler(&text, nil))})
		warnings := strings.Count(text.String(), "may forget")
		if want == "" && warnings != 0 || want != "" && (warnings != 1 || !strings.Contains(text.String(), want) || !strings.Contains(text.String(), "remedy")) {
			t.Errorf("%v: the log is %q, want %q", args, text.String(), want)
		}
	}
}

// publishOne returns how publishing a record ended.
func publishOne(tb testing.TB, b broker.Broker, r broker.Record) error {
	tb.Helper()
	ended := make(chan error, 1)
	b.Publish(tb.Context(), []broker.Record{r}, func(_ int, _ broker.Receipt, err error) { ended <- err })
	return <-ended
}

func TestAFullServerIsNamedAndTriedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), redis.Config{PublishTimeout: 5 * time.Second})
	apply(t, b, broker.Topic{Name: "full", Partitions: 1})
	client := raw(t, s)
	record := broker.Record{Topic: "full", Value: make([]byte, 1000)}
	client.ConfigSet(t.Context(), "maxmemory", "1")
	if err := publishOne(t, b, record); err == nil || !strings.Contains(err.Error(), "memory is full") || broker.Permanent(err) {
		t.Errorf("publishing to a full server gives %v", err)
	}
	client.ConfigSet(t.Context(), "maxmemory", "0")
	// On a busy machine the last try with the first record may still be on its way, and fail what comes behind it.
	testenv.Eventually(t, time.Minute, func() error { return publishOne(t, b, record) })
	if n := client.XLen(t.Context(), "tidings:{full/0}").Val(); n < 1 {
		t.Errorf("the stream holds %d entries", n)
	}
}

func TestATopicThatIsDeletedAndMadeAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := open(t, s.url(), redis.Config{})
	apply(t, b, broker.Topic{Name: "again", Partitions: 1})
	record := broker.Record{Topic: "again", Key: "k"}
	if err := publishOne(t, b, record); err != nil {
		t.Fatal(err)
	}
	if err := raw(t, s).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := publishOne(t, b, record); !errors.Is(err, broker.ErrUnknownTopic) {
		t.Errorf("publishing to a topic that is gone gives %v", err)
	}
	apply(t, open(t, s.url(), redis.Config{}), broker.Topic{Name: "again", Partitions: 3})
	for range 10 {
		if err := publishOne(t, b, record); err != nil {
			t.Errorf("publishing to a topic that is there again gives %v", err)
		}
	}
	if states := apply(t, b, broker.Topic{Name: "again"}); states[0].Messages != 10 || states[0].Partitions != 3 {
		t.Errorf("the topic is %+v", states[0])
	}
}

// What was sent over a connection that is given up arrives in the end, after what was sent over the next one. Nothing may be stored twice.
func TestWhatComesLateIsNotStoredTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	proxy := brokertest.StartProxy(t, s.address())
	b := open(t, "redis://"+proxy.Address(), redis.Config{PublishTimeout: 20 * time.Second})
	apply(t, b, broker.Topic{Name: "late", Partitions: 4})
	const rounds, perRound = 3, 200
	for round := range rounds {
		done := make(chan error, perRound)
		for i := range perRound {
			r := broker.Record{Topic: "late", Key: fmt.Sprint("key", i%8), Value: fmt.Append(nil, round*perRound+i)}
			b.Publish(t.Context(), []broker.Record{r}, func(_ int, _ broker.Receipt, err error) { done <- err })
			if i == perRound/2 {
				proxy.ToServer.Shut()
			}
		}
		// Each try gives up after a second or more; then all of them arrive.
		waited, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		<-waited.Done()
		cancel()
		proxy.ToServer.Open()
		for range perRound {
			if err := <-done; err != nil {
				t.Errorf("publish: %v", err)
			}
		}
	}
	testenv.Eventually(t, patience, func() error {
		if n := apply(t, b, broker.Topic{Name: "late"})[0].Messages; n != rounds*perRound {
			return fmt.Errorf("%d records are stored, %d were published", n, rounds*perRound)
		}
		return nil
	})
}
