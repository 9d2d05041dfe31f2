// Package snippets_test has the Go of the pages in docs, run as examples and tests: internal/docstest copies it into the pages and compares.
package snippets_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	memorystore "github.com/tidings-go/tidings/store/memory"
)

// newApp makes an app in memory.
func newApp(service string) *tidings.App {
	return tidings.New(tidings.Config{Service: service, Broker: memory.New(memory.Config{}), Store: memorystore.New()})
}

// runUntil runs an app until done is closed, and waits for its end.
func runUntil(app *tidings.App, done <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	select {
	case <-done:
		cancel()
	case <-ctx.Done():
	}
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
}
