package tidings_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
)

// BenchmarkCall is a call in process, and one to another process over the memory broker.
func BenchmarkCall(b *testing.B) {
	server := memory.New(memory.Config{})
	defer func() { _ = server.Close() }()
	provider := tidings.New(tidings.Config{Service: "shop", Broker: server, Remote: true, Log: slog.New(slog.DiscardHandler)})
	provider.Serve(tidings.Serve(lookup, answer))
	other := tidings.New(tidings.Config{Service: "mailer", Broker: server, Remote: true, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 2)
	for _, app := range []*tidings.App{provider, other} {
		go func() { ended <- app.Run(ctx) }()
		<-app.Ready()
	}
	for name, host := range map[string]tidings.Host{"in-process": provider, "between-processes": other} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := lookup.Call(ctx, host, getOrder{"1"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
}
