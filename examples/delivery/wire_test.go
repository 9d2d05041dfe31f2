package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/examples/delivery/order"
	"github.com/tidings-go/tidings/internal/testenv"
)

const wireFile = "testdata/wire.golden"

// Subjects, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
func TestWire(t *testing.T) {
	t.Parallel()
	server := testenv.NATS(t)
	nc, err := nats.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cfg := open(t, place{server, sqliteURL(t)})
	s, err := newSystem(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{env: cfg.Env, seen: map[string]bool{}}
	for _, topic := range []string{"order=public=orders", "order=internal=orders=v1"} {
		for _, subject := range []string{"tidings.t.%s=%s.*", "tidings.live.%s=%s"} {
			if _, err = nc.Subscribe(fmt.Sprintf(subject, cfg.Env, topic), w.take); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err = nc.Flush(); err != nil {
		t.Fatal(err)
	}
	begin(t, s)
	// One by one, so that they come in this order.
	ask(t, s, order.CreateOrder, order.Create{OrderID: "tea", Amount: 4200, CustomerID: "ada", Currency: "EUR", Items: []string{"pot", "cup"}})
	w.await(t, 2)
	ask(t, s, order.ShipParcel, order.Ship{OrderID: "tea"})
	w.await(t, 3)
	ask(t, s, order.CreateOrder, order.Create{OrderID: "mug", Amount: 900, CustomerID: "bo", Currency: "USD", Items: []string{"mug"}})
	w.await(t, 5)
	ask(t, s, order.CancelOrder, order.Cancel{OrderID: "mug", Reason: "broken"})
	w.await(t, 6)
	ask(t, s, order.MoveParcel, order.Move{OrderID: "tea", Place: "Hamburg", Depot: true})
	w.await(t, 7)
	ask(t, s, order.MoveParcel, order.Move{OrderID: "tea", Place: "A7"})
	w.await(t, 8)
	compare(t, strings.Join(w.messages(), "\n"))
}

// wire keeps what was on it, each message once, with what differs from run to run replaced.
type wire struct {
	env string

	mu   sync.Mutex
	seen map[string]bool
	text []string
}

var (
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

func (w *wire) take(m *nats.Msg) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", m.Subject)
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		if !strings.HasPrefix(name, "Nats-Batch-") {
			fmt.Fprintf(&b, "    %s: %s\n", name, m.Header[name])
		}
	}
	fmt.Fprintf(&b, "    %s\n", m.Data)
	w.mu.Lock()
	defer w.mu.Unlock()
	if key := b.String(); !w.seen[key] { // it may be sent again
		w.seen[key] = true
		w.text = append(w.text, key)
	}
}

// await waits until there are n messages.
func (w *wire) await(t *testing.T, n int) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := len(w.messages()); got != n {
			return fmt.Errorf("%d messages, want %d", got, n)
		}
		return nil
	})
}

// messages are those so far; equal ids have equal numbers.
func (w *wire) messages() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	numbers := map[string]string{}
	list := make([]string, len(w.text))
	for i, text := range w.text {
		text = strings.ReplaceAll(text, w.env, "ENV")
		text = timePattern.ReplaceAllString(text, "TIME")
		list[i] = uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
			if numbers[id] == "" {
				numbers[id] = fmt.Sprint("ID-", len(numbers)+1)
			}
			return numbers[id]
		})
	}
	return list
}

func compare(t *testing.T, got string) {
	t.Helper()
	if testenv.Update() {
		if err := os.WriteFile(wireFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(wireFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("on the wire is\n%s\nand %s has\n%s", got, wireFile, want)
	}
}
