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

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: u.Host}
	p.done.Go(p.run)
	t.Cleanup(func() {
		_ = listener.Close()
		p.up.set(false)
		p.down.set(false)
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

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if shut && v.shut == nil {
		v.shut = make(chan struct{})
	} else if !shut && v.shut != nil {
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
