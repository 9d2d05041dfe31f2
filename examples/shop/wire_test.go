package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/internal/testenv"
)

const wireFile = "testdata/wire.golden"

// Topics, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
func TestWire(t *testing.T) {
	t.Parallel()
	s := start(t, realPlace(t))
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(strings.TrimPrefix(testenv.Kafka(t), "kafka://"), ",")...),
		kgo.ConsumeTopics(s.Prefix+customer.Topic, s.Prefix+product.Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w := &wire{client: client, prefix: s.Prefix, seen: map[string]bool{}}
	ada := customer.Create{CustomerID: uuid.MustParse("0a000000-0000-4000-8000-000000000001"), Details: customer.Details{
		Name: "Ada", Email: "ada@example.com", Addresses: []customer.Address{{Street: "Main Street 1", City: "Kiel"}},
	}}
	pot := product.Create{ProductID: uuid.MustParse("0b000000-0000-4000-8000-000000000001"), Details: product.Details{Name: "Teapot", Price: 4200}}
	cs, ps := s.service(customers), s.service(products)
	// One by one, so that they come in this order.
	ask(t, cs, customer.CreateCustomer, ada)
	w.take(t)
	ask(t, cs, customer.UpdateCustomer, customer.Update(ada))
	w.take(t)
	ask(t, cs, customer.DeleteCustomer, customer.Delete{CustomerID: ada.CustomerID})
	w.take(t)
	ask(t, ps, product.CreateProduct, pot)
	w.take(t)
	ask(t, ps, product.ViewProduct, product.View{ProductID: pot.ProductID})
	w.take(t)
	ask(t, ps, product.UpdateProduct, product.Update(pot))
	w.take(t)
	ask(t, ps, publishRaw, rawEvent{Topic: s.Prefix + product.Topic, Type: string(product.TypeViewed), Key: "by hand", Data: []byte(`{"product_id":"nothing"}`)})
	w.take(t)
	ask(t, ps, product.DeleteProduct, product.Delete{ProductID: pot.ProductID})
	w.take(t)
	compare(t, w.text())
}

// wire keeps what was on it, each message once, with what differs from run to run replaced.
type wire struct {
	client *kgo.Client
	prefix string
	seen   map[string]bool
	list   []string
}

var (
	newIDPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timePattern  = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

// take waits for the next message.
func (w *wire) take(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for before := len(w.list); len(w.list) == before; {
		fetches := w.client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("after %d messages none comes", before)
		}
		fetches.EachRecord(w.add)
	}
}

func (w *wire) add(r *kgo.Record) {
	var headers []string
	for _, h := range r.Headers {
		headers = append(headers, fmt.Sprintf("    %s: %s\n", h.Key, h.Value))
	}
	slices.Sort(headers)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n    key: %s\n%s    %s\n", r.Topic, r.Key, strings.Join(headers, ""), r.Value)
	if text := b.String(); !w.seen[text] { // it may be sent again
		w.seen[text] = true
		w.list = append(w.list, text)
	}
}

// text are the messages so far; equal ids have equal numbers.
func (w *wire) text() string {
	text := strings.ReplaceAll(strings.Join(w.list, "\n"), w.prefix, "")
	text = timePattern.ReplaceAllString(text, "TIME")
	numbers := map[string]string{}
	return newIDPattern.ReplaceAllStringFunc(text, func(id string) string {
		if numbers[id] == "" {
			numbers[id] = fmt.Sprint("ID-", len(numbers)+1)
		}
		return numbers[id]
	})
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
