//go:build unix

package nats_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a client and a server. Either direction can be held up, and connections can be cut.
type proxy struct {
	listener net.Listener
	target   string
	up, down valve // to the server, from the server

	mu    sync.Mutex
	conns []net.Conn
	done  sync.WaitGroup
}

func startProxy(tb testing.TB, server string) *proxy {
	tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: listener, target: u.Host}
	p.done.Go(p.run)
	tb.Cleanup(func() {
		_ = listener.Close()
		p.up.open()
		p.down.open()
		p.cut()
		p.done.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) run() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.done.Go(func() { p.copy(server, client, &p.up) })
		p.done.Go(func() { p.copy(client, server, &p.down) })
	}
}

func (p *proxy) copy(to, from net.Conn, v *valve) {
	defer to.Close()
	defer from.Close()
	_, _ = io.Copy(to, valved{from, v})
}

// cut closes all connections. What was held up is lost.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// valve holds a flow up while it is shut.
type valve struct {
	mu   sync.Mutex
	shut chan struct{} // nil: open; closed when it opens again
}

func (v *valve) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = make(chan struct{})
}

func (v *valve) open() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shut != nil {
		close(v.shut)
		v.shut = nil
	}
}

func (v *valve) wait() {
	v.mu.Lock()
	shut := v.shut
	v.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

type valved struct {
	io.Reader
	*valve
}

func (v valved) Read(b []byte) (int, error) {
	n, err := v.Reader.Read(b)
	v.wait()
	return n, err
}
