package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/sse"
)

// TestSlowReaderOverTCP has a client that stops reading its connection. The kernel's buffers fill, then the hub's, and then it is cut off;
// the other client gets everything.
func TestSlowReaderOverTCP(t *testing.T) {
	hub := sse.New(sse.Config{Buffer: 64, WriteTimeout: 200 * time.Millisecond})
	server := httptest.NewServer(hub)
	defer server.Close()
	defer hub.Close()
	slow := dial(t, server)
	defer slow.Close()
	resp := get(t, server)
	defer resp.Body.Close()
	testenv.Eventually(t, 10*time.Second, clients(hub, 2))

	payload := bytes.Repeat([]byte("x"), 64<<10)
	sent, got := 0, 0
	for e, err := range sse.Read(&pulled{resp, func() {
		if hub.Stats().Clients == 2 { // send as long as the slow client holds on, at the speed of the quick one
			sent++
			if err := hub.Publish(fmt.Sprint(sent), "n", payload); err != nil {
				t.Error(err)
			}
		}
	}}) {
		if err != nil {
			t.Fatalf("the quick client was hurt after %d of %d: %v", got, sent, err)
		}
		got++
		if e.ID != fmt.Sprint(got) {
			t.Fatalf("got event %s, want %d", e.ID, got)
		}
		if got == sent && hub.Stats().Clients < 2 {
			break
		}
	}
	if n := hub.Stats().Clients; n != 1 {
		t.Errorf("%d clients are connected, want the quick one", n)
	}
}

func TestServerShutdownEndsStreams(t *testing.T) {
	hub := sse.New(sse.Config{})
	server := httptest.NewUnstartedServer(hub)
	server.Config.RegisterOnShutdown(hub.Close)
	server.Start()
	defer server.Close()
	resp := get(t, server)
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Errorf("the server did not shut down: %v", err)
	}
}

// TestStreamOutlivesServerTimeouts needs real time: the server's timeouts are the connection's deadlines.
func TestStreamOutlivesServerTimeouts(t *testing.T) {
	hub := sse.New(sse.Config{Heartbeat: 20 * time.Millisecond})
	server := httptest.NewUnstartedServer(hub)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	server.Start()
	defer server.Close()
	defer hub.Close()
	resp := get(t, server)
	defer resp.Body.Close()
	start := time.Now()
	buf := make([]byte, 1024)
	for time.Since(start) < 300*time.Millisecond {
		if _, err := resp.Body.Read(buf); err != nil {
			t.Fatalf("the stream ended after %v: %v", time.Since(start), err)
		}
	}
}

// pulled is a response's body that calls before each read.
type pulled struct {
	resp   *http.Response
	before func()
}

func (p *pulled) Read(b []byte) (int, error) {
	p.before()
	return p.resp.Body.Read(b)
}

func clients(hub *sse.Hub, want int) func() error {
	return func() error {
		if n := hub.Stats().Clients; n != want {
			return fmt.Errorf("%d clients, want %d", n, want)
		}
		return nil
	}
}

func get(t *testing.T, server *httptest.Server) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// dial opens a connection that asks for the stream and never reads it.
func dial(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return conn
}
