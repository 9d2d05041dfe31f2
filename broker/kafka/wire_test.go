package kafka_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// wire is the network between clients and brokers, in the test's hands.
type wire struct {
	dialer net.Dialer

	mu    sync.Mutex // guards what follows
	open  chan struct{}
	lines map[net.Conn]struct{}
}

func newWire() *wire {
	w := &wire{open: make(chan struct{}), lines: map[net.Conn]struct{}{}}
	close(w.open)
	return w
}

// option makes a client use the wire.
func (w *wire) option() kgo.Opt { return kgo.Dialer(w.dial) }

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	far, err := w.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	near, middle := net.Pipe()
	w.mu.Lock()
	w.lines[middle] = struct{}{}
	w.mu.Unlock()
	over := sync.OnceFunc(func() {
		w.mu.Lock()
		delete(w.lines, middle)
		w.mu.Unlock()
		_ = middle.Close()
		_ = far.Close()
	})
	go w.pump(far, middle, over)
	go w.pump(middle, far, over)
	return near, nil
}

// pump moves bytes while the wire is open.
func (w *wire) pump(to, from net.Conn, over func()) {
	defer over()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		open := w.open
		w.mu.Unlock()
		<-open
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// pause lets nothing through until resume is called.
func (w *wire) pause(testing.TB) (resume func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := make(chan struct{})
	w.open = open
	return sync.OnceFunc(func() { close(open) })
}

// cut ends all connections, so that answers that are on their way are lost.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range w.lines {
		_ = line.Close()
	}
}
