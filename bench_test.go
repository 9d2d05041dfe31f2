package tidings_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
)

// line and cart are a payload of ordinary size: about 430 bytes of JSON.
type line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

type cart struct {
	ID       string            `json:"id" tidings:"key"`
	Customer string            `json:"customer"`
	Currency string            `json:"currency"`
	Lines    []line            `json:"lines"`
	Tags     map[string]string `json:"tags"`
	Note     string            `json:"note"`
}

var checkedOut = tidings.Define[cart]("shop", "CartCheckedOut", "v1", tidings.Entity("cart"))

func benchCart() cart {
	return cart{
		ID: "3b241101-e2bb-4255-8caf-4136c566a962", Customer: "c-4711", Currency: "EUR",
		Lines: []line{{"A-100", 2, 19.99}, {"B-200", 1, 5.49}, {"C-300", 12, 0.99}, {"D-400", 3, 149}},
		Tags:  map[string]string{"channel": "web", "campaign": "autumn"},
		Note:  "Please ring twice; the bell is hard to hear from the kitchen when the radio is on.",
	}
}

// BenchmarkChannel is the measure for BenchmarkInProcess: the same JSON work on both sides of a plain Go channel.
func BenchmarkChannel(b *testing.B) {
	b.ReportAllocs()
	payload := benchCart()
	ch := make(chan []byte, 1024)
	var done sync.WaitGroup
	done.Go(func() {
		for data := range ch {
			var c cart
			if err := json.Unmarshal(data, &c); err != nil {
				b.Error(err)
			}
		}
	})
	for b.Loop() {
		data, err := json.Marshal(payload)
		if err != nil {
			b.Fatal(err)
		}
		ch <- data
	}
	close(ch)
	done.Wait()
}

// BenchmarkInProcess publishes to a typed reaction on the memory broker, one message at a time and many at once.
func BenchmarkInProcess(b *testing.B) {
	b.Run("one", func(b *testing.B) { benchInProcess(b, 1) })
	b.Run("batches of 100", func(b *testing.B) { benchInProcess(b, 100) })
}

func benchInProcess(b *testing.B, size int) {
	b.Helper()
	b.ReportAllocs()
	broker := memory.New(memory.Config{Partitions: 1})
	defer func() { _ = broker.Close() }()
	app := tidings.New(tidings.Config{Service: "shop", Broker: broker, Log: slog.New(slog.DiscardHandler)})
	app.Emits(checkedOut)
	var handled sync.WaitGroup
	app.Subscribe(tidings.Subscription{Name: "bench", Concurrency: 1}, tidings.On(checkedOut, func(context.Context, cart) error {
		handled.Done()
		return nil
	}))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	<-app.Ready()
	payload := benchCart()
	messages := make([]tidings.Message, 0, size)
	to := app.Direct()
	for b.Loop() {
		handled.Add(1)
		if messages = append(messages, checkedOut.New(payload)); len(messages) < size {
			continue
		}
		if err := to.Publish(ctx, messages...); err != nil {
			b.Fatal(err)
		}
		messages = messages[:0]
	}
	if err := to.Publish(ctx, messages...); err != nil {
		b.Fatal(err)
	}
	handled.Wait()
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
