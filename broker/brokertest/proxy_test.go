package brokertest

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	p := StartProxy(t, startEcho(t))
	line := dial(t, p)
	line.wantAnswer(t, "through a proxy that does nothing", 0)
	p.Slow(30*time.Millisecond, 1<<20)
	line.wantAnswer(t, "with 30 ms one way", 60*time.Millisecond)
	p.Slow(0, 0)
	p.FromServer.Shut()
	time.AfterFunc(50*time.Millisecond, p.FromServer.Open)
	line.wantAnswer(t, "behind a valve that is shut for 50 ms", 40*time.Millisecond)

	up := p.Down()
	if line.ask() == nil {
		t.Error("a connection outlived its server")
	}
	if conn, err := net.Dial("tcp", p.Address()); err == nil {
		t.Error("nobody is there, and yet a connection was accepted")
		_ = conn.Close()
	}
	up()
	dial(t, p).wantAnswer(t, "when the server is back", 0)
}

// startEcho starts a server that answers with what it is told, and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(conn)
		}
	}()
	return listener.Addr().String()
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 100)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// line is a connection to the echo.
type line struct{ net.Conn }

func dial(t *testing.T, p *Proxy) line {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return line{conn}
}

func (l line) ask() error {
	deadlineErr := l.SetDeadline(time.Now().Add(20 * time.Second))
	_, writeErr := l.Write([]byte("x"))
	_, readErr := l.Read(make([]byte, 1))
	return errors.Join(deadlineErr, writeErr, readErr)
}

// wantAnswer fails the test if there is no answer, or it comes too soon.
func (l line) wantAnswer(t *testing.T, when string, least time.Duration) {
	t.Helper()
	began := time.Now()
	if err := l.ask(); err != nil || time.Since(began) < least {
		t.Errorf("%s, an answer took %s, %v", when, time.Since(began), err)
	}
}
