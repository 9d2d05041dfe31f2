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

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/internal/testenv"
)

const wireFile = "testdata/wire.golden"

// Topics, keys, attributes and payloads are as in testdata/wire.golden: seen by a client that knows nothing of tidings.
func TestWire(t *testing.T) {
	t.Parallel()
	s := start(t, open(t, realPlace(t)))
	const tenant = "acme"
	ask(t, s.cashiers, appdomain.CreateCashier, appdomain.NewCashier{TenantID: tenant, Region: "north", CashierID: "ada", Name: "Ada", Email: "ada@acme.example"})
	ask(t, s.cashiers, appdomain.DeleteCashier, appdomain.OldCashier{TenantID: tenant, CashierID: "ada"})
	ask(t, s.cashiers, appdomain.CreateUser, appdomain.NewUser{TenantID: tenant, UserID: "bo", Name: "Bo", Email: "bo@acme.example"})
	ask(t, s.cashiers, invoicing.CreateInvoice, invoicing.NewInvoice{TenantID: tenant, SKU: "tea", Quantity: 3, Amount: 4200})
	ask(t, s.cashiers, invoicing.PayInvoice, invoicing.Payment{TenantID: tenant, InvoiceID: "acme-1", AmountPaid: 4200})
	awaitReport(t, s, func(r summary) bool { return r.Events == 8 })

	var topics []string
	for _, e := range s.cashiers.Catalog().All() {
		topics = append(topics, e.PublishTopic)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(testenv.Kafka(t), "kafka://")), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	w := wire{env: s.Env, seen: map[string]bool{}}
	testenv.Eventually(t, time.Minute, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, f := range cl.PollFetches(ctx).Records() {
			w.take(f)
		}
		if len(w.texts) != 8 {
			return fmt.Errorf("%d messages: %v", len(w.texts), w.texts)
		}
		return nil
	})
	compareWire(t, w.String())
}

// wire keeps what was on it, each message once.
type wire struct {
	env   string
	seen  map[string]bool
	texts []string
}

func (w *wire) take(r *kgo.Record) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n    key: %s\n", r.Topic, r.Key)
	slices.SortFunc(r.Headers, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "    %s: %s\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "    %s\n", r.Value)
	if text := b.String(); !w.seen[text] { // it may be sent again
		w.seen[text] = true
		w.texts = append(w.texts, text)
	}
}

var (
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

// String has the messages topic by topic, with what differs from run to run replaced. Equal ids have equal numbers.
func (w *wire) String() string {
	slices.SortStableFunc(w.texts, func(a, b string) int {
		topicA, _, _ := strings.Cut(a, "\n")
		topicB, _, _ := strings.Cut(b, "\n")
		return strings.Compare(topicA, topicB)
	})
	text := strings.ReplaceAll(strings.Join(w.texts, "\n"), w.env, "ENV")
	text = timePattern.ReplaceAllString(text, "TIME")
	numbers := map[string]string{}
	return uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		if numbers[id] == "" {
			numbers[id] = fmt.Sprint("ID-", len(numbers)+1)
		}
		return numbers[id]
	})
}

func compareWire(t *testing.T, got string) {
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
