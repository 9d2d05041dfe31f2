//go:build unix

package main

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/tidings-go/tidings/broker/memory"
)

// inProcess compares the memory broker with a plain Go channel that does the same JSON work.
func inProcess() comparison {
	return comparison{title: "in process", n: 50_000, measures: []measure{
		{"Go channel with JSON", channel},
		{"tidings on the memory broker", func(ctx context.Context, t *trial) error { return memoryBroker(ctx, t, manyPerCall) }},
		{"the same, one message per call", func(ctx context.Context, t *trial) error { return memoryBroker(ctx, t, 1) }},
	}}
}

func channel(_ context.Context, t *trial) error {
	ch := make(chan []byte, 1024)
	var done sync.WaitGroup
	var failed error
	done.Go(func() {
		for data := range ch {
			var c cart
			if err := json.Unmarshal(data, &c); err != nil {
				failed = err
			}
		}
	})
	for i := range t.n {
		data, err := json.Marshal(newCart(i))
		if err != nil {
			return err
		}
		ch <- data
	}
	close(ch)
	done.Wait()
	return failed
}

func memoryBroker(ctx context.Context, t *trial, perCall int) error {
	b := memory.New(memory.Config{})
	defer b.Close() //nolint:errcheck // it has nothing to lose
	return newService(b, unique("bench"), "").endToEnd(ctx, t, perCall)
}
