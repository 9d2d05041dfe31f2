package trial

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/internal/testenv"
)

// Wire keeps what was on the wire, each message once: it may be sent again.
type Wire struct {
	mu       sync.Mutex
	messages []string
}

// Kafka is what is on Kafka's topics, from their beginning, as a client sees it that knows nothing of tidings.
func Kafka(t *testing.T, topics ...string) *Wire {
	t.Helper()
	seeds := strings.Split(strings.TrimPrefix(testenv.Kafka(t), "kafka://"), ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				attributes := make([]string, len(r.Headers))
				for i, h := range r.Headers {
					attributes[i] = fmt.Sprintf("%s: %s", h.Key, h.Value)
				}
				w.Add(fmt.Sprintf("%s\n    key: %s", r.Topic, r.Key), attributes, r.Value)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		client.Close()
	})
	return w
}

// Add adds a message: where it was, its attributes in any order, and its body.
func (w *Wire) Add(where string, attributes []string, body []byte) {
	lines := append(slices.Sorted(slices.Values(attributes)), string(body))
	message := where + "\n    " + strings.Join(lines, "\n    ") + "\n"
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.messages, message) {
		w.messages = append(w.messages, message)
	}
}

// Await waits until there are n messages, and returns them.
func (w *Wire) Await(t *testing.T, n int) []string {
	t.Helper()
	var messages []string
	testenv.Eventually(t, time.Minute, func() error {
		w.mu.Lock()
		messages = slices.Clone(w.messages)
		w.mu.Unlock()
		if len(messages) != n {
			return fmt.Errorf("%d messages, want %d:\n%s", len(messages), n, strings.Join(messages, "\n"))
		}
		return nil
	})
	return messages
}

// What differs from run to run: ids that tidings makes, and times.
var (
	idPattern   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

// Golden compares messages with testdata/wire.golden, with what differs from run to run replaced: the test's own name (by name), times, and ids, where equal ones become
// equal numbers.
func Golden(t *testing.T, messages []string, own, name string) {
	t.Helper()
	const file = "testdata/wire.golden"
	got := strings.ReplaceAll(strings.Join(messages, "\n"), own, name)
	got = timePattern.ReplaceAllString(got, "TIME")
	numbers := map[string]string{}
	got = idPattern.ReplaceAllStringFunc(got, func(id string) string {
		if numbers[id] == "" {
			numbers[id] = fmt.Sprint("ID-", len(numbers)+1)
		}
		return numbers[id]
	})
	if testenv.Update() {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("on the wire is\n%s\nand %s has\n%s", got, file, want)
	}
}
