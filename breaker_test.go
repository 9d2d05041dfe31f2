package tidings_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/internal/testenv"
)

// dependency is a server that handlers need: it listens or it doesn't.
type dependency struct {
	t        *testing.T
	address  string
	listener net.Listener
}

func (d *dependency) up() {
	d.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(d.t.Context(), "tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.listener = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
}

func (d *dependency) down() { _ = d.listener.Close() }

func (d *dependency) call(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// A server that the reactions need is down until every message could have used up its attempts many times. With a breaker none does, and
// without one, which is the control, some end among the dead letters.
func TestAnOutageUsesUpNoAttempts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		breaker tidings.Breaker
	}{
		{"with a breaker", tidings.Breaker{Failures: 2, Wait: 100 * time.Millisecond}},
		{"without", tidings.Breaker{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dead := playOutage(t, c.breaker)
			if c.breaker.Failures > 0 && dead != 0 {
				t.Errorf("%d messages are dead letters because of the outage", dead)
			}
			if c.breaker.Failures == 0 && dead == 0 {
				t.Error("the outage was too short to be one: no message has used up its attempts without a breaker")
			}
		})
	}
}

// playOutage returns how many messages became dead letters. All others were handled.
func playOutage(t *testing.T, breaker tidings.Breaker) (dead int) {
	t.Helper()
	e, err := embedded.Open(t.Context(), t.TempDir(), embedded.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d := &dependency{t: t, address: fmt.Sprint("127.0.0.1:", testenv.FreePort(t))}
	app := newApp(t, func(c *tidings.Config) { c.Broker, c.Store = e.Broker(), e.Store() })
	app.Emits(placed)
	sub := func(name string) tidings.Subscription {
		return tidings.Subscription{Name: name, Retry: tidings.Retry{Attempts: 3, Min: 5 * time.Millisecond, Max: 10 * time.Millisecond}, Breaker: breaker}
	}
	app.Subscribe(sub("single"), tidings.On(placed, func(ctx context.Context, _ order) error { return d.call(ctx) }))
	app.Subscribe(sub("batch"), tidings.OnBatch(placed, tidings.Batch{Size: 5, Wait: 5 * time.Millisecond},
		func(ctx context.Context, _ []*tidings.Delivery[order]) error { return d.call(ctx) }))
	defer run(t, app)()
	const messages = 40
	for n := range messages {
		if err := placed.Publish(t.Context(), app.Direct(), order{fmt.Sprint("shop-", n%8), n}); err != nil {
			t.Fatal(err)
		}
	}
	failures := func() error { // Enough of them for any message to use up its attempts, or for many probes.
		for _, s := range app.Stats() {
			if s.Failed < 30 || breaker.Failures > 0 && !s.Open {
				return fmt.Errorf("not yet: %+v", s)
			}
		}
		return nil
	}
	testenv.Eventually(t, time.Minute, failures)
	d.up()
	defer d.down()
	testenv.Eventually(t, time.Minute, func() error {
		dead = 0
		for _, s := range app.Stats() {
			if dead += int(s.Dead); s.Handled+s.Dead < messages || s.InFlight > 0 || s.Open {
				return fmt.Errorf("not all are handled: %+v", s)
			}
		}
		return nil
	})
	return dead
}
