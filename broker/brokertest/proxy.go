package brokertest

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is the network between a client and a server, in the hands of a test: either direction can be held up, connections can be cut
// or refused, and everything can be slow. It ends with the test.
type Proxy struct {
	// ToServer and FromServer are the two directions of all connections.
	ToServer, FromServer Valve

	tb      testing.TB
	server  string
	address string
	done    sync.WaitGroup

	mu       sync.Mutex   // guards what follows
	listener net.Listener // nil: connections are refused
	conns    []net.Conn
	delay    time.Duration
	rate     int // bytes a second; 0: unlimited
}

// StartProxy starts a proxy on a port of its own, in front of the server at an address ("host:port").
func StartProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, server: server, address: "127.0.0.1:0"}
	if p.listen(); p.listener == nil {
		tb.FailNow()
	}
	p.address = p.listener.Addr().String()
	tb.Cleanup(func() {
		p.refuse()
		p.ToServer.Open()
		p.FromServer.Open()
		p.Cut()
		p.done.Wait()
	})
	return p
}

// Address is where clients connect ("host:port").
func (p *Proxy) Address() string { return p.address }

// Cut ends all connections. What was held up or on its way is lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// Down makes the server look as if it was not running: connections end, and new ones are refused until up is called.
func (p *Proxy) Down() (up func()) {
	p.refuse()
	p.Cut()
	return sync.OnceFunc(p.listen)
}

// Slow delays everything that is sent, and limits how many bytes a second go in one direction of a connection. Zero: as fast as can be.
func (p *Proxy) Slow(delay time.Duration, bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.rate = delay, bytesPerSecond
}

func (p *Proxy) listen() {
	p.tb.Helper()
	listener, err := new(net.ListenConfig).Listen(p.tb.Context(), "tcp", p.address)
	if err != nil {
		p.tb.Errorf("listen on %s: %v", p.address, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.done.Go(func() { p.accept(listener) })
}

func (p *Proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(p.tb.Context(), "tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.listener == listener {
			p.conns = append(p.conns, client, server)
			p.done.Go(func() { p.pump(server, client, &p.ToServer) })
			p.done.Go(func() { p.pump(client, server, &p.FromServer) })
		} else {
			_ = errors.Join(client.Close(), server.Close())
		}
		p.mu.Unlock()
	}
}

// parcel is what was read at once, and when it is to arrive.
type parcel struct {
	bytes []byte
	due   time.Time
}

// pump moves bytes one way. Reading goes on while what was read before is still under way, as on a long line.
func (p *Proxy) pump(to, from net.Conn, v *Valve) {
	line := make(chan parcel, 64)
	var writing sync.WaitGroup
	writing.Go(func() {
		broken := false
		for next := range line {
			if broken = broken || p.deliver(to, next, v) != nil; broken {
				_ = from.Close()
			}
		}
	})
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			line <- parcel{buffer[:n], time.Now().Add(p.lag(n))}
		}
		if err != nil {
			break
		}
	}
	close(line)
	writing.Wait()
	_ = errors.Join(to.Close(), from.Close())
}

// deliver waits until a parcel is due and the valve open.
func (p *Proxy) deliver(to io.Writer, next parcel, v *Valve) error {
	if wait := time.Until(next.due); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.tb.Context().Done():
		}
	}
	v.wait()
	_, err := to.Write(next.bytes)
	return err
}

// lag is how long n bytes take. When the rate is limited, reading takes that time too, so that nothing gathers without bound.
func (p *Proxy) lag(n int) time.Duration {
	p.mu.Lock()
	delay, rate := p.delay, p.rate
	p.mu.Unlock()
	if rate == 0 {
		return delay
	}
	timer := time.NewTimer(time.Duration(n) * time.Second / time.Duration(rate))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.tb.Context().Done():
	}
	return delay
}

// Valve holds a direction up while it is shut. The zero value is open.
type Valve struct {
	mu   sync.Mutex
	shut chan struct{} // nil: open; closed when it opens again
}

// Shut lets nothing through any more. Nothing is lost by that.
func (v *Valve) Shut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shut == nil {
		v.shut = make(chan struct{})
	}
}

// Open lets everything through, what was held up first.
func (v *Valve) Open() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shut != nil {
		close(v.shut)
		v.shut = nil
	}
}

func (v *Valve) wait() {
	v.mu.Lock()
	shut := v.shut
	v.mu.Unlock()
	if shut != nil {
		<-shut
	}
}
